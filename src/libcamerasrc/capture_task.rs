//! The task that queues requests: a GstTask behind the gate of the wake protocol.

use crate::camera::{CameraError, ControlId, Controls, RequestQueue};
use crate::capture::driver::Action;
use crate::capture::loop_state::LoopState;
use crate::capture::stills::StillOutcome;
use crate::capture::task_gate::{TaskControl, TaskGate};
use crate::sync::{Arc, Mutex, Weak};
use gst::prelude::*;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

#[derive(Debug)]
pub struct Task(gst::Task);

/// Pausing and joining fail only where there is nothing to do; resuming a task that was stopped is refused, and meant to be.
impl TaskControl for Task {
    fn start(&self) -> bool {
        self.0.start().is_ok()
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

/// What the task has to tell the user.
#[derive(Debug)]
pub enum Report<'a> {
    Failed(&'a CameraError),
    Stalled,
    /// By its place in the plan.
    Starved(usize),
    Refused(ControlId),
    Still(StillOutcome),
    /// The camera reports these states anew.
    Changed(Controls),
}

/// What the task works with. Its owner drops it after the camera was stopped, in a thread of its own choice: nobody but the task, which is
/// joined before that, ever holds it besides. (A request that went last in libcamera's own thread would make that thread wait for itself.)
pub struct Worker {
    /// Only the task takes the lock, and the camera's callbacks never do.
    queue: Mutex<Box<dyn RequestQueue>>,
    report: Box<dyn Fn(Report<'_>) + Send + Sync>,
}

impl Worker {
    pub fn new(
        queue: Box<dyn RequestQueue>,
        report: impl Fn(Report<'_>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(queue),
            report: Box::new(report),
        })
    }

    fn step(&self, state: &LoopState) {
        let mut idle = true;
        while let Some(action) = state.next_action() {
            idle = false;
            match action {
                Action::Queue {
                    request,
                    frames,
                    same_frames,
                    controls,
                } => {
                    let mut queue = self.queue.lock();
                    let result = queue.queue(request, &frames, same_frames, controls.as_deref());
                    drop(queue);
                    if let Err(error) = result {
                        state.queue_failed(request, error);
                    }
                }
                Action::Report(error) => {
                    (self.report)(Report::Failed(&error));
                    state.reported();
                }
                Action::WarnOfStall => (self.report)(Report::Stalled),
                Action::TellOfStarvation(stream) => (self.report)(Report::Starved(stream)),
                Action::TellOfRefusal(control) => (self.report)(Report::Refused(control)),
                Action::TellOfState(news) => (self.report)(Report::Changed(news)),
                Action::TellOfStill(outcome) => (self.report)(Report::Still(outcome)),
            }
        }
        state.count_round(idle);
    }
}

/// A task that serves `state`, not started.
pub fn new(state: Weak<LoopState>, worker: Weak<Worker>) -> Arc<Gate> {
    Arc::new_cyclic(|gate: &Weak<Gate>| {
        let gate = gate.clone();
        let task = gst::Task::builder(move |_| {
            let (Some(gate), Some(state), Some(worker)) =
                (gate.upgrade(), state.upgrade(), worker.upgrade())
            else {
                return;
            };
            gate.iterate(|| {
                // GstTask calls this from C, which no panic may cross.
                if catch_unwind(AssertUnwindSafe(|| worker.step(&state))).is_err() {
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
