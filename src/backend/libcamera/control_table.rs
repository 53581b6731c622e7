//! The controls that libcamera defines, whatever the camera.

use crate::camera::{ControlDefinition, ControlId, ControlKind};
use crate::sync::LazyLock;
use libcamera_sys as sys;
use std::{
    ffi::{CStr, c_char, c_uint},
    ptr::NonNull,
};
use sys::libcamera_control_type as kind;

/// libcamera numbers its own controls from 1 on, and those of each vendor from another of these. It has no way to list them.
const NUMBERS: [std::ops::Range<u32>; 4] = [1..500, 10_001..10_500, 20_001..20_500, 30_001..30_500];

/// The type of a control's value, as libcamera has it.
pub struct Shape {
    pub kind: kind::Type,
    pub is_list: bool,
    pub length: Option<usize>,
}

fn raw(id: ControlId) -> Option<NonNull<sys::libcamera_control_id_t>> {
    // SAFETY: the table of controls is a constant of libcamera's.
    NonNull::new(unsafe { sys::libcamera_control_from_id(id.0 as c_uint) }.cast_mut())
}

/// `None` for a control that libcamera does not define.
pub fn shape(id: ControlId) -> Option<Shape> {
    let raw = raw(id)?.as_ptr();
    // SAFETY: the definition is a constant of libcamera's; the getters change nothing.
    unsafe {
        let is_list = sys::libcamera_control_id_is_array(raw);
        let length = sys::libcamera_control_id_size(raw);
        Some(Shape {
            kind: sys::libcamera_control_id_type(raw),
            is_list,
            length: (is_list && !matches!(length, 0 | usize::MAX)).then_some(length),
        })
    }
}

/// All of them, in the order of their numbers.
pub fn definitions() -> &'static [ControlDefinition] {
    static DEFINITIONS: LazyLock<Vec<ControlDefinition>> = LazyLock::new(|| {
        NUMBERS
            .into_iter()
            .flatten()
            .filter_map(|number| definition(ControlId(number)))
            .collect()
    });
    &DEFINITIONS
}

fn definition(id: ControlId) -> Option<ControlDefinition> {
    let Shape {
        kind,
        is_list,
        length,
    } = shape(id)?;
    let raw = raw(id)?.as_ptr();
    // SAFETY: the definition is a constant of libcamera's; the getters change nothing, and the texts live as long as it.
    unsafe {
        let vendor = text(sys::libcamera_control_id_vendor(raw));
        Some(ControlDefinition {
            id,
            name: text(sys::libcamera_control_name(raw)),
            vendor: (vendor != "libcamera").then_some(vendor),
            kind: kind_of(kind)?,
            is_list,
            length,
            is_input: sys::libcamera_control_id_is_input(raw),
            is_output: sys::libcamera_control_id_is_output(raw),
            enumerators: enumerators(raw),
        })
    }
}

fn kind_of(kind: kind::Type) -> Option<ControlKind> {
    Some(match kind {
        kind::LIBCAMERA_CONTROL_TYPE_BOOL => ControlKind::Bool,
        kind::LIBCAMERA_CONTROL_TYPE_BYTE => ControlKind::U8,
        kind::LIBCAMERA_CONTROL_TYPE_UINT16 => ControlKind::U16,
        kind::LIBCAMERA_CONTROL_TYPE_UINT32 => ControlKind::U32,
        kind::LIBCAMERA_CONTROL_TYPE_INT32 => ControlKind::I32,
        kind::LIBCAMERA_CONTROL_TYPE_INT64 => ControlKind::I64,
        kind::LIBCAMERA_CONTROL_TYPE_FLOAT => ControlKind::F32,
        kind::LIBCAMERA_CONTROL_TYPE_RECTANGLE => ControlKind::Rectangle,
        kind::LIBCAMERA_CONTROL_TYPE_SIZE => ControlKind::Size,
        kind::LIBCAMERA_CONTROL_TYPE_POINT => ControlKind::Point,
        kind::LIBCAMERA_CONTROL_TYPE_STRING => ControlKind::Text,
        _ => return None,
    })
}

/// # Safety
/// `raw` is a definition of libcamera's.
unsafe fn enumerators(raw: *mut sys::libcamera_control_id_t) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    // SAFETY: as promised; the iterator is ours to destroy.
    unsafe {
        let iterator = sys::libcamera_control_id_enumerators_iter_create(raw);
        while sys::libcamera_control_id_enumerators_iter_has_next(iterator) {
            found.push((
                sys::libcamera_control_id_enumerators_iter_key(iterator),
                text(sys::libcamera_control_id_enumerators_iter_value(iterator)),
            ));
            sys::libcamera_control_id_enumerators_iter_next(iterator);
        }
        sys::libcamera_control_id_enumerators_iter_destroy(iterator);
    }
    found
}

/// # Safety
/// `raw` is null or a C string.
unsafe fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    unsafe { CStr::from_ptr(raw) }
        .to_string_lossy()
        .into_owned()
}
