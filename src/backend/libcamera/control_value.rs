//! Values of controls between libcamera's memory and ours.

use super::control_table;
use crate::camera::{ControlId, ControlValue, Controls, Rectangle, Scalar, Size};
use libcamera_sys as sys;
use std::{ffi::c_uint, ptr::NonNull, slice};
use sys::libcamera_control_type as kind;

/// Bytes of each kind's element.
fn element_size(kind: kind::Type) -> Option<usize> {
    Some(match kind {
        kind::LIBCAMERA_CONTROL_TYPE_BOOL
        | kind::LIBCAMERA_CONTROL_TYPE_BYTE
        | kind::LIBCAMERA_CONTROL_TYPE_STRING => 1,
        kind::LIBCAMERA_CONTROL_TYPE_UINT16 => 2,
        kind::LIBCAMERA_CONTROL_TYPE_UINT32
        | kind::LIBCAMERA_CONTROL_TYPE_INT32
        | kind::LIBCAMERA_CONTROL_TYPE_FLOAT => 4,
        kind::LIBCAMERA_CONTROL_TYPE_INT64
        | kind::LIBCAMERA_CONTROL_TYPE_SIZE
        | kind::LIBCAMERA_CONTROL_TYPE_POINT => 8,
        kind::LIBCAMERA_CONTROL_TYPE_RECTANGLE => 16,
        _ => return None,
    })
}

/// An element's bytes as libcamera has them, if it is of that kind.
fn encode(scalar: Scalar, kind: kind::Type, bytes: &mut Vec<u8>) -> Option<()> {
    match (kind, scalar) {
        (kind::LIBCAMERA_CONTROL_TYPE_BOOL, Scalar::Bool(value)) => bytes.push(value.into()),
        (kind::LIBCAMERA_CONTROL_TYPE_BYTE, Scalar::U8(value)) => bytes.push(value),
        (kind::LIBCAMERA_CONTROL_TYPE_UINT16, Scalar::U16(value)) => {
            bytes.extend(value.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_UINT32, Scalar::U32(value)) => {
            bytes.extend(value.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_INT32, Scalar::I32(value)) => {
            bytes.extend(value.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_INT64, Scalar::I64(value)) => {
            bytes.extend(value.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_FLOAT, Scalar::F32(value)) => {
            bytes.extend(value.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_RECTANGLE, Scalar::Rectangle(value)) => {
            bytes.extend(value.x.to_ne_bytes());
            bytes.extend(value.y.to_ne_bytes());
            bytes.extend(value.width.to_ne_bytes());
            bytes.extend(value.height.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_SIZE, Scalar::Size(value)) => {
            bytes.extend(value.width.to_ne_bytes());
            bytes.extend(value.height.to_ne_bytes());
        }
        (kind::LIBCAMERA_CONTROL_TYPE_POINT, Scalar::Point { x, y }) => {
            bytes.extend(x.to_ne_bytes());
            bytes.extend(y.to_ne_bytes());
        }
        _ => return None,
    }
    Some(())
}

fn decode(kind: kind::Type, bytes: &[u8]) -> Option<Scalar> {
    let word = |at: usize| <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok();
    Some(match kind {
        kind::LIBCAMERA_CONTROL_TYPE_BOOL => Scalar::Bool(*bytes.first()? != 0),
        kind::LIBCAMERA_CONTROL_TYPE_BYTE => Scalar::U8(*bytes.first()?),
        kind::LIBCAMERA_CONTROL_TYPE_UINT16 => {
            Scalar::U16(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
        }
        kind::LIBCAMERA_CONTROL_TYPE_UINT32 => Scalar::U32(u32::from_ne_bytes(word(0)?)),
        kind::LIBCAMERA_CONTROL_TYPE_INT32 => Scalar::I32(i32::from_ne_bytes(word(0)?)),
        kind::LIBCAMERA_CONTROL_TYPE_INT64 => {
            Scalar::I64(i64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?))
        }
        kind::LIBCAMERA_CONTROL_TYPE_FLOAT => Scalar::F32(f32::from_ne_bytes(word(0)?)),
        kind::LIBCAMERA_CONTROL_TYPE_RECTANGLE => Scalar::Rectangle(Rectangle {
            x: i32::from_ne_bytes(word(0)?),
            y: i32::from_ne_bytes(word(4)?),
            width: u32::from_ne_bytes(word(8)?),
            height: u32::from_ne_bytes(word(12)?),
        }),
        kind::LIBCAMERA_CONTROL_TYPE_SIZE => Scalar::Size(Size::new(
            u32::from_ne_bytes(word(0)?),
            u32::from_ne_bytes(word(4)?),
        )),
        kind::LIBCAMERA_CONTROL_TYPE_POINT => Scalar::Point {
            x: i32::from_ne_bytes(word(0)?),
            y: i32::from_ne_bytes(word(4)?),
        },
        _ => return None,
    })
}

/// A value as we have it. `None` for one that is empty, or of a kind that we do not know.
///
/// # Safety
/// `value` is a live control value.
pub unsafe fn read(value: *const sys::libcamera_control_value_t) -> Option<ControlValue> {
    let mut read = ControlValue::List(Vec::new());
    // SAFETY: as promised.
    unsafe { read_into(value, &mut read) }?;
    Some(read)
}

/// The same over a value that there was before, whose memory is used again where the two are lists. `None` leaves anything.
///
/// # Safety
/// `value` is a live control value.
pub unsafe fn read_into(
    value: *const sys::libcamera_control_value_t,
    read: &mut ControlValue,
) -> Option<()> {
    // SAFETY: as promised; the value's bytes are as many as its type and its number of elements say.
    let (kind, is_list, bytes) = unsafe {
        let kind = sys::libcamera_control_value_type(value);
        let size = element_size(kind)? * sys::libcamera_control_value_num_elements(value);
        let data = sys::libcamera_control_value_get(value).cast::<u8>();
        let bytes = if size == 0 {
            &[]
        } else {
            slice::from_raw_parts(data, size)
        };
        (kind, sys::libcamera_control_value_is_array(value), bytes)
    };
    if kind == kind::LIBCAMERA_CONTROL_TYPE_STRING {
        *read = ControlValue::Text(String::from_utf8_lossy(bytes).into_owned());
        return Some(());
    }
    if !is_list {
        *read = ControlValue::One(decode(kind, bytes)?);
        return Some(());
    }
    let mut scalars = match read {
        ControlValue::List(scalars) => std::mem::take(scalars),
        _ => Vec::new(),
    };
    scalars.clear();
    for element in bytes.chunks_exact(element_size(kind)?) {
        scalars.push(decode(kind, element)?);
    }
    *read = ControlValue::List(scalars);
    Some(())
}

/// Sets a control in a list. False, and nothing is set, when libcamera defines no such control, or the value is of another type or length:
/// libcamera would abort the process when it reads it.
///
/// # Safety
/// `list` is a live control list that nobody else uses now.
pub unsafe fn write(
    list: *mut sys::libcamera_control_list_t,
    id: ControlId,
    value: &ControlValue,
) -> bool {
    let Some(definition) = control_table::shape(id) else {
        return false;
    };
    let mut bytes = Vec::new();
    let (encoded, count) = match value {
        ControlValue::Text(text) if definition.kind == kind::LIBCAMERA_CONTROL_TYPE_STRING => {
            bytes.extend(text.bytes());
            (Some(()), text.len())
        }
        ControlValue::Text(_) => return false,
        ControlValue::One(scalar) if !definition.is_list => {
            (encode(*scalar, definition.kind, &mut bytes), 1)
        }
        ControlValue::List(scalars) if definition.is_list => {
            let encoded = scalars
                .iter()
                .try_for_each(|scalar| encode(*scalar, definition.kind, &mut bytes));
            (encoded, scalars.len())
        }
        ControlValue::One(_) | ControlValue::List(_) => return false,
    };
    let fits = definition.length.is_none_or(|length| length == count);
    if encoded.is_none() || !fits {
        return false;
    }
    // SAFETY: the list lives; the value is of the type that the control's definition asks for, and lives for the call.
    unsafe {
        let raw = sys::libcamera_control_value_create();
        sys::libcamera_control_value_set(
            raw,
            definition.kind,
            bytes.as_ptr().cast(),
            definition.is_list,
            count,
        );
        sys::libcamera_control_list_set(list, id.0 as c_uint, raw);
        sys::libcamera_control_value_destroy(raw);
    }
    true
}

/// A list of controls for a camera, to be handed to its start.
pub struct ControlList(NonNull<sys::libcamera_control_list_t>);

impl ControlList {
    /// What the camera lacks, or what does not fit, is left out. `None` where nothing is left.
    ///
    /// # Safety
    /// `map` is the live control map of the camera that is to have them.
    pub unsafe fn new(
        map: *const sys::libcamera_control_info_map_t,
        controls: &Controls,
    ) -> Option<Self> {
        // SAFETY: as promised; the list is ours.
        unsafe {
            let list = Self(NonNull::new(
                sys::libcamera_control_list_create_with_info_map(map),
            )?);
            let mut set = false;
            for (id, value) in controls.iter() {
                if sys::libcamera_control_info_map_count(map, id.0 as c_uint) > 0 {
                    set |= write(list.0.as_ptr(), id, value);
                }
            }
            set.then_some(list)
        }
    }

    pub fn raw(&self) -> *const sys::libcamera_control_list_t {
        self.0.as_ptr()
    }
}

impl Drop for ControlList {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { sys::libcamera_control_list_destroy(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::backend::libcamera::{control_definitions, controls};
    use crate::camera::{ControlDefinition, ControlKind};

    fn scalar(kind: ControlKind) -> Option<Scalar> {
        Some(match kind {
            ControlKind::Bool => Scalar::Bool(true),
            ControlKind::U8 => Scalar::U8(200),
            ControlKind::U16 => Scalar::U16(60_000),
            ControlKind::U32 => Scalar::U32(4_000_000_000),
            ControlKind::I32 => Scalar::I32(-70_000),
            ControlKind::I64 => Scalar::I64(-5_000_000_000),
            ControlKind::F32 => Scalar::F32(-0.25),
            ControlKind::Rectangle => Scalar::Rectangle(Rectangle {
                x: -1,
                y: 2,
                width: 3,
                height: 4,
            }),
            ControlKind::Size => Scalar::Size(Size::new(5, 6)),
            ControlKind::Point => Scalar::Point { x: -7, y: 8 },
            ControlKind::Text => return None,
        })
    }

    fn value(definition: &ControlDefinition) -> ControlValue {
        match scalar(definition.kind) {
            None => ControlValue::Text("words".to_owned()),
            Some(scalar) if definition.is_list => {
                ControlValue::List(vec![scalar; definition.length.unwrap_or(3)])
            }
            Some(scalar) => ControlValue::One(scalar),
        }
    }

    #[test]
    fn every_control_of_libcamera_is_written_and_read_as_it_was() {
        let mut kinds = std::collections::HashSet::new();
        // SAFETY: the list is ours, and used here alone.
        let list = unsafe { sys::libcamera_control_list_create() };
        for definition in control_definitions() {
            let (id, written) = (definition.id, value(definition));
            // SAFETY: the list lives.
            let read = unsafe {
                assert!(write(list, id, &written), "{}", definition.name);
                controls::value(list, id.0)
            };
            assert_eq!(read, Some(written), "{}", definition.name);
            kinds.insert(definition.kind);
            let other = match definition.kind {
                ControlKind::Bool => Scalar::F32(1.0),
                _ => Scalar::Bool(true),
            };
            // SAFETY: the list lives.
            unsafe {
                assert!(!write(list, id, &ControlValue::One(other)), "another type");
            }
        }
        // SAFETY: the list is ours.
        unsafe { sys::libcamera_control_list_destroy(list) };
        for kind in [
            ControlKind::Bool,
            ControlKind::I32,
            ControlKind::I64,
            ControlKind::F32,
        ] {
            assert!(kinds.contains(&kind), "{kind:?}");
        }
    }
}
