//! The camera's signals.
//!
//! libcamera emits them in its manager's thread, over a copy of its list of slots: a slot that is disconnected meanwhile may still be called,
//! and what it points to must still be there. Stopping a camera that is gone does not even wait for a callback that runs. So a camera's signals
//! are connected once, when it is first acquired, to a [`Receiver`] that lives as long as the manager, and are never disconnected; a start of
//! the camera plugs its [`Run`] into the receiver, and the stop takes it out. A callback that is late holds the run until it is through.

use super::{controls, frame_buffer::Written};
use crate::camera::{
    CameraError, CameraEvents, CompletedFrame, Completion, CompletionStatus, FrameId, FrameStatus,
    MAX_STREAMS, RequestId,
};
use crate::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use libcamera_sys as sys;
use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A configured stream. It belongs to the camera.
pub struct Stream {
    pub raw: *mut sys::libcamera_stream_t,
    /// By frame.
    pub written: Vec<Written>,
}

/// What callbacks need during one start of the camera. It owns no handle of this layer: dropping one in libcamera's thread could wait for that
/// very thread.
pub struct Run {
    pub events: Arc<dyn CameraEvents>,
    pub streams: Vec<Stream>,
    /// By request: whether the camera has it.
    pub in_flight: Arc<[AtomicBool]>,
    /// Whether the last request came back as those do whose camera was unplugged.
    pub doubt: Arc<AtomicBool>,
    /// Used by libcamera's thread alone.
    pub metadata: Mutex<controls::Reader>,
}

// SAFETY: the streams are only compared with those of a request, in libcamera's thread.
unsafe impl Send for Run {}
// SAFETY: as above.
unsafe impl Sync for Run {}

/// Where a camera's signals arrive.
#[derive(Default)]
pub struct Receiver {
    camera: String,
    run: Mutex<Option<Arc<Run>>>,
    gone: AtomicBool,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("camera", &self.camera)
            .finish()
    }
}

impl Receiver {
    pub fn new(camera: String) -> Self {
        Self {
            camera,
            ..Self::default()
        }
    }

    /// Whether it still is the receiver of this camera, and not of one of the same name that was unplugged.
    pub fn serves(&self, camera: &str) -> bool {
        self.camera == camera && !self.is_gone()
    }

    /// Whether libcamera has noticed that the camera was unplugged.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// The camera was unplugged.
    pub fn lose(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// # Safety
    /// `camera` lives, and the receiver will live until the camera's manager was destroyed.
    pub unsafe fn connect(self: &Arc<Self>, camera: *mut sys::libcamera_camera_t) {
        let data = Arc::as_ptr(self).cast_mut().cast::<c_void>();
        // SAFETY: as promised. The handles, a byte each, would serve to disconnect.
        unsafe {
            sys::libcamera_camera_request_completed_connect(camera, Some(completed), data);
            sys::libcamera_camera_disconnected_connect(camera, Some(disconnected), data);
        }
    }

    pub fn plug(&self, run: Option<Run>) {
        let before = std::mem::replace(&mut *self.run.lock(), run.map(Arc::new));
        drop(before);
    }

    /// Runs in libcamera's thread, under a frame of C++ that no panic may cross. After one the camera has failed, so that nobody waits for it.
    fn receive(&self, body: impl FnOnce(&Run)) {
        let run = self.run.lock().clone();
        let Some(run) = run else { return };
        if catch_unwind(AssertUnwindSafe(|| body(&run))).is_err() {
            let error = CameraError::Panicked {
                thread: "what handles the camera's frames",
            };
            let _ = catch_unwind(AssertUnwindSafe(|| run.events.failed(error)));
        }
    }
}

unsafe extern "C" fn disconnected(data: *mut c_void) {
    // SAFETY: `data` is the receiver, which outlives the camera's manager.
    let receiver = unsafe { &*data.cast::<Receiver>() };
    receiver.lose();
    receiver.receive(|run| {
        run.events.failed(CameraError::Gone {
            camera: receiver.camera.clone(),
        });
    });
}

unsafe extern "C" fn completed(data: *mut c_void, request: *mut sys::libcamera_request_t) {
    // SAFETY: as above; the request lives, and is ours to look at until it is queued again.
    let receiver = unsafe { &*data.cast::<Receiver>() };
    receiver.receive(|run| {
        // SAFETY: as above.
        let completion = unsafe {
            if run.events.wants_metadata() {
                let metadata = sys::libcamera_request_metadata(request);
                run.events
                    .reported(&mut |controls| run.metadata.lock().read(metadata, controls));
            }
            completion(run, request)
        };
        let doubtful = completion.status == CompletionStatus::Cancelled
            || completion
                .frames
                .iter()
                .flatten()
                .any(|frame| frame.status != FrameStatus::Success);
        run.doubt.store(doubtful, Ordering::Relaxed);
        if let Some(in_flight) = run.in_flight.get(completion.request.0 as usize) {
            in_flight.store(false, Ordering::Release);
        }
        run.events.completed(completion);
    });
}

/// # Safety
/// `request` has completed and was not queued again.
unsafe fn completion(run: &Run, request: *mut sys::libcamera_request_t) -> Completion {
    use sys::libcamera_request_status as status;
    let mut frames = [None; MAX_STREAMS];
    let mut timestamp = None;
    // SAFETY: as promised; buffers and their metadata live as long as the request holds them.
    unsafe {
        for (frame, stream) in frames.iter_mut().zip(&run.streams) {
            let buffer = sys::libcamera_request_find_buffer(request, stream.raw);
            if !buffer.is_null() {
                let metadata = sys::libcamera_framebuffer_metadata(buffer);
                *frame = Some(completed_frame(buffer, metadata, &stream.written));
                timestamp = timestamp.or(Some(sys::libcamera_frame_metadata_timestamp(metadata)));
            }
        }
        let sensor = controls::integer(
            sys::libcamera_request_metadata(request),
            sys::SENSOR_TIMESTAMP,
        );
        Completion {
            request: RequestId(sys::libcamera_request_cookie(request) as u32),
            status: match sys::libcamera_request_status(request) {
                status::LIBCAMERA_REQUEST_STATUS_COMPLETE => CompletionStatus::Complete,
                _ => CompletionStatus::Cancelled,
            },
            sensor_timestamp: sensor
                .and_then(|sensor| u64::try_from(sensor).ok())
                .or(timestamp)
                .filter(|timestamp| *timestamp > 0),
            frames,
        }
    }
}

/// # Safety
/// `buffer` and its `metadata` live; its request has completed and was not queued again. `written` is of the buffer's stream.
unsafe fn completed_frame(
    buffer: *mut sys::libcamera_framebuffer_t,
    metadata: *const sys::libcamera_frame_metadata_t,
    written: &[Written],
) -> CompletedFrame {
    use sys::libcamera_frame_metadata_status as status;
    // SAFETY: as promised.
    unsafe {
        let frame = FrameId(sys::libcamera_framebuffer_cookie(buffer) as u32);
        CompletedFrame {
            frame,
            status: match sys::libcamera_frame_metadata_status(metadata) {
                status::LIBCAMERA_FRAME_METADATA_STATUS_ERROR => FrameStatus::Error,
                status::LIBCAMERA_FRAME_METADATA_STATUS_CANCELLED => FrameStatus::Cancelled,
                _ => FrameStatus::Success,
            },
            sequence: sys::libcamera_frame_metadata_sequence(metadata),
            bytes_used: written.get(frame.0 as usize).map(|written| written.bytes()),
        }
    }
}
