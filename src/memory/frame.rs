//! The memories of one frame, which come back when their last reference is dropped.
//!
//! A frame is back when its last *memory* is: consumers keep memories (copies, sub-buffers) of buffers that they have released. Most do not: then the
//! memories rest in the buffer in which they were.
//!
//! A memory's `dispose` runs at its last unref, in whatever thread that is. While the set is open it takes the reference over again
//! and the memory rests; once the set is closed it lets the memory be freed, with the file descriptor of its own.

use crate::camera::{FrameId, FrameLayout, Plane};
use crate::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicI32, Ordering},
};
use glib::translate::{IntoGlib, IntoGlibPtr};
use gst_allocators::prelude::*;
use std::{
    os::fd::{IntoRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
};

/// What the frames' memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// True DMABUFs, exported by the camera.
    DmaBuf,
    /// Memory behind a file descriptor that is no DMABUF.
    Fd,
}

/// Called in the thread that drops the last memory of a frame.
pub type Returned = dyn Fn(FrameId) + Send + Sync;

struct State {
    /// A bit for each memory that somebody else has.
    out: u32,
    /// `None` once the set is closed: then memories are freed instead of coming back.
    returned: Option<Arc<Returned>>,
}

struct Shared {
    frame: FrameId,
    state: Mutex<State>,
}

/// What a memory knows of its frame; it hangs on the memory until that is freed.
struct Membership {
    shared: Arc<Shared>,
    bit: u32,
}

/// A memory with the extent that it was made with: consumers may resize it.
struct Whole {
    memory: NonNull<gst::ffi::GstMemory>,
    offset: usize,
    size: usize,
    /// How its locks are in a buffer that nobody else has.
    locks: AtomicI32,
}

impl Whole {
    /// Whether a buffer's memory at that place is this one, and nobody has it or a lock of it but the buffer.
    fn rests_in(&self, buffer: &gst::BufferRef, place: usize) -> bool {
        // SAFETY: the place is one of the buffer's, which keeps its memory alive. Both counts are atomic, and read as such.
        unsafe {
            let memory = gst::ffi::gst_buffer_peek_memory(buffer.as_mut_ptr(), place as u32);
            let object = &raw mut (*memory).mini_object;
            memory == self.memory.as_ptr()
                && AtomicI32::from_ptr(&raw mut (*object).refcount).load(Ordering::Acquire) == 1
                && AtomicI32::from_ptr(&raw mut (*object).lockstate).load(Ordering::Acquire)
                    == self.locks.load(Ordering::Relaxed)
        }
    }

    /// Puts its extent back to what it was made with.
    ///
    /// # Safety
    /// Nobody else has the memory.
    unsafe fn restore(&self) {
        // SAFETY: as promised.
        unsafe {
            let memory = self.memory.as_ptr();
            (*memory).offset = self.offset;
            (*memory).size = self.size;
        }
    }
}

/// Memory behind a file descriptor. It is mapped once and kept: a map and unmap for every reader of every frame costs more than reading a small one.
pub fn mapped_memory(
    kind: MemoryKind,
    fd: OwnedFd,
    size: usize,
) -> Result<gst::Memory, glib::BoolError> {
    let (fd, flags) = (fd.into_raw_fd(), gst_allocators::FdMemoryFlags::KEEP_MAPPED);
    // SAFETY: the file descriptor is ours, and the memory's from now on.
    unsafe {
        match kind {
            MemoryKind::DmaBuf => {
                gst_allocators::DmaBufAllocator::new().alloc_dmabuf_with_flags(fd, size, flags)
            }
            MemoryKind::Fd => gst_allocators::FdAllocator::new().alloc_fd(fd, size, flags),
        }
    }
}

/// The memories of one frame.
pub struct FrameMemories {
    memories: Vec<Whole>,
    shared: Arc<Shared>,
}

// SAFETY: a memory's reference count is atomic; who may touch the memory itself is said by `State::out`.
unsafe impl Send for FrameMemories {}
// SAFETY: as above.
unsafe impl Sync for FrameMemories {}

impl FrameMemories {
    /// Makes a memory of each file descriptor in `layout`, which is duplicated; planes that share one are in one memory.
    pub fn new(
        frame: FrameId,
        layout: &FrameLayout,
        kind: MemoryKind,
        returned: Arc<Returned>,
    ) -> Result<Self, glib::BoolError> {
        let mut memories = Self::empty(frame, returned);
        for region in regions(layout) {
            memories.make(&region, kind)?;
        }
        Ok(memories)
    }

    /// Shares of a buffer's memories, which stay that buffer's.
    pub fn shared(
        frame: FrameId,
        buffer: &gst::BufferRef,
        returned: Arc<Returned>,
    ) -> Result<Self, glib::BoolError> {
        let mut memories = Self::empty(frame, returned);
        for memory in buffer.iter_memories() {
            let size = memory.size();
            // SAFETY: the memory lives; its share is ours, or null.
            let share =
                unsafe { gst::ffi::gst_memory_share(memory.as_mut_ptr(), 0, size as isize) };
            let share = NonNull::new(share)
                .ok_or_else(|| glib::bool_error!("a memory cannot be shared"))?;
            memories.add(share, size);
        }
        Ok(memories)
    }

    fn empty(frame: FrameId, returned: Arc<Returned>) -> Self {
        let state = State {
            out: 0,
            returned: Some(returned),
        };
        Self {
            memories: Vec::new(),
            shared: Arc::new(Shared {
                frame,
                state: Mutex::new(state),
            }),
        }
    }

    fn make(&mut self, region: &Region, kind: MemoryKind) -> Result<(), glib::BoolError> {
        let fd = region
            .fd
            .try_clone()
            .map_err(|error| glib::bool_error!("duplicating a frame's file descriptor: {error}"))?;
        let memory = mapped_memory(kind, fd, region.end)?;
        let memory = NonNull::new(memory.into_glib_ptr());
        self.add(
            memory.ok_or_else(|| glib::bool_error!("no memory"))?,
            region.end,
        );
        Ok(())
    }

    /// From now on a memory that is ours alone comes back here.
    fn add(&mut self, memory: NonNull<gst::ffi::GstMemory>, size: usize) {
        let membership = Box::new(Membership {
            shared: self.shared.clone(),
            bit: 1 << self.memories.len(),
        });
        // SAFETY: the memory is ours alone; it owns its membership until it is freed.
        let offset = unsafe {
            let raw = memory.as_ptr();
            let data = Box::into_raw(membership).cast();
            gst::ffi::gst_mini_object_set_qdata(raw.cast(), *QUARK, data, Some(forget));
            (*raw).mini_object.dispose = Some(dispose);
            (*raw).offset
        };
        self.memories.push(Whole {
            memory,
            offset,
            size,
            locks: AtomicI32::new(0),
        });
    }

    /// Gives the frame's memories to a buffer. False when somebody has one of them.
    #[must_use]
    pub fn append_to(&self, buffer: &mut gst::BufferRef) -> bool {
        let mut state = self.shared.state.lock();
        if state.out != 0 {
            return false;
        }
        state.out = (1 << self.memories.len()) - 1;
        drop(state);
        for whole in &self.memories {
            // SAFETY: the memory rested, so its one reference is ours to give away.
            unsafe {
                let memory = whole.memory.as_ptr();
                whole.restore();
                gst::ffi::gst_buffer_append_memory(buffer.as_mut_ptr(), memory);
                whole
                    .locks
                    .store((*memory).mini_object.lockstate, Ordering::Relaxed);
            }
        }
        true
    }

    /// Whether a buffer that nobody has any more holds this frame's memories as it was given them, and nobody else has one of them. Then they can stay in
    /// it until the frame goes downstream again, and are as they were made.
    #[must_use]
    pub fn rest_in(&self, buffer: &mut gst::BufferRef) -> bool {
        let memories = self.memories.iter().enumerate();
        let all = buffer.n_memory() == self.memories.len()
            && memories
                .clone()
                .all(|(place, whole)| whole.rests_in(buffer, place));
        if all {
            for whole in &self.memories {
                // SAFETY: nobody but the buffer has it, and nobody has the buffer.
                unsafe { whole.restore() };
            }
        }
        all
    }
}

impl Drop for FrameMemories {
    /// Frees the memories that rest. Those that somebody has are freed by their last unref.
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let (out, returned) = (state.out, state.returned.take());
        drop(state);
        drop(returned);
        for (index, whole) in self.memories.iter().enumerate() {
            if out & (1 << index) == 0 {
                // SAFETY: the memory rests, and its one reference is ours.
                unsafe { gst::ffi::gst_memory_unref(whole.memory.as_ptr()) };
            }
        }
    }
}

static QUARK: LazyLock<glib::ffi::GQuark> =
    LazyLock::new(|| glib::Quark::from_str("libcamerars-frame").into_glib());

unsafe extern "C" fn forget(data: glib::ffi::gpointer) {
    // SAFETY: `data` is the membership that `add` gave to the memory.
    drop(unsafe { Box::from_raw(data.cast::<Membership>()) });
}

/// FALSE keeps the memory: its last reference was dropped, and is taken over again.
unsafe extern "C" fn dispose(object: *mut gst::ffi::GstMiniObject) -> glib::ffi::gboolean {
    // SAFETY: the memory lives for the call, and with it its membership, which `add` has set.
    let membership = unsafe {
        let data = gst::ffi::gst_mini_object_get_qdata(object, *QUARK);
        data.cast::<Membership>().as_ref()
    };
    let Some(membership) = membership else {
        return glib::ffi::GTRUE;
    };
    // The memory rests as soon as the lock is left, and may be freed by the set's end: nothing of it is touched after that.
    let shared = membership.shared.clone();
    let mut state = shared.state.lock();
    let Some(returned) = state.returned.clone() else {
        return glib::ffi::GTRUE;
    };
    state.out &= !membership.bit;
    // SAFETY: the count is zero and nobody else has the object; now it is one, and ours.
    unsafe { gst::ffi::gst_mini_object_ref(object) };
    let back = state.out == 0;
    drop(state);
    if back && catch_unwind(AssertUnwindSafe(|| returned(shared.frame))).is_err() {
        gst::error!(
            gst::CAT_RUST,
            "a panic when a frame came back; the frame is lost"
        );
    }
    glib::ffi::GFALSE
}

/// A file descriptor's share of a frame, from the file's begin to where its last plane ends.
struct Region {
    fd: Arc<OwnedFd>,
    end: usize,
}

/// One region for each file descriptor, in the planes' order.
fn regions(layout: &FrameLayout) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for plane in &layout.planes {
        let end = plane.offset as usize + plane.length as usize;
        match regions
            .iter_mut()
            .find(|region| Arc::ptr_eq(&region.fd, &plane.fd))
        {
            Some(region) => region.end = region.end.max(end),
            None => regions.push(Region {
                fd: plane.fd.clone(),
                end,
            }),
        }
    }
    regions
}

/// Where each plane of a frame lies in a buffer of its memories.
pub fn plane_offsets(layout: &FrameLayout) -> Vec<usize> {
    let regions = regions(layout);
    let offset = |plane: &Plane| {
        let others = regions
            .iter()
            .take_while(|region| !Arc::ptr_eq(&region.fd, &plane.fd));
        others.map(|region| region.end).sum::<usize>() + plane.offset as usize
    };
    layout.planes.iter().map(offset).collect()
}
