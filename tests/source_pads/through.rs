//! What goes through every pad: frames, flushes, pauses, and who they belong to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gst::prelude::*;

use super::{CAMERA, Pads, SINK, Sink, TWO, camera, common::source::alone};

#[test]
fn a_flush_reaches_every_pad_and_streaming_goes_on_in_a_new_segment() {
    let _alone = alone("flush");
    camera(2, 4);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let segments: Arc<[AtomicU64; 2]> = Arc::default();
    for (index, name) in ["src", "src_0"].into_iter().enumerate() {
        let segments = segments.clone();
        pads.pad(name)
            .add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if info.event().unwrap().type_() == gst::EventType::Segment {
                    segments[index].fetch_add(1, Ordering::SeqCst);
                }
                gst::PadProbeReturn::Ok
            })
            .unwrap();
    }
    for _ in 0..20 {
        a.pull();
        b.pull();
        assert!(pads.element.send_event(gst::event::FlushStart::new()));
        assert!(pads.element.send_event(gst::event::FlushStop::new(true)));
        a.pull();
        b.pull();
    }
    for segments in segments.iter() {
        let segments = segments.load(Ordering::SeqCst);
        assert!(segments >= 20, "{segments} segments for 20 flushes");
    }
    pads.no_error();
}

#[test]
fn nothing_flows_in_a_pause_and_nothing_stale_afterwards() {
    let _alone = alone("pause");
    camera(2, 4);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    a.pull();
    b.pull();
    pads.pipeline.set_state(gst::State::Paused).unwrap();
    assert!(a.is_silent() && b.is_silent());
    // All frames wait, and are old.
    let stale = pads.counter("src_0", "captured");
    pads.play();
    let newest = [a.sequence(), b.sequence()];
    assert!(
        newest.iter().all(|newest| *newest > stale),
        "{newest:?}, {stale} captured before"
    );
    pads.no_error();
}

#[test]
fn pads_are_one_group_with_ids_that_stay_the_same() {
    let _alone = alone("stream ids");
    camera(2, 4);
    let pads = Pads::new("pace=true", TWO);
    let mut seen = Vec::new();
    for _ in 0..2 {
        pads.play();
        let (a, b) = (pads.sink("a"), pads.sink("b"));
        a.pull();
        b.pull();
        let start = |sink: &Sink| {
            let pad = sink.0.static_pad("sink").unwrap();
            let start = pad.sticky_event::<gst::event::StreamStart>(0).unwrap();
            (start.stream_id().to_string(), start.group_id().unwrap())
        };
        let (first, second) = (start(&a), start(&b));
        assert_eq!(first.1, second.1, "one group");
        assert_ne!(first.0, second.0);
        seen.push((first.0, second.0));
        let latency = |name: &str| {
            let mut query = gst::query::Latency::new();
            assert!(pads.pad(name).query(&mut query));
            query.result()
        };
        let (live, min, max) = latency("src_0");
        assert!(live && min > gst::ClockTime::ZERO);
        assert!(max.is_some_and(|max| max > min), "{min}, {max:?}");
        assert!(latency("src").0);
        pads.pipeline.set_state(gst::State::Ready).unwrap();
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].0.contains(CAMERA), "{seen:?}");
}

#[test]
fn three_streams_of_the_virtual_camera() {
    let _alone = alone("virtual camera");
    let three = format!("{TWO} source.src_1 ! {SINK} name=c");
    let pads = Pads::of("Virtual0", "pace=true num-buffers=40", &three);
    pads.play();
    let sinks = [pads.sink("a"), pads.sink("b"), pads.sink("c")];
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = sinks
            .iter()
            .map(|sink| scope.spawn(|| sink.count()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(counts[0], 40);
    assert!(counts.iter().all(|count| *count >= 38), "{counts:?}");
    pads.no_error();
}
