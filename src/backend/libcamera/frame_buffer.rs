//! Sets of frame buffers: exported by the camera, or made of memory that is ours.

use super::camera::Acquired;
use crate::camera::{CameraError, FrameId, FrameLayout, Plane};
use crate::sync::Arc;
use libcamera_sys as sys;
use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr::NonNull,
};

enum Origin {
    /// libcamera's allocator owns the buffers.
    Exported(NonNull<sys::libcamera_framebuffer_allocator_t>),
    /// The buffers are ours to destroy.
    Imported,
}

/// The frame buffers of one stream. They go before their camera, and after the requests that hold this set.
pub struct FrameBuffers {
    buffers: Vec<NonNull<sys::libcamera_framebuffer_t>>,
    origin: Origin,
    camera: Arc<Acquired>,
}

// SAFETY: the buffers are only handed to requests, by the one thread that queues them.
unsafe impl Send for FrameBuffers {}
// SAFETY: as above; no method changes a buffer.
unsafe impl Sync for FrameBuffers {}

impl FrameBuffers {
    /// Asks the camera for buffers of a configured stream, and says where each one's memory is.
    pub fn export(
        camera: &Arc<Acquired>,
        stream: *mut sys::libcamera_stream_t,
    ) -> Result<(Self, Vec<FrameLayout>), CameraError> {
        // SAFETY: the camera and its stream live; the allocator takes a reference of its own to the camera.
        let allocator = unsafe { sys::libcamera_framebuffer_allocator_create(camera.raw()) };
        let allocator = NonNull::new(allocator).ok_or_else(|| allocation(camera, libc::ENOMEM))?;
        let mut set = Self {
            buffers: Vec::new(),
            origin: Origin::Exported(allocator),
            camera: camera.clone(),
        };
        // SAFETY: both live.
        let count =
            unsafe { sys::libcamera_framebuffer_allocator_allocate(allocator.as_ptr(), stream) };
        if count <= 0 {
            return Err(allocation(camera, -count));
        }
        // SAFETY: the list and its buffers live as long as the allocator; `get` throws only beyond the list's size.
        unsafe {
            let list = sys::libcamera_framebuffer_allocator_buffers(allocator.as_ptr(), stream);
            for index in 0..sys::libcamera_framebuffer_list_size(list) {
                let buffer = sys::libcamera_framebuffer_list_get(list, index).cast_mut();
                set.add(NonNull::new(buffer).ok_or_else(|| allocation(camera, libc::ENOMEM))?);
            }
        }
        let layouts = set
            .buffers
            .iter()
            .map(|buffer| layout(*buffer))
            .collect::<io::Result<_>>();
        let layouts = layouts.map_err(|error| CameraError::Call {
            camera: camera.id().to_owned(),
            call: "duplicating a frame's file descriptor",
            reason: error,
        })?;
        Ok((set, layouts))
    }

    /// Makes buffers of memory that is ours. libcamera duplicates the file descriptors.
    pub fn import(camera: &Arc<Acquired>, frames: &[FrameLayout]) -> Result<Self, CameraError> {
        let mut set = Self {
            buffers: Vec::new(),
            origin: Origin::Imported,
            camera: camera.clone(),
        };
        for frame in frames {
            let planes: Vec<sys::libcamera_framebuffer_plane_info> = frame
                .planes
                .iter()
                .map(|plane| sys::libcamera_framebuffer_plane_info {
                    fd: plane.fd.as_raw_fd(),
                    offset: plane.offset,
                    length: plane.length,
                })
                .collect();
            // SAFETY: the planes live for the call; the result is null (no plane, or a bad file descriptor) or ours.
            let buffer =
                unsafe { sys::libcamera_framebuffer_create(planes.as_ptr(), planes.len(), 0) };
            set.add(NonNull::new(buffer).ok_or_else(|| allocation(camera, libc::EBADF))?);
        }
        Ok(set)
    }

    /// A buffer's cookie is its place in the set, which completions report.
    fn add(&mut self, buffer: NonNull<sys::libcamera_framebuffer_t>) {
        // SAFETY: the buffer lives and nobody else has it yet.
        unsafe {
            sys::libcamera_framebuffer_set_cookie(buffer.as_ptr(), self.buffers.len() as u64)
        };
        self.buffers.push(buffer);
    }

    /// By frame.
    pub(super) fn written(&self) -> Vec<Written> {
        let written = |buffer: &NonNull<sys::libcamera_framebuffer_t>| {
            // SAFETY: the buffer lives; the getter changes nothing, though its signature would let it.
            let planes = unsafe {
                let metadata = sys::libcamera_framebuffer_metadata(buffer.as_ptr());
                sys::libcamera_frame_metadata_planes(metadata.cast_mut())
            };
            NonNull::new(planes).map(Written)
        };
        self.buffers.iter().filter_map(written).collect()
    }

    pub(super) fn get(&self, frame: FrameId) -> Option<*mut sys::libcamera_framebuffer_t> {
        self.buffers
            .get(frame.0 as usize)
            .map(|buffer| buffer.as_ptr())
    }
}

/// How much of each plane of one buffer was written, as libcamera's metadata of the buffer has it.
///
/// The list is a view of an array that libcamera makes with the buffer and keeps for as long as that lives (0.4 to 0.7: FrameBuffer's constructor sizes it, and
/// nobody else). So it is asked for once, because asking allocates.
pub struct Written(NonNull<sys::libcamera_frame_metadata_planes_t>);

// SAFETY: the view itself never changes; who may look through it is said by `bytes`.
unsafe impl Send for Written {}
// SAFETY: as above.
unsafe impl Sync for Written {}

impl Written {
    /// Of all planes.
    ///
    /// # Safety
    /// The buffer lives, and a request with it has completed and was not queued again.
    pub unsafe fn bytes(&self) -> u32 {
        let planes = self.0.as_ptr();
        // SAFETY: as promised; no index is beyond the list's size.
        unsafe {
            (0..sys::libcamera_frame_metadata_planes_size(planes))
                .map(|plane| (*sys::libcamera_frame_metadata_planes_at(planes, plane)).bytes_used)
                .fold(0, u32::saturating_add)
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // SAFETY: the view is ours; destroying it touches nothing of the buffer's.
        unsafe { sys::libcamera_frame_metadata_planes_destroy(self.0.as_ptr()) };
    }
}

impl Drop for FrameBuffers {
    fn drop(&mut self) {
        // SAFETY: requests hold this set, so none uses a buffer any more; the camera (a field) still lives.
        unsafe {
            match self.origin {
                Origin::Exported(allocator) => {
                    sys::libcamera_framebuffer_allocator_destroy(allocator.as_ptr());
                }
                Origin::Imported => {
                    for buffer in &self.buffers {
                        sys::libcamera_framebuffer_destroy(buffer.as_ptr());
                    }
                }
            }
        }
        let _ = &self.camera;
    }
}

/// Where a buffer's memory is, with file descriptors of our own: one for all planes that share one.
fn layout(buffer: NonNull<sys::libcamera_framebuffer_t>) -> io::Result<FrameLayout> {
    let mut duplicates: HashMap<RawFd, Arc<OwnedFd>> = HashMap::new();
    let mut planes = Vec::new();
    // SAFETY: the buffer lives; the list of planes is ours to destroy, and keeps the file descriptors open until then.
    unsafe {
        let list = sys::libcamera_framebuffer_planes(buffer.as_ptr());
        for index in 0..sys::libcamera_framebuffer_planes_size(list) {
            let plane = sys::libcamera_framebuffer_planes_at(list, index);
            let fd = sys::libcamera_framebuffer_plane_fd(plane);
            let duplicate = match duplicates.get(&fd) {
                Some(duplicate) => Ok(duplicate.clone()),
                None => BorrowedFd::borrow_raw(fd)
                    .try_clone_to_owned()
                    .map(Arc::new),
            };
            match duplicate {
                Ok(duplicate) => {
                    duplicates.insert(fd, duplicate.clone());
                    planes.push(Plane {
                        fd: duplicate,
                        offset: sys::libcamera_framebuffer_plane_offset(plane) as u32,
                        length: sys::libcamera_framebuffer_plane_length(plane) as u32,
                    });
                }
                Err(error) => {
                    sys::libcamera_framebuffer_planes_destroy(list);
                    return Err(error);
                }
            }
        }
        sys::libcamera_framebuffer_planes_destroy(list);
    }
    Ok(FrameLayout { planes })
}

fn allocation(camera: &Acquired, errno: i32) -> CameraError {
    CameraError::Allocation {
        camera: camera.id().to_owned(),
        reason: io::Error::from_raw_os_error(errno).to_string(),
    }
}
