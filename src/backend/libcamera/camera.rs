//! A camera: as a handle, and as ours.

use super::{
    configuration::Configuration,
    control_value::ControlList,
    controls,
    manager::CameraManager,
    signals::{Receiver, Run},
};
use crate::camera::{
    CameraError, CameraInfo, ControlId, ControlInfo, ControlValue, Location, Scalar, Start,
    StreamRole,
};
use crate::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use libcamera_sys as sys;
use std::{
    ffi::CStr,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    ptr::NonNull,
    thread,
    time::{Duration, Instant},
};

/// A camera that is known, not yet ours. It keeps the manager.
#[derive(Debug)]
pub struct Camera {
    raw: NonNull<sys::libcamera_camera_t>,
    manager: CameraManager,
}

// SAFETY: `raw` is a shared pointer of our own to an object that libcamera lets any thread use, apart from the calls that `Acquired` serialises.
unsafe impl Send for Camera {}
// SAFETY: as above.
unsafe impl Sync for Camera {}

impl Camera {
    /// `raw` becomes this handle's own; it came from `manager`.
    pub(super) fn new(raw: NonNull<sys::libcamera_camera_t>, manager: CameraManager) -> Self {
        Self { raw, manager }
    }

    pub fn id(&self) -> String {
        // SAFETY: the id lives as long as the camera.
        unsafe { CStr::from_ptr(sys::libcamera_camera_id(self.raw.as_ptr())) }
            .to_string_lossy()
            .into_owned()
    }

    fn property(&self, id: u32) -> Option<ControlValue> {
        // SAFETY: the properties live as long as the camera.
        unsafe { controls::value(sys::libcamera_camera_properties(self.raw.as_ptr()), id) }
    }

    pub fn info(&self) -> CameraInfo {
        CameraInfo {
            id: self.id(),
            model: match self.property(sys::MODEL) {
                Some(ControlValue::Text(model)) => Some(model),
                _ => None,
            },
            location: match self.property(sys::LOCATION) {
                Some(ControlValue::One(Scalar::I32(0))) => Some(Location::Front),
                Some(ControlValue::One(Scalar::I32(1))) => Some(Location::Back),
                Some(ControlValue::One(Scalar::I32(2))) => Some(Location::External),
                _ => None,
            },
        }
    }

    /// All of them, by name.
    pub fn properties(&self) -> Vec<(String, ControlValue)> {
        // SAFETY: the properties live as long as the camera.
        let all = unsafe { controls::all(sys::libcamera_camera_properties(self.raw.as_ptr())) };
        let named = |(id, value): (ControlId, ControlValue)| Some((property_name(id)?, value));
        all.into_iter().filter_map(named).collect()
    }

    /// `None` when the camera cannot have streams of these roles at once.
    pub fn generate_configuration(&self, roles: &[StreamRole]) -> Option<Configuration> {
        Configuration::generate(self.raw.as_ptr(), roles)
    }

    pub fn frame_durations(&self) -> Option<(u64, u64)> {
        // SAFETY: the controls live as long as the camera.
        unsafe {
            controls::limits(
                sys::libcamera_camera_controls(self.raw.as_ptr()),
                sys::FRAME_DURATION_LIMITS,
            )
        }
    }

    /// The device files that it is made of; none for a camera that is not hardware.
    fn devices(&self) -> Vec<PathBuf> {
        let Some(ControlValue::List(numbers)) = self.property(sys::SYSTEM_DEVICES) else {
            return Vec::new();
        };
        let path = |number| {
            let Scalar::I64(number) = number else {
                return None;
            };
            let number = number.cast_unsigned();
            let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
            let event = fs::read_to_string(format!("/sys/dev/char/{major}:{minor}/uevent")).ok()?;
            let name = event
                .lines()
                .find_map(|line| line.strip_prefix("DEVNAME="))?;
            Some(Path::new("/dev").join(name))
        };
        numbers.into_iter().filter_map(path).collect()
    }

    pub fn acquire(self) -> Result<Arc<Acquired>, CameraError> {
        let id = self.id();
        // First, or it would not hear that the camera goes meanwhile, and serve one that comes in its place.
        // SAFETY: the handle is this camera's.
        let receiver = unsafe { self.manager.receiver(&id, self.raw.as_ptr()) };
        // SAFETY: acquire may be called from any thread.
        match unsafe { sys::libcamera_camera_acquire(self.raw.as_ptr()) } {
            0 => Ok(Arc::new(Acquired {
                receiver,
                devices: self.devices(),
                camera: self,
                id,
                runs: Mutex::default(),
                abandoned: AtomicBool::new(false),
            })),
            error if -error == libc::EBUSY => Err(CameraError::Busy { camera: id }),
            error if -error == libc::ENODEV => {
                receiver.lose();
                Err(CameraError::Gone { camera: id })
            }
            error => Err(CameraError::Call {
                camera: id,
                call: "acquire",
                reason: io::Error::from_raw_os_error(-error),
            }),
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and the manager (a field, dropped after this) still lives.
        unsafe { sys::libcamera_camera_destroy(self.raw.as_ptr()) };
        let _ = &self.manager;
    }
}

/// A camera that is ours until the last handle goes.
pub struct Acquired {
    camera: Camera,
    id: String,
    receiver: Arc<Receiver>,
    devices: Vec<PathBuf>,
    /// The lock serialises configure, start, stop and the queueing of requests, which libcamera does not. Callbacks never take it.
    runs: Mutex<Runs>,
    abandoned: AtomicBool,
}

/// Each start of the camera is a run of its own, so that what belongs to an earlier one cannot stop a later one.
#[derive(Debug, Default)]
struct Runs {
    count: u64,
    running: bool,
}

/// Names a start of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(u64);

impl std::fmt::Debug for Acquired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acquired").field("id", &self.id).finish()
    }
}

impl Acquired {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn property(&self, id: u32) -> Option<ControlValue> {
        self.camera.property(id)
    }

    /// The pipeline handler that it has, where libcamera says so.
    pub(super) fn handler(&self) -> Option<String> {
        let mut properties = self.camera.properties().into_iter();
        properties.find_map(|(name, value)| match value {
            ControlValue::Text(handler) if name == "PipelineHandler" => Some(handler),
            _ => None,
        })
    }

    pub(super) fn raw(&self) -> *mut sys::libcamera_camera_t {
        self.camera.raw.as_ptr()
    }

    /// `None` when the camera cannot have streams of these roles at once.
    pub fn generate_configuration(&self, roles: &[StreamRole]) -> Option<Configuration> {
        self.camera.generate_configuration(roles)
    }

    pub fn configure(&self, configuration: &mut Configuration) -> Result<(), CameraError> {
        let _serialised = self.runs.lock();
        // SAFETY: both objects live; the lock serialises the call.
        let result = unsafe { sys::libcamera_camera_configure(self.raw(), configuration.raw()) };
        self.check("configure", result)
    }

    pub fn frame_durations(&self) -> Option<(u64, u64)> {
        self.camera.frame_durations()
    }

    pub fn controls(&self) -> Vec<ControlInfo> {
        // SAFETY: the controls live as long as the camera.
        unsafe { controls::infos(sys::libcamera_camera_controls(self.raw())) }
    }

    /// Starts the camera, whose callbacks go to `run` until [`Self::stop`].
    pub fn start(&self, start: &Start, run: Run) -> Result<RunId, CameraError> {
        let mut runs = self.runs.lock();
        if runs.running {
            self.check("start a camera that runs", -libc::EBUSY)?;
        }
        let mut controls = start.controls.clone();
        let limits = ControlId(sys::FRAME_DURATION_LIMITS);
        let duration = start
            .frame_duration
            .and_then(|duration| i64::try_from(duration).ok());
        // Limits that somebody has set go before the frame rate of the caps.
        if let Some(duration) = duration.filter(|_| controls.get(limits).is_none()) {
            controls.set(limits, ControlValue::List(vec![Scalar::I64(duration); 2]));
        }
        // SAFETY: the control map lives as long as the camera.
        let controls =
            unsafe { ControlList::new(sys::libcamera_camera_controls(self.raw()), &controls) };
        let list = controls.as_ref().map_or(std::ptr::null(), ControlList::raw);
        self.receiver.plug(Some(run));
        // SAFETY: the list is null or lives for the call; the lock serialises the call.
        let result = unsafe { sys::libcamera_camera_start(self.raw(), list) };
        if result != 0 {
            self.receiver.plug(None);
        }
        self.check("start", result)?;
        runs.count += 1;
        runs.running = true;
        Ok(RunId(runs.count))
    }

    /// Whether it was unplugged. The kernel knows first, libcamera a little later.
    pub fn is_gone(&self) -> bool {
        self.receiver.is_gone() || self.lacks_a_device()
    }

    /// Asks the drivers: they refuse to be opened from the moment when the device is gone, which its files outlive a little.
    fn lacks_a_device(&self) -> bool {
        let gone = |device: &PathBuf| {
            let opened = fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(device);
            let error = opened.err().and_then(|error| error.raw_os_error());
            matches!(error, Some(libc::ENODEV | libc::ENXIO | libc::ENOENT))
        };
        self.devices.iter().any(gone)
    }

    /// Returns when every request has been signalled. No callback begins after that.
    pub fn stop(&self) {
        self.stop_locked(&mut self.runs.lock());
    }

    /// Stops the camera if it is still in that run.
    pub fn stop_run(&self, run: RunId) {
        let mut runs = self.runs.lock();
        if runs.count == run.0 {
            self.stop_locked(&mut runs);
        }
    }

    fn stop_locked(&self, runs: &mut Runs) {
        if std::mem::take(&mut runs.running) {
            if self.may_be_stopped() {
                // SAFETY: the lock serialises the call. Its result says only that a camera that is gone was not running any more.
                unsafe { sys::libcamera_camera_stop(self.raw()) };
            } else {
                self.abandoned.store(true, Ordering::Relaxed);
            }
            self.receiver.plug(None);
        }
    }

    /// libcamera aborts the process when it stops a camera whose driver keeps the frames, as the driver of an unplugged one does. It never does that
    /// once it knows that the camera is gone, which it learns a little later than the kernel.
    fn may_be_stopped(&self) -> bool {
        const NOTICED: Duration = Duration::from_secs(1);
        let since = Instant::now();
        while !self.receiver.is_gone() && self.lacks_a_device() {
            if since.elapsed() > NOTICED {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// It could not be stopped, so libcamera has its requests for good: they, their frames and the camera must stay.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Does something that the camera must not be stopped in the middle of; an error if it is not in that run.
    pub fn in_run(
        &self,
        run: Option<RunId>,
        body: impl FnOnce() -> Result<(), CameraError>,
    ) -> Result<(), CameraError> {
        let runs = self.runs.lock();
        if !runs.running || run != Some(RunId(runs.count)) {
            return self.check(
                "queue a request of a camera that was stopped",
                -libc::EACCES,
            );
        }
        body()
    }

    pub(super) fn check(&self, call: &'static str, result: i32) -> Result<(), CameraError> {
        match result {
            0 => Ok(()),
            error if -error == libc::ENODEV => Err(CameraError::Gone {
                camera: self.id.clone(),
            }),
            error => Err(CameraError::Call {
                camera: self.id.clone(),
                call,
                reason: io::Error::from_raw_os_error(error.abs()),
            }),
        }
    }
}

impl Drop for Acquired {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: requests and frame buffers hold this object, so none is left; the camera is stopped.
        unsafe { sys::libcamera_camera_release(self.raw()) };
    }
}

/// As libcamera spells it. `None` for one that it does not define.
fn property_name(id: ControlId) -> Option<String> {
    // SAFETY: any number may be asked for; the name is a constant of libcamera's.
    unsafe {
        let name = sys::libcamera_property_name_from_id(id.0);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
