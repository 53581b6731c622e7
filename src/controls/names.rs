//! Names of properties and of enumeration values: libcamera's words in GObject's spelling.

use crate::camera::ControlDefinition;

/// `AeEnable` is `ae-enable`; a vendor's control begins with the vendor: `rpi-sync-mode`.
pub fn property_name(definition: &ControlDefinition) -> String {
    let name = kebab(&definition.name);
    match &definition.vendor {
        Some(vendor) => format!("{}-{name}", vendor.to_lowercase()),
        None => name,
    }
}

/// The name of an enumeration's value without what all of them begin with: `AwbAuto` is `auto`.
pub fn nicks(definition: &ControlDefinition) -> Vec<String> {
    let words: Vec<Vec<String>> = definition
        .enumerators
        .iter()
        .map(|(_, name)| kebab(name).split('-').map(str::to_owned).collect())
        .collect();
    let Some(first) = words.first() else {
        return Vec::new();
    };
    let shortest = words.iter().map(Vec::len).min().unwrap_or_default();
    // One value alone has nothing in common with others: its prefix is the control's name.
    let own: Vec<String> = kebab(&definition.name)
        .split('-')
        .map(str::to_owned)
        .collect();
    let shared = (0..shortest.saturating_sub(1))
        .take_while(|word| {
            let common = words
                .iter()
                .all(|words| words.get(*word) == first.get(*word));
            common && (words.len() > 1 || own.get(*word) == first.get(*word))
        })
        .count();
    words
        .iter()
        .map(|words| {
            words
                .iter()
                .skip(shared)
                .cloned()
                .collect::<Vec<_>>()
                .join("-")
        })
        .collect()
}

/// Words are told apart by their capitals: `AfMode`, `FocusFoM`, `Bcm2835StatsOutput`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(index + 1);
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if begins {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

/// The name that somebody may have meant who wrote another one: three letters off at most, and less than half of them.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = if written.contains(char::is_uppercase) {
        kebab(written)
    } else {
        written.replace('_', "-")
    };
    let most = 3.min(written.len() / 2);
    names
        .map(|name| (distance(&written, name), name))
        .filter(|(letters, _)| *letters <= most)
        .min()
        .map(|(_, name)| name)
}

/// How many letters are to be put in, taken out, replaced or swapped with the next one.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, facing) in other.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&last, column) + usize::from(letter != facing))
                .min(at(&last, column + 1) + 1)
                .min(at(&next, column) + 1);
            let swapped = column > 0
                && row > 0
                && one.get(row - 1) == Some(facing)
                && other.get(column - 1) == Some(letter);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{ControlId, ControlKind};

    fn control(name: &str, vendor: Option<&str>, enumerators: &[&str]) -> ControlDefinition {
        let enumerators = (0..).zip(enumerators.iter().map(|name| (*name).to_owned()));
        ControlDefinition {
            id: ControlId(1),
            name: name.to_owned(),
            vendor: vendor.map(str::to_owned),
            kind: ControlKind::I32,
            is_list: false,
            length: None,
            is_input: true,
            is_output: true,
            enumerators: enumerators.collect(),
        }
    }

    #[test]
    fn properties_are_named_as_upstreams_are() {
        let named = |name, vendor| property_name(&control(name, vendor, &[]));
        assert_eq!(named("AeEnable", None), "ae-enable");
        assert_eq!(
            named("ColourCorrectionMatrix", None),
            "colour-correction-matrix"
        );
        assert_eq!(named("FocusFoM", None), "focus-fo-m");
        assert_eq!(named("SyncMode", Some("rpi")), "rpi-sync-mode");
    }

    #[test]
    fn a_typing_error_finds_what_was_meant() {
        let near = |written| {
            let names = ["brightness", "ae-enable", "awb-enable", "exposure-time"];
            nearest(written, names.into_iter())
        };
        assert_eq!(near("brigthness"), Some("brightness"));
        assert_eq!(near("ExposureTme"), Some("exposure-time"));
        assert_eq!(near("exposure_time"), Some("exposure-time"));
        assert_eq!(near("ae-enabled"), Some("ae-enable"));
        assert_eq!(near("volume"), None);
        assert_eq!(near(""), None);
    }

    #[test]
    fn values_lose_what_all_begin_with() {
        let nicks = |name, values: &[&str]| nicks(&control(name, None, values));
        assert_eq!(
            nicks("AwbMode", &["AwbAuto", "AwbIncandescent"]),
            ["auto", "incandescent"]
        );
        assert_eq!(
            nicks(
                "AeMeteringMode",
                &["MeteringCentreWeighted", "MeteringSpot"]
            ),
            ["centre-weighted", "spot"]
        );
        assert_eq!(
            nicks(
                "HdrMode",
                &[
                    "HdrModeOff",
                    "HdrModeMultiExposure",
                    "HdrModeMultiExposureUnmerged"
                ]
            ),
            ["off", "multi-exposure", "multi-exposure-unmerged"]
        );
        assert_eq!(nicks("FaceDetectMode", &["FaceDetectModeOff"]), ["off"]);
        assert!(nicks("Gamma", &[]).is_empty());
    }
}
