//! Stills on demand beside a stream: `capture-still`, its messages, and that nothing else notices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod outcomes;
mod sinks;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::wait_until;
use gst::{meta::CustomMeta, prelude::*};
use gstlibcamerars::{
    backend::{
        libcamera::control_definitions,
        simulated::{Script, Spec, plug},
    },
    camera::{ControlId, ControlInfo, ControlValue, Scalar},
};

const CAMERA: &str = "simulated-stills";
const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);

fn id(name: &str) -> ControlId {
    let definitions = control_definitions().iter();
    let mut named = definitions.filter(|definition| definition.name == name);
    named.next().unwrap().id
}

fn number(value: i32) -> ControlValue {
    ControlValue::One(Scalar::I32(value))
}

fn camera(interval: Duration) -> Arc<Script> {
    let exposure = ControlInfo {
        id: id("ExposureTime"),
        min: Some(number(10)),
        max: Some(number(100_000)),
        default: Some(number(40)),
        values: Vec::new(),
    };
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval,
        controls: vec![exposure],
        ..Spec::default()
    })
}

/// A source named `source`, whose messages about stills are collected.
struct Rig {
    pipeline: gst::Pipeline,
    element: gst::Element,
    told: Arc<Mutex<Vec<gst::Structure>>>,
}

impl Rig {
    /// `rest` names the branches: `source.src ! ...  source.src_0 ! ...`.
    fn new(camera: &str, rest: &str) -> Self {
        let description = format!("libcamerasrc-rs name=source camera-name={camera} {rest}");
        let pipeline = gst::parse::launch(&description).unwrap();
        let pipeline: gst::Pipeline = pipeline.downcast().unwrap();
        let told: Arc<Mutex<Vec<gst::Structure>>> = Arc::default();
        let collected = told.clone();
        // Also what is posted on the way to NULL, when a bus drops what nobody has taken.
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            let structure = message.structure();
            if let Some(still) = structure.filter(|told| told.name() == "libcamerasrc-still") {
                collected.lock().unwrap().push(still.to_owned());
            }
            gst::BusSyncReply::Pass
        });
        Self {
            element: pipeline.by_name("source").unwrap(),
            pipeline,
            told,
        }
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    fn sink(&self, name: &str) -> gst_app::AppSink {
        self.pipeline.by_name(name).unwrap().downcast().unwrap()
    }

    fn capture(&self, pad: Option<&str>, controls: Option<&str>) -> u64 {
        let pad = pad.map(|pad| self.element.static_pad(pad).unwrap());
        let controls = controls.map(|controls| controls.parse::<gst::Caps>().unwrap());
        self.element
            .emit_by_name("capture-still", &[&pad, &controls])
    }

    /// The same, as soon as the pad streams.
    fn captured(&self, pad: Option<&str>, controls: Option<&str>) -> u64 {
        let mut id = 0;
        wait_until("a still is taken on", SOON, || {
            id = self.capture(pad, controls);
            id > 0
        });
        id
    }

    fn outcomes(&self, count: usize) -> Vec<gst::Structure> {
        wait_until(&format!("{count} outcomes"), SOON, || {
            self.told.lock().unwrap().len() >= count
        });
        self.told.lock().unwrap().clone()
    }

    fn no_error(&self) {
        let wanted = [gst::MessageType::Error];
        let error = self.pipeline.bus().unwrap().pop_filtered(&wanted);
        assert!(error.is_none(), "{error:?}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let begun = Instant::now();
        let _ = self.pipeline.set_state(gst::State::Null);
        assert!(begun.elapsed() < Duration::from_secs(2), "NULL is late");
    }
}

fn with_stills() -> Rig {
    let rig = Rig::new(
        CAMERA,
        "source.src ! appsink name=video sync=false drop=true max-buffers=1 source.src_0 ! appsink name=stills sync=false",
    );
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    rig
}

fn next(sink: &gst_app::AppSink) -> gst::Sample {
    let sample = sink.try_pull_sample(TIMEOUT);
    sample.unwrap_or_else(|| panic!("no frame in {TIMEOUT} at {}", sink.name()))
}

fn metadata(sample: &gst::Sample) -> gst::Structure {
    let meta = CustomMeta::from_buffer(sample.buffer().unwrap(), "libcamera").unwrap();
    meta.structure().to_owned()
}

fn offset(sample: &gst::Sample) -> u64 {
    sample.buffer().unwrap().offset()
}
