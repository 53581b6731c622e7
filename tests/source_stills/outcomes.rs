//! What becomes of a still: it is done, refused, or fails and says why; one outcome each.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gst::{meta::CustomMeta, prelude::*};
use gstlibcamerars::backend::simulated::Fault;

use super::{
    Rig, SOON, TIMEOUT, camera,
    common::{self, random::Random, source::alone, wait_until},
    id, metadata, next, number, with_stills,
};

#[test]
fn what_cannot_be_taken_is_refused() {
    let _alone = alone("refusals");
    camera(Duration::from_millis(5));
    let rig = with_stills();
    assert_eq!(
        rig.capture(Some("src_0"), None),
        0,
        "it does not stream yet"
    );
    rig.play();
    rig.captured(Some("src_0"), None);
    assert_eq!(rig.capture(Some("src"), None), 0, "a pad that streams");
    assert_eq!(rig.capture(Some("src_0"), Some("ANY")), 0);
    assert_eq!(rig.capture(Some("src_0"), Some("EMPTY")), 0);
    let other = gst::Pad::new(gst::PadDirection::Src);
    let id: u64 = rig
        .element
        .emit_by_name("capture-still", &[&Some(other), &None::<gst::Caps>]);
    assert_eq!(id, 0, "another element's pad");
    assert_eq!(rig.outcomes(1).len(), 1);
    // A control that there is not costs a warning, not the picture.
    rig.captured(
        Some("src_0"),
        Some("controls,nonsense=1,exposure-time=(string)long"),
    );
    assert_eq!(rig.outcomes(2)[1].get::<&str>("result").unwrap(), "done");
    let warnings = [gst::MessageType::Warning];
    let bus = rig.pipeline.bus().unwrap();
    for _ in 0..2 {
        bus.timed_pop_filtered(TIMEOUT, &warnings)
            .expect("a warning");
    }
}

#[test]
fn a_still_that_the_camera_does_not_fill_fails_and_the_stream_goes_on() {
    let _alone = alone("unfilled");
    let script = camera(Duration::from_millis(5));
    let rig = with_stills();
    rig.play();
    rig.captured(Some("src_0"), None);
    next(&rig.sink("stills"));
    let mut failed = 0;
    let begun = Instant::now();
    for count in 2.. {
        // They may hit requests before the still's.
        if failed == 5 {
            break;
        }
        assert!(begun.elapsed() < SOON, "{failed} faults have hit a still");
        (0..3).for_each(|_| script.fault(Fault::Cancelled));
        rig.captured(Some("src_0"), None);
        let outcome = rig.outcomes(count).pop().unwrap();
        if outcome.get::<&str>("result").unwrap() == "failed" {
            failed += 1;
            let reason: &str = outcome.get("reason").unwrap();
            assert!(reason.contains("unfilled"), "{reason}");
        } else {
            next(&rig.sink("stills"));
        }
        next(&rig.sink("video"));
    }
    rig.no_error();
}

#[test]
fn what_waits_fails_when_the_stream_ends_the_pad_goes_or_the_camera_stops() {
    let _alone = alone("ends");
    let failed = |rig: &Rig, count: usize, word: &str| {
        let outcomes = rig.outcomes(count);
        assert_eq!(outcomes.len(), count);
        for outcome in outcomes {
            let reason: &str = outcome.get("reason").unwrap();
            assert!(reason.contains(word), "{reason}");
        }
    };
    let stalled = || {
        let script = camera(Duration::from_millis(5));
        let rig = with_stills();
        rig.play();
        next(&rig.sink("video"));
        script.stall(true);
        // More than the camera has requests for.
        assert!(rig.captured(Some("src_0"), Some(&["controls"; 9].join(";"))) > 0);
        (script, rig)
    };
    let (_script, rig) = stalled();
    rig.pipeline.set_state(gst::State::Null).unwrap();
    failed(&rig, 9, "stopped");

    let (script, rig) = stalled();
    script.vanish();
    wait_until("the error", SOON, || {
        let wanted = [gst::MessageType::Error];
        rig.pipeline.bus().unwrap().pop_filtered(&wanted).is_some()
    });
    rig.pipeline.set_state(gst::State::Null).unwrap();
    failed(&rig, 9, "ended");

    let (script, rig) = stalled();
    rig.element.send_event(gst::event::Eos::new());
    script.stall(false);
    // What the camera had is taken or not; what waited is not.
    let outcomes = rig.outcomes(9);
    let reason = |outcome: &gst::Structure| outcome.get::<String>("reason").unwrap_or_default();
    let ended = outcomes
        .iter()
        .filter(|outcome| reason(outcome).contains("ended"));
    assert!(ended.count() >= 5, "{outcomes:?}");
    assert_eq!(rig.capture(Some("src_0"), None), 0, "after the end");
    drop(rig);

    let (script, rig) = stalled();
    let pad = rig.element.static_pad("src_0").unwrap();
    let sink = pad.peer().unwrap();
    pad.unlink(&sink).unwrap();
    rig.element.release_request_pad(&pad);
    script.stall(false);
    let outcomes = rig.outcomes(9);
    let gone = outcomes
        .iter()
        .filter(|outcome| reason(outcome).contains("released"));
    assert!(outcomes.len() == 9 && gone.count() >= 5, "{outcomes:?}");
    next(&rig.sink("video"));
    rig.no_error();
}

#[test]
fn of_the_latest_only_one_is_done() {
    let _alone = alone("stills of the latest");
    camera(Duration::from_millis(5));
    let rig = with_stills();
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("outbox", "latest");
    let sink = rig.sink("stills");
    sink.set_property("max-buffers", 1u32);
    rig.play();
    // One fills the sink, another waits in its thread, and of the rest the newest waits.
    rig.captured(Some("src_0"), Some(&["controls"; 6].join(";")));
    wait_until("what was replaced", SOON, || {
        let told = rig.told.lock().unwrap();
        let dropped = told.iter().filter(|still| {
            still
                .get::<&str>("reason")
                .is_ok_and(|reason| reason.contains("dropped"))
        });
        dropped.count() > 0
    });
    let mut buffers = 0;
    while sink
        .try_pull_sample(gst::ClockTime::from_mseconds(300))
        .is_some()
    {
        buffers += 1;
    }
    let outcomes = rig.outcomes(6);
    let done = outcomes
        .iter()
        .filter(|still| still.get::<&str>("result") == Ok("done"));
    assert_eq!(done.count(), buffers, "{outcomes:?}");
}

/// The camera's default where the application has set nothing; and that is not the application's wish.
#[test]
fn a_control_that_nobody_set_is_the_camera_s_again() {
    let _alone = alone("restored defaults");
    let script = camera(Duration::from_millis(5));
    let rig = with_stills();
    rig.play();
    rig.captured(Some("src_0"), Some("controls,exposure-time=9000"));
    let still = metadata(&next(&rig.sink("stills")));
    assert_eq!(still.get::<i32>("exposure-time").unwrap(), 9000);
    wait_until("it is as before", SOON, || {
        let told = script.told();
        told.last() == Some(&(id("ExposureTime"), number(40)))
    });
    rig.captured(Some("src_0"), Some("controls,exposure-time=9000"));
    rig.pipeline.set_state(gst::State::Null).unwrap();
    let wished: gst::Structure = rig.element.property("extra-controls");
    assert_eq!(wished.n_fields(), 0, "{wished}");
}

#[test]
fn a_handler_may_ask_for_the_next_one() {
    let _alone = alone("stills from a handler");
    camera(Duration::from_millis(2));
    let rig = with_stills();
    let element = rig.element.downgrade();
    let again: Arc<Mutex<u32>> = Arc::default();
    let asked = again.clone();
    rig.sink("stills").set_property("drop", true);
    rig.sink("stills").set_property("max-buffers", 1u32);
    rig.pipeline.bus().unwrap().unset_sync_handler();
    rig.pipeline
        .bus()
        .unwrap()
        .set_sync_handler(move |_, message| {
            if message
                .structure()
                .is_some_and(|told| told.name() == "libcamerasrc-still")
                && let Some(element) = element.upgrade()
            {
                let pad = element.static_pad("src_0");
                let id: u64 = element.emit_by_name("capture-still", &[&pad, &None::<gst::Caps>]);
                let modes: gst::Array = element.property("sensor-modes");
                assert_eq!(modes.len(), 0);
                *asked.lock().unwrap() += u32::from(id > 0);
            }
            gst::BusSyncReply::Pass
        });
    rig.play();
    rig.captured(Some("src_0"), None);
    wait_until("fifty in a row", SOON, || *again.lock().unwrap() >= 50);
    rig.no_error();
}

const SEED: u64 = 0x5deece66d;

/// Each that was taken on has one outcome, whatever else happens to the element at the same time.
#[test]
fn every_still_has_one_outcome() {
    let _alone = alone("one outcome");
    camera(Duration::from_micros(500));
    let rig = with_stills();
    rig.sink("stills").set_property("drop", true);
    rig.sink("stills").set_property("max-buffers", 1u32);
    let pushed: Arc<Mutex<Vec<u64>>> = Arc::default();
    let seen = pushed.clone();
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let meta = CustomMeta::from_buffer(info.buffer().unwrap(), "libcamera").unwrap();
        seen.lock()
            .unwrap()
            .push(meta.structure().get("still-id").unwrap());
        gst::PadProbeReturn::Ok
    });
    let rounds = common::scale(60, 2000);
    let stop: Arc<AtomicBool> = Arc::default();
    let accepted: HashMap<u64, usize> = thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut accepted = HashMap::new();
            let mut random = Random(SEED);
            while !stop.load(Ordering::Relaxed) {
                let count = 1 + random.next(4) as usize;
                let id = rig.capture(Some("src_0"), Some(&vec!["controls"; count].join(";")));
                if id > 0 {
                    accepted.insert(id, count);
                }
                thread::sleep(Duration::from_micros(random.next(400)));
            }
            accepted
        });
        let mut random = Random(SEED + 1);
        for _ in 0..rounds {
            rig.play();
            thread::sleep(Duration::from_micros(random.next(20_000)));
            let state = [gst::State::Paused, gst::State::Ready, gst::State::Null];
            let state = state[random.next(3) as usize];
            rig.pipeline.set_state(state).unwrap();
        }
        rig.pipeline.set_state(gst::State::Null).unwrap();
        stop.store(true, Ordering::Relaxed);
        caller.join().unwrap()
    });
    let outcomes = rig.told.lock().unwrap().clone();
    let done = outcomes
        .iter()
        .filter(|still| still.get::<&str>("result") == Ok("done"));
    let (done, pushed) = (done.count() as u64, pushed.lock().unwrap().len() as u64);
    // A pad that is shut down in between pushes nothing.
    assert!(
        done >= pushed && done - pushed <= rounds,
        "{done} done, {pushed} pushed"
    );
    let mut told: HashMap<u64, Vec<u32>> = HashMap::new();
    for outcome in &outcomes {
        let index = outcome.get("index").unwrap();
        told.entry(outcome.get("id").unwrap())
            .or_default()
            .push(index);
    }
    assert!(accepted.len() > 50, "{} captures", accepted.len());
    assert_eq!(told.len(), accepted.len());
    for (id, count) in accepted {
        let mut told = told.remove(&id).unwrap_or_default();
        told.sort_unstable();
        let all: Vec<u32> = (0..count as u32).collect();
        assert_eq!(told, all, "capture {id}");
    }
}
