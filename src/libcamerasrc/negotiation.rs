//! Which format, size and rate: the peer's caps against the camera's offer.

use crate::camera::{CameraDevice, CameraError, Size, StreamConfig, StreamOffer, StreamRole};
use crate::video::caps::{Choice, Offer};
use crate::video::format::media;

/// What the source is for. (A camera's roles differ in what it chooses by itself.)
pub const ROLE: StreamRole = StreamRole::VideoRecording;

/// What the camera offers, not paced.
pub fn offer(device: &dyn CameraDevice) -> Result<Offer, CameraError> {
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
        paced: false,
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

/// What the camera makes of a choice; `None` if it would deliver another size or format. Cameras adjust some of the sizes that they offer.
pub fn validate(
    device: &dyn CameraDevice,
    offer: &Offer,
    choice: &Choice,
) -> Result<Option<StreamConfig>, CameraError> {
    let agreed = device.validate(&[ROLE], &[wanted(offer, choice)])?;
    let kept = |agreed: &StreamConfig| agreed.size == choice.size && agreed.format == choice.format;
    Ok(agreed.into_iter().next().filter(kept))
}

/// The error of a choice that the camera would adjust. It names the sizes that it would keep.
pub fn adjusted(device: &dyn CameraDevice, offer: &Offer, choice: &Choice) -> CameraError {
    let offered = offer
        .formats
        .iter()
        .filter(|offered| offered.format == choice.format);
    let mut sizes: Vec<Size> = offered.flat_map(|offered| offered.sizes.clone()).collect();
    sizes.retain(|size| {
        let choice = Choice {
            size: *size,
            ..choice.clone()
        };
        matches!(validate(device, offer, &choice), Ok(Some(_)))
    });
    CameraError::SizeAdjusted {
        camera: device.id().to_owned(),
        format: choice.format,
        size: choice.size,
        sizes,
    }
}
