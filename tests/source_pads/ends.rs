//! How streams end: asked for, counted, failed, stopped.

use std::time::Duration;

use gst::prelude::*;

use super::{
    Pads, SINK, TIMEOUT, TWO, camera,
    common::{random::Random, source::alone},
};

#[test]
fn the_number_of_buffers_and_an_end_reach_every_pad() {
    let _alone = alone("ends");
    camera(2, 4);
    let counted = Pads::playing("num-buffers=25", TWO);
    let (a, b) = (counted.sink("a"), counted.sink("b"));
    let other = std::thread::spawn(move || b.count());
    assert_eq!(a.count(), 25);
    assert!(other.join().unwrap() >= 20);
    drop(counted);

    let ended = Pads::playing("", TWO);
    let (a, b) = (ended.sink("a"), ended.sink("b"));
    a.pull();
    b.pull();
    assert!(ended.element.send_event(gst::event::Eos::new()));
    a.count();
    b.count();
    let end = [gst::MessageType::Eos];
    let bus = ended.pipeline.bus().unwrap();
    assert!(bus.timed_pop_filtered(TIMEOUT, &end).is_some());
    ended.no_error();
}

#[test]
fn a_branch_that_fails_is_one_error_and_a_branch_that_has_enough_is_none() {
    let _alone = alone("failing branch");
    camera(2, 4);
    let failing = Pads::playing(
        "",
        &format!("source.src ! {SINK} name=a source.src_0 ! identity error-after=5 ! fakesink"),
    );
    failing.error();
    failing.sink("a").count();
    drop(failing);

    let enough = Pads::playing(
        "",
        &format!("source.src ! {SINK} name=a source.src_0 ! identity eos-after=5 ! {SINK} name=b"),
    );
    let (a, b) = (enough.sink("a"), enough.sink("b"));
    b.count();
    let first = a.sequence();
    for _ in 0..50 {
        a.pull();
    }
    assert!(a.sequence() > first + 50);
    enough.no_error();
}

#[test]
fn pads_stop_at_any_moment() {
    let _alone = alone("stops");
    camera(1, 4);
    let pads = Pads::new("", TWO);
    let mut random = Random(3);
    for round in 0..100 {
        pads.play();
        if round % 2 == 0 {
            pads.sink("b").pull();
        }
        std::thread::sleep(Duration::from_micros(random.next(4000)));
        let states = [gst::State::Null, gst::State::Ready, gst::State::Paused];
        pads.pipeline.set_state(states[round % 3]).unwrap();
    }
    pads.no_error();
}
