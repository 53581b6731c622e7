//! Frame integrity: what readers in other processes receive is what was sent, every byte of it, and a reader that does its part misses nothing,
//! while another one is stopped half of the time.
//!
//! Four stock `shmsrc` readers; the last is stopped (SIGSTOP) for every second second. Frames carry a counter, which tells
//! readers every byte that must be there.
//! `client-window` is 100 ms worth of frames, 4 to 64. A reader whose longest ack delay stayed below (window - 1) frame periods must have every
//! frame. A run in which a reader was slower than that is the machine's noise: it is reported and repeated, and more than 1 % of the runs (or
//! more than one, below 100 runs) fails.
//!
//! The full size, about three and a half minutes:
//!
//! ```text
//! FRAMES=10000 cargo test --release --no-default-features --features harness --test shm_integrity
//! ```
//!
//! `FORMAT=video` or `FORMAT=small` runs one of the two, `RUNS=` repeats them, and `SINK=shmsink` runs the stock element instead, for
//! comparison; nothing is required of that one but to be described.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    frames::Generator,
    reader::{Reader, ReaderOptions, Summary},
    wait_until,
    watchdog::Watchdog,
};
use gst::prelude::*;

const READERS: usize = 4;
/// The one that is stopped half of the time.
const STOPPED: usize = READERS - 1;
/// No push may take this long; the stock element's do.
const FROZEN: Duration = Duration::from_secs(3);

struct Format {
    name: &'static str,
    caps: &'static str,
    size: usize,
    rate: u64,
    frames: u64,
}

const FORMATS: [Format; 2] = [
    Format {
        name: "video",
        caps: "video/x-raw,format=NV12,width=1280,height=720,framerate=60/1",
        size: 1280 * 720 * 3 / 2,
        rate: 60,
        frames: 600,
    },
    Format {
        name: "small",
        caps: "application/x-test",
        size: 1000,
        rate: 1000,
        frames: 3000,
    },
];

#[derive(PartialEq, Eq)]
enum Verdict {
    Good,
    Noise,
    Bad,
}

struct Run {
    sink: gst::Element,
    stock: bool,
    socket: String,
    frames: u64,
    window: u64,
    period: Duration,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

fn main() -> ExitCode {
    common::reader::run_if_asked();
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let only = std::env::var("FORMAT").ok();
    let wanted = FORMATS
        .iter()
        .filter(|format| only.as_deref().is_none_or(|only| only == format.name));
    let mut whole = true;
    for format in wanted {
        let passed = runs_are_whole(format);
        println!(
            "test t24_frames_are_whole::{} ... {}",
            format.name,
            if passed { "ok" } else { "FAILED" }
        );
        whole &= passed;
    }
    if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn runs_are_whole(format: &Format) -> bool {
    let runs = number("RUNS").unwrap_or(1);
    let (mut left, mut noisy) = (runs, 0);
    while left > 0 {
        match run(format) {
            Verdict::Good => left -= 1,
            Verdict::Bad => return false,
            Verdict::Noise => noisy += 1,
        }
        if noisy > (runs / 100).max(1) {
            println!("{noisy} of {runs} runs were noisy");
            return false;
        }
    }
    true
}

fn run(format: &Format) -> Verdict {
    let kind = std::env::var("SINK").unwrap_or("shmsink-rs".to_owned());
    let stock = kind == "shmsink";
    let frames = number("FRAMES").unwrap_or(format.frames);
    let period = Duration::from_secs(1) / u32::try_from(format.rate).unwrap();
    let window = (format.rate / 10).clamp(4, 64);
    let socket = std::env::temp_dir()
        .join(format!("shm-integrity.{}", std::process::id()))
        .to_str()
        .unwrap()
        .to_owned();
    let sink = gst::ElementFactory::make(&kind)
        .property("socket-path", &socket)
        .property("wait-for-connection", false)
        .property("sync", false)
        .build()
        .unwrap();
    if !stock {
        sink.set_property("client-window", u32::try_from(window).unwrap());
    }
    println!(
        "\n{kind}, {}: {frames} frames of {} bytes at {}/s, client-window {window}",
        format.name, format.size, format.rate
    );
    let run = Run {
        sink,
        stock,
        socket,
        frames,
        window,
        period,
    };
    run.go(format)
}

impl Run {
    fn go(&self, format: &Format) -> Verdict {
        let _watchdog = Watchdog::new(
            "the run",
            self.period * u32::try_from(self.frames).unwrap() * 3 + Duration::from_secs(60),
        );
        let mut harness = gst_check::Harness::with_element(&self.sink, Some("sink"), None);
        harness.set_src_caps_str(format.caps);
        harness.play();
        let connected = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        let count = connected.clone();
        self.sink.connect("client-connected", false, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        for number in 1..=READERS {
            let options = ReaderOptions {
                arguments: &[],
                size: Some(format.size),
                until: Some(self.frames - 1),
                ..ReaderOptions::default()
            };
            readers.push(Reader::spawn(&self.socket, &options));
            wait_until("a reader connects", Duration::from_secs(20), || {
                connected.load(Ordering::SeqCst) == number as u64
            });
        }
        for reader in &mut readers {
            reader.line("ready");
        }

        let Some(mut pushes) = self.push_all(harness, format, &readers) else {
            return self.describe_frozen(readers);
        };
        readers[STOPPED].resume();
        let summaries: Vec<Option<Summary>> = readers
            .iter_mut()
            .map(|reader| reader.try_summary(Duration::from_secs(10)))
            .collect();
        let delays: Vec<Option<Client>> = readers
            .iter()
            .map(|reader| client_of(&self.sink, reader.pid()))
            .collect();
        let verdict = self.judge(&readers, &summaries, &delays);
        pushes.sort();
        println!(
            "push: median {:?}, 99 % {:?}, longest {:?}",
            pushes[pushes.len() / 2],
            pushes[pushes.len() * 99 / 100],
            pushes[pushes.len() - 1]
        );
        if !self.stock {
            println!("{}", totals(&self.sink));
        }
        self.sink.set_state(gst::State::Null).unwrap();
        verdict
    }

    /// Pushes every frame at its time from a thread of its own, and stops and resumes the one reader. Says how long each push took; `None` when
    /// one did not come back.
    fn push_all(
        &self,
        mut harness: gst_check::Harness,
        format: &Format,
        readers: &[Reader],
    ) -> Option<Vec<Duration>> {
        let (pushed, progress) = mpsc::channel();
        let generator = Generator::new(format.size);
        let (frames, period) = (self.frames, self.period);
        thread::spawn(move || {
            let mut next = Instant::now();
            for counter in 0..frames {
                let buffer = gst::Buffer::from_mut_slice(generator.frame(counter));
                thread::sleep(next.saturating_duration_since(Instant::now()));
                let before = Instant::now();
                harness.push(buffer).unwrap();
                let after = Instant::now();
                if pushed.send(after - before).is_err() {
                    break;
                }
                // A late frame is not made up for: readers are promised a rate.
                next = next.max(before) + period;
            }
            // Its element goes to NULL when it is dropped, which is up to the test.
            std::mem::forget(harness);
        });
        let second = format.rate;
        let mut times = Vec::new();
        for counter in 0..frames {
            if counter % second == 0 {
                if counter / second % 2 == 1 {
                    readers[STOPPED].stop();
                } else {
                    readers[STOPPED].resume();
                }
            }
            match progress.recv_timeout(FROZEN) {
                Ok(time) => times.push(time),
                Err(_) => {
                    println!("FROZEN: frame {counter} has been in its push for {FROZEN:?}");
                    return None;
                }
            }
        }
        Some(times)
    }

    fn judge(
        &self,
        readers: &[Reader],
        summaries: &[Option<Summary>],
        clients: &[Option<Client>],
    ) -> Verdict {
        let limit = self.period * u32::try_from(self.window - 1).unwrap();
        let mut verdict = Verdict::Good;
        println!(
            "reader       pid  stopped  received  missing  torn  disordered  skipped  most held  longest ack delay"
        );
        for (number, reader) in readers.iter().enumerate() {
            let stopped = number == STOPPED;
            let client = clients[number].as_ref();
            let Some(summary) = summaries[number] else {
                println!(
                    "{number:6} {:9}  the last frame did not arrive",
                    reader.pid()
                );
                verdict = Verdict::Bad;
                continue;
            };
            let missing = self.frames - summary.distinct;
            let text = |value: Option<String>| value.unwrap_or("-".to_owned());
            println!(
                "{number:6} {:9}  {:7}  {:8}  {missing:7}  {:4}  {:10}  {:>7}  {:>9}  {}",
                reader.pid(),
                if stopped { "half" } else { "no" },
                summary.received,
                summary.torn,
                summary.disordered,
                text(client.map(|client| client.skipped.to_string())),
                text(client.map(|client| client.max_outstanding.to_string())),
                text(client.map(|client| format!("{:?}", client.ack_delay_max))),
            );
            let whole = summary.torn == 0
                && summary.disordered == 0
                && summary.received == summary.distinct;
            // The sink and the reader agree about what was not sent.
            let agreed = client.is_none_or(|client| client.skipped == missing);
            if !whole || !agreed {
                verdict = Verdict::Bad;
            }
            if !stopped && verdict != Verdict::Bad {
                let prompt = client.is_none_or(|client| client.ack_delay_max < limit);
                match (prompt, missing) {
                    (true, 0) => (),
                    (true, _) => verdict = Verdict::Bad,
                    (false, _) => verdict = Verdict::Noise,
                }
            }
        }
        match verdict {
            _ if self.stock => verdict = Verdict::Good,
            Verdict::Bad => println!("FAILED"),
            Verdict::Noise => {
                println!(
                    "NOISE: a reader took longer than {limit:?}; what it may have missed proves nothing"
                )
            }
            Verdict::Good => (),
        }
        verdict
    }

    fn describe_frozen(&self, mut readers: Vec<Reader>) -> Verdict {
        for reader in &mut readers {
            // Where it stands while the sink is frozen: the stopped one stays so.
            reader.close_input();
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            match reader.try_summary(Duration::from_secs(2)) {
                Some(summary) => println!(
                    "reader {number}: {} frames received, {} torn",
                    summary.received, summary.torn
                ),
                None => println!("reader {number}: stopped"),
            }
        }
        // Not even NULL comes back from there.
        drop(readers);
        let _ = std::fs::remove_file(&self.socket);
        std::process::exit(i32::from(!self.stock));
    }
}

struct Client {
    ack_delay_max: Duration,
    skipped: u64,
    max_outstanding: u64,
}

fn client_of(sink: &gst::Element, pid: u32) -> Option<Client> {
    let stats = sink.property::<gst::Structure>("stats");
    let clients = stats.get::<gst::Array>("clients").ok()?;
    clients.iter().find_map(|client| {
        let client = client.get::<gst::Structure>().unwrap();
        (client.get::<i32>("pid").unwrap() == pid as i32).then(|| Client {
            ack_delay_max: Duration::from_nanos(client.get("ack-delay-max").unwrap()),
            skipped: client.get("skipped").unwrap(),
            max_outstanding: client.get("max-outstanding").unwrap(),
        })
    })
}

fn totals(sink: &gst::Element) -> String {
    let stats = sink.property::<gst::Structure>("stats");
    [
        "frames-in",
        "frames-published",
        "frames-dropped-no-slot",
        "slots-total",
        "slots-reserved",
        "shm-bytes",
    ]
    .map(|name| format!("{name} {}", stats.get::<u64>(name).unwrap()))
    .join(", ")
}
