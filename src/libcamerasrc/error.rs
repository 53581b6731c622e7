//! A camera's errors as bus messages. The text of each says what to do next; see [`crate::camera::CameraError`].

use crate::camera::CameraError;

pub fn message(error: &CameraError) -> gst::ErrorMessage {
    let text = error.to_string();
    match error {
        CameraError::Unknown { .. } | CameraError::NoCamera | CameraError::Gone { .. } => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{text}"))
        }
        CameraError::Busy { .. } | CameraError::ForeignManager => {
            gst::error_msg!(gst::ResourceError::Busy, ("{text}"))
        }
        CameraError::NoStream { .. } | CameraError::SizeAdjusted { .. } => {
            gst::error_msg!(gst::ResourceError::Settings, ("{text}"))
        }
        CameraError::Allocation { .. } => {
            gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{text}"))
        }
        CameraError::Call { .. } | CameraError::AllCancelled => {
            gst::error_msg!(gst::ResourceError::Failed, ("{text}"))
        }
    }
}
