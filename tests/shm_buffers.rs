//! Buffers of every kind: empty, in pieces, too large, twice the same, written straight into slots; and areas that change under them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{sync::mpsc, thread, time::Duration};

use common::{
    client::{first_client, healthy},
    reader::{ReaderOptions, Seen},
    rig::{Rig, alone, element, error_of, socket},
    scale, wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// A pipeline that ends in a sink at a path of its own.
struct Pipeline {
    pipeline: gst::Pipeline,
    sink: gst::Element,
    path: String,
}

impl Pipeline {
    fn new(name: &str, text: &str) -> Self {
        let path = socket(name);
        let text = text.replace("SINK", &format!("shmsink-rs name=sink socket-path={path}"));
        let pipeline = gst::parse::launch(&text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        Self {
            pipeline,
            sink,
            path,
        }
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.sink.property::<gst::Structure>("stats");
        stats.get(name).unwrap()
    }

    fn client(&self) -> std::os::unix::net::UnixStream {
        let before = self.sink.property::<u32>("num-clients");
        let client = std::os::unix::net::UnixStream::connect(&self.path).unwrap();
        wait_until("it is taken on", SOON, || {
            self.sink.property::<u32>("num-clients") == before + 1
        });
        client
    }

    fn wait_for_end(&self) {
        let bus = self.pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(scale(20, 120)), &kinds)
            .expect("the end of the stream");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn t11_duplicates_of_videorate_reach_two_readers() {
    let _alone = alone("t11");
    let run = Pipeline::new(
        "t11",
        "videotestsrc num-buffers=20 is-live=true ! video/x-raw,format=NV12,width=64,height=64,framerate=20/1 ! videorate \
         ! video/x-raw,framerate=60/1 ! SINK",
    );
    // At its end, videorate of GStreamer 1.28 has more duplicates at once than the window of the default.
    run.sink.set_property("client-window", 16u32);
    run.pipeline.set_state(gst::State::Ready).unwrap();
    let readers = [run.client(), run.client()].map(common::client::serve);
    run.pipeline.set_state(gst::State::Playing).unwrap();
    run.wait_for_end();
    // Each frame three times, but for the last.
    let published = run.stat("frames-published");
    assert!((57..=61).contains(&published), "{published}");
    run.pipeline.set_state(gst::State::Null).unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), published);
    }
}

#[test]
fn t11_the_same_buffer_twice_is_two_frames() {
    let _alone = alone("t11 twice");
    let mut rig = Rig::new("twice", 1000, &[]);
    let mut readers = [0, 1].map(|_| rig.reader_with(&ReaderOptions::default()));
    let bytes = vec![5; 1000];
    let buffer = gst::Buffer::from_slice(bytes.clone());
    for _ in 0..20 {
        rig.push_buffer(buffer.clone());
        rig.push_buffer(buffer.clone());
        for reader in &mut readers {
            assert_eq!(reader.frame(), Seen::of(&bytes));
            assert_eq!(reader.frame(), Seen::of(&bytes));
        }
    }
    assert_eq!(rig.num_clients(), 2);
}

#[test]
fn t12_pieces_arrive_in_one_and_larger_buffers_get_a_larger_area() {
    let _alone = alone("t12");
    let mut rig = Rig::new("t12", 1000, &[]);
    let mut reader = rig.reader_with(&ReaderOptions::default());
    let bytes: Vec<u8> = (0..=255).collect();
    let mut pieces = gst::Buffer::new();
    for piece in bytes.chunks(100) {
        let memory = gst::Memory::from_slice(piece.to_vec());
        pieces.get_mut().unwrap().append_memory(memory);
    }
    rig.push_buffer(pieces);
    assert_eq!(reader.frame(), Seen::of(&bytes));
    // Far beyond the area that was made for the first, and in pieces as well.
    let large: Vec<u8> = (0..10_000_000u32).map(|byte| (byte / 7) as u8).collect();
    let mut pieces = gst::Buffer::new();
    for piece in large.chunks(9_000_001) {
        let memory = gst::Memory::from_slice(piece.to_vec());
        pieces.get_mut().unwrap().append_memory(memory);
    }
    rig.push_buffer(pieces);
    assert_eq!(reader.frame(), Seen::of(&large));
    rig.assert_no_error();
}

#[test]
fn t12_a_bound_of_exactly_one_frame_is_an_error_that_names_the_property() {
    let _alone = alone("t12 bound");
    let mut rig = Rig::new("t12b", 1000, &[("shm-size", "1000000")]);
    let frame = gst::Buffer::from_slice(vec![0; 1_000_000]);
    assert_eq!(rig.try_push(frame), Err(gst::FlowError::Error));
    let text = error_of(&rig.bus);
    assert!(
        text.contains("shm-size") && text.contains("1000000"),
        "{text}"
    );
}

const CAPS: &str = "video/x-raw,format=GRAY8,width=320,height=240,framerate=30/1";
const SIZE: usize = 320 * 240;

/// The pool that the sink offers for these caps, in use, once there is an area.
fn offered_pool(rig: &mut Rig) -> gst::BufferPool {
    rig.set_caps(CAPS);
    let caps = CAPS.parse::<gst::Caps>().unwrap();
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(rig.element.static_pad("sink").unwrap().query(&mut query));
    let (pool, size, _, _) = query.allocation_pools().next().unwrap();
    assert_eq!(size as usize, SIZE);
    let pool = pool.unwrap();
    pool.set_active(true).unwrap();
    rig.push_buffer(gst::Buffer::from_slice(vec![0; SIZE]));
    pool
}

fn filled(pool: &gst::BufferPool, value: u8) -> gst::Buffer {
    let mut buffer = pool.acquire_buffer(None).unwrap();
    buffer
        .get_mut()
        .unwrap()
        .map_writable()
        .unwrap()
        .fill(value);
    buffer
}

#[test]
fn the_pool_never_waits_and_never_fails() {
    let _alone = alone("the pool");
    let mut rig = Rig::new("pool", 1000, &[]);
    let pool = offered_pool(&mut rig);
    let mut reader = rig.reader_with(&ReaderOptions::default());
    let hoard: Vec<_> = (0..20).map(|value| filled(&pool, value)).collect();
    assert_eq!(rig.stat("slots-upstream"), 4);
    for (value, buffer) in hoard.into_iter().enumerate() {
        rig.push_buffer(buffer);
        assert_eq!(reader.frame(), Seen::of(&vec![value as u8; SIZE]));
    }
    assert_eq!(rig.stat("frames-zero-copy"), 4);
    assert_eq!(rig.stat("frames-copied"), 16);
    // One at a time, none is copied.
    for value in 0..100 {
        rig.push_buffer(filled(&pool, value));
        assert_eq!(reader.frame(), Seen::of(&vec![value; SIZE]));
    }
    assert_eq!(rig.stat("frames-zero-copy"), 104);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
    // What outlives the sink is memory, and nothing else.
    let survivor = filled(&pool, 7);
    rig.stop();
    assert!(
        survivor
            .map_readable()
            .unwrap()
            .iter()
            .all(|byte| *byte == 7)
    );
    drop(filled(&pool, 8));
    pool.set_active(false).unwrap();
    assert_eq!(
        pool.acquire_buffer(None).err(),
        Some(gst::FlowError::Flushing)
    );
}

#[test]
fn what_upstream_writes_into_a_frame_that_it_has_pushed_no_reader_sees() {
    let _alone = alone("a frame that upstream keeps");
    let mut rig = Rig::new("kept", 1000, &[]);
    let pool = offered_pool(&mut rig);
    let mut stopped = rig.reader_with(&ReaderOptions::default());
    stopped.stop();
    let mut buffer = filled(&pool, 1);
    for value in 1..5 {
        rig.push_buffer(buffer.clone());
        // It writes into its own copy, or the reader would see the next value in this frame.
        let next = buffer.make_mut();
        next.map_writable().unwrap().fill(value + 1);
    }
    assert!(rig.stat("frames-zero-copy") >= 1);
    stopped.resume();
    for value in 1..5 {
        assert_eq!(stopped.frame(), Seen::of(&vec![value; SIZE]));
    }
    // Pushed again while a reader still holds it, it is a frame of its own.
    let buffer = filled(&pool, 9);
    for _ in 0..3 {
        rig.push_buffer(buffer.clone());
        assert_eq!(stopped.frame(), Seen::of(&vec![9; SIZE]));
    }
}

#[test]
fn t11_a_slot_that_was_pushed_many_times_comes_back() {
    let _alone = alone("a slot that is pushed many times");
    let mut rig = Rig::new("again", 1000, &[]);
    let pool = offered_pool(&mut rig);
    let _client = healthy(&rig);
    for value in 0..8 {
        let buffer = filled(&pool, value);
        for _ in 0..3 {
            rig.push_buffer(buffer.clone());
            wait_until("it is acked", SOON, || {
                first_client(&rig, "outstanding") == 0
            });
        }
    }
    assert_eq!(rig.stat("frames-zero-copy"), 24);
    drop(filled(&pool, 0));
    assert_eq!(rig.stat("slots-upstream"), 0);
}

#[test]
fn t21_slots_that_are_let_go_of_elsewhere_come_back() {
    let _alone = alone("t21");
    let mut rig = Rig::new("t21", 1000, &[]);
    let pool = offered_pool(&mut rig);
    let _client = healthy(&rig);
    let (other_branch, buffers) = mpsc::channel::<gst::Buffer>();
    let keeper = thread::spawn(move || {
        let mut kept = Vec::new();
        for buffer in buffers {
            kept.push(buffer);
            if kept.len() == 3 {
                kept.clear();
            }
        }
    });
    for value in 0..200 {
        let buffer = filled(&pool, value);
        other_branch.send(buffer.clone()).unwrap();
        rig.push_buffer(buffer);
    }
    drop(other_branch);
    keeper.join().unwrap();
    assert_eq!(rig.stat("frames-published"), 200);
    assert!(rig.stat("frames-zero-copy") > 0);
    // The next buffer that is asked for sees that they are back.
    drop(filled(&pool, 0));
    assert_eq!(rig.stat("slots-upstream"), 0);
    wait_until("all are free", SOON, || {
        rig.stat("slots-free") == rig.stat("slots-reserved")
    });
}

#[test]
fn t22_an_upstream_that_writes_into_slots_goes_on_beside_a_stalled_reader() {
    let _alone = alone("t22");
    let frames = scale(120, 3600);
    let run = Pipeline::new(
        "t22",
        &format!(
            "videotestsrc num-buffers={frames} is-live=true ! video/x-raw,format=NV12,width=640,height=480,framerate=60/1 ! SINK"
        ),
    );
    run.pipeline.set_state(gst::State::Ready).unwrap();
    let _stalled = run.client();
    let reader = common::client::serve(run.client());
    run.pipeline.set_state(gst::State::Playing).unwrap();
    run.wait_for_end();
    assert_eq!(run.stat("frames-published"), frames);
    // All but the first, for which there was no area yet.
    let zero_copy = run.stat("frames-zero-copy");
    assert!(zero_copy >= frames - 5, "{zero_copy}");
    run.pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(reader.join().unwrap(), frames);
}

#[test]
fn shm_size_may_be_set_while_running() {
    let _alone = alone("shm-size");
    let mut rig = Rig::new("resize", 1000, &[("max-clients", "2")]);
    let mut readers = [rig.reader(), rig.reader()];
    rig.in_step(&mut readers, 0..10);
    assert_eq!(rig.stat("slots-total"), 10);
    for (slots, first) in [(20u32, 10), (12, 20), (10, 30)] {
        rig.element.set_property("shm-size", slots * 65536);
        rig.in_step(&mut readers, first..first + 10);
        assert_eq!(rig.stat("slots-total"), u64::from(slots));
    }
    wait_until("old areas are gone", SOON, || {
        rig.push(40);
        common::areas_of(std::process::id()).len() == 1
    });
    for reader in &readers {
        assert!(rig.client(reader.pid()).is_some());
    }
    rig.assert_no_error();
    // A bound is hard.
    rig.element.set_property("shm-size", 65536u32);
    let frame = gst::Buffer::from_slice(vec![0; 1000]);
    assert_eq!(rig.try_push(frame), Err(gst::FlowError::Error));
    assert!(error_of(&rig.bus).contains("shm-size"));
}

#[test]
fn t13_forty_changes_of_caps_with_a_stopped_reader_cost_bounded_memory() {
    let _alone = alone("forty changes");
    let mut rig = Rig::new("forty", 1000, &[("max-clients", "4")]);
    let mut reader = rig.reader_with(&ReaderOptions::default());
    let stopped = rig.reader_with(&ReaderOptions::default());
    stopped.stop();
    let sizes = [(1920, 1080), (640, 480), (3840, 2160), (320, 240)];
    let (mut most, mut areas) = (0, 0);
    for change in 0..40 {
        let (width, height) = sizes[change % sizes.len()];
        rig.set_caps(&format!(
            "video/x-raw,format=GRAY8,width={width},height={height},framerate=30/1"
        ));
        for _ in 0..3 {
            let bytes = vec![change as u8; width * height];
            let sent = Seen::of(&bytes);
            rig.push_buffer(gst::Buffer::from_slice(bytes));
            assert_eq!(reader.frame(), sent);
        }
        most = most.max(common::memory_of(std::process::id()));
        areas = areas.max(common::areas_of(std::process::id()).len());
    }
    println!("at most {areas} areas with {most} bytes");
    // The largest area with both windows in use, what the stopped one holds, and one more area that is on its way out.
    let slot = 3840 * 2160 + 131_072;
    assert!(most <= 4 * 10 * slot, "{most}");
    assert!(areas <= 15, "{areas}");
    wait_until("only what is held remains", SOON, || {
        rig.stat("shm-bytes") == common::memory_of(std::process::id())
            && common::areas_of(std::process::id()).len() <= 4
    });
    assert_eq!(rig.client_stat(reader.pid(), "skipped"), 0);
    assert_eq!(rig.num_clients(), 2);
    rig.assert_no_error();
}

/// Of frames whose size only their buffers tell twice as much was planned as they had.
#[test]
fn lowering_the_limit_ends_no_stream_whose_frames_fit() {
    let _alone = alone("less for what was planned");
    let clients = [("max-clients", "1"), ("client-window", "2")];
    let mut rig = Rig::new("less", 1000, &clients);
    let mut reader = rig.raw_client();
    rig.wait_for_clients(1);
    let frame = |size: usize| gst::Buffer::from_mut_slice(vec![1u8; size]);
    rig.push_buffer(frame(1_000_000));
    rig.push_buffer(frame(1_200_000));
    rig.element.set_property("shm-size", 6_000_000u32);
    for _ in 0..10 {
        rig.push_buffer(frame(1_200_000));
    }
    assert_eq!(rig.stat("frames-in"), 12);
    rig.assert_no_error();
    rig.stop();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut rest).unwrap();
}

#[test]
fn a_stopped_reader_of_too_many_areas_is_evicted_and_nobody_else() {
    let _alone = alone("too many areas");
    let mut rig = Rig::new(
        "areas",
        1000,
        &[("client-window", "64"), ("max-clients", "2")],
    );
    let _stopped = rig.raw_client();
    let _healthy = healthy(&rig);
    for change in 0..40 {
        let width = 320 + change * 16;
        rig.set_caps(&format!(
            "video/x-raw,format=GRAY8,width={width},height=240,framerate=30/1"
        ));
        rig.push_buffer(gst::Buffer::from_slice(vec![0; width * 240]));
        assert!(common::areas_of(std::process::id()).len() <= 18);
    }
    rig.wait_for_clients(1);
    assert_eq!(rig.stat("clients-evicted"), 1);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
    wait_until("it has them all", SOON, || {
        first_client(&rig, "acked") == 40
    });
    rig.assert_no_error();
}

#[test]
fn a_list_that_is_none_keeps_the_sink_from_starting() {
    let _alone = alone("a bad list");
    let (sink, bus) = element(Some(&socket("list")), &[("allow-uids", "1000;1001")]);
    assert!(sink.set_state(gst::State::Ready).is_err());
    let text = error_of(&bus);
    assert!(
        text.contains("allow-uids") && text.contains("1000,1001"),
        "{text}"
    );
    // Not even when it is no text.
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};
    let (sink, bus) = element(Some(&socket("list")), &[]);
    sink.set_property("allow-uids", Path::new(OsStr::from_bytes(b"\xff")));
    assert!(sink.set_state(gst::State::Ready).is_err());
    let text = error_of(&bus);
    assert!(text.contains("allow-uids"), "{text}");
    sink.set_state(gst::State::Null).unwrap();
}
