//! What memory costs and whom: frames of 4K, so that giving memory to a client's slots takes long enough to be noticed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    os::unix::net::UnixStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    client::{first_client, healthy},
    reader::{ReaderOptions, Seen},
    rig::{Rig, alone},
    wait_until,
};

const CAPS: &str = "video/x-raw,format=NV12,width=3840,height=2160,framerate=60/1";
const SIZE: usize = 3840 * 2160 * 3 / 2;
const SOON: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_micros(16_667);

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

fn frame(size: usize) -> gst::Buffer {
    gst::Buffer::with_size(size).unwrap()
}

/// Frames at 60/s.
fn stream(rig: &mut Rig, frames: usize) {
    let mut next = Instant::now();
    for _ in 0..frames {
        rig.push_buffer(frame(SIZE));
        next += FRAME;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn newcomers_cost_a_healthy_client_nothing() {
    let _alone = alone("newcomers");
    // The best of three: the machine may have other things to do, but not always.
    let skipped = (0..3)
        .map(|_| {
            let mut rig = Rig::new("newcomers", 1000, &[]);
            rig.set_caps(CAPS);
            let _healthy = healthy(&rig);
            stream(&mut rig, 10);
            let before = first_client(&rig, "skipped");
            let idle: Vec<_> = (0..14)
                .map(|_| UnixStream::connect(&rig.path).unwrap())
                .collect();
            stream(&mut rig, 60);
            rig.wait_for_clients(15);
            drop(idle);
            first_client(&rig, "skipped") - before
        })
        .min()
        .unwrap();
    assert_eq!(skipped, 0);
}

#[test]
fn newcomers_do_not_keep_the_element_from_null() {
    let _alone = alone("newcomers and NULL");
    let quickest = (0..3)
        .map(|_| {
            let mut rig = Rig::new("comingnull", 1000, &[]);
            rig.set_caps(CAPS);
            let _healthy = healthy(&rig);
            rig.push_buffer(frame(SIZE));
            let _idle: Vec<_> = (0..15)
                .map(|_| UnixStream::connect(&rig.path).unwrap())
                .collect();
            thread::sleep(Duration::from_millis(5));
            rig.stop()
        })
        .min()
        .unwrap();
    println!("NULL took {quickest:?}");
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
}

#[test]
fn a_change_of_size_takes_no_longer_with_many_clients() {
    let _alone = alone("a change of size with many clients");
    // The quickest of six: making the area alone takes half of the limit, and the machine may have other things to do.
    let quickest = (0..6)
        .map(|_| {
            let mut rig = Rig::new("changes", 1000, &[]);
            rig.set_caps(CAPS);
            let _idle: Vec<_> = (0..15).map(|_| rig.raw_client()).collect();
            let _healthy = healthy(&rig);
            stream(&mut rig, 8);
            rig.set_caps("video/x-raw,format=NV12,width=3840,height=2000,framerate=60/1");
            let before = Instant::now();
            let pushed = rig.try_push(frame(3840 * 2000 * 3 / 2));
            let took = before.elapsed();
            pushed.unwrap();
            // The others get theirs in time.
            wait_until("all have memory", Duration::from_secs(10), || {
                rig.stat("slots-reserved") == rig.stat("slots-total")
            });
            rig.wait_for_clients(16);
            took
        })
        .min()
        .unwrap();
    println!("the push took {quickest:?}");
    assert!(quickest < Duration::from_millis(150), "{quickest:?}");
}

#[test]
fn much_memory_does_not_keep_the_element_from_null() {
    let _alone = alone("much memory and NULL");
    let quickest = (0..3)
        .map(|_| {
            let mut rig = Rig::new("muchnull", 1000, &[]);
            rig.set_caps(CAPS);
            rig.push_buffer(frame(SIZE));
            let _idle: Vec<_> = (0..16).map(|_| rig.raw_client()).collect();
            assert_eq!(rig.stat("slots-reserved"), rig.stat("slots-total"));
            let took = rig.stop();
            assert_eq!(common::areas_of(std::process::id()), [""; 0]);
            took
        })
        .min()
        .unwrap();
    println!("NULL with much memory took {quickest:?}");
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    wait_for_memory();
}

/// What sinks have given back is the system's again.
fn wait_for_memory() {
    wait_until("no thread of ours is left", SOON, || {
        !common::holdings()
            .1
            .iter()
            .any(|name| name.starts_with("shm "))
    });
}

#[test]
fn a_stopped_reader_keeps_no_more_than_its_frames_when_the_sink_is_gone() {
    let _alone = alone("what a stopped reader keeps");
    let mut rig = Rig::new("keeps", 1000, &[]);
    rig.set_caps(CAPS);
    let mut stopped = rig.reader_with(&ReaderOptions::default());
    rig.push_buffer(frame(SIZE));
    stopped.frame();
    stopped.stop();
    stream(&mut rig, 8);
    assert_eq!(first_client(&rig, "outstanding"), 4);
    // The area itself, whatever becomes of its name.
    let areas = common::areas_of(std::process::id());
    let [area] = &areas[..] else {
        panic!("{areas:?}");
    };
    let area = std::fs::File::open(format!("/dev/shm/{area}")).unwrap();
    let in_use = || std::os::unix::fs::MetadataExt::blocks(&area.metadata().unwrap()) * 512;
    rig.stop();
    // Four frames, in slots that are a little larger.
    let kept = 4 * (SIZE as u64 + (1 << 17));
    wait_until("the rest is given back", SOON, || in_use() <= kept);
    assert!(in_use() >= 4 * SIZE as u64, "it still has its frames");
    stopped.kill();
}

const SMALL: &str = "SHM_SMALL";

/// Not a test: what this program does when it is started with a /dev/shm of 64 MiB of its own.
#[test]
fn small_dev_shm_process() {
    if std::env::var_os(SMALL).is_none() {
        return;
    }
    let _alone = alone("a small /dev/shm");
    // What one size needs is more than half of it.
    let mut rig = Rig::new("small", 1000, &[]);
    for format in ["RGB", "RGBx", "RGB"] {
        rig.set_caps(&format!(
            "video/x-raw,format={format},width=1920,height=1080,framerate=30/1"
        ));
        let size = 1920 * 1080 * if format == "RGB" { 3 } else { 4 };
        assert_eq!(rig.try_push(frame(size)), Ok(gst::FlowSuccess::Ok));
    }
    let _client = healthy(&rig);
    rig.push_buffer(frame(1920 * 1080 * 3));
    assert_eq!(rig.stat("frames-published"), 1);
    rig.assert_no_error();
    drop(rig);

    // Clients that hold frames of the old size.
    let mut rig = Rig::new("smallheld", 1000, &[]);
    rig.set_caps("video/x-raw,format=NV12,width=1280,height=720,framerate=30/1");
    rig.push_buffer(frame(1280 * 720 * 3 / 2));
    let _idle: Vec<_> = (0..9).map(|_| rig.raw_client()).collect();
    rig.push_buffer(frame(1280 * 720 * 3 / 2));
    rig.set_caps("video/x-raw,format=NV12,width=640,height=480,framerate=30/1");
    assert_eq!(
        rig.try_push(frame(640 * 480 * 3 / 2)),
        Ok(gst::FlowSuccess::Ok)
    );
    rig.assert_no_error();
    drop(rig);

    // It fills while running.
    let mut rig = Rig::new("smallfull", 1000, &[]);
    rig.set_caps("video/x-raw,format=NV12,width=1280,height=720,framerate=30/1");
    rig.push_buffer(frame(1280 * 720 * 3 / 2));
    let healthy = healthy(&rig);
    let full = "/dev/shm/full";
    let mut file = std::fs::File::create(full).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 65536]).is_ok() {}
    // A newcomer is refused, as there is no memory for its frames; the others go on.
    let mut newcomer = UnixStream::connect(&rig.path).unwrap();
    assert_eq!(
        std::io::Read::read(&mut newcomer, &mut [0; 1]).unwrap_or(0),
        0
    );
    for _ in 0..100 {
        rig.push_buffer(frame(1280 * 720 * 3 / 2));
        wait_until("it has it", SOON, || first_client(&rig, "outstanding") == 0);
    }
    assert_eq!(first_client(&rig, "skipped"), 0);
    // A larger size is an error with the numbers.
    rig.set_caps("video/x-raw,format=NV12,width=3840,height=2160,framerate=30/1");
    assert_eq!(rig.try_push(frame(SIZE)), Err(gst::FlowError::Error));
    let text = common::rig::error_of(&rig.bus);
    assert!(
        text.contains("/dev/shm") && text.contains("--shm-size"),
        "{text}"
    );
    drop(rig);
    healthy.join().unwrap();
    drop(file);
    std::fs::remove_file(full).unwrap();

    // It is full when frames become larger: what the old size had is enough for one client's window.
    let mut rig = Rig::new("smallgoes", 1000, &[]);
    rig.set_caps("video/x-raw,format=GRAY8,width=640,height=720,framerate=30/1");
    let mut readers = [0, 1].map(|_| rig.reader_with(&ReaderOptions::default()));
    rig.push_buffer(gst::Buffer::from_slice(vec![1; 640 * 720]));
    for reader in &mut readers {
        assert_eq!(reader.frame(), Seen::of(&vec![1; 640 * 720]));
    }
    wait_until("both have their windows", SOON, || {
        rig.stat("slots-reserved") == 10
    });
    let mut file = std::fs::File::create(full).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 65536]).is_ok() {}
    rig.set_caps("video/x-raw,format=GRAY8,width=960,height=700,framerate=30/1");
    let frame_of = |value| vec![value; 960 * 700];
    for value in 2..20 {
        let buffer = gst::Buffer::from_slice(frame_of(value));
        assert_eq!(rig.try_push(buffer), Ok(gst::FlowSuccess::Ok));
        thread::sleep(Duration::from_millis(5));
    }
    wait_until("one has gone", SOON, || rig.stat("clients-evicted") == 1);
    assert_eq!(rig.num_clients(), 1);
    rig.push_buffer(gst::Buffer::from_slice(frame_of(99)));
    let [stays, _goes] = &mut readers;
    while stays.frame() != Seen::of(&frame_of(99)) {}
    rig.assert_no_error();
    drop(rig);
    drop(readers);
    drop(file);
    std::fs::remove_file(full).unwrap();

    // Twice as much does not fit.
    let mut rig = Rig::new("smallgrow", 1000, &[]);
    for size in [4_000_000, 4_100_000] {
        assert_eq!(rig.try_push(frame(size)), Ok(gst::FlowSuccess::Ok));
    }
    rig.assert_no_error();
}

#[test]
fn t16_a_small_dev_shm_is_enough_for_a_change_of_size() {
    let _alone = alone("a change of size in a small /dev/shm");
    // Who is not root needs a user namespace for a mount of its own.
    let flags: &[&str] = if rustix::process::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--map-root-user", "--mount"]
    };
    let possible = Command::new("unshare").args(flags).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: t16_a_small_dev_shm_is_enough_for_a_change_of_size: no mount namespace for this user"
        );
        return;
    }
    let status = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c"])
        .arg("mount -t tmpfs -o size=64m tmpfs /dev/shm && exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(["small_dev_shm_process", "--exact", "--nocapture"])
        .env(SMALL, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
