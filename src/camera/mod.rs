//! What a camera is: the vocabulary and the traits that every backend speaks.

pub mod control;
pub mod device;
pub mod error;
pub mod format;
pub mod frame;
pub mod orientation;
pub mod selection;
pub mod sensor_mode;

pub use control::{
    ControlDefinition, ControlId, ControlInfo, ControlKind, ControlValue, Controls, Rectangle,
    Scalar,
};
pub use device::{
    CameraDescription, CameraDevice, CameraEvents, CameraInfo, CameraSystem, CameraWatcher,
    Location, RequestQueue, Start, StreamOffer,
};
pub use error::CameraError;
pub use format::{
    ColorSpace, PixelFormat, SensorConfig, Size, SizeRange, StreamConfig, StreamFormat, StreamRole,
};
pub use frame::{
    CompletedFrame, Completion, CompletionStatus, FrameId, FrameLayout, FrameSet, FrameStatus,
    MAX_STREAMS, Plane, RequestId, SENSOR_CLOCK,
};
pub use orientation::Orientation;
pub use sensor_mode::SensorMode;
