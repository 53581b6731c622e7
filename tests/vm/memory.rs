//! Which memory the frames of a camera without memory of its own are made of, and what a user is told who may not use it.
//!
//! libcamera takes a dma-heap, otherwise udmabuf; where there is neither, we give it a memfd. A USB camera's frames come from its driver and need none.

use crate::{
    camera::{ID, UsbCamera, frames_in_order, number_of, usb_source},
    common::source::{Source, levels},
    exported::{Exported, exporter},
    in_machine,
};
use gst::prelude::*;
use gst_allocators::{DmaBufMemory, FdMemory};
use std::{os::unix::process::CommandExt, path::Path, process::Command};

const VIRTUAL: &str =
    "libcamerasrc-rs name=source camera-name=Virtual0 ! video/x-raw,width=640,height=480";
const HEAP: &str = "/dev/dma_heap/system";
const UDMABUF: &str = "/dev/udmabuf";

/// A device file under another name, until dropped.
struct Hidden(&'static str);

impl Hidden {
    fn new(path: &'static str) -> Self {
        std::fs::rename(path, Self::aside(path)).unwrap();
        Self(path)
    }

    fn aside(path: &str) -> String {
        format!("{path}.hidden")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = std::fs::rename(Self::aside(self.0), self.0);
    }
}

fn exporter_of_ten_frames() -> String {
    let source = Source::playing(VIRTUAL);
    let mut name = None;
    for _ in 0..10 {
        let sample = source.pull().unwrap();
        assert!(levels(&sample) >= 8);
        let now = Exported::of(sample.buffer().unwrap()).exporter();
        assert!(name.replace(now.clone()).is_none_or(|before| before == now));
    }
    assert_eq!(source.error(), None);
    name.unwrap()
}

#[test]
fn a_heap_goes_before_udmabuf() {
    let Some(_alone) = in_machine() else {
        return;
    };
    assert!(Path::new(HEAP).exists() && Path::new(UDMABUF).exists());
    assert_eq!(exporter_of_ten_frames(), "system");
    let _hidden = Hidden::new(HEAP);
    let exporter = exporter_of_ten_frames();
    println!("NOTE: without a heap: DMABUFs of {exporter}");
    assert_eq!(exporter, "udmabuf");
}

/// What comes when nothing exports: memory that is no DMABUF, and does not pretend to be one.
fn ten_frames_of_a_memfd() {
    let source = Source::playing(VIRTUAL);
    for _ in 0..10 {
        let sample = source.pull().unwrap();
        assert!(levels(&sample) >= 8);
        let memory = sample.buffer().unwrap().peek_memory(0);
        assert!(!memory.is_memory_type::<DmaBufMemory>());
        let fd = memory.downcast_memory_ref::<FdMemory>().unwrap().fd();
        assert_eq!(exporter(fd), None);
    }
    assert_eq!(source.error(), None);
}

#[test]
fn a_memfd_where_there_is_neither() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let camera = UsbCamera::plugged();
    let _hidden = [Hidden::new(HEAP), Hidden::new(UDMABUF)];
    ten_frames_of_a_memfd();
    // A USB camera is not concerned.
    let source = usb_source("! video/x-raw,width=320,height=240");
    source.set_state(gst::State::Playing);
    let sample = source.pull().unwrap();
    number_of(&sample, 128);
    let exporter = Exported::of(sample.buffer().unwrap()).exporter();
    assert_eq!(exporter, "videobuf2_vmalloc");
    frames_in_order(&source, 10);
    drop((source, camera));
    println!("NOTE: neither heap nor udmabuf: virtual a memfd, uvcvideo {exporter}");
}

const ASKED: &str = "MEMORY_USER";

/// Runs what a user without any rights sees, if this process was started as one.
pub fn run_if_asked() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    assert!(std::fs::File::open(HEAP).is_err() && std::fs::File::open(UDMABUF).is_err());
    ten_frames_of_a_memfd();
    let source = usb_source("");
    assert!(source.pipeline.set_state(gst::State::Playing).is_err());
    println!("\nUSER: {}", source.only_error());
}

#[test]
fn a_user_who_may_open_no_device_is_told_so() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["user_process", "--exact", "--nocapture"])
        .env(ASKED, "1")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = said.lines().find_map(|line| line.strip_prefix("USER: "));
    let error = error.unwrap_or_else(|| panic!("{output:?}"));
    println!("NOTE: a user without rights is told of the USB camera: {error}");
    assert!(output.status.success());
    assert!(error.contains(ID), "{error}");
    assert!(
        error.contains("/dev/video") && error.contains("group 'video'"),
        "{error}"
    );
}
