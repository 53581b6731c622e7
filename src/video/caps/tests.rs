#![allow(clippy::unwrap_used)]

use super::*;
use crate::camera::SizeRange;
use std::str::FromStr;

const NV12: PixelFormat = PixelFormat::new(b"NV12");
const R8: PixelFormat = PixelFormat::new(b"R8  ");

fn offer() -> Offer {
    gst::init().unwrap();
    let sizes = vec![
        Size::new(640, 480),
        Size::new(1280, 720),
        Size::new(1920, 1080),
    ];
    let format = |format| StreamFormat {
        format,
        sizes: sizes.clone(),
        range: None,
    };
    Offer {
        default: StreamConfig {
            format: NV12,
            size: Size::new(1920, 1080),
            stride: 1920,
            frame_size: 0,
            buffer_count: 4,
            color_space: None,
        },
        formats: vec![format(NV12), format(R8), format(PixelFormat::new(b"XXXX"))],
        durations: Some((8333, 1_000_000)),
        limits: Some((8333, 1_000_000)),
        dmabuf: false,
        paced: false,
        rate: None,
    }
}

fn choose(offer: &Offer, peer: &str) -> Option<Choice> {
    let peer = gst::Caps::from_str(peer).unwrap();
    offer.choices(&peer).into_iter().next()
}

fn fraction(numerator: i32, denominator: i32) -> gst::Fraction {
    gst::Fraction::new(numerator, denominator)
}

#[test]
fn a_peer_that_asks_for_nothing_gets_what_the_camera_would_choose() {
    let choice = choose(&offer(), "ANY").unwrap();
    assert_eq!((choice.format, choice.size), (NV12, Size::new(1920, 1080)));
    assert_eq!(
        choice.framerate,
        fraction(0, 1),
        "no rate is forced that nobody asked for"
    );
}

#[test]
fn the_nearest_size_in_both_dimensions_is_chosen_before_the_format() {
    let choice = choose(&offer(), "video/x-raw,format={GRAY8,NV12},width=[1,1300]").unwrap();
    assert_eq!((choice.format, choice.size), (NV12, Size::new(1280, 720)));
    // One equal dimension is not a match: 1456x1088 is nearer to 1920x1080 than a product of differences would say.
    let mut sensor = offer();
    sensor.default.size = Size::new(1920, 1080);
    sensor.formats[0].sizes = vec![Size::new(1280, 1080), Size::new(1456, 1088)];
    sensor.formats.truncate(1);
    assert_eq!(choose(&sensor, "ANY").unwrap().size, Size::new(1456, 1088));
}

#[test]
fn what_the_camera_cannot_do_is_no_choice() {
    for peer in [
        "video/x-raw,format=RGB",
        "video/x-raw,width=641",
        "video/x-raw,framerate=500/1",
        "video/x-raw(memory:DMABuf)",
        "image/jpeg",
    ] {
        assert_eq!(choose(&offer(), peer), None, "{peer}");
    }
}

#[test]
fn rates_are_taken_from_the_peer_and_exact() {
    let rate = |offer: &Offer, peer| choose(offer, peer).unwrap().framerate;
    let mut offer = offer();
    assert_eq!(
        rate(&offer, "video/x-raw,framerate=30000/1001"),
        fraction(30000, 1001)
    );
    assert_eq!(
        rate(&offer, "video/x-raw,framerate=[15/1,60/1]"),
        fraction(30, 1)
    );
    assert_eq!(
        rate(&offer, "video/x-raw,framerate={15/1,60/1}"),
        fraction(15, 1)
    );
    offer.paced = true;
    assert_eq!(
        rate(&offer, "ANY"),
        fraction(30, 1),
        "a paced camera needs a rate"
    );
    assert_eq!(rate(&offer, "video/x-raw,framerate=1/10"), fraction(1, 10));
    offer.limits = None;
    assert_eq!(
        rate(&offer, "video/x-raw,framerate=500/1"),
        fraction(500, 1)
    );
}

#[test]
fn durations_are_rounded_and_held_within_the_limits() {
    let limits = Some((8333, 1_000_000));
    assert_eq!(frame_duration(fraction(30, 1), limits), Some(33_333));
    assert_eq!(frame_duration(fraction(30000, 1001), limits), Some(33_367));
    assert_eq!(frame_duration(fraction(1, 10), limits), Some(1_000_000));
    assert_eq!(frame_duration(fraction(0, 1), limits), None);
    assert_eq!(frame_duration(fraction(30, 1), None), None);
    assert_eq!(frame_interval(fraction(30, 1)), Some(33_333_333));
    assert_eq!(frame_interval(fraction(1, 10)), Some(10_000_000_000));
    assert_eq!(frame_interval(fraction(0, 1)), None);
}

#[test]
fn the_peers_first_structure_is_its_preference() {
    let peer = "video/x-raw,width=1280; video/x-raw,width=640; video/x-raw";
    let peer = gst::Caps::from_str(peer).unwrap();
    let sizes: Vec<u32> = offer()
        .choices(&peer)
        .iter()
        .map(|choice| choice.size.width)
        .collect();
    assert_eq!(sizes[..2], [1280, 1280], "in both formats");
    assert_eq!(sizes[2..4], [640, 640]);
    assert_eq!(sizes[4], 1920);
}

#[test]
fn ranges_are_said_where_gstreamer_can_and_listed_where_not() {
    let mut offer = offer();
    offer.formats.truncate(1);
    offer.formats[0].sizes = vec![Size::new(33, 16)];
    offer.formats[0].range = Some(SizeRange {
        min: Size::new(16, 16),
        max: Size::new(1001, 1000),
        step: Size::new(16, 2),
    });
    let narrow = "video/x-raw,width=[34,500]";
    assert_eq!(choose(&offer, narrow).unwrap().size, Size::new(496, 1000));
    // 17, 33, 49 ...: GStreamer's ranges cannot say that.
    offer.formats[0].range = offer.formats[0].range.map(|range| SizeRange {
        min: Size::new(17, 16),
        ..range
    });
    assert_eq!(choose(&offer, narrow), None);
    assert_eq!(choose(&offer, "ANY").unwrap().size, Size::new(33, 16));
}

#[test]
fn fixed_caps_say_what_is_known_and_nothing_else() {
    let offer = offer();
    let choice = choose(&offer, "video/x-raw,width=1280").unwrap();
    let agreed = StreamConfig {
        size: choice.size,
        ..offer.default.clone()
    };
    let caps = offer.fixed_caps(&choice, &agreed);
    assert!(caps.is_fixed());
    assert!(caps.can_intersect(&offer.caps()));
    assert!(gst_video::VideoInfo::from_caps(&caps).is_ok());
    let structure = caps.structure(0).unwrap();
    assert_eq!(
        structure.get::<gst::Fraction>("max-framerate").unwrap(),
        fraction(1_000_000, 8333)
    );
    assert!(
        !structure.has_field("colorimetry"),
        "the camera gave no colour space"
    );
    // What an encoder needs, without anybody writing it into the pipeline.
    let square = gst::Fraction::new(1, 1);
    assert_eq!(structure.get("pixel-aspect-ratio"), Ok(square));
    assert_eq!(structure.get::<&str>("interlace-mode"), Ok("progressive"));
    let space = crate::video::colorimetry::color_space("bt709");
    let agreed = StreamConfig {
        color_space: space,
        ..agreed
    };
    let caps = offer.fixed_caps(&choice, &agreed);
    let structure = caps.structure(0).unwrap();
    assert_eq!(structure.get::<&str>("colorimetry"), Ok("bt709"));
}

#[test]
fn people_are_told_what_the_camera_delivers() {
    assert_eq!(
        offer().describe(),
        "NV12 at 640x480, 1280x720, 1920x1080; GRAY8 at 640x480, 1280x720, 1920x1080, 1 to 120 frames per second"
    );
}

#[test]
fn what_a_peer_says_of_colours_is_asked_for_and_kept() {
    let peer = "video/x-raw,colorimetry={bt601,bt709},chroma-site=jpeg";
    let choice = choose(&offer(), peer).unwrap();
    assert_eq!(choice.colorimetry.as_deref(), Some("bt601"));
    let space = choice.color_space().unwrap();
    let agreed = StreamConfig {
        color_space: Some(space),
        ..offer().default
    };
    let caps = offer().fixed_caps(&choice, &agreed);
    let structure = caps.structure(0).unwrap();
    assert_eq!(structure.get::<&str>("colorimetry").unwrap(), "bt601");
    assert_eq!(structure.get::<&str>("chroma-site").unwrap(), "jpeg");
    assert_eq!(choose(&offer(), "video/x-raw,colorimetry=bt2100-pq"), None);
    let mut rec709 = offer();
    rec709.default.color_space = color_space("bt709");
    let choice = choose(&rec709, "video/x-raw,colorimetry={bt2100-pq,bt601,bt709}");
    assert_eq!(choice.unwrap().colorimetry.as_deref(), Some("bt709"));

    let open = choose(&offer(), "video/x-raw,format=NV12").unwrap();
    assert_eq!(open.color_space(), None, "the camera's own is left alone");
    let caps = offer().fixed_caps(&open, &agreed);
    assert_eq!(
        caps.structure(0)
            .unwrap()
            .get::<&str>("chroma-site")
            .unwrap(),
        "mpeg2"
    );
}

#[test]
fn a_rate_is_possible_to_the_microsecond() {
    for rate in [fraction(30, 1), fraction(30_000, 1001), fraction(0, 1)] {
        assert!(is_possible(rate, (33_333, 33_367)), "{rate}");
    }
    assert!(!is_possible(fraction(31, 1), (33_333, 100_000)));
    assert!(!is_possible(fraction(9, 1), (33_333, 100_000)));
}

#[test]
fn limits_of_another_configuration_refuse_nothing() {
    let unknown = Offer {
        limits: None,
        ..offer()
    };
    let choice = choose(&unknown, "video/x-raw,framerate=500/1").unwrap();
    assert_eq!(choice.framerate, fraction(500, 1));
    assert_eq!(choose(&unknown, "ANY").unwrap().framerate, fraction(0, 1));
}

#[test]
fn who_names_dmabuf_gets_it() {
    let tiled = PixelFormat {
        modifier: 0x0100_0000_0000_0002,
        ..NV12
    };
    let mut offer = Offer {
        dmabuf: true,
        ..offer()
    };
    offer.formats.push(StreamFormat {
        format: tiled,
        ..offer.formats[0].clone()
    });
    let gpu = "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=";
    let choice = choose(&offer, &format!("{gpu}{{NV12:0x0100000000000002,NV12}}")).unwrap();
    assert_eq!(choice.format, NV12, "the camera's order");
    let only_tiled = choose(&offer, &format!("{gpu}NV12:0x0100000000000002,width=640")).unwrap();
    assert_eq!(
        (only_tiled.format, only_tiled.size),
        (tiled, Size::new(640, 480))
    );
    assert_eq!(choose(&offer, &format!("{gpu}XR24")), None);

    let agreed = StreamConfig {
        size: choice.size,
        color_space: color_space("bt709"),
        ..offer.default.clone()
    };
    let caps = offer.fixed_caps(&choice, &agreed);
    assert!(caps.is_fixed() && caps.can_intersect(&offer.caps()));
    let text = caps.to_string();
    for part in [
        "memory:DMABuf",
        "format=(string)DMA_DRM",
        "drm-format=(string)NV12",
        "colorimetry=(string)bt709",
    ] {
        assert!(text.contains(part), "{text}");
    }

    // The peer's order decides, and nobody gets it who has not named it.
    let display = format!("video/x-raw,format=NV12;{gpu}NV12");
    assert!(!choose(&offer, &display).unwrap().media.is_dmabuf());
    let display = format!("{gpu}NV12;video/x-raw,format=NV12");
    assert!(choose(&offer, &display).unwrap().media.is_dmabuf());
    for open in ["ANY", "video/x-raw", "video/x-raw(ANY)"] {
        assert!(!choose(&offer, open).unwrap().media.is_dmabuf(), "{open}");
    }
    offer.dmabuf = false;
    assert_eq!(choose(&offer, &format!("{gpu}NV12")), None);
}
