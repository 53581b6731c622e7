//! The camera's signals, connected while it streams.

use super::{camera::Acquired, controls};
use crate::camera::{
    CameraEvents, CompletedFrame, Completion, CompletionStatus, FrameId, FrameStatus, MAX_STREAMS,
    RequestId,
};
use crate::sync::Arc;
use libcamera_sys as sys;
use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
};

/// What the callbacks need. It owns no handle of this layer: dropping one in libcamera's thread could wait for that very thread.
struct Receiver {
    events: Arc<dyn CameraEvents>,
    streams: Vec<Stream>,
}

/// A configured stream. It belongs to the camera.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub raw: *mut sys::libcamera_stream_t,
    /// Whether frames differ in size, so that the bytes used are worth asking for (libcamera's C API allocates for the answer).
    pub compressed: bool,
}

/// Both signals, connected. To be dropped after `stop()`: until then callbacks may run.
#[derive(Debug)]
pub struct Signals {
    camera: *mut sys::libcamera_camera_t,
    completed: *mut sys::libcamera_callback_handle_t,
    disconnected: *mut sys::libcamera_callback_handle_t,
    receiver: NonNull<Receiver>,
}

// SAFETY: the handles are only used to disconnect, by whoever holds them.
unsafe impl Send for Signals {}

impl Signals {
    pub(super) fn connect(
        camera: &Acquired,
        streams: Vec<Stream>,
        events: Arc<dyn CameraEvents>,
    ) -> Self {
        let receiver = Box::new(Receiver { events, streams });
        let receiver = NonNull::from(Box::leak(receiver));
        let data = receiver.as_ptr().cast::<c_void>();
        let camera = camera.raw();
        // SAFETY: the receiver lives until `drop` has disconnected both.
        unsafe {
            Self {
                camera,
                completed: sys::libcamera_camera_request_completed_connect(
                    camera,
                    Some(completed),
                    data,
                ),
                disconnected: sys::libcamera_camera_disconnected_connect(
                    camera,
                    Some(disconnected),
                    data,
                ),
                receiver,
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the camera's owner drops this while it still has the camera, and after it was stopped.
        unsafe {
            sys::libcamera_camera_request_completed_disconnect(self.camera, self.completed);
            sys::libcamera_camera_disconnected_disconnect(self.camera, self.disconnected);
            drop(Box::from_raw(self.receiver.as_ptr()));
        }
    }
}

/// Runs in libcamera's thread, under a frame of C++ that no panic may cross. After one the camera counts as gone, so that nobody waits for it.
fn guarded(receiver: &Receiver, body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        let _ = catch_unwind(AssertUnwindSafe(|| receiver.events.disconnected()));
    }
}

unsafe extern "C" fn disconnected(data: *mut c_void) {
    // SAFETY: `data` is the receiver, which outlives the connection.
    let receiver = unsafe { &*data.cast::<Receiver>() };
    guarded(receiver, || receiver.events.disconnected());
}

unsafe extern "C" fn completed(data: *mut c_void, request: *mut sys::libcamera_request_t) {
    // SAFETY: `data` is the receiver, which outlives the connection; the request lives, and is ours to look at until it is queued again.
    let receiver = unsafe { &*data.cast::<Receiver>() };
    guarded(receiver, || {
        // SAFETY: as above.
        let completion = unsafe { completion(receiver, request) };
        receiver.events.completed(completion);
    });
}

/// # Safety
/// `request` has completed and was not queued again.
unsafe fn completion(receiver: &Receiver, request: *mut sys::libcamera_request_t) -> Completion {
    use sys::libcamera_request_status as status;
    let mut frames = [None; MAX_STREAMS];
    let mut timestamp = None;
    // SAFETY: as promised; buffers and their metadata live as long as the request holds them.
    unsafe {
        for (frame, stream) in frames.iter_mut().zip(&receiver.streams) {
            let buffer = sys::libcamera_request_find_buffer(request, stream.raw);
            if !buffer.is_null() {
                let metadata = sys::libcamera_framebuffer_metadata(buffer);
                *frame = Some(completed_frame(buffer, metadata, stream.compressed));
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
/// `buffer` and its `metadata` live.
unsafe fn completed_frame(
    buffer: *mut sys::libcamera_framebuffer_t,
    metadata: *const sys::libcamera_frame_metadata_t,
    compressed: bool,
) -> CompletedFrame {
    use sys::libcamera_frame_metadata_status as status;
    // SAFETY: as promised.
    unsafe {
        CompletedFrame {
            frame: FrameId(sys::libcamera_framebuffer_cookie(buffer) as u32),
            status: match sys::libcamera_frame_metadata_status(metadata) {
                status::LIBCAMERA_FRAME_METADATA_STATUS_ERROR => FrameStatus::Error,
                status::LIBCAMERA_FRAME_METADATA_STATUS_CANCELLED => FrameStatus::Cancelled,
                _ => FrameStatus::Success,
            },
            sequence: sys::libcamera_frame_metadata_sequence(metadata),
            bytes_used: compressed.then(|| bytes_used(metadata)).flatten(),
        }
    }
}

/// # Safety
/// `metadata` lives.
unsafe fn bytes_used(metadata: *const sys::libcamera_frame_metadata_t) -> Option<u32> {
    // SAFETY: as promised; the list is ours to destroy.
    unsafe {
        let planes = sys::libcamera_frame_metadata_planes(metadata.cast_mut());
        let used = (sys::libcamera_frame_metadata_planes_size(planes) > 0)
            .then(|| (*sys::libcamera_frame_metadata_planes_at(planes, 0)).bytes_used);
        sys::libcamera_frame_metadata_planes_destroy(planes);
        used
    }
}
