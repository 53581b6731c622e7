//! The gate over the real GstTask, and the source at random moments: thousands of times in `tests/stress.sh`, a short form of it in `tests/run.sh`.
//!
//! Nothing may hang (two seconds without progress end the process), and nothing may be left.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    holdings,
    random::Random,
    source::{Source, TINY, alone, levels, skips_with_libcamera_0_4},
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::capture::task_gate::{TaskControl, TaskGate};

/// How often: `full` with `STRESS=full`.
fn times(short: u64, full: u64) -> u64 {
    if std::env::var("STRESS").as_deref() == Ok("full") {
        full
    } else {
        short
    }
}

/// Aborts the process when two seconds pass without a step.
struct Progress {
    steps: Arc<AtomicU64>,
    longest: Duration,
    last: Instant,
}

impl Progress {
    fn watch(what: &'static str) -> Self {
        let steps = Arc::new(AtomicU64::new(0));
        let watched: Weak<AtomicU64> = Arc::downgrade(&steps);
        thread::spawn(move || {
            let mut before = u64::MAX;
            while let Some(now) = watched.upgrade().map(|steps| steps.load(Ordering::Relaxed)) {
                if now == before {
                    eprintln!("WATCHDOG: {what}: no progress after step {now}");
                    std::process::abort();
                }
                before = now;
                for _ in 0..20 {
                    thread::sleep(Duration::from_millis(100));
                    if watched.strong_count() == 0 {
                        return;
                    }
                }
            }
        });
        Self {
            steps,
            longest: Duration::ZERO,
            last: Instant::now(),
        }
    }

    fn step(&mut self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Instant::now();
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {} times, the longest took {:?}",
            self.steps.load(Ordering::Relaxed),
            self.longest
        );
    }
}

struct RealTask(gst::Task);

impl TaskControl for RealTask {
    fn start(&self) -> bool {
        self.0.start().is_ok()
    }
    fn pause(&self) {
        let _ = self.0.pause();
    }
    fn resume(&self) {
        let _ = self.0.resume();
    }
    fn stop(&self) {
        let _ = self.0.stop();
    }
    fn join(&self) {
        let _ = self.0.join();
    }
}

#[test]
fn the_gate_closes_at_any_moment() {
    let _alone = alone("gate");
    drop(_alone.1);
    let mut progress = Progress::watch("gate");
    let mut random = Random(7);
    for _ in 0..times(3000, 60_000) {
        let gate = Arc::new_cyclic(|gate: &Weak<TaskGate<RealTask>>| {
            let gate = gate.clone();
            let task = gst::Task::builder(move |_| gate.upgrade().unwrap().iterate(|| ()))
                .lock(&gst::TaskLock::new())
                .build();
            TaskGate::new(RealTask(task))
        });
        assert!(gate.open());
        let done = Arc::new(AtomicBool::new(false));
        let notifier = {
            let (gate, done) = (gate.clone(), done.clone());
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    gate.notify();
                }
            })
        };
        for _ in 0..random.next(400) {
            std::hint::spin_loop();
        }
        // Half of the time nobody is left who could wake the task again.
        if random.next(2) == 0 {
            done.store(true, Ordering::Relaxed);
        }
        gate.close();
        done.store(true, Ordering::Relaxed);
        notifier.join().unwrap();
        progress.step();
    }
    progress.say("gate opened and closed");
}

#[test]
fn the_source_stops_at_any_moment_with_samples_held() {
    let _alone = alone("source");
    drop(_alone.1);
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    source.sink.set_property("max-buffers", 2u32);
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    source.set_state(gst::State::Null);
    let (fds, threads, _) = holdings();

    let mut progress = Progress::watch("source");
    let mut random = Random(11);
    let mut held: Vec<gst::Sample> = Vec::new();
    for _ in 0..times(150, 2000) {
        source.pipeline.set_state(gst::State::Playing).unwrap();
        for _ in 0..random.next(6) {
            let sample = source
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(20));
            held.extend(sample.filter(|_| random.next(3) == 0));
        }
        thread::sleep(Duration::from_micros(random.next(3000)));
        source.pipeline.set_state(gst::State::Null).unwrap();
        if held.len() > 8 {
            assert!(
                held.iter().all(|sample| levels(sample) >= 8),
                "pixels of a stopped camera"
            );
            held.truncate(random.next(8) as usize);
        }
        progress.step();
    }
    progress.say("source started and stopped");
    drop(held);
    assert_eq!(source.error(), None);
    wait_until("threads to end", Duration::from_secs(10), || {
        holdings().1.len() <= threads.len() + 1
    });
    assert!(
        holdings().0 <= fds,
        "{} file descriptors, {fds} before",
        holdings().0
    );
}

#[test]
fn flushes_and_ends_while_frames_flow() {
    if skips_with_libcamera_0_4("flushes_and_ends_while_frames_flow") {
        return;
    }
    let _alone = alone("flushes and ends");
    drop(_alone.1);
    let mut progress = Progress::watch("flushes and ends");
    let mut random = Random(13);
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    source.sink.set_property("max-buffers", 2u32);
    // See the flush in source_faults.rs.
    source.sink.set_property("async", false);
    let (flushes, ends) = (times(100, 1000), times(50, 500));
    for _ in 0..ends {
        source.pipeline.set_state(gst::State::Playing).unwrap();
        source.pull().unwrap();
        for _ in 0..flushes / ends {
            thread::sleep(Duration::from_micros(random.next(2000)));
            assert!(source.element.send_event(gst::event::FlushStart::new()));
            assert!(source.element.send_event(gst::event::FlushStop::new(true)));
            let goes_on = source.pull().is_some();
            assert!(goes_on, "ended by a flush: {:?}", source.error());
        }
        assert!(source.element.send_event(gst::event::Eos::new()));
        source.count();
        source.set_state(gst::State::Null);
        progress.step();
    }
    progress.say("starts with two flushes and an end");
    assert_eq!(source.error(), None);
}

/// What the process has used: seconds of CPU, and how often its threads gave up the processor.
fn used() -> (f64, u64) {
    let cpu = cpu_seconds();
    let switches = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        })
        .sum();
    (cpu, switches)
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// A branch that keeps all its frames, on a camera as fast as it is asked: nothing of ours turns in circles.
#[test]
fn a_starved_source_costs_nothing() {
    let _alone = alone("starved");
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={TINY} ! tee ! queue"
    ));
    source.set_state(gst::State::Playing);
    let mut held = Vec::new();
    while let Some(sample) = source
        .sink
        .try_pull_sample(gst::ClockTime::from_mseconds(200))
    {
        held.push(sample);
    }
    let (cpu, switches) = used();
    thread::sleep(Duration::from_secs(1));
    let (cpu, switches) = (used().0 - cpu, used().1 - switches);
    println!(
        "{} frames held, one second: {cpu:.2} s of CPU, {switches} context switches",
        held.len()
    );
    // libcamera's, GStreamer's and the test's own threads wake a few times.
    assert!(cpu < 0.1, "{cpu} s of CPU in one second");
    assert!(switches < 100, "{switches} context switches in one second");
    held.truncate(1);
    source.pull().unwrap();
}

/// A pipeline at full speed for a second, or for `SOAK` of them; see tests/soak.sh.
fn full_speed(test: &str, rest: &str) {
    if skips_with_libcamera_0_4(test) {
        return;
    }
    let _alone = alone("full speed");
    drop(_alone.1);
    let seconds: u64 = std::env::var("SOAK").map_or(1, |seconds| seconds.parse().unwrap());
    let description = format!("libcamerasrc-rs name=source camera-name={TINY} {rest}");
    let pipeline = gst::parse::launch(&description)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let element = pipeline.by_name("source").unwrap();
    let counter = |name: &str| -> u64 {
        let stats: gst::Structure = element.property("stats");
        stats.get(name).unwrap_or(0)
    };
    let mut progress = Progress::watch("full speed");
    pipeline.set_state(gst::State::Playing).unwrap();
    let begun = Instant::now();
    let mut last = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(250));
        let delivered = counter("delivered");
        assert!(delivered > last, "no frame in 250 ms after {delivered}");
        last = delivered;
        progress.step();
    }
    let (frames, requests) = (counter("delivered"), counter("requests-completed"));
    let (wake_ups, idle) = (counter("wake-ups"), counter("idle-wake-ups"));
    let (cpu, _) = used();
    println!(
        "{rest}: {frames} frames of {requests} requests in {seconds} s; per request {:.2} wake-ups of the task, {:.2} of them idle; \
         {cpu:.0} s of CPU in this process so far",
        wake_ups as f64 / requests as f64,
        idle as f64 / requests as f64
    );
    assert_eq!(counter("missed"), 0);
    pipeline.set_state(gst::State::Null).unwrap();
    let error = [gst::MessageType::Error];
    let error = pipeline.bus().unwrap().pop_filtered(&error);
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn full_speed_behind_a_queue() {
    full_speed("full_speed_behind_a_queue", "! queue ! fakesink sync=false");
}

#[test]
fn full_speed_without_a_queue() {
    full_speed("full_speed_without_a_queue", "! fakesink sync=false");
}

#[test]
fn full_speed_of_three_streams() {
    full_speed(
        "full_speed_of_three_streams",
        "! fakesink sync=false  source.src_0 ! queue ! fakesink sync=false  source.src_1 ! fakesink sync=false",
    );
}
