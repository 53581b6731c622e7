//! A model of GstTask.

use std::sync::Arc;

use gstlibcamerars::{
    capture::task_gate::TaskControl,
    sync::{Condvar, Mutex},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Stopped,
    Started,
    Paused,
}

pub struct TaskState {
    pub state: State,
    pub running: bool,
}

/// GstTask as GStreamer 1.14 to 1.28 has it: one lock, one condition that the task and whoever joins it share, signals that wake one of them.
pub struct ModelTask {
    pub state: Mutex<TaskState>,
    pub condition: Condvar,
}

impl ModelTask {
    /// Started, its thread not yet at work.
    pub fn new() -> Arc<Self> {
        let state = TaskState {
            state: State::Started,
            running: true,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            condition: Condvar::new(),
        })
    }

    fn set(&self, state: &mut TaskState, new: State) {
        let old = std::mem::replace(&mut state.state, new);
        if old == State::Paused && new != State::Paused {
            self.condition.notify_one();
        }
    }

    /// The task's thread.
    pub fn run(&self, body: impl Fn()) {
        loop {
            let mut state = self.state.lock();
            while state.state == State::Paused {
                self.condition.wait(&mut state);
            }
            if state.state == State::Stopped {
                state.running = false;
                self.condition.notify_one();
                return;
            }
            drop(state);
            body();
        }
    }
}

/// What the gate gets: a handle to the task.
pub struct Handle(pub Arc<ModelTask>);

impl TaskControl for Handle {
    /// It has its thread already.
    fn start(&self) -> bool {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Started);
        true
    }
    /// Whatever the state was: this is what overwrites a STOPPED.
    fn pause(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Paused);
    }
    fn resume(&self) {
        let mut state = self.0.state.lock();
        if state.state != State::Stopped {
            self.0.set(&mut state, State::Started);
        }
    }
    fn stop(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Stopped);
    }
    fn join(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Stopped);
        while state.running {
            self.0.condition.wait(&mut state);
        }
    }
}
