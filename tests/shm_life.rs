//! The sink's life in a pipeline: states, events, who may connect, and from where.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use common::{
    reader::{Reader, ReaderOptions},
    rig::{READER_TEST, Rig, alone, socket},
    scale, wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

// ---------------------------------------------------------------- states and events

#[test]
fn t19_the_last_frames_reach_their_reader_though_null_follows_eos() {
    let _alone = alone("t19 drain");
    for _ in 0..10 {
        let mut rig = Rig::new("drain", 1000, &[("client-window", "32")]);
        let mut reader = rig.reader();
        for counter in 0..20 {
            rig.push(counter);
        }
        assert!(rig.push_event(gst::event::Eos::new()));
        rig.stop();
        for counter in 0..20 {
            assert_eq!(reader.counter(), counter);
        }
    }
}

#[test]
fn t19_eos_waits_for_a_stopped_reader_only_so_long_and_a_flush_ends_that() {
    let _alone = alone("t19 EOS");
    let timeout = Duration::from_millis(200);
    let mut rig = Rig::new("eosstop", 1000, &[]);
    let stopped = rig.reader();
    stopped.stop();
    rig.push(0);
    let begun = Instant::now();
    assert!(rig.push_event(gst::event::Eos::new()));
    let took = begun.elapsed();
    assert!(took >= timeout && took < timeout * 5, "{took:?}");

    let mut rig = Rig::new("eosflush", 1000, &[("eos-drain-timeout", "60000000000")]);
    let stopped = rig.reader();
    stopped.stop();
    rig.push(0);
    let pad = rig.element.static_pad("sink").unwrap();
    let (sent, ended) = mpsc::channel();
    let eos = thread::spawn(move || {
        sent.send(rig.push_event(gst::event::Eos::new())).unwrap();
        rig
    });
    assert!(ended.recv_timeout(Duration::from_millis(100)).is_err());
    pad.send_event(gst::event::FlushStart::new());
    ended.recv_timeout(SOON).expect("the flush ends it");
    drop(eos.join().unwrap());
}

#[test]
fn t19_a_held_sample_keeps_nobody_from_eos_or_null() {
    let _alone = alone("t19 held");
    let mut rig = Rig::new("eosheld", 1000, &[]);
    let mut reader = rig.reader_with(&ReaderOptions {
        size: Some(1000),
        hold: 2,
        last_sample: true,
        ..ReaderOptions::default()
    });
    rig.in_step(std::slice::from_mut(&mut reader), 0..3);
    let begun = Instant::now();
    assert!(rig.push_event(gst::event::Eos::new()));
    // It has read everything, and what it keeps is its own affair.
    assert!(begun.elapsed() < Duration::from_millis(150));
    assert!(rig.stop() < Duration::from_millis(100));
}

#[test]
fn t19_pauses_flushes_and_ends_do_not_wear_it_out() {
    let _alone = alone("t19 loops");
    let mut rig = Rig::new("loops", 1000, &[]);
    let mut reader = [rig.reader()];
    let pad = rig.element.static_pad("sink").unwrap();
    for round in 0..scale(100, 1000) {
        rig.element.set_state(gst::State::Paused).unwrap();
        rig.element.set_state(gst::State::Playing).unwrap();
        rig.in_step(&mut reader, round * 2..round * 2 + 1);
        pad.send_event(gst::event::FlushStart::new());
        pad.send_event(gst::event::FlushStop::new(true));
        assert!(
            rig.push_event(gst::event::Segment::new(&gst::FormattedSegment::<
                gst::ClockTime,
            >::new()))
        );
        rig.in_step(&mut reader, round * 2 + 1..round * 2 + 2);
    }
    assert_eq!(rig.client_stat(reader[0].pid(), "skipped"), 0);
    rig.assert_no_error();
}

#[test]
fn t19_a_pipeline_that_prerolls_seeks_and_ends() {
    let _alone = alone("t19 pipeline");
    let path = socket("preroll");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=100 ! video/x-raw,format=GRAY8,width=64,height=64,framerate=100/1 \
         ! shmsink-rs name=sink async=true sync=true socket-path={path}"
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let (reached, state, _) = pipeline.state(gst::ClockTime::from_seconds(5));
    assert_eq!(
        (reached, state),
        (Ok(gst::StateChangeSuccess::Success), gst::State::Paused)
    );
    let client = UnixStream::connect(&path).unwrap();
    let reader = common::client::serve(client);
    pipeline.set_state(gst::State::Playing).unwrap();
    for position in [100, 500, 0] {
        pipeline
            .seek_simple(
                gst::SeekFlags::FLUSH,
                gst::ClockTime::from_mseconds(position),
            )
            .unwrap();
        pipeline.state(gst::ClockTime::from_seconds(5)).0.unwrap();
    }
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds)
        .expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let stats = pipeline
        .by_name("sink")
        .unwrap()
        .property::<gst::Structure>("stats");
    let published = stats.get::<u64>("frames-published").unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(published > 10, "{published}");
    assert_eq!(reader.join().unwrap(), published);
}

#[test]
fn t20_a_handler_of_any_signal_may_stop_the_element() {
    let _alone = alone("t20");
    for name in [
        "client-connected",
        "client-disconnected",
        "client-stalled",
        "client-evicted",
    ] {
        let mut rig = Rig::new(
            "t20",
            1000,
            &[("stall-timeout", "1"), ("evict-after", "50000000")],
        );
        let (done, stopped) = mpsc::channel();
        rig.element.connect(name, false, move |values| {
            let element = values[0].get::<gst::Element>().unwrap();
            element.set_state(gst::State::Null).unwrap();
            let _ = done.send(());
            None
        });
        let client = UnixStream::connect(&rig.path).unwrap();
        if name == "client-disconnected" {
            drop(client);
        } else if name != "client-connected" {
            rig.wait_for_clients(1);
            for _ in 0..10 {
                // The handler may have stopped it already.
                let pushed = rig.try_push(gst::Buffer::from_slice(vec![0; 1000]));
                assert!(matches!(pushed, Ok(_) | Err(gst::FlowError::Flushing)));
            }
        }
        stopped.recv_timeout(SOON).expect(name);
        assert!(!std::path::Path::new(&rig.path).exists());
    }
}

#[test]
fn t29_signals_and_num_clients_agree() {
    let _alone = alone("t29");
    let rig = Rig::new("t29", 1000, &[]);
    let (told, events) = mpsc::channel();
    for (name, change) in [("client-connected", 1), ("client-disconnected", -1)] {
        let told = told.clone();
        rig.element.connect(name, false, move |_| {
            told.send(change).unwrap();
            None
        });
    }
    let notified = Arc::new(Mutex::new(0));
    let count = notified.clone();
    rig.element
        .connect_notify(Some("num-clients"), move |_, _| {
            *count.lock().unwrap() += 1;
        });
    let mut expected = 0;
    for round in 0..20 {
        let clients: Vec<_> = (0..1 + round % 8)
            .map(|_| UnixStream::connect(&rig.path).unwrap())
            .collect();
        rig.wait_for_clients(clients.len() as u32);
        expected += 2 * clients.len();
        drop(clients);
        rig.wait_for_clients(0);
    }
    let changes: Vec<i32> = (0..expected)
        .map(|_| events.recv_timeout(SOON).unwrap())
        .collect();
    let mut present = 0;
    for change in changes {
        present += change;
        assert!((0..=8).contains(&present));
    }
    assert_eq!(present, 0);
    wait_until("each was notified", SOON, || {
        *notified.lock().unwrap() == expected
    });
}

// ---------------------------------------------------------------- who may connect

/// What a process of that user and group finds: whether it can connect, and whether it can then open the area that it is told of.
fn as_user(path: &str, uid: u32, gid: u32, expect_greeting: bool) -> (bool, bool) {
    let (mut here, there) = UnixStream::pair().unwrap();
    // SAFETY: the child only makes system calls and then ends; it allocates little, and no other thread of ours holds the allocator's lock for
    // long.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: plain system calls.
        let dropped = unsafe {
            libc::setgroups(0, std::ptr::null()) == 0
                && libc::setgid(gid) == 0
                && libc::setuid(uid) == 0
        };
        let mut answer = [u8::from(dropped), 0, 0];
        if let Ok(mut socket) = UnixStream::connect(path) {
            answer[1] = 1;
            let _ = socket.set_read_timeout(Some(Duration::from_secs(if expect_greeting {
                5
            } else {
                1
            })));
            let mut message = [0; 24];
            if socket.read_exact(&mut message).is_ok() {
                let mut name = [0; 256];
                let length = usize::from(message[16]);
                if socket.read_exact(&mut name[..length]).is_ok() {
                    // SAFETY: the name ends with a NUL.
                    let fd = unsafe { libc::shm_open(name.as_ptr().cast(), libc::O_RDONLY, 0) };
                    answer[2] = u8::from(fd >= 0);
                }
            }
        }
        let _ = (&there).write_all(&answer);
        // SAFETY: ends the child without anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    drop(there);
    let mut answer = [0; 3];
    here.read_exact(&mut answer).unwrap();
    // SAFETY: our own child.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(answer[0], 1, "the child could not become {uid}:{gid}");
    (answer[1] == 1, answer[2] == 1)
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: {test}: only root can become another user");
    }
    root
}

/// Frames until the child has found out.
fn while_pushing<T: Send>(rig: &mut Rig, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let acting = scope.spawn(act);
        while !acting.is_finished() {
            rig.push(1);
            thread::sleep(Duration::from_millis(2));
        }
        acting.join().unwrap()
    })
}

#[test]
fn t18_perms_decide_who_connects_and_reads_whatever_the_umask() {
    if !is_root("t18_perms_decide_who_connects_and_reads_whatever_the_umask") {
        return;
    }
    let _alone = alone("t18");
    const STRANGER: u32 = 65534;
    for umask in [0o077, 0o022, 0] {
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        for (perms, group, others) in [
            (0o600, false, false),
            (0o660, true, false),
            (0o666, true, true),
            (0o640, false, false),
        ] {
            let mut rig = Rig::new("t18", 1000, &[("perms", &format!("{perms}"))]);
            rig.push(0);
            let mode = fs::metadata(&rig.path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, perms);
            let path = rig.path.clone();
            // The socket's group is root's, 0.
            let found = while_pushing(&mut rig, || {
                (
                    as_user(&path, STRANGER, 0, group),
                    as_user(&path, STRANGER, STRANGER, others),
                )
            });
            let text = format!("umask {umask:o}, perms {perms:o}");
            assert_eq!(found, ((group, group), (others, others)), "{text}");
        }
        rustix::process::umask(before);
    }
}

#[test]
fn allowed_users_and_groups_are_the_only_ones() {
    if !is_root("allowed_users_and_groups_are_the_only_ones") {
        return;
    }
    let _alone = alone("allow-uids");
    let mut rig = Rig::new(
        "allowed",
        1000,
        &[
            ("perms", "438"),
            ("allow-uids", "0, 1234"),
            ("allow-gids", "4321"),
        ],
    );
    // Ourselves, who are user 0.
    let mut reader = [rig.reader()];
    rig.in_step(&mut reader, 1..2);
    let path = rig.path.clone();
    let found = while_pushing(&mut rig, || {
        [(1234, 1), (1, 4321), (1, 1)].map(|(uid, gid)| as_user(&path, uid, gid, gid != uid))
    });
    assert_eq!(found, [(true, true), (true, true), (true, false)]);
    assert_eq!(rig.client_stat(reader[0].pid(), "skipped"), 0);
}

#[test]
fn t28_a_reader_of_32_bits_goes_alone() {
    let _alone = alone("t28");
    let mut rig = Rig::new("t28", 1000, &[]);
    let mut healthy = [rig.reader()];
    let mut narrow = rig.raw_client();
    rig.in_step(&mut healthy, 0..2);
    // Its acks are of 16 bytes: type, area, offset, nothing.
    let ack = [4u32, 1, 0, 0].map(u32::to_ne_bytes).concat();
    for _ in 0..3 {
        let _ = narrow.write_all(&ack);
    }
    rig.wait_for_clients(1);
    rig.in_step(&mut healthy, 2..50);
    assert_eq!(rig.client_stat(healthy[0].pid(), "skipped"), 0);
    rig.assert_no_error();
}

// ---------------------------------------------------------------- from where

fn can_unshare(options: &[&str]) -> bool {
    let status = Command::new("unshare").args(options).arg("true").status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn t30_readers_in_namespaces_of_their_own() {
    let isolated = ["--net", "--ipc", "--pid", "--fork", "--kill-child"];
    if !can_unshare(&isolated) || !can_unshare(&["--mount"]) {
        println!("SKIPPED: t30_readers_in_namespaces_of_their_own: no namespaces for this user");
        return;
    }
    let _alone = alone("t30");
    let mut rig = Rig::new("t30", 1000, &[]);
    let mut healthy = [rig.reader()];
    let options = ReaderOptions {
        arguments: READER_TEST,
        size: Some(1000),
        ..ReaderOptions::default()
    };
    let inside: Vec<&str> = ["unshare"].into_iter().chain(isolated).collect();
    let mut isolated = Reader::spawn(
        &rig.path,
        &ReaderOptions {
            inside: &inside,
            ..options
        },
    );
    isolated.line("ready");
    rig.wait_for_clients(2);
    for counter in 0..50 {
        rig.push(counter);
        assert_eq!(isolated.counter(), counter);
        assert_eq!(healthy[0].counter(), counter);
    }
    // One that cannot see our /dev/shm goes, alone.
    let mut blind = Reader::spawn(
        &rig.path,
        &ReaderOptions {
            inside: &[
                "unshare",
                "--mount",
                "sh",
                "-c",
                "mount -t tmpfs none /dev/shm && exec \"$0\" \"$@\"",
            ],
            ..options
        },
    );
    blind.line("ready");
    rig.wait_for_clients(3);
    rig.push(50);
    blind.line("error");
    blind.kill();
    rig.wait_for_clients(2);
    for reader in healthy.iter_mut().chain([&mut isolated]) {
        assert_eq!(reader.counter(), 50);
    }
    rig.in_step(&mut healthy, 51..60);
    rig.assert_no_error();
}

// ---------------------------------------------------------------- leaks

const LEAKS: &str = "SHM_LEAKS";

/// Not a test: what this program does when it is started to have its objects counted.
#[test]
fn leaking_process() {
    if std::env::var_os(LEAKS).is_none() {
        return;
    }
    {
        let _alone = alone("leaks");
        for round in 0..5 {
            let path = socket("leaks");
            let pipeline = gst::parse::launch(&format!(
                "videotestsrc num-buffers=30 ! video/x-raw,format=NV12,width=320,height=240,framerate=30/1 ! shmsink-rs name=sink \
                 socket-path={path}"
            ))
            .unwrap();
            pipeline.set_state(gst::State::Ready).unwrap();
            let clients: Vec<_> = (0..3)
                .map(|_| common::client::serve(UnixStream::connect(&path).unwrap()))
                .collect();
            pipeline.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.bus().unwrap();
            if round % 2 == 0 {
                bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Eos])
                    .unwrap();
            }
            pipeline.set_state(gst::State::Null).unwrap();
            for client in clients {
                client.join().unwrap();
            }
            bus.set_flushing(true);
        }
    }
    wait_until("the last signal is told", SOON, || {
        !common::holdings()
            .1
            .iter()
            .any(|name| name.starts_with("shm "))
    });
    // SAFETY: nothing of GStreamer's is used after this.
    unsafe { gst::deinit() };
    println!("\ncounted");
    std::process::exit(0);
}

#[test]
fn t25_no_object_is_left() {
    let log = socket("leaks.log");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "leaking_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(LEAKS, "1")
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_FILE", &log)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("counted"), "{output:?}");
    let log_text = fs::read_to_string(&log).unwrap();
    let _ = fs::remove_file(&log);
    assert!(
        log_text.contains("leaks"),
        "the tracer has not run: {log_text}"
    );
    let alive: Vec<_> = log_text
        .lines()
        .filter(|line| line.contains("object-alive, type-name=(string)") && !line.contains("%s"))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}

/// Sockets are close-on-exec: a program that the application starts has none of the sink's.
#[test]
fn t27_a_program_that_the_application_starts_has_no_socket_of_the_sink() {
    let _alone = alone("t27");
    let mut rig = Rig::new("t27", 1000, &[]);
    let client = rig.raw_client();
    rig.push(0);
    let mut program = Command::new("sleep").arg("100").spawn().unwrap();
    rig.stop();
    // Had it inherited the connection, this would wait until it ends.
    let mut client = client;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(client.as_raw_fd() >= 0 && rest.len() >= 24);
    program.kill().unwrap();
    program.wait().unwrap();
}
