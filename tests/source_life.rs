//! The life of a `libcamerasrc-rs` in an application: stopped from strange places, dropped in every state, together with others.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use common::{
    holdings,
    source::{Source, TINY, alone, levels},
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

fn tiny(rest: &str) -> Source {
    Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} {rest}"
    ))
}

/// Tells when the pipeline has been taken to NULL by something that is started at the third buffer on the named element's source pad.
fn stopped_by_a_probe(
    source: &Source,
    element: &str,
    stop: impl Fn(&gst::Pipeline) + Send + Sync + 'static,
) -> Receiver<()> {
    let (done, wait) = channel();
    let pipeline = source.pipeline.downgrade();
    let pad = source
        .pipeline
        .by_name(element)
        .unwrap()
        .static_pad("src")
        .unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 2
            && let Some(pipeline) = pipeline.upgrade()
        {
            stop(&pipeline);
            let _ = done.send(());
        }
        gst::PadProbeReturn::Ok
    });
    wait
}

#[test]
fn an_application_may_stop_it_from_a_probe() {
    let _alone = alone("stop from a probe");
    for _ in 0..10 {
        // From our own streaming thread GStreamer wants it done asynchronously.
        let source = tiny("");
        let stopped = stopped_by_a_probe(&source, "source", |pipeline| {
            pipeline.call_async(|pipeline| {
                pipeline.set_state(gst::State::Null).unwrap();
            });
        });
        source.pipeline.set_state(gst::State::Playing).unwrap();
        stopped.recv_timeout(SOON).unwrap();
        wait_until("NULL", SOON, || {
            source.pipeline.current_state() == gst::State::Null
        });
    }
}

#[test]
fn the_source_alone_may_be_stopped_directly_behind_a_queue() {
    let _alone = alone("stop behind a queue");
    for _ in 0..10 {
        let source = tiny("! queue name=queue leaky=downstream");
        let element = source.element.downgrade();
        let stopped = stopped_by_a_probe(&source, "queue", move |_| {
            let element = element.upgrade().unwrap();
            element.set_locked_state(true);
            element.set_state(gst::State::Null).unwrap();
        });
        source.pipeline.set_state(gst::State::Playing).unwrap();
        stopped.recv_timeout(SOON).unwrap();
        assert_eq!(source.element.current_state(), gst::State::Null);
    }
}

#[test]
fn it_may_be_dropped_in_every_state_with_frames_out() {
    let _alone = alone("drops");
    let round = |state: gst::State| {
        let source = tiny("");
        source.pipeline.set_state(state).unwrap();
        let sample = (state == gst::State::Playing).then(|| source.pull().unwrap());
        let pipeline = source.pipeline.downgrade();
        drop(source);
        assert!(pipeline.upgrade().is_none(), "something keeps the pipeline");
        sample
    };
    let states = [
        gst::State::Null,
        gst::State::Ready,
        gst::State::Paused,
        gst::State::Playing,
    ];
    states.into_iter().for_each(|state| drop(round(state)));
    let (fds, threads, _) = holdings();
    let mut samples = Vec::new();
    for _ in 0..10 {
        samples.extend(states.into_iter().filter_map(round));
    }
    assert!(
        samples.iter().all(|sample| levels(sample) >= 8),
        "frames outlive their source"
    );
    drop(samples);
    wait_until("threads to end", SOON, || {
        holdings().1.len() <= threads.len()
    });
    assert!(
        holdings().0 <= fds,
        "{} file descriptors, {fds} before",
        holdings().0
    );
}

#[test]
fn it_opens_again_while_another_camera_is_used() {
    let _alone = alone("reopening");
    let other = Source::playing("libcamerasrc-rs name=source camera-name=Virtual0 pace=true");
    let source = tiny("num-buffers=10");
    let mut kept = Vec::new();
    for _ in 0..30 {
        source.set_state(gst::State::Playing);
        kept.push(source.pull().unwrap());
        assert_eq!(source.count(), 9);
        source.set_state(gst::State::Null);
        other.pull().unwrap();
    }
    assert!(kept.iter().all(|sample| levels(sample) >= 8));
    assert_eq!(other.error(), None);
}

#[test]
fn another_camera_can_be_chosen_between_two_starts() {
    let _alone = alone("another camera");
    let source = tiny("num-buffers=3");
    for camera in [TINY, "Virtual0", TINY] {
        source.element.set_property("camera-name", camera);
        source.set_state(gst::State::Playing);
        assert_eq!(source.count(), 3);
        source.set_state(gst::State::Null);
    }
}

/// Memory of frames that this process has mapped, and the files that it has open.
fn frames_held() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let frames = maps.lines().filter(|line| line.contains("frame"));
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (frames.count(), files)
}

#[test]
fn two_hundred_changes_of_size_leave_nothing_behind() {
    let _alone = alone("changes of size");
    let source = Source::playing(
        "libcamerasrc-rs name=source camera-name=Virtual0 ! capsfilter name=filter caps=video/x-raw,width=640",
    );
    let filter = source.pipeline.by_name("filter").unwrap();
    let mut kept = Vec::new();
    let mut early = (0, 0);
    for round in 0..200usize {
        let wanted = [1280, 640][round % 2];
        let caps = format!("video/x-raw,width={wanted}");
        filter.set_property_from_str("caps", &caps);
        loop {
            let sample = source.pull().unwrap();
            let caps = sample.caps().unwrap();
            if caps.structure(0).unwrap().get::<i32>("width").unwrap() != wanted {
                continue;
            }
            // What the application keeps stays, and keeps no more than itself.
            if round < 2 {
                assert!(levels(&sample) >= 8);
                kept.push(sample);
            }
            break;
        }
        if round == 20 {
            early = frames_held();
        }
    }
    let (maps, files) = frames_held();
    assert!(
        maps <= early.0 + 4 && files <= early.1 + 4,
        "{early:?} after 20 changes, {:?} after 200",
        (maps, files)
    );
    assert!(kept.iter().all(|sample| levels(sample) >= 8));
    assert_eq!(source.error(), None);
}
