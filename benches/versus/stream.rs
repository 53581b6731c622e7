//! Pipelines of one camera: `ELEMENT ! fakesink`, nothing between, so that what is measured is the element.

use super::{Frames, WARM, preloaded, process, process::Usage, say};
use gst::prelude::*;
use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(10);
const OURS: &str = "libgstlibcamerars.so";

/// Where a moment is written when a frame is pushed: by frame, 0 for none.
const KEPT: usize = 65536;

struct Pipeline {
    pipeline: gst::Pipeline,
    begun: Instant,
}

impl Pipeline {
    fn new(element: &str, frames: &Frames, rest: &str) -> Self {
        let Frames {
            camera,
            width,
            height,
        } = frames;
        gst::init().unwrap();
        let description = format!(
            "{element} name=source camera-name={camera} source.src ! video/x-raw,width={width},height={height} \
             ! fakesink name=sink sync=false async=false enable-last-sample=false {rest}"
        );
        let pipeline = gst::parse::launch(&description).unwrap();
        Self {
            pipeline: pipeline.downcast().unwrap(),
            begun: Instant::now(),
        }
    }

    fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap()
    }

    fn play(&mut self) {
        self.begun = Instant::now();
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    /// Frames that a sink has had.
    fn had(&self, sink: &str) -> u64 {
        let stats = self.element(sink).property::<gst::Structure>("stats");
        stats.get("rendered").unwrap()
    }

    fn wait_for_first(&self) {
        while self.had("sink") == 0 {
            self.check();
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn check(&self) {
        let bus = self.pipeline.bus().unwrap();
        let late = self.begun.elapsed() > Duration::from_secs(30);
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
            panic!("{message:?}");
        }
        assert!(!late, "no frames");
    }

    /// Back to NULL, which a process that is to end does not wait for any longer.
    fn stop(&self) -> Duration {
        let begun = Instant::now();
        self.pipeline.set_state(gst::State::Null).unwrap();
        self.pipeline.state(LIMIT).0.unwrap();
        begun.elapsed()
    }
}

/// Writes down when each frame is pushed. The same for both elements; the sink is the next thing behind it.
fn note_pushes(pipeline: &Pipeline) -> Arc<Vec<AtomicU64>> {
    let pushed: Arc<Vec<AtomicU64>> = Arc::new((0..KEPT).map(|_| AtomicU64::new(0)).collect());
    let noted = pushed.clone();
    let pad = pipeline.element("sink").static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            noted[buffer.offset() as usize % KEPT].store(now(), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    pushed
}

/// CLOCK_MONOTONIC, as camera.c reads it.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn steady(element: &str, frames: &Frames, window: Duration, more: Option<&str>) {
    let mut pipeline = Pipeline::new(element, frames, "");
    let pushed = (more == Some("latency")).then(|| note_pushes(&pipeline));
    pipeline.play();
    pipeline.wait_for_first();
    say("start", pipeline.begun.elapsed().as_secs_f64() * 1e3);
    thread::sleep(WARM);
    let tracer = (more == Some("futex")).then(trace);
    if more == Some("allocations") {
        preloaded::count_allocations();
    }
    let (before, first) = (Usage::of(std::process::id()), pipeline.had("sink"));
    let since = now();
    thread::sleep(window);
    let until = now();
    let (after, last) = (Usage::of(std::process::id()), pipeline.had("sink"));
    let count = (last - first) as f64;
    if more == Some("allocations") {
        let (mut own, mut all) = (0.0, 0.0);
        for (library, calls) in preloaded::allocations() {
            // What this program does to look is none of theirs.
            if library != "program" {
                say(&format!("allocations:{library}"), calls / count);
                all += calls / count;
            }
            if library == OURS || library == "libgstlibcamera.so" {
                own += calls / count;
            }
        }
        say("own", own);
        say("all", all);
    }
    if let Some(tracer) = tracer {
        say("futex", traced(tracer) / count);
    } else {
        after.since(&before).say(count);
    }
    let (resident, own) = process::resident();
    say("resident", resident);
    say("anonymous", own);
    if let Some(pushed) = pushed {
        say_latencies(&pushed, since, until);
    }
    pipeline.check();
    say("stop", pipeline.stop().as_secs_f64() * 1e3);
}

fn say_latencies(pushed: &[AtomicU64], since: u64, until: u64) {
    let moments = preloaded::moments();
    let (mut from_completion, mut from_camera) = (Vec::new(), Vec::new());
    for (sequence, at) in pushed.iter().enumerate() {
        let at = at.load(Ordering::Relaxed);
        let (begun, completed) = (
            (moments.begun)(sequence as u32),
            (moments.completed)(sequence as u32),
        );
        if (since..until).contains(&at) && (begun..at).contains(&completed) {
            from_completion.push((at - completed) as f64 / 1e3);
            from_camera.push((at - begun) as f64 / 1e3);
        }
    }
    for (name, times) in [("push", &mut from_completion), ("camera", &mut from_camera)] {
        times.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        say(&format!("{name}-p50"), at(0.5));
        say(&format!("{name}-p99"), at(0.99));
        say(&format!("{name}-max"), at(1.0));
    }
}

/// strace, attached to every thread of this process.
fn trace() -> Child {
    let file = format!("/tmp/versus.{}.strace", std::process::id());
    let child = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=futex", "-o", &file, "-p"])
        .arg(std::process::id().to_string())
        .env_remove("LD_PRELOAD")
        .stderr(Stdio::null())
        .spawn()
        .expect("strace");
    let is_there = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        !status.contains("TracerPid:\t0")
    };
    while !is_there() {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(200));
    child
}

/// Calls of futex since then, those of the main thread, which sleeps, among them.
fn traced(mut tracer: Child) -> f64 {
    let pid = rustix::process::Pid::from_raw(tracer.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    tracer.wait().unwrap();
    let file = format!("/tmp/versus.{}.strace", std::process::id());
    let table = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let row = table.lines().find(|line| line.ends_with("futex"));
    row.map_or(0.0, |row| {
        row.split_whitespace().nth(3).unwrap().parse().unwrap()
    })
}

/// Three streams, of which the third's branch takes five frames a second.
pub fn branches(element: &str, frames: &Frames, window: Duration) {
    let Frames { width, height, .. } = frames;
    let caps = format!("video/x-raw,width={width},height={height}");
    let sink = "sync=false async=false enable-last-sample=false";
    let mut pipeline = Pipeline::new(
        element,
        frames,
        &format!(
            "source.src_0 ! {caps} ! queue ! fakesink name=other {sink} \
             source.src_1 ! {caps} ! queue max-size-buffers=1 ! identity sleep-time=200000 ! fakesink name=slow {sink}"
        ),
    );
    pipeline.play();
    pipeline.wait_for_first();
    thread::sleep(WARM);
    let sinks = ["sink", "other", "slow"];
    let before = sinks.map(|sink| pipeline.had(sink));
    thread::sleep(window);
    for (sink, before) in sinks.into_iter().zip(before) {
        let rate = (pipeline.had(sink) - before) as f64 / window.as_secs_f64();
        say(&format!("rate:{sink}"), rate);
    }
    // One of the two takes long to stop here, or for ever.
    std::process::exit(0);
}

/// So many frames, then the end: for callgrind. The sink counts them, so that nobody has to look.
pub fn count(element: &str, frames: &Frames, wanted: i32) {
    let mut pipeline = Pipeline::new(element, frames, "");
    pipeline.element("sink").set_property("num-buffers", wanted);
    pipeline.play();
    let bus = pipeline.pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert!(end.is_some_and(|end| end.type_() == gst::MessageType::Eos));
    std::process::exit(0);
}
