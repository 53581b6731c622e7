//! Pixel formats, sizes and stream configurations.

use std::fmt;

/// A pixel format by its DRM fourcc and modifier, as libcamera names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    pub fourcc: u32,
    pub modifier: u64,
}

impl PixelFormat {
    pub const fn new(fourcc: &[u8; 4]) -> Self {
        Self {
            fourcc: u32::from_le_bytes(*fourcc),
            modifier: 0,
        }
    }
}

impl PixelFormat {
    /// Bits of a pixel as the sensor gives it, for the formats of raw frames.
    pub fn sensor_depth(self) -> Option<u32> {
        Some(match &self.fourcc.to_le_bytes() {
            b"RGGB" | b"GRBG" | b"GBRG" | b"BA81" | b"R8  " => 8,
            b"RG10" | b"BA10" | b"GB10" | b"BG10" | b"R10 " => 10,
            b"RG12" | b"BA12" | b"GB12" | b"BG12" | b"R12 " => 12,
            b"RG14" | b"GR14" | b"GB14" | b"BG14" | b"R14 " => 14,
            b"RGB6" | b"GR16" | b"GB16" | b"BYR2" | b"R16 " => 16,
            _ => return None,
        })
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.fourcc.to_le_bytes() {
            write!(f, "{}", byte.escape_ascii())?;
        }
        if self.modifier != 0 {
            write!(f, ":{:#x}", self.modifier)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Sizes from `min` to `max`, each dimension a whole number of steps above `min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    pub min: Size,
    pub max: Size,
    pub step: Size,
}

/// One pixel format of a stream, with the sizes that it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFormat {
    pub format: PixelFormat,
    pub sizes: Vec<Size>,
    pub range: Option<SizeRange>,
}

/// What a stream is for; cameras choose sizes, formats and processing by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamRole {
    Raw,
    StillCapture,
    VideoRecording,
    ViewFinder,
}

impl fmt::Display for StreamRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::StillCapture => "still-capture",
            Self::VideoRecording => "video-recording",
            Self::ViewFinder => "view-finder",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primaries {
    Raw,
    Smpte170m,
    Rec709,
    Rec2020,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    Linear,
    Srgb,
    Rec709,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    None,
    Rec601,
    Rec709,
    Rec2020,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Full,
    Limited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorSpace {
    pub primaries: Primaries,
    pub transfer: Transfer,
    pub encoding: Encoding,
    pub range: Range,
}

/// How the sensor itself is to be read out, whatever the streams are scaled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorConfig {
    pub size: Size,
    /// Bits of a pixel.
    pub depth: u32,
    pub binning: Option<(u32, u32)>,
    /// Steps in x over odd and even columns, in y over odd and even rows.
    pub skipping: Option<[u32; 4]>,
    pub crop: Option<super::Rectangle>,
}

/// A stream as it was asked for, or as the camera has agreed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    pub format: PixelFormat,
    pub size: Size,
    /// Bytes from one line of the first plane to the next; 0 lets the camera choose.
    pub stride: u32,
    /// Bytes of one frame; the camera's to say.
    pub frame_size: u32,
    /// Frames that the camera wants to work with.
    pub buffer_count: u32,
    pub color_space: Option<ColorSpace>,
}
