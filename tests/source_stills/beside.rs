//! Stills beside streams that lose no frame, of one pad and of several.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{
    CAMERA, Rig, SOON, camera,
    common::{
        source::{TINY, alone, levels},
        wait_until,
    },
    metadata, next, offset,
};

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
    // A machine that is busy may miss a tick; stills that cost a frame would leave twenty gaps.
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let gaps: Vec<_> = steps
        .filter(|step| *step > gst::ClockTime::from_mseconds(60))
        .collect();
    assert!(gaps.len() <= 3, "frames are missing: {gaps:?}");
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
