//! How pictures lie, as libcamera says it and as it is.

use super::{camera::Acquired, configuration::Configuration};
use crate::camera::{ControlValue, Orientation, Scalar};
use libcamera_sys as sys;
use sys::libcamera_orientation as raw;

/// libcamera names them by a turn clockwise and a mirror after it.
const ORIENTATIONS: [(sys::libcamera_orientation_t, Orientation); 8] = [
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_0,
        Orientation::new(0, false),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_0_MIRROR,
        Orientation::new(0, true),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_180,
        Orientation::new(2, false),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_180_MIRROR,
        Orientation::new(2, true),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_90_MIRROR,
        Orientation::new(1, true),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_270,
        Orientation::new(3, false),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_270_MIRROR,
        Orientation::new(3, true),
    ),
    (
        raw::LIBCAMERA_ORIENTATION_ROTATE_90,
        Orientation::new(1, false),
    ),
];

/// Pipeline handlers that take any orientation for possible and turn nothing, in libcamera up to 0.7: they never look at it.
const INDIFFERENT: [&str; 2] = ["virtual", "imx8-isi"];

pub fn ask(configuration: &mut Configuration, wanted: Orientation) {
    if let Some((raw, _)) = ORIENTATIONS.iter().find(|(_, other)| *other == wanted) {
        // SAFETY: the configuration lives, and nobody else has it.
        unsafe { sys::libcamera_camera_configuration_set_orientation(configuration.raw(), *raw) };
    }
}

/// What a validated configuration delivers.
pub fn of(camera: &Acquired, configuration: &Configuration) -> Orientation {
    // Older libcameras do not say which handler a camera has, and are believed.
    let handler = camera.handler();
    if handler.is_some_and(|handler| INDIFFERENT.contains(&handler.as_str())) {
        return mounted(camera);
    }
    // SAFETY: the configuration lives.
    let raw = unsafe { sys::libcamera_camera_configuration_get_orientation(configuration.raw()) };
    let named = ORIENTATIONS.iter().find(|(other, _)| *other == raw);
    named.map_or(Orientation::UPRIGHT, |(_, orientation)| *orientation)
}

/// How they lie if nobody turns them: by as much as the camera is turned the other way.
fn mounted(camera: &Acquired) -> Orientation {
    let quarters = match camera.property(sys::ROTATION) {
        Some(ControlValue::One(Scalar::I32(degrees))) => (degrees / 90).rem_euclid(4),
        _ => 0,
    };
    Orientation::new(quarters as u8, false)
}
