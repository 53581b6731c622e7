//! The task that queues requests: a GstTask behind the gate of the wake protocol.

use crate::camera::{CameraError, RequestQueue};
use crate::capture::driver::Action;
use crate::capture::loop_state::LoopState;
use crate::capture::task_gate::{TaskControl, TaskGate};
use crate::sync::{Arc, Weak};
use gst::prelude::*;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

#[derive(Debug)]
pub struct Task(gst::Task);

/// Starting, pausing and joining fail only where there is nothing to do; resuming a task that was stopped is refused, and meant to be.
impl TaskControl for Task {
    fn start(&self) {
        let _ = self.0.start();
    }
    fn pause(&self) {
        let _ = self.0.pause();
    }
    fn resume(&self) {
        let _ = self.0.resume();
    }
    fn stop(&self) {
        let _ = self.0.stop();
    }
    fn join(&self) {
        let _ = self.0.join();
    }
}

pub type Gate = TaskGate<Task>;

/// A task that serves `state` with `queue`, not started. `report` is called with no lock held.
///
/// The task owns the queue: it is dropped with the gate.
pub fn new(
    state: Weak<LoopState>,
    mut queue: Box<dyn RequestQueue>,
    report: impl Fn(CameraError) + Send + 'static,
) -> Arc<Gate> {
    Arc::new_cyclic(|gate: &Weak<Gate>| {
        let gate = gate.clone();
        let task = gst::Task::builder(move |_| {
            let (Some(gate), Some(state)) = (gate.upgrade(), state.upgrade()) else {
                return;
            };
            gate.iterate(|| {
                // GstTask calls this from C, which no panic may cross.
                if catch_unwind(AssertUnwindSafe(|| step(&state, &mut *queue, &report))).is_err() {
                    state.failed(CameraError::Call {
                        camera: "(any)".to_owned(),
                        call: "the capture task",
                        reason: io::Error::other("a panic, see the log"),
                    });
                }
            });
        })
        .lock(&gst::TaskLock::new())
        .build();
        TaskGate::new(Task(task))
    })
}

fn step(state: &LoopState, queue: &mut dyn RequestQueue, report: &impl Fn(CameraError)) {
    while let Some(action) = state.next_action() {
        match action {
            Action::Queue {
                request,
                frame,
                same_frame,
            } => {
                if let Err(error) = queue.queue(request, frame, same_frame) {
                    state.queue_failed(request, frame, error);
                }
            }
            Action::Report(error) => report(error),
        }
    }
}
