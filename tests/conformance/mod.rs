//! What every backend does alike. A test program that includes this says in its root which backend: `system()`, `CAMERA` (free
//! running) and `is_cameras` (whether a thread of that name is the one that completes requests).

#[path = "../common/nv12.rs"]
mod nv12;

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use gstlibcamerars::{
    camera::{
        CameraDevice, CameraError, CameraEvents, Completion, CompletionStatus, Controls, FrameId,
        FrameLayout, FrameSet, RequestId, RequestQueue, Start, StreamConfig, StreamRole,
    },
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{CAMERA, is_cameras, system, watchdog::Watchdog};
pub use nv12::frames;

pub const ROLE: StreamRole = StreamRole::VideoRecording;
pub const SOON: Duration = Duration::from_secs(10);

/// The tests look at the process's threads and file descriptors: one at a time.
pub fn alone(what: &str) -> (MutexGuard<'static, ()>, Watchdog) {
    static ALONE: Mutex<()> = Mutex::new(());
    (ALONE.lock(), Watchdog::new(what, Duration::from_secs(60)))
}

/// How many file descriptors this process has, and how many threads of cameras.
pub fn files_and_threads() -> (usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let names = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let cameras = names.filter(|name| {
        ["Camera", "Virtual", "Simulated"]
            .iter()
            .any(|known| name.starts_with(known))
    });
    (files, cameras.count())
}

/// Completions go into a channel, with the name of the thread that brought them.
pub struct Channel(Mutex<Sender<(Completion, String)>>);

impl CameraEvents for Channel {
    fn completed(&self, completion: Completion) {
        let thread = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let _ = self.0.lock().send((completion, thread.trim().to_owned()));
    }
    fn wants_metadata(&self) -> bool {
        false
    }
    fn reported(&self, _: &mut dyn FnMut(&mut Controls)) {}
    fn failed(&self, _: CameraError) {}
}

pub fn events() -> (Arc<Channel>, Receiver<(Completion, String)>) {
    let (sender, receiver) = channel();
    (Arc::new(Channel(Mutex::new(sender))), receiver)
}

pub fn device() -> Box<dyn CameraDevice> {
    system().acquire(CAMERA).unwrap()
}

pub fn configure(device: &mut dyn CameraDevice) -> StreamConfig {
    let default = device.offer(&[ROLE]).unwrap().remove(0).default;
    device.configure(&[ROLE], &[default]).unwrap().remove(0)
}

/// A set with a frame for the one stream.
pub fn one(frame: FrameId) -> FrameSet {
    let mut frames = FrameSet::default();
    frames[0] = Some(frame);
    frames
}

pub fn frame_of(completion: &Completion) -> FrameId {
    completion.frames[0].unwrap().frame
}

pub type Started = (
    Box<dyn CameraDevice>,
    Box<dyn RequestQueue>,
    Receiver<(Completion, String)>,
);

pub fn starting(requests: u32) -> Start {
    Start {
        requests,
        ..Start::default()
    }
}

pub fn started(count: usize) -> Started {
    let mut device = device();
    let agreed = configure(&mut *device);
    device.import_frames(0, &frames(&agreed, count)).unwrap();
    let (events, receiver) = events();
    let queue = device.start(&starting(count as u32), events).unwrap();
    (device, queue, receiver)
}

#[test]
fn two_streams_of_a_request_complete_together() {
    let _alone = alone("two streams");
    let mut device = device();
    let roles = [ROLE, StreamRole::ViewFinder];
    let wanted: Vec<StreamConfig> = device
        .offer(&roles)
        .unwrap()
        .into_iter()
        .map(|offer| offer.default)
        .collect();
    let agreed = device.configure(&roles, &wanted).unwrap();
    for (stream, agreed) in agreed.iter().enumerate() {
        device.import_frames(stream, &frames(agreed, 2)).unwrap();
    }
    let (events, completions) = events();
    let mut queue = device.start(&starting(3), events).unwrap();
    let mut both = one(FrameId(0));
    both[1] = Some(FrameId(1));
    let mut second_only = FrameSet::default();
    second_only[1] = Some(FrameId(0));
    for (request, set) in [(0, both), (1, second_only), (2, one(FrameId(1)))] {
        queue.queue(RequestId(request), &set, false, None).unwrap();
        let (completion, _) = completions.recv_timeout(SOON).unwrap();
        assert_eq!(
            completion.frames.map(|completed| Some(completed?.frame)),
            set
        );
    }
    assert!(
        matches!(device.offer(&[ROLE; 9]), Err(CameraError::NoStream { .. })),
        "nine streams at once"
    );
}

#[test]
fn one_frame_goes_round_a_thousand_times() {
    let _alone = alone("one circulating frame");
    let (_device, mut queue, completions) = started(1);
    let (request, frame) = (RequestId(0), FrameId(0));
    let mut last = None;
    for round in 0..1000 {
        queue.queue(request, &one(frame), round > 0, None).unwrap();
        let (completion, thread) = completions.recv_timeout(SOON).unwrap();
        assert_eq!(
            (completion.request, frame_of(&completion)),
            (request, frame)
        );
        assert_eq!(completion.status, CompletionStatus::Complete);
        assert!(completion.sensor_timestamp > last, "time goes on");
        last = completion.sensor_timestamp;
        assert!(is_cameras(&thread), "{thread}");
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
            queue
                .queue(RequestId(request), &one(frame), same, None)
                .unwrap();
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
    let mut queue = device.start(&starting(1), events).unwrap();
    queue
        .queue(RequestId(0), &one(FrameId(0)), false, None)
        .unwrap();
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
    let mut levels = luma[..agreed.size.width as usize].to_vec();
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
            .queue(RequestId(index), &one(FrameId(index)), false, None)
            .unwrap();
    }
    device.stop();
    assert_eq!(completions.try_iter().count(), 4);
    assert!(
        queue
            .queue(RequestId(0), &one(FrameId(0)), true, None)
            .is_err(),
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
        let mut queue = device.start(&starting(1), events).unwrap();
        queue
            .queue(RequestId(0), &one(FrameId(0)), false, None)
            .unwrap();
        completions.recv_timeout(SOON).unwrap();
        device.stop();
    }
}

#[test]
fn what_is_left_of_an_earlier_start_does_not_stop_a_later_one() {
    let _alone = alone("late drops");
    let (mut device, mut earlier, completions) = started(1);
    earlier
        .queue(RequestId(0), &one(FrameId(0)), false, None)
        .unwrap();
    completions.recv_timeout(SOON).unwrap();
    device.stop();
    let (events, completions) = events();
    let mut later = device.start(&starting(1), events).unwrap();
    drop(earlier);
    later
        .queue(RequestId(0), &one(FrameId(0)), false, None)
        .unwrap();
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
                    .queue(RequestId(index), &one(FrameId(index)), false, None)
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
        queue
            .queue(RequestId(0), &one(FrameId(0)), false, None)
            .unwrap();
        completions.recv_timeout(SOON).unwrap();
    }
    // A thread that was joined may still be listed for a moment.
    let deadline = Instant::now() + SOON;
    while files_and_threads() != (before.0, 0) {
        assert!(
            Instant::now() < deadline,
            "{:?}, {before:?} before",
            files_and_threads()
        );
        std::thread::yield_now();
    }
}

#[test]
fn each_failure_has_its_error() {
    let _alone = alone("failures");
    let system = system();
    match system.acquire("nope") {
        Err(CameraError::Unknown { wanted, known }) => {
            assert_eq!(wanted, "nope");
            assert!(known.contains(&CAMERA.to_owned()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        system.acquire("with\0nul"),
        Err(CameraError::Unknown { .. })
    ));

    let mut device = system.acquire(CAMERA).unwrap();
    assert!(matches!(
        system.acquire(CAMERA),
        Err(CameraError::Busy { .. })
    ));
    assert!(matches!(
        device.offer(&[StreamRole::Raw]),
        Err(CameraError::NoStream { .. })
    ));

    let (events, _completions) = events();
    let refused = |result: Result<_, CameraError>| matches!(result, Err(CameraError::Call { .. }));
    assert!(
        refused(device.start(&starting(1), events.clone()).map(drop)),
        "not configured"
    );
    assert!(
        refused(device.import_frames(0, &[]).map(drop)),
        "not configured"
    );
    assert!(refused(device.export_frames(0).map(drop)), "not configured");

    let agreed = configure(&mut *device);
    assert!(
        refused(device.start(&starting(1), events.clone()).map(drop)),
        "no frames"
    );
    let without_planes = [FrameLayout { planes: Vec::new() }];
    assert!(matches!(
        device.import_frames(0, &without_planes),
        Err(CameraError::Allocation { .. })
    ));

    device.import_frames(0, &frames(&agreed, 1)).unwrap();
    let mut queue = device.start(&starting(1), events.clone()).unwrap();
    assert!(
        refused(device.start(&starting(1), events).map(drop)),
        "running"
    );
    assert!(
        refused(queue.queue(RequestId(0), &one(FrameId(9)), false, None)),
        "no such frame"
    );
    assert!(
        refused(queue.queue(RequestId(9), &one(FrameId(0)), false, None)),
        "no such request"
    );
}
