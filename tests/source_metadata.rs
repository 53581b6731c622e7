//! What the camera knew about each frame, on its buffer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{sync::Arc, time::Duration};

use common::source::{Source, TINY, alone};
use gst::{meta::CustomMeta, prelude::*};
use gstlibcamerars::{
    backend::{
        libcamera::control_definitions,
        simulated::{Script, Spec, plug},
    },
    camera::{ControlId, ControlInfo, ControlValue, Controls, Scalar},
};

const CAMERA: &str = "simulated-metadata";

fn id(name: &str) -> ControlId {
    let definitions = control_definitions().iter();
    let mut named = definitions.filter(|definition| definition.name == name);
    named.next().unwrap().id
}

fn camera() -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 2,
        interval: Duration::from_millis(2),
        controls: vec![ControlInfo {
            id: id("ExposureTime"),
            min: Some(ControlValue::One(Scalar::I32(10))),
            max: Some(ControlValue::One(Scalar::I32(100_000))),
            default: None,
            values: Vec::new(),
        }],
        ..Spec::default()
    })
}

fn metadata(sample: &gst::Sample) -> Option<gst::Structure> {
    let meta = CustomMeta::from_buffer(sample.buffer().unwrap(), "libcamera").ok()?;
    Some(meta.structure().to_owned())
}

#[test]
fn every_buffer_has_it_typed_through_tee_queue_and_videoconvert() {
    let _alone = alone("metadata");
    let script = camera();
    let gains = ControlValue::List(vec![Scalar::F32(1.5), Scalar::F32(2.0)]);
    let reported: Controls = [
        (id("AfState"), ControlValue::One(Scalar::I32(2))),
        (id("ColourGains"), gains),
        (id("AeEnable"), ControlValue::One(Scalar::Bool(false))),
    ]
    .into_iter()
    .collect();
    script.pretend(&reported);
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} exposure-time=500 num-buffers=40 \
         ! tee ! queue ! videoconvert ! video/x-raw,format=RGB"
    ));
    // Frames that nobody has taken yet have the value of before.
    source.sink.set_property("max-buffers", 1u32);
    source.set_state(gst::State::Playing);
    let mut last = 0;
    for count in 0.. {
        let Some(sample) = source.pull() else {
            assert_eq!(count, 40);
            break;
        };
        let structure = metadata(&sample).expect("on every buffer");
        let exposure: i32 = structure.get("exposure-time").unwrap();
        assert!(exposure >= last.max(500), "{exposure} after {last}");
        last = exposure;
        assert_eq!(structure.get::<&str>("af-state").unwrap(), "focused");
        assert!(!structure.get::<bool>("ae-enable").unwrap());
        let gains: gst::Array = structure.get("colour-gains").unwrap();
        let gains: Vec<f32> = gains.iter().map(|gain| gain.get().unwrap()).collect();
        assert_eq!(gains, [1.5, 2.0]);
        // The frames behind this one are told of another value.
        source.element.set_property("exposure-time", 501 + count);
    }
    assert!(last > 500, "it changes with the frames: {last}");
}

#[test]
fn it_belongs_to_its_frame_on_every_pad() {
    let _alone = alone("metadata of frames");
    let pipeline = gst::parse::launch(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} pace=true source.src ! video/x-raw,framerate=100/1 \
         ! appsink name=a sync=false async=false source.src_0 ! appsink name=b sync=false async=false"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for sink in ["a", "b"] {
        let sink = pipeline.by_name(sink).unwrap();
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        for _ in 0..20 {
            let sample = sink
                .try_pull_sample(gst::ClockTime::from_seconds(10))
                .unwrap();
            let sensor: i64 = metadata(&sample).unwrap().get("sensor-timestamp").unwrap();
            let buffer = sample.buffer().unwrap();
            let reference = buffer.meta::<gst::ReferenceTimestampMeta>().unwrap();
            assert_eq!(reference.timestamp().nseconds() as i64, sensor);
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn it_can_be_left_out() {
    let _alone = alone("no metadata");
    camera();
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} frame-metadata=false num-buffers=5"
    ));
    for _ in 0..5 {
        assert_eq!(metadata(&source.pull().expect("a frame")), None);
    }
}

/// However many frames others have had since.
#[test]
fn frames_that_waited_in_a_blocked_branch_have_it_too() {
    let _alone = alone("metadata of a blocked branch");
    camera().pretend(
        &[(id("Lux"), ControlValue::One(Scalar::F32(1.0)))]
            .into_iter()
            .collect(),
    );
    let pipeline = gst::parse::launch(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} source.src ! appsink name=a sync=false async=false max-buffers=1 \
         source.src_0 ! appsink name=b sync=false async=false"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sink = |name: &str| {
        let sink = pipeline.by_name(name).unwrap();
        sink.downcast::<gst_app::AppSink>().unwrap()
    };
    for (name, frames) in [("b", 40), ("a", 5)] {
        let sink = sink(name);
        for frame in 0..frames {
            let sample = sink
                .try_pull_sample(gst::ClockTime::from_seconds(10))
                .unwrap();
            assert!(metadata(&sample).is_some(), "{name}, frame {frame}");
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Copies of frames that the camera needs back, and of frames for who does not know their layout.
#[test]
fn copies_have_it_as_well() {
    let _alone = alone("metadata of copies");
    plug(Spec {
        padding: 64,
        interval: Duration::from_millis(2),
        id: CAMERA.to_owned(),
        ..Spec::default()
    })
    .pretend(
        &[(id("Lux"), ControlValue::One(Scalar::F32(40.0)))]
            .into_iter()
            .collect(),
    );
    for rest in [
        "copy-threshold=4",
        "num-buffers=5 ! identity drop-allocation=true",
    ] {
        let source = Source::playing(&format!(
            "libcamerasrc-rs name=source camera-name={CAMERA} {rest}"
        ));
        for _ in 0..5 {
            let sample = source.pull().unwrap();
            let memory = sample.buffer().unwrap().peek_memory(0);
            assert!(
                !memory.is_memory_type::<gst_allocators::FdMemory>(),
                "a copy"
            );
            assert_eq!(metadata(&sample).unwrap().get::<f32>("lux").unwrap(), 40.0);
        }
    }
}

#[test]
fn states_are_told_when_they_change() {
    let _alone = alone("state messages");
    let script = camera();
    let report = |state: i32, settled: bool, lux: f32| {
        let reported = [
            (id("AfState"), ControlValue::One(Scalar::I32(state))),
            (id("AwbLocked"), ControlValue::One(Scalar::Bool(settled))),
            (id("Lux"), ControlValue::One(Scalar::F32(lux))),
        ];
        script.pretend(&reported.into_iter().collect());
    };
    report(1, false, 1.0);
    for wanted in [true, false] {
        let source = Source::new(&format!(
            "libcamerasrc-rs name=source camera-name={CAMERA} state-messages={wanted} frame-metadata=false"
        ));
        source.sink.set_property("drop", true);
        source.sink.set_property("max-buffers", 1u32);
        source.set_state(gst::State::Playing);
        let bus = source.pipeline.bus().unwrap();
        let told = |timeout| {
            let deadline = std::time::Instant::now() + Duration::from(timeout);
            loop {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                let left = gst::ClockTime::try_from(left).unwrap();
                let message = bus.timed_pop_filtered(left, &[gst::MessageType::Element])?;
                let details = message.structure()?;
                if details.name() == "libcamerasrc-state" {
                    return Some(details.to_owned());
                }
            }
        };
        let (soon, a_while) = (
            gst::ClockTime::from_seconds(10),
            gst::ClockTime::from_mseconds(100),
        );
        if !wanted {
            assert_eq!(told(a_while), None, "nobody has asked");
            break;
        }
        let first = told(soon).expect("what it is at first");
        assert_eq!(first.get::<&str>("af-state").unwrap(), "scanning");
        assert!(!first.get::<bool>("awb-locked").unwrap());
        assert_eq!(first.n_fields(), 2, "{first}");
        report(1, false, 2.0);
        assert_eq!(told(a_while), None, "a measurement is no state");
        report(2, false, 3.0);
        let news = told(soon).expect("a change");
        assert_eq!(news.get::<&str>("af-state").unwrap(), "focused");
        assert_eq!(news.n_fields(), 1, "{news}");
        report(3, true, 3.0);
        let news = told(soon).expect("two changes of one frame");
        assert_eq!(news.get::<&str>("af-state").unwrap(), "failed");
        assert!(news.get::<bool>("awb-locked").unwrap());
        assert_eq!(told(a_while), None);
    }
}
