//! Several streams of one camera, as true DMABUFs.

use crate::{common::source::Source, exported::Exported, in_machine};
use gst::prelude::*;
use std::collections::BTreeSet;

const SIZES: [(i32, i32); 3] = [(640, 480), (1280, 720), (640, 480)];

fn pull(sink: &gst_app::AppSink) -> gst::Sample {
    sink.try_pull_sample(gst::ClockTime::from_seconds(20))
        .expect("a frame of every stream")
}

#[test]
fn three_streams_of_the_virtual_camera() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let branch = |index: usize| {
        let (width, height) = SIZES[index];
        let pad = ["src", "src_0", "src_1"][index];
        format!("source.{pad} ! video/x-raw,format=NV12,width={width},height={height} ! queue")
    };
    // The helper ends the last branch with the sink that it names `sink`.
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name=Virtual0 all-streams=true pace=true {} ! appsink name=second sync=false {} ! appsink name=third sync=false {}",
        branch(1),
        branch(2),
        branch(0)
    ));
    let sink = |name| {
        let sink = source.pipeline.by_name(name).unwrap();
        sink.downcast::<gst_app::AppSink>().unwrap()
    };
    let sinks = [source.sink.clone(), sink("second"), sink("third")];
    source.set_state(gst::State::Playing);
    let mut files = [const { BTreeSet::new() }; 3];
    for round in 0..30 {
        let samples: Vec<gst::Sample> = sinks.iter().map(pull).collect();
        let sequences: BTreeSet<u64> = samples
            .iter()
            .map(|sample| sample.buffer().unwrap().offset())
            .collect();
        assert_eq!(sequences.len(), 1, "a set of one moment, in round {round}");
        for ((sample, (width, height)), files) in samples.iter().zip(SIZES).zip(&mut files) {
            let frame = Exported::of(sample.buffer().unwrap());
            assert_eq!(frame.exporter(), "system");
            let bytes = frame.bytes();
            assert_eq!(bytes.len(), (width * height * 3 / 2) as usize);
            let line: BTreeSet<u8> = bytes[..width as usize].iter().copied().collect();
            assert!(line.len() >= 8, "bars at {width}x{height}");
            files.insert(frame.fd);
        }
    }
    let all: BTreeSet<i32> = files.iter().flatten().copied().collect();
    let each: usize = files.iter().map(BTreeSet::len).sum();
    assert_eq!(all.len(), each, "no DMABUF is of two streams");
    assert_eq!(source.error(), None);
    println!("NOTE: 30 sets of three, {each} DMABUFs of system");
}
