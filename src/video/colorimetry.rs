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
}
