//! Several pads of one `libcamerasrc-rs`: each gets its stream, and none waits for another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod caps;
mod ends;
mod linking;
mod starving;
mod through;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::wait_until;
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Script, Spec, plug};

const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);
const CAMERA: &str = "simulated-streams";

fn camera(interval_ms: u64, frames: u32) -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval: Duration::from_millis(interval_ms),
        frames,
        padding: 0,
        ..Spec::default()
    })
}

/// A pipeline whose source is named `source`; NULL when dropped.
struct Pads {
    pipeline: gst::Pipeline,
    element: gst::Element,
}

impl Pads {
    fn of(camera: &str, source: &str, rest: &str) -> Self {
        let description =
            format!("libcamerasrc-rs name=source camera-name={camera} {source} {rest}");
        let pipeline = gst::parse::launch(&description)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let element = pipeline.by_name("source").unwrap();
        Self { pipeline, element }
    }

    /// `rest` names the branches: `source.src ! ...  source.src_0 ! ...`.
    fn new(source: &str, rest: &str) -> Self {
        Self::of(CAMERA, source, rest)
    }

    fn playing(source: &str, rest: &str) -> Self {
        let pads = Self::new(source, rest);
        pads.play();
        pads
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    fn sink(&self, name: &str) -> Sink {
        Sink(self.pipeline.by_name(name).unwrap().downcast().unwrap())
    }

    fn pad(&self, name: &str) -> gst::Pad {
        self.element.static_pad(name).unwrap()
    }

    fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    /// 0 while the pad has no stream.
    fn counter(&self, pad: &str, name: &str) -> u64 {
        let pads = self.stats().get::<gst::Structure>("pads");
        let pad = pads.and_then(|pads| pads.get::<gst::Structure>(pad));
        pad.map_or(0, |pad| pad.get(name).unwrap())
    }

    fn no_error(&self) {
        let wanted = [gst::MessageType::Error];
        let error = self.pipeline.bus().unwrap().pop_filtered(&wanted);
        assert!(error.is_none(), "{error:?}");
    }

    fn error(&self) -> String {
        let wanted = [gst::MessageType::Error];
        let bus = self.pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(TIMEOUT, &wanted).expect("an error");
        match message.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => unreachable!(),
        }
    }
}

impl Drop for Pads {
    fn drop(&mut self) {
        let begun = Instant::now();
        let _ = self.pipeline.set_state(gst::State::Null);
        assert!(begun.elapsed() < Duration::from_secs(2), "NULL is late");
    }
}

struct Sink(gst_app::AppSink);

impl Sink {
    fn next(&self) -> Option<gst::Sample> {
        match self.0.try_pull_sample(TIMEOUT) {
            Some(sample) => Some(sample),
            None if self.0.is_eos() => None,
            None => panic!("no frame and no end in {TIMEOUT} at {}", self.0.name()),
        }
    }

    fn pull(&self) -> gst::Sample {
        self.next().unwrap_or_else(|| {
            let bus = self.0.bus().unwrap();
            let error = bus.pop_filtered(&[gst::MessageType::Error]);
            panic!("the end instead of a frame: {error:?}")
        })
    }

    fn sequence(&self) -> u64 {
        self.pull().buffer().unwrap().offset()
    }

    fn width(&self) -> i32 {
        let sample = self.pull();
        sample
            .caps()
            .unwrap()
            .structure(0)
            .unwrap()
            .get("width")
            .unwrap()
    }

    fn until_width(&self, width: i32) {
        wait_until("another size", SOON, || self.width() == width);
    }

    fn count(&self) -> usize {
        std::iter::from_fn(|| self.next()).count()
    }

    fn is_silent(&self) -> bool {
        while self.0.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        let wait = gst::ClockTime::from_mseconds(200);
        self.0.try_pull_sample(wait).is_none()
    }
}

const SINK: &str = "appsink sync=false async=false";
const TWO: &str = "source.src ! appsink name=a sync=false async=false \
                   source.src_0 ! appsink name=b sync=false async=false";
