//! A camera that is unplugged while it streams, and plugged in again.

use crate::{
    camera::{ID, UsbCamera, frames_in_order, is_seen, usb_source},
    common::{holdings, scale, source::Source, wait_until},
    in_machine, in_machine_for,
};
use gst::prelude::*;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
const SIZE: &str = "! video/x-raw,width=320,height=240";

/// Waits for the error that an unplugging must cause. How long it took, and its text.
fn error_after_unplugging(source: &Source, camera: &mut UsbCamera) -> (Duration, String) {
    let begun = Instant::now();
    camera.unplug();
    let bus = source.pipeline.bus().unwrap();
    let message =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]);
    let took = begun.elapsed();
    let message = message.expect("an error after the camera was unplugged");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    (took, error.error().to_string())
}

/// To NULL, which nothing may delay; no second error, and every frame is over.
fn end(source: &Source) -> Duration {
    let begun = Instant::now();
    source.pipeline.set_state(gst::State::Null).unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "NULL took {took:?}");
    assert_eq!(source.error(), None, "a second error");
    took
}

#[test]
fn it_is_one_clear_error_at_once_and_the_camera_streams_when_it_is_back() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let mut camera = UsbCamera::plugged();
    let source = usb_source(SIZE);
    source.set_state(gst::State::Playing);
    frames_in_order(&source, 10);
    let (took, error) = error_after_unplugging(&source, &mut camera);
    println!("NOTE: after {took:?}: {error}");
    assert!(error.contains("is gone") && error.contains(ID), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The stream ends behind the frames that were there.
    while source.pull().is_some() {}
    let null = end(&source);
    println!("NOTE: NULL after {null:?}");
    // Nothing is there: that is said, too.
    assert!(source.pipeline.set_state(gst::State::Playing).is_err());
    let error = source.only_error();
    println!("NOTE: started without it: {error}");
    assert!(error.contains("no camera named"), "{error}");
    drop(camera);
    let _camera = UsbCamera::plugged();
    source.set_state(gst::State::Playing);
    frames_in_order(&source, 10);
}

#[test]
fn again_and_again() {
    let Some(_alone) = in_machine_for(Duration::from_secs(200)) else {
        return;
    };
    let source = usb_source(SIZE);
    let (mut slowest, mut slowest_null, mut before) = (Duration::ZERO, Duration::ZERO, None);
    let rounds = scale(10, 50) as u32;
    for round in 0..rounds {
        let mut camera = UsbCamera::plugged();
        source.set_state(gst::State::Playing);
        frames_in_order(&source, 1 + round % 7);
        let (took, error) = error_after_unplugging(&source, &mut camera);
        assert!(error.contains("is gone"), "round {round}: {error}");
        slowest = slowest.max(took);
        slowest_null = slowest_null.max(end(&source));
        drop(camera);
        if round == 4 {
            before = Some(holdings().0);
        }
    }
    println!(
        "NOTE: {rounds} times: the slowest error came after {slowest:?}, the slowest NULL took {slowest_null:?}"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let (before, after) = (before.unwrap(), holdings().0);
    assert!(
        after <= before + 1,
        "{after} open files, {before} after the fifth time"
    );
}

/// The process's camera manager lives on, and sees the camera go and come back.
#[test]
fn another_camera_of_the_process_streams_on() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let other = Source::playing(
        "libcamerasrc-rs name=source camera-name=VirtualTiny pace=true ! video/x-raw,framerate=30/1",
    );
    let source = usb_source(SIZE);
    for _ in 0..5 {
        let mut camera = UsbCamera::plugged();
        source.set_state(gst::State::Playing);
        frames_in_order(&source, 5);
        let (took, error) = error_after_unplugging(&source, &mut camera);
        assert!(error.contains("is gone"), "{error}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        end(&source);
        wait_until("the camera to be forgotten", SOON, || !is_seen());
        assert!(other.pull().is_some());
    }
    assert_eq!(other.error(), None);
    assert_eq!(other.counter("cancelled"), 0);
    println!("NOTE: five times with a camera manager that lives on");
}

#[test]
fn in_every_state() {
    let Some(_alone) = in_machine() else {
        return;
    };
    for state in [gst::State::Ready, gst::State::Paused] {
        let mut camera = UsbCamera::plugged();
        let source = usb_source(SIZE);
        source.pipeline.set_state(state).unwrap();
        let _ = source.pipeline.state(gst::ClockTime::from_seconds(5));
        camera.unplug();
        wait_until("the camera to be forgotten", SOON, || !is_seen());
        let _ = source.pipeline.set_state(gst::State::Playing);
        let error = source.only_error();
        println!("NOTE: unplugged in {state:?}, then PLAYING: {error}");
        assert!(error.contains("is gone"), "{error}");
    }
}

/// libcamera would abort the process that stops the camera before libcamera has noticed.
#[test]
fn an_application_may_stop_it_at_that_very_moment() {
    let Some(_alone) = in_machine_for(Duration::from_secs(120)) else {
        return;
    };
    let source = usb_source(SIZE);
    for round in 0..scale(10, 30) {
        let mut camera = UsbCamera::plugged();
        source.set_state(gst::State::Playing);
        frames_in_order(&source, 3);
        camera.unplug();
        std::thread::sleep(Duration::from_millis(round % 10 * 5));
        let begun = Instant::now();
        source.pipeline.set_state(gst::State::Null).unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "NULL took {took:?}");
        // An error may have come before.
        let _ = source.error();
    }
    println!("NOTE: stopped 0 to 45 ms after it was unplugged, again and again");
}
