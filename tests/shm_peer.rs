//! The failure tests that a stock `shmsink` can run as well, with either sink: `shmsink-rs` must pass each; what the stock one does is printed.
//! Each runs in a process of its own, as the sink may crash or hang there. `PEER=shmsink` runs the stock one, too.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{Read, Write},
    os::unix::{net::UnixListener, net::UnixStream, process::ExitStatusExt},
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    frames::Generator,
    reader::{Reader, ReaderOptions},
    rig::socket,
    wait_until,
};
use gst::prelude::*;

const SCENARIO: &str = "SHM_PEER";
const SOON: Duration = Duration::from_secs(5);
/// A scenario that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(25);

type Scenario = (&'static str, fn(&mut Sink));

const SCENARIOS: &[Scenario] = &[
    ("t01 one reader of three is stopped", |sink| {
        let (stopped, mut healthy) = (sink.reader(), [sink.reader(), sink.reader()]);
        stopped.stop();
        sink.in_step(&mut healthy, 200);
    }),
    ("t02 the same with frames of 1 kB, then NULL", |sink| {
        sink.resize(1000);
        let (stopped, mut healthy) = (sink.reader(), [sink.reader()]);
        stopped.stop();
        sink.in_step(&mut healthy, 1000);
    }),
    ("t03 readers are killed", |sink| {
        let mut healthy = [sink.reader()];
        for _ in 0..5 {
            let mut reader = sink.reader();
            sink.in_step(&mut healthy, 20);
            reader.kill();
        }
    }),
    ("t04 a reader in NULL holds a sample", |sink| {
        let mut holding = sink.reader_with(1);
        let mut healthy = [sink.reader()];
        sink.in_step(&mut healthy, 1);
        holding.counter();
        holding.tell("null");
        holding.line("nulled");
        sink.in_step(&mut healthy, 200);
    }),
    ("t05 a reader holds 100 frames of 1 MB", |sink| {
        let _holding = sink.reader_with(100);
        let mut healthy = [sink.reader()];
        sink.in_step(&mut healthy, 200);
    }),
    ("t06 a reader dies, its child has the connection", |sink| {
        let mut healthy = [sink.reader()];
        let mut parent = sink.reader();
        sink.in_step(&mut healthy, 1);
        parent.counter();
        parent.tell("child");
        let child: i32 = parent.line("child").parse().unwrap();
        parent.kill();
        sink.in_step(&mut healthy, 200);
        // SAFETY: a process that the reader has started, which nobody else ends.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }),
    ("t08 connect and close, 500 times", |sink| {
        let mut healthy = [sink.reader()];
        let path = sink.path.clone();
        let storm = thread::spawn(move || (0..500).for_each(|_| drop(UnixStream::connect(&path))));
        sink.in_step(&mut healthy, 100);
        storm.join().unwrap();
        let mut late = sink.reader();
        while late.try_counter(Duration::from_millis(20)).is_none() {
            sink.push(1);
        }
    }),
    ("t09 an ack comes twice", |sink| {
        let (mut healthy, mut client) = ([sink.reader()], sink.client());
        sink.in_step(&mut healthy, 1);
        let mut message = [0; 24];
        loop {
            client.read_exact(&mut message).unwrap();
            match message[0] {
                1 => client
                    .read_exact(&mut vec![0; usize::from(message[16])])
                    .unwrap(),
                _ => break,
            }
        }
        message[0] = 4;
        message[16..].fill(0);
        let _ = client.write_all(&[message, message].concat());
        sink.in_step(&mut healthy, 100);
    }),
    ("t10 a client never reads", |sink| {
        let (_silent, mut healthy) = (sink.client(), [sink.reader()]);
        sink.in_step(&mut healthy, 1000);
    }),
    ("t11 the same buffer twice, two readers", |sink| {
        let mut readers = [sink.reader(), sink.reader()];
        let buffer = gst::Buffer::from_slice(sink.generator.frame(0));
        for _ in 0..10 {
            sink.push_buffer(buffer.clone());
        }
        for reader in &mut readers {
            assert_eq!(reader.counter(), 0);
        }
        sink.next = 1;
    }),
    ("t12 a buffer without memory", |sink| {
        let mut healthy = [sink.reader()];
        sink.push_buffer(gst::Buffer::new());
        sink.in_step(&mut healthy, 10);
    }),
    ("t14 a socket was left by a killed process", |sink| {
        let path = sink.path.clone();
        sink.element.set_state(gst::State::Null).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        sink.element.set_state(gst::State::Playing).unwrap();
        UnixStream::connect(path).expect("readers find the sink at its path");
    }),
    ("t19 EOS beside a stopped reader", |sink| {
        let stopped = sink.reader();
        stopped.stop();
        sink.push(10);
        assert!(sink.harness.push_event(gst::event::Eos::new()));
    }),
    ("t20 NULL from a signal handler", |sink| {
        let (done, stopped) = mpsc::channel();
        sink.element
            .connect("client-connected", false, move |values| {
                let element = values[0].get::<gst::Element>().unwrap();
                element.set_state(gst::State::Null).unwrap();
                let _ = done.send(());
                None
            });
        let _client = UnixStream::connect(&sink.path).unwrap();
        stopped.recv_timeout(SOON).expect("the handler comes back");
    }),
    (
        "t22 upstream writes into the area, a reader is stopped",
        |sink| {
            sink.element.set_state(gst::State::Null).unwrap();
            let kind = sink.element.factory().unwrap().name();
            let pipeline = gst::parse::launch(&format!(
                "videotestsrc num-buffers=300 ! video/x-raw,format=RGB,width=800,height=600 \
             ! {kind} socket-path={} wait-for-connection=false sync=false",
                sink.path
            ))
            .unwrap();
            pipeline.set_state(gst::State::Ready).unwrap();
            let _stopped = UnixStream::connect(&sink.path).unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
            let message = pipeline
                .bus()
                .unwrap()
                .timed_pop_filtered(gst::ClockTime::from_seconds(10), &kinds)
                .expect("an end of the stream");
            assert_eq!(
                message.type_(),
                gst::MessageType::Eos,
                "the stream ended in an error"
            );
            pipeline.set_state(gst::State::Null).unwrap();
        },
    ),
];

/// Either sink, in use.
struct Sink {
    element: gst::Element,
    harness: gst_check::Harness,
    path: String,
    connected: Arc<AtomicU32>,
    generator: Generator,
    next: u64,
}

impl Sink {
    fn new(kind: &str) -> Self {
        let path = socket("peer");
        let element = gst::ElementFactory::make(kind)
            .property("socket-path", &path)
            .property("wait-for-connection", false)
            .property("sync", false)
            .build()
            .unwrap();
        let connected = Arc::new(AtomicU32::new(0));
        let count = connected.clone();
        element.connect("client-connected", false, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), None);
        harness.set_src_caps_str("application/x-test");
        harness.play();
        Self {
            element,
            harness,
            path,
            connected,
            generator: Generator::new(1_000_000),
            next: 0,
        }
    }

    fn resize(&mut self, size: usize) {
        self.generator = Generator::new(size);
    }

    fn push_buffer(&mut self, buffer: gst::Buffer) {
        let begun = Instant::now();
        self.harness.push(buffer).expect("a push that works");
        assert!(begun.elapsed() < SOON, "a push takes too long");
    }

    fn push(&mut self, frames: u64) {
        for counter in self.next..self.next + frames {
            self.push_buffer(gst::Buffer::from_slice(self.generator.frame(counter)));
        }
        self.next += frames;
    }

    fn in_step(&mut self, readers: &mut [Reader], frames: u64) {
        for _ in 0..frames {
            let counter = self.next;
            self.push(1);
            for reader in &mut *readers {
                // A reader that came late or was passed by has earlier ones to report.
                while reader.counter() < counter {}
            }
        }
    }

    fn reader(&self) -> Reader {
        self.reader_with(0)
    }

    fn reader_with(&self, hold: usize) -> Reader {
        let before = self.connected.load(Ordering::SeqCst);
        let mut reader = Reader::spawn(
            &self.path,
            &ReaderOptions {
                size: Some(self.generator.size()),
                hold,
                ..ReaderOptions::default()
            },
        );
        reader.line("ready");
        wait_until("the reader is taken on", SOON, || {
            self.connected.load(Ordering::SeqCst) > before
        });
        reader
    }

    fn client(&self) -> UnixStream {
        let before = self.connected.load(Ordering::SeqCst);
        let client = UnixStream::connect(&self.path).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        wait_until("the client is taken on", SOON, || {
            self.connected.load(Ordering::SeqCst) > before
        });
        client
    }
}

/// What a stock sink that was killed has left.
fn remove_stock_areas(pid: u32) {
    for entry in std::fs::read_dir("/dev/shm").unwrap().flatten() {
        let name = entry.file_name();
        if name
            .to_string_lossy()
            .starts_with(&format!("shmpipe.{pid:5}."))
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What became of a scenario, in a few words; `Err` if it is not passed.
fn outcome(kind: &str, name: &str) -> Result<(), String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(SCENARIO, format!("{kind}/{name}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            remove_stock_areas(child.id());
            return Err("hangs".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().unwrap();
    remove_stock_areas(child.id());
    let _ = std::fs::remove_file(std::env::temp_dir().join(format!("shm-peer.{}", child.id())));
    match (status.signal(), status.code()) {
        (Some(libc::SIGABRT | libc::SIGTRAP), _) => Err("aborts the process".to_owned()),
        (Some(libc::SIGSEGV), _) => Err("crashes the process".to_owned()),
        (_, Some(0)) => Ok(()),
        _ => {
            let mut text = String::new();
            let mut errors = child.stderr.take().unwrap();
            let _ = errors.read_to_string(&mut text);
            let reason = text
                .lines()
                .skip_while(|line| !line.contains("panicked"))
                .nth(1);
            Err(format!("fails: {}", reason.unwrap_or("no reason")))
        }
    }
}

fn main() -> ExitCode {
    common::reader::run_if_asked();
    if let Ok(wanted) = std::env::var(SCENARIO) {
        let (kind, name) = wanted.split_once('/').unwrap();
        gst::init().unwrap();
        gstlibcamerars::plugin_register_static().unwrap();
        let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap();
        let mut sink = Sink::new(kind);
        scenario(&mut sink);
        sink.element.set_state(gst::State::Null).unwrap();
        return ExitCode::SUCCESS;
    }
    let peer = std::env::var("PEER").ok();
    let mut all = true;
    for (name, _) in SCENARIOS {
        let ours = outcome("shmsink-rs", name);
        all &= ours.is_ok();
        let verdict = if ours.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {verdict}", name.replace(' ', "_"));
        if let Err(reason) = &ours {
            println!("  {name}: {reason}");
        }
        if let Some(peer) = &peer {
            let theirs = outcome(peer, name).err().unwrap_or("passes".to_owned());
            println!("| {name} | {theirs} |");
        }
    }
    if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
