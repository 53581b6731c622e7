//! The configuration of a camera's streams, as generated, changed, validated.

use crate::camera::{
    ColorSpace, PixelFormat, SensorConfig, Size, SizeRange, StreamConfig, StreamFormat,
    StreamOffer, StreamRole,
    format::{Encoding, Primaries, Range, Transfer},
};
use libcamera_sys as sys;
use std::ptr::NonNull;

#[derive(Debug)]
pub enum Validity {
    Valid,
    Adjusted,
    Invalid,
}

/// A camera configuration, with the number of streams that it was generated for.
#[derive(Debug)]
pub struct Configuration {
    raw: NonNull<sys::libcamera_camera_configuration_t>,
    streams: usize,
}

// SAFETY: a plain value that no other thread has.
unsafe impl Send for Configuration {}

impl Configuration {
    pub(super) fn generate(
        camera: *mut sys::libcamera_camera_t,
        roles: &[StreamRole],
    ) -> Option<Self> {
        use sys::libcamera_stream_role as raw;
        let roles: Vec<raw::Type> = roles
            .iter()
            .map(|role| match role {
                StreamRole::Raw => raw::LIBCAMERA_STREAM_ROLE_RAW,
                StreamRole::StillCapture => raw::LIBCAMERA_STREAM_ROLE_STILL_CAPTURE,
                StreamRole::VideoRecording => raw::LIBCAMERA_STREAM_ROLE_VIDEO_RECORDING,
                StreamRole::ViewFinder => raw::LIBCAMERA_STREAM_ROLE_VIEW_FINDER,
            })
            .collect();
        // SAFETY: the camera lives; the result is null or ours.
        let raw = unsafe {
            sys::libcamera_camera_generate_configuration(camera, roles.as_ptr(), roles.len())
        };
        let configuration = Self {
            raw: NonNull::new(raw)?,
            streams: roles.len(),
        };
        // SAFETY: the configuration is ours.
        let size = unsafe { sys::libcamera_camera_configuration_size(configuration.raw.as_ptr()) };
        (size == roles.len()).then_some(configuration)
    }

    pub(super) fn raw(&self) -> *mut sys::libcamera_camera_configuration_t {
        self.raw.as_ptr()
    }

    fn stream_configuration(
        &self,
        stream: usize,
    ) -> Option<NonNull<sys::libcamera_stream_configuration_t>> {
        if stream >= self.streams {
            return None;
        }
        // SAFETY: `generate` has made sure that there are so many; the address is an element of the configuration's vector, which does not change.
        NonNull::new(unsafe { sys::libcamera_camera_configuration_at(self.raw.as_ptr(), stream) })
    }

    fn stream_configurations(
        &self,
    ) -> impl Iterator<Item = NonNull<sys::libcamera_stream_configuration_t>> {
        (0..self.streams).filter_map(|stream| self.stream_configuration(stream))
    }

    /// The streams that `configure` has chosen. They belong to the camera.
    pub(super) fn streams(&self) -> Vec<*mut sys::libcamera_stream_t> {
        self.stream_configurations()
            // SAFETY: the stream configuration lives.
            .map(|raw| unsafe { sys::libcamera_stream_configuration_stream(raw.as_ptr()) })
            .collect()
    }

    pub fn get(&self) -> Vec<StreamConfig> {
        self.stream_configurations().map(stream_config).collect()
    }

    pub fn set(&mut self, wanted: &[StreamConfig]) {
        for (mut raw, wanted) in self.stream_configurations().zip(wanted) {
            // SAFETY: the stream configuration lives, nobody else has it, and the fields' offsets are asserted by libcamera-sys.
            let fields = unsafe { raw.as_mut() };
            fields.pixel_format.fourcc = wanted.format.fourcc;
            fields.pixel_format.modifier = wanted.format.modifier;
            fields.size.width = wanted.size.width;
            fields.size.height = wanted.size.height;
            fields.stride = wanted.stride;
            if wanted.buffer_count > 0 {
                fields.buffer_count = wanted.buffer_count;
            }
            if let Some(space) = wanted.color_space {
                // SAFETY: the stream configuration lives, and copies the space.
                unsafe {
                    let space = raw_color_space(space);
                    sys::libcamera_stream_configuration_set_color_space(raw.as_ptr(), &space);
                }
            }
        }
    }

    pub fn set_sensor(&mut self, config: &SensorConfig) {
        // SAFETY: the configuration is ours, and copies the sensor's, which is ours to destroy.
        unsafe {
            let raw = sys::libcamera_sensor_configuration_create();
            let Size { width, height } = config.size;
            sys::libcamera_sensor_configuration_set_output_size(raw, width, height);
            sys::libcamera_sensor_configuration_set_bit_depth(raw, config.depth);
            if let Some((x, y)) = config.binning {
                sys::libcamera_sensor_configuration_set_binning(raw, x, y);
            }
            if let Some([x_odd, x_even, y_odd, y_even]) = config.skipping {
                sys::libcamera_sensor_configuration_set_skipping(raw, x_odd, x_even, y_odd, y_even);
            }
            if let Some(crop) = config.crop {
                let crop = sys::libcamera_rectangle_t {
                    x: crop.x,
                    y: crop.y,
                    width: crop.width,
                    height: crop.height,
                };
                sys::libcamera_sensor_configuration_set_analog_crop(raw, &crop);
            }
            sys::libcamera_camera_set_sensor_configuration(self.raw.as_ptr(), raw);
            sys::libcamera_sensor_configuration_destroy(raw);
        }
    }

    pub fn validate(&mut self) -> Validity {
        use sys::libcamera_camera_configuration_status as status;
        // SAFETY: the configuration is ours.
        match unsafe { sys::libcamera_camera_configuration_validate(self.raw.as_ptr()) } {
            status::LIBCAMERA_CAMERA_CONFIGURATION_STATUS_VALID => Validity::Valid,
            status::LIBCAMERA_CAMERA_CONFIGURATION_STATUS_ADJUSTED => Validity::Adjusted,
            _ => Validity::Invalid,
        }
    }

    /// All that the streams offer.
    pub fn offers(&self) -> Vec<StreamOffer> {
        let offer = |raw| {
            let default = stream_config(raw);
            StreamOffer {
                formats: formats(raw, default.format),
                default,
            }
        };
        self.stream_configurations().map(offer).collect()
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        // SAFETY: the configuration is ours.
        unsafe { sys::libcamera_camera_configuration_destroy(self.raw.as_ptr()) };
    }
}

fn stream_config(raw: NonNull<sys::libcamera_stream_configuration_t>) -> StreamConfig {
    // SAFETY: the stream configuration lives, and the fields' offsets are asserted by libcamera-sys.
    unsafe {
        let fields = raw.as_ref();
        StreamConfig {
            format: pixel_format(&fields.pixel_format),
            size: size(&fields.size),
            stride: fields.stride,
            frame_size: fields.frame_size,
            buffer_count: fields.buffer_count,
            color_space: sys::libcamera_stream_configuration_has_color_space(raw.as_ptr())
                .then(|| sys::libcamera_stream_configuration_get_color_space(raw.as_ptr()))
                .and_then(|raw| color_space(&raw)),
        }
    }
}

/// The formats of a stream. libcamera keeps them sorted by number; the one that it chose by itself comes first here.
fn formats(
    raw: NonNull<sys::libcamera_stream_configuration_t>,
    chosen: PixelFormat,
) -> Vec<StreamFormat> {
    // SAFETY: the formats live as long as the configuration; the lists are ours to destroy.
    let mut formats: Vec<StreamFormat> = unsafe {
        let formats = sys::libcamera_stream_configuration_formats(raw.as_ptr());
        let list = sys::libcamera_stream_formats_pixel_formats(formats);
        let found = (0..sys::libcamera_pixel_formats_size(list))
            .map(|index| {
                let format = sys::libcamera_pixel_formats_get(list, index);
                let sizes = sys::libcamera_stream_formats_sizes(formats, &format);
                let found = StreamFormat {
                    format: pixel_format(&format),
                    sizes: (0..sys::libcamera_sizes_size(sizes))
                        .map(|index| size(&*sys::libcamera_sizes_at(sizes, index)))
                        .collect(),
                    range: size_range(&sys::libcamera_stream_formats_range(formats, &format)),
                };
                sys::libcamera_sizes_destroy(sizes);
                found
            })
            .collect();
        sys::libcamera_pixel_formats_destroy(list);
        found
    };
    put_first(&mut formats, chosen);
    formats
}

fn put_first(formats: &mut [StreamFormat], chosen: PixelFormat) {
    formats.sort_by_key(|offered| offered.format != chosen);
}

fn pixel_format(raw: &sys::libcamera_pixel_format_t) -> PixelFormat {
    PixelFormat {
        fourcc: raw.fourcc,
        modifier: raw.modifier,
    }
}

fn size(raw: &sys::libcamera_size_t) -> Size {
    Size::new(raw.width, raw.height)
}

/// A range without steps is libcamera's way to say that only the listed sizes are known.
fn size_range(raw: &sys::libcamera_size_range_t) -> Option<SizeRange> {
    (raw.hStep > 0 && raw.vStep > 0).then(|| SizeRange {
        min: size(&raw.min),
        max: size(&raw.max),
        step: Size::new(raw.hStep, raw.vStep),
    })
}

fn color_space(raw: &sys::libcamera_color_space_t) -> Option<ColorSpace> {
    use sys::{
        libcamera_color_space_primaries as primaries, libcamera_color_space_range as range,
        libcamera_color_space_transfer_function as transfer,
        libcamera_color_space_ycbcr_encoding as encoding,
    };
    Some(ColorSpace {
        primaries: match raw.primaries {
            primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_RAW => Primaries::Raw,
            primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_SMPTE170M => Primaries::Smpte170m,
            primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_REC709 => Primaries::Rec709,
            primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_REC2020 => Primaries::Rec2020,
            _ => return None,
        },
        transfer: match raw.transfer_function {
            transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_LINEAR => Transfer::Linear,
            transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_SRGB => Transfer::Srgb,
            transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_REC709 => Transfer::Rec709,
            _ => return None,
        },
        encoding: match raw.ycbcr_encoding {
            encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_NONE => Encoding::None,
            encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC601 => Encoding::Rec601,
            encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC709 => Encoding::Rec709,
            encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC2020 => Encoding::Rec2020,
            _ => return None,
        },
        range: match raw.range {
            range::LIBCAMERA_COLOR_SPACE_RANGE_FULL => Range::Full,
            range::LIBCAMERA_COLOR_SPACE_RANGE_LIMITED => Range::Limited,
            _ => return None,
        },
    })
}

fn raw_color_space(space: ColorSpace) -> sys::libcamera_color_space {
    use sys::{
        libcamera_color_space_primaries as primaries, libcamera_color_space_range as range,
        libcamera_color_space_transfer_function as transfer,
        libcamera_color_space_ycbcr_encoding as encoding,
    };
    sys::libcamera_color_space {
        primaries: match space.primaries {
            Primaries::Raw => primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_RAW,
            Primaries::Smpte170m => primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_SMPTE170M,
            Primaries::Rec709 => primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_REC709,
            Primaries::Rec2020 => primaries::LIBCAMERA_COLOR_SPACE_PRIMARIES_REC2020,
        },
        transfer_function: match space.transfer {
            Transfer::Linear => transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_LINEAR,
            Transfer::Srgb => transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_SRGB,
            Transfer::Rec709 => transfer::LIBCAMERA_COLOR_SPACE_TRANSFER_FUNCTION_REC709,
        },
        ycbcr_encoding: match space.encoding {
            Encoding::None => encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_NONE,
            Encoding::Rec601 => encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC601,
            Encoding::Rec709 => encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC709,
            Encoding::Rec2020 => encoding::LIBCAMERA_COLOR_SPACE_YCBCR_ENCODING_REC2020,
        },
        range: match space.range {
            Range::Full => range::LIBCAMERA_COLOR_SPACE_RANGE_FULL,
            Range::Limited => range::LIBCAMERA_COLOR_SPACE_RANGE_LIMITED,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_that_libcamera_chose_comes_first_and_the_others_keep_their_order() {
        let format = |fourcc| StreamFormat {
            format: PixelFormat::new(fourcc),
            sizes: Vec::new(),
            range: None,
        };
        let mut formats = [b"R8  ", b"YUYV", b"NV12", b"XR24"].map(format);
        put_first(&mut formats, PixelFormat::new(b"NV12"));
        let names = formats.map(|offered| offered.format.to_string());
        assert_eq!(names, ["NV12", "R8  ", "YUYV", "XR24"]);
    }
}
