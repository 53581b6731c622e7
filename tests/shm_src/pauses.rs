//! Pauses: nothing stale afterwards, no stall, and an end in one.

use std::time::{Duration, Instant};

use gst::prelude::*;

use super::{
    common::{
        self,
        rig::{Rig, alone},
        source_rs::ShmReader,
        wait_until,
    },
    counter,
};

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
