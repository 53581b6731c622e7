//! `shmsrc-rs` and producers in processes of their own: killed, started again, stopped, and stock ones; and readers that see nothing but the socket.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{
    reader::{Reader, ReaderOptions},
    rig::{READER_TEST, Rig, alone, socket},
    source_rs::ShmReader,
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);
const PRODUCER: &str = "SHM_RESTART_PRODUCER";
const CAPS: &str = "video/x-raw,format=GRAY8,width=64,height=48,framerate=100/1";

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// Not a test: what this program does when it is started as a producer. It ends with its pipeline, when its standard input ends, or when it is killed.
#[test]
fn producer_process() {
    let Ok(description) = std::env::var(PRODUCER) else {
        return;
    };
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let told = bus.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let stop = gst::message::Application::new(gst::Structure::new_empty("stop"));
        let _ = told.post(stop);
    });
    let ends = [
        gst::MessageType::Eos,
        gst::MessageType::Error,
        gst::MessageType::Application,
    ];
    bus.timed_pop_filtered(gst::ClockTime::NONE, &ends);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Killed when dropped.
struct Producer(Child);

impl Producer {
    fn start(description: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["producer_process", "--exact", "--nocapture"])
            .env(PRODUCER, description)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        // One that is stopped would outlive a test that crashes or is killed.
        // SAFETY: between fork and exec there is nothing but one system call.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        Self(command.spawn().unwrap())
    }

    fn ours(path: &str) -> Self {
        Self::start(&format!(
            "videotestsrc is-live=true ! {CAPS} ! shmsink-rs socket-path={path}"
        ))
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a process of ours that was not waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
    }

    /// It takes its pipeline to NULL.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_that_is_first_waits_and_says_so() {
    let _alone = alone("the reader is first");
    let path = socket("first");
    let reader = ShmReader::playing(&path, "");
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    let warning = warning.unwrap();
    assert!(
        warning.contains("Waiting for a producer") && warning.contains(&path),
        "{warning}"
    );
    let _producer = Producer::ours(&path);
    let sample = reader.pull();
    assert!(
        sample
            .caps()
            .unwrap()
            .can_intersect(&CAPS.parse::<gst::Caps>().unwrap())
    );
    // Once, however often it has tried.
    assert_eq!(
        reader.message(gst::MessageType::Warning, gst::ClockTime::ZERO),
        None
    );
    assert_eq!(reader.error(), None);
}

#[test]
fn a_killed_producer_is_an_error_without_reconnect_and_its_eos_is_eos() {
    let _alone = alone("a killed producer");
    let path = socket("killed");
    let producer = Producer::ours(&path);
    wait_until("the socket", SOON, || std::path::Path::new(&path).exists());
    let reader = ShmReader::playing(&path, "reconnect=false");
    reader.pull();
    producer.kill();
    let text = reader.only_error();
    assert!(text.contains("gone without EOS"), "{text}");
    drop(reader);
    // EOS is EOS, with and without.
    for rest in ["", "reconnect=false"] {
        let reader = ShmReader::playing(&path, "");
        let producer = Producer::start(&format!(
            "videotestsrc is-live=true num-buffers=20 ! {CAPS} ! shmsink-rs socket-path={path} wait-for-connection=true"
        ));
        reader.pull();
        if !rest.is_empty() {
            reader.element.set_property("reconnect", false);
        }
        reader.wait_for_end();
        assert_eq!(reader.error(), None);
        drop(producer);
    }
}

#[test]
fn restarts_are_survived_and_the_gap_is_short() {
    let _alone = alone("restarts");
    let path = socket("restarts");
    let reader = ShmReader::playing(&path, "");
    let restarts = common::scale(12, 100);
    let mut gaps = Vec::new();
    for restart in 0..restarts {
        let producer = Producer::ours(&path);
        // From the moment at which it could be read.
        let listener = format!("{path}.lock");
        let pid = producer.0.id().to_string();
        wait_until("it listens", SOON, || {
            std::fs::read_to_string(&listener).is_ok_and(|text| text == pid)
        });
        let begun = Instant::now();
        let first = loop {
            let sample = reader.pull();
            if sample
                .buffer()
                .unwrap()
                .flags()
                .contains(gst::BufferFlags::DISCONT)
            {
                break sample;
            }
        };
        gaps.push(begun.elapsed());
        assert!(first.buffer().unwrap().pts().is_some());
        for _ in 0..2 {
            reader.pull();
        }
        if restart % 2 == 0 {
            // Whatever it is at, half a message included.
            producer.kill();
        } else {
            producer.stop();
        }
        while reader.try_pull(Duration::from_millis(50)).is_some() {}
    }
    gaps.sort_unstable();
    println!(
        "{restarts} restarts: the first frame came {:?} after the producer listened in the median, {:?} at the longest",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    assert_eq!(reader.stat("connections"), restarts);
    assert_eq!(reader.error(), None);
    assert!(*gaps.last().unwrap() < Duration::from_secs(2), "{gaps:?}");
    // Nothing of the dead ones is left behind here.
    drop(reader);
}

#[test]
fn a_stopped_producer_keeps_nobody_from_null_and_frames_stay_whole() {
    let _alone = alone("a stopped producer");
    let path = socket("stopped");
    let producer = Producer::ours(&path);
    let reader = ShmReader::playing(&path, "");
    let sample = reader.pull();
    let before = sample.buffer().unwrap().map_readable().unwrap().to_vec();
    producer.signal(libc::SIGSTOP);
    while reader.try_pull(Duration::from_millis(200)).is_some() {}
    let begun = Instant::now();
    reader.pipeline.set_state(gst::State::Paused).unwrap();
    reader.pipeline.set_state(gst::State::Playing).unwrap();
    reader.pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        sample.buffer().unwrap().map_readable().unwrap().as_slice(),
        before
    );
    // A newcomer waits at the stopped one's door.
    let late = ShmReader::playing(&path, "");
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    late.pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
    late.pipeline.set_state(gst::State::Playing).unwrap();
    producer.signal(libc::SIGCONT);
    late.pull();
}

#[test]
fn a_stock_sink_is_read_with_caps_given() {
    let _alone = alone("a stock sink");
    let path = socket("stock");
    let stock = || {
        Producer::start(&format!(
            "videotestsrc is-live=true pattern=snow ! {CAPS} ! shmsink socket-path={path} wait-for-connection=false sync=false"
        ))
    };
    let producer = stock();
    let reader = ShmReader::playing(&path, &format!("! {CAPS}"));
    let mut last = gst::ClockTime::ZERO;
    for number in 0..20 {
        let sample = reader.pull();
        assert!(
            sample
                .caps()
                .unwrap()
                .can_intersect(&CAPS.parse::<gst::Caps>().unwrap())
        );
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.size(), 64 * 48);
        assert!(buffer.map_readable().unwrap().iter().any(|byte| *byte != 0));
        let pts = buffer.pts().unwrap();
        assert!(number == 0 || pts > last, "{pts} after {last}");
        last = pts;
    }
    assert!(reader.stat("frames-without-note") >= 20);
    // It tells no EOS, so its end is a crash; and it comes back.
    producer.kill();
    let _ = std::fs::remove_file(&path);
    let producer = stock();
    loop {
        let sample = reader.pull();
        if sample
            .buffer()
            .unwrap()
            .flags()
            .contains(gst::BufferFlags::DISCONT)
        {
            break;
        }
    }
    // Ours in its place: caps and notes from now on.
    producer.kill();
    let _ = std::fs::remove_file(&path);
    let _ours = Producer::ours(&path);
    while reader.stat("frames-without-note") == reader.stat("frames-received")
        || reader.stat("connections") < 3
    {
        reader.pull();
    }
    let (before, received) = (
        reader.stat("frames-without-note"),
        reader.stat("frames-received"),
    );
    for _ in 0..5 {
        reader.pull();
    }
    assert_eq!(reader.stat("frames-without-note"), before);
    assert!(reader.stat("frames-received") > received);
    assert_eq!(reader.error(), None);
    // Without caps it is bytes, as with the stock reader.
    drop(reader);
}

/// Without any memory of others in sight, and without a network.
#[test]
fn t30_a_reader_in_a_mount_namespace_of_its_own_sees_nothing_but_the_socket() {
    let _alone = alone("a mount namespace");
    // Who is not root needs a user namespace for a mount of its own.
    let flags: &[&str] = if rustix::process::geteuid().is_root() {
        &["--mount", "--net", "--ipc", "--pid", "--fork"]
    } else {
        &[
            "--map-root-user",
            "--mount",
            "--net",
            "--ipc",
            "--pid",
            "--fork",
        ]
    };
    let possible = Command::new("unshare").args(flags).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: t30_a_reader_in_a_mount_namespace_of_its_own_sees_nothing_but_the_socket: no mount namespace for this user"
        );
        return;
    }
    let inside: Vec<&str> = ["unshare"]
        .into_iter()
        .chain(flags.iter().copied())
        .chain([
            "--kill-child",
            "sh",
            "-c",
            "mount -t tmpfs -o size=1m tmpfs /dev/shm && [ -z \"$(ls -A /dev/shm)\" ] && exec \"$0\" \"$@\"",
        ])
        .collect();
    let mut rig = Rig::new("namespace", 100_000, &[]);
    let ours = ReaderOptions {
        arguments: READER_TEST,
        size: Some(100_000),
        ours: Some(""),
        inside: &inside,
        ..ReaderOptions::default()
    };
    let mut reader = Reader::spawn(&rig.path, &ours);
    reader.line("ready");
    rig.wait_for_clients(1);
    for counter in 0..100 {
        rig.push(counter);
        assert_eq!(reader.counter(), counter);
    }
    // Other caps, another area.
    rig.set_caps("video/x-raw,format=GRAY8,width=500,height=200,framerate=30/1");
    for counter in 100..110 {
        rig.push(counter);
        assert_eq!(reader.counter(), counter);
    }
    rig.assert_no_error();
    // The stock reader cannot, from the same place.
    let stock = ReaderOptions { ours: None, ..ours };
    let mut stock = Reader::spawn(&rig.path, &stock);
    rig.wait_for_clients(2);
    rig.push(111);
    assert!(
        stock
            .try_line("counter", Duration::from_millis(500))
            .is_none()
    );
}
