//! Colour spaces.

use crate::camera::ColorSpace;
use crate::camera::format::{Encoding, Primaries, Range, Transfer};
use gst_video::{
    VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoTransferFunction,
};

/// The `colorimetry` of caps; `None` for raw sensor data, which has none.
pub fn colorimetry(space: &ColorSpace) -> Option<String> {
    let primaries = match space.primaries {
        Primaries::Raw => return None,
        Primaries::Smpte170m => VideoColorPrimaries::Smpte170m,
        Primaries::Rec709 => VideoColorPrimaries::Bt709,
        Primaries::Rec2020 => VideoColorPrimaries::Bt2020,
    };
    let transfer = match space.transfer {
        Transfer::Linear => VideoTransferFunction::Gamma10,
        Transfer::Srgb => VideoTransferFunction::Srgb,
        Transfer::Rec709 => VideoTransferFunction::Bt709,
    };
    let matrix = match space.encoding {
        Encoding::None => VideoColorMatrix::Rgb,
        Encoding::Rec601 => VideoColorMatrix::Bt601,
        Encoding::Rec709 => VideoColorMatrix::Bt709,
        Encoding::Rec2020 => VideoColorMatrix::Bt2020,
    };
    let range = match space.range {
        Range::Full => VideoColorRange::Range0_255,
        Range::Limited => VideoColorRange::Range16_235,
    };
    Some(VideoColorimetry::new(range, matrix, transfer, primaries).to_string())
}

/// The colour space of caps' `colorimetry`; `None` for one that libcamera has no words for. Transfer functions that are equal up to their
/// precision (those of BT.601, BT.709 and BT.2020) are one.
pub fn color_space(colorimetry: &str) -> Option<ColorSpace> {
    let info: VideoColorimetry = colorimetry.parse().ok()?;
    Some(ColorSpace {
        primaries: match info.primaries() {
            VideoColorPrimaries::Smpte170m => Primaries::Smpte170m,
            VideoColorPrimaries::Bt709 => Primaries::Rec709,
            VideoColorPrimaries::Bt2020 => Primaries::Rec2020,
            _ => return None,
        },
        transfer: match info.transfer() {
            VideoTransferFunction::Gamma10 => Transfer::Linear,
            VideoTransferFunction::Srgb => Transfer::Srgb,
            VideoTransferFunction::Bt601
            | VideoTransferFunction::Bt709
            | VideoTransferFunction::Bt202010
            | VideoTransferFunction::Bt202012 => Transfer::Rec709,
            _ => return None,
        },
        encoding: match info.matrix() {
            VideoColorMatrix::Rgb => Encoding::None,
            VideoColorMatrix::Bt601 => Encoding::Rec601,
            VideoColorMatrix::Bt709 => Encoding::Rec709,
            VideoColorMatrix::Bt2020 => Encoding::Rec2020,
            _ => return None,
        },
        range: match info.range() {
            VideoColorRange::Range0_255 => Range::Full,
            VideoColorRange::Range16_235 => Range::Limited,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libcameras_named_spaces_have_gstreamers_names() {
        gst::init().unwrap();
        let rec709 = ColorSpace {
            primaries: Primaries::Rec709,
            transfer: Transfer::Rec709,
            encoding: Encoding::Rec709,
            range: Range::Limited,
        };
        assert_eq!(colorimetry(&rec709).as_deref(), Some("bt709"));
        let srgb = ColorSpace {
            transfer: Transfer::Srgb,
            encoding: Encoding::None,
            range: Range::Full,
            ..rec709
        };
        assert_eq!(colorimetry(&srgb).as_deref(), Some("sRGB"));
        let raw = ColorSpace {
            primaries: Primaries::Raw,
            ..rec709
        };
        assert_eq!(colorimetry(&raw), None);
    }

    #[test]
    fn every_space_goes_there_and_back() {
        gst::init().unwrap();
        for primaries in [Primaries::Smpte170m, Primaries::Rec709, Primaries::Rec2020] {
            for transfer in [Transfer::Linear, Transfer::Srgb, Transfer::Rec709] {
                for encoding in [
                    Encoding::None,
                    Encoding::Rec601,
                    Encoding::Rec709,
                    Encoding::Rec2020,
                ] {
                    for range in [Range::Full, Range::Limited] {
                        let space = ColorSpace {
                            primaries,
                            transfer,
                            encoding,
                            range,
                        };
                        let text = colorimetry(&space).unwrap();
                        assert_eq!(color_space(&text), Some(space), "{text}");
                    }
                }
            }
        }
        assert_eq!(color_space("bt2100-pq"), None);
        assert_eq!(color_space("nonsense"), None);
        assert!(color_space("bt601").is_some());
    }
}
