//! DMABUFs of a USB camera handed to another process by GStreamer's own `unixfdsink` and `unixfdsrc` (GStreamer 1.24).

use crate::{
    camera::{ID, UsbCamera},
    child::Process,
    common::rig::socket,
    in_machine, test_name,
};
use gst::prelude::*;

#[test]
fn another_process_gets_the_cameras_own_dmabufs() {
    let Some(_alone) = in_machine() else {
        return;
    };
    if gst::ElementFactory::find("unixfdsink").is_none() {
        println!(
            "SKIPPED: {}: this userland's GStreamer has no unixfdsink (1.24 has)",
            test_name()
        );
        return;
    }
    let _camera = UsbCamera::plugged();
    let path = socket("unixfd");
    let description = format!(
        "libcamerasrc-rs name=source ! video/x-raw,width=640,height=480 ! unixfdsink socket-path={path}"
    );
    let pipeline = gst::parse::launch(&description).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap();
    source.set_property("camera-name", ID);
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut reader = Process::new(&format!(
        "unixfdsrc socket-path={path} ! appsink name=sink sync=false"
    ));
    assert!(reader.does("state playing", 10));
    let memory = reader.frames(30).unwrap();
    assert_eq!(memory, "videobuf2_vmalloc");
    println!("NOTE: 30 frames in order in another process, DMABUFs of {memory}");
    pipeline.set_state(gst::State::Null).unwrap();
}
