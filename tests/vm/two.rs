//! Two cameras of different drivers at once.

use crate::{
    camera::{ID, UsbCamera, frames_in_order, number_of},
    common::source::{Source, levels},
    exported::Exported,
    in_machine,
};
use gst::prelude::*;

#[test]
fn two_cameras_in_one_pipeline_and_one_goes() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let source = Source::new(
        "libcamerasrc-rs name=virtual camera-name=Virtual0 pace=true ! video/x-raw,width=640,height=480,framerate=30/1 \
         ! appsink name=other sync=false libcamerasrc-rs name=source ! video/x-raw,width=640,height=480",
    );
    source.element.set_property("camera-name", ID);
    let other: gst_app::AppSink = source
        .pipeline
        .by_name("other")
        .unwrap()
        .downcast()
        .unwrap();
    source.set_state(gst::State::Playing);
    for _ in 0..30 {
        let usb = source.pull().unwrap();
        number_of(&usb, 128);
        let frame = Exported::of(usb.buffer().unwrap());
        assert_eq!(frame.exporter(), "videobuf2_vmalloc");
        let second = other.pull_sample().unwrap();
        assert!(levels(&second) >= 8);
        let frame = Exported::of(second.buffer().unwrap());
        assert_eq!(frame.exporter(), "system");
        let (usb, second) = (usb.buffer().unwrap(), second.buffer().unwrap());
        assert!(usb.pts().is_some() && second.pts().is_some());
    }
    assert_eq!(source.error(), None);
    println!("NOTE: 30 frames of each, of videobuf2_vmalloc and system");
    // One leaves, the other streams on.
    let element = source.pipeline.by_name("virtual").unwrap();
    element.set_locked_state(true);
    element.set_state(gst::State::Null).unwrap();
    frames_in_order(&source, 30);
}

#[test]
fn each_in_a_pipeline_of_its_own_comes_and_goes() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let usb = Source::new("libcamerasrc-rs name=source ! video/x-raw,width=320,height=240");
    usb.element.set_property("camera-name", ID);
    let other = Source::new("libcamerasrc-rs name=source camera-name=VirtualTiny");
    for _ in 0..10 {
        usb.set_state(gst::State::Playing);
        other.set_state(gst::State::Playing);
        frames_in_order(&usb, 3);
        assert!(levels(&other.pull().unwrap()) >= 8);
        usb.set_state(gst::State::Null);
        assert!(levels(&other.pull().unwrap()) >= 8);
        usb.set_state(gst::State::Playing);
        frames_in_order(&usb, 3);
        other.set_state(gst::State::Null);
        frames_in_order(&usb, 3);
        usb.set_state(gst::State::Null);
    }
    assert_eq!((usb.error(), other.error()), (None, None));
}
