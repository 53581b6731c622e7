//! The task that queues requests: a GstTask behind the gate of the wake protocol.

use crate::camera::{CameraError, ControlId, Controls, RequestQueue};
use crate::capture::driver::Action;
use crate::capture::loop_state::LoopState;
use crate::capture::queueing::Queueing;
use crate::capture::stills::StillOutcome;
use crate::capture::task_gate::{TaskControl, TaskGate};
use crate::sync::{Arc, Weak};
use gst::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// Tells the user.
pub type Tell = Arc<dyn Fn(Report<'_>) + Send + Sync>;

/// What the task works with, and who helps it.
pub struct Worker {
    queueing: Queueing,
    report: Tell,
    recover: Box<dyn Fn(&CameraError) -> bool + Send + Sync>,
}

impl Worker {
    /// `recover` says whether the camera is being started anew for a failure, which is then told to nobody.
    pub fn new(
        queue: Box<dyn RequestQueue>,
        report: Tell,
        recover: impl Fn(&CameraError) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            queueing: Queueing::new(queue),
            report,
            recover: Box::new(recover),
        })
    }

    fn step(&self, state: &LoopState) {
        let mut idle = true;
        loop {
            let (queued, news) = self.queueing.work(state);
            idle &= !queued;
            let Some(news) = news else { break };
            idle = false;
            self.tell(news, state);
        }
        state.count_round(idle);
    }

    fn tell(&self, news: Action, state: &LoopState) {
        match news {
            // That is no news, and was done.
            Action::Queue { .. } => (),
            Action::Report(error) if (self.recover)(&error) => (),
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

    /// In a pad's thread, after it has published something: does what can be done at once. False when the task is to be woken.
    #[must_use]
    pub fn help(&self, state: &LoopState) -> bool {
        // The thread may be in the middle of C, which no panic may cross. The task finds out again.
        catch_unwind(AssertUnwindSafe(|| self.queueing.help(state))).unwrap_or(false)
    }

    /// No request is queued any more when this returns. Those that there are must be dropped after the camera was stopped, and not in libcamera's
    /// own thread, which would wait for itself.
    pub fn close(&self) -> Option<Box<dyn RequestQueue>> {
        self.queueing.close()
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
                    state.failed(CameraError::Panicked {
                        thread: "the capture task",
                    });
                }
            });
        })
        .lock(&gst::TaskLock::new())
        .build();
        TaskGate::new(Task(task))
    })
}
