//! Values against what a camera can do.

use crate::camera::{ControlInfo, ControlValue, Rectangle, Scalar};

/// What becomes of a value that somebody sets.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    /// It goes to the camera.
    Fits,
    /// The nearest one that the camera has goes there.
    Clamped(ControlValue),
}

/// Compares a value with the smallest and the largest that the camera has, element by element.
pub fn check(info: &ControlInfo, value: &ControlValue) -> Checked {
    let clamped = match value {
        ControlValue::Text(_) => return Checked::Fits,
        ControlValue::One(scalar) if !info.values.is_empty() => {
            ControlValue::One(nearest_of(*scalar, &info.values))
        }
        ControlValue::One(scalar) => ControlValue::One(clamp(info, 0, *scalar)),
        ControlValue::List(scalars) => ControlValue::List(
            scalars
                .iter()
                .enumerate()
                .map(|(index, scalar)| clamp(info, index, *scalar))
                .collect(),
        ),
    };
    if clamped == *value {
        Checked::Fits
    } else {
        Checked::Clamped(clamped)
    }
}

/// One limit holds for all elements of a list, or each has its own.
fn limit(value: Option<&ControlValue>, index: usize) -> Option<Scalar> {
    match value? {
        ControlValue::One(scalar) => Some(*scalar),
        ControlValue::List(scalars) => scalars.get(index).or(scalars.first()).copied(),
        ControlValue::Text(_) => None,
    }
}

fn clamp(info: &ControlInfo, index: usize, scalar: Scalar) -> Scalar {
    let min = limit(info.min.as_ref(), index);
    let max = limit(info.max.as_ref(), index);
    match (scalar, min, max) {
        (Scalar::I32(value), Some(Scalar::I32(min)), Some(Scalar::I32(max))) if min <= max => {
            Scalar::I32(value.clamp(min, max))
        }
        (Scalar::I64(value), Some(Scalar::I64(min)), Some(Scalar::I64(max))) if min <= max => {
            Scalar::I64(value.clamp(min, max))
        }
        (Scalar::U8(value), Some(Scalar::U8(min)), Some(Scalar::U8(max))) if min <= max => {
            Scalar::U8(value.clamp(min, max))
        }
        (Scalar::U16(value), Some(Scalar::U16(min)), Some(Scalar::U16(max))) if min <= max => {
            Scalar::U16(value.clamp(min, max))
        }
        (Scalar::U32(value), Some(Scalar::U32(min)), Some(Scalar::U32(max))) if min <= max => {
            Scalar::U32(value.clamp(min, max))
        }
        (Scalar::F32(value), Some(Scalar::F32(min)), Some(Scalar::F32(max))) if min <= max => {
            // A value that is no number is as good as the smallest.
            Scalar::F32(if value.is_nan() {
                min
            } else {
                value.clamp(min, max)
            })
        }
        (Scalar::Rectangle(value), Some(Scalar::Rectangle(min)), Some(Scalar::Rectangle(max))) => {
            Scalar::Rectangle(inside(value, min, max))
        }
        _ => scalar,
    }
}

/// A rectangle that lies inside the largest one and is not smaller than the smallest.
fn inside(value: Rectangle, min: Rectangle, max: Rectangle) -> Rectangle {
    if max.width < min.width || max.height < min.height || max.width == 0 || max.height == 0 {
        return value;
    }
    let width = value.width.clamp(min.width, max.width);
    let height = value.height.clamp(min.height, max.height);
    let place = |place: i32, first: i32, room: u32| {
        let last = i64::from(first) + i64::from(room);
        i64::from(place)
            .clamp(i64::from(first), last)
            .try_into()
            .unwrap_or(first)
    };
    Rectangle {
        x: place(value.x, max.x, max.width - width),
        y: place(value.y, max.y, max.height - height),
        width,
        height,
    }
}

fn nearest_of(scalar: Scalar, values: &[ControlValue]) -> Scalar {
    let offered = values.iter().filter_map(|value| match value {
        ControlValue::One(scalar) => Some(*scalar),
        _ => None,
    });
    let distance = |other: &Scalar| match (scalar, *other) {
        (Scalar::I32(value), Scalar::I32(other)) => i64::from(value).abs_diff(other.into()),
        (value, other) => u64::from(value != other),
    };
    offered.min_by_key(distance).unwrap_or(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::ControlId;

    fn info(min: Scalar, max: Scalar) -> ControlInfo {
        ControlInfo {
            id: ControlId(1),
            min: Some(ControlValue::One(min)),
            max: Some(ControlValue::One(max)),
            default: None,
            values: Vec::new(),
        }
    }

    #[test]
    fn a_value_beyond_the_cameras_is_the_nearest_that_it_has() {
        let brightness = info(Scalar::F32(-1.0), Scalar::F32(1.0));
        let one = |value| ControlValue::One(Scalar::F32(value));
        assert_eq!(check(&brightness, &one(0.5)), Checked::Fits);
        assert_eq!(check(&brightness, &one(7.0)), Checked::Clamped(one(1.0)));
        assert_eq!(
            check(&brightness, &one(f32::NAN)),
            Checked::Clamped(one(-1.0))
        );
        let gains = ControlValue::List(vec![Scalar::F32(0.0), Scalar::F32(2.0)]);
        let clamped = ControlValue::List(vec![Scalar::F32(0.0), Scalar::F32(1.0)]);
        assert_eq!(check(&brightness, &gains), Checked::Clamped(clamped));
    }

    #[test]
    fn of_an_enumeration_only_what_the_camera_has() {
        let mut modes = info(Scalar::I32(0), Scalar::I32(9));
        modes.values = [0, 4]
            .map(|value| ControlValue::One(Scalar::I32(value)))
            .into();
        let one = |value| ControlValue::One(Scalar::I32(value));
        assert_eq!(check(&modes, &one(4)), Checked::Fits);
        assert_eq!(check(&modes, &one(3)), Checked::Clamped(one(4)));
    }

    #[test]
    fn a_crop_is_moved_into_the_sensor() {
        let rectangle = |x, y, width, height| {
            Scalar::Rectangle(Rectangle {
                x,
                y,
                width,
                height,
            })
        };
        let crop = info(rectangle(0, 0, 64, 64), rectangle(0, 0, 1920, 1080));
        let one = |x, y, width, height| ControlValue::One(rectangle(x, y, width, height));
        assert_eq!(check(&crop, &one(10, 10, 640, 480)), Checked::Fits);
        assert_eq!(
            check(&crop, &one(1900, -5, 640, 20)),
            Checked::Clamped(one(1280, 0, 640, 64))
        );
    }
}
