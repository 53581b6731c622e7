//! Cameras in the process that do what a test tells them to: above all what real ones cannot be told, such as to stall, to fail or to vanish.
//!
//! Everything else is as a real camera does it, which the conformance suite checks over both backends: exclusive acquisition, completions in the
//! camera's own thread, requests that all come back before `stop()` returns. Frames have the test picture of [`picture`].
//!
//! A release plugin does not have this: the element knows simulated cameras only with the feature `simulated`.

mod device;
pub mod picture;
mod script;
mod sensor;

use crate::camera::{CameraDevice, CameraError, CameraInfo, CameraSystem, ControlInfo};
use crate::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

pub use script::{Fault, Script};

/// A camera to simulate.
#[derive(Clone, Debug)]
pub struct Spec {
    pub id: String,
    /// Streams that it may have at once.
    pub streams: usize,
    /// From one frame to the next; zero delivers as fast as requests come.
    pub interval: Duration,
    /// Frames of each stream.
    pub frames: u32,
    /// Bytes by which a line is longer than its pixels.
    pub padding: u32,
    /// It says, once it is configured so, that frames of the largest size take twice as long.
    pub slow_at_largest: bool,
    /// What it can be told. It reports each of them as it was last told.
    pub controls: Vec<ControlInfo>,
}

impl Default for Spec {
    /// One stream of four frames, as fast as they are asked for.
    fn default() -> Self {
        Self {
            id: "simulated".to_owned(),
            streams: 1,
            interval: Duration::ZERO,
            frames: 4,
            padding: 0,
            slow_at_largest: false,
            controls: Vec::new(),
        }
    }
}

/// A simulated camera that is plugged in.
#[derive(Debug)]
struct Camera {
    spec: Spec,
    script: Arc<Script>,
    taken: Mutex<bool>,
}

static PLUGGED: LazyLock<Mutex<Vec<Arc<Camera>>>> = LazyLock::new(Mutex::default);

/// Plugs a camera in, and gives the script by which it is told what to do. One of the same name is replaced.
pub fn plug(spec: Spec) -> Arc<Script> {
    let script = Arc::new(Script::default());
    let camera = Camera {
        spec,
        script: script.clone(),
        taken: Mutex::new(false),
    };
    let mut plugged = PLUGGED.lock();
    plugged.retain(|other| other.spec.id != camera.spec.id);
    plugged.push(Arc::new(camera));
    script
}

/// Takes a camera off the list. One that is in use goes on until its script makes it vanish.
pub fn unplug(id: &str) {
    PLUGGED.lock().retain(|camera| camera.spec.id != id);
}

/// The cameras that are plugged in.
#[derive(Debug, Default)]
pub struct Simulated;

impl CameraSystem for Simulated {
    fn cameras(&self) -> Result<Vec<CameraInfo>, CameraError> {
        let info = |camera: &Arc<Camera>| CameraInfo {
            id: camera.spec.id.clone(),
            model: Some("Simulated Camera".to_owned()),
        };
        Ok(PLUGGED.lock().iter().map(info).collect())
    }

    fn acquire(&self, id: &str) -> Result<Box<dyn CameraDevice>, CameraError> {
        let camera = PLUGGED
            .lock()
            .iter()
            .find(|camera| camera.spec.id == id)
            .cloned();
        let Some(camera) = camera else {
            return Err(CameraError::Unknown {
                wanted: id.to_owned(),
                known: self
                    .cameras()?
                    .into_iter()
                    .map(|camera| camera.id)
                    .collect(),
            });
        };
        if std::mem::replace(&mut *camera.taken.lock(), true) {
            return Err(CameraError::Busy {
                camera: id.to_owned(),
            });
        }
        Ok(Box::new(device::Device::new(camera)))
    }
}
