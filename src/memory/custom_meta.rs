//! A GstCustomMeta that stays with the buffers of a pool of ours and is written over for each frame: nothing is allocated for it, and it is not looked for by
//! its name.

use super::descriptors::pool_of;
use super::pool::{FramePool, keep};
use crate::camera::Scalar;
use crate::sync::OnceLock;
use glib::translate::{IntoGlib, ToGlibPtr};
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

/// Writes a number over one of the same type that a structure has in a field: nothing is made, checked or copied for it. False where there is none.
pub fn write_over(structure: &mut gst::StructureRef, field: glib::Quark, number: Scalar) -> bool {
    use glib::gobject_ffi as set;
    // What is said to be used instead needs GStreamer 1.26.
    #[expect(deprecated)]
    let Ok(before) = structure.value_by_quark(field) else {
        return false;
    };
    let kind = before.type_();
    let value = before.to_glib_none().0.cast_mut();
    // SAFETY: the structure is borrowed mutably, and with it the value, which is of the type that is set.
    unsafe {
        match number {
            Scalar::Bool(it) if kind == bool::static_type() => {
                set::g_value_set_boolean(value, it.into_glib());
            }
            Scalar::I32(it) if kind == i32::static_type() => set::g_value_set_int(value, it),
            Scalar::I64(it) if kind == i64::static_type() => set::g_value_set_int64(value, it),
            Scalar::F32(it) if kind == f32::static_type() => set::g_value_set_float(value, it),
            _ => return false,
        }
    }
    true
}

fn is_of_a_pool_of_ours(buffer: &gst::BufferRef) -> bool {
    pool_of(buffer).is_some_and(|pool| pool.is::<FramePool>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_over_one_of_its_type_and_nothing_else() {
        gst::init().expect("GStreamer");
        let mut structure = gst::Structure::builder("fields")
            .field("integer", 1i32)
            .field("long", 2i64)
            .field("float", 3f32)
            .field("is", false)
            .field("name", "one")
            .build();
        let mut write =
            |field, number| write_over(&mut structure, glib::Quark::from_str(field), number);
        assert!(write("integer", Scalar::I32(-7)));
        assert!(write("long", Scalar::I64(i64::MAX)));
        assert!(write("float", Scalar::F32(0.5)));
        assert!(write("is", Scalar::Bool(true)));
        assert!(!write("integer", Scalar::I64(8)));
        assert!(!write("long", Scalar::I32(8)));
        assert!(!write("name", Scalar::I32(8)));
        assert!(!write("none", Scalar::I32(8)));
        let expected = gst::Structure::builder("fields")
            .field("integer", -7i32)
            .field("long", i64::MAX)
            .field("float", 0.5f32)
            .field("is", true)
            .field("name", "one")
            .build();
        assert_eq!(structure, expected);
    }
}
