//! The camera fills the slots of the sink's area: readers see frames that nobody has copied, and nothing that they do stops the camera.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{
    areas_of,
    reader::{Reader, ReaderOptions},
    rig::{READER_TEST, socket},
    source::{alone, skips_with_libcamera_0_4},
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::{
    backend::simulated::{Spec, plug},
    camera::Size,
};

const CAMERA: &str = "simulated-zero-copy";
const SOON: Duration = Duration::from_secs(20);
const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const FRAME: usize = WIDTH * HEIGHT * 3 / 2;

#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

struct Rig {
    pipeline: gst::Pipeline,
    source: gst::Element,
    sink: gst::Element,
    path: String,
}

impl Rig {
    fn new(camera: &str, between: &str, properties: &str) -> Self {
        plug(Spec {
            id: CAMERA.to_owned(),
            sizes: vec![Size::new(WIDTH as u32, HEIGHT as u32)],
            interval: Duration::from_millis(5),
            ..Spec::default()
        });
        let path = socket("zerocopy");
        let pipeline = gst::parse::launch(&format!(
            "libcamerasrc-rs name=source camera-name={camera} ! video/x-raw,width={WIDTH},height={HEIGHT} {between} \
             ! shmsink-rs name=sink socket-path={path} {properties}"
        ));
        let pipeline: gst::Pipeline = pipeline.unwrap().downcast().unwrap();
        let rig = Self {
            source: pipeline.by_name("source").unwrap(),
            sink: pipeline.by_name("sink").unwrap(),
            pipeline,
            path,
        };
        rig.play();
        rig
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
        wait_until("the camera fills slots", SOON, || {
            self.of_pad("memory").as_deref() == Some("downstream")
        });
    }

    fn of_pad(&self, field: &str) -> Option<String> {
        let stats: gst::Structure = self.source.property("stats");
        let pads = stats.get::<gst::Structure>("pads").ok()?;
        let pad = pads.get::<gst::Structure>("src").ok()?;
        let value = pad.value(field).ok()?;
        Some(
            value
                .get::<String>()
                .unwrap_or_else(|_| value.get::<u64>().unwrap().to_string()),
        )
    }

    fn captured(&self) -> u64 {
        self.of_pad("captured")
            .unwrap_or_default()
            .parse()
            .unwrap_or(0)
    }

    /// Frames of the sensor that no slot was there for, because this process was not.
    fn missed(&self) -> u64 {
        self.of_pad("missed")
            .unwrap_or_default()
            .parse()
            .unwrap_or(0)
    }

    fn stat(&self, name: &str) -> u64 {
        self.sink
            .property::<gst::Structure>("stats")
            .get(name)
            .unwrap()
    }

    fn generation(&self) -> u32 {
        let stats: gst::Structure = self.sink.property("stats");
        stats.get("generation").unwrap()
    }

    fn clients(&self) -> u32 {
        self.sink.property("num-clients")
    }

    /// The camera goes on at its rate.
    fn goes_on(&self, frames: u64) {
        let before = self.captured();
        wait_until(&format!("{frames} frames more"), SOON, || {
            self.captured() >= before + frames
        });
    }

    fn no_error(&self) {
        let error = self
            .pipeline
            .bus()
            .unwrap()
            .pop_filtered(&[gst::MessageType::Error]);
        assert!(error.is_none(), "{error:?}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// GStreamer's own reader, whose frames go to a file.
struct Stock {
    child: Child,
    file: PathBuf,
}

impl Stock {
    fn new(rig: &Rig, frames: usize) -> Self {
        let file =
            std::env::temp_dir().join(format!("zerocopy.{}.{}", std::process::id(), rig.clients()));
        let before = rig.clients();
        let child = Command::new("gst-launch-1.0")
            .args([
                "-q",
                "shmsrc",
                &format!("socket-path={}", rig.path),
                &format!("num-buffers={frames}"),
            ])
            .args(["!", "filesink", &format!("location={}", file.display())])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("it connects", SOON, || rig.clients() > before);
        Self { child, file }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// The numbers of the frames, each of which is whole.
    fn frames(self) -> Vec<u32> {
        let bytes = self.bytes();
        assert_eq!(bytes.len() % FRAME, 0);
        bytes.chunks(FRAME).map(number).collect()
    }

    fn bytes(mut self) -> Vec<u8> {
        assert!(self.child.wait().unwrap().success());
        fs::read(&self.file).unwrap()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// Which frame of the simulated camera it is, after every other byte was found to be right.
fn number(frame: &[u8]) -> u32 {
    let (luma, chroma) = frame.split_at(WIDTH * HEIGHT);
    let line: Vec<u8> = (0..WIDTH)
        .map(|x| (16 + x * 8 / WIDTH * 28) as u8)
        .collect();
    for (y, row) in luma.chunks(WIDTH).enumerate() {
        let stamp = if y == HEIGHT - 1 { 4 } else { 0 };
        assert_eq!(row[stamp..], line[stamp..], "line {y}");
    }
    assert!(chroma.iter().all(|byte| *byte == 128));
    u32::from_le_bytes(luma[WIDTH * (HEIGHT - 1)..][..4].try_into().unwrap())
}

#[test]
fn four_readers_see_frames_that_nobody_copied_and_one_is_stopped() {
    let _alone = alone("zero copy");
    // (A tee passes no pool on.)
    for between in ["", "! queue"] {
        // A tenth of a second, should this process or a reader have to wait for a processor.
        let rig = Rig::new(CAMERA, between, "client-window=20 max-clients=6");
        let stopped = Stock::new(&rig, 100_000);
        stopped.signal(libc::SIGSTOP);
        let readers: Vec<Stock> = (0..4).map(|_| Stock::new(&rig, 300)).collect();
        for reader in readers {
            let numbers = reader.frames();
            assert_eq!(numbers.len(), 300);
            assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once");
            let missed = u64::from(numbers[299] - numbers[0] - 299);
            assert!(
                missed <= rig.missed(),
                "{missed} that the camera did not miss"
            );
        }
        assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
        assert_eq!(rig.of_pad("copied-layout").as_deref(), Some("0"));
        assert_eq!(rig.of_pad("copied-scarce").as_deref(), Some("0"));
        // Before the first ALLOCATION answer there may be frames in other memory.
        let (copied, zero_copy) = (rig.stat("frames-copied"), rig.stat("frames-zero-copy"));
        assert!(
            copied <= 4 && zero_copy >= 300,
            "{copied} copied, {zero_copy} not: {between}"
        );
        rig.no_error();
    }
}

#[test]
fn libcamera_fills_the_slots_itself() {
    if skips_with_libcamera_0_4("libcamera_fills_the_slots_itself") {
        return;
    }
    let _alone = alone("zero copy of libcamera");
    let rig = Rig::new("Virtual0 pace=true", "", "");
    let frames = Stock::new(&rig, 60).bytes();
    assert_eq!(frames.len(), 60 * FRAME);
    for frame in frames.chunks(FRAME) {
        // Bars that move from frame to frame: in one that is torn, lines would differ.
        let (luma, _) = frame.split_at(WIDTH * HEIGHT);
        let (first, rest) = luma.split_at(WIDTH);
        let mut levels = first.to_vec();
        levels.sort_unstable();
        levels.dedup();
        assert!(levels.len() >= 8, "{levels:?}");
        assert!(rest.chunks(WIDTH).all(|line| line == first));
    }
    assert!(rig.stat("frames-copied") <= 4);
    assert!(rig.stat("frames-zero-copy") >= 60);
    rig.no_error();
}

#[test]
fn readers_that_hold_all_they_get_do_not_stop_the_camera() {
    let _alone = alone("zero copy and greed");
    // Sixteen of them, each with its window full.
    let rig = Rig::new(CAMERA, "", "");
    let options = ReaderOptions {
        arguments: READER_TEST,
        hold: 1000,
        ..ReaderOptions::default()
    };
    let mut greedy: Vec<Reader> = (0..16)
        .map(|_| Reader::spawn(&rig.path, &options))
        .collect();
    for reader in &mut greedy {
        reader.line("ready");
        reader.frame();
    }
    wait_until("every window is full", SOON, || {
        let clients: gst::Array = rig
            .sink
            .property::<gst::Structure>("stats")
            .get("clients")
            .unwrap();
        clients.len() == 16
            && clients.iter().all(|client| {
                let client: gst::Structure = client.get().unwrap();
                client.get::<u64>("outstanding").unwrap() == 4
            })
    });
    let dropped = rig.stat("frames-dropped-no-slot");
    rig.goes_on(300);
    assert_eq!(rig.stat("frames-dropped-no-slot"), dropped);
    assert_eq!(rig.of_pad("memory").as_deref(), Some("downstream"));
    drop(greedy);
    wait_until("they are gone", SOON, || rig.clients() == 0);
    rig.goes_on(100);
    rig.no_error();
}

/// Two cameras in front of one sink: only four slots are for both.
#[test]
fn a_camera_that_gets_no_slot_has_memory_of_its_own() {
    let _alone = alone("zero copy, no slots");
    let rig = Rig::new(CAMERA, "", "");
    // Somebody else has every slot that upstream may have.
    let pad = rig.sink.static_pad("sink").unwrap();
    let caps = pad.current_caps().unwrap();
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(pad.query(&mut query));
    let pool = query
        .allocation_pools()
        .next()
        .unwrap()
        .0
        .unwrap()
        .to_owned();
    pool.set_active(true).unwrap();
    rig.pipeline.set_state(gst::State::Paused).unwrap();
    let mut taken = Vec::new();
    wait_until("all slots to be taken", SOON, || {
        let buffer = pool.acquire_buffer(None).unwrap();
        taken.push(buffer);
        rig.stat("slots-upstream") == 4 && taken.len() > 8
    });
    // The camera starts again, with the same frames.
    rig.source.set_property_from_str("video-direction", "180");
    rig.pipeline.set_state(gst::State::Playing).unwrap();
    rig.goes_on(50);
    let memory = rig.of_pad("memory");
    drop(taken);
    rig.goes_on(50);
    rig.no_error();
    assert!(memory.is_some(), "{memory:?}");
}

#[test]
fn another_area_is_filled_as_well() {
    let _alone = alone("zero copy and areas");
    let rig = Rig::new(CAMERA, "", "");
    let reader = Stock::new(&rig, 1500);
    for megabytes in [64u32, 0, 72, 0] {
        let before = rig.generation();
        rig.sink.set_property("shm-size", megabytes << 20);
        wait_until("a new area", SOON, || rig.generation() > before);
        let copied = rig.stat("frames-copied");
        wait_until("the camera fills it", SOON, || {
            rig.of_pad("memory").as_deref() == Some("downstream") && rig.captured() > 20
        });
        let zero_copy = rig.stat("frames-zero-copy");
        wait_until("frames without a copy", SOON, || {
            rig.stat("frames-zero-copy") > zero_copy + 50
        });
        assert!(rig.stat("frames-copied") <= copied + 10);
    }
    let numbers = reader.frames();
    assert_eq!(numbers.len(), 1500);
    rig.no_error();
}

/// An area that is too small for slots of the camera's, and then one that is not: the sink has upstream ask again.
#[test]
fn zero_copy_comes_back_when_there_are_slots_again() {
    let _alone = alone("zero copy comes back");
    let rig = Rig::new(CAMERA, "! queue", "max-clients=2");
    let reader = Stock::new(&rig, 1000);
    wait_until("the reader", SOON, || rig.clients() == 1);
    // Ten slots of 512 KiB are what two readers are guaranteed; four more would be the camera's.
    for _ in 0..3 {
        rig.sink.set_property("shm-size", 11u32 << 19);
        wait_until("memory of its own", SOON, || {
            rig.of_pad("memory")
                .is_some_and(|memory| memory != "downstream")
        });
        let copied = rig.stat("frames-copied");
        wait_until("copies", SOON, || rig.stat("frames-copied") > copied + 10);
        rig.sink.set_property("shm-size", 0u32);
        wait_until("the sink's memory", SOON, || {
            rig.of_pad("memory").as_deref() == Some("downstream")
        });
        let zero_copy = rig.stat("frames-zero-copy");
        wait_until("frames without a copy", SOON, || {
            rig.stat("frames-zero-copy") > zero_copy + 50
        });
    }
    assert_eq!(reader.frames().len(), 1000);
    rig.no_error();
}

#[test]
fn it_starts_and_stops_and_leaves_nothing() {
    let _alone = alone("zero copy, starts");
    let rig = Rig::new(CAMERA, "", "");
    for round in 0..20 {
        rig.goes_on(5);
        let state = [gst::State::Null, gst::State::Ready, gst::State::Paused][round % 3];
        rig.pipeline.set_state(state).unwrap();
        if state == gst::State::Null {
            wait_until("no area is left", SOON, || {
                areas_of(std::process::id()).is_empty()
            });
        }
        rig.play();
    }
    rig.no_error();
    drop(rig);
    wait_until("no area is left", SOON, || {
        areas_of(std::process::id()).is_empty()
    });
}
