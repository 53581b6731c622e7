//! A USB camera's own DMABUFs in other processes: `shmsink-rs transport=fd`, and `shmsrc-rs`, which needs no newer GStreamer.

use crate::{
    camera::{ID, UsbCamera},
    child::Process,
    common::{rig::socket, scale, wait_until},
    in_machine_for,
};
use gst::prelude::*;
use std::time::{Duration, Instant};

/// The camera and the sink; NULL when dropped.
pub struct Passing {
    pub pipeline: gst::Pipeline,
    pub path: String,
}

impl Passing {
    pub fn new(name: &str, properties: &str) -> Self {
        let path = socket(name);
        let pipeline = gst::parse::launch(&format!(
            "libcamerasrc-rs name=source {properties} ! video/x-raw,width=640,height=480 ! shmsink-rs name=sink transport=fd socket-path={path}"
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap();
        source.set_property("camera-name", ID);
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, path }
    }

    pub fn stat(&self, name: &str) -> u64 {
        self.stats().get(name).unwrap()
    }

    pub fn stats(&self) -> gst::Structure {
        let sink = self.pipeline.by_name("sink").unwrap();
        sink.property("stats")
    }

    /// For how many nanoseconds no frame was there for the camera to fill.
    pub fn starved(&self) -> u64 {
        let source = self.pipeline.by_name("source").unwrap();
        let stats: gst::Structure = source.property("stats");
        let pads = stats.get::<gst::Structure>("pads").unwrap();
        let pad = pads.get::<gst::Structure>("src").unwrap();
        pad.get("starved").unwrap()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Four readers of that element get the camera's own memory; one is stopped, and the others and the camera go on.
///
/// Of DMABUFs that it exports the camera has four, of a heap's as many as it is asked for.
pub fn four_readers(name: &str, element: &str) {
    let _camera = UsbCamera::plugged();
    one_of_four_stops(name, element, "io-mode=dmabuf-import", "system");
    one_of_four_stops(name, element, "io-mode=dmabuf", "videobuf2_vmalloc");
}

fn one_of_four_stops(name: &str, element: &str, properties: &str, memory: &str) {
    let passing = Passing::new(name, properties);
    let has_many = memory == "system";
    let path = &passing.path;
    let reader = || {
        let mut reader = Process::new(&format!(
            "{element} socket-path={path} ! appsink name=sink sync=false enable-last-sample=false"
        ));
        assert!(reader.does("state playing", 20));
        reader
    };
    let mut readers: Vec<_> = (0..4).map(|_| reader()).collect();
    let mut own = 0;
    for reader in &mut readers {
        for _ in 0..10 {
            let found = reader.frames(1).unwrap();
            own += u64::from(found == memory);
            assert!(found == memory || !has_many, "{found}: {}", passing.stats());
        }
    }
    assert!(
        own >= 10,
        "{own} of 40 frames were the camera's: {}",
        passing.stats()
    );
    readers[0].stop();
    let (starved, before) = (passing.starved(), passing.stat("frames-in"));
    let (begun, period) = (Instant::now(), Duration::from_secs(scale(8, 30)));
    let (mut seen, mut theirs) = (0, 0);
    while begun.elapsed() < period {
        for reader in &mut readers[1..] {
            theirs += u64::from(reader.frames(1).unwrap() == memory);
        }
        seen += 1;
    }
    let frames = passing.stat("frames-in") - before;
    println!(
        "NOTE: {element}, {properties}, one of four stopped for {period:?}: {frames} frames, each other reader had {seen}, held {}, copied {} of {}",
        passing.stat("frames-held-upstreams"),
        passing.stat("frames-copied-scarce"),
        passing.stat("frames-published")
    );
    // With four frames and no time to spare, an emulated machine is a slow one.
    let least = if has_many { 50 } else { 20 };
    assert!(
        seen + 10 > frames && frames > least,
        "{seen} of {frames} frames"
    );
    let starved = Duration::from_nanos(passing.starved() - starved);
    let most = if has_many {
        Duration::ZERO
    } else {
        period / 20
    };
    assert!(starved <= most, "without a frame for {starved:?}");
    // Readers that are late for want of a processor hold frames, too.
    let wanted = if has_many { 3 * seen * 9 / 10 } else { 1 };
    assert!(
        theirs >= wanted,
        "{theirs} of 3 x {seen} frames were the camera's"
    );
    assert_eq!(
        passing.stat("frames-copied"),
        passing.stat("frames-copied-scarce")
    );
    assert_eq!(passing.stat("frames-dropped-no-slot"), 0);
    readers[0].resume();
    readers[0].frames(10).unwrap();
    drop(readers);
    wait_until("all frames are back", Duration::from_secs(10), || {
        passing.stat("frames-held-upstreams") == 0
    });
}

#[test]
fn another_process_gets_the_cameras_own_dmabufs() {
    let Some(_alone) = in_machine_for(Duration::from_secs(180)) else {
        return;
    };
    four_readers("fd", "shmsrc-rs");
}
