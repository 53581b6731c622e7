//! Pads that are requested, linked, unlinked and released while the camera runs.

use std::time::Duration;

use gst::prelude::*;

use super::{
    Pads, SINK, SOON, Sink, TIMEOUT, TWO, camera,
    common::{source::alone, wait_until},
};

#[test]
fn only_a_request_pad_is_linked() {
    let _alone = alone("only src_0");
    camera(2, 4);
    let pads = Pads::new("num-buffers=20", &format!("source.src_0 ! {SINK} name=b"));
    for _ in 0..3 {
        pads.play();
        let b = pads.sink("b");
        let first = b.pull();
        assert!(first.buffer().unwrap().pts().is_some());
        assert_eq!(b.count(), 19);
        let end = [gst::MessageType::Eos];
        let bus = pads.pipeline.bus().unwrap();
        assert!(bus.timed_pop_filtered(TIMEOUT, &end).is_some());
        pads.pipeline.set_state(gst::State::Null).unwrap();
        pads.no_error();
    }
}

#[test]
fn a_source_that_nobody_links_says_so_once_however_many_frames_wait() {
    let _alone = alone("linked nowhere");
    camera(1, 8);
    let pads = Pads::new("", "fakesink async=false");
    // The frames that come meanwhile wait behind the first.
    pads.pad("src")
        .add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
            if matches!(info.event(), Some(event) if event.type_() == gst::EventType::Segment) {
                std::thread::sleep(Duration::from_millis(100));
            }
            gst::PadProbeReturn::Ok
        });
    pads.play();
    assert!(pads.error().starts_with("no pad of the camera is linked"));
    wait_until("the end", SOON, || {
        let flags = pads.pad("src").pad_flags();
        flags.contains(gst::PadFlags::EOS)
    });
    pads.no_error();
}

#[test]
fn src_is_unlinked_and_linked_again_while_the_other_streams() {
    let _alone = alone("relinking src");
    camera(10, 8);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let (src, sink) = (pads.pad("src"), a.0.static_pad("sink").unwrap());
    for _ in 0..10 {
        a.pull();
        src.unlink(&sink).unwrap();
        let first = b.sequence();
        for expected in first + 1..first + 10 {
            assert_eq!(b.sequence(), expected, "the other pad loses nothing");
        }
        while a.0.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        src.link(&sink).unwrap();
        a.pull();
    }
    pads.no_error();
}

#[test]
fn src_is_linked_only_when_the_other_already_streams() {
    let _alone = alone("linking src late");
    camera(3, 4);
    let pads = Pads::playing("", &format!("source.src_0 ! {SINK} name=b"));
    let b = pads.sink("b");
    b.pull();
    let a = gst::ElementFactory::make("appsink")
        .property("sync", false)
        .property("async", false)
        .build()
        .unwrap();
    pads.pipeline.add(&a).unwrap();
    a.sync_state_with_parent().unwrap();
    pads.element.link_pads(Some("src"), &a, None).unwrap();
    let a = Sink(a.downcast().unwrap());
    for _ in 0..20 {
        a.pull();
        b.pull();
    }
    pads.no_error();
}

#[test]
fn pads_come_and_go_while_the_camera_runs() {
    let _alone = alone("pads come and go");
    camera(2, 4);
    let pads = Pads::playing("", &format!("source.src ! {SINK} name=a"));
    let a = pads.sink("a");
    for _ in 0..20 {
        a.pull();
        let pad = pads.element.request_pad_simple("src_%u").unwrap();
        assert_eq!(pad.name(), "src_0");
        let sink = gst::ElementFactory::make("appsink")
            .property("sync", false)
            .property("async", false)
            .build()
            .unwrap();
        pads.pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        pad.link(&sink.static_pad("sink").unwrap()).unwrap();
        let b = Sink(sink.clone().downcast().unwrap());
        for _ in 0..5 {
            b.pull();
            a.pull();
        }
        pads.element.release_request_pad(&pad);
        let weak = pad.downgrade();
        drop(pad);
        for _ in 0..5 {
            a.pull();
        }
        sink.set_locked_state(true);
        sink.set_state(gst::State::Null).unwrap();
        pads.pipeline.remove(&sink).unwrap();
        // Messages of the pad's thread hold it.
        let bus = pads.pipeline.bus().unwrap();
        wait_until("the pad's end", SOON, || {
            while bus
                .pop_filtered(&[gst::MessageType::StreamStatus])
                .is_some()
            {}
            weak.upgrade().is_none()
        });
    }
    pads.no_error();
}

/// As applications swap a branch: the old one is stopped, which flushes it, and another one takes its place.
#[test]
fn a_branch_is_swapped_while_the_camera_runs() {
    let _alone = alone("swapping branches");
    camera(3, 4);
    let pads = Pads::playing(
        "",
        &format!("source.src ! {SINK} name=a source.src_0 ! {SINK} name=b"),
    );
    let a = pads.sink("a");
    let pad = pads.pad("src_0");
    let mut branch = pads.pipeline.by_name("b").unwrap();
    for _ in 0..50 {
        let b = Sink(branch.clone().downcast().unwrap());
        b.pull();
        a.pull();
        branch.set_locked_state(true);
        branch.set_state(gst::State::Null).unwrap();
        pad.unlink(&branch.static_pad("sink").unwrap()).unwrap();
        pads.pipeline.remove(&branch).unwrap();
        // An appsink keeps the last frame that was pulled, and its messages keep the appsink.
        pads.no_error();
        let bus = pads.pipeline.bus().unwrap();
        while bus.pop().is_some() {}
        branch = gst::ElementFactory::make("appsink")
            .property("sync", false)
            .property("async", false)
            .build()
            .unwrap();
        pads.pipeline.add(&branch).unwrap();
        branch.sync_state_with_parent().unwrap();
        pad.link(&branch.static_pad("sink").unwrap()).unwrap();
    }
    a.pull();
    pads.no_error();
}

#[test]
fn the_number_of_buffers_is_counted_by_another_pad_when_the_first_one_goes() {
    let _alone = alone("num-buffers without src");
    camera(2, 4);
    let two = format!("source.src_0 ! {SINK} name=a source.src_1 ! {SINK} name=b");
    let pads = Pads::playing("num-buffers=60", &two);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    a.pull();
    pads.element.release_request_pad(&pads.pad("src_0"));
    assert!(b.count() > 10);
    pads.no_error();
}
