//! The requests of a camera that streams.

use super::{
    camera::{Acquired, RunId},
    control_value,
    frame_buffer::FrameBuffers,
};
use crate::camera::{CameraError, Controls, FrameSet, MAX_STREAMS, RequestId, RequestQueue};
use crate::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use libcamera_sys as sys;
use std::{io, ptr::NonNull};

struct Request {
    raw: NonNull<sys::libcamera_request_t>,
    used: bool,
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: the request is ours, and its owner has stopped the camera (`Requests::drop`).
        unsafe { sys::libcamera_request_destroy(self.raw.as_ptr()) };
    }
}

/// A stream that requests may carry.
#[derive(Clone)]
pub struct RequestStream {
    pub raw: *mut sys::libcamera_stream_t,
    pub buffers: Arc<FrameBuffers>,
}

/// Requests, their frame buffers and their camera, to be dropped in that order.
pub struct Requests {
    requests: Vec<Request>,
    streams: Vec<RequestStream>,
    camera: Arc<Acquired>,
    /// The run that may have them.
    run: Option<RunId>,
    /// By request: whether the camera has it. Cleared by its completion.
    in_flight: Arc<[AtomicBool]>,
    doubt: Arc<AtomicBool>,
}

// SAFETY: the requests are used by whoever owns this, one thread at a time; the stream belongs to the camera.
unsafe impl Send for Requests {}

impl Requests {
    pub(super) fn new(
        camera: &Arc<Acquired>,
        streams: Vec<RequestStream>,
        count: u32,
    ) -> Result<Self, CameraError> {
        let mut set = Self {
            requests: Vec::new(),
            streams,
            camera: camera.clone(),
            run: None,
            in_flight: (0..count).map(|_| AtomicBool::new(false)).collect(),
            doubt: Arc::default(),
        };
        for cookie in 0..u64::from(count) {
            // SAFETY: the camera lives and is configured; the cookie is what completions report.
            let raw = unsafe { sys::libcamera_camera_create_request(camera.raw(), cookie) };
            let raw = NonNull::new(raw).ok_or_else(|| CameraError::Call {
                camera: camera.id().to_owned(),
                call: "create a request",
                reason: io::Error::from_raw_os_error(libc::ENODEV),
            })?;
            set.requests.push(Request { raw, used: false });
        }
        Ok(set)
    }

    pub(super) fn in_flight(&self) -> Arc<[AtomicBool]> {
        self.in_flight.clone()
    }

    pub(super) fn doubt(&self) -> Arc<AtomicBool> {
        self.doubt.clone()
    }

    pub(super) fn belong_to(&mut self, run: RunId) {
        self.run = Some(run);
    }
}

impl RequestQueue for Requests {
    fn queue(
        &mut self,
        request: RequestId,
        frames: &FrameSet,
        same_frames: bool,
        controls: Option<&Controls>,
    ) -> Result<(), CameraError> {
        use sys::libcamera_request_reuse_flag as reuse;
        let unknown = || {
            self.camera
                .check("queue an unknown request or frame", -libc::EINVAL)
        };
        let mut buffers = [None; MAX_STREAMS];
        for (index, frame) in frames.iter().enumerate() {
            let Some(frame) = frame else { continue };
            let found = self
                .streams
                .get(index)
                .and_then(|stream| Some((stream.raw, stream.buffers.get(*frame)?)));
            match (buffers.get_mut(index), found) {
                (Some(buffer), Some(found)) => *buffer = Some(found),
                _ => return unknown(),
            }
        }
        let index = request.0 as usize;
        let (Some(request), Some(in_flight)) =
            (self.requests.get_mut(index), self.in_flight.get(index))
        else {
            return unknown();
        };
        // libcamera aborts the process when a request comes back after it has heard that the camera is gone.
        if self.doubt.load(Ordering::Relaxed) && self.camera.is_gone() {
            return self
                .camera
                .check("queue a request of a camera that is gone", -libc::ENODEV);
        }
        if in_flight.swap(true, Ordering::Acquire) {
            return self
                .camera
                .check("queue a request that the camera has", -libc::EBUSY);
        }
        let raw = request.raw.as_ptr();
        let result = self.camera.in_run(self.run, || {
            // SAFETY: the request rests with us, as its flag says; buffers, streams and camera live, and the camera runs.
            unsafe {
                if request.used {
                    // Keeping the buffers leaves the request's buffer map alone, which some pipeline handlers still walk after the completion.
                    sys::libcamera_request_reuse(
                        raw,
                        if same_frames {
                            reuse::LIBCAMERA_REQUEST_REUSE_FLAG_REUSE_BUFFERS
                        } else {
                            reuse::LIBCAMERA_REQUEST_REUSE_FLAG_DEFAULT
                        },
                    );
                }
                if !(request.used && same_frames) {
                    for (stream, buffer) in buffers.into_iter().flatten() {
                        let result = sys::libcamera_request_add_buffer(raw, stream, buffer);
                        self.camera.check("give a request its frame", result)?;
                    }
                }
                request.used = true;
                for (id, value) in controls.into_iter().flat_map(Controls::iter) {
                    control_value::write(sys::libcamera_request_controls(raw), id, value);
                }
                let result = sys::libcamera_camera_queue_request(self.camera.raw(), raw);
                self.camera.check("queue a request", result)
            }
        });
        if result.is_err() {
            in_flight.store(false, Ordering::Release);
        }
        result
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // A request that the camera still has must not be destroyed.
        if let Some(run) = self.run {
            self.camera.stop_run(run);
        }
        if self.camera.is_abandoned() {
            std::mem::forget(std::mem::take(&mut self.requests));
            std::mem::forget((std::mem::take(&mut self.streams), self.camera.clone()));
        }
    }
}
