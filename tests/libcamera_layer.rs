//! The safe layer over libcamera, on libcamera's own virtual cameras: what is dropped when, what leaks, who calls back, what fails and how.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/watchdog.rs"]
mod watchdog;

use gstlibcamerars::{
    backend::libcamera::Libcamera,
    camera::{
        CameraDevice, CameraError, CameraEvents, CameraSystem, Completion, CompletionStatus,
        FrameId, FrameLayout, FrameSet, Plane, RequestId, RequestQueue, Size, StreamConfig,
        StreamOffer, StreamRole,
    },
    os::memfd,
    sync::{Arc, Mutex, MutexGuard},
};
use std::{
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};
use watchdog::Watchdog;

const TINY: &str = "VirtualTiny";
const ROLE: StreamRole = StreamRole::VideoRecording;
const SOON: Duration = Duration::from_secs(10);

/// The tests look at the process's threads and file descriptors: one at a time.
fn alone(what: &str) -> (MutexGuard<'static, ()>, Watchdog) {
    static ALONE: Mutex<()> = Mutex::new(());
    (ALONE.lock(), Watchdog::new(what, Duration::from_secs(60)))
}

fn files_and_threads() -> (usize, usize) {
    let count = |dir| std::fs::read_dir(dir).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Completions go into a channel, with the name of the thread that brought them.
struct Channel(Mutex<Sender<(Completion, String)>>);

impl CameraEvents for Channel {
    fn completed(&self, completion: Completion) {
        let thread = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let _ = self.0.lock().send((completion, thread.trim().to_owned()));
    }
    fn disconnected(&self) {}
}

fn events() -> (Arc<Channel>, Receiver<(Completion, String)>) {
    let (sender, receiver) = channel();
    (Arc::new(Channel(Mutex::new(sender))), receiver)
}

fn device() -> Box<dyn CameraDevice> {
    Libcamera::new().unwrap().acquire(TINY).unwrap()
}

fn configure(device: &mut dyn CameraDevice) -> StreamConfig {
    let default = device.offer(&[ROLE]).unwrap().remove(0).default;
    device.configure(&[ROLE], &[default]).unwrap().remove(0)
}

/// `count` frames of ours in the layout of NV12.
fn frames(agreed: &StreamConfig, count: usize) -> Vec<FrameLayout> {
    let luma = agreed.stride * agreed.size.height;
    let frame = |_| {
        let fd = Arc::new(memfd::create("test-frame", u64::from(luma * 3 / 2)).unwrap());
        let plane = |offset, length| Plane {
            fd: fd.clone(),
            offset,
            length,
        };
        FrameLayout {
            planes: vec![plane(0, luma), plane(luma, luma / 2)],
        }
    };
    (0..count).map(frame).collect()
}

/// A set with a frame for the one stream.
fn one(frame: FrameId) -> FrameSet {
    let mut frames = FrameSet::default();
    frames[0] = Some(frame);
    frames
}

fn frame_of(completion: &Completion) -> FrameId {
    completion.frames[0].unwrap().frame
}

type Started = (
    Box<dyn CameraDevice>,
    Box<dyn RequestQueue>,
    Receiver<(Completion, String)>,
);

fn started(count: usize) -> Started {
    let mut device = device();
    let agreed = configure(&mut *device);
    device.import_frames(0, &frames(&agreed, count)).unwrap();
    let (events, receiver) = events();
    let queue = device.start(count as u32, None, events).unwrap();
    (device, queue, receiver)
}

#[test]
fn cameras_are_listed_with_their_models_the_first_one_first() {
    let _alone = alone("listing");
    let cameras = Libcamera::new().unwrap().cameras().unwrap();
    assert_eq!(cameras[0].id, "Virtual0");
    assert_eq!(cameras[0].model.as_deref(), Some("Virtual Camera"));
    assert!(cameras.iter().any(|camera| camera.id == TINY));
}

#[test]
fn a_camera_says_what_it_offers_and_what_it_would_make_of_a_wish() {
    let _alone = alone("offers");
    let device = Libcamera::new().unwrap().acquire("Virtual0").unwrap();
    let StreamOffer { default, formats } = device.offer(&[ROLE]).unwrap().remove(0);
    assert_eq!(default.size, Size::new(1920, 1080));
    assert_eq!(formats[0].format.to_string(), "NV12");
    assert!(
        device
            .frame_durations()
            .is_some_and(|(shortest, longest)| shortest < longest)
    );
    let odd = StreamConfig {
        size: Size::new(801, 601),
        ..default
    };
    let agreed = device
        .validate(&[ROLE], std::slice::from_ref(&odd))
        .unwrap()
        .remove(0);
    assert_ne!(agreed.size, odd.size);
    assert!(agreed.stride >= agreed.size.width);
}

#[test]
fn one_frame_goes_round_a_thousand_times() {
    let _alone = alone("one circulating frame");
    let (_device, mut queue, completions) = started(1);
    let (request, frame) = (RequestId(0), FrameId(0));
    let mut last = None;
    for round in 0..1000 {
        queue.queue(request, &one(frame), round > 0).unwrap();
        let (completion, thread) = completions.recv_timeout(SOON).unwrap();
        assert_eq!(
            (completion.request, frame_of(&completion)),
            (request, frame)
        );
        assert_eq!(completion.status, CompletionStatus::Complete);
        assert!(completion.sensor_timestamp > last, "time goes on");
        last = completion.sensor_timestamp;
        assert_eq!(thread, "CameraManager");
    }
}

#[test]
fn a_rested_request_takes_another_frame() {
    let _alone = alone("changing frames");
    let (_device, mut queue, completions) = started(2);
    let mut carried = [None; 2];
    for round in 0..200 {
        // Each request carries either frame, and is given the other one after a later request has completed.
        for (request, carried) in (0..).zip(&mut carried) {
            let frame = FrameId((round / 2 + request) % 2);
            let same = *carried == Some(frame);
            queue.queue(RequestId(request), &one(frame), same).unwrap();
            *carried = Some(frame);
            let (completion, _) = completions.recv_timeout(SOON).unwrap();
            assert_eq!(
                (completion.request, frame_of(&completion)),
                (RequestId(request), frame)
            );
        }
    }
}

#[test]
fn pixels_are_in_the_frames_that_were_given() {
    let _alone = alone("pixels");
    let mut device = device();
    let agreed = configure(&mut *device);
    let frames = frames(&agreed, 1);
    device.import_frames(0, &frames).unwrap();
    let (events, completions) = events();
    let mut queue = device.start(1, None, events).unwrap();
    queue.queue(RequestId(0), &one(FrameId(0)), false).unwrap();
    completions.recv_timeout(SOON).unwrap();
    let mut pixels = Vec::new();
    let mut file = std::fs::File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&*frames[0].planes[0].fd)
    ))
    .unwrap();
    std::io::Read::read_to_end(&mut file, &mut pixels).unwrap();
    let (luma, chroma) = pixels.split_at((agreed.stride * agreed.size.height) as usize);
    assert_eq!(chroma.len(), luma.len() / 2);
    let mut levels = luma[..64].to_vec();
    levels.sort_unstable();
    levels.dedup();
    assert!(
        levels.len() >= 8,
        "a line of the test picture has eight bars: {levels:?}"
    );
}

#[test]
fn stopping_gives_every_request_back_first() {
    let _alone = alone("stop");
    let (mut device, mut queue, completions) = started(4);
    for index in 0..4 {
        queue
            .queue(RequestId(index), &one(FrameId(index)), false)
            .unwrap();
    }
    device.stop();
    assert_eq!(completions.try_iter().count(), 4);
    assert!(
        queue.queue(RequestId(0), &one(FrameId(0)), true).is_err(),
        "a camera that was stopped takes nothing"
    );
    device.stop();
}

#[test]
fn a_camera_starts_again_after_it_was_stopped() {
    let _alone = alone("restart");
    let mut device = device();
    let agreed = configure(&mut *device);
    device.import_frames(0, &frames(&agreed, 1)).unwrap();
    for _ in 0..50 {
        let (events, completions) = events();
        let mut queue = device.start(1, None, events).unwrap();
        queue.queue(RequestId(0), &one(FrameId(0)), false).unwrap();
        completions.recv_timeout(SOON).unwrap();
        device.stop();
    }
}

#[test]
fn what_is_left_of_an_earlier_start_does_not_stop_a_later_one() {
    let _alone = alone("late drops");
    let (mut device, mut earlier, completions) = started(1);
    earlier
        .queue(RequestId(0), &one(FrameId(0)), false)
        .unwrap();
    completions.recv_timeout(SOON).unwrap();
    device.stop();
    let (events, completions) = events();
    let mut later = device.start(1, None, events).unwrap();
    drop(earlier);
    later.queue(RequestId(0), &one(FrameId(0)), false).unwrap();
    let (completion, _) = completions.recv_timeout(SOON).unwrap();
    assert_eq!(completion.status, CompletionStatus::Complete);
}

#[test]
fn everything_may_be_dropped_in_any_order_while_requests_are_queued() {
    let _alone = alone("drop order");
    for order in 0..6 {
        for _ in 0..10 {
            let (device, mut queue, completions) = started(4);
            for index in 0..4 {
                queue
                    .queue(RequestId(index), &one(FrameId(index)), false)
                    .unwrap();
            }
            match order {
                0 => drop((device, queue, completions)),
                1 => drop((queue, device, completions)),
                2 => drop((completions, queue, device)),
                3 => drop((completions, device, queue)),
                4 => drop((device, completions, queue)),
                _ => drop((queue, completions, device)),
            }
        }
    }
}

#[test]
fn nothing_is_left_when_all_is_dropped() {
    let _alone = alone("leaks");
    drop(started(4));
    let before = files_and_threads();
    for _ in 0..100 {
        let (_device, mut queue, completions) = started(4);
        queue.queue(RequestId(0), &one(FrameId(0)), false).unwrap();
        completions.recv_timeout(SOON).unwrap();
    }
    assert_eq!(files_and_threads(), before);
}

#[test]
fn the_manager_lives_as_long_as_anything_of_it() {
    let _alone = alone("manager");
    let system = Libcamera::new().unwrap();
    let device = system.acquire(TINY).unwrap();
    drop(system);
    assert!(device.offer(&[ROLE]).is_ok());
    drop(device);
    // Many threads that come and go at once: a second manager beside one that is still going away would abort the process.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert!(!Libcamera::new().unwrap().cameras().unwrap().is_empty());
                }
            });
        }
    });
}

#[test]
fn each_failure_has_its_error() {
    let _alone = alone("failures");
    let system = Libcamera::new().unwrap();
    match system.acquire("nope") {
        Err(CameraError::Unknown { wanted, known }) => {
            assert_eq!(wanted, "nope");
            assert!(known.contains(&TINY.to_owned()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        system.acquire("with\0nul"),
        Err(CameraError::Unknown { .. })
    ));

    let mut device = system.acquire(TINY).unwrap();
    assert!(matches!(
        system.acquire(TINY),
        Err(CameraError::Busy { .. })
    ));
    assert!(matches!(
        device.offer(&[StreamRole::Raw]),
        Err(CameraError::NoStream { .. })
    ));

    let (events, _completions) = events();
    let refused = |result: Result<_, CameraError>| matches!(result, Err(CameraError::Call { .. }));
    assert!(
        refused(device.start(1, None, events.clone()).map(drop)),
        "not configured"
    );
    assert!(
        refused(device.import_frames(0, &[]).map(drop)),
        "not configured"
    );
    assert!(refused(device.export_frames(0).map(drop)), "not configured");

    let agreed = configure(&mut *device);
    assert!(
        refused(device.start(1, None, events.clone()).map(drop)),
        "no frames"
    );
    let without_planes = [FrameLayout { planes: Vec::new() }];
    assert!(matches!(
        device.import_frames(0, &without_planes),
        Err(CameraError::Allocation { .. })
    ));

    device.import_frames(0, &frames(&agreed, 1)).unwrap();
    let mut queue = device.start(1, None, events.clone()).unwrap();
    assert!(refused(device.start(1, None, events).map(drop)), "running");
    assert!(
        refused(queue.queue(RequestId(0), &one(FrameId(9)), false)),
        "no such frame"
    );
    assert!(
        refused(queue.queue(RequestId(9), &one(FrameId(0)), false)),
        "no such request"
    );
}

#[test]
fn frames_are_exported_where_the_machine_has_memory_for_it() {
    let _alone = alone("export");
    let mut device = device();
    configure(&mut *device);
    let can = [
        "/dev/dma_heap/linux,cma",
        "/dev/dma_heap/reserved",
        "/dev/dma_heap/system",
        "/dev/udmabuf",
    ]
    .iter()
    .any(|device| {
        std::fs::File::options()
            .read(true)
            .write(true)
            .open(device)
            .is_ok()
    });
    match device.export_frames(0) {
        Ok(frames) => {
            assert!(can);
            assert!(frames.iter().all(|frame| frame.planes.len() == 2));
        }
        Err(CameraError::Allocation { .. }) => assert!(!can),
        Err(other) => panic!("{other}"),
    }
}

struct Panics(Sender<()>);

impl CameraEvents for Panics {
    fn completed(&self, _: Completion) {
        panic!("on purpose");
    }
    fn disconnected(&self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_panic_in_a_callback_counts_as_a_camera_that_is_gone() {
    let _alone = alone("panic");
    let mut device = device();
    let agreed = configure(&mut *device);
    device.import_frames(0, &frames(&agreed, 1)).unwrap();
    let (sender, gone) = channel();
    let mut queue = device.start(1, None, Arc::new(Panics(sender))).unwrap();
    queue.queue(RequestId(0), &one(FrameId(0)), false).unwrap();
    gone.recv_timeout(SOON).unwrap();
}

const FOREIGN: &str = "LIBCAMERA_LAYER_FOREIGN";

/// Not a test of its own: the next one runs it in a process that may abort.
#[test]
fn foreign_manager_process() {
    if std::env::var_os(FOREIGN).is_none() {
        return;
    }
    // SAFETY: a manager of somebody else's, who uses libcamera's API as meant.
    unsafe {
        let foreign = libcamera_sys::libcamera_camera_manager_create();
        assert!(matches!(Libcamera::new(), Err(CameraError::ForeignManager)));
        libcamera_sys::libcamera_camera_manager_destroy(foreign);
    }
    assert!(
        Libcamera::new().is_ok(),
        "usable as soon as the other one is gone"
    );
    println!("foreign manager: told apart");
}

#[test]
fn a_manager_of_somebody_else_is_an_error_and_no_abort() {
    let _alone = alone("foreign manager");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["foreign_manager_process", "--exact", "--nocapture"])
        .env(FOREIGN, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("told apart"),
        "{output:?}"
    );
}
