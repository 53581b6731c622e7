//! The loop state: a frame, a failure and the end reach who waits for them, and a frame comes back.

use std::sync::Arc;

use gstlibcamerars::{
    camera::{
        CameraError, CompletedFrame, Completion, CompletionStatus, FrameSet, FrameStatus, RequestId,
    },
    capture::{
        clock_map::Timing,
        driver::{Action, Driver, Policy},
        loop_state::LoopState,
        stream::Delivery,
        task_gate::{TaskControl, TaskGate},
    },
    sync::atomic::AtomicBool,
};
use loom::{sync::atomic::Ordering, thread};

use super::{
    check,
    task::{Handle, ModelTask},
};

pub const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};

pub fn completion(request: RequestId, frames: FrameSet) -> Completion {
    let status = FrameStatus::Success;
    Completion {
        request,
        status: CompletionStatus::Complete,
        sensor_timestamp: None,
        frames: frames.map(|frame| {
            Some(CompletedFrame {
                frame: frame?,
                status,
                sequence: 0,
                bytes_used: None,
            })
        }),
    }
}

pub fn queue_one(state: &LoopState) -> (RequestId, FrameSet) {
    match state.next_action() {
        Some(Action::Queue {
            request, frames, ..
        }) => (request, frames),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_completed_frame_reaches_who_waits_for_it() {
    check("completion against the pad's wait", || {
        let state = Arc::new(LoopState::new(
            Driver::new(&[1], Policy::default()),
            || (),
            || 0,
        ));
        let (request, frames) = queue_one(&state);
        let camera = {
            let state = state.clone();
            thread::spawn(move || state.completed(&completion(request, frames), TIMING, 0))
        };
        assert!(
            matches!(state.next_delivery(0), Ok(Delivery::Frame(captured)) if Some(captured.frame) == frames[0])
        );
        camera.join().unwrap();
    });
}

#[test]
fn an_end_reaches_who_waits_and_who_waits_later() {
    check("EOS against the pad's wait", || {
        let state = Arc::new(LoopState::new(
            Driver::new(&[1], Policy::default()),
            || (),
            || 0,
        ));
        let pad = {
            let state = state.clone();
            thread::spawn(move || {
                assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
                assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
            })
        };
        state.end();
        pad.join().unwrap();
    });
}

/// The whole round with one frame: the camera completes, the pad takes the frame and drops it, the task queues it again. Nobody but the
/// frame's return wakes the task, and the gate is closed while all that goes on.
#[test]
fn a_frame_goes_round_while_the_gate_closes() {
    check("one frame's round, closed at any moment", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let state = {
            let gate = gate.clone();
            Arc::new(LoopState::new(
                Driver::new(&[1], Policy::default()),
                move || gate.notify(),
                || 0,
            ))
        };
        let (request, frames) = queue_one(&state);
        let runner = {
            let (gate, state) = (gate.clone(), state.clone());
            thread::spawn(move || {
                task.run(|| gate.iterate(|| while state.next_action().is_some() {}))
            })
        };
        let pad = {
            let state = state.clone();
            thread::spawn(move || {
                if let Ok(Delivery::Frame(captured)) = state.next_delivery(0) {
                    state.returned(0, captured.frame);
                }
            })
        };
        state.completed(&completion(request, frames), TIMING, 0);
        gate.close();
        pad.join().unwrap();
        runner.join().unwrap();
    });
}

#[test]
fn a_failure_wakes_the_task_that_reports_it_and_ends_the_stream() {
    check("failure, report, end", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let state = {
            let gate = gate.clone();
            Arc::new(LoopState::new(
                Driver::new(&[1], Policy::default()),
                move || gate.notify(),
                || 0,
            ))
        };
        queue_one(&state);
        let reported = Arc::new(AtomicBool::new(false));
        let seen = reported.clone();
        let runner = {
            let (gate, state, task) = (gate.clone(), state.clone(), task.clone());
            thread::spawn(move || {
                task.run(|| {
                    gate.iterate(|| {
                        if let Some(Action::Report(_)) = state.next_action() {
                            seen.store(true, Ordering::Relaxed);
                            state.reported();
                            Handle(task.clone()).stop();
                        }
                    });
                });
            })
        };
        state.failed(CameraError::NoCamera);
        assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
        assert!(
            reported.load(Ordering::Relaxed),
            "the end came before its reason"
        );
        runner.join().unwrap();
    });
}
