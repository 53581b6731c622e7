//! What the pads of a `libcamerasrc-rs` answer, in every state of the element, on the way up and down again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::source::alone;
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Spec, plug};

const CAMERA: &str = "simulated-queries";
const SOON: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// Nobody waits for the camera or for a branch, which is blocked for good, to hear what a pad can do.
const AT_ONCE: Duration = Duration::from_secs(5);
const SINK: &str = "appsink sync=false async=false max-buffers=1";

fn pipeline() -> (gst::Pipeline, gst::Element) {
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval: Duration::from_millis(5),
        frames: 4,
        ..Spec::default()
    });
    let description = format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} source.src ! {SINK} name=a source.src_0 ! video/x-raw,width=320 ! {SINK} name=b"
    );
    let pipeline = gst::parse::launch(&description).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap();
    (pipeline, source)
}

fn caps(text: &str) -> gst::Caps {
    text.parse().unwrap()
}

/// Of what the camera offers, and of nothing else.
fn says_what_the_camera_can_do(pad: &gst::Pad, state: gst::State) {
    let what = format!("{} in {state:?}", pad.name());
    let begun = Instant::now();
    let all = pad.query_caps(None);
    assert!(begun.elapsed() < AT_ONCE, "{what}: {:?}", begun.elapsed());
    let template = pad.pad_template_caps();
    assert!(all.is_subset(&template), "{what}: {all}");

    let is_open = state > gst::State::Null;
    assert_eq!(all == template, !is_open, "{what}: {all}");
    assert!(all.can_intersect(&caps("video/x-raw,format=NV12,width=320,height=240")));
    // It has neither this size nor this format.
    for lacking in ["video/x-raw,width=333", "image/jpeg"] {
        assert_eq!(
            all.can_intersect(&caps(lacking)),
            !is_open,
            "{what}: {lacking}"
        );
    }

    // With a filter: what is in both, in the filter's order.
    let filter = caps("video/x-raw,width=640;video/x-raw,width=64");
    let filtered = pad.query_caps(Some(&filter));
    assert!(
        filtered.is_subset(&filter) && filtered.is_subset(&all),
        "{what}: {filtered}"
    );
    let widths = filtered
        .iter()
        .map(|structure| structure.get::<i32>("width").unwrap());
    assert_eq!(widths.collect::<Vec<_>>(), [640, 64], "{what}");

    let fixed = "video/x-raw,format=NV12,height=240,framerate=0/1";
    assert!(
        pad.query_accept_caps(&caps(&format!("{fixed},width=320"))),
        "{what}"
    );
    assert_eq!(
        pad.query_accept_caps(&caps(&format!("{fixed},width=333"))),
        !is_open,
        "{what}"
    );
}

/// One that a pad has agreed to is one that it offers.
fn flows_with_what_it_offers(pad: &gst::Pad, state: gst::State) {
    let agreed = pad.current_caps();
    if state < gst::State::Paused {
        assert_eq!(agreed, None, "{} in {state:?}", pad.name());
    }
    if let Some(agreed) = agreed {
        assert!(agreed.is_fixed(), "{agreed}");
        assert!(pad.query_caps(None).can_intersect(&agreed), "{agreed}");
        assert!(pad.query_accept_caps(&agreed), "{agreed}");
    }
}

#[test]
fn caps_are_told_in_every_state() {
    let _alone = alone("caps in every state");
    let (pipeline, source) = pipeline();
    use gst::State::{Null, Paused, Playing, Ready};
    for state in [
        Null, Ready, Paused, Playing, Paused, Playing, Ready, Paused, Ready, Null, Playing, Null,
    ] {
        pipeline.set_state(state).unwrap();
        pipeline.state(SOON).0.unwrap();
        if state == Playing {
            // Both branches are full now, and block.
            for sink in ["a", "b"] {
                let sink = pipeline.by_name(sink).unwrap();
                let sink = sink.downcast::<gst_app::AppSink>().unwrap();
                let sample = sink.try_pull_sample(SOON).expect("a frame");
                let agreed = sample.caps().unwrap().structure(0).unwrap();
                let width = if sink.name() == "b" { 320 } else { 640 };
                assert_eq!(agreed.get::<i32>("width").unwrap(), width);
            }
        }
        let requested = source.request_pad_simple("src_%u").unwrap();
        for pad in source.src_pads() {
            says_what_the_camera_can_do(&pad, state);
            flows_with_what_it_offers(&pad, state);
        }
        source.release_request_pad(&requested);
        let error = pipeline
            .bus()
            .unwrap()
            .pop_filtered(&[gst::MessageType::Error]);
        assert!(error.is_none(), "{error:?}");
    }
}

/// A live source has no frame before PLAYING, and knows its latency once it has.
#[test]
fn latency_is_live_in_every_state() {
    let _alone = alone("latency in every state");
    let (pipeline, source) = pipeline();
    for state in [
        gst::State::Null,
        gst::State::Ready,
        gst::State::Paused,
        gst::State::Playing,
        gst::State::Ready,
    ] {
        pipeline.set_state(state).unwrap();
        pipeline.state(SOON).0.unwrap();
        for pad in source.src_pads() {
            let mut query = gst::query::Latency::new();
            assert!(pad.query(&mut query), "{} in {state:?}", pad.name());
            let (live, min, max) = query.result();
            assert!(live, "{} in {state:?}", pad.name());
            assert!(max.is_none_or(|max| max >= min), "{min} to {max:?}");
        }
    }
}
