//! What a camera is: the vocabulary and the traits that every backend speaks.

pub mod device;
pub mod error;
pub mod format;
pub mod frame;

pub use device::{CameraDevice, CameraEvents, CameraInfo, CameraSystem, RequestQueue, Streaming};
pub use error::CameraError;
pub use format::{
    ColorSpace, PixelFormat, Size, SizeRange, StreamConfig, StreamFormat, StreamRole,
};
pub use frame::{
    Completion, CompletionStatus, FrameId, FrameLayout, FrameStatus, Plane, RequestId,
};
