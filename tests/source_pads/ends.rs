//! How streams end: asked for, counted, failed, stopped.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use gst::prelude::*;

use super::{
    Pads, SINK, SOON, TIMEOUT, TWO, camera,
    common::{random::Random, source::alone, wait_until},
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
fn a_branch_that_has_enough_while_the_camera_starts_anew_stops_no_other() {
    let _alone = alone("enough meanwhile");
    camera(2, 4);
    let pads = Pads::new(
        "all-streams=true",
        &format!(
            "source.src ! capsfilter name=size caps=video/x-raw,width=64 ! {SINK} name=a \
             source.src_0 ! identity name=enough eos-after=6 ! fakesink async=false"
        ),
    );
    // Its sixth frame is on its way until the other pad is asked for its caps, at which the plan has this one still.
    let (let_go, is_to_go) = mpsc::channel::<()>();
    let is_to_go = Mutex::new(is_to_go);
    let held = Arc::new(AtomicUsize::new(0));
    let count = held.clone();
    let enough = pads.pipeline.by_name("enough").unwrap();
    let sink = enough.static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if count.fetch_add(1, Ordering::SeqCst) == 5 {
            is_to_go.lock().unwrap().recv_timeout(SOON).unwrap();
        }
        gst::PadProbeReturn::Ok
    });
    pads.play();
    let a = pads.sink("a");
    a.until_width(64);
    wait_until("the frame is on its way", SOON, || {
        while a.0.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        held.load(Ordering::SeqCst) == 6
    });
    let size = pads.pipeline.by_name("size").unwrap();
    let ending = pads.pad("src_0");
    let asked = size.static_pad("sink").unwrap();
    asked.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let is_caps = matches!(info.query(), Some(query) if query.type_() == gst::QueryType::Caps);
        if is_caps && let_go.send(()).is_ok() {
            wait_until("the branch has enough", SOON, || {
                ending.pad_flags().contains(gst::PadFlags::EOS)
            });
        }
        gst::PadProbeReturn::Ok
    });
    size.set_property_from_str("caps", "video/x-raw,width=320");
    a.until_width(320);
    for _ in 0..100 {
        a.pull();
    }
    pads.no_error();
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
