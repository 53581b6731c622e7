//! The faults of upstream's `libcamerasrc` that libcamera's virtual camera can show, and `libcamerasrc-rs` in the same run. `tests/upstream.sh`
//! runs it: it prints a table, one line for each scenario. Each runs in a process of its own, because some end in a crash.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use gst::prelude::*;
use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const ELEMENTS: [&str; 2] = ["libcamerasrc", "libcamerasrc-rs"];
const LIMIT: Duration = Duration::from_secs(20);

type Scenario = (&'static str, fn(&str) -> String);

const SCENARIOS: &[Scenario] = &[
    (
        "W8: framerate=500/1, which the camera lacks",
        impossible_rate,
    ),
    ("W11: duration of a buffer", duration),
    ("W12: latency, min and max", latency),
    ("W13: EOS sent in NULL, then PLAYING", end_in_null),
    ("W14: frames pushed in one second of PAUSED", paused),
    ("W14: frames after a flush", flush),
    ("W15: a pad requested and linked while PLAYING", late_pad),
    (
        "W20: frames per second of two pads while the third is blocked for 2 s",
        blocked_branch,
    ),
    (
        "W2: a sample held from one start to the next, 5 times",
        held_sample,
    ),
    ("the camera is in use: the error", busy),
    ("caps in READY", caps_in_ready),
    ("stream id of two starts", stream_ids),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [index, element] = arguments.as_slice() {
        gst::init().unwrap();
        let (_, scenario) = SCENARIOS[index.parse::<usize>().unwrap()];
        println!("RESULT {}", scenario(element));
        // What a fault has left behind must not hold up the end.
        std::process::exit(0);
    }
    println!("| scenario | {} |\n|---|---|---|", ELEMENTS.join(" | "));
    for (index, (name, _)) in SCENARIOS.iter().enumerate() {
        let results = ELEMENTS.map(|element| outcome(index, element));
        println!("| {name} | {} |", results.join(" | "));
    }
}

fn outcome(index: usize, element: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&index.to_string(), element])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if begun.elapsed() > LIMIT => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let Some(status) = status else {
        return format!("**hangs** (killed after {LIMIT:?})");
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    let result = said.lines().find_map(|line| line.strip_prefix("RESULT "));
    match result {
        Some(result) => result.to_owned(),
        None => format!("**crashes** ({status})"),
    }
}

struct Run {
    pipeline: gst::Pipeline,
    element: gst::Element,
}

impl Run {
    fn new(element: &str, rest: &str) -> Self {
        let pace = if element == "libcamerasrc-rs" {
            "pace=true"
        } else {
            ""
        };
        let description = format!("{element} name=source camera-name=Virtual0 {pace} {rest}");
        let pipeline = gst::parse::launch(&description).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let element = pipeline.by_name("source").unwrap();
        Self { pipeline, element }
    }

    fn play(&self) {
        let _ = self.pipeline.set_state(gst::State::Playing);
    }

    /// Counts the buffers of a pad from now on.
    fn count(&self, pad: &str) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let pad = self.element.static_pad(pad).unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        });
        count
    }

    fn message(&self, wanted: gst::MessageType, seconds: u64) -> Option<gst::Message> {
        let bus = self.pipeline.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(seconds), &[wanted])
    }

    fn error(&self) -> Option<String> {
        let message = self.message(gst::MessageType::Error, 3)?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }
}

fn until(count: &AtomicU64, wanted: u64) -> bool {
    let begun = Instant::now();
    while count.load(Ordering::SeqCst) < wanted {
        if begun.elapsed() > Duration::from_secs(4) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

const SIZE: &str = "! video/x-raw,width=640,height=480";
const SINK: &str = "fakesink sync=false async=false";

fn impossible_rate(element: &str) -> String {
    let run = Run::new(element, &format!("! video/x-raw,framerate=500/1 ! {SINK}"));
    let frames = run.count("src");
    run.play();
    match run.error() {
        Some(error) => format!("error: {}", error.chars().take(90).collect::<String>()),
        None => format!(
            "**silence**: {} frames, no error in 3 s",
            frames.load(Ordering::SeqCst)
        ),
    }
}

fn duration(element: &str) -> String {
    let run = Run::new(
        element,
        &format!("{SIZE},framerate=30/1 ! appsink name=sink sync=false"),
    );
    run.play();
    let sink: gst_app::AppSink = run.pipeline.by_name("sink").unwrap().downcast().unwrap();
    let sample = sink.pull_sample().unwrap();
    match sample.buffer().unwrap().duration() {
        Some(duration) => format!("{duration}"),
        None => "**none**".to_owned(),
    }
}

fn latency(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE},framerate=30/1 ! {SINK}"));
    let frames = run.count("src");
    run.play();
    until(&frames, 10);
    let mut query = gst::query::Latency::new();
    if !run.element.static_pad("src").unwrap().query(&mut query) {
        return "refused".to_owned();
    }
    let (_, min, max) = query.result();
    match max {
        Some(max) if max == min => {
            format!("**{min}, no more**: one frame may not wait for another")
        }
        Some(max) => format!("{min} to {max}"),
        None => format!("{min}, no end"),
    }
}

fn end_in_null(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE} ! {SINK}"));
    let taken = run.element.send_event(gst::event::Eos::new());
    let frames = run.count("src");
    run.play();
    until(&frames, 30);
    match run.message(gst::MessageType::Eos, 1) {
        Some(_) => format!(
            "taken: {taken}; **ends after {} frames**",
            frames.load(Ordering::SeqCst)
        ),
        None => format!("taken: {taken}; streams"),
    }
}

fn paused(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE} ! {SINK}"));
    let frames = run.count("src");
    run.play();
    until(&frames, 10);
    run.pipeline.set_state(gst::State::Paused).unwrap();
    let before = frames.load(Ordering::SeqCst);
    thread::sleep(Duration::from_secs(1));
    match frames.load(Ordering::SeqCst) - before {
        0 => "0".to_owned(),
        pushed => format!("**{pushed}**"),
    }
}

fn flush(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE} ! queue ! {SINK}"));
    let frames = run.count("src");
    run.play();
    until(&frames, 10);
    // To the sink, from where it goes to the source, or not; and to the source itself.
    let source = run.element.static_pad("src").unwrap();
    let peer = source.peer().unwrap();
    let _ = run.element.send_event(gst::event::FlushStart::new());
    peer.send_event(gst::event::FlushStart::new());
    thread::sleep(Duration::from_millis(100));
    peer.send_event(gst::event::FlushStop::new(true));
    let _ = run.element.send_event(gst::event::FlushStop::new(true));
    let before = frames.load(Ordering::SeqCst);
    if until(&frames, before + 10) {
        "go on".to_owned()
    } else {
        format!("**none** in 4 s, error: {:?}", run.error())
    }
}

fn late_pad(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE} ! {SINK}"));
    let frames = run.count("src");
    run.play();
    until(&frames, 10);
    let begun = Instant::now();
    let Some(pad) = run.element.request_pad_simple("src_%u") else {
        return "refused".to_owned();
    };
    let took = begun.elapsed();
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .property("async", false)
        .build()
        .unwrap();
    run.pipeline.add(&sink).unwrap();
    sink.sync_state_with_parent().unwrap();
    let _ = pad.set_active(true);
    pad.link(&sink.static_pad("sink").unwrap()).unwrap();
    let late = run.count(&pad.name());
    let both = until(&late, 5) && until(&frames, frames.load(Ordering::SeqCst) + 5);
    if both {
        format!("both stream (requested in {took:?})")
    } else {
        let (first, late) = (frames.load(Ordering::SeqCst), late.load(Ordering::SeqCst));
        format!(
            "**stalls**: {late} frames of the new pad, {first} of the old; {:?}",
            run.error()
        )
    }
}

fn blocked_branch(element: &str) -> String {
    let branch = |pad: &str| format!("source.{pad} {SIZE} ! queue ! {SINK} ");
    let run = Run::new(
        element,
        &(branch("src") + &branch("src_0") + &branch("src_1")),
    );
    let counts = [run.count("src"), run.count("src_0")];
    let third = run.element.static_pad("src_1").unwrap();
    let blocked = Arc::new(AtomicU64::new(0));
    let block = blocked.clone();
    third.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if block.fetch_add(1, Ordering::SeqCst) == 30 {
            thread::sleep(Duration::from_secs(2));
        }
        gst::PadProbeReturn::Ok
    });
    run.play();
    if !until(&blocked, 31) {
        return format!(
            "**stalls** after {} frames, before anything blocks",
            blocked.load(Ordering::SeqCst)
        );
    }
    let before = counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    thread::sleep(Duration::from_millis(1500));
    let rates: Vec<String> = counts
        .iter()
        .zip(before)
        .map(|(count, before)| (count.load(Ordering::SeqCst) - before) as f64 / 1.5)
        .map(|rate| {
            if rate < 10.0 {
                format!("**{rate:.0}**")
            } else {
                format!("{rate:.0}")
            }
        })
        .collect();
    rates.join(" and ")
}

fn held_sample(element: &str) -> String {
    let run = Run::new(
        element,
        &format!("{SIZE} ! appsink name=sink sync=false max-buffers=2 drop=true"),
    );
    let sink: gst_app::AppSink = run.pipeline.by_name("sink").unwrap().downcast().unwrap();
    let mut held = Vec::new();
    for round in 0..5 {
        run.play();
        for _ in 0..20 {
            let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(3)) else {
                return format!("**no frame** at start {}", round + 1);
            };
            held.truncate(1);
            held.push(sample);
        }
        run.pipeline.set_state(gst::State::Null).unwrap();
    }
    "streams each time".to_owned()
}

fn busy(element: &str) -> String {
    let first = Run::new(element, &format!("{SIZE} ! {SINK}"));
    let frames = first.count("src");
    first.play();
    until(&frames, 5);
    let second = Run::new(element, &format!("! {SINK}"));
    second.play();
    let message = second.message(gst::MessageType::Error, 3);
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => {
            let debug = error.debug().unwrap_or_default();
            let debug = debug.lines().last().unwrap_or_default().to_owned();
            let unknown = if debug.contains("Unknown error") {
                format!(" **({debug})**")
            } else {
                String::new()
            };
            format!("{}{unknown}", error.error())
        }
        _ => "**none**".to_owned(),
    }
}

fn caps_in_ready(element: &str) -> String {
    let run = Run::new(element, &format!("! {SINK}"));
    run.element.set_state(gst::State::Ready).unwrap();
    let pad = run.element.static_pad("src").unwrap();
    let caps = pad.query_caps(None);
    if caps == pad.pad_template_caps() {
        "**the template's**".to_owned()
    } else {
        format!("the camera's, {} structures", caps.size())
    }
}

fn stream_ids(element: &str) -> String {
    let run = Run::new(element, &format!("{SIZE} ! {SINK}"));
    let frames = run.count("src");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let before = frames.load(Ordering::SeqCst);
        run.play();
        until(&frames, before + 5);
        ids.push(
            run.element
                .static_pad("src")
                .unwrap()
                .stream_id()
                .unwrap_or_default(),
        );
        run.pipeline.set_state(gst::State::Ready).unwrap();
    }
    if ids[0] == ids[1] {
        format!("the same: {}", ids[0])
    } else {
        "**differ**".to_owned()
    }
}
