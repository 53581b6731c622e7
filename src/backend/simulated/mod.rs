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

use crate::camera::{
    CameraDescription, CameraDevice, CameraError, CameraInfo, CameraSystem, CameraWatcher,
    ControlInfo, Location, Orientation, Size,
};
use crate::sync::{Arc, LazyLock, Mutex};
use std::{fmt, time::Duration};

pub use script::{Fault, Script};

/// A camera to simulate.
#[derive(Clone, Debug)]
pub struct Spec {
    pub id: String,
    /// Streams that it may have at once.
    pub streams: usize,
    /// The smallest first; the last is its sensor's.
    pub sizes: Vec<Size>,
    /// From one frame to the next; zero delivers as fast as requests come.
    pub interval: Duration,
    /// Frames of each stream.
    pub frames: u32,
    /// Bytes by which a line is longer than its pixels.
    pub padding: u32,
    /// It says, once it is configured so, that frames of the largest size take twice as long.
    pub slow_at_largest: bool,
    /// How pictures lie that it does not turn.
    pub mounted: Orientation,
    /// It can turn them by half, and mirror them.
    pub flips: bool,
    /// Sizes of the raw frames of its sensor, of ten bits each, and how long a frame takes at least. None has no raw frames.
    pub modes: Vec<(Size, Duration)>,
    /// What it can be told. It reports each of them as it was last told.
    pub controls: Vec<ControlInfo>,
}

impl Default for Spec {
    /// One stream of four frames, as fast as they are asked for.
    fn default() -> Self {
        Self {
            id: "simulated".to_owned(),
            streams: 1,
            sizes: vec![Size::new(64, 64), Size::new(320, 240), Size::new(640, 480)],
            interval: Duration::ZERO,
            frames: 4,
            padding: 0,
            slow_at_largest: false,
            mounted: Orientation::UPRIGHT,
            flips: false,
            modes: Vec::new(),
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
static WATCHERS: LazyLock<Mutex<Vec<Arc<dyn CameraWatcher>>>> = LazyLock::new(Mutex::default);

/// Somebody is told until this is dropped.
struct Watch(Arc<dyn CameraWatcher>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watchers = &mut WATCHERS.lock();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.0));
    }
}

/// Plugs a camera in, and gives the script by which it is told what to do. One of the same name is replaced.
pub fn plug(spec: Spec) -> Arc<Script> {
    let script = Arc::new(Script::default());
    let camera = Camera {
        spec,
        script: script.clone(),
        taken: Mutex::new(false),
    };
    let id = camera.spec.id.clone();
    unplug(&id);
    PLUGGED.lock().push(Arc::new(camera));
    tell(|watcher| watcher.added(&id));
    script
}

/// Takes a camera off the list. One that is in use goes on until its script makes it vanish.
pub fn unplug(id: &str) {
    let was_there = {
        let mut plugged = PLUGGED.lock();
        let before = plugged.len();
        plugged.retain(|camera| camera.spec.id != id);
        plugged.len() < before
    };
    if was_there {
        tell(|watcher| watcher.removed(id));
    }
}

fn tell(what: impl Fn(&dyn CameraWatcher)) {
    let watchers = WATCHERS.lock().clone();
    watchers.iter().for_each(|watcher| what(&**watcher));
}

fn find(id: &str) -> Result<Arc<Camera>, CameraError> {
    let plugged = PLUGGED.lock();
    let camera = plugged.iter().find(|camera| camera.spec.id == id);
    camera.cloned().ok_or_else(|| CameraError::Unknown {
        wanted: id.to_owned(),
        known: plugged
            .iter()
            .map(|camera| camera.spec.id.clone())
            .collect(),
    })
}

fn info(camera: &Camera) -> CameraInfo {
    CameraInfo {
        id: camera.spec.id.clone(),
        model: Some("Simulated Camera".to_owned()),
        location: Some(Location::External),
    }
}

/// The cameras that are plugged in.
#[derive(Debug, Default)]
pub struct Simulated;

impl CameraSystem for Simulated {
    fn cameras(&self) -> Result<Vec<CameraInfo>, CameraError> {
        Ok(PLUGGED.lock().iter().map(|camera| info(camera)).collect())
    }

    fn describe(&self, id: &str) -> Result<CameraDescription, CameraError> {
        let camera = find(id)?;
        if camera.script.is_bad() {
            return Err(CameraError::NoStream {
                camera: id.to_owned(),
                role: "any role".to_owned(),
            });
        }
        Ok(CameraDescription {
            info: info(&camera),
            properties: Vec::new(),
            offer: device::offer(&camera.spec),
            frame_durations: device::frame_durations(&camera.spec, None),
        })
    }

    fn acquire(&self, id: &str) -> Result<Box<dyn CameraDevice>, CameraError> {
        let camera = find(id)?;
        if std::mem::replace(&mut *camera.taken.lock(), true) {
            return Err(CameraError::Busy {
                camera: id.to_owned(),
            });
        }
        Ok(Box::new(device::Device::new(camera)))
    }

    fn watch(&self, watcher: Arc<dyn CameraWatcher>) -> Box<dyn fmt::Debug + Send> {
        WATCHERS.lock().push(watcher.clone());
        Box::new(Watch(watcher))
    }
}
