//! `shmsrc-rs` and `shmsink-rs`: what a reader knows of the frames, without anybody telling it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{
    producer::{FIRST, FakeProducer, plain_note},
    reader::ReaderOptions,
    rig::{READER_TEST, Rig, alone, socket},
    source_rs::ShmReader,
    wait_until,
};
use gst::{meta::CustomMeta, prelude::*};
use gst_video::prelude::*;
use gstlibcamerars::shm::{header::StreamState, note::Note};

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// Frames of a pattern, each telling its number.
fn picture(size: usize, number: u8) -> gst::Buffer {
    let bytes = (0..size).map(|at| (at as u8).wrapping_mul(7).wrapping_add(number));
    gst::Buffer::from_mut_slice(bytes.collect::<Vec<u8>>())
}

fn bytes(sample: &gst::Sample) -> Vec<u8> {
    sample.buffer().unwrap().map_readable().unwrap().to_vec()
}

const I420: &str = "video/x-raw, format=(string)I420, width=(int)102, height=(int)50, framerate=(fraction)30/1, colorimetry=(string)bt709";
const RGB: &str = "video/x-raw, format=(string)RGB, width=(int)51, height=(int)20, framerate=(fraction)0/1, colorimetry=(string)1:1:0:0";

fn info_of(sample: &gst::Sample) -> gst_video::VideoInfo {
    gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap()
}

#[test]
fn caps_come_by_themselves_and_change() {
    let _alone = alone("caps");
    let mut rig = Rig::new("caps", 1000, &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    for round in 0..6u8 {
        let caps = [I420, RGB][usize::from(round) % 2];
        rig.set_caps(caps);
        let wanted: gst::Caps = caps.parse().unwrap();
        let size = gst_video::VideoInfo::from_caps(&wanted).unwrap().size();
        for number in 0..3 {
            let frame = picture(size, round * 3 + number);
            let sent = frame.map_readable().unwrap().to_vec();
            rig.push_buffer(frame);
            let sample = reader.pull();
            assert_eq!(sample.caps().unwrap(), &wanted);
            assert_eq!(bytes(&sample), sent);
            let info = info_of(&sample);
            let meta = sample
                .buffer()
                .unwrap()
                .meta::<gst_video::VideoMeta>()
                .unwrap();
            assert_eq!(
                (meta.stride(), meta.offset()),
                (info.stride(), info.offset())
            );
        }
    }
    // The same size with other caps: the memory stays, the caps change.
    let area = reader.element.property::<String>("shm-area-name");
    let wanted: gst::Caps = RGB.replace("0/1", "25/1").parse().unwrap();
    rig.set_caps(&wanted.to_string());
    rig.push_buffer(picture(info_size(&wanted), 1));
    assert_eq!(reader.pull().caps().unwrap(), &wanted);
    assert_eq!(reader.element.property::<String>("shm-area-name"), area);
    // A note that is longer than most; and one that has no room for its caps, which then stay as they were.
    for (length, comes) in [(1500, true), (3000, false)] {
        let text = format!("application/x-long, text=(string){}", "x".repeat(length));
        rig.set_caps(&text);
        rig.push_buffer(picture(100, 1));
        let is_it = reader
            .pull()
            .caps()
            .unwrap()
            .can_intersect(&text.parse::<gst::Caps>().unwrap());
        assert_eq!(is_it, comes, "{length}");
    }
    assert_eq!(reader.stat("caps-changes"), 9);
    assert_eq!(reader.stat("frames-without-note"), 0);
    rig.assert_no_error();
}

fn info_size(caps: &gst::Caps) -> usize {
    gst_video::VideoInfo::from_caps(caps).unwrap().size()
}

#[test]
fn frames_with_other_strides_come_as_the_caps_have_them() {
    let _alone = alone("strides");
    let mut rig = Rig::new("strides", 1000, &[]);
    rig.set_caps(I420);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    let info = gst_video::VideoInfo::from_caps(&I420.parse::<gst::Caps>().unwrap()).unwrap();
    // Rows of 128 bytes; each pixel tells its row.
    let (strides, offsets) = ([128, 64, 64], [0usize, 128 * 50, 128 * 50 + 64 * 25]);
    let mut padded = vec![0xee; 128 * 50 + 2 * 64 * 25];
    for (plane, rows) in [(0, 50), (1, 25), (2, 25)] {
        for row in 0..rows {
            let at = offsets[plane] + row * strides[plane] as usize;
            padded[at..at + 102 / (1 + plane.min(1))].fill(row as u8);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(padded);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::I420,
        102,
        50,
        &offsets,
        &strides,
    )
    .unwrap();
    rig.push_buffer(buffer);
    let sample = reader.pull();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info);
    let frame = frame.unwrap();
    for plane in 0..3u32 {
        let stride = frame.plane_stride()[plane as usize] as usize;
        let width = 102 / (1 + plane.min(1) as usize);
        let data = frame.plane_data(plane).unwrap();
        for (row, line) in data.chunks(stride).enumerate() {
            assert!(
                line[..width].iter().all(|byte| *byte == row as u8),
                "plane {plane}, row {row}"
            );
        }
    }
}

#[test]
fn metas_and_flags_and_offsets_come_along() {
    let _alone = alone("metas");
    let mut rig = Rig::new("metas", 1000, &[]);
    rig.set_caps(RGB);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    let size = info_size(&RGB.parse().unwrap());
    let clock = gst::Caps::new_empty_simple("timestamp/x-system-monotonic");
    let crop = gst::Array::new([1i32, 2, 300, 400]);
    let mut buffer = picture(size, 1);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_duration(gst::ClockTime::from_mseconds(33));
        buffer.set_offset(17);
        buffer.set_offset_end(18);
        buffer.set_flags(gst::BufferFlags::CORRUPTED | gst::BufferFlags::MARKER);
        gst::ReferenceTimestampMeta::add(
            buffer,
            &clock,
            gst::ClockTime::from_nseconds(123_456_789),
            None,
        );
        let mut meta = CustomMeta::add(buffer, "libcamera").unwrap();
        let structure = meta.mut_structure();
        structure.set("exposure-time", 8333i32);
        structure.set("sensor-timestamp", 77_000_000_000i64);
        structure.set("analogue-gain", 1.5f32);
        structure.set("ae-locked", true);
        structure.set("af-state", "scanning");
        structure.set("scaler-crop", &crop);
        structure.set("colour-gains", gst::Array::new([1.25f32, 2.5]));
        structure.set(
            "crops",
            gst::Array::from_values([crop.to_send_value(), crop.to_send_value()]),
        );
        structure.set("count", 5u32);
        structure.set("byte", 200u8);
    }
    let sent = CustomMeta::from_buffer(&buffer, "libcamera")
        .unwrap()
        .structure()
        .to_owned();
    rig.push_buffer(buffer);
    // One without: nothing of the last one is left.
    rig.push_buffer(picture(size, 2));
    let sample = reader.pull();
    let buffer = sample.buffer().unwrap();
    assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(33)));
    assert_eq!((buffer.offset(), buffer.offset_end()), (17, 18));
    let flags = gst::BufferFlags::CORRUPTED | gst::BufferFlags::MARKER;
    assert_eq!(buffer.flags() & flags, flags);
    assert!(
        buffer.flags().contains(gst::BufferFlags::DISCONT),
        "the first frame"
    );
    let sensor = buffer.meta::<gst::ReferenceTimestampMeta>().unwrap();
    assert_eq!(sensor.timestamp().nseconds(), 123_456_789);
    assert!(sensor.reference().is_strictly_equal(&clock));
    let came = CustomMeta::from_buffer(buffer, "libcamera")
        .unwrap()
        .structure()
        .to_owned();
    assert_eq!(came, sent);
    let sample = reader.pull();
    let buffer = sample.buffer().unwrap();
    assert!(CustomMeta::from_buffer(buffer, "libcamera").is_err());
    assert!(buffer.meta::<gst::ReferenceTimestampMeta>().is_none());
    assert!(!buffer.flags().intersects(flags | gst::BufferFlags::DISCONT));
    assert_eq!(buffer.duration(), None);
}

/// Both pipelines live in this process, and have begun at different times; the second with another clock.
#[test]
fn timestamps_are_the_producers_to_a_millisecond() {
    let _alone = alone("timestamps");
    let path = socket("timestamps");
    let producer = gst::parse::launch(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=64,height=48,framerate=60/1 ! shmsink-rs name=sink \
         socket-path={path}"
    ));
    let producer = producer.unwrap().downcast::<gst::Pipeline>().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let pad = producer
        .by_name("sink")
        .unwrap()
        .static_pad("sink")
        .unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        // videotestsrc's segment begins at 0: the PTS is the running time.
        tell.send((buffer.offset(), buffer.pts().unwrap())).unwrap();
        gst::PadProbeReturn::Ok
    });
    producer.set_state(gst::State::Playing).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let reader = ShmReader::new(&path, "");
    let realtime = glib::Object::builder::<gst::SystemClock>()
        .property("clock-type", gst::ClockType::Realtime)
        .build();
    reader.pipeline.use_clock(Some(&realtime));
    reader.pipeline.set_state(gst::State::Playing).unwrap();
    let mut came = Vec::new();
    while let Some(sample) = reader.sink.try_pull_sample(gst::ClockTime::from_seconds(3)) {
        let buffer = sample.buffer().unwrap();
        came.push((buffer.offset(), buffer.pts().unwrap()));
        if came.len() == 60 {
            break;
        }
    }
    assert_eq!(came.len(), 60);
    // How far the reader's running time is behind the producer's, of which both clocks are read at one moment.
    let monotonic = gst::SystemClock::obtain();
    let apart = (0..20)
        .map(|_| {
            let before = monotonic.time().nseconds() as i64;
            let there = realtime.time().nseconds() as i64;
            let after = monotonic.time().nseconds() as i64;
            (after - before, (before + after) / 2 - there)
        })
        .min()
        .unwrap()
        .1;
    let base = |pipeline: &gst::Pipeline| pipeline.base_time().unwrap().nseconds() as i64;
    let told: std::collections::HashMap<u64, gst::ClockTime> = told.try_iter().collect();
    let (mut worst, mut compared) = (0, 0);
    for (offset, pts) in came {
        let theirs = told[&offset].nseconds() as i64 + base(&producer);
        let ours = pts.nseconds() as i64 + base(&reader.pipeline) + apart;
        // The frames from before the reader's start have no running time of its own.
        if pts > gst::ClockTime::ZERO {
            worst = worst.max((ours - theirs).abs());
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
    println!("timestamps are {worst} ns apart at most");
    assert!(worst < 1_000_000, "{worst} ns");
    let mut query = gst::query::Latency::new();
    assert!(reader.element.query(&mut query));
    let (live, min, _) = query.result();
    assert!(
        live && min.nseconds() > 0 && min.nseconds() < 100_000_000,
        "{min}"
    );
    producer.set_state(gst::State::Null).unwrap();
}

#[test]
fn frames_that_upstream_writes_into_slots_have_notes_as_well() {
    let _alone = alone("zero copy");
    let path = socket("zerocopy");
    let producer = gst::parse::launch(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=640,height=480,framerate=60/1 ! shmsink-rs name=sink socket-path={path}"
    ));
    let producer = producer.unwrap().downcast::<gst::Pipeline>().unwrap();
    producer.set_state(gst::State::Playing).unwrap();
    let reader = ShmReader::playing(&path, "");
    let mut last = None;
    for _ in 0..60 {
        let sample = reader.pull();
        let buffer = sample.buffer().unwrap();
        let pts = buffer.pts().unwrap();
        assert!(last.is_none_or(|last| pts >= last), "{last:?} {pts}");
        last = Some(pts);
        assert_eq!(info_of(&sample).width(), 640);
    }
    let sink = producer.by_name("sink").unwrap();
    let stats = sink.property::<gst::Structure>("stats");
    assert!(stats.get::<u64>("frames-zero-copy").unwrap() > 30);
    producer.set_state(gst::State::Null).unwrap();
}

#[test]
fn eos_is_eos_and_a_stopped_sink_is_waited_for() {
    let _alone = alone("eos");
    let mut rig = Rig::new("eos", 1000, &[]);
    let path = rig.path.clone();
    let reader = ShmReader::playing(&path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    reader.pull();
    rig.push_event(gst::event::Eos::new());
    rig.stop();
    reader.wait_for_end();
    assert_eq!(
        reader.message(gst::MessageType::Warning, gst::ClockTime::ZERO),
        None
    );
    assert_eq!(reader.error(), None);
    drop(reader);

    // Stopped without EOS: waited for, and read again.
    let mut rig = Rig::new("eos", 1000, &[]);
    let reader = ShmReader::playing(&path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    reader.pull();
    rig.stop();
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    let warning = warning.unwrap();
    assert!(warning.contains("stopped before the end"), "{warning}");
    let mut rig = Rig::new("eos", 1000, &[]);
    rig.wait_for_clients(1);
    rig.push(7);
    let sample = reader.pull();
    assert!(
        sample
            .buffer()
            .unwrap()
            .flags()
            .contains(gst::BufferFlags::DISCONT)
    );
    assert_eq!(reader.stat("connections"), 2);
    // Without reconnect the proper stop is the end.
    reader.element.set_property("reconnect", false);
    rig.stop();
    reader.wait_for_end();
    assert_eq!(reader.error(), None);
}

/// An area is announced with a frame of it, and it is its header that says how the stream ended.
#[test]
fn a_reader_learns_of_the_end_without_a_frame_of_the_last_area() {
    let _alone = alone("eos without a frame");
    for had_a_frame in [false, true] {
        for ends in [true, false] {
            println!("a frame: {had_a_frame}, EOS: {ends}");
            let mut rig = Rig::new("noframe", 1000, &[]);
            let reader = ShmReader::playing(&rig.path, "reconnect=false");
            rig.wait_for_clients(1);
            if had_a_frame {
                rig.push(0);
                drop(reader.pull());
                // Other caps: upstream asks for a pool, which makes an area that no frame has come to.
                rig.set_caps(RGB);
                let caps: gst::Caps = RGB.parse().unwrap();
                let pad = rig.element.static_pad("sink").unwrap();
                let mut query = gst::query::Allocation::new(Some(&caps), true);
                assert!(pad.query(&mut query));
            }
            if ends {
                rig.push_event(gst::event::Eos::new());
            }
            rig.stop();
            reader.wait_for_end();
            assert_eq!(reader.error(), None);
        }
    }
}

#[test]
fn without_reconnect_a_missing_producer_is_an_error_that_says_what_to_do() {
    let _alone = alone("no producer");
    let path = socket("nobody");
    let reader = ShmReader::playing(&path, "reconnect=false");
    let text = reader.only_error();
    assert!(
        text.contains("cannot connect") && text.contains("reconnect=true"),
        "{text}"
    );
    let (nowhere, bus) = (ShmReader::new("x", ""), gst::Bus::new());
    nowhere.element.set_property("socket-path", None::<String>);
    nowhere.element.set_bus(Some(&bus));
    assert!(nowhere.element.set_state(gst::State::Paused).is_err());
    assert!(common::rig::error_of(&bus).contains("Set socket-path"));
}

#[test]
fn a_pause_shows_nothing_stale_and_many_of_them_never_stall() {
    let _alone = alone("pause");
    let mut rig = Rig::new("pause", 1000, &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    assert_eq!(counter(&reader.pull()), 0);
    // What is on the socket when it goes on is given back. The sink may be about to send when it has promised, so it is tried more than once.
    let mut counters = 1..;
    let gives_back = (0..20).any(|_| {
        let before = reader.stat("frames-skipped");
        reader.pipeline.set_state(gst::State::Paused).unwrap();
        counters
            .by_ref()
            .take(9)
            .for_each(|counter| rig.push(counter));
        wait_until("it has its window", Duration::from_secs(5), || {
            common::client::first_client(&rig, "outstanding") == 4
        });
        reader.pipeline.set_state(gst::State::Playing).unwrap();
        let mut newest = None;
        while let Some(sample) = reader.try_pull(Duration::from_millis(100)) {
            newest = Some(counter(&sample));
        }
        // The newest one was kept for a reader that had not had it, and follows the first ack: it may be given back with the others.
        assert!(newest.is_none_or(|newest| newest == counters.start - 1));
        reader.stat("frames-skipped") >= before + 3
    });
    assert!(gives_back, "stale frames are shown");
    let mut last = gst::ClockTime::ZERO;
    for round in 0..common::scale(200, 2000) {
        // One may be under way.
        rig.push(1000 + round);
        reader.pipeline.set_state(gst::State::Paused).unwrap();
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_micros(round * 7 % 500));
        }
        reader.pipeline.set_state(gst::State::Playing).unwrap();
        rig.push(1000 + round);
        while let Some(sample) = reader.try_pull(Duration::ZERO) {
            let pts = sample.buffer().unwrap().pts().expect("a timestamp");
            assert!(pts >= last, "{pts} after {last}");
            last = pts;
        }
    }
    // It goes on: the next frame comes.
    while reader.try_pull(Duration::from_millis(200)).is_some() {}
    rig.push(5000);
    let sample = reader.pull();
    assert_eq!(counter(&sample), 5000);
    assert!(sample.buffer().unwrap().pts().unwrap() > last);
}

#[test]
fn eos_in_a_pause_is_not_waited_for_at_its_end() {
    let _alone = alone("eos in a pause");
    let rig = Rig::new("pauseeos", 1000, &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    for _ in 0..20 {
        reader.pipeline.set_state(gst::State::Paused).unwrap();
        reader.pipeline.set_state(gst::State::Playing).unwrap();
    }
    reader.pipeline.set_state(gst::State::Paused).unwrap();
    reader.element.send_event(gst::event::Eos::new());
    let before = Instant::now();
    reader.pipeline.set_state(gst::State::Playing).unwrap();
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    reader.wait_for_end();
    assert_eq!(reader.error(), None);
}

fn counter(sample: &gst::Sample) -> u64 {
    let frame = bytes(sample);
    common::frames::Generator::new(frame.len())
        .check(&frame)
        .expect("a whole frame")
}

#[test]
fn frames_that_are_kept_stay_as_they_are_after_null_and_are_given_back_in_the_end() {
    let _alone = alone("kept");
    let mut rig = Rig::new("kept", 100_000, &[]);
    let before = common::holdings();
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    let kept = reader.pull();
    rig.push(1);
    let part = reader
        .pull()
        .buffer()
        .unwrap()
        .copy_region(gst::BufferCopyFlags::MEMORY, 10..20)
        .unwrap();
    drop(reader);
    // It holds two frames and is given no more than its window.
    for frame in 2..50 {
        rig.push(frame);
    }
    assert_eq!(counter(&kept), 0);
    assert_eq!(rig.num_clients(), 1);
    drop(kept);
    wait_until("the first is back", Duration::from_secs(5), || {
        common::client::first_client(&rig, "acked") >= 1
    });
    assert_eq!(part.size(), 10);
    drop(part);
    rig.wait_for_clients(0);
    wait_until("everything is let go of", Duration::from_secs(5), || {
        common::holds_no_more_than(&before) || common::holdings().2.len() <= 1
    });
}

/// Nothing if the queue is full.
fn try_connect(path: &str) -> Option<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK, None).unwrap();
    let address = SocketAddrUnix::new(path).unwrap();
    rustix::net::connect(&socket, &address)
        .ok()
        .map(|()| socket)
}

#[test]
fn null_takes_no_time_whatever_the_producer_does() {
    let _alone = alone("null");
    // A server whose queue is full, and one that says nothing.
    let path = socket("silent");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    for fill in [false, true] {
        let mut full = Vec::new();
        if fill {
            while let Some(socket) = try_connect(&path) {
                full.push(socket);
            }
        }
        for wait in [0, 30] {
            let reader = ShmReader::playing(&path, "");
            std::thread::sleep(Duration::from_millis(wait));
            let before = Instant::now();
            reader.pipeline.set_state(gst::State::Null).unwrap();
            assert!(
                before.elapsed() < Duration::from_millis(100),
                "{:?}",
                before.elapsed()
            );
        }
    }
    drop(listener);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn eight_readers_and_one_is_stopped() {
    let _alone = alone("eight readers");
    let mut rig = Rig::new("eight", 100_000, &[]);
    let options = ReaderOptions {
        arguments: READER_TEST,
        size: Some(100_000),
        ours: Some(""),
        ..ReaderOptions::default()
    };
    let mut readers: Vec<_> = (0..8).map(|_| rig.reader_with(&options)).collect();
    rig.in_step(&mut readers, 0..5);
    let mut stopped = readers.pop().unwrap();
    stopped.stop();
    let frames = common::scale(200, 5000);
    rig.in_step(&mut readers, 5..5 + frames);
    stopped.resume();
    rig.push(9999);
    let deadline = Instant::now() + Duration::from_secs(10);
    while stopped.counter() != 9999 {
        assert!(Instant::now() < deadline);
    }
    rig.assert_no_error();
}

#[test]
fn stock_and_our_readers_read_one_sink_and_a_caps_change_passes_both() {
    let _alone = alone("mixed");
    let mut rig = Rig::new("mixed", 5000, &[]);
    let options = ReaderOptions {
        arguments: READER_TEST,
        size: Some(5000),
        ..ReaderOptions::default()
    };
    let ours = ReaderOptions {
        ours: Some(""),
        ..options
    };
    let mut readers = vec![rig.reader_with(&options), rig.reader_with(&ours)];
    for round in 0..20 {
        rig.set_caps(&format!("application/x-test, round=(int){round}"));
        rig.in_step(&mut readers, round * 10..round * 10 + 10);
    }
}

#[test]
fn not_live_timestamps_begin_at_zero_and_there_is_a_preroll() {
    let _alone = alone("not live");
    let mut rig = Rig::new("notlive", 1000, &[]);
    let reader = ShmReader::new(&rig.path, "is-live=false");
    reader.sink.set_property("async", true);
    let changed = reader.pipeline.set_state(gst::State::Paused).unwrap();
    assert_eq!(changed, gst::StateChangeSuccess::Async);
    rig.wait_for_clients(1);
    rig.push(0);
    let (changed, _, _) = reader.pipeline.state(gst::ClockTime::from_seconds(5));
    assert_eq!(changed, Ok(gst::StateChangeSuccess::Success));
    reader.pipeline.set_state(gst::State::Playing).unwrap();
    let first = reader.pull().buffer().unwrap().pts();
    assert_eq!(first, Some(gst::ClockTime::ZERO));
    std::thread::sleep(Duration::from_millis(50));
    rig.push(1);
    let second = reader.pull().buffer().unwrap().pts().unwrap();
    assert!((50..1000).contains(&second.mseconds()), "{second}");
}

#[test]
fn downstream_that_takes_something_else_is_an_error_that_says_both() {
    let _alone = alone("other caps");
    let mut rig = Rig::new("other", 1000, &[]);
    rig.set_caps(RGB);
    let reader = ShmReader::playing(&rig.path, "! video/x-raw,format=NV12");
    rig.wait_for_clients(1);
    rig.push_buffer(picture(info_size(&RGB.parse().unwrap()), 1));
    let text = reader.only_error();
    assert!(text.contains("RGB") && text.contains("NV12"), "{text}");
}

/// What would be made up of a list of formats is not what the frames are.
#[test]
fn frames_without_caps_are_not_taken_for_one_of_several() {
    let _alone = alone("several caps");
    for (rest, text) in [
        ("! video/x-raw", "takes several"),
        ("! video/x-raw,format=RGB,width=4", "takes several"),
        (
            "! video/x-raw,format=RGB,width=4,height=[1,4]",
            "takes several",
        ),
        ("! videoconvert", "takes several"),
        ("! audio/x-raw,format=S16LE", "takes several"),
        (
            "! video/x-raw,format=RGB,width=4,height=4,framerate=30/1 ! videoconvert",
            "",
        ),
        ("! video/x-raw,format=RGB,width=4,height=4", ""),
        ("", ""),
    ] {
        println!("{rest}");
        let mut producer = FakeProducer::new("several");
        let reader = ShmReader::playing(&producer.path, rest);
        producer.accept();
        producer.announce();
        producer.frame(FIRST, 48);
        if text.is_empty() {
            reader.pull();
        } else {
            let error = reader.only_error();
            assert!(error.contains(text), "{error}");
        }
    }
}

#[test]
fn frames_that_no_longer_tell_caps_are_what_downstream_has() {
    let _alone = alone("caps that are told no longer");
    let mut producer = FakeProducer::new("kept");
    let reader = ShmReader::playing(&producer.path, "! videoconvert");
    producer.accept();
    producer.write_header(StreamState::Running);
    producer.announce();
    let caps =
        "video/x-raw, format=(string)RGB, width=(int)4, height=(int)4, framerate=(fraction)30/1";
    let note = plain_note(0, 48, 1);
    producer.write_note(0, &Note { caps, ..note });
    producer.frame(FIRST, 48);
    let told = reader.pull();
    producer.write_note(0, &plain_note(0, 48, 2));
    producer.frame(FIRST, 48);
    assert_eq!(reader.pull().caps(), told.caps());
    assert_eq!(reader.error(), None);
}

#[test]
fn caps_that_are_told_late_are_a_warning() {
    let _alone = alone("late caps");
    let mut producer = FakeProducer::new("late");
    let reader = ShmReader::playing(&producer.path, "");
    producer.accept();
    producer.write_header(StreamState::Running);
    producer.announce();
    producer.write_note(0, &plain_note(0, 100, 1));
    producer.frame(FIRST, 100);
    reader.pull();
    let note = plain_note(0, 100, 2);
    let caps = "application/x-late, a=(int)1";
    producer.write_note(0, &Note { caps, ..note });
    producer.frame(FIRST, 100);
    assert_eq!(reader.pull().caps(), None);
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    assert!(warning.unwrap().contains("late"));
}
