//! Which camera somebody means.

use super::{device::CameraInfo, error::CameraError};

/// The id of the camera that is meant: by its whole id, by its place in the list, by its model, or by a part of its id or model that no other has.
/// In this order, so that a name that works goes on working when another camera is plugged in, unless that is just like it.
pub fn select<'a>(wanted: &str, cameras: &'a [CameraInfo]) -> Result<&'a str, CameraError> {
    let by_id = cameras.iter().find(|camera| camera.id == wanted);
    let by_place = || cameras.get(wanted.parse::<usize>().ok()?);
    if let Some(camera) = by_id.or_else(by_place) {
        return Ok(&camera.id);
    }
    let wanted_lower = wanted.to_lowercase();
    let model = |camera: &CameraInfo| camera.model.as_deref().unwrap_or_default().to_lowercase();
    let is_model = |camera: &&CameraInfo| !wanted.is_empty() && model(camera) == wanted_lower;
    let has_part = |camera: &&CameraInfo| {
        !wanted.is_empty()
            && (camera.id.to_lowercase().contains(&wanted_lower)
                || model(camera).contains(&wanted_lower))
    };
    let mut matching: Vec<&CameraInfo> = cameras.iter().filter(is_model).collect();
    if matching.is_empty() {
        matching = cameras.iter().filter(has_part).collect();
    }
    match matching[..] {
        [camera] => Ok(&camera.id),
        [] if cameras.is_empty() => Err(CameraError::NoCamera),
        [] => Err(CameraError::Unknown {
            wanted: wanted.to_owned(),
            known: cameras.iter().map(described).collect(),
        }),
        _ => Err(CameraError::Ambiguous {
            wanted: wanted.to_owned(),
            matching: matching.into_iter().map(described).collect(),
        }),
    }
}

fn described(camera: &CameraInfo) -> String {
    match &camera.model {
        Some(model) => format!("{} ({model})", camera.id),
        None => camera.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn cameras() -> Vec<CameraInfo> {
        [
            ("/base/soc/i2c0mux/i2c@0/imx219@10", Some("imx219")),
            ("/base/soc/i2c0mux/i2c@1/imx219@10", Some("imx219")),
            ("\\_SB_.PCI0.XHC_-2:1.0-046d:085c", Some("C922 Pro Webcam")),
            ("0", None),
            ("Virtual2", Some("2")),
        ]
        .map(|(id, model)| CameraInfo {
            id: id.to_owned(),
            model: model.map(str::to_owned),
            location: None,
        })
        .to_vec()
    }

    /// The number of the camera, or how the error begins.
    fn means(wanted: &str) -> Result<usize, String> {
        let cameras = cameras();
        let id = select(wanted, &cameras).map_err(|error| error.to_string())?;
        Ok(cameras.iter().position(|camera| camera.id == id).unwrap())
    }

    #[test]
    fn a_camera_has_many_names() {
        assert_eq!(means("/base/soc/i2c0mux/i2c@1/imx219@10"), Ok(1));
        assert_eq!(means("0"), Ok(3), "a whole id goes before a place");
        assert_eq!(means("1"), Ok(1));
        assert_eq!(means("2"), Ok(2), "a place goes before a model");
        assert_eq!(means("i2c@1"), Ok(1));
        assert_eq!(means("c922 pro webcam"), Ok(2));
        assert_eq!(means("webcam"), Ok(2));
        assert_eq!(means("046d:085c"), Ok(2));
    }

    #[test]
    fn what_is_not_clear_lists_what_there_is() {
        let text = means("imx219").unwrap_err();
        assert!(text.contains("several cameras"), "{text}");
        assert!(text.contains("i2c@0") && text.contains("i2c@1") && !text.contains("Virtual2"));
        for unknown in ["imx477", "17", ""] {
            let text = means(unknown).unwrap_err();
            assert!(
                text.contains(&format!("no camera named '{unknown}'")),
                "{text}"
            );
            assert!(
                text.contains("Virtual2 (2)") && text.contains("C922"),
                "{text}"
            );
        }
        assert!(matches!(select("0", &[]), Err(CameraError::NoCamera)));
    }
}
