//! How a sensor can be read out, as the raw frames tell that a camera offers.

use super::{
    device::StreamOffer,
    format::{PixelFormat, Size, StreamConfig},
};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorMode {
    pub size: Size,
    /// Bits of a pixel.
    pub depth: u32,
    /// The raw formats that it comes in.
    pub formats: Vec<PixelFormat>,
    /// A configuration that has it.
    pub config: StreamConfig,
}

impl fmt::Display for SensorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} bits", self.size, self.depth)
    }
}

/// The modes that an offer of raw frames tells of, the smallest first.
pub fn sensor_modes(raw: &StreamOffer) -> Vec<SensorMode> {
    let mut modes: Vec<SensorMode> = Vec::new();
    for offered in &raw.formats {
        let format = offered.format;
        let Some(depth) = format.sensor_depth() else {
            continue;
        };
        for size in offered.sizes.iter().copied() {
            let alike = |mode: &&mut SensorMode| mode.size == size && mode.depth == depth;
            if let Some(mode) = modes.iter_mut().find(alike) {
                mode.formats.push(format);
                continue;
            }
            modes.push(SensorMode {
                size,
                depth,
                formats: vec![format],
                config: StreamConfig {
                    format,
                    size,
                    stride: 0,
                    ..raw.default.clone()
                },
            });
        }
    }
    modes.sort_by_key(|mode| (mode.size.width, mode.size.height, mode.depth));
    modes
}
