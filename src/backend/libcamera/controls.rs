//! The controls, properties and metadata that the source itself reads.

use super::control_value::{read, read_into};
use crate::camera::{ControlId, ControlInfo, ControlValue, Controls, Scalar};
use libcamera_sys as sys;
use std::{ffi::c_uint, ptr::NonNull};

/// # Safety
/// `list` is a live control list.
pub unsafe fn value(
    list: *const sys::libcamera_control_list_t,
    id: c_uint,
) -> Option<ControlValue> {
    // SAFETY: as promised. The getter changes nothing, though its signature would let it; the value lives as long as the list.
    unsafe {
        let value = NonNull::new(sys::libcamera_control_list_get(list.cast_mut(), id).cast_mut())?;
        read(value.as_ptr())
    }
}

/// # Safety
/// `list` is a live control list.
pub unsafe fn integer(list: *const sys::libcamera_control_list_t, id: c_uint) -> Option<i64> {
    // SAFETY: as promised.
    first_integer(unsafe { value(list, id) }?)
}

fn first_integer(value: ControlValue) -> Option<i64> {
    match value {
        ControlValue::One(Scalar::I64(value)) => Some(value),
        ControlValue::List(values) => match values.first() {
            Some(Scalar::I64(value)) => Some(*value),
            _ => None,
        },
        _ => None,
    }
}

/// All that a list holds.
///
/// # Safety
/// `list` is a live control list.
pub unsafe fn all(list: *const sys::libcamera_control_list_t) -> Controls {
    let mut found = Controls::default();
    // SAFETY: as promised.
    unsafe { each(list, |id, value| set(&mut found, id, value)) };
    found
}

/// Reads one list after the other. Most hold the same controls, and are read without allocating anything.
#[derive(Debug, Default)]
pub struct Reader {
    /// All that were ever seen.
    known: Vec<ControlId>,
}

impl Reader {
    /// Over what was read before.
    ///
    /// # Safety
    /// `list` is a live control list.
    pub unsafe fn read(
        &mut self,
        list: *const sys::libcamera_control_list_t,
        controls: &mut Controls,
    ) {
        // SAFETY: as promised; reading changes nothing, though the signature would let it.
        unsafe {
            let mut found = 0;
            for id in &self.known {
                let value = sys::libcamera_control_list_get(list.cast_mut(), id.0 as c_uint);
                if value.is_null() {
                    controls.remove(*id);
                } else {
                    found += 1;
                    set(controls, *id, value);
                }
            }
            if found == sys::libcamera_control_list_size(list) && controls.len() <= found {
                return;
            }
            // There are some that it has not seen before.
            controls.clear();
            each(list, |id, value| {
                set(controls, id, value);
                if !self.known.contains(&id) {
                    self.known.push(id);
                }
            });
        }
    }
}

/// # Safety
/// `value` is a live control value.
unsafe fn set(
    controls: &mut Controls,
    id: ControlId,
    value: *const sys::libcamera_control_value_t,
) {
    // SAFETY: as promised.
    unsafe {
        match controls.get_mut(id) {
            Some(before) => {
                if read_into(value, before).is_none() {
                    controls.remove(id);
                }
            }
            None => {
                if let Some(value) = read(value) {
                    controls.set(id, value);
                }
            }
        }
    }
}

/// Calls `found` for each control of a list.
///
/// # Safety
/// `list` is a live control list.
unsafe fn each(
    list: *const sys::libcamera_control_list_t,
    mut found: impl FnMut(ControlId, *const sys::libcamera_control_value_t),
) {
    // SAFETY: as promised; iterating changes nothing, though the signature would let it. The iterator is ours to destroy.
    unsafe {
        let iterator = sys::libcamera_control_list_iter(list.cast_mut());
        while !sys::libcamera_control_list_iter_end(iterator) {
            let id = ControlId(sys::libcamera_control_list_iter_id(iterator));
            found(id, sys::libcamera_control_list_iter_value(iterator));
            sys::libcamera_control_list_iter_next(iterator);
        }
        sys::libcamera_control_list_iter_destroy(iterator);
    }
}

/// The controls that a camera has.
///
/// # Safety
/// `map` is null or a live control map.
pub unsafe fn infos(map: *const sys::libcamera_control_info_map_t) -> Vec<ControlInfo> {
    let mut found = Vec::new();
    // SAFETY: as promised; the getters change nothing; the iterator is ours to destroy.
    unsafe {
        let iterator = sys::libcamera_control_info_map_iter_create(map);
        while sys::libcamera_control_info_map_iter_has_next(iterator) {
            let id = sys::libcamera_control_info_map_iter_key(iterator);
            let info = sys::libcamera_control_info_map_iter_value(iterator).cast_mut();
            if !info.is_null() {
                found.push(ControlInfo {
                    id: ControlId(id),
                    min: read(sys::libcamera_control_info_min(info)),
                    max: read(sys::libcamera_control_info_max(info)),
                    default: read(sys::libcamera_control_info_def(info)),
                    values: values(info),
                });
            }
            sys::libcamera_control_info_map_iter_next(iterator);
        }
        sys::libcamera_control_info_map_iter_destroy(iterator);
    }
    found.sort_by_key(|info| info.id);
    found
}

/// # Safety
/// `info` is live.
unsafe fn values(info: *const sys::libcamera_control_info_t) -> Vec<ControlValue> {
    let mut count = 0;
    // SAFETY: as promised; the values lie one behind the other, each of the size that libcamera says.
    unsafe {
        let first = sys::libcamera_control_info_values(info, &mut count).cast::<u8>();
        let size = sys::libcamera_control_value_size();
        (0..count)
            .filter_map(|index| read(first.add(index * size).cast()))
            .collect()
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
    let (min, max) = unsafe {
        if map.is_null() || sys::libcamera_control_info_map_count(map, id) == 0 {
            return None;
        }
        let info = sys::libcamera_control_info_map_find(map, id);
        let info = NonNull::new(info.cast_mut())?.as_ptr();
        (
            first_integer(read(sys::libcamera_control_info_min(info))?)?,
            first_integer(read(sys::libcamera_control_info_max(info))?)?,
        )
    };
    (min > 0 && max >= min).then_some((min.unsigned_abs(), max.unsigned_abs()))
}
