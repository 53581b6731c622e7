//! Timestamps, of a live reader and of one that is not.

use std::time::Duration;

use gst::prelude::*;

use super::common::{
    rig::{Rig, alone, socket},
    source_rs::ShmReader,
};

/// Both pipelines live in this process, and have begun at different times; the second with another clock. Frames come to the sink some milliseconds after
/// their moment, and while it plays the sink is told once more to play, as by `sync_state_with_parent`.
#[test]
fn timestamps_are_the_producers_to_a_millisecond() {
    let _alone = alone("timestamps");
    let path = socket("timestamps");
    let producer = gst::parse::launch(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=64,height=48,framerate=60/1 ! identity sleep-time=3000 ! \
         shmsink-rs name=sink socket-path={path}"
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
    producer.state(gst::ClockTime::from_seconds(5)).0.unwrap();
    let sink = producer.by_name("sink").unwrap();
    assert_eq!(sink.current_state(), gst::State::Playing);
    sink.set_state(gst::State::Playing).unwrap();
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
