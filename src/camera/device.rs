//! The traits that a backend implements.

use super::{
    control::{ControlInfo, ControlValue, Controls},
    error::CameraError,
    format::{SensorConfig, StreamConfig, StreamFormat, StreamRole},
    frame::{Completion, FrameLayout, FrameSet, RequestId},
    orientation::Orientation,
    sensor_mode::{SensorMode, sensor_modes},
};
use crate::sync::Arc;
use std::fmt;

/// Which way a camera looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// On the side of the display.
    Front,
    Back,
    /// At the end of a cable.
    External,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// Unique and stable; what `camera-name` takes.
    pub id: String,
    pub model: Option<String>,
    pub location: Option<Location>,
}

/// What is known of a camera that nobody has taken.
#[derive(Clone, Debug)]
pub struct CameraDescription {
    pub info: CameraInfo,
    /// By the names that libcamera gives them: `PixelArraySize`.
    pub properties: Vec<(String, ControlValue)>,
    /// For the first role that it has of video recording, view finder, still capture and raw.
    pub offer: StreamOffer,
    /// As [`CameraDevice::frame_durations`].
    pub frame_durations: Option<(u64, u64)>,
}

/// What a camera offers for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOffer {
    /// What the camera would choose by itself.
    pub default: StreamConfig,
    /// In the camera's own order.
    pub formats: Vec<StreamFormat>,
}

/// A source of cameras.
pub trait CameraSystem: fmt::Debug + Send + Sync {
    /// The cameras that are here now, the default one first.
    fn cameras(&self) -> Result<Vec<CameraInfo>, CameraError>;
    fn describe(&self, id: &str) -> Result<CameraDescription, CameraError>;
    /// Takes a camera for this process alone.
    fn acquire(&self, id: &str) -> Result<Box<dyn CameraDevice>, CameraError>;
    /// Tells of cameras that come and go from now on, until the result is dropped; a call that has begun may still be under way then.
    fn watch(&self, watcher: Arc<dyn CameraWatcher>) -> Box<dyn fmt::Debug + Send>;
}

/// Is told of cameras that come and go, in a thread of the system's that must not be kept waiting. Asking the system for a camera from there may
/// hang.
pub trait CameraWatcher: Send + Sync {
    fn added(&self, id: &str);
    fn removed(&self, id: &str);
}

/// A camera that is ours. Dropping it stops it and gives it back.
///
/// Streaming goes: `configure`, then `export_frames` or `import_frames` for each stream, then `start`. A stream is named by its place among the
/// roles.
pub trait CameraDevice: fmt::Debug + Send {
    fn id(&self) -> &str;
    /// What the camera offers for streams of these roles at once.
    fn offer(&self, roles: &[StreamRole]) -> Result<Vec<StreamOffer>, CameraError>;
    /// How its sensor can be read out. None where the camera has no raw frames: then it does not say.
    fn sensor_modes(&self) -> Vec<SensorMode> {
        let offers = self.offer(&[StreamRole::Raw]).unwrap_or_default();
        offers.first().map(sensor_modes).unwrap_or_default()
    }
    /// Shortest and longest frame duration in microseconds, where the camera can say.
    fn frame_durations(&self) -> Option<(u64, u64)>;
    /// The controls that the camera has. They may differ after it was configured.
    fn controls(&self) -> Vec<ControlInfo>;
    /// Holds for each validation and configuration that follows. A camera that cannot read its sensor out like this refuses those.
    fn set_sensor_config(&mut self, config: Option<SensorConfig>);
    /// How pictures are to lie; holds for each validation and configuration that follows.
    fn set_orientation(&mut self, wanted: Orientation);
    /// How they lie in the last configuration.
    fn orientation(&self) -> Orientation;
    /// What the camera would make of `wanted`, one for each role. Changes nothing.
    fn validate(
        &self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError>;
    fn configure(
        &mut self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError>;
    /// Frames of the camera's own making, as it can share them.
    fn export_frames(&mut self, stream: usize) -> Result<Vec<FrameLayout>, CameraError>;
    /// Whether it fills frames of any memory, because it writes them itself. Most cameras need DMABUFs.
    fn fills_any_memory(&self) -> bool;
    /// Frames of ours that the camera is to fill.
    fn import_frames(&mut self, stream: usize, frames: &[FrameLayout]) -> Result<(), CameraError>;
    fn start(
        &mut self,
        start: &Start,
        events: Arc<dyn CameraEvents>,
    ) -> Result<Box<dyn RequestQueue>, CameraError>;
    /// Returns when every request has been given back through the events. Harmless when the camera does not stream.
    fn stop(&mut self);
}

/// How a camera is to be started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// Requests, all of them empty and with us.
    pub requests: u32,
    /// In microseconds. Held exactly where the camera can.
    pub frame_duration: Option<u64>,
    /// From the first frame on, where the camera can. What it lacks is left out.
    pub controls: Controls,
}

/// A camera that streams takes requests here. It is dropped after [`CameraDevice::stop`].
pub trait RequestQueue: Send {
    /// Queues a request that rests. `same_frames` says that it carries the frames of its last round still, and is to keep them.
    /// Of `controls`, those that libcamera does not define, or defines otherwise, are left out.
    fn queue(
        &mut self,
        request: RequestId,
        frames: &FrameSet,
        same_frames: bool,
        controls: Option<&Controls>,
    ) -> Result<(), CameraError>;
}

/// What a camera tells, from a thread of its own, which must not be kept waiting.
pub trait CameraEvents: Send + Sync {
    fn completed(&self, completion: Completion);
    /// Whether what the camera tells of a frame is to be reported now: reading it all costs allocations.
    fn wants_metadata(&self) -> bool;
    /// What the camera has told of the frame that is completed next. `read` writes it over what it finds, which may be that of an earlier frame: so its
    /// memory is used again.
    fn reported(&self, read: &mut dyn FnMut(&mut Controls));
    /// The camera is gone, or has failed in another way: requests that it holds may never complete.
    fn failed(&self, error: CameraError);
}
