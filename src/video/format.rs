//! Pixel formats: one table, both ways.

use crate::camera::PixelFormat;
use gst_allocators::CAPS_FEATURE_MEMORY_DMABUF;
use gst_video::VideoFormat;

/// What a pixel format is in caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Raw(VideoFormat),
    /// `video/x-bayer` with this `format`.
    Bayer(&'static str),
    Jpeg,
    /// Raw frames in DMABUFs, which a GPU or a display takes as they lie there: the format by its DRM name, and how its planes lie.
    Drm(PixelFormat, VideoFormat),
}

const fn raw(fourcc: &[u8; 4], format: VideoFormat) -> (PixelFormat, Media) {
    (PixelFormat::new(fourcc), Media::Raw(format))
}

const fn bayer(fourcc: &[u8; 4], format: &'static str) -> (PixelFormat, Media) {
    (PixelFormat::new(fourcc), Media::Bayer(format))
}

/// DRM's names give the order of bits in a little-endian word, GStreamer's the order of bytes in memory.
const TABLE: &[(PixelFormat, Media)] = &[
    raw(b"NV12", VideoFormat::Nv12),
    raw(b"NV21", VideoFormat::Nv21),
    raw(b"NV16", VideoFormat::Nv16),
    raw(b"NV61", VideoFormat::Nv61),
    raw(b"NV24", VideoFormat::Nv24),
    raw(b"YU12", VideoFormat::I420),
    raw(b"YV12", VideoFormat::Yv12),
    raw(b"YU16", VideoFormat::Y42b),
    raw(b"YU24", VideoFormat::Y444),
    raw(b"YUYV", VideoFormat::Yuy2),
    raw(b"YVYU", VideoFormat::Yvyu),
    raw(b"UYVY", VideoFormat::Uyvy),
    raw(b"VYUY", VideoFormat::Vyuy),
    raw(b"XR24", VideoFormat::Bgrx),
    raw(b"XB24", VideoFormat::Rgbx),
    raw(b"RX24", VideoFormat::Xbgr),
    raw(b"BX24", VideoFormat::Xrgb),
    raw(b"AR24", VideoFormat::Bgra),
    raw(b"AB24", VideoFormat::Rgba),
    raw(b"RA24", VideoFormat::Abgr),
    raw(b"BA24", VideoFormat::Argb),
    raw(b"RG24", VideoFormat::Bgr),
    raw(b"BG24", VideoFormat::Rgb),
    raw(b"RG16", VideoFormat::Rgb16),
    raw(b"R8  ", VideoFormat::Gray8),
    raw(b"R16 ", VideoFormat::Gray16Le),
    (PixelFormat::new(b"MJPG"), Media::Jpeg),
    bayer(b"RGGB", "rggb"),
    bayer(b"GRBG", "grbg"),
    bayer(b"GBRG", "gbrg"),
    bayer(b"BA81", "bggr"),
    bayer(b"RG10", "rggb10le"),
    bayer(b"BA10", "grbg10le"),
    bayer(b"GB10", "gbrg10le"),
    bayer(b"BG10", "bggr10le"),
    bayer(b"RG12", "rggb12le"),
    bayer(b"BA12", "grbg12le"),
    bayer(b"GB12", "gbrg12le"),
    bayer(b"BG12", "bggr12le"),
    bayer(b"RG14", "rggb14le"),
    bayer(b"GR14", "grbg14le"),
    bayer(b"GB14", "gbrg14le"),
    bayer(b"BG14", "bggr14le"),
    bayer(b"RGB6", "rggb16le"),
    bayer(b"GR16", "grbg16le"),
    bayer(b"GB16", "gbrg16le"),
    bayer(b"BYR2", "bggr16le"),
];

/// `None` for a format that GStreamer has no caps for.
pub fn media(format: PixelFormat) -> Option<Media> {
    TABLE
        .iter()
        .find(|(known, _)| *known == format)
        .map(|(_, media)| *media)
}

/// The same for peers that name `memory:DMABuf`; they take modifiers too.
pub fn drm(format: PixelFormat) -> Option<Media> {
    let linear = PixelFormat {
        modifier: 0,
        ..format
    };
    match media(linear)? {
        Media::Raw(layout) => Some(Media::Drm(format, layout)),
        _ => None,
    }
}

/// Whether the GStreamer that runs has caps for DRM formats (1.24).
pub fn knows_drm() -> bool {
    let (major, minor, ..) = gst::version();
    (major, minor) >= (1, 24)
}

/// As GStreamer spells it: the modifier only where the pixels do not lie in plain lines.
fn drm_name(format: PixelFormat) -> String {
    let mut name: String = format.fourcc.to_le_bytes().map(char::from).iter().collect();
    if format.modifier != 0 {
        name += &format!(":{:#018x}", format.modifier);
    }
    name
}

impl Media {
    pub fn is_dmabuf(self) -> bool {
        matches!(self, Self::Drm(..))
    }

    /// Where the planes lie. `None` for what has none.
    pub fn video_format(self) -> Option<VideoFormat> {
        match self {
            Self::Raw(format) | Self::Drm(_, format) => Some(format),
            Self::Bayer(_) | Self::Jpeg => None,
        }
    }

    /// Of the caps that its structure is in.
    pub fn features(self) -> gst::CapsFeatures {
        if self.is_dmabuf() {
            gst::CapsFeatures::new([CAPS_FEATURE_MEMORY_DMABUF.as_str()])
        } else {
            gst::CapsFeatures::new_empty()
        }
    }

    /// Caps with this format, and nothing else said.
    pub fn structure(self) -> gst::Structure {
        match self {
            Self::Raw(format) => gst::Structure::builder("video/x-raw")
                .field("format", format.to_str())
                .build(),
            Self::Bayer(format) => gst::Structure::builder("video/x-bayer")
                .field("format", format)
                .build(),
            Self::Jpeg => gst::Structure::new_empty("image/jpeg"),
            Self::Drm(format, _) => gst::Structure::builder("video/x-raw")
                .field("format", "DMA_DRM")
                .field("drm-format", drm_name(format))
                .build(),
        }
    }

    /// Whether caps of one structure have this format.
    pub fn is_in(self, structure: &gst::StructureRef) -> bool {
        self.structure().can_intersect(structure)
    }
}

/// All that any camera may deliver.
pub fn template_caps() -> gst::Caps {
    let formats = |wanted: fn(&Media) -> Option<String>| -> gst::List {
        let names = TABLE.iter().filter_map(|(_, media)| wanted(media));
        gst::List::new(names)
    };
    let raw = formats(|media| match media {
        Media::Raw(format) => Some(format.to_str().to_string()),
        _ => None,
    });
    let bayer = formats(|media| match media {
        Media::Bayer(format) => Some((*format).to_owned()),
        _ => None,
    });
    let sized = |builder: gst::structure::Builder| {
        builder
            .field("width", gst::IntRange::new(1, i32::MAX))
            .field("height", gst::IntRange::new(1, i32::MAX))
            .field(
                "framerate",
                gst::FractionRange::new(gst::Fraction::new(0, 1), gst::Fraction::new(i32::MAX, 1)),
            )
            .build()
    };
    let caps = gst::Caps::builder_full()
        .structure(sized(
            gst::Structure::builder("video/x-raw").field("format", raw),
        ))
        .structure(sized(gst::Structure::builder("image/jpeg")))
        .structure(sized(
            gst::Structure::builder("video/x-bayer").field("format", bayer),
        ));
    if !knows_drm() {
        return caps.build();
    }
    let drm = gst::Structure::builder("video/x-raw").field("format", "DMA_DRM");
    caps.structure_with_features(
        sized(drm),
        gst::CapsFeatures::new([CAPS_FEATURE_MEMORY_DMABUF.as_str()]),
    )
    .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_format_and_no_caps_are_listed_twice() {
        for (index, (format, media)) in TABLE.iter().enumerate() {
            for (other_format, other_media) in &TABLE[..index] {
                assert_ne!(format, other_format);
                assert_ne!(media, other_media);
            }
        }
    }

    #[test]
    fn red_is_where_the_names_say() {
        assert_eq!(
            media(PixelFormat::new(b"XR24")),
            Some(Media::Raw(VideoFormat::Bgrx))
        );
        assert_eq!(
            media(PixelFormat::new(b"RG24")),
            Some(Media::Raw(VideoFormat::Bgr))
        );
        let tiled = PixelFormat {
            modifier: 1,
            ..PixelFormat::new(b"NV12")
        };
        assert_eq!(media(tiled), None);
    }

    #[test]
    fn drm_names_are_gstreamers() {
        let nv12 = PixelFormat::new(b"NV12");
        let tiled = PixelFormat {
            modifier: 0x0100_0000_0000_0002,
            ..nv12
        };
        let name = |format| drm(format)?.structure().get::<String>("drm-format").ok();
        assert_eq!(name(nv12).as_deref(), Some("NV12"));
        assert_eq!(name(tiled).as_deref(), Some("NV12:0x0100000000000002"));
        assert_eq!(name(PixelFormat::new(b"R8  ")).as_deref(), Some("R8  "));
        assert_eq!(
            drm(tiled).and_then(Media::video_format),
            Some(VideoFormat::Nv12)
        );
        // DRM has no names for these.
        for other in [b"MJPG", b"RGGB", b"RG10", b"XXXX"] {
            assert_eq!(drm(PixelFormat::new(other)), None);
        }
    }

    #[test]
    fn the_template_holds_every_format() {
        gst::init().unwrap();
        let template = template_caps();
        for (format, media) in TABLE {
            let caps = gst::Caps::builder_full()
                .structure(media.structure())
                .build();
            assert!(template.can_intersect(&caps), "{format}: {caps}");
        }
    }
}
