//! A GstCustomMeta that stays with the buffers of a pool of ours and is written over for each frame: nothing is allocated for it, and it is not looked for by
//! its name.

use super::descriptors::pool_of;
use super::pool::{FramePool, keep};
use crate::sync::OnceLock;
use glib::translate::IntoGlib;
use gst::prelude::*;
use std::ffi::CStr;

/// A kind of them, which is registered under that name before a buffer gets one.
pub struct Kind {
    name: &'static CStr,
    api: OnceLock<Option<glib::Type>>,
}

impl Kind {
    pub const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            api: OnceLock::new(),
        }
    }

    pub fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }

    fn api(&self) -> Option<glib::Type> {
        let find = || {
            // SAFETY: what was registered stays.
            let info = unsafe { gst::ffi::gst_meta_get_info(self.name.as_ptr()).as_ref() };
            // SAFETY: the type was registered with it.
            info.map(|info| unsafe { glib::translate::from_glib(info.api) })
        };
        *self.api.get_or_init(find)
    }

    /// The fields of a buffer's meta. It is made if it is not there; what is there may be of an earlier frame. `None` cannot be.
    pub fn fields<'a>(&self, buffer: &'a mut gst::BufferRef) -> Option<&'a mut gst::StructureRef> {
        let api = self.api()?.into_glib();
        let raw = buffer.as_mut_ptr();
        // SAFETY: the buffer is borrowed mutably for as long as the structure, which its meta owns. A GstCustomMeta begins with its GstMeta.
        unsafe {
            let mut meta = gst::ffi::gst_buffer_get_meta(raw, api);
            if meta.is_null() {
                meta = gst::ffi::gst_buffer_add_custom_meta(raw, self.name.as_ptr()).cast();
                let meta = meta.as_mut()?;
                if is_of_a_pool_of_ours(buffer) {
                    keep(meta);
                }
            }
            let structure = gst::ffi::gst_custom_meta_get_structure(meta.cast());
            Some(gst::StructureRef::from_glib_borrow_mut(structure))
        }
    }
}

fn is_of_a_pool_of_ours(buffer: &gst::BufferRef) -> bool {
    pool_of(buffer).is_some_and(|pool| pool.is::<FramePool>())
}
