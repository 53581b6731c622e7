//! How the capture task is woken, and when it need not be: a pad's thread in which a frame comes back, as happens when its branch has no other thread, queues
//! the next request itself. Anywhere else the task is woken, because what an application's thread holds then is not known.

use super::super::capture_task::{Gate, Worker};
use crate::capture::loop_state::LoopState;
use crate::sync::{Arc, Weak};
use std::cell::Cell;

thread_local! {
    /// The session whose pad this thread has last taken a frame for; 0 for none.
    static HELPS: Cell<u64> = const { Cell::new(0) };
}

/// Called in a pad's thread. It helps one session at a time.
pub fn help_in_this_thread(session: u64) {
    HELPS.set(session);
}

/// Called when a pad's thread ends its work: GStreamer gives the thread to other tasks.
pub fn help_no_more() {
    HELPS.set(0);
}

pub struct Waker {
    session: u64,
    gate: Arc<Gate>,
    state: Weak<LoopState>,
    worker: Weak<Worker>,
}

impl Waker {
    pub fn new(
        session: u64,
        gate: &Arc<Gate>,
        state: &Arc<LoopState>,
        worker: &Arc<Worker>,
    ) -> Self {
        Self {
            session,
            gate: gate.clone(),
            state: Arc::downgrade(state),
            worker: Arc::downgrade(worker),
        }
    }

    /// After something was published for the task.
    pub fn wake(&self) {
        if HELPS.get() == self.session
            && let Some((state, worker)) = self.state.upgrade().zip(self.worker.upgrade())
            && worker.help(&state)
        {
            return;
        }
        self.gate.notify();
    }
}
