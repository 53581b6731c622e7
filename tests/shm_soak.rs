//! t26: 1080p60 and eight readers that join, stop, resume and die at random, beside two that stay. Who acks in time has every frame, nothing is
//! torn, and at the end there are no more file descriptors, memory and shared memory than at the beginning.
//!
//! 10 seconds, or DURATION=600 (tests/shm-endurance.sh). SEED= repeats a run's choices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    frames::Generator,
    reader::{Reader, ReaderOptions, Summary},
    rig::{element, socket},
    wait_until,
    watchdog::Watchdog,
};
use gst::prelude::*;

const SIZE: usize = 1920 * 1080 * 3 / 2;
const PERIOD: Duration = Duration::from_nanos(16_666_667);
const WINDOW: u32 = 12;
const RANDOM: usize = 8;
/// No push may take longer.
const FROZEN: Duration = Duration::from_secs(2);

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What a process has.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    fds: usize,
    /// Memory that is not shared.
    anonymous: u64,
    shared_memory: u64,
}

fn holdings() -> Holdings {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let anonymous = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok())
        .unwrap();
    Holdings {
        fds: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        anonymous: anonymous * 1024,
        shared_memory: common::memory_of(std::process::id()),
    }
}

/// A reader that lives for some time, and is stopped for some of it.
struct Guest {
    reader: Reader,
    ends: Instant,
    stops: Option<(Instant, Instant)>,
    is_stopped: bool,
    was_stopped: bool,
}

#[derive(Default)]
struct Tally {
    joined: u64,
    killed: u64,
    stopped: u64,
    judged: u64,
    slow: u64,
    faults: Vec<String>,
}

struct Soak {
    sink: gst::Element,
    path: String,
    random: Random,
    tally: Tally,
}

impl Soak {
    fn reader(&mut self) -> Reader {
        self.tally.joined += 1;
        Reader::spawn(
            &self.path,
            &ReaderOptions {
                size: Some(SIZE),
                until: Some(u64::MAX),
                ..ReaderOptions::default()
            },
        )
    }

    fn guest(&mut self) -> Guest {
        let now = Instant::now();
        let lives = Duration::from_millis(1000 + self.random.below(8000));
        let stops = (self.random.below(2) == 0).then(|| {
            let from = now + Duration::from_millis(500 + self.random.below(3000));
            (from, from + Duration::from_millis(self.random.below(3000)))
        });
        Guest {
            reader: self.reader(),
            ends: now + lives,
            stops,
            is_stopped: false,
            was_stopped: false,
        }
    }

    /// False when it is gone.
    fn tend(&mut self, guest: &mut Guest) -> bool {
        let now = Instant::now();
        if let Some((from, to)) = guest.stops {
            if !guest.is_stopped && (from..to).contains(&now) {
                guest.reader.stop();
                guest.is_stopped = true;
                guest.was_stopped = true;
                self.tally.stopped += 1;
            } else if guest.is_stopped && now >= to {
                guest.reader.resume();
                guest.is_stopped = false;
            }
        }
        if now < guest.ends {
            return true;
        }
        if guest.is_stopped || self.random.below(2) == 0 {
            guest.reader.kill();
            self.tally.killed += 1;
        } else {
            let client = self.client(guest.reader.pid());
            guest.reader.close_input();
            let summary = guest.reader.try_summary(Duration::from_secs(10));
            self.judge(guest.reader.pid(), client, summary, guest.was_stopped);
        }
        false
    }

    fn client(&self, pid: u32) -> Option<gst::Structure> {
        let stats = self.sink.property::<gst::Structure>("stats");
        let clients = stats.get::<gst::Array>("clients").unwrap();
        clients
            .iter()
            .map(|client| client.get::<gst::Structure>().unwrap())
            .find(|client| client.get::<i32>("pid").unwrap() == pid as i32)
    }

    /// What it got is whole and in order, and if it acked in time nothing is missing.
    fn judge(
        &mut self,
        pid: u32,
        client: Option<gst::Structure>,
        summary: Option<Summary>,
        was_stopped: bool,
    ) {
        let (Some(client), Some(summary)) = (client, summary) else {
            self.tally
                .faults
                .push(format!("reader {pid} has no client or no summary"));
            return;
        };
        self.tally.judged += 1;
        let delay = Duration::from_nanos(client.get("ack-delay-max").unwrap());
        let skipped = client.get::<u64>("skipped").unwrap();
        let prompt = !was_stopped && delay < PERIOD * (WINDOW - 1);
        self.tally.slow += u64::from(!prompt);
        let whole =
            summary.torn == 0 && summary.disordered == 0 && summary.received == summary.distinct;
        if !whole || (prompt && skipped > 0) {
            self.tally.faults.push(format!(
                "reader {pid}: {summary:?}, skipped {skipped}, longest ack delay {delay:?}, was stopped: {was_stopped}"
            ));
        }
    }
}

fn main() -> ExitCode {
    common::reader::run_if_asked();
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let duration = Duration::from_secs(number("DURATION", 10));
    let seed = number("SEED", u64::from(std::process::id()) * 7919 + 1);
    println!("{duration:?}, SEED={seed}");
    let _watchdog = Watchdog::new("the soak", duration * 2 + Duration::from_secs(60));
    let faults = soak(duration, seed);
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    let passed = faults.is_empty();
    println!(
        "test t26_readers_come_and_go ... {}",
        if passed { "ok" } else { "FAILED" }
    );
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The faults that were found.
fn soak(duration: Duration, seed: u64) -> Vec<String> {
    let path = socket("soak");
    let (sink, bus) = element(Some(&path), &[("client-window", &WINDOW.to_string())]);
    let mut harness = gst_check::Harness::with_element(&sink, Some("sink"), None);
    sink.set_bus(Some(&bus));
    harness.set_src_caps_str("video/x-raw,format=NV12,width=1920,height=1080,framerate=60/1");
    harness.play();
    let mut soak = Soak {
        sink: sink.clone(),
        path,
        random: Random(seed),
        tally: Tally::default(),
    };
    let mut steady = [soak.reader(), soak.reader()];
    for reader in &mut steady {
        reader.line("ready");
    }
    wait_until("both are connected", Duration::from_secs(10), || {
        sink.property::<u32>("num-clients") == 2
    });
    let over = Arc::new(AtomicBool::new(false));
    let (pushed, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let pusher = {
        let (over, pushed, longest) = (over.clone(), pushed.clone(), longest.clone());
        thread::spawn(move || {
            let generator = Generator::new(SIZE);
            let mut next = Instant::now();
            for counter in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let frame = gst::Buffer::from_mut_slice(generator.frame(counter));
                thread::sleep(next.saturating_duration_since(Instant::now()));
                let before = Instant::now();
                harness.push(frame).unwrap();
                let took = before.elapsed();
                longest.fetch_max(took.as_micros() as u64, Ordering::SeqCst);
                pushed.fetch_add(1, Ordering::SeqCst);
                next = next.max(before) + PERIOD;
            }
            harness
        })
    };
    // There is an area now, and nobody but the two.
    wait_until("frames flow", Duration::from_secs(10), || {
        pushed.load(Ordering::SeqCst) > 10
    });
    let first = holdings();
    let begun = Instant::now();
    let mut guests: Vec<Guest> = Vec::new();
    let (mut half, mut checked, mut seen) = (None, Instant::now(), 0);
    while begun.elapsed() < duration {
        while guests.len() < RANDOM {
            guests.push(soak.guest());
        }
        guests.retain_mut(|guest| soak.tend(guest));
        if half.is_none() && begun.elapsed() > duration / 2 {
            half = Some(holdings());
        }
        if checked.elapsed() > FROZEN {
            checked = Instant::now();
            let now = pushed.load(Ordering::SeqCst);
            if now == seen {
                soak.tally.faults.push(format!("frozen at frame {now}"));
                break;
            }
            seen = now;
        }
        thread::sleep(Duration::from_millis(20));
    }
    for guest in &mut guests {
        guest.reader.kill();
    }
    let last_guests = guests.len();
    drop(guests);
    wait_until("the guests are gone", Duration::from_secs(10), || {
        sink.property::<u32>("num-clients") == 2
    });
    over.store(true, Ordering::SeqCst);
    let harness = pusher.join().unwrap();
    let mut last = holdings();
    wait_until(
        "file descriptors are as at first",
        Duration::from_secs(10),
        || {
            last = holdings();
            last.fds <= first.fds
        },
    );
    wait_until(
        "the steady readers have it all",
        Duration::from_secs(10),
        || {
            steady.iter().all(|reader| {
                let client = soak.client(reader.pid()).unwrap();
                client.get::<u64>("outstanding").unwrap() <= common::reader::KEPT
            })
        },
    );
    for mut reader in steady {
        let client = soak.client(reader.pid());
        let sent = client
            .as_ref()
            .map(|client| client.get::<u64>("sent").unwrap());
        reader.close_input();
        let summary = reader.try_summary(Duration::from_secs(10));
        if summary.map(|summary| summary.received) != sent {
            soak.tally
                .faults
                .push(format!("a steady reader got {summary:?} of {sent:?}"));
        }
        soak.judge(reader.pid(), client, summary, false);
    }
    wait_until("all are gone", Duration::from_secs(10), || {
        sink.property::<u32>("num-clients") == 0
    });
    let half = half.unwrap_or(last);
    let stats = sink.property::<gst::Structure>("stats");
    let stat = |name: &str| stats.get::<u64>(name).unwrap();
    let Tally {
        joined,
        killed,
        stopped,
        judged,
        slow,
        mut faults,
    } = soak.tally;
    println!(
        "{} frames, push p99 {} µs, longest {} µs; {joined} readers joined, {stopped} were stopped, {} killed, {judged} judged, {slow} of them slow; \
         dropped without a slot: {}",
        pushed.load(Ordering::SeqCst),
        stat("push-time-p99") / 1000,
        longest.load(Ordering::SeqCst),
        killed + last_guests as u64,
        stat("frames-dropped-no-slot")
    );
    println!("at first    {first:?}\nhalf of it  {half:?}\nat last     {last:?}");
    if last.anonymous > half.anonymous + (8 << 20) {
        faults.push("more memory than when half was over".to_owned());
    }
    if last.shared_memory > half.shared_memory + (WINDOW as usize * (SIZE + 131_072)) as u64 {
        faults.push("more shared memory than when half was over".to_owned());
    }
    if last.shared_memory != stat("shm-bytes") {
        faults.push(format!(
            "{} bytes of shared memory are said",
            stat("shm-bytes")
        ));
    }
    if let Some(error) = bus.pop_filtered(&[gst::MessageType::Error]) {
        faults.push(format!("{error:?}"));
    }
    if stat("frames-dropped-no-slot") > 0 {
        faults.push("frames were dropped for everybody".to_owned());
    }
    bus.set_flushing(true);
    drop(harness);
    faults
}
