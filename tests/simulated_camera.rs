//! The simulated camera: what every backend does, and what it does when it is told to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
#[path = "common/watchdog.rs"]
mod watchdog;

use std::time::Duration;

use conformance::{SOON, Started, alone, one, started};
use gstlibcamerars::{
    backend::simulated::{Fault, Script, Simulated, Spec, plug},
    camera::{
        CameraError, CameraSystem, Completion, CompletionStatus, FrameId, FrameStatus, RequestId,
    },
    sync::Arc,
};

const CAMERA: &str = "simulated-tiny";
fn is_cameras(thread: &str) -> bool {
    thread == "SimulatedCamera"
}

fn plugged() -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        streams: 3,
        interval: Duration::ZERO,
        frames: 4,
        padding: 0,
        ..Spec::default()
    })
}

fn system() -> Box<dyn CameraSystem> {
    if Simulated.cameras().unwrap().is_empty() {
        plugged();
    }
    Box::new(Simulated)
}

/// The script of a test's camera. The next test gets a healthy one.
struct Told(Arc<Script>);

impl std::ops::Deref for Told {
    type Target = Script;
    fn deref(&self) -> &Script {
        &self.0
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        plugged();
    }
}

/// A camera that was told something before it got its two requests.
fn scripted(tell: impl FnOnce(&Script)) -> (Told, Started) {
    let told = Told(plugged());
    let mut started = started(2);
    tell(&told);
    for index in 0..2 {
        let frames = one(FrameId(index));
        started
            .1
            .queue(RequestId(index), &frames, false, None)
            .unwrap();
    }
    (told, started)
}

fn next(started: &Started) -> Completion {
    started.2.recv_timeout(SOON).unwrap().0
}

#[test]
fn faults_come_one_a_frame() {
    let _alone = alone("faults");
    let (_told, damaged) = scripted(|script| script.fault(Fault::Damaged));
    assert_eq!(next(&damaged).frames[0].unwrap().status, FrameStatus::Error);
    assert_eq!(
        next(&damaged).frames[0].unwrap().status,
        FrameStatus::Success
    );
    drop(damaged);
    let (_told, cancelled) = scripted(|script| script.fault(Fault::Cancelled));
    assert_eq!(next(&cancelled).status, CompletionStatus::Cancelled);
    drop(cancelled);
    let (_told, partial) = scripted(|script| script.fault(Fault::WithoutStream(0)));
    assert_eq!(next(&partial).frames[0], None);
    drop(partial);
    let (_told, gap) = scripted(|script| script.fault(Fault::Gap(7)));
    assert_eq!(next(&gap).frames[0].unwrap().sequence, 7);
    drop(gap);
    let (_told, made_up) = scripted(|script| script.fault(Fault::MadeUp));
    assert_eq!(next(&made_up).request, RequestId(u32::MAX));
    assert_eq!(next(&made_up).request, RequestId(0));
}

#[test]
fn requests_can_overtake_each_other() {
    let _alone = alone("overtaking");
    let (script, started) = scripted(|script| {
        script.stall(true);
        script.fault(Fault::Overtaken);
    });
    script.stall(false);
    assert_eq!(
        (next(&started).request, next(&started).request),
        (RequestId(1), RequestId(0))
    );
}

#[test]
fn a_stalled_camera_keeps_its_requests_until_it_is_stopped() {
    let _alone = alone("stall");
    let (_told, (mut device, _queue, completions)) = scripted(|script| script.stall(true));
    assert!(completions.recv_timeout(Duration::from_millis(50)).is_err());
    device.stop();
    let cancelled = completions
        .try_iter()
        .filter(|(completion, _)| completion.status == CompletionStatus::Cancelled);
    assert_eq!(cancelled.count(), 2);
}

#[test]
fn a_camera_that_vanishes_takes_nothing_and_gives_nothing_back() {
    let _alone = alone("vanishing");
    let (script, (mut device, mut queue, completions)) = scripted(|script| script.stall(true));
    script.vanish();
    let refused = queue.queue(RequestId(0), &one(FrameId(0)), true, None);
    assert!(matches!(refused, Err(CameraError::Gone { .. })));
    device.stop();
    assert_eq!(completions.try_iter().count(), 0);
}

#[test]
fn starts_and_requests_can_be_refused() {
    let _alone = alone("refusals");
    let script = Told(plugged());
    let (mut device, mut queue, completions) = started(1);
    script.refuse_next_queue();
    assert!(
        queue
            .queue(RequestId(0), &one(FrameId(0)), false, None)
            .is_err()
    );
    queue
        .queue(RequestId(0), &one(FrameId(0)), false, None)
        .unwrap();
    completions.recv_timeout(SOON).unwrap();
    device.stop();
    script.refuse_next_start();
    let (events, _completions) = conformance::events();
    assert!(
        device
            .start(&conformance::starting(1), events.clone())
            .is_err()
    );
    assert!(device.start(&conformance::starting(1), events).is_ok());
}
