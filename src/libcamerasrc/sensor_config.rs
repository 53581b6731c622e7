//! The property `sensor-config`: how the sensor is to be read out.

use crate::camera::{Rectangle, SensorConfig, Size};

/// The fields that are there must be whole, and what belongs together must be complete. The error says which.
pub fn parse(structure: &gst::StructureRef) -> Result<SensorConfig, String> {
    let fields = Fields(structure);
    let Some([width, height, depth]) = fields.together(["width", "height", "depth"], 1)? else {
        return Err("sensor-config needs width, height and depth, as in sensor/config,width=2328,height=1748,depth=10".to_owned());
    };
    let binning = fields.together(["bin-x", "bin-y"], 1)?;
    let crop = fields.together(
        [
            "analog-crop-x",
            "analog-crop-y",
            "analog-crop-width",
            "analog-crop-height",
        ],
        0,
    )?;
    if let Some([_, _, 0, _] | [_, _, _, 0]) = crop {
        return Err("sensor-config: the analog crop is empty; its width and height are to be 1 or more, or its four fields are left out".to_owned());
    }
    Ok(SensorConfig {
        size: Size::new(width, height),
        depth,
        binning: binning.map(|[x, y]| (x, y)),
        skipping: fields.together(["x-odd-inc", "x-even-inc", "y-odd-inc", "y-even-inc"], 1)?,
        crop: crop.map(|[x, y, width, height]| Rectangle {
            x: i32::try_from(x).unwrap_or(i32::MAX),
            y: i32::try_from(y).unwrap_or(i32::MAX),
            width,
            height,
        }),
    })
}

struct Fields<'a>(&'a gst::StructureRef);

impl Fields<'_> {
    /// All of them, or none of them, each a whole number from `least` on.
    fn together<const N: usize>(
        &self,
        names: [&str; N],
        least: i32,
    ) -> Result<Option<[u32; N]>, String> {
        if names.iter().all(|name| !self.0.has_field(*name)) {
            return Ok(None);
        }
        let mut found = [0; N];
        for (name, found) in names.iter().zip(&mut found) {
            let number = match self.0.value(*name) {
                Ok(value) => value
                    .transform::<i32>()
                    .ok()
                    .and_then(|value| value.get().ok()),
                Err(_) => {
                    let all = names.join(", ");
                    return Err(format!(
                        "sensor-config: {name} is missing; {all} go together"
                    ));
                }
            };
            let number = number.filter(|number: &i32| *number >= least);
            *found = number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| {
                    format!("sensor-config: {name} must be a whole number from {least} on")
                })?;
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parsed(text: &str) -> Result<SensorConfig, String> {
        gst::init().unwrap();
        parse(&text.parse::<gst::Structure>().unwrap())
    }

    #[test]
    fn a_size_and_a_depth_are_enough() {
        let config = parsed("sensor/config,width=2328,height=1748,depth=10").unwrap();
        assert_eq!((config.size, config.depth), (Size::new(2328, 1748), 10));
        assert_eq!(
            (config.binning, config.skipping, config.crop),
            (None, None, None)
        );
    }

    #[test]
    fn everything_upstream_knows_is_known() {
        let config = parsed(
            "any/name,width=1,height=2,depth=12,bin-x=2,bin-y=4,x-odd-inc=1,x-even-inc=3,y-odd-inc=5,y-even-inc=7,\
             analog-crop-x=0,analog-crop-y=9,analog-crop-width=640,analog-crop-height=480",
        );
        let config = config.unwrap();
        assert_eq!(config.binning, Some((2, 4)));
        assert_eq!(config.skipping, Some([1, 3, 5, 7]));
        let crop = Rectangle {
            x: 0,
            y: 9,
            width: 640,
            height: 480,
        };
        assert_eq!(config.crop, Some(crop));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str, word: &str| {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(word), "{word} is not in: {error}");
        };
        wrong("c,bin-x=1,bin-y=1", "width, height and depth");
        wrong("c,width=10,height=10", "depth is missing");
        wrong("c,width=10,height=10,depth=0", "depth must be");
        wrong("c,width=10,height=10,depth=(string)many", "depth must be");
        wrong("c,width=10,height=10,depth=8,bin-x=2", "bin-y is missing");
        wrong(
            "c,width=1,height=1,depth=8,analog-crop-x=1,analog-crop-y=1,analog-crop-width=0,analog-crop-height=1",
            "empty",
        );
    }
}
