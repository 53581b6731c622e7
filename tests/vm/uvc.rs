//! The kernel's own driver for USB cameras: caps, every size, controls.

use crate::{
    camera::{ID, SIZES, UsbCamera, frames_in_order, number_of, usb_source},
    common::source::Source,
    in_machine,
};
use gst::prelude::*;
use gstlibcamerars::{backend::libcamera::Libcamera, camera::CameraSystem};

#[test]
fn it_is_listed_and_its_caps_are_what_it_can_do() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let cameras = Libcamera::new().unwrap().cameras().unwrap();
    let camera = cameras.iter().find(|camera| camera.id == ID).unwrap();
    assert_eq!(camera.model.as_deref(), Some("Simulated UVC camera"));
    let source = usb_source("");
    source.element.set_state(gst::State::Ready).unwrap();
    let caps = source.element.static_pad("src").unwrap().query_caps(None);
    for (width, height) in SIZES {
        let wanted = gst::Caps::builder("video/x-raw")
            .field("format", "YUY2")
            .field("width", width as i32)
            .field("height", height as i32)
            .build();
        assert!(caps.can_intersect(&wanted), "{wanted} in {caps}");
    }
    let other = gst::Caps::builder("video/x-raw")
        .field("format", "NV12")
        .build();
    assert!(!caps.can_intersect(&other), "no {other} in {caps}");
    println!("NOTE: caps in READY: {} structures: {caps}", caps.size());
}

#[test]
fn every_size_streams_and_gaps_are_counted() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    for (width, height) in SIZES {
        let source = usb_source(&format!(
            "! video/x-raw,format=YUY2,width={width},height={height}"
        ));
        source.set_state(gst::State::Playing);
        // The camera numbers the frames that it makes; how fast it does depends on the machine.
        let begun = std::time::Instant::now();
        let missing = frames_in_order(&source, 40);
        let rate = 40.0 / begun.elapsed().as_secs_f64();
        println!(
            "NOTE: {width}x{height}: 40 frames in order, {missing} dropped by the driver, {rate:.0} a second"
        );
        assert_eq!(source.error(), None);
        assert!(source.counter("missed") >= u64::from(missing));
        assert_eq!(source.counter("damaged"), 0);
        source.set_state(gst::State::Null);
    }
}

#[test]
fn the_size_is_the_nearest_and_an_impossible_one_is_an_error() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let source = usb_source("! video/x-raw,width=[600,1000]");
    source.set_state(gst::State::Playing);
    let sample = source.pull().unwrap();
    let structure = sample.caps().unwrap().structure(0).unwrap().to_owned();
    assert_eq!(structure.get::<i32>("width"), Ok(640));
    number_of(&sample, 128);
    drop(source);
    let source = usb_source("! video/x-raw,width=800,height=600");
    let _ = source.pipeline.set_state(gst::State::Playing);
    let error = source.only_error();
    assert!(error.contains("1280x720"), "{error}");
    println!("NOTE: 800x600: {error}");
}

#[test]
fn controls_arrive_in_the_camera_and_show_in_its_picture() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let camera = UsbCamera::plugged();
    let source = usb_source("brightness=0.25 ! video/x-raw,width=320,height=240");
    source.set_state(gst::State::Playing);
    // -1 to 1 is 0 to 255 around 128: libcamera scales by the larger half.
    camera.wait_for_control(&source, "brightness", 160);
    number_of(&source.pull().unwrap(), 160);
    for (value, arrived) in [(-1.0f32, 0), (0.5, 192), (0.0, 128)] {
        source.element.set_property("brightness", value);
        camera.wait_for_control(&source, "brightness", arrived);
        // Frames that were being made then are of the old brightness, or half of it.
        for _ in 0..8 {
            source.pull().unwrap();
        }
        number_of(&source.pull().unwrap(), arrived);
    }
    source.element.set_property("contrast", 4.0f32);
    camera.wait_for_control(&source, "contrast", 255);
    source.element.set_property("saturation", 0.0f32);
    camera.wait_for_control(&source, "saturation", 0);
    source.element.set_property("analogue-gain", 4.0f32);
    camera.wait_for_control(&source, "gain", 255);
    frames_in_order(&source, 10);
    assert_eq!(source.counter("requests-cancelled"), 0);
    println!("NOTE: brightness, contrast, saturation and gain arrived");
}

#[test]
fn two_hundred_changes_while_frames_flow_end_with_the_last() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let camera = UsbCamera::plugged();
    let source = usb_source("! video/x-raw,width=320,height=240");
    source.set_state(gst::State::Playing);
    for change in 0..200 {
        let value = (change % 100) as f32 / 100.0;
        source.element.set_property("brightness", value);
        if change % 10 == 0 {
            source.pull().unwrap();
        }
    }
    camera.wait_for_control(
        &source,
        "brightness",
        128 + (0.99f32 * 128.0).round() as i32,
    );
    assert_eq!(source.error(), None);
}

#[test]
fn a_control_that_the_driver_refuses_costs_three_frames_and_a_warning() {
    let Some(_alone) = in_machine() else { return };
    let camera = UsbCamera::plugged();
    let source = usb_source("! video/x-raw,width=320,height=240");
    source.set_state(gst::State::Playing);
    frames_in_order(&source, 5);
    // The camera exposes by itself: its driver lets nobody set the time before that is ended.
    source.element.set_property("exposure-time", 5000);
    source.element.set_property("brightness", 0.5f32);
    camera.wait_for_control(&source, "brightness", 192);
    let warning = warning_within(&source, 60).expect("a warning");
    assert!(warning.contains("exposure-time"), "{warning}");
    println!("NOTE: exposure-time while the camera exposes by itself: {warning}");
    assert!(source.counter("requests-cancelled") <= 4);
    assert_eq!(camera.control("exposure-time"), None);
    source.element.set_property("brightness", 0.0f32);
    source
        .element
        .set_property_from_str("exposure-time-mode", "manual");
    source.element.set_property("exposure-time", 7000);
    camera.wait_for_control(&source, "exposure-time", 70);
    assert_eq!(camera.control("exposure-mode"), Some(1));
    camera.wait_for_control(&source, "brightness", 128);
    let before = source.counter("requests-cancelled");
    for _ in 0..20 {
        source.pull().unwrap();
    }
    frames_in_order(&source, 10);
    assert_eq!(source.counter("requests-cancelled"), before);
    assert_eq!(source.error(), None);
}

#[test]
fn a_control_that_the_driver_refuses_at_the_start_does_not_keep_it_from_starting() {
    let Some(_alone) = in_machine() else { return };
    let camera = UsbCamera::plugged();
    let source = usb_source("exposure-time=5000 contrast=4 ! video/x-raw,width=320,height=240");
    for _ in 0..2 {
        source.set_state(gst::State::Playing);
        camera.wait_for_control(&source, "contrast", 255);
        for _ in 0..10 {
            source.pull().unwrap();
        }
        let warning = warning_within(&source, 60).expect("a warning");
        assert!(warning.contains("exposure-time"), "{warning}");
        assert_eq!(source.error(), None);
        source.set_state(gst::State::Null);
    }
    assert_eq!(camera.control("exposure-time"), None);
    let source = usb_source(
        "exposure-time=5000 exposure-time-mode=manual ! video/x-raw,width=320,height=240",
    );
    source.set_state(gst::State::Playing);
    camera.wait_for_control(&source, "exposure-time", 50);
    frames_in_order(&source, 10);
    assert_eq!(warning_within(&source, 1), None);
}

/// The warning that comes while so many frames do.
fn warning_within(source: &Source, frames: u32) -> Option<String> {
    let bus = source.pipeline.bus().unwrap();
    (0..frames).find_map(|_| {
        source.pull().unwrap();
        let message = bus.pop_filtered(&[gst::MessageType::Warning])?;
        match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        }
    })
}

#[test]
fn what_is_set_before_the_start_is_there_at_every_start() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let mut source = None;
    for value in [1.0f32, -0.5] {
        let camera = UsbCamera::plugged();
        let source = source.get_or_insert_with(|| usb_source("! video/x-raw,width=320,height=240"));
        source.element.set_property("brightness", value);
        for _ in 0..2 {
            source.set_state(gst::State::Playing);
            let arrived = (128.0 + value * 128.0).clamp(0.0, 255.0) as i32;
            camera.wait_for_control(source, "brightness", arrived);
            number_of(&source.pull().unwrap(), arrived);
            source.set_state(gst::State::Null);
        }
    }
}

/// libcamera's handler for USB cameras sets no frame rate. One that is asked for is not promised unless we keep it.
#[test]
fn a_rate_that_is_asked_for_is_kept_by_pacing() {
    let Some(_alone) = in_machine() else { return };
    let _camera = UsbCamera::plugged();
    let source = usb_source("pace=true ! video/x-raw,width=320,height=240,framerate=10/1");
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    let times: Vec<u64> = (0..20)
        .map(|_| source.pull().unwrap().buffer().unwrap().pts().unwrap())
        .map(|pts| pts.mseconds())
        .collect();
    let mean = (times[19] - times[0]) / 19;
    println!("NOTE: paced to 10 a second: {mean} ms from frame to frame");
    assert!((90..=250).contains(&mean), "{times:?}");
    drop(source);

    let source = usb_source("! video/x-raw,width=320,height=240,framerate=10/1");
    let _ = source.pipeline.set_state(gst::State::Playing);
    let sample = source.sink.try_pull_sample(gst::ClockTime::from_seconds(5));
    match sample {
        Some(sample) => {
            let first = sample.buffer().unwrap().pts().unwrap();
            let mut last = source.pull().unwrap();
            (1..20).for_each(|_| last = source.pull().unwrap());
            let last = last.buffer().unwrap().pts().unwrap();
            println!(
                "NOTE: 10 a second without pacing: caps {}, {} ms from frame to frame",
                sample.caps().unwrap(),
                (last - first).mseconds() / 20
            );
        }
        None => println!("NOTE: 10 a second without pacing: {:?}", source.error()),
    }
}
