//! Which format, size and rate: the peer's caps against the camera's offer.

use crate::camera::{CameraDevice, CameraError, Size, StreamConfig, StreamOffer, StreamRole};
use crate::video::caps::{Choice, Offer};
use crate::video::format::media;

/// What the source is for. (A camera's roles differ in what it chooses by itself.)
pub const ROLE: StreamRole = StreamRole::VideoRecording;

pub fn offer(device: &dyn CameraDevice, paced: bool) -> Result<Offer, CameraError> {
    let no_stream = |role| CameraError::NoStream {
        camera: device.id().to_owned(),
        role,
    };
    let Some(StreamOffer { default, formats }) = device.offer(&[ROLE])?.pop() else {
        return Err(no_stream(ROLE.to_string()));
    };
    if !formats
        .iter()
        .any(|offered| media(offered.format).is_some())
    {
        return Err(no_stream(format!(
            "{ROLE} in a format that GStreamer knows"
        )));
    }
    Ok(Offer {
        default,
        formats,
        durations: device.frame_durations(),
        paced,
    })
}

/// What to ask the camera for.
pub fn wanted(offer: &Offer, choice: &Choice) -> StreamConfig {
    StreamConfig {
        format: choice.format,
        size: choice.size,
        stride: 0,
        frame_size: 0,
        ..offer.default.clone()
    }
}

/// The first choice that the camera will deliver as it is: cameras adjust some of the sizes that they offer.
pub fn first_valid(
    device: &dyn CameraDevice,
    offer: &Offer,
    choices: &[Choice],
) -> Result<Choice, CameraError> {
    let valid = |choice: &Choice, size: Size| {
        let wanted = StreamConfig {
            size,
            ..wanted(offer, choice)
        };
        let agreed = device.validate(&[ROLE], &[wanted])?;
        let kept = |agreed: &StreamConfig| agreed.size == size && agreed.format == choice.format;
        Ok::<_, CameraError>(agreed.first().is_some_and(kept))
    };
    for choice in choices {
        if valid(choice, choice.size)? {
            return Ok(choice.clone());
        }
    }
    let Some(choice) = choices.first() else {
        return Err(CameraError::NoStream {
            camera: device.id().to_owned(),
            role: ROLE.to_string(),
        });
    };
    let offered = offer
        .formats
        .iter()
        .filter(|offered| offered.format == choice.format);
    let mut sizes: Vec<Size> = offered.flat_map(|offered| offered.sizes.clone()).collect();
    sizes.retain(|size| valid(choice, *size).unwrap_or(false));
    Err(CameraError::SizeAdjusted {
        camera: device.id().to_owned(),
        format: choice.format,
        size: choice.size,
        sizes,
    })
}
