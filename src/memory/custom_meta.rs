//! A GstCustomMeta that stays with the buffers of a pool of ours and is written over for each frame: nothing is allocated for it.

use super::pool::{FramePool, keep};
use glib::translate::FromGlibPtrBorrow;
use gst::prelude::*;
use std::ffi::CStr;

/// The fields of a buffer's meta of that name, which is registered. It is made if it is not there; what is there may be of an earlier frame. `None`
/// cannot be.
pub fn fields<'a>(
    buffer: &'a mut gst::BufferRef,
    name: &CStr,
) -> Option<&'a mut gst::StructureRef> {
    let raw = buffer.as_mut_ptr();
    // SAFETY: the buffer is borrowed mutably for as long as the structure, which its meta owns. A GstCustomMeta begins with its GstMeta. The pool, if
    // there is one, is the buffer's.
    unsafe {
        let mut meta = gst::ffi::gst_buffer_get_custom_meta(raw, name.as_ptr());
        if meta.is_null() {
            meta = gst::ffi::gst_buffer_add_custom_meta(raw, name.as_ptr());
            let pool = (*raw).pool;
            let is_ours = !pool.is_null()
                && Option::<gst::BufferPool>::from_glib_borrow(pool)
                    .as_ref()
                    .as_ref()
                    .is_some_and(|pool| pool.is::<FramePool>());
            if is_ours && let Some(meta) = meta.cast::<gst::ffi::GstMeta>().as_mut() {
                keep(meta);
            }
        }
        if meta.is_null() {
            return None;
        }
        let structure = gst::ffi::gst_custom_meta_get_structure(meta);
        Some(gst::StructureRef::from_glib_borrow_mut(structure))
    }
}
