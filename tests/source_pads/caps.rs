//! What each pad streams: caps that change while all stream, and those that the camera does not have.

use std::time::Duration;

use gst::prelude::*;

use super::{
    Pads, SINK, SOON, TWO, camera,
    common::{random::Random, source::alone, wait_until},
};

fn sized(name: &str, sink: &str) -> String {
    format!(
        "source.{sink} ! capsfilter name=size-{name} caps=video/x-raw,width=320 ! {SINK} name={name} max-buffers=1"
    )
}

fn ask_for(pads: &Pads, name: &str, width: i32) {
    let filter = pads.pipeline.by_name(&format!("size-{name}")).unwrap();
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", width)
        .build();
    filter.set_property("caps", &caps);
}

#[test]
fn each_pad_may_change_its_caps_while_all_stream() {
    let _alone = alone("changing caps");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    for width in [640, 64, 320, 640] {
        ask_for(&pads, "b", width);
        std::thread::scope(|scope| {
            // Both are pulled, or one would block.
            scope.spawn(|| b.until_width(width));
            a.until_width(320);
        });
        while b.width() != width {
            a.0.try_pull_sample(gst::ClockTime::ZERO);
        }
        assert_eq!(a.width(), 320);
    }
    ask_for(&pads, "a", 64);
    while a.width() != 64 {
        b.0.try_pull_sample(gst::ClockTime::ZERO);
    }
    assert_eq!(b.width(), 640);
    pads.no_error();
}

#[test]
fn src_changes_while_the_other_branch_is_blocked() {
    let _alone = alone("src changes, src_0 blocked");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    a.pull();
    wait_until("a blocked branch", SOON, || {
        a.0.try_pull_sample(gst::ClockTime::ZERO);
        pads.counter("src_0", "starved") > 0 || pads.counter("src_0", "left-out") > 3
    });
    ask_for(&pads, "a", 640);
    a.until_width(640);
    for _ in 0..50 {
        assert_eq!(a.width(), 640);
    }
    for _ in 0..10 {
        assert_eq!(b.width(), 320);
        a.0.try_pull_sample(gst::ClockTime::ZERO);
    }
    pads.no_error();
}

#[test]
fn the_other_changes_while_the_branch_of_src_is_blocked() {
    let _alone = alone("src_0 changes, src blocked");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    wait_until("a blocked branch", SOON, || {
        b.0.try_pull_sample(gst::ClockTime::ZERO);
        pads.counter("src", "left-out") > 3
    });
    ask_for(&pads, "b", 640);
    // The change waits for the branch of `src`, and the stream goes on meanwhile.
    for _ in 0..3 {
        b.0.try_pull_sample(gst::ClockTime::from_mseconds(100));
    }
    pads.no_error();
    wait_until("the change", SOON, || {
        a.0.try_pull_sample(gst::ClockTime::ZERO);
        let sample = b.0.try_pull_sample(gst::ClockTime::from_mseconds(20));
        sample.is_some_and(|sample| {
            let caps = sample.caps().unwrap().structure(0).unwrap();
            caps.get::<i32>("width").unwrap() == 640
        })
    });
    pads.no_error();
}

#[test]
fn a_question_that_changes_nothing_restarts_nothing() {
    let _alone = alone("reconfigure");
    camera(2, 4);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let (mut last_a, mut last_b) = (a.sequence(), b.sequence());
    for round in 0..20 {
        let pad = pads.pad(["src", "src_0"][round % 2]);
        assert!(pad.send_event(gst::event::Reconfigure::new()));
        for _ in 0..5 {
            // A camera that was started anew counts from 0.
            let (next_a, next_b) = (a.sequence(), b.sequence());
            assert!(next_a > last_a && next_b > last_b);
            (last_a, last_b) = (next_a, next_b);
        }
    }
    pads.no_error();
}

#[test]
fn flushes_meet_negotiations() {
    let _alone = alone("flush against negotiation");
    camera(1, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let mut random = Random(17);
    for round in 0..100 {
        let width = [64, 320, 640][round % 3];
        ask_for(&pads, if round % 2 == 0 { "a" } else { "b" }, width);
        std::thread::sleep(Duration::from_micros(random.next(1500)));
        assert!(pads.element.send_event(gst::event::FlushStart::new()));
        if round % 5 == 0 {
            // A pad that comes in the middle of a flush.
            let pad = pads.element.request_pad_simple("src_%u").unwrap();
            assert!(pads.element.send_event(gst::event::FlushStop::new(true)));
            pads.element.release_request_pad(&pad);
        } else {
            assert!(pads.element.send_event(gst::event::FlushStop::new(true)));
        }
        a.pull();
        b.pull();
    }
    pads.no_error();
}

#[test]
fn rates_that_differ_are_an_error_that_says_so() {
    let _alone = alone("two rates");
    camera(10, 4);
    let rate =
        |pad: &str, rate: u32| format!("source.{pad} ! video/x-raw,framerate={rate}/1 ! fakesink ");
    let pads = Pads::playing("pace=true", &(rate("src", 10) + &rate("src_0", 20)));
    let text = pads.error();
    assert!(text.contains("one frame rate"), "{text}");
}

#[test]
fn more_streams_than_the_camera_has_are_an_error() {
    let _alone = alone("too many");
    camera(10, 4);
    let branches: String = (0..4)
        .map(|pad| format!("source.src_{pad} ! fakesink "))
        .collect();
    let pads = Pads::playing("", &branches);
    let text = pads.error();
    assert!(text.contains("offers no stream"), "{text}");
}
