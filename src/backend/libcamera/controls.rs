//! The controls, properties and metadata that the source itself reads. Types and shapes are checked before bytes are read.

use libcamera_sys as sys;
use std::{ffi::c_uint, ptr::NonNull, slice};

use sys::libcamera_control_type as control_type;

/// # Safety
/// `list` is a live control list.
unsafe fn value<'a>(
    list: *const sys::libcamera_control_list_t,
    id: c_uint,
) -> Option<&'a sys::libcamera_control_value_t> {
    // SAFETY: as promised. The getter changes nothing, though its signature would let it.
    unsafe { sys::libcamera_control_list_get(list.cast_mut(), id).as_ref() }
}

/// # Safety
/// `value` is a live control value.
unsafe fn first_i64(value: *const sys::libcamera_control_value_t) -> Option<i64> {
    // SAFETY: as promised; the data is read only when there is an element, and of that type.
    unsafe {
        let holds = !value.is_null()
            && sys::libcamera_control_value_type(value)
                == control_type::LIBCAMERA_CONTROL_TYPE_INT64
            && sys::libcamera_control_value_num_elements(value) > 0;
        holds.then(|| {
            sys::libcamera_control_value_get(value)
                .cast::<i64>()
                .read_unaligned()
        })
    }
}

/// # Safety
/// `list` is a live control list.
pub unsafe fn integer(list: *const sys::libcamera_control_list_t, id: c_uint) -> Option<i64> {
    // SAFETY: as promised.
    unsafe { first_i64(value(list, id)?) }
}

/// # Safety
/// `list` is a live control list.
pub unsafe fn string(list: *const sys::libcamera_control_list_t, id: c_uint) -> Option<String> {
    // SAFETY: as promised; a string's elements are its bytes.
    unsafe {
        let value = value(list, id)?;
        if sys::libcamera_control_value_type(value) != control_type::LIBCAMERA_CONTROL_TYPE_STRING {
            return None;
        }
        let length = sys::libcamera_control_value_num_elements(value);
        if length == 0 {
            return Some(String::new());
        }
        let bytes =
            slice::from_raw_parts(sys::libcamera_control_value_get(value).cast::<u8>(), length);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// The smallest and largest value of a control; `None` where the camera lacks it or gives no positive range.
///
/// # Safety
/// `map` is a live control map.
pub unsafe fn limits(
    map: *const sys::libcamera_control_info_map_t,
    id: c_uint,
) -> Option<(u64, u64)> {
    // SAFETY: as promised; the getters change nothing.
    unsafe {
        if map.is_null() || sys::libcamera_control_info_map_count(map, id) == 0 {
            return None;
        }
        let info = sys::libcamera_control_info_map_find(map, id);
        let info = NonNull::new(info.cast_mut())?.as_ptr();
        let min = first_i64(sys::libcamera_control_info_min(info))?;
        let max = first_i64(sys::libcamera_control_info_max(info))?;
        (min > 0 && max >= min).then_some((min.unsigned_abs(), max.unsigned_abs()))
    }
}
