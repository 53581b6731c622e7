//! Five minutes of a USB camera that is shared, beside a virtual one, with readers that come and go: nothing is lost without being counted, nothing grows.

use crate::{
    camera::{ID, Order, UsbCamera, number_of},
    common::{
        holdings,
        reader::{Reader, ReaderOptions},
        rig::{READER_TEST, socket},
        source::{Source, levels},
    },
    in_machine_for,
};
use gst::prelude::*;
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_secs(300);

/// Kilobytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// A stock reader that comes, gets ten frames, and goes.
fn read_ten(path: &str) {
    let options = ReaderOptions {
        arguments: READER_TEST,
        ..ReaderOptions::default()
    };
    let mut reader = Reader::spawn(path, &options);
    reader.line("ready");
    for _ in 0..10 {
        assert_eq!(reader.frame().size, 320 * 240 * 2);
    }
}

#[test]
fn five_minutes() {
    let Some(_alone) = in_machine_for(LENGTH + Duration::from_secs(60)) else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let path = socket("vm-soak");
    let source = Source::new(&format!(
        "libcamerasrc-rs name=virtual camera-name=VirtualTiny pace=true ! video/x-raw,framerate=30/1 ! appsink name=other sync=false max-buffers=2 drop=true \
         libcamerasrc-rs name=source ! video/x-raw,width=320,height=240 ! tee name=t ! queue ! shmsink-rs name=shared socket-path={path} t. ! queue"
    ));
    source.element.set_property("camera-name", ID);
    let other: gst_app::AppSink = source
        .pipeline
        .by_name("other")
        .unwrap()
        .downcast()
        .unwrap();
    source.set_state(gst::State::Playing);
    let (begun, mut told) = (Instant::now(), Instant::now());
    let (mut frames, mut order, mut early) = (0u64, Order::default(), None);
    let mut readers = Vec::new();
    while begun.elapsed() < LENGTH {
        let sample = source.pull().unwrap();
        let number = number_of(&sample, 128);
        order.next(number, sample.buffer().unwrap().offset());
        drop(sample);
        frames += 1;
        if frames % 10 == 0 {
            assert!(levels(&other.pull_sample().unwrap()) >= 8);
        }
        if frames % 600 == 300 {
            let path = path.clone();
            readers.push(std::thread::spawn(move || read_ten(&path)));
        }
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            let (fds, threads, _) = holdings();
            early.get_or_insert((fds, threads.len(), resident()));
            eprintln!(
                "soak: {:?}, {frames} frames, {} kB",
                begun.elapsed(),
                resident()
            );
        }
    }
    assert_eq!(source.error(), None);
    let count = readers.len();
    for reader in readers {
        reader.join().expect("a reader gets its frames");
    }
    let (fds, threads, memory) = early.unwrap();
    let now = holdings();
    println!(
        "NOTE: {frames} frames in order, {} dropped by the driver, {count} readers, {fds} then {} open files, {threads} then {} threads, {memory} then {} kB",
        order.missing,
        now.0,
        now.1.len(),
        resident()
    );
    assert!(now.0 <= fds + 2 && now.1.len() <= threads + 1);
    assert!(resident() < memory + 8192);
}
