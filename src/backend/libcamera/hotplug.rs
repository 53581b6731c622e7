//! Cameras that come and go.
//!
//! As with a camera's signals, the manager's are connected once, to something that lives as long as the manager, and never disconnected.

use super::manager::CameraManager;
use crate::camera::CameraWatcher;
use crate::sync::{Arc, Mutex};
use libcamera_sys as sys;
use std::{
    ffi::{CStr, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Who wants to be told.
#[derive(Default)]
pub struct Watchers(Mutex<Vec<Arc<dyn CameraWatcher>>>);

impl Watchers {
    /// # Safety
    /// `manager` lives, and the watchers will live until it was destroyed.
    pub unsafe fn connect(self: &Arc<Self>, manager: *mut sys::libcamera_camera_manager_t) {
        let data = Arc::as_ptr(self).cast_mut().cast::<c_void>();
        // SAFETY: as promised. The handles, a byte each, would serve to disconnect.
        unsafe {
            sys::libcamera_camera_manager_camera_added_connect(manager, Some(added), data);
            sys::libcamera_camera_manager_camera_removed_connect(manager, Some(removed), data);
        }
    }

    /// In libcamera's thread, under a frame of C++ that no panic may cross.
    fn tell(&self, what: impl Fn(&dyn CameraWatcher)) {
        let watchers = self.0.lock().clone();
        for watcher in watchers {
            let _ = catch_unwind(AssertUnwindSafe(|| what(&*watcher)));
        }
    }
}

/// Somebody is told until this is dropped.
pub struct Watch {
    watchers: Arc<Watchers>,
    watcher: Arc<dyn CameraWatcher>,
    /// Without a manager nothing would be noticed.
    _manager: CameraManager,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    pub fn new(
        watchers: Arc<Watchers>,
        watcher: Arc<dyn CameraWatcher>,
        manager: CameraManager,
    ) -> Self {
        watchers.0.lock().push(watcher.clone());
        Self {
            watchers,
            watcher,
            _manager: manager,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.watchers.0.lock();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}

/// # Safety
/// `camera` is a handle of our own.
unsafe fn take_id(camera: *mut sys::libcamera_camera_t) -> String {
    // SAFETY: as promised; the id lives as long as the camera.
    unsafe {
        let id = CStr::from_ptr(sys::libcamera_camera_id(camera)).to_string_lossy();
        let id = id.into_owned();
        sys::libcamera_camera_destroy(camera);
        id
    }
}

unsafe extern "C" fn added(data: *mut c_void, camera: *mut sys::libcamera_camera_t) {
    // SAFETY: `data` is the watchers, which outlive the manager; the handle was made for us.
    let (watchers, id) = unsafe { (&*data.cast::<Watchers>(), take_id(camera)) };
    watchers.tell(|watcher| watcher.added(&id));
}

unsafe extern "C" fn removed(data: *mut c_void, camera: *mut sys::libcamera_camera_t) {
    // SAFETY: as above.
    let (watchers, id) = unsafe { (&*data.cast::<Watchers>(), take_id(camera)) };
    watchers.tell(|watcher| watcher.removed(&id));
}
