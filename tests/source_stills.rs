//! Stills on demand beside a stream: `capture-still`, its messages, and that nothing else notices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    random::Random,
    source::{TINY, alone, levels},
    wait_until,
};
use gst::{meta::CustomMeta, prelude::*};
use gstlibcamerars::{
    backend::{
        libcamera::control_definitions,
        simulated::{Fault, Script, Spec, plug},
    },
    camera::{ControlId, ControlInfo, ControlValue, Scalar},
};

const CAMERA: &str = "simulated-stills";
const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);

fn id(name: &str) -> ControlId {
    let definitions = control_definitions().iter();
    let mut named = definitions.filter(|definition| definition.name == name);
    named.next().unwrap().id
}

fn number(value: i32) -> ControlValue {
    ControlValue::One(Scalar::I32(value))
}

fn camera(interval: Duration) -> Arc<Script> {
    let exposure = ControlInfo {
        id: id("ExposureTime"),
        min: Some(number(10)),
        max: Some(number(100_000)),
        default: Some(number(40)),
        values: Vec::new(),
    };
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval,
        controls: vec![exposure],
        ..Spec::default()
    })
}

/// A source named `source`, whose messages about stills are collected.
struct Rig {
    pipeline: gst::Pipeline,
    element: gst::Element,
    told: Arc<Mutex<Vec<gst::Structure>>>,
}

impl Rig {
    /// `rest` names the branches: `source.src ! ...  source.src_0 ! ...`.
    fn new(camera: &str, rest: &str) -> Self {
        let description = format!("libcamerasrc-rs name=source camera-name={camera} {rest}");
        let pipeline = gst::parse::launch(&description).unwrap();
        let pipeline: gst::Pipeline = pipeline.downcast().unwrap();
        let told: Arc<Mutex<Vec<gst::Structure>>> = Arc::default();
        let collected = told.clone();
        // Also what is posted on the way to NULL, when a bus drops what nobody has taken.
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            let structure = message.structure();
            if let Some(still) = structure.filter(|told| told.name() == "libcamerasrc-still") {
                collected.lock().unwrap().push(still.to_owned());
            }
            gst::BusSyncReply::Pass
        });
        Self {
            element: pipeline.by_name("source").unwrap(),
            pipeline,
            told,
        }
    }

    fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    fn sink(&self, name: &str) -> gst_app::AppSink {
        self.pipeline.by_name(name).unwrap().downcast().unwrap()
    }

    fn capture(&self, pad: Option<&str>, controls: Option<&str>) -> u64 {
        let pad = pad.map(|pad| self.element.static_pad(pad).unwrap());
        let controls = controls.map(|controls| controls.parse::<gst::Caps>().unwrap());
        self.element
            .emit_by_name("capture-still", &[&pad, &controls])
    }

    /// The same, as soon as the pad streams.
    fn captured(&self, pad: Option<&str>, controls: Option<&str>) -> u64 {
        let mut id = 0;
        wait_until("a still is taken on", SOON, || {
            id = self.capture(pad, controls);
            id > 0
        });
        id
    }

    fn outcomes(&self, count: usize) -> Vec<gst::Structure> {
        wait_until(&format!("{count} outcomes"), SOON, || {
            self.told.lock().unwrap().len() >= count
        });
        self.told.lock().unwrap().clone()
    }

    fn no_error(&self) {
        let wanted = [gst::MessageType::Error];
        let error = self.pipeline.bus().unwrap().pop_filtered(&wanted);
        assert!(error.is_none(), "{error:?}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let begun = Instant::now();
        let _ = self.pipeline.set_state(gst::State::Null);
        assert!(begun.elapsed() < Duration::from_secs(2), "NULL is late");
    }
}

fn next(sink: &gst_app::AppSink) -> gst::Sample {
    let sample = sink.try_pull_sample(TIMEOUT);
    sample.unwrap_or_else(|| panic!("no frame in {TIMEOUT} at {}", sink.name()))
}

fn metadata(sample: &gst::Sample) -> gst::Structure {
    let meta = CustomMeta::from_buffer(sample.buffer().unwrap(), "libcamera").unwrap();
    meta.structure().to_owned()
}

fn offset(sample: &gst::Sample) -> u64 {
    sample.buffer().unwrap().offset()
}

/// What a thread has seen of a stream until it was told to stop.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<(u64, i32)>>,
}

impl Watcher {
    /// Offset and exposure time of each frame.
    fn new(sink: gst_app::AppSink) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let sample = next(&sink);
                let exposure = metadata(&sample).get("exposure-time").unwrap_or_default();
                seen.push((offset(&sample), exposure));
            }
            seen
        });
        Self { stop, thread }
    }

    /// Fails when the sensor's count has a gap.
    fn seen(self) -> Vec<(u64, i32)> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        for pair in seen.windows(2) {
            let ((before, _), (after, _)) = (pair[0], pair[1]);
            assert_eq!(after, before + 1, "a frame of the stream is missing");
        }
        seen
    }
}

#[test]
fn twenty_bracketed_stills_beside_a_stream_of_thirty_frames_a_second() {
    let _alone = alone("bracketed stills");
    camera(Duration::from_nanos(33_333_333));
    let rig = Rig::new(
        CAMERA,
        "exposure-time=500 source.src ! video/x-raw,width=640 ! appsink name=video sync=false \
         source.src_0 ! appsink name=stills sync=false",
    );
    rig.element
        .static_pad("src_0")
        .unwrap()
        .set_property_from_str("stream-role", "still-capture");
    rig.play();
    let watcher = Watcher::new(rig.sink("video"));
    let stills = rig.sink("stills");
    let begun = Instant::now();
    for round in 0..5 {
        let exposures = [1000, 2000 + round, 4000, 8000];
        let controls = exposures.map(|time| format!("controls,exposure-time={time}"));
        let id = rig.captured(Some("src_0"), Some(&controls.join(";")));
        for (index, exposure) in exposures.into_iter().enumerate() {
            let sample = next(&stills);
            let metadata = metadata(&sample);
            assert_eq!(metadata.get::<i32>("exposure-time").unwrap(), exposure);
            assert_eq!(metadata.get::<u64>("still-id").unwrap(), id);
            assert_eq!(metadata.get::<u32>("still-index").unwrap(), index as u32);
            let outcome = rig.outcomes(round as usize * 4 + index + 1).pop().unwrap();
            assert_eq!(outcome.get::<u64>("id").unwrap(), id);
            assert_eq!(outcome.get::<&str>("result").unwrap(), "done");
            assert_eq!(outcome.get::<&str>("pad").unwrap(), "src_0");
            assert_eq!(outcome.get::<u64>("offset").unwrap(), offset(&sample));
        }
    }
    // What the application has set holds again.
    let last = rig.element.property::<gst::Structure>("extra-controls");
    assert_eq!(last.get::<i32>("exposure-time").unwrap(), 500);
    thread::sleep(Duration::from_millis(300));
    let elapsed = begun.elapsed();
    let seen = watcher.seen();
    let expected = elapsed.as_secs_f64() * 30.0;
    assert!(
        (seen.len() as f64) > expected - 5.0,
        "{} frames in {elapsed:?}",
        seen.len()
    );
    let bracketed = seen.iter().filter(|(_, exposure)| *exposure != 500).count();
    assert_eq!(
        bracketed, 20,
        "a still's controls are for its request alone"
    );
    assert_eq!(seen.last().unwrap().1, 500);
    assert!(
        stills
            .try_pull_sample(gst::ClockTime::from_mseconds(100))
            .is_none()
    );
    rig.no_error();
}

#[test]
fn twenty_stills_of_libcamera_beside_a_paced_stream() {
    let _alone = alone("stills of libcamera");
    let rig = Rig::new(
        TINY,
        "pace=true source.src ! video/x-raw,framerate=30/1 ! appsink name=video sync=false \
         source.src_0 ! appsink name=stills sync=false",
    );
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    rig.play();
    let video = rig.sink("video");
    let counted = Arc::new(Mutex::new(Vec::new()));
    let stop: Arc<AtomicBool> = Arc::default();
    let counter = thread::spawn({
        let (counted, stop) = (counted.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let sample = next(&video);
                counted
                    .lock()
                    .unwrap()
                    .push(sample.buffer().unwrap().pts().unwrap());
            }
        }
    });
    let stills = rig.sink("stills");
    let begun = Instant::now();
    for count in 1..=20 {
        let id = rig.captured(Some("src_0"), None);
        let sample = next(&stills);
        assert!(levels(&sample) >= 8, "a picture of eight bars");
        let outcome = rig.outcomes(count).pop().unwrap();
        assert_eq!(outcome.get::<u64>("id").unwrap(), id);
        assert_eq!(outcome.get::<&str>("result").unwrap(), "done");
        let pts = sample.buffer().unwrap().pts().unwrap();
        wait_until("the stream's frame of the same request", SOON, || {
            counted.lock().unwrap().contains(&pts)
        });
    }
    let elapsed = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    counter.join().unwrap();
    let times = counted.lock().unwrap().clone();
    let expected = elapsed.as_secs_f64() * 30.0;
    assert!(
        times.len() as f64 > expected - 5.0,
        "{} frames in {elapsed:?}",
        times.len()
    );
    for pair in times.windows(2) {
        let step = pair[1] - pair[0];
        assert!(
            step < gst::ClockTime::from_mseconds(60),
            "a frame is missing: {step}"
        );
    }
    let stats: gst::Structure = rig.element.property("stats");
    let pads: gst::Structure = stats.get("pads").unwrap();
    let counters: gst::Structure = pads.get("src_0").unwrap();
    for (counter, expected) in [
        ("captured", 20),
        ("delivered", 20),
        ("left-out", 0),
        ("missed", 0),
    ] {
        assert_eq!(counters.get::<u64>(counter).unwrap(), expected, "{counter}");
    }
    rig.no_error();
}

#[test]
fn sinks_behind_pads_on_demand_do_not_wait_for_a_still() {
    let _alone = alone("preroll");
    camera(Duration::from_millis(5));
    let rig = Rig::new(
        CAMERA,
        "source.src ! fakesink name=a sync=true source.src_0 ! fakesink name=b sync=true \
         source.src_1 ! queue ! fakesink name=c sync=true",
    );
    for pad in ["src", "src_1"] {
        let pad = rig.element.static_pad(pad).unwrap();
        pad.set_property_from_str("capture", "on-demand");
    }
    for _ in 0..3 {
        rig.play();
        let (success, state, _) = rig.pipeline.state(TIMEOUT);
        assert!(
            success.is_ok() && state == gst::State::Playing,
            "{success:?} {state:?}"
        );
        for sink in ["a", "b", "c"] {
            let state = rig.pipeline.by_name(sink).unwrap().state(TIMEOUT).1;
            assert_eq!(state, gst::State::Playing, "{sink}");
        }
        // A flush begins anew.
        assert!(rig.pipeline.send_event(gst::event::FlushStart::new()));
        assert!(rig.pipeline.send_event(gst::event::FlushStop::new(true)));
        rig.captured(None, None);
        wait_until("a still of both pads", SOON, || {
            ["a", "c"].iter().all(|sink| {
                let sink = rig.pipeline.by_name(sink).unwrap();
                sink.property::<Option<gst::Sample>>("last-sample")
                    .is_some()
            })
        });
        rig.no_error();
        rig.pipeline.set_state(gst::State::Ready).unwrap();
    }
}

#[test]
fn a_pad_of_role_still_capture_is_on_demand_only_beside_another() {
    let _alone = alone("automatic capture");
    camera(Duration::from_millis(5));
    let rig = Rig::new(CAMERA, "source.src ! appsink name=video sync=false");
    let pad = rig.element.static_pad("src").unwrap();
    pad.set_property_from_str("stream-role", "still-capture");
    rig.play();
    next(&rig.sink("video"));
    assert_eq!(rig.capture(Some("src"), None), 0, "it streams");
    drop(rig);

    let rig = Rig::new(
        CAMERA,
        "source.src ! appsink name=stills sync=false source.src_0 ! appsink name=video sync=false",
    );
    let pad = rig.element.static_pad("src").unwrap();
    pad.set_property_from_str("stream-role", "still-capture");
    rig.play();
    next(&rig.sink("video"));
    let stills = rig.sink("stills");
    assert!(
        stills
            .try_pull_sample(gst::ClockTime::from_mseconds(100))
            .is_none()
    );
    rig.captured(Some("src"), None);
    next(&stills);
    assert_eq!(rig.capture(Some("src_0"), None), 0, "it streams");
}

#[test]
fn all_pads_on_demand_have_the_same_moment() {
    let _alone = alone("several pads");
    camera(Duration::from_millis(5));
    let rig = Rig::new(
        CAMERA,
        "source.src ! fakesink sync=false source.src_0 ! appsink name=a sync=false source.src_1 ! appsink name=b sync=false",
    );
    for pad in ["src_0", "src_1"] {
        let pad = rig.element.static_pad(pad).unwrap();
        pad.set_property_from_str("capture", "on-demand");
    }
    rig.play();
    for count in 1..10 {
        rig.captured(None, None);
        let (a, b) = (next(&rig.sink("a")), next(&rig.sink("b")));
        assert_eq!(offset(&a), offset(&b));
        assert_eq!(a.buffer().unwrap().pts(), b.buffer().unwrap().pts());
        let outcomes = rig.outcomes(2 * count);
        let mut pads: Vec<&str> = outcomes[2 * (count - 1)..]
            .iter()
            .map(|outcome| outcome.get("pad").unwrap())
            .collect();
        pads.sort_unstable();
        assert_eq!(pads, ["src_0", "src_1"]);
    }
}

#[test]
fn a_still_without_a_camera_that_flows_needs_no_other_pad() {
    let _alone = alone("stills only");
    camera(Duration::from_millis(5));
    let rig = Rig::new(CAMERA, "source.src ! appsink name=stills sync=false");
    let pad = rig.element.static_pad("src").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    rig.play();
    let stills = rig.sink("stills");
    for _ in 0..5 {
        rig.captured(Some("src"), Some("controls;controls;controls"));
        for index in 0..3u32 {
            let still = metadata(&next(&stills));
            assert_eq!(still.get::<u32>("still-index").unwrap(), index);
        }
        assert!(
            stills
                .try_pull_sample(gst::ClockTime::from_mseconds(50))
                .is_none()
        );
    }
}

fn with_stills() -> Rig {
    let rig = Rig::new(
        CAMERA,
        "source.src ! appsink name=video sync=false drop=true max-buffers=1 source.src_0 ! appsink name=stills sync=false",
    );
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    rig
}

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
    for count in 2..22 {
        // It may hit a request before the still's.
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
    assert!(failed > 0, "no fault has hit a still");
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
fn a_pause_does_not_leave_a_sink_without_a_sign() {
    let _alone = alone("stills and pauses");
    camera(Duration::from_millis(5));
    let rig = Rig::new(
        CAMERA,
        "source.src ! fakesink sync=true source.src_0 ! fakesink name=stills sync=true",
    );
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    for _ in 0..5 {
        rig.play();
        let (success, state, _) = rig.pipeline.state(TIMEOUT);
        assert!(
            success.is_ok() && state == gst::State::Playing,
            "{success:?} {state:?}"
        );
        rig.pipeline.set_state(gst::State::Paused).unwrap();
    }
    // A sink that comes in its place.
    rig.play();
    let sink = rig.pipeline.by_name("stills").unwrap();
    pad.unlink(&sink.static_pad("sink").unwrap()).unwrap();
    sink.set_state(gst::State::Null).unwrap();
    rig.pipeline.remove(&sink).unwrap();
    let other = gst::ElementFactory::make("fakesink")
        .property("sync", true)
        .build()
        .unwrap();
    rig.pipeline.add(&other).unwrap();
    other.sync_state_with_parent().unwrap();
    pad.link(&other.static_pad("sink").unwrap()).unwrap();
    wait_until("the new sink plays", SOON, || {
        other.current_state() == gst::State::Playing
    });
    rig.captured(Some("src_0"), None);
    assert_eq!(rig.outcomes(1)[0].get::<&str>("result").unwrap(), "done");
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
