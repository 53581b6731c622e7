//! Memory of a stranger's DMABUF that something lives as long as.

use std::os::fd::{IntoRawFd, OwnedFd};

use crate::sync::LazyLock;
use glib::translate::{IntoGlib, IntoGlibPtr};
use gst_allocators::prelude::*;

static QUARK: LazyLock<glib::ffi::GQuark> =
    LazyLock::new(|| glib::Quark::from_str("libcamerars-companion").into_glib());

/// A memory of that DMABUF, read-only. `companion` is dropped when the last reference to it, or to a share of it, is gone.
pub fn dmabuf<T: Send + Sync + 'static>(
    fd: OwnedFd,
    offset: usize,
    size: usize,
    companion: T,
) -> Result<gst::Memory, glib::BoolError> {
    let allocator = gst_allocators::DmaBufAllocator::new();
    // SAFETY: the file descriptor is ours, and the memory owns it from now on.
    let memory = unsafe { allocator.alloc_dmabuf(fd.into_raw_fd(), offset + size) }?;
    let memory = memory.into_glib_ptr();
    let companion = Box::into_raw(Box::new(companion));
    // SAFETY: the memory is ours alone. It owns its companion until it is freed, which may be in any thread. (A share keeps its parent.)
    unsafe {
        let object = memory.cast::<gst::ffi::GstMiniObject>();
        gst::ffi::gst_mini_object_set_qdata(object, *QUARK, companion.cast(), Some(forget::<T>));
        gst::ffi::gst_memory_resize(memory, offset as isize, size);
        (*object).flags |= gst::ffi::GST_MEMORY_FLAG_READONLY;
        Ok(glib::translate::from_glib_full(memory))
    }
}

unsafe extern "C" fn forget<T>(data: glib::ffi::gpointer) {
    // SAFETY: `data` is the companion that `dmabuf` gave to the memory.
    drop(unsafe { Box::from_raw(data.cast::<T>()) });
}
