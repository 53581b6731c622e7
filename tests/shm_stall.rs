//! Readers that stop, hold frames, or die in odd ways: what the others get, and what becomes of those.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{os::fd::AsRawFd, os::unix::net::UnixStream, sync::mpsc, time::Duration};

use common::{
    reader::{Reader, ReaderOptions},
    rig::{Rig, alone},
    scale, wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);
const SIGNALS: [&str; 5] = [
    "client-connected",
    "client-disconnected",
    "client-stalled",
    "client-resumed",
    "client-evicted",
];

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// The signals of a sink, in the order in which they come.
fn signals(rig: &Rig) -> mpsc::Receiver<(&'static str, i32)> {
    let (told, events) = mpsc::channel();
    for name in SIGNALS {
        let told = told.clone();
        rig.element.connect(name, false, move |values| {
            let _ = told.send((name, values[1].get::<i32>().unwrap()));
            None
        });
    }
    events
}

/// Counters that a resumed reader reports, up to that one.
fn counters_until(reader: &mut Reader, last: u64) -> Vec<u64> {
    let mut seen = vec![reader.counter()];
    while *seen.last().unwrap() < last {
        seen.push(reader.counter());
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    seen
}

#[test]
fn t01_stopped_readers_cost_the_others_nothing_and_resume_with_the_newest() {
    let _alone = alone("t01");
    for (stopped, healthy) in [(1, 3), (31, 1)] {
        let mut rig = Rig::new("t01", 10_000, &[("max-clients", "32")]);
        let mut stopped: Vec<_> = (0..stopped).map(|_| rig.reader()).collect();
        let mut healthy: Vec<_> = (0..healthy).map(|_| rig.reader()).collect();
        rig.push(0);
        for reader in stopped.iter_mut().chain(&mut healthy) {
            assert_eq!(reader.counter(), 0);
        }
        for reader in &stopped {
            reader.stop();
        }
        let last = scale(300, 30_000);
        rig.in_step(&mut healthy, 1..last + 1);
        for reader in &healthy {
            assert_eq!(rig.client_stat(reader.pid(), "skipped"), 0);
        }
        for reader in &mut stopped {
            reader.resume();
            // What was under way when it stopped, and then at once the newest.
            let seen = counters_until(reader, last);
            assert!(seen.len() <= 5, "{seen:?}");
        }
        let mut all = stopped;
        all.append(&mut healthy);
        rig.in_step(&mut all, last + 1..last + 6);
        assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
        rig.assert_no_error();
    }
}

#[test]
fn t04_a_reader_in_null_that_holds_a_sample_costs_the_others_nothing() {
    let _alone = alone("t04");
    let mut rig = Rig::new("t04", 1000, &[]);
    let mut holding = rig.reader_with(&ReaderOptions {
        size: Some(1000),
        hold: 1,
        ..ReaderOptions::default()
    });
    let mut healthy = [rig.reader()];
    rig.in_step(&mut healthy, 0..1);
    assert_eq!(holding.counter(), 0);
    holding.tell("null");
    holding.line("nulled");
    // Its sample keeps the connection, which nobody reads from now on.
    rig.in_step(&mut healthy, 1..1000);
    assert_eq!(rig.num_clients(), 2);
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
    rig.assert_no_error();
}

#[test]
fn t05_readers_that_hold_as_many_as_they_get_cost_the_others_nothing() {
    let _alone = alone("t05");
    let mut rig = Rig::new("t05", 10_000, &[]);
    let holders: Vec<_> = [4, 5, 66]
        .into_iter()
        .map(|hold| {
            rig.reader_with(&ReaderOptions {
                size: Some(10_000),
                hold,
                ..ReaderOptions::default()
            })
        })
        .collect();
    let mut healthy = [rig.reader()];
    rig.in_step(&mut healthy, 0..300);
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
    for holder in &holders {
        assert_eq!(rig.client_stat(holder.pid(), "outstanding"), 4);
    }
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
}

/// The kernel can say when the process of a connection ends.
fn process_ends_are_known() -> bool {
    let (here, _there) = UnixStream::pair().unwrap();
    let (mut fd, mut size) = (-1i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the kernel writes one int.
    let answer = unsafe {
        libc::getsockopt(
            here.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut size,
        )
    };
    answer == 0
}

#[test]
fn t06_a_reader_whose_child_has_its_connection_is_gone_when_it_dies() {
    let _alone = alone("t06");
    if !process_ends_are_known() {
        println!(
            "SKIPPED: t06_a_reader_whose_child_has_its_connection_is_gone_when_it_dies: no SO_PEERPIDFD before Linux 6.5"
        );
        return;
    }
    let mut rig = Rig::new("t06", 1000, &[]);
    let mut healthy = [rig.reader()];
    let mut parent = rig.reader();
    rig.in_step(&mut healthy, 0..1);
    assert_eq!(parent.counter(), 0);
    parent.tell("child");
    let child: i32 = parent.line("child").parse().unwrap();
    let sockets = std::fs::read_dir(format!("/proc/{child}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|what| what.to_string_lossy().starts_with("socket:"))
        .count();
    assert!(sockets > 0, "the child has not inherited the connection");
    parent.kill();
    rig.wait_for_clients(1);
    // SAFETY: a process that the reader has started, which nobody else ends.
    unsafe { libc::kill(child, libc::SIGKILL) };
    rig.in_step(&mut healthy, 1..100);
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
}

#[test]
fn t07_a_window_of_two_is_enough_for_ordinary_readers() {
    let _alone = alone("t07");
    let mut rig = Rig::new("t07", 1000, &[("client-window", "2")]);
    let keeps_last = ReaderOptions {
        size: Some(1000),
        last_sample: true,
        ..ReaderOptions::default()
    };
    let mut readers = [
        rig.reader_with(&keeps_last),
        rig.reader_with(&ReaderOptions {
            chain: Some("queue"),
            ..keeps_last
        }),
    ];
    rig.in_step(&mut readers, 0..200);
    for reader in &readers {
        assert_eq!(rig.client_stat(reader.pid(), "skipped"), 0);
    }
    rig.assert_no_error();
}

/// A picture, compressed as cameras do it.
fn jpeg() -> gst::Buffer {
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=1 ! video/x-raw,width=320,height=240 ! jpegenc ! appsink name=end sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let end = pipeline.by_name("end").unwrap();
    let end = end.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = end.pull_sample().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    sample.buffer_owned().unwrap()
}

#[test]
fn t07_a_decoder_behind_a_queue_gets_every_frame() {
    let _alone = alone("t07 decoder");
    let mut rig = Rig::new("t07d", 1000, &[("client-window", "3")]);
    let mut reader = rig.reader_with(&ReaderOptions {
        chain: Some(
            "capsfilter caps=image/jpeg,width=320,height=240,framerate=30/1 ! queue ! jpegdec",
        ),
        last_sample: true,
        ..ReaderOptions::default()
    });
    let picture = jpeg();
    let first = {
        rig.push_buffer(picture.copy_deep().unwrap());
        reader.frame()
    };
    for _ in 0..200 {
        rig.push_buffer(picture.copy_deep().unwrap());
        assert_eq!(reader.frame(), first);
    }
    assert_eq!(rig.client_stat(reader.pid(), "skipped"), 0);
}

#[test]
fn a_stopped_reader_is_said_to_stall_and_to_resume() {
    let _alone = alone("stalls");
    let mut rig = Rig::new("stalls", 1000, &[("stall-timeout", "100000000")]);
    let events = signals(&rig);
    let mut stopped = rig.reader();
    let (name, fd) = events.recv_timeout(SOON).unwrap();
    assert_eq!(name, "client-connected");
    stopped.stop();
    for counter in 0..10 {
        rig.push(counter);
    }
    assert_eq!(events.recv_timeout(SOON), Ok(("client-stalled", fd)));
    let client = rig.client(stopped.pid()).unwrap();
    assert_eq!(client.get::<&str>("state").unwrap(), "stalled");
    assert_eq!(client.get::<i32>("fd").unwrap(), fd);
    let program = client.get::<&str>("program").unwrap();
    assert!(program.starts_with("shm_stall"), "{program}");
    stopped.resume();
    assert_eq!(counters_until(&mut stopped, 9), [0, 1, 2, 3, 9]);
    assert_eq!(events.recv_timeout(SOON), Ok(("client-resumed", fd)));
    stopped.kill();
    assert_eq!(events.recv_timeout(SOON), Ok(("client-disconnected", fd)));

    // The bus tells the same.
    for change in ["connected", "stalled", "resumed", "disconnected"] {
        let message = rig
            .bus
            .timed_pop_filtered(
                gst::ClockTime::from_seconds(5),
                &[gst::MessageType::Element],
            )
            .unwrap();
        let structure = message.structure().unwrap();
        assert_eq!(structure.name(), "shmsink-rs-client");
        assert_eq!(structure.get::<&str>("change").unwrap(), change);
        assert_eq!(structure.get::<i32>("fd").unwrap(), fd);
        assert_eq!(structure.get::<i32>("pid").unwrap(), stopped.pid() as i32);
    }
}

#[test]
fn what_an_evicted_reader_has_not_read_yet_stays_whole() {
    let _alone = alone("eviction");
    let mut rig = Rig::new("evicted", 100_000, &[("evict-after", "100000000")]);
    let events = signals(&rig);
    let mut stopped = rig.reader();
    let mut healthy = [rig.reader()];
    let (_, fd) = events.recv_timeout(SOON).unwrap();
    events.recv_timeout(SOON).unwrap();
    stopped.stop();
    rig.in_step(&mut healthy, 0..10);
    assert_eq!(events.recv_timeout(SOON), Ok(("client-evicted", fd)));
    assert_eq!(events.recv_timeout(SOON), Ok(("client-disconnected", fd)));
    assert_eq!(rig.num_clients(), 1);
    assert_eq!(rig.stat("slots-quarantined"), 4);
    assert_eq!(rig.stat("clients-evicted"), 1);
    // Enough to use every slot many times, were they free.
    rig.in_step(&mut healthy, 10..300);
    assert_eq!(rig.stat("slots-quarantined"), 4);
    stopped.resume();
    let seen: Vec<u64> = (0..4).map(|_| stopped.counter()).collect();
    assert_eq!(seen, [0, 1, 2, 3]);
    stopped.line("error");
    stopped.kill();
    wait_until("nothing is kept for it", SOON, || {
        rig.stat("slots-quarantined") == 0
    });
    rig.in_step(&mut healthy, 300..310);
    rig.assert_no_error();
}

#[test]
fn an_application_may_evict_a_client() {
    let _alone = alone("evict-client");
    let mut rig = Rig::new("asked", 1000, &[("max-clients", "2")]);
    let events = signals(&rig);
    let mut healthy = [rig.reader()];
    events.recv_timeout(SOON).unwrap();
    let evict = |fd: i32| rig.element.emit_by_name::<bool>("evict-client", &[&fd]);
    assert!(!evict(-1));
    let idle = UnixStream::connect(&rig.path).unwrap();
    let (_, fd) = events.recv_timeout(SOON).unwrap();
    assert!(evict(fd));
    assert!(!evict(fd));
    assert_eq!(events.recv_timeout(SOON), Ok(("client-evicted", fd)));
    assert_eq!(events.recv_timeout(SOON), Ok(("client-disconnected", fd)));

    // One that holds frames keeps its place only until frames go to another area.
    let holding = UnixStream::connect(&rig.path).unwrap();
    let (_, fd) = events.recv_timeout(SOON).unwrap();
    rig.in_step(&mut healthy, 0..10);
    assert!(rig.element.emit_by_name::<bool>("evict-client", &[&fd]));
    wait_until("there is room for another", SOON, || {
        rig.push(10);
        assert_eq!(healthy[0].counter(), 10);
        let _another = UnixStream::connect(&rig.path).unwrap();
        matches!(
            events.recv_timeout(Duration::from_millis(50)),
            Ok(("client-connected", _))
        )
    });
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
    drop((idle, holding));
    rig.assert_no_error();
}

#[test]
fn times_of_any_length_may_be_set() {
    let _alone = alone("long times");
    let longest = u64::MAX.to_string();
    let mut rig = Rig::new(
        "long",
        1000,
        &[
            ("stall-timeout", longest.as_str()),
            ("evict-after", longest.as_str()),
        ],
    );
    let mut healthy = [rig.reader()];
    let _silent = rig.raw_client();
    rig.in_step(&mut healthy, 0..50);
    rig.assert_no_error();
}

#[test]
fn leaky_skip_keeps_nothing_for_a_slow_reader() {
    let _alone = alone("leaky=skip");
    let mut rig = Rig::new("skip", 1000, &[("leaky", "skip")]);
    let mut both = [rig.reader(), rig.reader()];
    rig.in_step(&mut both, 0..1);
    wait_until("both have their windows", SOON, || {
        rig.stat("slots-reserved") >= 2 + 2 * 4
    });
    settle(&rig, &both);
    let [mut stopped, healthy] = both;
    stopped.stop();
    let held = rig.client_stat(stopped.pid(), "outstanding");
    let mut healthy = [healthy];
    in_step_and_acked(&mut rig, &mut healthy, 1..50);
    stopped.resume();
    let seen: Vec<u64> = (held..4).map(|_| stopped.counter()).collect();
    assert_eq!(seen, [1, 2, 3, 4][..seen.len()]);
    let [healthy] = healthy;
    in_step_and_acked(&mut rig, &mut [stopped, healthy], 50..60);
}

/// A frame that comes while a reader has not given back those that it has reported is one that it never gets.
fn in_step_and_acked(rig: &mut Rig, readers: &mut [Reader], counters: std::ops::Range<u64>) {
    for counter in counters {
        settle(rig, readers);
        rig.in_step(readers, counter..counter + 1);
    }
}

/// Waits until each holds no more than it keeps.
fn settle(rig: &Rig, readers: &[Reader]) {
    for reader in readers {
        wait_until("it has acked", SOON, || {
            rig.client_stat(reader.pid(), "outstanding") <= 1
        });
    }
}

#[test]
fn what_shm_size_leaves_is_lent() {
    let _alone = alone("lending");
    // 2 + 4 x 2 slots of 64 KiB are promised, and eight are left.
    let size = (18 * 65536).to_string();
    let mut rig = Rig::new("lent", 1000, &[("max-clients", "2"), ("shm-size", &size)]);
    let holding = rig.reader_with(&ReaderOptions {
        size: Some(1000),
        hold: 100,
        ..ReaderOptions::default()
    });
    let mut healthy = [rig.reader()];
    let mut next = 0;
    wait_until("it has been lent all", SOON, || {
        rig.in_step(&mut healthy, next..next + 10);
        next += 10;
        rig.client_stat(holding.pid(), "outstanding") == 12
    });
    rig.in_step(&mut healthy, next..next + 50);
    assert_eq!(rig.stat("slots-lent"), 8);
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
}
