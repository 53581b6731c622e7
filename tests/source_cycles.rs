//! Starts and stops of `libcamerasrc-rs`, as many as it takes for a rare hang to show: no hang, no crash, nothing left.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    holdings,
    source::{Source, TINY, alone},
    wait_until,
    watchdog::Watchdog,
};
use gst::prelude::*;

const CYCLES: u64 = 200;

fn thirty_frames(camera: &str) {
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={camera} num-buffers=30"
    ));
    assert_eq!(source.count(), 30);
}

#[test]
fn two_hundred_sources_in_one_process() {
    let _alone = alone("cycles");
    // GStreamer keeps idle threads for a while; one round makes those that there will be.
    thirty_frames(TINY);
    let (fds, threads, _) = holdings();
    for cycle in 0..CYCLES {
        thirty_frames(if cycle % 4 == 0 { "Virtual0" } else { TINY });
    }
    wait_until("threads to end", Duration::from_secs(10), || {
        holdings().1.len() <= threads.len()
    });
    assert!(
        holdings().0 <= fds,
        "{} file descriptors, {fds} before",
        holdings().0
    );
}

#[test]
fn two_hundred_starts_of_one_source() {
    let _alone = alone("restarts");
    // Not an appsink: that of GStreamer 1.22 still holds its end after a restart from READY.
    let pipeline = gst::parse::launch(&format!(
        "libcamerasrc-rs camera-name={TINY} num-buffers=30 ! fakesink name=counted sync=false signal-handoffs=true"
    ));
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let counted = seen.clone();
    pipeline
        .by_name("counted")
        .unwrap()
        .connect("handoff", false, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        });
    let bus = pipeline.bus().unwrap();
    for cycle in 0..CYCLES {
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &end);
        assert!(
            matches!(
                message.as_ref().map(|message| message.type_()),
                Some(gst::MessageType::Eos)
            ),
            "{message:?}"
        );
        assert_eq!(seen.swap(0, Ordering::SeqCst), 30, "cycle {cycle}");
        pipeline
            .set_state([gst::State::Null, gst::State::Ready][cycle as usize % 2])
            .unwrap();
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn stops_at_any_moment() {
    let _alone = alone("random stops");
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    source.sink.set_property("max-buffers", 2u32);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for cycle in 0..CYCLES {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let states = [gst::State::Ready, gst::State::Paused, gst::State::Playing];
        source
            .pipeline
            .set_state(states[(random % 3) as usize])
            .unwrap();
        // A moment that differs from cycle to cycle is what is tested, not how long it is.
        thread::sleep(Duration::from_micros(random >> 8 & 0xfff));
        if cycle % 3 == 0 {
            let _ = source
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(1));
        }
        if random & 1 << 40 == 0 {
            source.set_state(gst::State::Null);
        }
    }
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
}

const FRESH: &str = "SOURCE_FRESH";

/// Not a test of its own: the next one runs it, in a process each time.
#[test]
fn fresh_process() {
    if std::env::var_os(FRESH).is_none() {
        return;
    }
    let _alone = alone("fresh process");
    thirty_frames(TINY);
    println!("thirty frames");
}

#[test]
fn two_hundred_fresh_processes() {
    let _alone = alone("fresh processes, started");
    drop(_alone.1);
    let _watchdog = Watchdog::new("fresh processes", Duration::from_secs(180));
    let begun = Instant::now();
    for cycle in 0..CYCLES {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["fresh_process", "--exact", "--nocapture"])
            .env(FRESH, "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("thirty frames"),
            "process {cycle}: {output:?}"
        );
    }
    println!("{CYCLES} processes in {:?}", begun.elapsed());
}

/// A pause that is over before the source's thread has noticed it.
#[test]
fn it_plays_after_a_pause_however_short() {
    let _alone = alone("short pauses");
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    source.sink.set_property("max-buffers", 1u32);
    // An appsink of GStreamer 1.22 that blocks can hang when it is paused.
    source.sink.set_property("drop", true);
    source.sink.set_property("async", false);
    for _ in 0..CYCLES * 10 {
        source.pipeline.set_state(gst::State::Playing).unwrap();
        source.pull().unwrap();
        source.pipeline.set_state(gst::State::Paused).unwrap();
    }
    source.pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(source.error(), None);
}
