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
    while let Some(sample) = source.pull() {
        assert_eq!(metadata(&sample), None);
    }
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
