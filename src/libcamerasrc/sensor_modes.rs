//! How the sensor can be read out: the property `sensor-modes`.

use super::{imp::LibcameraSrc, opened::Opened};
use crate::camera::{CameraDevice, SensorMode, StreamConfig, StreamRole};
use crate::video::caps::rate;

const RAW: [StreamRole; 1] = [StreamRole::Raw];

/// A mode, and the shortest and longest frame duration in microseconds that it has, where that is known.
pub type RatedMode = (SensorMode, Option<(u64, u64)>);

/// Frame rates are known only of a camera that is configured so, which one that streams cannot be.
fn rated(device: &mut dyn CameraDevice) -> Vec<RatedMode> {
    let modes = device.sensor_modes().into_iter();
    modes
        .map(|mode| {
            let configured = device.configure(&RAW, std::slice::from_ref(&mode.config));
            let is_mode = |agreed: &StreamConfig| {
                agreed.size == mode.size && agreed.format == mode.config.format
            };
            let has_mode = configured.is_ok_and(|agreed| agreed.first().is_some_and(is_mode));
            let durations = device.frame_durations().filter(|_| has_mode);
            (mode, durations)
        })
        .collect()
}

/// Fields that `sensor-config` takes, and what there is to know beside them.
fn structure((mode, durations): &RatedMode) -> gst::Structure {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let formats = mode.formats.iter().map(ToString::to_string);
    let mut structure = gst::Structure::builder("sensor/config")
        .field("width", number(mode.size.width))
        .field("height", number(mode.size.height))
        .field("depth", number(mode.depth))
        .field("formats", gst::List::new(formats))
        .build();
    if let Some((shortest, longest)) = *durations {
        structure.set("min-framerate", rate(longest));
        structure.set("max-framerate", rate(shortest));
    }
    structure
}

impl Opened {
    fn sensor_modes(&mut self) -> Vec<RatedMode> {
        match &self.modes {
            Some(modes) => modes.clone(),
            None if self.runs => {
                let modes = self.device.sensor_modes().into_iter();
                modes.map(|mode| (mode, None)).collect()
            }
            None => {
                self.device.set_sensor_config(None);
                let modes = rated(&mut *self.device);
                self.device.set_sensor_config(self.sensor);
                self.modes.insert(modes).clone()
            }
        }
    }
}

impl LibcameraSrc {
    pub fn sensor_modes(&self) -> gst::Array {
        let mut camera = self.camera.lock();
        let modes = camera.as_mut().map(Opened::sensor_modes);
        drop(camera);
        gst::Array::new(modes.unwrap_or_default().iter().map(structure))
    }
}
