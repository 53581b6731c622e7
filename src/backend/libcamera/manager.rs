//! The process's one camera manager.

use super::{
    camera::Camera,
    hotplug::{Watch, Watchers},
    signals::Receiver,
};
use crate::camera::{CameraError, CameraWatcher};
use crate::sync::{Arc, Mutex};
use libcamera_sys as sys;
use std::{
    ffi::{CStr, CString},
    io,
    ptr::NonNull,
    thread,
    time::Duration,
};

/// libcamera's manager and how many handles there are to it.
struct Shared {
    raw: NonNull<sys::libcamera_camera_manager_t>,
    handles: usize,
    /// Of all cameras that were ever acquired. They go after the manager.
    receivers: Vec<Arc<Receiver>>,
    /// These too.
    watchers: Arc<Watchers>,
}

// SAFETY: the manager may be used from any thread; what needs serialising (creation, start, destruction) happens under `SHARED`'s lock.
unsafe impl Send for Shared {}

/// Held while the manager is created or destroyed, so that a second one is never created beside one that is still going away. Destruction
/// joins libcamera's thread: a callback in that thread must not drop the last handle. None does: callbacks own no handle (`signals`).
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// A handle to the process's camera manager, which lives as long as there is one.
pub struct CameraManager {
    raw: NonNull<sys::libcamera_camera_manager_t>,
}

// SAFETY: see `Shared`; the methods below are those that libcamera allows from any thread.
unsafe impl Send for CameraManager {}
// SAFETY: as above.
unsafe impl Sync for CameraManager {}

impl std::fmt::Debug for CameraManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CameraManager")
    }
}

impl CameraManager {
    /// A handle to the manager, which is created and started when there is none.
    pub fn obtain() -> Result<Self, CameraError> {
        // Upstream's device provider holds a manager only while it probes: worth a short wait.
        const TRIES: u32 = 20;
        for _ in 0..TRIES {
            match Self::try_obtain() {
                Err(CameraError::ForeignManager) => thread::sleep(Duration::from_millis(10)),
                done => return done,
            }
        }
        Err(CameraError::ForeignManager)
    }

    fn try_obtain() -> Result<Self, CameraError> {
        let mut shared = SHARED.lock();
        if let Some(shared) = shared.as_mut() {
            shared.handles += 1;
            return Ok(Self { raw: shared.raw });
        }
        if foreign_manager_lives() {
            return Err(CameraError::ForeignManager);
        }
        // SAFETY: no manager exists: ours is None under the lock, and nobody else has one.
        let raw = unsafe { sys::libcamera_camera_manager_create() };
        let raw =
            NonNull::new(raw).ok_or_else(|| failed("creating the camera manager", libc::ENOMEM))?;
        // SAFETY: `raw` was just created and is not started.
        let result = unsafe { sys::libcamera_camera_manager_start(raw.as_ptr()) };
        if result != 0 {
            // SAFETY: nobody has seen `raw` yet.
            unsafe { sys::libcamera_camera_manager_destroy(raw.as_ptr()) };
            return Err(failed("starting the camera manager", -result));
        }
        let watchers = Arc::<Watchers>::default();
        // SAFETY: `shared` keeps the watchers until the manager is destroyed.
        unsafe { watchers.connect(raw.as_ptr()) };
        *shared = Some(Shared {
            raw,
            handles: 1,
            receivers: Vec::new(),
            watchers,
        });
        Ok(Self { raw })
    }

    pub fn cameras(&self) -> Vec<Camera> {
        // SAFETY: the manager lives as long as `self`; the list is ours to destroy, and each camera in it is a handle of our own.
        unsafe {
            let list = sys::libcamera_camera_manager_cameras(self.raw.as_ptr());
            let count = sys::libcamera_camera_list_size(list);
            let cameras = (0..count)
                .filter_map(|index| NonNull::new(sys::libcamera_camera_list_get(list, index)))
                .map(|raw| Camera::new(raw, self.clone()))
                .collect();
            sys::libcamera_camera_list_destroy(list);
            cameras
        }
    }

    /// Has somebody told of cameras that come and go.
    pub fn watch(&self, watcher: Arc<dyn CameraWatcher>) -> Watch {
        let watchers = SHARED.lock().as_ref().map(|shared| shared.watchers.clone());
        Watch::new(watchers.unwrap_or_default(), watcher, self.clone())
    }

    /// Where the signals of a camera arrive, connected.
    ///
    /// # Safety
    /// `camera` is a live handle to the camera of that id.
    pub(super) unsafe fn receiver(
        &self,
        id: &str,
        camera: *mut sys::libcamera_camera_t,
    ) -> Arc<Receiver> {
        let mut shared = SHARED.lock();
        let known = shared
            .iter()
            .flat_map(|shared| &shared.receivers)
            .find(|receiver| receiver.serves(id));
        if let Some(receiver) = known {
            return receiver.clone();
        }
        let receiver = Arc::new(Receiver::new(id.to_owned()));
        if let Some(shared) = shared.as_mut() {
            shared.receivers.push(receiver.clone());
            // SAFETY: as promised; `shared` keeps the receiver until the manager is destroyed.
            unsafe { receiver.connect(camera) };
        }
        receiver
    }

    pub fn camera(&self, id: &str) -> Option<Camera> {
        let id = CString::new(id).ok()?;
        // SAFETY: `id` is a C string; the result is null or a handle of our own.
        let raw = unsafe { sys::libcamera_camera_manager_get_id(self.raw.as_ptr(), id.as_ptr()) };
        NonNull::new(raw).map(|raw| Camera::new(raw, self.clone()))
    }
}

impl Clone for CameraManager {
    fn clone(&self) -> Self {
        if let Some(shared) = SHARED.lock().as_mut() {
            shared.handles += 1;
        }
        Self { raw: self.raw }
    }
}

impl Drop for CameraManager {
    fn drop(&mut self) {
        let mut shared = SHARED.lock();
        if let Some(held) = shared.as_mut() {
            held.handles -= 1;
            if held.handles == 0 {
                // SAFETY: this was the last handle, and whatever belongs to the manager holds one. Its thread, in which signals arrive, ends here.
                unsafe {
                    sys::libcamera_camera_manager_stop(held.raw.as_ptr());
                    sys::libcamera_camera_manager_destroy(held.raw.as_ptr());
                }
                *shared = None;
            }
        }
    }
}

/// Whether somebody else in this process has a camera manager. libcamera aborts when a second one is created, so this is looked up where
/// it keeps the first one; a libcamera without that symbol is taken to have none.
fn foreign_manager_lives() -> bool {
    const SELF: &CStr = c"_ZN9libcamera13CameraManager5self_E";
    // SAFETY: the symbol, where it exists, is a static pointer that is only compared with null.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, SELF.as_ptr()).cast::<*const libc::c_void>();
        !address.is_null() && !address.read_volatile().is_null()
    }
}

fn failed(call: &'static str, errno: i32) -> CameraError {
    CameraError::Call {
        camera: "(any)".to_owned(),
        call,
        reason: io::Error::from_raw_os_error(errno),
    }
}
