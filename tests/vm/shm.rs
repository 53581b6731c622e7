//! A USB camera shared by `shmsink-rs` with a stock `shmsrc` in another process.

use crate::{
    camera::{UsbCamera, number, usb_source},
    common::{
        reader::{Reader, ReaderOptions, Seen},
        rig::{READER_TEST, socket},
        source::Source,
        wait_until,
    },
    in_machine,
};
use gst::prelude::*;
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

const WIDTH: usize = 640;

/// What was pushed into the sink: the camera's number of each frame, and what a reader should see of it.
type Pushed = Arc<Mutex<Vec<(u32, Seen)>>>;

fn sharing(path: &str, properties: &str) -> (Source, Pushed) {
    // The helper ends the description with an appsink: one branch of a tee goes there, and is not looked at.
    let source = usb_source(&format!(
        "! video/x-raw,width={WIDTH},height=480 ! tee name=t ! queue ! shmsink-rs name=shared socket-path={path} {properties} t. ! queue leaky=downstream ! valve drop=true"
    ));
    let pushed = Pushed::default();
    let pushed_to = pushed.clone();
    let pad = source.pipeline.by_name("shared").unwrap();
    let pad = pad.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let bytes = info.buffer().unwrap().map_readable().unwrap();
        let number = number(&bytes, WIDTH, 128);
        pushed_to.lock().unwrap().push((number, Seen::of(&bytes)));
        gst::PadProbeReturn::Ok
    });
    (source, pushed)
}

fn reader(path: &str) -> Reader {
    let options = ReaderOptions {
        arguments: READER_TEST,
        ..ReaderOptions::default()
    };
    let mut reader = Reader::spawn(path, &options);
    reader.line("ready");
    reader
}

#[test]
fn a_stock_reader_gets_the_cameras_frames_whole_and_in_order() {
    let Some(_alone) = in_machine("shm::a_stock_reader") else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let path = socket("vm");
    let (source, pushed) = sharing(&path, "");
    source.pipeline.set_state(gst::State::Playing).unwrap();
    wait_until("the first frame", Duration::from_secs(20), || {
        !pushed.lock().unwrap().is_empty()
    });
    let mut reader = reader(&path);
    let mut place = 0;
    for _ in 0..60 {
        let seen = reader.frame();
        assert_eq!(seen.size, WIDTH * 480 * 2);
        let pushed = pushed.lock().unwrap();
        let next = pushed[place..].iter().position(|(_, sent)| *sent == seen);
        place += 1 + next.expect("what the reader got was sent, after what it got before");
    }
    assert_eq!(source.error(), None);
    source.set_state(gst::State::Null);
    println!("NOTE: 60 frames read, whole and in order, {place} sent meanwhile");
}

/// Counts the kernel's own calls behind DMA_BUF_IOCTL_SYNC.
struct Kprobes;

const TRACING: &str = "/run/tracing";

impl Kprobes {
    fn new() -> Self {
        fs::create_dir_all(TRACING).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tracefs", "tracefs", TRACING])
            .status();
        assert!(mounted.unwrap().success(), "tracefs");
        let events =
            "p:vm/sync_begin dma_buf_begin_cpu_access\np:vm/sync_end dma_buf_end_cpu_access\n";
        fs::write(format!("{TRACING}/kprobe_events"), events).unwrap();
        fs::write(format!("{TRACING}/events/vm/enable"), "1").unwrap();
        Self
    }

    fn hits(&self, name: &str) -> u64 {
        let profile = fs::read_to_string(format!("{TRACING}/kprobe_profile")).unwrap();
        let line = profile.lines().find(|line| line.contains(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Kprobes {
    fn drop(&mut self) {
        let _ = fs::write(format!("{TRACING}/events/vm/enable"), "0");
        let _ = fs::write(format!("{TRACING}/kprobe_events"), "");
        let _ = std::process::Command::new("umount").arg(TRACING).status();
    }
}

#[test]
fn the_copy_is_between_the_two_synchronising_calls() {
    let Some(_alone) = in_machine("shm::the_copy") else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let path = socket("vm-sync");
    let description = format!(
        "num-buffers=31 ! video/x-raw,width={WIDTH},height=480 ! shmsink-rs name=shared socket-path={path}  libcamerasrc-rs camera-name=VirtualTiny num-buffers=1"
    );
    let kprobes = Kprobes::new();
    let source = usb_source(&description);
    let before = (kprobes.hits("sync_begin"), kprobes.hits("sync_end"));
    source.pipeline.set_state(gst::State::Playing).unwrap();
    let bus = source.pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(30),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
    let shared = source.pipeline.by_name("shared").unwrap();
    let stats = shared.property::<gst::Structure>("stats");
    println!("NOTE: {stats}");
    let begin = kprobes.hits("sync_begin") - before.0;
    let end = kprobes.hits("sync_end") - before.1;
    println!("NOTE: 31 frames copied: {begin} begins and {end} ends of access to a DMABUF");
    assert!(begin >= 31, "{begin}");
    assert_eq!(begin, end);
}
