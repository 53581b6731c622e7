//! Who has the control thread's sockets: the thread itself, or whoever stops it.
//!
//! The thread parks them here before it calls out (signals) and when it ends. `take()` waits while the thread is at work, which never takes
//! long because it never blocks on anybody, and does not wait for a call-out, which may take any time and may itself be what stops the element.

use crate::sync::Condvar;
use crate::sync::Mutex;

#[derive(Debug)]
enum State<T> {
    /// The thread has it.
    Working,
    /// The thread is calling out and will come back for it.
    CallingOut(T),
    /// The thread is ending and leaves it here.
    Left(T),
    /// It was taken, or lost in a panic.
    Gone,
}

/// What `take` found.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub thing: Option<T>,
    /// The thread ends by itself, at once; joining it does not wait for anybody. Otherwise it may be the caller's own.
    pub joinable: bool,
}

#[derive(Debug)]
pub(super) struct Handover<T> {
    state: Mutex<(State<T>, bool)>,
    changed: Condvar,
}

impl<T> Handover<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new((State::Working, false)),
            changed: Condvar::new(),
        }
    }

    /// Asks the thread to leave. To be followed by a wake.
    pub fn request_stop(&self) {
        self.state.lock().1 = true;
    }

    pub fn stop_requested(&self) -> bool {
        self.state.lock().1
    }

    /// Parks `thing` for a call-out.
    pub fn park(&self, thing: T) {
        self.put(State::CallingOut(thing));
    }

    /// The call-out may go on: nobody has taken what was parked.
    pub fn is_parked(&self) -> bool {
        matches!(self.state.lock().0, State::CallingOut(_))
    }

    /// Back from the call-out; `None` when somebody took it meanwhile.
    pub fn unpark(&self) -> Option<T> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.0, State::Gone) {
            State::CallingOut(thing) => {
                state.0 = State::Working;
                Some(thing)
            }
            _ => None,
        }
    }

    /// The thread ends.
    pub fn leave(&self, thing: T) {
        self.put(State::Left(thing));
    }

    /// The thread ends without it.
    pub fn lose(&self) {
        self.put(State::Gone);
    }

    /// Takes it from the thread, which then ends.
    pub fn take(&self) -> Taken<T> {
        let mut state = self.state.lock();
        while matches!(state.0, State::Working) {
            self.changed.wait(&mut state);
        }
        match std::mem::replace(&mut state.0, State::Gone) {
            State::CallingOut(thing) => Taken {
                thing: Some(thing),
                joinable: false,
            },
            State::Left(thing) => Taken {
                thing: Some(thing),
                joinable: true,
            },
            State::Working | State::Gone => Taken {
                thing: None,
                joinable: true,
            },
        }
    }

    fn put(&self, state: State<T>) {
        // What was there, if anything, is dropped after the lock.
        let _before = std::mem::replace(&mut self.state.lock().0, state);
        self.changed.notify_all();
    }
}
