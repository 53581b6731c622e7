//! Several pads of one `libcamerasrc-rs`: each gets its stream, and none waits for another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::{random::Random, source::alone, wait_until};
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Script, Spec, plug};

const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);
const CAMERA: &str = "simulated-streams";

fn camera(interval_ms: u64, frames: u32) -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval: Duration::from_millis(interval_ms),
        frames,
        padding: 0,
        ..Spec::default()
    })
}

/// A pipeline whose source is named `source`; NULL when dropped.
struct Pads {
    pipeline: gst::Pipeline,
    element: gst::Element,
}

impl Pads {
    fn of(camera: &str, source: &str, rest: &str) -> Self {
        let description =
            format!("libcamerasrc-rs name=source camera-name={camera} {source} {rest}");
        let pipeline = gst::parse::launch(&description)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let element = pipeline.by_name("source").unwrap();
        Self { pipeline, element }
    }

    /// `rest` names the branches: `source.src ! ...  source.src_0 ! ...`.
    fn new(source: &str, rest: &str) -> Self {
        Self::of(CAMERA, source, rest)
    }

    fn playing(source: &str, rest: &str) -> Self {
        let pads = Self::new(source, rest);
        pads.play();
        pads
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    fn sink(&self, name: &str) -> Sink {
        Sink(self.pipeline.by_name(name).unwrap().downcast().unwrap())
    }

    fn pad(&self, name: &str) -> gst::Pad {
        self.element.static_pad(name).unwrap()
    }

    fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    /// 0 while the pad has no stream.
    fn counter(&self, pad: &str, name: &str) -> u64 {
        let pads = self.stats().get::<gst::Structure>("pads");
        let pad = pads.and_then(|pads| pads.get::<gst::Structure>(pad));
        pad.map_or(0, |pad| pad.get(name).unwrap())
    }

    fn no_error(&self) {
        let wanted = [gst::MessageType::Error];
        let error = self.pipeline.bus().unwrap().pop_filtered(&wanted);
        assert!(error.is_none(), "{error:?}");
    }

    fn error(&self) -> String {
        let wanted = [gst::MessageType::Error];
        let bus = self.pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(TIMEOUT, &wanted).expect("an error");
        match message.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => unreachable!(),
        }
    }
}

impl Drop for Pads {
    fn drop(&mut self) {
        let begun = Instant::now();
        let _ = self.pipeline.set_state(gst::State::Null);
        assert!(begun.elapsed() < Duration::from_secs(2), "NULL is late");
    }
}

struct Sink(gst_app::AppSink);

impl Sink {
    fn next(&self) -> Option<gst::Sample> {
        match self.0.try_pull_sample(TIMEOUT) {
            Some(sample) => Some(sample),
            None if self.0.is_eos() => None,
            None => panic!("no frame and no end in {TIMEOUT} at {}", self.0.name()),
        }
    }

    fn pull(&self) -> gst::Sample {
        self.next().unwrap_or_else(|| {
            let bus = self.0.bus().unwrap();
            let error = bus.pop_filtered(&[gst::MessageType::Error]);
            panic!("the end instead of a frame: {error:?}")
        })
    }

    fn sequence(&self) -> u64 {
        self.pull().buffer().unwrap().offset()
    }

    fn width(&self) -> i32 {
        let sample = self.pull();
        sample
            .caps()
            .unwrap()
            .structure(0)
            .unwrap()
            .get("width")
            .unwrap()
    }

    fn until_width(&self, width: i32) {
        wait_until("another size", SOON, || self.width() == width);
    }

    fn count(&self) -> usize {
        std::iter::from_fn(|| self.next()).count()
    }

    fn is_silent(&self) -> bool {
        while self.0.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        let wait = gst::ClockTime::from_mseconds(200);
        self.0.try_pull_sample(wait).is_none()
    }
}

const SINK: &str = "appsink sync=false async=false";
const TWO: &str = "source.src ! appsink name=a sync=false async=false \
                   source.src_0 ! appsink name=b sync=false async=false";

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

fn sized(name: &str, sink: &str) -> String {
    format!(
        "source.{sink} ! capsfilter name=size-{name} caps=video/x-raw,width=320 ! {SINK} name={name} max-buffers=1"
    )
}

fn ask_for(pads: &Pads, name: &str, width: i32) {
    let filter = pads.pipeline.by_name(&format!("size-{name}")).unwrap();
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", width)
        .build();
    filter.set_property("caps", &caps);
}

#[test]
fn each_pad_may_change_its_caps_while_all_stream() {
    let _alone = alone("changing caps");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    for width in [640, 64, 320, 640] {
        ask_for(&pads, "b", width);
        std::thread::scope(|scope| {
            // Both are pulled, or one would block.
            scope.spawn(|| b.until_width(width));
            a.until_width(320);
        });
        while b.width() != width {
            a.0.try_pull_sample(gst::ClockTime::ZERO);
        }
        assert_eq!(a.width(), 320);
    }
    ask_for(&pads, "a", 64);
    while a.width() != 64 {
        b.0.try_pull_sample(gst::ClockTime::ZERO);
    }
    assert_eq!(b.width(), 640);
    pads.no_error();
}

#[test]
fn src_changes_while_the_other_branch_is_blocked() {
    let _alone = alone("src changes, src_0 blocked");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    a.pull();
    wait_until("a blocked branch", SOON, || {
        a.0.try_pull_sample(gst::ClockTime::ZERO);
        pads.counter("src_0", "starved") > 0 || pads.counter("src_0", "left-out") > 3
    });
    ask_for(&pads, "a", 640);
    a.until_width(640);
    for _ in 0..50 {
        assert_eq!(a.width(), 640);
    }
    for _ in 0..10 {
        assert_eq!(b.width(), 320);
        a.0.try_pull_sample(gst::ClockTime::ZERO);
    }
    pads.no_error();
}

#[test]
fn the_other_changes_while_the_branch_of_src_is_blocked() {
    let _alone = alone("src_0 changes, src blocked");
    camera(2, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    wait_until("a blocked branch", SOON, || {
        b.0.try_pull_sample(gst::ClockTime::ZERO);
        pads.counter("src", "left-out") > 3
    });
    ask_for(&pads, "b", 640);
    // The change waits for the branch of `src`, and the stream goes on meanwhile.
    for _ in 0..3 {
        b.0.try_pull_sample(gst::ClockTime::from_mseconds(100));
    }
    pads.no_error();
    wait_until("the change", SOON, || {
        a.0.try_pull_sample(gst::ClockTime::ZERO);
        let sample = b.0.try_pull_sample(gst::ClockTime::from_mseconds(20));
        sample.is_some_and(|sample| {
            let caps = sample.caps().unwrap().structure(0).unwrap();
            caps.get::<i32>("width").unwrap() == 640
        })
    });
    pads.no_error();
}

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
fn rates_that_differ_are_an_error_that_says_so() {
    let _alone = alone("two rates");
    camera(10, 4);
    let rate =
        |pad: &str, rate: u32| format!("source.{pad} ! video/x-raw,framerate={rate}/1 ! fakesink ");
    let pads = Pads::playing("pace=true", &(rate("src", 10) + &rate("src_0", 20)));
    let text = pads.error();
    assert!(text.contains("one frame rate"), "{text}");
}

#[test]
fn more_streams_than_the_camera_has_are_an_error() {
    let _alone = alone("too many");
    camera(10, 4);
    let branches: String = (0..4)
        .map(|pad| format!("source.src_{pad} ! fakesink "))
        .collect();
    let pads = Pads::playing("", &branches);
    let text = pads.error();
    assert!(text.contains("offers no stream"), "{text}");
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

#[test]
fn a_question_that_changes_nothing_restarts_nothing() {
    let _alone = alone("reconfigure");
    camera(2, 4);
    let pads = Pads::playing("", TWO);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let (mut last_a, mut last_b) = (a.sequence(), b.sequence());
    for round in 0..20 {
        let pad = pads.pad(["src", "src_0"][round % 2]);
        assert!(pad.send_event(gst::event::Reconfigure::new()));
        for _ in 0..5 {
            // A camera that was started anew counts from 0.
            let (next_a, next_b) = (a.sequence(), b.sequence());
            assert!(next_a > last_a && next_b > last_b);
            (last_a, last_b) = (next_a, next_b);
        }
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
fn flushes_meet_negotiations() {
    let _alone = alone("flush against negotiation");
    camera(1, 4);
    let branches = format!("{} {}", sized("a", "src"), sized("b", "src_0"));
    let pads = Pads::playing("", &branches);
    let (a, b) = (pads.sink("a"), pads.sink("b"));
    let mut random = Random(17);
    for round in 0..100 {
        let width = [64, 320, 640][round % 3];
        ask_for(&pads, if round % 2 == 0 { "a" } else { "b" }, width);
        std::thread::sleep(Duration::from_micros(random.next(1500)));
        assert!(pads.element.send_event(gst::event::FlushStart::new()));
        if round % 5 == 0 {
            // A pad that comes in the middle of a flush.
            let pad = pads.element.request_pad_simple("src_%u").unwrap();
            assert!(pads.element.send_event(gst::event::FlushStop::new(true)));
            pads.element.release_request_pad(&pad);
        } else {
            assert!(pads.element.send_event(gst::event::FlushStop::new(true)));
        }
        a.pull();
        b.pull();
    }
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
