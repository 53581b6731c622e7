//! DMABUFs of a USB camera handed to another process by GStreamer's own `unixfdsink` and `unixfdsrc` (GStreamer 1.24), and by our sink.

use crate::{
    camera::{ID, UsbCamera},
    child::Process,
    common::rig::socket,
    descriptors::four_readers,
    in_machine, in_machine_for, test_name,
};
use gst::prelude::*;
use std::time::Duration;

/// NULL when dropped.
struct Stopped(gst::Pipeline);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// Says that a test is skipped where this GStreamer has them not.
fn are_here() -> bool {
    let here = gst::ElementFactory::find("unixfdsink").is_some();
    if !here {
        println!(
            "SKIPPED: {}: this userland's GStreamer has no unixfdsink (1.24 has)",
            test_name()
        );
    }
    here
}

#[test]
fn unixfdsrc_gets_the_cameras_own_dmabufs_from_our_sink() {
    let Some(_alone) = in_machine_for(Duration::from_secs(180)) else {
        return;
    };
    if are_here() {
        four_readers("fdstock", "unixfdsrc");
    }
}

#[test]
fn another_process_gets_the_cameras_own_dmabufs() {
    let Some(_alone) = in_machine() else {
        return;
    };
    if !are_here() {
        return;
    }
    let _camera = UsbCamera::plugged();
    let path = socket("unixfd");
    let description = format!(
        "libcamerasrc-rs name=source ! video/x-raw,width=640,height=480 ! unixfdsink socket-path={path}"
    );
    let pipeline = gst::parse::launch(&description).unwrap();
    let pipeline = Stopped(pipeline.downcast().unwrap());
    let source = pipeline.0.by_name("source").unwrap();
    source.set_property("camera-name", ID);
    pipeline.0.set_state(gst::State::Playing).unwrap();
    let mut reader = Process::new(&format!(
        "unixfdsrc socket-path={path} ! appsink name=sink sync=false"
    ));
    assert!(reader.does("state playing", 10));
    let memory = reader.frames(30).unwrap();
    assert_eq!(memory, "videobuf2_vmalloc");
    println!("NOTE: 30 frames in order in another process, DMABUFs of {memory}");
}
