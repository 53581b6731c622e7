//! How the sensor is read out: `sensor-config` and `sensor-modes`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::source::{Source, TINY, alone};
use gst::prelude::*;
use gstlibcamerars::{
    backend::simulated::{Spec, plug},
    camera::Size,
};

const CAMERA: &str = "simulated-sensor";

fn camera() {
    let milliseconds = Duration::from_millis;
    plug(Spec {
        id: CAMERA.to_owned(),
        interval: milliseconds(2),
        modes: vec![
            (Size::new(640, 480), milliseconds(10)),
            (Size::new(320, 240), milliseconds(5)),
        ],
        ..Spec::default()
    });
}

fn source(properties: &str) -> Source {
    Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} {properties}"
    ))
}

fn modes(source: &Source) -> Vec<gst::Structure> {
    let modes: gst::Array = source.element.property("sensor-modes");
    modes.iter().map(|mode| mode.get().unwrap()).collect()
}

/// Width, depth and the highest rate.
fn summary(mode: &gst::Structure) -> (i32, i32, Option<i32>) {
    let rate = mode.get::<gst::Fraction>("max-framerate");
    let rate = rate.ok().map(|rate| rate.numer() / rate.denom());
    (mode.get("width").unwrap(), mode.get("depth").unwrap(), rate)
}

#[test]
fn a_sensor_mode_is_taken_or_is_an_error_that_lists_them() {
    let _alone = alone("sensor-config");
    camera();
    let good = source("num-buffers=3 sensor-config=sensor/config,width=640,height=480,depth=10");
    good.set_state(gst::State::Playing);
    assert_eq!(good.count(), 3);
    drop(good);
    let other = source("sensor-config=sensor/config,width=640,height=480,depth=12");
    let _ = other.pipeline.set_state(gst::State::Playing);
    let text = other.only_error();
    assert!(text.contains("sensor-config"), "{text}");
    assert!(
        text.contains("its modes: 320x240 at 10 bits, 640x480 at 10 bits"),
        "{text}"
    );
    drop(other);
    let incomplete = source("sensor-config=sensor/config,width=640,height=480");
    assert!(incomplete.pipeline.set_state(gst::State::Playing).is_err());
    assert!(incomplete.only_error().contains("depth is missing"));
}

#[test]
fn the_modes_are_listed_with_their_rates_and_each_can_be_asked_for() {
    let _alone = alone("sensor-modes");
    camera();
    let source = source("num-buffers=3");
    assert_eq!(modes(&source).len(), 0, "no camera is open");
    source.set_state(gst::State::Ready);
    let listed = modes(&source);
    let summaries: Vec<_> = listed.iter().map(summary).collect();
    assert_eq!(summaries, [(320, 10, Some(200)), (640, 10, Some(100))]);
    let formats: gst::List = listed[0].get("formats").unwrap();
    assert_eq!(formats.len(), 1);
    assert_eq!(formats[0].get::<&str>().unwrap(), "RG10");
    // What is listed is what `sensor-config` takes.
    source.element.set_property("sensor-config", &listed[1]);
    source.set_state(gst::State::Null);
    source.set_state(gst::State::Playing);
    assert_eq!(source.count(), 3);
}

#[test]
fn a_camera_that_streams_is_not_disturbed_by_the_question() {
    let _alone = alone("sensor-modes while streaming");
    camera();
    let source = source("num-buffers=100");
    source.set_state(gst::State::Playing);
    let (mut frames, mut last) = (0, None);
    while let Some(sample) = source.pull() {
        let summaries: Vec<_> = modes(&source).iter().map(summary).collect();
        assert_eq!(summaries, [(320, 10, None), (640, 10, None)]);
        let offset = sample.buffer().unwrap().offset();
        assert!(last.is_none_or(|last| offset > last));
        (frames, last) = (frames + 1, Some(offset));
    }
    assert_eq!(frames, 100);
}

#[test]
fn a_camera_without_raw_frames_has_no_modes_to_tell() {
    let _alone = alone("no modes");
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} num-buffers=3"
    ));
    source.set_state(gst::State::Ready);
    assert_eq!(modes(&source).len(), 0);
    source.set_state(gst::State::Playing);
    assert_eq!(source.count(), 3);
}
