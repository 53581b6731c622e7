//! A USB camera shared by `shmsink-rs` with a stock `shmsrc` in another process.

use crate::{
    camera::{ID, UsbCamera, number},
    common::{
        reader::{Reader, ReaderOptions, Seen},
        rig::{READER_TEST, socket},
        wait_until,
    },
    in_machine,
};
use gst::prelude::*;
use std::{
    fs,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

const WIDTH: usize = 640;

/// The camera and the sink; NULL when dropped.
struct Sharing(gst::Pipeline);

impl Sharing {
    fn new(path: &str, source: &str) -> Self {
        let pipeline = gst::parse::launch(&format!(
            "libcamerasrc-rs name=source {source} ! video/x-raw,width={WIDTH},height=480 ! shmsink-rs name=shared socket-path={path}"
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap();
        source.set_property("camera-name", ID);
        Self(pipeline)
    }

    fn play(&self) {
        self.0.set_state(gst::State::Playing).unwrap();
    }

    fn message(&self, seconds: u64) -> Option<gst::Message> {
        let bus = self.0.bus().unwrap();
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(seconds), &wanted)
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// What goes into the sink from now on: the camera's number of each frame, and what a reader should see of it.
type Pushed = Arc<Mutex<Vec<(u32, Seen)>>>;

fn pushed_into(sharing: &Sharing) -> Pushed {
    let pushed = Pushed::default();
    let list = pushed.clone();
    let sink = sharing.0.by_name("shared").unwrap();
    let pad = sink.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let bytes = info.buffer().unwrap().map_readable().unwrap();
        let number = number(&bytes, WIDTH, 128);
        list.lock().unwrap().push((number, Seen::of(&bytes)));
        gst::PadProbeReturn::Ok
    });
    pushed
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
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let path = socket("vm");
    let sharing = Sharing::new(&path, "");
    let pushed = pushed_into(&sharing);
    sharing.play();
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
    assert!(sharing.message(0).is_none());
    println!("NOTE: 60 frames read, whole and in order, {place} sent meanwhile");
}

/// Watches the kernel's side of DMA_BUF_IOCTL_SYNC.
struct Kprobe;

const TRACING: &str = "/run/tracing";

impl Kprobe {
    fn new() -> Self {
        fs::create_dir_all(TRACING).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tracefs", "tracefs", TRACING])
            .status();
        assert!(mounted.unwrap().success(), "tracefs");
        let event = "p:vm/sync dma_buf_ioctl command=%si:x32 flags=+u0(%dx):u64";
        fs::write(format!("{TRACING}/kprobe_events"), event).unwrap();
        fs::write(format!("{TRACING}/events/vm/enable"), "1").unwrap();
        Self
    }

    /// The flags of all calls, in their order.
    fn flags(&self) -> Vec<u64> {
        let trace = fs::read_to_string(format!("{TRACING}/trace")).unwrap();
        let syncs = trace
            .lines()
            .filter(|line| line.contains("command=0x40086200"));
        let flags = |line: &str| line.rsplit("flags=").next()?.trim().parse().ok();
        syncs.filter_map(flags).collect()
    }
}

impl Drop for Kprobe {
    fn drop(&mut self) {
        let _ = fs::write(format!("{TRACING}/events/vm/enable"), "0");
        let _ = fs::write(format!("{TRACING}/kprobe_events"), "");
        let _ = Command::new("umount").arg(TRACING).status();
    }
}

#[test]
fn the_copy_is_between_the_two_synchronising_calls() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let path = socket("vm-sync");
    let kprobe = Kprobe::new();
    let sharing = Sharing::new(&path, "num-buffers=31");
    sharing.play();
    assert_eq!(sharing.message(30).unwrap().type_(), gst::MessageType::Eos);
    // Reading: 1 begins it, 5 ends it.
    let flags = kprobe.flags();
    assert_eq!(flags.len(), 62, "{flags:?}");
    assert!(flags.chunks(2).all(|pair| pair == [1, 5]), "{flags:?}");
    println!("NOTE: 31 frames copied, each between a begin and an end of DMA_BUF_IOCTL_SYNC");
}
