//! `shmsink-rs transport=fd` and GStreamer's own `unixfdsrc` and `unixfdsink` (GStreamer 1.24), in processes of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{
    reader::{Reader, ReaderOptions},
    rig::{READER_TEST, Rig, alone, socket},
    scale,
    source_rs::ShmReader,
    wait_until,
};
use gst::prelude::*;

const SIZE: usize = 50_000;
const SOON: Duration = Duration::from_secs(20);

#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// This GStreamer has the elements; says that a test is skipped otherwise.
fn are_here(test: &str) -> bool {
    let here = gst::ElementFactory::find("unixfdsrc").is_some();
    if !here {
        println!("SKIPPED: {test}: this GStreamer has no unixfdsrc (1.24 has)");
    }
    here
}

fn stock(size: Option<usize>) -> ReaderOptions<'static> {
    ReaderOptions {
        arguments: READER_TEST,
        size,
        element: Some("unixfdsrc"),
        ..ReaderOptions::default()
    }
}

#[test]
fn unixfdsrc_gets_every_frame_whole_and_the_end() {
    let _alone = alone("unixfdsrc");
    if !are_here("unixfdsrc_gets_every_frame_whole_and_the_end") {
        return;
    }
    let mut rig = Rig::new("fdstock", SIZE, &[("transport", "fd")]);
    let mut readers: Vec<_> = (0..4)
        .map(|_| rig.reader_with(&stock(Some(SIZE))))
        .collect();
    rig.in_step(&mut readers, 0..100);
    rig.set_caps("application/x-other");
    rig.in_step(&mut readers, 100..200);
    // One comes while it runs, and one goes.
    readers.pop().unwrap().kill();
    readers.push(rig.reader_with(&stock(Some(SIZE))));
    rig.in_step(&mut readers, 200..300);
    rig.push_event(gst::event::Eos::new());
    for reader in &mut readers {
        reader.line("eos");
    }
    rig.assert_no_error();
    assert_eq!(rig.stat("clients-evicted"), 0);
}

/// Frames pushed, and those that each healthy reader had, while one of four is stopped.
fn one_of_four_stopped(
    path: &str,
    mut push: impl FnMut(u64) -> bool,
    period: Duration,
) -> (u64, Vec<u64>, Vec<Reader>) {
    let mut readers: Vec<_> = (0..4)
        .map(|_| Reader::spawn(path, &stock(Some(SIZE))))
        .collect();
    for reader in &mut readers {
        reader.line("ready");
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut next = 0;
    // Until all have begun.
    let mut begun = vec![false; readers.len()];
    while !begun.iter().all(|begun| *begun) {
        assert!(push(next));
        next += 1;
        for (reader, begun) in readers.iter_mut().zip(&mut begun) {
            *begun |= reader.try_counter(Duration::from_millis(200)).is_some();
        }
    }
    readers[0].stop();
    let first = next;
    let until = Instant::now() + period;
    let mut last = first;
    while Instant::now() < until && push(next) {
        last = next;
        next += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen = readers.iter_mut().skip(1).map(|reader| {
        let mut seen = 0;
        while let Some(counter) = reader.try_counter(Duration::from_secs(1)) {
            seen += u64::from(counter >= first);
            if counter == last {
                break;
            }
        }
        seen
    });
    let seen = seen.collect();
    (next - first, seen, readers)
}

#[test]
fn a_stopped_unixfdsrc_costs_nobody_anything() {
    let _alone = alone("a stopped unixfdsrc");
    if !are_here("a_stopped_unixfdsrc_costs_nobody_anything") {
        return;
    }
    let period = Duration::from_secs(scale(3, 30));
    let mut rig = Rig::new("fdstop", SIZE, &[("transport", "fd")]);
    let path = rig.path.clone();
    let (pushed, seen, mut readers) = one_of_four_stopped(
        &path,
        |counter| {
            rig.push(counter);
            true
        },
        period,
    );
    println!(
        "NOTE: shmsink-rs transport=fd, one of four readers stopped for {period:?}: {pushed} frames, the others had {seen:?}"
    );
    assert!(pushed > 100 * period.as_secs());
    assert!(
        seen.iter().all(|seen| *seen == pushed),
        "{seen:?} of {pushed}"
    );
    // It goes on.
    readers[0].resume();
    let stopped = readers[0].pid();
    wait_until("it gives back what it had", SOON, || {
        rig.client_stat(stopped, "outstanding") <= 2
    });
    rig.push(1_000_000);
    let mut counters = std::iter::from_fn(|| readers[0].try_counter(Duration::from_secs(5)));
    assert!(counters.any(|counter| counter == 1_000_000));
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}

/// The same with GStreamer's sink, for comparison: nothing is asserted of it but that it was tried.
#[test]
fn unixfdsink_in_the_same_place() {
    let _alone = alone("unixfdsink");
    if !are_here("unixfdsink_in_the_same_place") {
        return;
    }
    let path = socket("fdtheirs");
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source caps=application/x-test format=time block=true max-buffers=1 ! unixfdsink socket-path={path} sync=false async=false"
    ));
    let pipeline: gst::Pipeline = pipeline.unwrap().downcast().unwrap();
    let source: gst_app::AppSrc = pipeline.by_name("source").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (frames, pushed) = std::sync::mpsc::sync_channel::<u64>(0);
    let generator = common::frames::Generator::new(SIZE);
    std::thread::spawn(move || {
        for counter in pushed {
            let buffer = gst::Buffer::from_mut_slice(generator.frame(counter));
            let _ = source.push_buffer(buffer);
        }
    });
    let give_up = Duration::from_secs(2);
    let (pushed, seen, readers) = one_of_four_stopped(
        &path,
        |counter| {
            let until = Instant::now() + give_up;
            // It is taken when the one before has gone into the sink.
            while Instant::now() < until {
                if frames.try_send(counter).is_ok() {
                    return true;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            false
        },
        Duration::from_secs(scale(3, 30)),
    );
    println!(
        "NOTE: unixfdsink, the same: {pushed} frames until none was taken for {give_up:?}, the others had {seen:?}"
    );
    assert!(pushed > 0);
    // It lets go when the stopped reader is gone.
    drop(readers);
    pipeline.set_state(gst::State::Null).unwrap();
    let _ = std::fs::remove_file(&path);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `shmsrc-rs` reads GStreamer's sink as well: caps, times, planes, and frames that are mapped once.
#[test]
fn our_reader_reads_unixfdsink() {
    let _alone = alone("our reader");
    if !are_here("our_reader_reads_unixfdsink") {
        return;
    }
    let path = socket("fdread");
    let child = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "is-live=true", "pattern=snow", "!"])
        .args([
            "video/x-raw,format=NV12,width=322,height=240,framerate=30/1",
            "!",
        ])
        .args(["unixfdsink", &format!("socket-path={path}")])
        .stdin(Stdio::null())
        .spawn();
    let _producer = Killed(child.unwrap());
    let reader = ShmReader::playing(&path, "");
    let mut before = None;
    for _ in 0..60 {
        let sample = reader.pull();
        let caps = sample.caps().unwrap();
        let info = gst_video::VideoInfo::from_caps(caps).unwrap();
        assert_eq!((info.width(), info.height()), (322, 240));
        let buffer = sample.buffer().unwrap();
        assert!(gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).is_ok());
        let pts = buffer.pts().unwrap();
        assert!(
            before.is_none_or(|before| pts > before),
            "{before:?}, {pts}"
        );
        before = Some(pts);
    }
    assert_eq!(reader.error(), None);
}

/// The moment that a frame has in one process it has in the other.
#[test]
fn unixfdsrc_gets_the_cameras_times() {
    let _alone = alone("times");
    if !are_here("unixfdsrc_gets_the_cameras_times") {
        return;
    }
    let path = socket("fdtimes");
    let pipeline = gst::parse::launch(&format!(
        "libcamerasrc-rs name=source pace=true ! video/x-raw,format=NV12,width=640,height=480,framerate=30/1 \
         ! shmsink-rs transport=fd socket-path={path} name=sink"
    ));
    let pipeline: gst::Pipeline = pipeline.unwrap().downcast().unwrap();
    let reading = gst::parse::launch(&format!(
        "unixfdsrc socket-path={path} ! appsink name=sink sync=false"
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    let (state, ..) = pipeline.state(gst::ClockTime::from_seconds(10));
    state.unwrap();
    let reading: gst::Pipeline = reading.unwrap().downcast().unwrap();
    let sink: gst_app::AppSink = reading.by_name("sink").unwrap().downcast().unwrap();
    reading.set_state(gst::State::Playing).unwrap();
    let latency = {
        let element = pipeline.by_name("sink").unwrap();
        let sink = element.downcast::<gst_base::BaseSink>().unwrap();
        gst_base::prelude::BaseSinkExt::latency(&sink)
    };
    for _ in 0..30 {
        let sample = sink
            .try_pull_sample(gst::ClockTime::from_seconds(5))
            .unwrap();
        let buffer = sample.buffer().unwrap();
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        assert_eq!((info.width(), info.fps()), (640, gst::Fraction::new(30, 1)));
        let sensor = buffer
            .meta::<gst::ReferenceTimestampMeta>()
            .unwrap()
            .timestamp();
        // The pipeline's clock is the machine's here, so this is the sensor's moment and the sink's latency.
        let moment = buffer.pts().unwrap() + reading.base_time().unwrap();
        let apart = moment.nseconds().abs_diff((sensor + latency).nseconds());
        assert!(apart < 2_000_000, "{apart} ns apart, latency {latency}");
        // GStreamer 1.28's unixfdsrc refuses the GstVideoMeta of its own sink as well ("Failed to deserialize"), so that the caps' layout is what counts.
        assert!(gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).is_ok());
    }
    reading.set_state(gst::State::Null).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
}
