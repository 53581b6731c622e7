//! A camera whose frames are passed on is never starved by its readers.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstlibcamerars::{
    backend::simulated::{Spec, plug},
    camera::Size,
};

use super::common::{
    self,
    reader::ReaderOptions,
    rig::{READER_TEST, alone, socket},
    scale,
    source_rs::ShmReader,
};

/// One that has as many frames as it is asked for: nothing is copied while readers are well.
#[test]
fn a_camera_with_frames_to_spare_is_never_starved() {
    let _alone = alone("never starved");
    plug(Spec {
        id: "simulated-fd".to_owned(),
        sizes: vec![Size::new(640, 480)],
        interval: Duration::from_millis(33),
        ..Spec::default()
    });
    never_starved("camera-name=simulated-fd ! video/x-raw", true);
}

/// Of memory of ours it has as many frames as are wanted, of which it takes four at a time.
#[test]
fn the_virtual_camera_is_never_starved() {
    let _alone = alone("virtual camera");
    never_starved("pace=true ! video/x-raw,framerate=30/1", false);
}

/// The camera's own frames, their times, metas and planes, in `shmsrc-rs`; and nothing that readers do stops it.
fn never_starved(camera: &str, has_frames: bool) {
    let path = socket("fdcamera");
    let pipeline = gst::parse::launch(&format!(
        "libcamerasrc-rs name=source {camera},format=NV12,width=640,height=480 ! shmsink-rs name=sink transport=fd socket-path={path}"
    ));
    let pipeline: gst::Pipeline = pipeline.unwrap().downcast().unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let source = pipeline.by_name("source").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let stat = |name: &str| {
        let stats = sink.property::<gst::Structure>("stats");
        stats.get::<u64>(name).unwrap()
    };
    let mine = ShmReader::playing(&path, "");
    let spawn = || {
        common::reader::Reader::spawn(
            &path,
            &ReaderOptions {
                arguments: READER_TEST,
                ours: Some(""),
                ..ReaderOptions::default()
            },
        )
    };
    let mut others: Vec<_> = (0..3).map(|_| spawn()).collect();
    for other in &mut others {
        other.frame();
    }
    let sample = mine.pull();
    let caps = sample.caps().unwrap();
    let info = gst_video::VideoInfo::from_caps(caps).unwrap();
    assert_eq!((info.width(), info.height()), (640, 480));
    let buffer = sample.buffer().unwrap();
    assert!(buffer.meta::<gst_video::VideoMeta>().is_some());
    assert!(buffer.meta::<gst::ReferenceTimestampMeta>().is_some());
    let custom = gst::meta::CustomMeta::from_buffer(buffer, "libcamera");
    let reports = custom.is_ok_and(|meta| meta.structure().has_field("sensor-timestamp"));
    // The simulated camera reports nothing.
    assert_eq!(reports, !has_frames);
    assert!(gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).is_ok());
    drop(sample);
    if has_frames {
        assert_eq!(stat("frames-copied"), 0);
    }

    // One is stopped, and one keeps all that it gets.
    others[0].stop();
    let kept: Vec<_> = (0..8)
        .map(|_| mine.try_pull(Duration::from_millis(300)))
        .collect();
    assert!(kept.iter().flatten().count() >= 3);
    let before = stat("frames-in");
    let starved = |source: &gst::Element| {
        let stats: gst::Structure = source.property("stats");
        let pads = stats.get::<gst::Structure>("pads").unwrap();
        let pad = pads.get::<gst::Structure>("src").unwrap();
        pad.get::<u64>("starved").unwrap()
    };
    let starvation = starved(&source);
    let period = Duration::from_secs(scale(2, 30));
    let until = Instant::now() + period;
    let mut seen = 0;
    while Instant::now() < until {
        others[1].frame();
        others[2].frame();
        seen += 1;
    }
    let frames = stat("frames-in") - before;
    println!(
        "NOTE: {camera}: {frames} frames in {period:?}, {seen} of them seen by each healthy reader; held: {}, copied: {}",
        stat("frames-held-upstreams"),
        stat("frames-copied-scarce")
    );
    assert!(frames >= 20 * period.as_secs(), "{frames} frames");
    assert_eq!(starved(&source), starvation);
    assert_eq!(stat("frames-dropped-no-slot"), 0);
    let clients = sink
        .property::<gst::Structure>("stats")
        .get::<gst::Array>("clients")
        .unwrap();
    for other in &others[1..] {
        let client = clients
            .iter()
            .map(|client| client.get::<gst::Structure>().unwrap())
            .find(|client| client.get::<i32>("pid").unwrap() == other.pid() as i32)
            .unwrap();
        assert_eq!(client.get::<u64>("skipped").unwrap(), 0, "{client:?}");
    }
    others[0].resume();
    drop(kept);
    mine.pull();
    let before = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(before.elapsed() < Duration::from_millis(500));
}
