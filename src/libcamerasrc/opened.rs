//! A camera that is ours, from READY on.

use super::negotiation;
use crate::camera::{CameraDevice, CameraError, CameraSystem, StreamRole};
use crate::video::caps::Offer;
use std::collections::HashSet;

/// The system goes after its camera.
#[derive(Debug)]
pub struct Opened {
    pub device: Box<dyn CameraDevice>,
    _system: Box<dyn CameraSystem>,
}

/// Takes the camera of that name, or the first one.
pub fn open(name: Option<&str>) -> Result<Opened, CameraError> {
    let system = system(name)?;
    let known = system.cameras()?;
    let Some(first) = known.first() else {
        return Err(CameraError::NoCamera);
    };
    let device = system.acquire(name.unwrap_or(&first.id))?;
    Ok(Opened {
        device,
        _system: system,
    })
}

/// What the camera offers for each of these roles alone. (libcamera logs an error for each role that a camera lacks: no other is asked for.)
pub fn offers(
    device: &dyn CameraDevice,
    roles: &HashSet<StreamRole>,
) -> Result<Vec<(StreamRole, Offer)>, CameraError> {
    let mut offers = Vec::new();
    for role in roles {
        let offer = negotiation::offers(device, &[*role])?;
        offers.extend(offer.into_iter().map(|offer| (*role, offer)));
    }
    Ok(offers)
}

/// Where a camera of that name is to be looked for.
fn system(name: Option<&str>) -> Result<Box<dyn CameraSystem>, CameraError> {
    #[cfg(feature = "simulated")]
    if name.is_some_and(|name| name.starts_with("simulated")) {
        return Ok(Box::new(crate::backend::simulated::Simulated));
    }
    let _ = name;
    libcamera()
}

#[cfg(feature = "libcamera")]
fn libcamera() -> Result<Box<dyn CameraSystem>, CameraError> {
    Ok(Box::new(crate::backend::libcamera::Libcamera::new()?))
}

#[cfg(not(feature = "libcamera"))]
fn libcamera() -> Result<Box<dyn CameraSystem>, CameraError> {
    Err(CameraError::NoCamera)
}
