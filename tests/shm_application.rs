//! What the application around `shmsink-rs` may do without harm to anybody: take its time in handlers, fork, run out of file descriptors.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::{
    client::{first_client, healthy},
    rig::{Rig, alone},
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_handler_that_takes_its_time_costs_clients_nothing() {
    let _alone = alone("a slow handler");
    let mut rig = Rig::new("slow", 1000, &[]);
    let _healthy = healthy(&rig);
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = Mutex::new(stuck);
    let (entered, in_handler) = mpsc::channel();
    rig.element.connect("client-connected", false, move |_| {
        entered.send(()).unwrap();
        let _ = stuck.lock().unwrap().recv();
        None
    });
    let second = rig.raw_client();
    in_handler.recv_timeout(SOON).unwrap();
    let sent = first_client(&rig, "sent");
    for counter in 0..100 {
        rig.push(counter);
        wait_until("it has acked", SOON, || {
            first_client(&rig, "outstanding") == 0
        });
    }
    assert_eq!(first_client(&rig, "sent") - sent, 100);
    assert_eq!(first_client(&rig, "skipped"), 0);
    // Newcomers whose coming and going nobody is told of do not use up the file descriptors.
    drop(second);
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = fds();
    let idle = thread::spawn({
        let path = rig.path.clone();
        move || {
            // As many as are accepted and then wait to be accepted.
            for _ in 0..80 {
                drop(UnixStream::connect(&path));
            }
        }
    });
    idle.join().unwrap();
    wait_until("they are gone", SOON, || rig.num_clients() == 1);
    assert!(fds() < before + 50, "{} and then {}", before, fds());
    drop(release);
    rig.stop();
}

#[test]
fn t29_who_was_not_announced_is_not_said_to_have_gone() {
    let _alone = alone("the order of signals");
    for round in 0..100 {
        let rig = Rig::new("order", 1000, &[]);
        let log = Arc::new(Mutex::new(Vec::new()));
        for (name, here) in [("client-connected", true), ("client-disconnected", false)] {
            let log = log.clone();
            rig.element.connect(name, false, move |values| {
                let fd = values[1].get::<i32>().unwrap();
                log.lock().unwrap().push((here, fd));
                None
            });
        }
        let element = rig.element.clone();
        let clients: Vec<_> = (0..6)
            .map(|_| UnixStream::connect(&rig.path).unwrap())
            .collect();
        thread::sleep(Duration::from_micros(round * 5));
        rig.stop();
        drop(clients);
        // The notifier's thread holds the element only while it tells.
        wait_until("all is told", SOON, || {
            let log = log.lock().unwrap();
            log.iter().filter(|(here, _)| *here).count() * 2 == log.len()
        });
        drop(element);
        let mut present = Vec::new();
        for (here, fd) in log.lock().unwrap().iter() {
            if *here {
                assert!(!present.contains(fd));
                present.push(*fd);
            } else {
                assert!(present.contains(fd), "{fd} was never announced");
                present.retain(|there| there != fd);
            }
        }
    }
}

const FORKING: &str = "SHM_FORKING";

/// Not a test: what this program does when it is started as an application that forks.
#[test]
fn forking_process() {
    let Ok(path) = std::env::var(FORKING) else {
        return;
    };
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let (sink, _bus) = common::rig::element(Some(&path), &[]);
    sink.set_state(gst::State::Playing).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    wait_until("it is connected", SOON, || {
        sink.property::<u32>("num-clients") == 1
    });
    // SAFETY: the child calls nothing but pause().
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: it takes nothing.
            unsafe { libc::pause() };
        }
    }
    sink.set_state(gst::State::Null).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    // What it is told of the end comes before that.
    let ended = client.read_to_end(&mut Vec::new()).is_ok();
    println!("\nread to the end: {ended}");
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // Whoever started this has stopped listening.
    std::process::exit(0);
}

#[test]
fn t27_readers_are_told_of_null_though_a_child_of_the_application_lives() {
    let _alone = alone("fork");
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args([
            "forking_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FORKING, common::rig::socket("fork"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(program.stdout.take().unwrap());
    let line = out
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("read "));
    assert_eq!(line.as_deref(), Some("read to the end: true"));
    assert!(program.wait().unwrap().success());
}

const CROWDED: &str = "SHM_CROWDED";

/// Not a test: what this program does when it is started as an application without file descriptors, whose limits are no other test's.
#[test]
fn crowded_process() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if std::env::var_os(CROWDED).is_none() {
        return;
    }
    let _alone = alone("no file descriptors");
    let warnings = Arc::new(AtomicUsize::new(0));
    gst::log::set_threshold_for_name("shmsink-rs", gst::DebugLevel::Warning);
    gst::log::add_log_function({
        let warnings = warnings.clone();
        move |_, level, _, _, _, _, _| {
            if level == gst::DebugLevel::Warning {
                warnings.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut rig = Rig::new("crowded", 1000, &[]);
    let _healthy = healthy(&rig);
    rig.push(0);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(60),
            ..limit
        },
    )
    .unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    hoard.pop();
    let _client = UnixStream::connect(&rig.path).unwrap();
    for counter in 1..500 {
        rig.push(counter);
        thread::sleep(Duration::from_millis(1));
    }
    println!("\nwarnings {}", warnings.load(Ordering::SeqCst));
    drop(hoard);
    rig.wait_for_clients(2);
}

#[test]
fn without_file_descriptors_accepting_is_tried_ten_times_a_second() {
    let _alone = alone("a crowded process");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "crowded_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CROWDED, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let warnings = text
        .lines()
        .find_map(|line| line.strip_prefix("warnings "))
        .unwrap();
    let warnings: usize = warnings.parse().unwrap();
    assert!(
        (1..30).contains(&warnings),
        "{warnings} warnings in half a second"
    );
}
