//! `shmsink-rs` and the stock `shmsink` in turn, with readers that run and readers that are stopped. `benches/shm_sink.sh` says how to run it,
//! `benches/shm_sink.md` keeps what it found.
//!
//! Each cell is a process of its own, because the stock sink may neither go on nor stop; its readers are stock `shmsrc ! fakesink` in theirs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

const CELL: &str = "SHM_BENCH_CELL";
const READER: &str = "SHM_BENCH_READER";
/// A push that takes longer is looked into: it is late, or the sink is frozen.
const LATE: Duration = Duration::from_secs(2);
/// How much longer it may take then, if it is not the stock sink's, which is known to freeze.
const FROZEN: Duration = Duration::from_secs(30);

struct Format {
    name: &'static str,
    caps: &'static str,
    size: usize,
    rate: u64,
}

const FORMATS: [Format; 4] = [
    Format {
        name: "S",
        caps: "video/x-raw,format=RGB,width=1600,height=1300,framerate=20/1",
        size: 6_240_000,
        rate: 20,
    },
    Format {
        name: "H",
        caps: "video/x-raw,format=NV12,width=1920,height=1080,framerate=60/1",
        size: 3_110_400,
        rate: 60,
    },
    Format {
        name: "K",
        caps: "video/x-raw,format=NV12,width=3840,height=2160,framerate=60/1",
        size: 12_441_600,
        rate: 60,
    },
    Format {
        name: "A",
        caps: "application/x-test",
        size: 1000,
        rate: 1000,
    },
];

fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn main() {
    if std::env::var_os(READER).is_some() {
        return reader();
    }
    if let Ok(cell) = std::env::var(CELL) {
        return run_cell(&cell);
    }
    let formats = std::env::var("FORMATS").unwrap_or("SHKA".to_owned());
    let repeats = number("REPEATS", 1);
    println!(
        "| format | readers | stopped | sink | push p50 | p99 | max | healthy got | frozen | to NULL | to fresh after SIGCONT | shared memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for format in FORMATS
        .iter()
        .filter(|format| formats.contains(format.name))
    {
        let mut cells: Vec<(usize, usize)> = [0, 1, 4, 8, 16, 32].map(|n| (n, 0)).to_vec();
        cells.extend([
            (4, 1),
            (4, 2),
            (4, 3),
            (32, 1),
            (32, 16),
            (32, 31),
            (32, 32),
        ]);
        if let Ok(only) = std::env::var("CELLS") {
            let named = |(readers, stopped): &(usize, usize)| format!("{readers}:{stopped}");
            cells.retain(|cell| only.split(' ').any(|name| name == named(cell)));
        }
        for (readers, stopped) in cells {
            for _ in 0..repeats {
                // What a push takes anyway is told by a sink that does nothing.
                let kinds = ["shmsink", "shmsink-rs", "fakesink"];
                for kind in &kinds[..if readers == 0 { 3 } else { 2 }] {
                    cell(kind, format.name, readers, stopped);
                }
            }
        }
    }
}

fn cell(kind: &str, format: &str, readers: usize, stopped: usize) {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(CELL, format!("{kind} {format} {readers} {stopped}"))
        .stderr(if kind == "shmsink" {
            Stdio::null()
        } else {
            Stdio::inherit()
        })
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find_map(|line| line.strip_prefix("row "));
    let row = row.unwrap_or("it crashed | | | | | | |");
    println!("| {format} | {readers} | {stopped} | {kind} | {row} |");
    std::io::stdout().flush().unwrap();
}

// ---------------------------------------------------------------- a reader

/// Says how many frames came, and after `fresh` on its input when the next one came that was not old.
fn reader() {
    gst::init().unwrap();
    let path = std::env::var(READER).unwrap();
    let pipeline = gst::parse::launch(&format!(
        "shmsrc socket-path={path} ! fakesink name=end sync=false async=false"
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let frames = Arc::new(AtomicU64::new(0));
    // The newest frame's stamp, when it came, and the stamp that is waited for.
    let newest = Arc::new(Mutex::new((0u64, 0u64, None::<u64>)));
    let pad = pipeline.by_name("end").unwrap().static_pad("sink").unwrap();
    let (count, seen) = (frames.clone(), newest.clone());
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        count.fetch_add(1, Ordering::Relaxed);
        let mut stamp = [0; 8];
        if let Some(buffer) = info.buffer() {
            let _ = buffer.copy_to_slice(0, &mut stamp);
        }
        let mut seen = seen.lock().unwrap();
        (seen.0, seen.1) = (u64::from_ne_bytes(stamp), now());
        say_if_fresh(&mut seen);
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    println!("ready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if let Some(since) = line.strip_prefix("fresh ") {
            let mut newest = newest.lock().unwrap();
            newest.2 = Some(since.parse().unwrap());
            say_if_fresh(&mut newest);
        } else {
            println!("frames {}", frames.load(Ordering::Relaxed));
        }
    }
    std::process::exit(0);
}

fn say_if_fresh((stamp, came, wanted): &mut (u64, u64, Option<u64>)) {
    if wanted.is_some_and(|wanted| *stamp >= wanted) {
        *wanted = None;
        println!("fresh {came}");
    }
}

struct Reader {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Reader {
    fn new(path: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(READER, path)
            .env_remove(CELL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn tell(&mut self, line: &str) {
        let _ = writeln!(self.child.stdin.as_mut().unwrap(), "{line}");
    }

    fn line(&self, word: &str) -> Option<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if let Some(rest) = line.strip_prefix(word) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn frames(&mut self) -> Option<u64> {
        self.tell("count");
        self.line("frames")?.parse().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---------------------------------------------------------------- a cell

struct Pusher {
    /// How long each push took; ends when the pusher does.
    times: mpsc::Receiver<Duration>,
    over: mpsc::Sender<()>,
    newest: Arc<AtomicU64>,
    /// Whether it is in a push; if not it sleeps until the next is due.
    pushes: Arc<AtomicBool>,
    patience: Duration,
}

/// Pushes at the format's rate until told to stop.
/// What the sink offers to write into, with ZERO_COPY=1.
enum Offered {
    Nothing,
    Pool(gst::BufferPool),
    Allocator(gst::Allocator),
}

impl Offered {
    fn of(harness: &gst_check::Harness, format: &Format) -> Self {
        if number("ZERO_COPY", 0) == 0 {
            return Self::Nothing;
        }
        let caps: gst::Caps = format.caps.parse().unwrap();
        let mut query = gst::query::Allocation::new(Some(&caps), true);
        if !harness.srcpad().unwrap().peer_query(&mut query) {
            return Self::Nothing;
        }
        if let Some(pool) = query.allocation_pools().find_map(|(pool, ..)| pool) {
            let pool = pool.to_owned();
            pool.set_active(true).unwrap();
            return Self::Pool(pool);
        }
        let allocator = query
            .allocation_params()
            .find_map(|(allocator, _)| allocator);
        // Of frames whose size the caps do not say some sinks offer nothing.
        allocator.map_or(Self::Nothing, |allocator| {
            Self::Allocator(allocator.to_owned())
        })
    }

    /// A buffer to write the next frame into; `None` where frames are copied.
    fn buffer(&self, format: &Format) -> Option<gst::Buffer> {
        match self {
            Self::Nothing => None,
            Self::Pool(pool) => pool.acquire_buffer(None).ok(),
            Self::Allocator(allocator) => {
                let mut buffer = gst::Buffer::new();
                let memory = allocator.alloc(format.size, None).ok()?;
                buffer.get_mut()?.append_memory(memory);
                Some(buffer)
            }
        }
    }
}

fn push(mut harness: gst_check::Harness, format: &'static Format, patience: Duration) -> Pusher {
    let (pushed, times) = mpsc::channel();
    let (over, is_over) = mpsc::channel();
    let newest = Arc::new(AtomicU64::new(0));
    let stamp_of_newest = newest.clone();
    let pushes = Arc::new(AtomicBool::new(false));
    let is_pushing = pushes.clone();
    let offered = Offered::of(&harness, format);
    let work = move || {
        // More than a sink keeps, so that one can always be written.
        let mut buffers: Vec<gst::Buffer> = (0..4)
            .map(|value| gst::Buffer::from_mut_slice(vec![value; format.size]))
            .collect();
        let period = Duration::from_secs(1) / format.rate as u32;
        let mut next = Instant::now();
        for index in 0.. {
            if !matches!(is_over.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                break;
            }
            let slot = index % buffers.len();
            if let Some(buffer) = offered.buffer(format) {
                buffers[slot] = buffer;
            }
            let buffer = &mut buffers[slot];
            let stamp = now();
            if let Some(buffer) = buffer.get_mut() {
                buffer.copy_from_slice(0, &stamp.to_ne_bytes()).unwrap();
            }
            let buffer = match offered {
                Offered::Nothing => buffer.clone(),
                // It is the sink's alone from now on.
                _ => std::mem::take(buffer),
            };
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let before = Instant::now();
            is_pushing.store(true, Ordering::SeqCst);
            let result = harness.push(buffer);
            is_pushing.store(false, Ordering::SeqCst);
            let _ = pushed.send(before.elapsed());
            stamp_of_newest.store(stamp, Ordering::SeqCst);
            if let Err(error) = result {
                eprintln!("push: {error}");
                break;
            }
            next = next.max(before) + period;
        }
        // Its element goes to NULL when it is dropped, which is up to the cell.
        std::mem::forget(harness);
    };
    thread::Builder::new()
        .name("pusher".to_owned())
        .spawn(work)
        .unwrap();
    Pusher {
        times,
        over,
        newest,
        pushes,
        patience,
    }
}

impl Pusher {
    /// The pushes of so much time; `None` when one does not come back.
    fn pushes(&self, duration: Duration) -> Option<Vec<Duration>> {
        let until = Instant::now() + duration;
        let mut times = Vec::new();
        while Instant::now() < until {
            match self.times.recv_timeout(LATE).or_else(|_| self.late()) {
                Ok(time) => times.push(time),
                Err(error) => {
                    eprintln!("no push: {error}");
                    return None;
                }
            }
        }
        Some(times)
    }

    /// Says what holds the push up: a thread that waits to run (its delay grows by seconds) is the machine's business, one that sleeps in a lock
    /// is ours. Then waits on.
    fn late(&self) -> Result<Duration, mpsc::RecvTimeoutError> {
        let before = run_delays();
        eprintln!(
            "no push for {LATE:?}; the pusher is {}",
            if self.pushes.load(Ordering::SeqCst) {
                "in a push"
            } else {
                "not in a push"
            }
        );
        let begun = Instant::now();
        let came = self.times.recv_timeout(self.patience);
        eprintln!("{came:?} after {:?} more", begun.elapsed());
        for (thread, (name, state, delay)) in run_delays() {
            let earlier = before.get(&thread).map_or(0, |(_, _, delay)| *delay);
            let grown = Duration::from_nanos(delay - earlier);
            eprintln!(
                "  {name}: {state}, has waited to run for {:?}, {grown:?} of them since",
                Duration::from_nanos(delay)
            );
        }
        came
    }

    /// Ends it, so that it is not the pusher's last push that a change of state waits for.
    fn end(self) {
        let _ = self.over.send(());
        while self.times.recv_timeout(self.patience).is_ok() {}
    }
}

/// Of each thread of this process: its name, its state, and how long it has waited to run, in nanoseconds.
fn run_delays() -> BTreeMap<String, (String, String, u64)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter_map(|task| {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
            let (name, status, delay) = (read("comm")?, read("status")?, read("schedstat")?);
            let state = status
                .lines()
                .find_map(|line| line.strip_prefix("State:"))?;
            let delay = delay.split_whitespace().nth(1)?.parse().ok()?;
            let thread = task.file_name().to_string_lossy().into_owned();
            Some((
                thread,
                (name.trim().to_owned(), state.trim().to_owned(), delay),
            ))
        })
        .collect()
}

/// This process's shared memory objects, of either sink. The stock one pads the number with spaces.
fn areas() -> impl Iterator<Item = std::fs::DirEntry> {
    let pid = std::process::id();
    let names = [format!(".{pid}."), format!("shmpipe.{pid:5}.")];
    std::fs::read_dir("/dev/shm")
        .unwrap()
        .flatten()
        .filter(move |entry| {
            let name = entry.file_name();
            names
                .iter()
                .any(|ours| name.to_string_lossy().contains(ours))
        })
}

fn run_cell(cell: &str) {
    let words: Vec<&str> = cell.split(' ').collect();
    let [kind, format, readers, stopped] = words[..] else {
        panic!("{cell}");
    };
    let format = FORMATS.iter().find(|known| known.name == format).unwrap();
    let (readers, stopped): (usize, usize) = (readers.parse().unwrap(), stopped.parse().unwrap());
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let path = std::env::temp_dir().join(format!("shm-bench.{}", std::process::id()));
    let path = path.to_str().unwrap();
    let sink = gst::ElementFactory::make(kind)
        .property("sync", false)
        .build()
        .unwrap();
    let connected = Arc::new(AtomicU64::new(0));
    if kind != "fakesink" {
        sink.set_property("socket-path", path);
        sink.set_property("wait-for-connection", false);
        let count = connected.clone();
        sink.connect("client-connected", false, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
    }
    match kind {
        "shmsink" => sink.set_property("shm-size", 128u32 << 20),
        "shmsink-rs" => sink.set_property("max-clients", 32u32),
        _ => (),
    }
    let mut harness = gst_check::Harness::with_element(&sink, Some("sink"), None);
    harness.set_src_caps_str(format.caps);
    harness.play();
    let mut running: Vec<Reader> = (0..readers).map(|_| Reader::new(path)).collect();
    for reader in &running {
        reader.line("ready").expect("a reader starts");
    }
    while connected.load(Ordering::SeqCst) < readers as u64 {
        thread::sleep(Duration::from_millis(1));
    }
    let seconds = Duration::from_secs(number("DURATION", 3));
    let patience = if kind == "shmsink" {
        Duration::ZERO
    } else {
        FROZEN
    };
    let pusher = push(harness, format, patience);
    // Caches, page tables and memory settle.
    let mut warm = pusher.pushes(Duration::from_secs(1));
    let has_memory = || {
        kind != "shmsink-rs"
            || sink
                .property::<gst::Structure>("stats")
                .get::<u64>("slots-reserved")
                .unwrap()
                >= 2 + 4 * readers as u64
    };
    while warm.is_some() && !has_memory() {
        warm = pusher.pushes(Duration::from_millis(100));
    }
    let mut halted = running.split_off(readers - stopped);
    for reader in &halted {
        reader.signal(rustix::process::Signal::STOP);
    }
    let before: Vec<Option<u64>> = running.iter_mut().map(Reader::frames).collect();
    let mut times = warm.and_then(|_| pusher.pushes(seconds));
    let memory: u64 = areas()
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| std::os::unix::fs::MetadataExt::blocks(&data) * 512)
        .sum();
    // One more or less: a frame is under way when they are asked.
    let got: Option<u64> = running
        .iter_mut()
        .zip(before)
        .map(|(reader, before)| Some(reader.frames()? - before?))
        .min()
        .flatten();
    let fresh = halted
        .first_mut()
        .filter(|_| times.is_some())
        .and_then(|reader| {
            let since = pusher.newest.load(Ordering::SeqCst);
            reader.tell(&format!("fresh {since}"));
            let resumed = now();
            reader.signal(rustix::process::Signal::CONT);
            let came: u64 = reader.line("fresh")?.parse().ok()?;
            Some(Duration::from_nanos(came.saturating_sub(resumed)))
        });
    let frozen = times.is_none() || pusher.pushes(Duration::from_millis(100)).is_none();
    pusher.end();
    let (done, null) = mpsc::channel();
    thread::spawn(move || {
        let begun = Instant::now();
        let _ = sink.set_state(gst::State::Null);
        let _ = done.send(begun.elapsed());
    });
    let null = null.recv_timeout(Duration::from_secs(3)).ok();
    let text = |duration: Option<Duration>| {
        duration.map_or("-".to_owned(), |d| {
            format!("{:.0} µs", d.as_secs_f64() * 1e6)
        })
    };
    let pushes = times.as_ref().map_or(0, Vec::len) as u64;
    let at = |times: &mut Option<Vec<Duration>>, per_mille: usize| {
        let times = times.as_mut()?;
        times.sort();
        times
            .get((times.len() * per_mille / 1000).min(times.len() - 1))
            .copied()
    };
    let (p50, p99, max) = (
        at(&mut times, 500),
        at(&mut times, 990),
        at(&mut times, 1000),
    );
    let healthy = match got {
        Some(got) if pushes > 0 => {
            format!(
                "{:.1} %",
                ((got + 1) as f64 / pushes as f64 * 100.0).min(100.0)
            )
        }
        _ => "-".to_owned(),
    };
    println!(
        "row {} | {} | {} | {healthy} | {} | {} | {} | {:.1} MB",
        text(p50),
        text(p99),
        text(max),
        if frozen { "**yes**" } else { "no" },
        null.map_or("**hung**".to_owned(), |took| format!(
            "{:.1} ms",
            took.as_secs_f64() * 1e3
        )),
        text(fresh),
        memory as f64 / 1e6
    );
    std::io::stdout().flush().unwrap();
    // What a stock sink that does not stop leaves.
    let _ = std::fs::remove_file(path);
    areas().for_each(|entry| drop(std::fs::remove_file(entry.path())));
    drop((running, halted));
    std::process::exit(0);
}
