//! A stream that has no free frame costs the others none.

use std::time::Duration;

use gst::prelude::*;

use super::{
    Pads, SINK, SOON, TWO, camera,
    common::{random::Random, source::alone, wait_until},
};

#[test]
fn two_streams_get_the_full_rate_when_frames_return_in_any_order() {
    let _alone = alone("random returns");
    camera(15, 8);
    let pads = Pads::playing("", TWO);
    let sinks = [pads.sink("a"), pads.sink("b")];
    let mut random = Random(5);
    let mut held: [Vec<gst::Sample>; 2] = Default::default();
    let mut last = [None::<u64>; 2];
    for _ in 0..150 {
        for ((sink, held), last) in sinks.iter().zip(&mut held).zip(&mut last) {
            let sample = sink.pull();
            let sequence = sample.buffer().unwrap().offset();
            if let Some(last) = *last {
                assert_eq!(sequence, last + 1, "a frame of the sensor is missing");
            }
            *last = Some(sequence);
            held.push(sample);
            while held.len() > random.next(3) as usize {
                let which = random.next(held.len() as u64) as usize;
                drop(held.swap_remove(which));
            }
        }
    }
    assert_eq!(pads.counter("src", "left-out"), 0);
    assert_eq!(pads.counter("src_0", "left-out"), 0);
    pads.no_error();
}

#[test]
fn a_starved_stream_costs_the_other_no_frame() {
    let _alone = alone("one starved");
    camera(10, 8);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let held: Vec<gst::Sample> = (0..8).map(|_| b.pull()).collect();
    // The requests that carried both have come back.
    for _ in 0..16 {
        a.pull();
    }
    let first = a.sequence();
    for expected in first + 1..first + 100 {
        assert_eq!(a.sequence(), expected);
    }
    assert!(pads.counter("src_0", "left-out") >= 90);
    assert!(b.is_silent());
    drop(held);
    b.pull();
    b.pull();
    assert!(
        pads.counter("src_0", "starved") > 800_000_000,
        "it had no frame for a second"
    );
    pads.no_error();
}

#[test]
fn all_streams_or_none_when_that_is_asked_for() {
    let _alone = alone("all streams");
    camera(5, 4);
    let pads = Pads::playing("all-streams=true", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let held: Vec<gst::Sample> = (0..4).map(|_| b.pull()).collect();
    wait_until("a stop of both", SOON, || a.is_silent());
    drop(held);
    for _ in 0..20 {
        a.pull();
        b.pull();
    }
    assert_eq!(pads.counter("src_0", "left-out"), 0);
}

#[test]
fn an_idle_starved_pipeline_rests() {
    let _alone = alone("starved and idle");
    camera(0, 4);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let held: Vec<gst::Sample> = (0..4).flat_map(|_| [a.pull(), b.pull()]).collect();
    let wake_ups = || pads.stats().get::<u64>("wake-ups").unwrap();
    let before = wake_ups();
    std::thread::sleep(Duration::from_millis(500));
    let rounds = wake_ups() - before;
    println!("wake-ups in half a second without a free frame: {rounds}");
    assert!(rounds <= 2, "{rounds} wake-ups for nothing");
    drop(held);
    a.pull();
    b.pull();
}

#[test]
fn the_newest_frame_is_what_a_slow_branch_of_the_latest_gets() {
    let _alone = alone("outbox=latest");
    camera(2, 6);
    let slow = format!("source.src ! {SINK} name=a source.src_0 ! {SINK} name=b max-buffers=1");
    let pads = Pads::playing("src_0::outbox=latest", &slow);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    assert!(
        pads.pad("src_0")
            .property_value("outbox")
            .serialize()
            .unwrap()
            == "latest"
    );
    for _ in 0..100 {
        a.pull();
    }
    // One in the sink, one that its thread holds; the next is the newest.
    b.pull();
    b.pull();
    b.pull();
    let newest = a.sequence();
    let seen = b.sequence();
    assert!(seen + 20 > newest, "{seen}, and the camera is at {newest}");
    assert!(pads.counter("src_0", "dropped") > 50);
    assert_eq!(pads.counter("src_0", "left-out"), 0);
}
