//! What `libcamerasrc-rs` delivers, on libcamera's virtual cameras: frames, their time and layout, their end, and their way back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    source::{Source, TINY, alone, levels, skips_with_libcamera_0_4},
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn frames_carry_picture_time_and_layout() {
    if skips_with_libcamera_0_4("frames_carry_picture_time_and_layout") {
        return;
    }
    let _alone = alone("frames");
    let source = Source::playing(
        "libcamerasrc-rs name=source num-buffers=30 pace=true ! video/x-raw,width=1280,height=720,framerate=60/1",
    );
    let mut last: Option<(Option<gst::ClockTime>, u64)> = None;
    let mut count = 0;
    while let Some(sample) = source.pull() {
        count += 1;
        let buffer = sample.buffer().unwrap();
        assert!(levels(&sample) >= 8, "eight bars");
        let meta = buffer.meta::<gst_video::VideoMeta>().unwrap();
        assert_eq!(
            (meta.width(), meta.height(), meta.n_planes()),
            (1280, 720, 2)
        );
        assert_eq!(buffer.size(), 1280 * 720 * 3 / 2);
        let sensor = buffer.meta::<gst::ReferenceTimestampMeta>().unwrap();
        assert_eq!(
            sensor.reference().structure(0).unwrap().name(),
            "timestamp/x-system-monotonic"
        );
        let ago = gst::SystemClock::obtain().time() - sensor.timestamp();
        assert!(ago < gst::ClockTime::from_seconds(2), "{ago}");
        assert_eq!(
            buffer.duration(),
            Some(gst::ClockTime::from_nseconds(16_666_667))
        );
        assert_eq!(
            buffer.flags().contains(gst::BufferFlags::DISCONT),
            last.is_none()
        );
        if let Some((pts, offset)) = last {
            assert!(buffer.pts() > pts, "{:?} after {pts:?}", buffer.pts());
            assert_eq!(buffer.offset(), offset);
        }
        last = Some((buffer.pts(), buffer.offset_end()));
    }
    assert_eq!(count, 30);
}

/// It holds dozens of frames before the first one comes out.
#[test]
fn an_encoder_that_looks_ahead_never_stalls_the_camera() {
    let _alone = alone("x264enc");
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} num-buffers=200 pace=true ! video/x-raw,framerate=200/1 ! x264enc name=encoder"
    ));
    let lookahead: i32 = source
        .pipeline
        .by_name("encoder")
        .unwrap()
        .property("rc-lookahead");
    assert!(
        lookahead >= 40,
        "more than the camera has frames: {lookahead}"
    );
    assert_eq!(source.count(), 200);
    assert_eq!(source.error(), None);
}

#[test]
fn the_pace_is_held() {
    let _alone = alone("pace");
    let begun = Instant::now();
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} num-buffers=31 pace=true ! video/x-raw,framerate=20/1"
    ));
    let times: Vec<gst::ClockTime> = std::iter::from_fn(|| source.pull())
        .map(|sample| sample.buffer().unwrap().pts().unwrap())
        .collect();
    assert_eq!(times.len(), 31);
    // The first frame may come at once, before PLAYING; the other 30 a twentieth of a second apart.
    assert!(
        begun.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        begun.elapsed()
    );
    let span = times[30] - times[1];
    let expected = gst::ClockTime::from_mseconds(29 * 50);
    assert!(
        span.absdiff(expected) < gst::ClockTime::from_mseconds(500),
        "{span} for {expected}"
    );
}

#[test]
fn without_a_pace_the_camera_runs_freely() {
    if skips_with_libcamera_0_4("without_a_pace_the_camera_runs_freely") {
        return;
    }
    let _alone = alone("free running");
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} num-buffers=2000"
    ));
    assert_eq!(source.count(), 2000);
    assert!(source.counter("delivered") >= 2000);
    assert_eq!(source.counter("missed"), 0);
}

#[test]
fn an_end_that_is_asked_for_comes_behind_the_frames() {
    let _alone = alone("EOS");
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} pace=true"
    ));
    assert!(
        !source.element.send_event(gst::event::Eos::new()),
        "nothing can end in NULL"
    );
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    assert!(source.element.send_event(gst::event::Eos::new()));
    source.count();
    assert!(source.sink.is_eos());
    // The next start begins anew. (From NULL: an appsink of GStreamer 1.22 that goes to READY only still holds its own end.)
    source.set_state(gst::State::Null);
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
}

#[test]
fn an_end_and_a_stop_pass_a_sink_that_blocks() {
    let _alone = alone("blocked sink");
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    source.sink.set_property("max-buffers", 1u32);
    source.set_state(gst::State::Playing);
    wait_until("a full sink", SOON, || source.counter("delivered") >= 2);
    assert!(source.element.send_event(gst::event::Eos::new()));
    source.set_state(gst::State::Null);
}

#[test]
fn frames_of_a_pause_are_never_seen() {
    if skips_with_libcamera_0_4("frames_of_a_pause_are_never_seen") {
        return;
    }
    let _alone = alone("pause");
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} pace=true"
    ));
    source.pull().unwrap();
    source.set_state(gst::State::Paused);
    let captured = source.counter("captured");
    wait_until("frames captured in PAUSED", SOON, || {
        // What the sink holds already keeps frames from the camera.
        while source.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        source.counter("captured") > captured + 1
    });
    while source.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
    assert!(source.is_silent());
    // Sequence numbers begin at 0: these have been captured, and wait.
    let stale = source.counter("captured");
    source.set_state(gst::State::Playing);
    // The sink had one when the pause came, which it shows now.
    source.pull().unwrap();
    let first = source.pull().unwrap().buffer().unwrap().offset();
    assert!(
        first >= stale,
        "frame {first} was captured before frame {stale}"
    );
}

#[test]
fn a_flush_that_began_in_a_pause_keeps_nobody_from_playing() {
    let _alone = alone("flush in a pause");
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    // Or the flush would have the sink preroll anew.
    source.sink.set_property("async", false);
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    source.set_state(gst::State::Paused);
    assert!(source.element.send_event(gst::event::FlushStart::new()));
    let begun = Instant::now();
    source.set_state(gst::State::Playing);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(source.element.send_event(gst::event::FlushStop::new(true)));
    assert!(levels(&source.pull().unwrap()) >= 8);
    assert_eq!(source.error(), None);
}

#[test]
fn a_frame_is_back_when_its_last_memory_is_dropped() {
    let _alone = alone("frames kept");
    let source = Source::playing(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    let mut samples: Vec<gst::Sample> = Vec::new();
    // The sink keeps the last one itself, so that one less than all are ours.
    while let Some(sample) = source
        .sink
        .try_pull_sample(gst::ClockTime::from_mseconds(500))
    {
        samples.push(sample);
        assert!(samples.len() < 100, "frames without end");
    }
    assert!(samples.len() >= 3, "{} frames", samples.len());
    let memories: Vec<gst::Memory> = samples
        .iter()
        .map(|sample| sample.buffer().unwrap().memory(0).unwrap())
        .collect();
    drop(samples);
    assert!(
        source.is_silent(),
        "the buffers are back, their memory is not"
    );
    drop(memories);
    for _ in 0..100 {
        source.pull().unwrap();
    }
}

#[test]
fn the_pool_tells_when_a_frame_is_back() {
    let _alone = alone("buffer-notify");
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} pace=true"
    ));
    let sample = source.pull().unwrap();
    // SAFETY: a buffer that is alive holds its pool.
    let pool: Option<gst::BufferPool> =
        unsafe { glib::translate::from_glib_none((*sample.buffer().unwrap().as_ptr()).pool) };
    let pool = pool.expect("the frame comes from a pool");
    assert_eq!(pool.type_().name(), "GstLibcameraPoolRs");
    let notified = Arc::new(AtomicUsize::new(0));
    let counted = notified.clone();
    pool.connect("buffer-notify", false, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    drop(sample);
    for _ in 0..5 {
        source.pull().unwrap();
    }
    assert!(notified.load(Ordering::SeqCst) >= 4);
}

#[test]
fn a_sample_outlives_its_source_and_the_next_start() {
    let _alone = alone("samples kept");
    let kept: Vec<gst::Sample> = (0..3)
        .map(|_| {
            let source = Source::playing(&format!(
                "libcamerasrc-rs name=source camera-name={TINY} num-buffers=5"
            ));
            let sample = source.pull().unwrap();
            source.set_state(gst::State::Null);
            sample
        })
        .collect();
    for sample in &kept {
        assert!(levels(sample) >= 8);
    }
}

#[test]
fn caps_may_change_while_frames_flow() {
    let _alone = alone("renegotiation");
    let source = Source::playing(
        "libcamerasrc-rs name=source ! capsfilter name=filter caps=video/x-raw,width=640,height=480",
    );
    let filter = source.pipeline.by_name("filter").unwrap();
    let width = |sample: &gst::Sample| {
        let caps = sample.caps().unwrap();
        assert!(levels(sample) >= 8);
        caps.structure(0).unwrap().get::<i32>("width").unwrap()
    };
    for round in 0..10 {
        let wanted = [640, 1280, 1920][round % 3];
        filter.set_property(
            "caps",
            gst::Caps::builder("video/x-raw")
                .field("width", wanted)
                .build(),
        );
        let begun = Instant::now();
        while width(&source.pull().unwrap()) != wanted {
            assert!(begun.elapsed() < SOON, "never {wanted} wide");
        }
    }
    assert_eq!(source.error(), None);
}

#[test]
fn two_cameras_in_one_process() {
    let _alone = alone("two cameras");
    let first = Source::playing("libcamerasrc-rs name=source camera-name=Virtual0 num-buffers=20");
    let second = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} num-buffers=20"
    ));
    assert_eq!((first.count(), second.count()), (20, 20));
}

#[test]
fn latency_is_live_and_within_the_frames_that_may_wait() {
    let _alone = alone("latency");
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} pace=true ! video/x-raw,framerate=50/1"
    ));
    let mut query = gst::query::Latency::new();
    assert!(
        source.element.query(&mut query),
        "before the first frame, too"
    );
    assert!(query.result().0);
    source.pull().unwrap();
    let mut query = gst::query::Latency::new();
    assert!(source.element.query(&mut query));
    let (live, min, max) = query.result();
    assert!(live);
    assert!(
        min > gst::ClockTime::from_mseconds(20),
        "more than a frame: {min}"
    );
    assert!(
        max.unwrap() >= min + gst::ClockTime::from_mseconds(20),
        "{max:?}"
    );
}
