//! `memory:DMABuf` caps, for consumers that name them (GStreamer 1.24): DMA_DRM with the format's name in the kernel's vocabulary.

use crate::{
    camera::{Order, UsbCamera, number, usb_source},
    common::source::Source,
    exported::Exported,
    in_machine, test_name,
};
use gst::prelude::*;

/// The test's lock, if this GStreamer knows such caps.
fn known() -> Option<impl Sized> {
    let alone = in_machine()?;
    if gst::version() < (1, 24, 0, 0) {
        println!(
            "SKIPPED: {}: {} has no DMA_DRM caps (1.24 has)",
            test_name(),
            gst::version_string()
        );
        return None;
    }
    Some(alone)
}

const MEMORY: &str = "video/x-raw(memory:DMABuf),format=DMA_DRM";

/// What the sample's caps say; they must name the memory.
fn drm_format(sample: &gst::Sample) -> String {
    let caps = sample.caps().unwrap();
    assert!(
        caps.features(0).unwrap().contains("memory:DMABuf"),
        "{caps}"
    );
    let structure = caps.structure(0).unwrap();
    assert_eq!(structure.get::<&str>("format"), Ok("DMA_DRM"), "{caps}");
    structure.get("drm-format").unwrap()
}

#[test]
fn who_names_the_memory_gets_dmabufs_of_a_usb_camera() {
    let Some(_alone) = known() else { return };
    let _camera = UsbCamera::plugged();
    let source = usb_source(&format!("! {MEMORY},width=640,height=480"));
    source.set_state(gst::State::Playing);
    let mut order = Order::default();
    for _ in 0..20 {
        let sample = source.pull().unwrap();
        assert_eq!(drm_format(&sample), "YUYV");
        let frame = Exported::of(sample.buffer().unwrap());
        assert_eq!(frame.exporter(), "videobuf2_vmalloc");
        let number = number(&frame.bytes(), 640, 128);
        order.next(number, sample.buffer().unwrap().offset());
    }
    println!("NOTE: {}", source.pull().unwrap().caps().unwrap());
}

#[test]
fn who_names_the_memory_gets_dmabufs_of_the_virtual_camera() {
    let Some(_alone) = known() else { return };
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name=Virtual0 ! {MEMORY},width=640,height=480"
    ));
    for _ in 0..20 {
        let sample = source.pull().unwrap();
        assert_eq!(drm_format(&sample), "NV12");
        let buffer = sample.buffer().unwrap();
        let frame = Exported::of(buffer);
        assert_eq!(
            (frame.exporter().as_str(), frame.size),
            ("system", 640 * 480 * 3 / 2)
        );
        let meta = buffer.meta::<gst_video::VideoMeta>().unwrap();
        assert_eq!(meta.offset(), [0, 640 * 480]);
    }
    println!("NOTE: {}", source.pull().unwrap().caps().unwrap());
}

/// Its caps do not name what nobody has asked for.
fn plays_without_dmabuf(source: &Source) {
    source.set_state(gst::State::Playing);
    let sample = source.pull().unwrap();
    let caps = sample.caps().unwrap();
    assert!(
        !caps.features(0).unwrap().contains("memory:DMABuf"),
        "{caps}"
    );
}

#[test]
fn who_does_not_name_it_gets_plain_caps() {
    let Some(_alone) = known() else { return };
    let _camera = UsbCamera::plugged();
    let source = usb_source("! video/x-raw,width=320,height=240");
    plays_without_dmabuf(&source);
    drop(source);
    // Anything is no such name.
    let source = usb_source("");
    source.element.set_property_from_str("num-buffers", "3");
    plays_without_dmabuf(&source);
}

#[test]
fn who_wants_either_is_served_and_who_wants_another_format_is_told() {
    let Some(_alone) = known() else { return };
    let _camera = UsbCamera::plugged();
    let source = usb_source(&format!(
        "! capsfilter caps=\"{MEMORY},drm-format=NV12,width=640,height=480; video/x-raw,width=320,height=240\""
    ));
    source.set_state(gst::State::Playing);
    let sample = source.pull().unwrap();
    let map = sample.buffer().unwrap().map_readable().unwrap();
    number(&map, 320, 128);
    drop(map);
    drop(source);
    let source = usb_source(&format!("! {MEMORY},drm-format=NV12"));
    let _ = source.pipeline.set_state(gst::State::Playing);
    let error = source.only_error();
    println!("NOTE: drm-format=NV12 of a camera that has YUYV: {error}");
    assert!(error.contains("YUY2") || error.contains("YUYV"), "{error}");
}
