//! `libcamerasrc-rs` on a camera that fails in every way that a test can ask for: nothing hangs, nothing is lost, and there is one clear error.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    source::{Source, alone, levels},
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Fault, Script, Spec, plug, unplug};

const SOON: Duration = Duration::from_secs(10);
const CAMERA: &str = "simulated-camera";
/// The contract is 200 ms on a machine of one's own; a watchdog's bound on one that is shared.
const TO_NULL: Duration = Duration::from_secs(2);

fn camera(interval_ms: u64) -> Arc<Script> {
    padded_camera(interval_ms, 0)
}

fn padded_camera(interval_ms: u64, padding: u32) -> Arc<Script> {
    let interval = Duration::from_millis(interval_ms);
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 1,
        interval,
        frames: 4,
        padding,
        ..Spec::default()
    })
}

fn source(rest: &str) -> Source {
    Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} {rest}"
    ))
}

fn playing(rest: &str) -> Source {
    let source = source(rest);
    source.set_state(gst::State::Playing);
    source
}

/// Goes to NULL, and says how long that took.
fn to_null(what: &str, source: &Source) {
    let begun = Instant::now();
    source.pipeline.set_state(gst::State::Null).unwrap();
    let took = begun.elapsed();
    println!("to NULL, {what}: {took:?}");
    assert!(took < TO_NULL, "{what}: {took:?}");
}

#[test]
fn null_comes_at_once_whatever_the_camera_and_downstream_do() {
    let _alone = alone("to NULL");
    let script = camera(10);
    let stalled = playing("");
    stalled.pull().unwrap();
    script.stall(true);
    while stalled
        .sink
        .try_pull_sample(gst::ClockTime::from_mseconds(50))
        .is_some()
    {}
    to_null("camera stalled", &stalled);
    script.stall(false);

    let held = playing("");
    let mut samples = Vec::new();
    while let Some(sample) = held
        .sink
        .try_pull_sample(gst::ClockTime::from_mseconds(100))
    {
        samples.push(sample);
    }
    to_null("all frames held by the application", &held);
    drop(samples);

    let blocked = source("");
    blocked.sink.set_property("max-buffers", 1u32);
    blocked.set_state(gst::State::Playing);
    wait_until("a full sink", SOON, || blocked.counter("delivered") >= 2);
    to_null("downstream blocks", &blocked);

    let paused = source("");
    paused.set_state(gst::State::Paused);
    to_null("paused", &paused);

    let ended = playing("num-buffers=3");
    assert_eq!(ended.count(), 3);
    to_null("after the end", &ended);

    script.stall(true);
    let never = source("");
    never.pipeline.set_state(gst::State::Playing).unwrap();
    to_null("camera that never delivered", &never);
}

#[test]
fn a_camera_that_vanishes_is_one_error_and_can_come_back() {
    let _alone = alone("vanishing");
    for stalled in [false, true] {
        let script = camera(5);
        let source = playing("");
        source.pull().unwrap();
        script.stall(stalled);
        script.vanish();
        source.count();
        let text = source.only_error();
        assert!(text.contains(CAMERA) && text.contains("is gone"), "{text}");
        unplug(CAMERA);
        assert!(source.pipeline.set_state(gst::State::Playing).is_err());
        assert!(
            source.only_error().contains("no camera"),
            "there is none to list"
        );
        camera(5);
        source.set_state(gst::State::Playing);
        source.pull().unwrap();
    }
}

#[test]
fn a_request_that_is_refused_ends_the_stream_with_one_error() {
    let _alone = alone("refused request");
    let script = camera(5);
    let source = playing("");
    source.pull().unwrap();
    script.refuse_next_queue();
    source.count();
    assert!(source.only_error().contains("queue a request failed"));
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
}

#[test]
fn a_start_that_fails_is_one_error_and_the_next_one_works() {
    let _alone = alone("refused start");
    let script = camera(5);
    script.refuse_next_start();
    let source = source("");
    let _ = source.pipeline.set_state(gst::State::Playing);
    assert!(source.only_error().contains("start failed"));
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
}

#[test]
fn faulty_frames_are_marked_counted_or_left_out_and_the_stream_goes_on() {
    let _alone = alone("faulty frames");
    let script = camera(2);
    let source = source("num-buffers=40");
    for fault in [
        Fault::Damaged,
        Fault::Short(1000),
        Fault::Cancelled,
        Fault::Gap(5),
        Fault::MadeUp,
        Fault::Overtaken,
        Fault::WithoutStream(0),
    ] {
        script.fault(fault);
    }
    source.set_state(gst::State::Playing);
    let (mut count, mut corrupted, mut gaps, mut last) = (0, 0, 0, None);
    while let Some(sample) = source.pull() {
        let buffer = sample.buffer().unwrap();
        assert!(levels(&sample) >= 8);
        count += 1;
        corrupted += u32::from(buffer.flags().contains(gst::BufferFlags::CORRUPTED));
        gaps += u32::from(last.is_some_and(|last| buffer.offset() > last + 1));
        let discont = last.is_none_or(|last| buffer.offset() > last + 1);
        assert_eq!(buffer.flags().contains(gst::BufferFlags::DISCONT), discont);
        last = Some(buffer.offset());
    }
    assert_eq!(count, 40);
    // Frames of before PLAYING are never pushed, and with them what was wrong with them.
    assert!(
        corrupted <= 2 && gaps <= 3,
        "{corrupted} corrupted, {gaps} gaps"
    );
    assert_eq!(source.counter("damaged"), 2, "one of them short");
    assert_eq!(
        source.counter("cancelled"),
        2,
        "one cancelled, one that its completion did not name"
    );
    assert!(source.counter("missed") >= 5);
}

#[test]
fn a_frame_that_was_cut_short_is_marked_and_keeps_its_size() {
    let _alone = alone("short frame");
    let script = camera(2);
    let source = playing("");
    let whole = source.pull().unwrap().buffer().unwrap().size();
    script.fault(Fault::Short(whole as u32 / 2));
    let short = std::iter::repeat_with(|| source.pull().unwrap()).find(|sample| {
        let flags = sample.buffer().unwrap().flags();
        flags.contains(gst::BufferFlags::CORRUPTED)
    });
    assert_eq!(short.unwrap().buffer().unwrap().size(), whole);
    assert_eq!(source.counter("damaged"), 1);
    // What a driver counts may leave out the padding of the last line.
    script.fault(Fault::Short(whole as u32 - 10));
    for _ in 0..20 {
        source.pull().unwrap();
    }
    assert_eq!(source.counter("damaged"), 1);
}

#[test]
fn padding_is_said_to_who_understands_and_left_out_for_who_does_not() {
    let _alone = alone("padding");
    padded_camera(2, 64);
    let knows = source("num-buffers=3 ! capsfilter caps=video/x-raw,width=320");
    let pad = knows.element.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        match info.query_mut().map(gst::QueryRef::view_mut) {
            Some(gst::QueryViewMut::Allocation(query)) => {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
    knows.set_state(gst::State::Playing);
    let sample = knows.pull().unwrap();
    let meta = sample
        .buffer()
        .unwrap()
        .meta::<gst_video::VideoMeta>()
        .unwrap();
    assert_eq!(meta.stride(), [384, 384]);
    assert!(levels(&sample) >= 8);
    drop((sample, knows));

    // An element that keeps the allocation query to itself: nobody says that they understand.
    let plain = playing("num-buffers=3 ! video/x-raw,width=320 ! identity drop-allocation=true");
    for _ in 0..3 {
        let sample = plain.pull().unwrap();
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.size(), 320 * 240 * 3 / 2);
        let bytes = buffer.map_readable().unwrap();
        assert!(!bytes[..320 * 239].contains(&255), "padding is white");
        assert_eq!(levels(&sample), 8);
    }
}

#[test]
fn the_error_comes_before_the_end() {
    let _alone = alone("error, then end");
    for _ in 0..30 {
        let script = camera(1);
        let pipeline = gst::parse::launch(&format!(
            "libcamerasrc-rs camera-name={CAMERA} ! fakesink sync=false"
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        script.vanish();
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        let first = pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(10), &wanted);
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(first.unwrap().type_(), gst::MessageType::Error);
    }
}

#[test]
fn a_camera_that_fills_nothing_is_an_error() {
    let _alone = alone("cancellation storm");
    let script = camera(0);
    for _ in 0..1000 {
        script.fault(Fault::Cancelled);
    }
    let source = source("");
    let _ = source.pipeline.set_state(gst::State::Playing);
    assert!(
        source
            .only_error()
            .contains("gives every frame back unfilled")
    );
}

/// What a bus handler may do in the thread that posts: here, in the capture task, while the application stops the element.
#[test]
fn a_handler_of_the_error_may_ask_the_element_while_it_stops() {
    let _alone = alone("caps query from a sync handler");
    for _ in 0..20 {
        let script = camera(1);
        let source = playing("");
        let pad = source.element.static_pad("src").unwrap();
        let (entered, wait) = std::sync::mpsc::channel();
        source
            .pipeline
            .bus()
            .unwrap()
            .set_sync_handler(move |_, message| {
                if message.type_() == gst::MessageType::Error {
                    let _ = entered.send(());
                    // The stop has begun, and waits for this very thread.
                    std::thread::sleep(Duration::from_millis(20));
                    pad.query_caps(None);
                }
                gst::BusSyncReply::Pass
            });
        script.vanish();
        wait.recv_timeout(SOON).unwrap();
        to_null("while an error is handled", &source);
    }
}

#[test]
fn a_stall_is_warned_of_once_and_the_stream_goes_on() {
    let _alone = alone("stall warning");
    let script = camera(2);
    let source = playing("stall-timeout=100000000");
    let bus = source.pipeline.bus().unwrap();
    for _ in 0..2 {
        source.pull().unwrap();
        script.stall(true);
        // Frames that wait are taken, so that the camera has all its requests.
        while source
            .sink
            .try_pull_sample(gst::ClockTime::from_mseconds(10))
            .is_some()
        {}
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(10),
            &[gst::MessageType::Warning],
        );
        let message = message.expect("a warning");
        let gst::MessageView::Warning(warning) = message.view() else {
            unreachable!()
        };
        let timeout = warning.details().unwrap().get::<u64>("stall-timeout");
        assert_eq!(timeout.unwrap(), 100_000_000);
        let more = bus.timed_pop_filtered(
            gst::ClockTime::from_mseconds(300),
            &[gst::MessageType::Warning],
        );
        assert!(more.is_none(), "one for each stall");
        script.stall(false);
        source.pull().unwrap();
    }
    assert_eq!(source.error(), None);
}

#[test]
fn a_pool_of_downstreams_is_left_alone() {
    let _alone = alone("downstream pool");
    camera(2);
    let source = source("num-buffers=5");
    let pad = source.element.static_pad("src").unwrap();
    let pool = gst::BufferPool::new();
    let offered = pool.clone();
    pad.add_probe(
        gst::PadProbeType::QUERY_DOWNSTREAM,
        move |_, info| match info.query_mut().map(gst::QueryRef::view_mut) {
            Some(gst::QueryViewMut::Allocation(query)) => {
                query.add_allocation_pool(Some(&offered), 1000, 2, 0);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        },
    );
    source.set_state(gst::State::Playing);
    assert_eq!(source.count(), 5);
    assert!(!pool.is_active());
}

#[test]
fn streaming_goes_on_after_a_flush() {
    let _alone = alone("flush");
    camera(2);
    let source = source("");
    // A flush takes a sink back to prerolling, and the pipeline with it, in a thread of its own that GStreamer 1.22 can bring to a deadlock with
    // a state change of the application's.
    source.sink.set_property("async", false);
    source.set_state(gst::State::Playing);
    for _ in 0..20 {
        source.pull().unwrap();
        assert!(source.element.send_event(gst::event::FlushStart::new()));
        assert!(source.element.send_event(gst::event::FlushStop::new(true)));
        let sample = source.pull().unwrap();
        assert!(levels(&sample) >= 8);
    }
    assert_eq!(source.error(), None);
}

#[test]
fn a_name_that_is_not_utf8_is_an_error_and_no_crash() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};
    let _alone = alone("not UTF-8");
    let _script = camera(10);
    let source = source("");
    let odd = Path::new(OsStr::from_bytes(b"odd\xff"));
    source.element.set_property("camera-name", odd);
    assert!(source.pipeline.set_state(gst::State::Playing).is_err());
    let text = source.only_error();
    assert!(text.contains("camera"), "{text}");
    // What the error names where there are other cameras.
    let name: String = source.element.property("camera-name");
    assert_eq!(name, "odd\u{fffd}");
}

/// Pretends to be an encoder that holds so many frames before it gives the first one back.
fn looks_ahead(source: &Source, frames: u32) {
    let pad = source.element.static_pad("src").unwrap();
    pad.add_probe(
        gst::PadProbeType::QUERY_DOWNSTREAM,
        move |_, info| match info.query_mut().map(gst::QueryRef::view_mut) {
            Some(gst::QueryViewMut::Allocation(query)) => {
                query.add_allocation_pool(None::<&gst::BufferPool>, 1000, frames, 0);
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        },
    );
}

/// Holds frames, and says of how many different ones of the camera's they are.
fn hold(source: &Source, count: usize) -> usize {
    let samples: Vec<gst::Sample> = (0..count).map(|_| source.pull().unwrap()).collect();
    let mut pools: Vec<bool> = Vec::new();
    for sample in &samples {
        assert!(levels(sample) >= 8);
        let memory = sample.buffer().unwrap().peek_memory(0);
        pools.push(memory.is_memory_type::<gst_allocators::FdMemory>());
    }
    pools.iter().filter(|of_the_camera| **of_the_camera).count()
}

#[test]
fn a_consumer_that_looks_ahead_gets_as_many_frames_as_it_needs() {
    let _alone = alone("look-ahead");
    camera(2);
    let source = source("");
    looks_ahead(&source, 10);
    source.set_state(gst::State::Playing);
    assert_eq!(hold(&source, 10), 10, "frames of the camera's own");
    source.pull().unwrap();
    assert_eq!(source.error(), None);
}

#[test]
fn a_consumer_that_holds_more_than_there_are_gets_copies() {
    let _alone = alone("copies");
    camera(2);
    let source = source("");
    looks_ahead(&source, 100);
    source.set_state(gst::State::Playing);
    let of_the_camera = hold(&source, 100);
    assert!((20..40).contains(&of_the_camera), "{of_the_camera}");

    drop(source);
    // And whoever asks for copies, however few frames there are.
    let asked = playing("copy-threshold=2 buffer-count=6");
    assert!(hold(&asked, 30) <= 5);
    assert_eq!(asked.error(), None);
}

#[test]
fn starvation_is_told_once_a_second() {
    let _alone = alone("starvation");
    camera(2);
    let source = playing("");
    let held: Vec<gst::Sample> = (0..4).map(|_| source.pull().unwrap()).collect();
    let bus = source.pipeline.bus().unwrap();
    let starved = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(10),
        &[gst::MessageType::Element],
    );
    let starved = starved.expect("a message");
    let details = starved.structure().unwrap();
    assert_eq!(details.name(), "libcamerasrc-starved");
    assert_eq!(details.get::<&str>("pad").unwrap(), "src");
    drop(held);
    for _ in 0..30 {
        source.pull().unwrap();
    }
    let more = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]));
    assert!(more.count() <= 1);
}

/// Of the caps that came, what tests here look at.
fn width_and_rate(sample: &gst::Sample) -> (i32, i32) {
    let structure = sample.caps().unwrap().structure(0).unwrap();
    let rate: gst::Fraction = structure.get("framerate").unwrap();
    (structure.get("width").unwrap(), rate.numer())
}

fn camera_slow_at_largest() -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        interval: Duration::from_millis(10),
        slow_at_largest: true,
        ..Spec::default()
    })
}

#[test]
fn a_rate_that_the_camera_has_at_other_sizes_only_is_an_error() {
    let _alone = alone("rate of a mode");
    camera_slow_at_largest();
    let rate = "! video/x-raw,framerate=100/1";
    let small = playing(&format!("num-buffers=3 {rate},width=320"));
    assert_eq!(small.count(), 3);
    drop(small);
    let large = source(&format!("{rate},width=640"));
    let _ = large.pipeline.set_state(gst::State::Playing);
    let text = large.only_error();
    assert!(
        text.contains("100 frames") && text.contains("50 to 50"),
        "{text}"
    );
}

#[test]
fn a_rate_that_a_size_lacks_is_looked_for_at_others_and_nearby() {
    let _alone = alone("rates of modes");
    camera_slow_at_largest();
    for (caps, expected) in [
        // 640x480, which it would choose, has 50 only.
        ("framerate=100/1", (320, 100)),
        ("framerate=[60/1,200/1]", (320, 100)),
        ("framerate=[20/1,200/1]", (640, 50)),
        ("framerate=[20/1,200/1],width=640", (640, 50)),
        ("width={320,640}", (640, 0)),
    ] {
        let source = playing(&format!("num-buffers=3 ! video/x-raw,{caps}"));
        let sample = source.pull().unwrap();
        assert_eq!(width_and_rate(&sample), expected, "{caps}");
        drop(sample);
        assert_eq!(source.count(), 2);
    }
}

#[test]
fn a_rate_that_no_size_has_is_not_looked_for_everywhere() {
    let _alone = alone("a rate of no size");
    let sizes = |step: u32| gstlibcamerars::camera::Size::new(64 + 2 * step, 64);
    let script = plug(Spec {
        id: CAMERA.to_owned(),
        sizes: (0..300).map(sizes).collect(),
        interval: Duration::from_millis(10),
        ..Spec::default()
    });
    let source = source("! video/x-raw,framerate=500/1");
    let begun = Instant::now();
    let _ = source.pipeline.set_state(gst::State::Playing);
    let text = source.only_error();
    assert!(text.contains("500 frames per second at 662x64"), "{text}");
    assert!(begun.elapsed() < TO_NULL, "{:?}", begun.elapsed());
    assert_eq!(script.configurations(), 8);
}

/// What a camera says of rates before it is configured, or as it is configured, is not what it can do in another configuration.
#[test]
fn the_limits_of_one_size_do_not_bind_another() {
    let _alone = alone("limits of a mode");
    camera_slow_at_largest();
    let source = playing("! capsfilter name=filter caps=video/x-raw,width=640");
    source.pull().unwrap();
    let filter = source.pipeline.by_name("filter").unwrap();
    let ask = |caps: &str| {
        let caps: gst::Caps = caps.parse().unwrap();
        filter.set_property("caps", caps);
    };
    ask("video/x-raw,width=320,framerate=100/1");
    wait_until("frames of the other size", SOON, || {
        width_and_rate(&source.pull().unwrap()) == (320, 100)
    });
    ask("video/x-raw,framerate=100/1");
    for _ in 0..20 {
        let sample = source.pull().unwrap();
        assert_eq!(width_and_rate(&sample), (320, 100));
    }
    assert_eq!(source.error(), None);
    source.set_state(gst::State::Null);
}
