//! A camera that is ours, from READY on.

use super::{negotiation, sensor_modes::RatedMode};
use crate::camera::selection::select;
use crate::camera::{
    CameraDevice, CameraError, CameraSystem, PixelFormat, SensorConfig, Size, StreamRole,
};
use crate::video::caps::{Choice, Offer};
use std::{collections::HashSet, thread, time::Duration};

/// The system goes after its camera.
#[derive(Debug)]
pub struct Opened {
    pub device: Box<dyn CameraDevice>,
    /// Configurations that lacked a rate that they were asked for, and what frame durations they have.
    limits: Vec<(Mode, (u64, u64))>,
    /// Frames that it cannot export are no DMABUFs.
    pub exports: bool,
    /// What it said when it was to start with memory of downstream's, or to fill it; it is not given any more.
    pub refuses_peers: Option<String>,
    /// Whether it streams.
    pub runs: bool,
    /// As it was asked for.
    pub sensor: Option<SensorConfig>,
    /// Once they were asked for.
    pub modes: Option<Vec<RatedMode>>,
    _system: Box<dyn CameraSystem>,
}

/// All that a frame rate depends on.
type Mode = Vec<(PixelFormat, Size)>;

fn mode(choices: &[Choice]) -> Mode {
    choices
        .iter()
        .map(|choice| (choice.format, choice.size))
        .collect()
}

impl Opened {
    /// Shortest and longest frame duration in microseconds of this configuration, where it has refused a rate.
    pub fn limits(&self, choices: &[Choice]) -> Option<(u64, u64)> {
        let mode = mode(choices);
        let known = self.limits.iter().find(|(known, _)| *known == mode);
        known.map(|(_, limits)| *limits)
    }

    /// Those, or what can be guessed: the same sizes in other formats mostly have the same.
    pub fn likely_limits(&self, choices: &[Choice]) -> Option<(u64, u64)> {
        let sizes = |mode: &Mode| mode.iter().map(|(_, size)| *size).collect::<Vec<_>>();
        let wanted = sizes(&mode(choices));
        let alike = || self.limits.iter().find(|(known, _)| sizes(known) == wanted);
        self.limits(choices)
            .or_else(|| alike().map(|(_, limits)| *limits))
    }

    /// Whether another plan can avoid why the camera has refused to start with these choices. `has_peers`: it was given memory of downstream's, which some
    /// drivers refuse only then.
    pub fn learn(&mut self, choices: &[Choice], has_peers: bool, error: &CameraError) -> bool {
        match error {
            CameraError::Call { .. } if has_peers && self.refuses_peers.is_none() => {
                self.refuses_peers = Some(error.to_string());
                true
            }
            CameraError::FrameRate { .. } if self.limits(choices).is_none() => {
                let limits = self.device.frame_durations();
                self.limits
                    .extend(limits.map(|limits| (mode(choices), limits)));
                limits.is_some()
            }
            CameraError::Allocation { .. }
                if choices.iter().any(|choice| choice.media.is_dmabuf()) =>
            {
                self.exports = false;
                true
            }
            _ => false,
        }
    }
}

/// Takes the camera that is meant, or the first one. One that is not there is looked for again a little later: libcamera leaves out cameras that udev is
/// busy with at that moment, and does not come back to them.
pub fn open(name: Option<&str>) -> Result<Opened, CameraError> {
    const MORE_LOOKS: u32 = 3;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..MORE_LOOKS {
        match look(name) {
            Err(CameraError::NoCamera | CameraError::Unknown { .. }) => thread::sleep(PAUSE),
            found => return found,
        }
    }
    look(name)
}

fn look(name: Option<&str>) -> Result<Opened, CameraError> {
    let system = system(name)?;
    let known = system.cameras()?;
    let id = match name {
        Some(name) => select(name, &known)?,
        None => known
            .first()
            .map(|first| first.id.as_str())
            .ok_or(CameraError::NoCamera)?,
    };
    let device = system.acquire(id)?;
    Ok(Opened {
        device,
        limits: Vec::new(),
        exports: true,
        refuses_peers: None,
        modes: None,
        runs: false,
        sensor: None,
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
