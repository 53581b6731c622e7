//! Gives memory back on a thread of its own: for an area of a gigabyte the system takes a tenth of a second, which neither the stream nor clients
//! nor a change of state are to wait for. The thread lives only as long as there is something to do.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    thread,
    time::{Duration, Instant},
};

use super::area::Area;
use crate::sync::{Arc, Condvar, LazyLock, Mutex};

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    running: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("work", &self.work.len())
            .field("running", &self.running)
            .finish()
    }
}

/// One for the process, because sinks share what /dev/shm has.
static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| Mutex::new(State::default()));
static IDLE: LazyLock<Condvar> = LazyLock::new(Condvar::new);

/// [`Area::give_back`].
pub fn give_back_later(freed: impl IntoIterator<Item = (Arc<Area>, Range<u64>)>) {
    for (area, bytes) in freed {
        later(move || area.give_back(bytes));
    }
}

/// There is memory on its way back.
pub fn is_busy() -> bool {
    STATE.lock().running
}

/// Waits until all that was asked for is done, but no longer than that: others of this process may ask for more. For who needs that memory.
pub fn finish(limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut state = STATE.lock();
    while state.running && !IDLE.wait_until(&mut state, deadline).timed_out() {}
}

pub(super) fn later(work: impl FnOnce() + Send + 'static) {
    {
        let mut state = STATE.lock();
        state.work.push_back(Box::new(work));
        if std::mem::replace(&mut state.running, true) {
            return;
        }
    }
    let thread = thread::Builder::new().name("shm memory".to_owned());
    if thread.spawn(run).is_err() {
        run();
    }
}

fn run() {
    loop {
        let next = {
            let mut state = STATE.lock();
            let next = state.work.pop_front();
            state.running = next.is_some();
            next
        };
        let Some(work) = next else {
            IDLE.notify_all();
            return;
        };
        // Whatever goes wrong with one, the others are done, and nobody waits for ever.
        let _ = panic::catch_unwind(AssertUnwindSafe(work));
    }
}
