//! What `libcamerasrc-rs` says when it cannot work: one error each, which says what to do, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{process::Command, time::Duration};

use common::{
    holdings,
    source::{Source, alone},
    wait_until,
};
use gst::prelude::*;

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

/// The state change fails, with one error.
fn refused(description: &str) -> String {
    let source = Source::new(description);
    assert!(source.pipeline.set_state(gst::State::Playing).is_err());
    source.only_error()
}

/// The stream ends with one error.
fn failed(description: &str) -> String {
    let source = Source::new(description);
    let _ = source.pipeline.set_state(gst::State::Playing);
    source.only_error()
}

#[test]
fn an_unknown_camera_lists_those_that_there_are() {
    let _alone = alone("unknown camera");
    let text = refused("libcamerasrc-rs name=source camera-name=nope");
    assert_says(
        &text,
        &[
            "'nope'",
            "Virtual0 (Virtual Camera), VirtualTiny (Virtual Tiny Camera)",
        ],
    );
    let text = refused("libcamerasrc-rs name=source camera-name=virtual");
    assert_says(&text, &["several cameras", "Virtual0", "VirtualTiny"]);
}

#[test]
fn a_camera_goes_by_its_place_its_model_or_a_part_of_its_id() {
    let _alone = alone("camera names");
    for name in ["1", "\"virtual tiny camera\"", "Tiny", "VirtualTiny"] {
        let source = Source::playing(&format!(
            "libcamerasrc-rs name=source camera-name={name} num-buffers=2"
        ));
        let sample = source.pull().unwrap();
        let structure = sample.caps().unwrap().structure(0).unwrap();
        assert_eq!(structure.get::<i32>("width").unwrap(), 64, "{name}");
    }
}

#[test]
fn a_camera_in_use_says_so_and_its_user_goes_on() {
    let _alone = alone("busy camera");
    let user = Source::playing("libcamerasrc-rs name=source camera-name=VirtualTiny pace=true");
    let text = refused("libcamerasrc-rs name=source camera-name=VirtualTiny");
    assert_says(&text, &["'VirtualTiny'", "in use", "stop that one first"]);
    user.pull().unwrap();
    user.set_state(gst::State::Null);
    let next = Source::playing("libcamerasrc-rs name=source camera-name=VirtualTiny num-buffers=3");
    assert_eq!(next.count(), 3);
}

#[test]
fn caps_that_the_camera_cannot_do_say_what_it_can() {
    let _alone = alone("impossible caps");
    for caps in ["format=RGB", "width=124,height=78"] {
        let text = failed(&format!("libcamerasrc-rs name=source ! video/x-raw,{caps}"));
        assert_says(
            &text,
            &["NV12 at 640x480 to 1920x1080", "1 to 120 frames per second"],
        );
    }
}

#[test]
fn a_rate_that_the_camera_does_not_have_says_which_it_has() {
    let _alone = alone("impossible rate");
    for rest in ["", "pace=true"] {
        let text = failed(&format!(
            "libcamerasrc-rs name=source {rest} ! video/x-raw,framerate=500/1"
        ));
        assert_says(
            &text,
            &[
                "500 frames per second at 1920x1080",
                "it delivers 1 to 120 there",
            ],
        );
    }
}

#[test]
fn a_size_that_the_camera_would_adjust_names_those_that_it_keeps() {
    let _alone = alone("adjusted size");
    let text = failed("libcamerasrc-rs name=source ! video/x-raw,width=800,height=600");
    assert_says(&text, &["NV12 at 800x600", "640x480, 1280x720, 1920x1080"]);
}

#[test]
fn caps_that_the_peer_refuses_are_shown_on_both_sides() {
    let _alone = alone("refused caps");
    let text = failed("libcamerasrc-rs name=source ! video/x-raw,colorimetry=sRGB");
    assert_says(&text, &["1920", "colorimetry=(string)sRGB", "videoconvert"]);
}

#[test]
fn a_second_choice_is_taken_where_the_first_is_refused() {
    let _alone = alone("second choice");
    let caps = "video/x-raw,width=800,height=600;video/x-raw,width=1280,height=720,colorimetry=sRGB;video/x-raw,width=640";
    let source = Source::new("libcamerasrc-rs name=source num-buffers=3 ! capsfilter name=filter");
    let caps: gst::Caps = caps.parse().unwrap();
    source
        .pipeline
        .by_name("filter")
        .unwrap()
        .set_property("caps", caps);
    source.set_state(gst::State::Playing);
    let sample = source.pull().unwrap();
    let width = sample
        .caps()
        .unwrap()
        .structure(0)
        .unwrap()
        .get::<i32>("width");
    assert_eq!(width.unwrap(), 640);
}

#[test]
fn an_impossible_change_while_frames_flow_ends_the_stream_with_an_error() {
    let _alone = alone("impossible change");
    let source = Source::playing("libcamerasrc-rs name=source ! capsfilter name=filter");
    source.pull().unwrap();
    let impossible = gst::Caps::builder("video/x-raw")
        .field("width", 800)
        .field("height", 600)
        .build();
    source
        .pipeline
        .by_name("filter")
        .unwrap()
        .set_property("caps", impossible);
    source.count();
    assert_says(&source.only_error(), &["800x600"]);
}

const WITHOUT_CAMERA: &str = "SOURCE_WITHOUT_CAMERA";

/// Not a test of its own: the next one runs it in a process whose libcamera knows no virtual cameras.
#[test]
fn without_camera_process() {
    if std::env::var_os(WITHOUT_CAMERA).is_none() {
        return;
    }
    let _alone = alone("no camera");
    println!("said: {}", refused("libcamerasrc-rs name=source"));
}

#[test]
fn a_machine_without_cameras_says_where_to_look() {
    let _alone = alone("no camera, outside");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["without_camera_process", "--exact", "--nocapture"])
        .env(WITHOUT_CAMERA, "1")
        .env("LIBCAMERA_PIPELINES_MATCH_LIST", "none")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_says(&said, &["said: no camera was found", "cam -l"]);
}

#[test]
fn nothing_is_left_behind_by_failures() {
    let _alone = alone("leftovers");
    let attempt = || {
        refused("libcamerasrc-rs name=source camera-name=nope");
        failed("libcamerasrc-rs name=source ! video/x-raw,width=800,height=600");
        failed("libcamerasrc-rs name=source ! video/x-raw,colorimetry=sRGB");
    };
    attempt();
    let (fds, threads, _) = holdings();
    for _ in 0..20 {
        attempt();
    }
    wait_until("threads to end", Duration::from_secs(10), || {
        holdings().1.len() <= threads.len()
    });
    assert!(
        holdings().0 <= fds,
        "{} file descriptors, {fds} before",
        holdings().0
    );
}
