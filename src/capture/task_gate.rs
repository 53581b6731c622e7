//! The wake protocol: how a task sleeps when it has nothing to do, misses no wake-up, and can always be ended.
//!
//! 1. Producers publish first, then call [`TaskGate::notify`].
//! 2. The task pauses *first*, then looks, then sleeps only if nothing was there. What was published before the pause is seen when it looks;
//!    what is published later undoes the pause.
//! 3. A task's `pause()` overwrites the STOPPED that a `join()` in another thread has just set, and both would sleep for ever. So
//!    [`TaskGate::close`] stores a flag before it joins, and the task reads it after every pause: whichever order the two take the task's own
//!    lock in, either the pause sees the flag, or the join comes later and finds a task that it can stop. That lock orders them, so the flag
//!    itself may be relaxed.
//!
//! A gate is used for one start of the camera: it is never re-armed.

use crate::sync::atomic::{AtomicBool, Ordering};

/// What the gate needs of a task: GstTask's verbs.
pub trait TaskControl {
    /// False when there is no thread for it.
    fn start(&self) -> bool;
    fn pause(&self);
    /// Undoes a pause. Does nothing to a task that was stopped.
    fn resume(&self);
    fn stop(&self);
    /// Stops the task and waits for its thread.
    fn join(&self);
}

#[derive(Debug)]
pub struct TaskGate<T> {
    task: T,
    opened: AtomicBool,
    closing: AtomicBool,
}

impl<T: TaskControl> TaskGate<T> {
    pub fn new(task: T) -> Self {
        Self {
            task,
            opened: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// Starts the task. False when there is no thread for it, and so nothing to close.
    #[must_use]
    pub fn open(&self) -> bool {
        let opened = self.task.start();
        self.opened.store(opened, Ordering::Relaxed);
        opened
    }

    /// To be called after something was published for the task.
    pub fn notify(&self) {
        self.task.resume();
    }

    /// One round of the task. `step` does all the work there is; what comes in meanwhile brings the next round.
    pub fn iterate(&self, step: impl FnOnce()) {
        self.task.pause();
        if self.closing.load(Ordering::Relaxed) {
            self.task.stop();
            return;
        }
        step();
    }

    /// Returns when the task's thread has gone. Harmless when there never was one, or it has gone before.
    pub fn close(&self) {
        if self.opened.load(Ordering::Relaxed) {
            self.closing.store(true, Ordering::Relaxed);
            self.task.join();
        }
    }
}
