//! `shmsink-rs transport=fd`: frames go to readers as file descriptors, and no reader costs more than its credits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::{
    io::Write,
    os::fd::{IntoRawFd, OwnedFd},
    time::{Duration, Instant},
};

use common::{
    fd_wire::{FdClient, Said, command},
    frames::Generator,
    holdings, holds_no_more_than,
    reader::ReaderOptions,
    rig::{READER_TEST, Rig, alone, socket},
    scale,
    source_rs::ShmReader,
    wait_until,
};
use gst::prelude::*;
use gst_allocators::prelude::*;
use gstlibcamerars::{
    backend::simulated::{Spec, plug},
    camera::Size,
};
use rustix::fs::{MemfdFlags, SealFlags};

const SIZE: usize = 50_000;
const SOON: Duration = Duration::from_secs(10);

#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

fn ours() -> ReaderOptions<'static> {
    ReaderOptions {
        size: Some(SIZE),
        ours: Some(""),
        ..ReaderOptions::default()
    }
}

fn fd_rig(name: &str, properties: &[(&str, &str)]) -> Rig {
    let mut all = vec![("transport", "fd")];
    all.extend_from_slice(properties);
    Rig::new(name, SIZE, &all)
}

/// A file with a generator's frame in it.
fn file(counter: u64, sealed: bool) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("test", flags).unwrap();
    let frame = Generator::new(SIZE).frame(counter);
    rustix::io::write(&fd, &frame).unwrap();
    if sealed {
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).unwrap();
    }
    fd
}

fn memory(fd: OwnedFd, size: usize) -> gst::Memory {
    let allocator = gst_allocators::FdAllocator::new();
    let flags = gst_allocators::FdMemoryFlags::NONE;
    // SAFETY: the file descriptor is ours, and the memory's from now on.
    unsafe { allocator.alloc_fd(fd.into_raw_fd(), size, flags) }.unwrap()
}

fn buffer(memories: Vec<gst::Memory>) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let whole = buffer.make_mut();
    memories
        .into_iter()
        .for_each(|memory| whole.append_memory(memory));
    buffer
}

/// A frame behind a file descriptor that can be passed on.
fn passable(counter: u64) -> gst::Buffer {
    buffer(vec![memory(file(counter, true), SIZE)])
}

fn references(memory: &gst::Memory) -> i32 {
    // SAFETY: the memory lives; its count is a whole number that somebody may just be changing.
    unsafe { (*memory.as_ptr()).mini_object.refcount }
}

fn client(rig: &Rig) -> FdClient {
    let before = rig.num_clients();
    let client = FdClient::connect(&rig.path);
    rig.wait_for_clients(before + 1);
    client
}

#[test]
fn ordinary_memory_is_copied_and_arrives_whole_in_every_reader() {
    let _alone = alone("ordinary memory");
    let mut rig = fd_rig("fdcopy", &[]);
    let mut readers: Vec<_> = (0..3).map(|_| rig.reader_with(&ours())).collect();
    rig.in_step(&mut readers, 0..100);
    assert_eq!(rig.stat("frames-copied"), 100);
    assert_eq!(rig.stat("frames-zero-copy"), 0);
    assert_eq!(rig.stat("frames-copied-scarce"), 0);
    // Readers in step hold two frames at most: the next copies go where those before were.
    let bytes = rig.stat("shm-bytes");
    assert!(bytes <= 4 * SIZE as u64, "{bytes} bytes of copies");
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}

#[test]
fn what_is_behind_a_descriptor_is_passed_on_and_comes_back() {
    let _alone = alone("passed on");
    let mut rig = fd_rig("fdpass", &[]);
    let (mut first, mut second) = (client(&rig), client(&rig));
    let fd = file(7, true);
    let stat = rustix::fs::fstat(&fd).unwrap();
    // Of two memories, the second of which begins somewhere in its file.
    let whole = memory(fd, SIZE);
    let part = memory(file(8, true), SIZE).share(1000..3000);
    rig.push_buffer(buffer(vec![whole.clone(), part]));
    for reader in [&mut first, &mut second] {
        let Said::Caps(caps) = reader.hear() else {
            panic!("no caps before the first frame");
        };
        assert_eq!(caps, "application/x-test");
        let frame = reader.frame();
        assert_eq!(frame.file(), (stat.st_dev, stat.st_ino));
        assert_eq!(frame.parts, [(SIZE as u64, 0), (2000, 1000)]);
        assert_eq!(frame.kind, 0);
        let bytes = frame.bytes();
        assert_eq!(Generator::new(SIZE).check(&bytes[..SIZE]), Some(7));
        let other = Generator::new(SIZE).frame(8);
        assert_eq!(bytes[SIZE..], other[1000..3000]);
        assert!(references(&whole) > 1);
        reader.release(frame.id);
    }
    wait_until("the frame is back", SOON, || references(&whole) == 1);
    assert_eq!(rig.stat("frames-zero-copy"), 1);
    assert_eq!(rig.stat("frames-held-upstreams"), 0);
    // One that is gone gives back what it had.
    rig.push_buffer(buffer(vec![whole.clone()]));
    let _ = (first.frame(), second.frame());
    drop(first);
    second.0.shutdown(std::net::Shutdown::Both).unwrap();
    wait_until("the frame is back again", SOON, || references(&whole) == 1);
}

#[test]
fn what_a_reader_could_shorten_is_copied() {
    let _alone = alone("could be shortened");
    let mut rig = fd_rig("fdunsealed", &[]);
    let mut reader = client(&rig);
    rig.push_buffer(buffer(vec![memory(file(3, false), SIZE)]));
    // One memory of each kind.
    let rest = gst::Memory::from_slice(vec![1; 10]);
    rig.push_buffer(buffer(vec![memory(file(4, true), SIZE), rest]));
    for (counter, size) in [(3, SIZE), (4, SIZE + 10)] {
        let frame = reader.frame();
        assert_eq!(frame.parts, [(size as u64, 0)]);
        let check = Generator::new(SIZE).check(&frame.bytes()[..SIZE]);
        assert_eq!(check, Some(counter));
        // Its size is for good.
        assert!(rustix::fs::ftruncate(&frame.fds[0], 1).is_err());
    }
    assert_eq!(rig.stat("frames-copied"), 2);
}

/// Readers that keep what they get cost the camera no more than it was asked for; beyond that there are copies, or none with leaky=skip.
#[test]
fn readers_that_keep_frames_get_copies_when_frames_are_scarce() {
    let _alone = alone("scarce");
    for (leaky, copies) in [("mailbox", true), ("skip", false)] {
        let mut rig = fd_rig("fdscarce", &[("leaky", leaky)]);
        let mut keeper = client(&rig);
        let mut healthy = client(&rig);
        let mut kept = Vec::new();
        // Nobody has asked the harness for frames to spare, so it is two.
        for counter in 0..2 {
            rig.push_buffer(passable(counter));
            kept.push(keeper.frame());
            let frame = healthy.frame();
            healthy.release(frame.id);
        }
        wait_until("only the kept ones are out", SOON, || {
            rig.stat("frames-held-upstreams") == 2
        });
        rig.push_buffer(passable(2));
        assert_eq!(rig.stat("frames-copied-scarce"), u64::from(copies));
        assert_eq!(rig.stat("frames-dropped-no-slot"), u64::from(!copies));
        if copies {
            let frame = healthy.frame();
            assert_eq!(Generator::new(SIZE).check(&frame.bytes()), Some(2));
            healthy.release(frame.id);
        }
        keeper.release(kept.pop().unwrap().id);
        wait_until("one is back", SOON, || {
            rig.stat("frames-held-upstreams") == 1
        });
        rig.push_buffer(passable(3));
        let frame = healthy.frame();
        assert_eq!(Generator::new(SIZE).check(&frame.bytes()), Some(3));
        assert_eq!(rig.stat("frames-zero-copy"), 3);
        rig.assert_no_error();
    }
}

#[test]
fn shm_size_bounds_the_copies() {
    let _alone = alone("bound");
    let mut rig = fd_rig("fdbound", &[("shm-size", "120000")]);
    let mut keeper = client(&rig);
    rig.push(0);
    let first = keeper.frame();
    rig.push(1);
    let _second = keeper.frame();
    rig.push(2);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 1);
    assert_eq!(rig.stat("shm-bytes"), 2 * SIZE as u64);
    keeper.release(first.id);
    wait_until("the release is heard", SOON, || {
        rig.client_stat(std::process::id(), "outstanding") == 1
    });
    rig.push(3);
    let frame = keeper.frame();
    assert_eq!(Generator::new(SIZE).check(&frame.bytes()), Some(3));
}

#[test]
fn readers_without_manners_are_parted_with_and_nobody_else_notices() {
    let _alone = alone("without manners");
    let mut rig = fd_rig("fdhostile", &[]);
    let mut healthy = [rig.reader_with(&ours())];
    rig.in_step(&mut healthy, 0..5);
    let release = |id: u64| command(1, &id.to_ne_bytes());
    let long = |kind: u32| {
        let mut header = command(kind, b"");
        header[4..].copy_from_slice(&u32::MAX.to_ne_bytes());
        header
    };
    let rude: [(&str, Vec<u8>); 6] = [
        ("what was never sent", release(77)),
        ("a frame", command(0, &[0; 56])),
        ("caps", command(2, b"x\0")),
        ("half a release", command(1, &[0; 4])),
        ("a release of 4 GiB", long(1)),
        (
            "noise",
            vec![0xa5; 10_000].into_iter().chain(long(0)).collect(),
        ),
    ];
    let mut next = 5;
    for (what, bytes) in rude {
        let mut client = client(&rig);
        client.0.write_all(&bytes).unwrap();
        if what == "noise" {
            // An unknown command of a length beyond all: it is skipped, and the rest of it never comes.
            rig.in_step(&mut healthy, next..next + 5);
            next += 5;
            drop(client);
        }
        wait_until(what, SOON, || rig.num_clients() == 1);
        rig.in_step(&mut healthy, next..next + 5);
        next += 5;
    }
    // A release twice.
    let mut twice = client(&rig);
    rig.in_step(&mut healthy, next..next + 1);
    let frame = twice.frame();
    twice.release(frame.id);
    twice.release(frame.id);
    wait_until("a release twice", SOON, || rig.num_clients() == 1);
    // In pieces, with something from a later version in between, it is a reader like any other.
    let mut slow = client(&rig);
    rig.in_step(&mut healthy, next + 1..next + 2);
    let frame = slow.frame();
    slow.0.write_all(&command(1000, &[7; 5000])).unwrap();
    for byte in release(frame.id) {
        slow.0.write_all(&[byte]).unwrap();
    }
    wait_until("the release in pieces", SOON, || {
        rig.client_stat(std::process::id(), "acked") == 1
    });
    rig.assert_no_error();
}

/// More messages than its socket takes, with a descriptor each: only its own window is ever on the way.
#[test]
fn a_reader_that_never_reads_costs_its_window() {
    let _alone = alone("never reads");
    let mut rig = fd_rig("fdsilent", &[("stall-timeout", "50000000")]);
    let _silent = client(&rig);
    let mut healthy = [rig.reader_with(&ours())];
    rig.in_step(&mut healthy, 0..1000);
    assert_eq!(rig.client_stat(std::process::id(), "outstanding"), 4);
    assert_eq!(rig.stat("frames-published"), 1000);
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}

#[test]
fn caps_come_before_their_frames_and_the_end_after_them() {
    let _alone = alone("caps and end");
    let mut rig = fd_rig("fdcaps", &[]);
    let mut reader = client(&rig);
    assert!(reader.hears_nothing());
    rig.push(0);
    let heard = |reader: &mut FdClient| match reader.hear() {
        Said::Caps(caps) => caps,
        Said::Frame(frame) => {
            let counter = Generator::new(SIZE).check(&frame.bytes()).unwrap();
            reader.release(frame.id);
            format!("frame {counter}")
        }
        Said::End => "end".to_owned(),
        Said::Closed => "closed".to_owned(),
    };
    assert_eq!(heard(&mut reader), "application/x-test");
    assert_eq!(heard(&mut reader), "frame 0");
    rig.set_caps("application/x-other");
    rig.push(1);
    rig.push(2);
    assert_eq!(heard(&mut reader), "application/x-other");
    assert_eq!(heard(&mut reader), "frame 1");
    // A late one is told the caps that there are.
    let mut late = client(&rig);
    assert_eq!(heard(&mut reader), "frame 2");
    rig.push(3);
    assert_eq!(heard(&mut late), "application/x-other");
    assert_eq!(heard(&mut late), "frame 3");
    assert_eq!(heard(&mut reader), "frame 3");
    let before = Instant::now();
    rig.push_event(gst::event::Eos::new());
    assert!(before.elapsed() < Duration::from_millis(250));
    for reader in [&mut reader, &mut late] {
        assert_eq!(heard(reader), "end");
    }
    // Who comes after the end hears of it.
    let mut after = client(&rig);
    assert_eq!(heard(&mut after), "application/x-other");
    assert_eq!(heard(&mut after), "end");
    rig.stop();
    for reader in [&mut reader, &mut late, &mut after] {
        assert_eq!(heard(reader), "closed");
    }
}

/// The camera's own frames, their times, metas and planes, in `shmsrc-rs`; and nothing that readers do stops it.
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
    let custom = gst::meta::CustomMeta::from_buffer(buffer, "libcamera").unwrap();
    let reports = custom.structure().has_field("sensor-timestamp");
    assert!(reports || has_frames, "{:?}", custom.structure());
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

#[test]
fn nothing_is_left_open() {
    let _alone = alone("left open");
    let round = || {
        let mut rig = fd_rig("fdleft", &[]);
        let mut reader = client(&rig);
        for counter in 0..10 {
            rig.push(counter);
            rig.push_buffer(passable(counter));
            for _ in 0..2 {
                let frame = reader.frame();
                reader.release(frame.id);
            }
        }
        // One is dropped while the reader has frames.
        rig.push(10);
        rig.push_buffer(passable(11));
        rig.stop();
    };
    round();
    let before = holdings();
    for _ in 0..20 {
        round();
    }
    wait_until("everything is closed", SOON, || holds_no_more_than(&before));
}

#[test]
fn a_reader_keeps_its_frames_beyond_the_sinks_end() {
    let _alone = alone("beyond the end");
    let mut rig = fd_rig("fdbeyond", &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(1);
    let sample = reader.pull();
    let path = rig.path.clone();
    rig.stop();
    let mut again = fd_rig("fdbeyond", &[]);
    assert_eq!(again.path, path);
    again.wait_for_clients(1);
    again.push(2);
    let counter = |sample: &gst::Sample| {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        Generator::new(SIZE).check(&map)
    };
    assert_eq!(counter(&reader.pull()), Some(2));
    assert_eq!(counter(&sample), Some(1));
    assert_eq!(reader.stat("connections"), 2);
}
