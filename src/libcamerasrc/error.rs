//! What goes wrong with a camera, as bus messages. The text of each says what to do next; see [`crate::camera::CameraError`].

use crate::camera::CameraError;

pub fn message(error: &CameraError) -> gst::ErrorMessage {
    let text = error.to_string();
    match error {
        CameraError::Unknown { .. }
        | CameraError::Ambiguous { .. }
        | CameraError::NoCamera
        | CameraError::Gone { .. } => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{text}"))
        }
        CameraError::Busy { .. } | CameraError::ForeignManager => {
            gst::error_msg!(gst::ResourceError::Busy, ("{text}"))
        }
        CameraError::NoStream { .. }
        | CameraError::SizeAdjusted { .. }
        | CameraError::FrameRate { .. }
        | CameraError::RawLines { .. }
        | CameraError::SensorConfig { .. } => {
            gst::error_msg!(gst::ResourceError::Settings, ("{text}"))
        }
        CameraError::Allocation { .. } => {
            gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{text}"))
        }
        CameraError::Call { .. } | CameraError::AllCancelled => {
            gst::error_msg!(gst::ResourceError::Failed, ("{text}"))
        }
        CameraError::Panicked { .. } => {
            gst::error_msg!(gst::LibraryError::Failed, ("{text}"))
        }
    }
}

pub fn stall_warning(
    source: &super::LibcameraSrc,
    timeout: Option<gst::ClockTime>,
) -> gst::Message {
    let timeout = timeout.unwrap_or_default();
    let text = format!(
        "the camera has completed no frame for {timeout}; if it does not go on by itself, see `dmesg` for its driver, and restart the stream"
    );
    let details = gst::Structure::builder("libcamerasrc-stalled")
        .field("stall-timeout", timeout.nseconds())
        .build();
    gst::message::Warning::builder(gst::ResourceError::Read, &text)
        .details(details)
        .src(source)
        .build()
}

/// Not a warning: a consumer that is slower than the camera causes it all the time, and `outbox` and `copy-threshold` say what follows.
pub fn starvation(source: &super::LibcameraSrc, pad: &str) -> gst::Message {
    let details = gst::Structure::builder("libcamerasrc-starved")
        .field("pad", pad)
        .build();
    gst::message::Element::builder(details).src(source).build()
}
