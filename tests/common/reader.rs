//! Readers in processes of their own: a test program that is started again with `SHM_READER` set runs the stock `shmsrc ! appsink` and reports
//! on its standard output. It ends when its standard input does.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{
    frames::{self, Generator},
    wait_until,
};

const PATH: &str = "SHM_READER";
/// Expect frames of a [`Generator`] of this size...
const SIZE: &str = "SHM_READER_SIZE";
/// ...and report only the summary, once the frame with this counter has come.
const UNTIL: &str = "SHM_READER_UNTIL";
/// Keep so many frames for good.
const HOLD: &str = "SHM_READER_HOLD";
/// Elements between source and sink, as for gst-launch.
const CHAIN: &str = "SHM_READER_CHAIN";
/// Read with `shmsrc-rs` instead of `shmsrc`, with these properties.
const OURS: &str = "SHM_READER_OURS";
/// Read with another element that has a `socket-path`, such as `unixfdsrc`.
const ELEMENT: &str = "SHM_READER_ELEMENT";
/// Let the sink keep its last sample, as sinks do by default.
const LAST_SAMPLE: &str = "SHM_READER_LAST_SAMPLE";

/// Frames that `appsink` itself keeps, so that a reader always holds so many.
pub const KEPT: u64 = 1;

/// Our lines among those of the test program.
const MARK: &str = "@ ";

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The test program may be in the middle of a line.
    let _ = writeln!(out, "\n{MARK}{line}");
    let _ = out.flush();
}

/// Runs the reader and does not return, if this process was started as one.
pub fn run_if_asked() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    gst::init().unwrap();
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let until = number(UNTIL);
    let generator = number(SIZE).map(|size| Generator::new(size as usize));
    let hold = number(HOLD).unwrap_or(0) as usize;
    let source = match std::env::var(OURS) {
        Ok(properties) => {
            gstlibcamerars::plugin_register_static().unwrap();
            let description = format!("shmsrc-rs socket-path={path} {properties}");
            gst::parse::launch(&description).unwrap()
        }
        Err(_) => {
            let element = std::env::var(ELEMENT);
            gst::ElementFactory::make(element.as_deref().unwrap_or("shmsrc"))
                .property("socket-path", &path)
                .build()
                .unwrap()
        }
    };
    let sink = gst_app::AppSink::builder()
        .sync(false)
        // It keeps the frame that it handed out last, like most sinks; no other, please.
        .async_(false)
        .property(
            "enable-last-sample",
            std::env::var_os(LAST_SAMPLE).is_some(),
        )
        .build();
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, sink.upcast_ref()]).unwrap();
    match std::env::var(CHAIN) {
        Ok(chain) => {
            let chain = gst::parse::bin_from_description(&chain, true).unwrap();
            pipeline.add(&chain).unwrap();
            gst::Element::link_many([&source, chain.upcast_ref(), sink.upcast_ref()]).unwrap();
        }
        Err(_) => source.link(&sink).unwrap(),
    }

    let held = Mutex::new(Vec::new());
    let tally = Arc::new(Mutex::new(Tally::default()));
    let seen = tally.clone();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer_owned().unwrap();
                // Nothing else may keep the frame.
                drop(sample);
                let map = buffer.map_readable().unwrap();
                match &generator {
                    None => say(&format!("frame {} {:016x}", map.len(), frames::hash(&map))),
                    Some(generator) => {
                        let counter = generator.check(&map);
                        let mut tally = seen.lock().unwrap();
                        tally.count(counter);
                        if until.is_none() {
                            let text = counter.map_or("torn".to_owned(), |n| n.to_string());
                            say(&format!("counter {text}"));
                        } else if counter == until {
                            say(&tally.summary());
                        }
                    }
                }
                drop(map);
                let mut held = held.lock().unwrap();
                if held.len() < hold {
                    held.push(buffer);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    let bus = pipeline.bus().unwrap();
    std::thread::spawn(move || {
        for message in bus.iter_timed(gst::ClockTime::NONE) {
            match message.view() {
                gst::MessageView::Error(error) => say(&format!("error {}", error.error())),
                gst::MessageView::Eos(_) => say("eos"),
                _ => (),
            }
        }
    });
    match pipeline.set_state(gst::State::Playing) {
        Ok(_) => say("ready"),
        Err(_) => say("refused"),
    }
    for command in std::io::stdin().lines().map_while(Result::ok) {
        match command.as_str() {
            "null" => {
                pipeline.set_state(gst::State::Null).unwrap();
                say("nulled");
            }
            // A program that is started from here has every file descriptor that is not close-on-exec.
            "child" => {
                let mut child = Command::new("sleep")
                    .arg("1000")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                say(&format!("child {}", child.id()));
                std::thread::spawn(move || child.wait());
            }
            other => panic!("{other}"),
        }
    }
    say(&tally.lock().unwrap().summary());
    std::process::exit(0);
}

#[derive(Default)]
struct Tally {
    counters: BTreeSet<u64>,
    received: u64,
    torn: u64,
    disordered: u64,
}

impl Tally {
    fn count(&mut self, counter: Option<u64>) {
        self.received += 1;
        match counter {
            None => self.torn += 1,
            Some(counter) => {
                if self.counters.last().is_some_and(|last| *last >= counter) {
                    self.disordered += 1;
                }
                self.counters.insert(counter);
            }
        }
    }

    fn summary(&self) -> String {
        format!(
            "summary {} {} {} {}",
            self.received,
            self.counters.len(),
            self.torn,
            self.disordered
        )
    }
}

/// What a reader has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub received: u64,
    /// Different frames that arrived whole.
    pub distinct: u64,
    pub torn: u64,
    /// Frames that came after a later one.
    pub disordered: u64,
}

/// A frame as a reader saw it that does not know what to expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub size: usize,
    pub hash: u64,
}

impl Seen {
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len(),
            hash: frames::hash(bytes),
        }
    }
}

/// A reader process; killed when dropped.
pub struct Reader {
    child: Child,
    lines: Receiver<String>,
    later: VecDeque<String>,
}

/// How to start one.
#[derive(Default)]
pub struct ReaderOptions<'a> {
    /// Arguments that make this program come to [`run_if_asked`].
    pub arguments: &'a [&'a str],
    /// Frames of a [`Generator`] of this size are expected, and reported by counter.
    pub size: Option<usize>,
    /// Only a summary is reported, once this frame has come.
    pub until: Option<u64>,
    /// So many frames are kept for good.
    pub hold: usize,
    /// Elements between source and sink.
    pub chain: Option<&'a str>,
    pub last_sample: bool,
    /// Read with `shmsrc-rs`, with these properties.
    pub ours: Option<&'a str>,
    /// Read with this element instead of `shmsrc`.
    pub element: Option<&'a str>,
    /// A command that runs the reader, such as unshare with its options.
    pub inside: &'a [&'a str],
}

impl Reader {
    pub fn spawn(path: &str, options: &ReaderOptions<'_>) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = match options.inside {
            [] => Command::new(program),
            [outer, arguments @ ..] => {
                let mut command = Command::new(outer);
                command.args(arguments).arg(program);
                command
            }
        };
        command
            .args(options.arguments)
            .env(PATH, path)
            .env(HOLD, options.hold.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(size) = options.size {
            command.env(SIZE, size.to_string());
        }
        if let Some(until) = options.until {
            command.env(UNTIL, until.to_string());
        }
        if let Some(chain) = options.chain {
            command.env(CHAIN, chain);
        }
        if let Some(properties) = options.ours {
            command.env(OURS, properties);
        }
        if let Some(element) = options.element {
            command.env(ELEMENT, element);
        }
        if options.last_sample {
            command.env(LAST_SAMPLE, "1");
        }
        // A reader that is stopped would outlive a test that crashes or is killed.
        // SAFETY: between fork and exec there is nothing but one system call.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK)
                    && sender.send(line.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            later: VecDeque::new(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line that begins with `word`; lines before it are kept for later.
    pub fn try_line(&mut self, word: &str, timeout: Duration) -> Option<String> {
        let rest = |line: &str| {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            (first == word).then(|| rest.to_owned())
        };
        if let Some(at) = self.later.iter().position(|line| rest(line).is_some()) {
            return rest(&self.later.remove(at).unwrap());
        }
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if let Some(rest) = rest(&line) {
                return Some(rest);
            }
            self.later.push_back(line);
        }
    }

    pub fn line(&mut self, word: &str) -> String {
        self.try_line(word, Duration::from_secs(20))
            .unwrap_or_else(|| {
                panic!(
                    "reader {} said no {word:?} but {:?}",
                    self.pid(),
                    self.later
                )
            })
    }

    /// The next frame that it reports.
    pub fn frame(&mut self) -> Seen {
        parse_seen(&self.line("frame"))
    }

    /// The counter of the next frame that it reports, which must be whole.
    pub fn counter(&mut self) -> u64 {
        let line = self.line("counter");
        line.parse()
            .unwrap_or_else(|_| panic!("reader {} got a torn frame", self.pid()))
    }

    /// The counter of the next frame, if one is reported in time.
    pub fn try_counter(&mut self, timeout: Duration) -> Option<u64> {
        let line = self.try_line("counter", timeout)?;
        Some(line.parse().expect("a whole frame"))
    }

    pub fn try_summary(&mut self, timeout: Duration) -> Option<Summary> {
        let line = self.try_line("summary", timeout)?;
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Some(Summary {
            received: next(),
            distinct: next(),
            torn: next(),
            disordered: next(),
        })
    }

    /// Tells it to do something; see [`run_if_asked`].
    pub fn tell(&mut self, command: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
    }

    /// Lets it end by itself, having reported its summary.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Stops it, and returns when each of its threads is stopped.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        wait_until("the reader is stopped", Duration::from_secs(5), || {
            std::fs::read_dir(format!("/proc/{}/task", self.pid()))
                .unwrap()
                .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
                // The state comes after the name, which is in parentheses.
                .all(|stat| {
                    stat.rsplit(") ")
                        .next()
                        .is_some_and(|rest| rest.starts_with('T'))
                })
        });
    }

    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse_seen(line: &str) -> Seen {
    let mut words = line.split(' ');
    Seen {
        size: words.next().unwrap().parse().unwrap(),
        hash: u64::from_str_radix(words.next().unwrap(), 16).unwrap(),
    }
}
