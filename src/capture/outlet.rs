//! A pad's end of the capture: which stream it has now, and everything that its thread is to notice while it waits for a frame.
//!
//! The pad's thread goes round: [`Outlet::next`] says what is up; if that is a stream, it waits there for a frame
//! ([`LoopState::next_delivery`](super::loop_state::LoopState::next_delivery)). Whoever changes something publishes it here first, under the
//! outlet's lock, and interrupts the wait at the stream that the pad had at that moment afterwards. An interruption stays until the thread has
//! noticed it, and then the thread comes back here: it cannot miss what was published.

use crate::sync::{Arc, Condvar, Mutex};

/// Where a pad waits for frames.
pub trait Interruptible {
    /// Breaks off the wait that goes on, or the next one.
    fn interrupt(&self);
}

#[derive(Debug)]
struct State<S> {
    flushing: bool,
    /// Its thread is to leave for a pause.
    held: bool,
    /// It has left for that, and has not come back.
    left: bool,
    /// How often it has begun to flush.
    flushes: u64,
    paused: bool,
    nudged: bool,
    ended: bool,
    stream: Option<Arc<S>>,
}

#[derive(Debug)]
pub struct Outlet<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

/// What a pad's thread does next.
#[derive(Debug)]
pub enum Turn<S> {
    /// Somebody wants it to look at the world again.
    Nudged,
    /// It takes the stream's next frame, or its end.
    Stream(Arc<S>),
    /// There is no stream, and none will come.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushing;

impl<S: Interruptible> Outlet<S> {
    /// Without a stream, flushing until its pad is activated.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                flushing: true,
                held: false,
                left: false,
                flushes: 0,
                paused: false,
                nudged: false,
                ended: false,
                stream: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn publish(&self, change: impl FnOnce(&mut State<S>)) {
        let mut state = self.state.lock();
        let before = state.stream.clone();
        change(&mut state);
        drop(state);
        self.changed.notify_all();
        if let Some(stream) = before {
            stream.interrupt();
        }
    }

    pub fn set_flushing(&self, flushing: bool) {
        self.publish(|state| {
            state.flushing = flushing;
            state.flushes += u64::from(flushing);
            state.held &= flushing;
        });
    }

    /// Has the pad's thread leave for a pause, until [`Self::let_go`].
    pub fn hold(&self) {
        self.publish(|state| state.held = true);
    }

    /// The thread need not leave any more.
    pub fn let_go(&self) {
        self.publish(|state| state.held = false);
    }

    /// Whether it has left, and was not seen here since.
    pub fn has_left(&self) -> bool {
        self.state.lock().left
    }

    /// The thread is back, if not here.
    pub fn see(&self) {
        self.state.lock().left = false;
    }

    pub fn is_flushing(&self) -> bool {
        self.state.lock().flushing
    }

    /// Changes with each flush: what failed in between failed for that reason.
    pub fn flushes(&self) -> u64 {
        self.state.lock().flushes
    }

    /// While paused the pad takes nothing.
    pub fn set_paused(&self, paused: bool) {
        self.publish(|state| state.paused = paused);
    }

    pub fn nudge(&self) {
        self.publish(|state| state.nudged = true);
    }

    /// Nothing comes behind what the stream holds.
    pub fn end(&self) {
        self.publish(|state| state.ended = true);
    }

    /// As before the first start.
    pub fn reset(&self) {
        self.publish(|state| {
            (state.nudged, state.ended) = (false, false);
            (state.held, state.left) = (false, false);
            state.stream = None;
        });
    }

    pub fn set_stream(&self, stream: Option<Arc<S>>) {
        self.publish(|state| state.stream = stream);
    }

    pub fn stream(&self) -> Option<Arc<S>> {
        self.state.lock().stream.clone()
    }

    pub fn is_paused(&self) -> bool {
        self.state.lock().paused
    }

    /// Waits until there is something to do.
    pub fn next(&self) -> Result<Turn<S>, Flushing> {
        let mut state = self.state.lock();
        loop {
            if state.flushing {
                return Err(Flushing);
            }
            state.left = state.held;
            if state.held {
                return Err(Flushing);
            }
            if std::mem::take(&mut state.nudged) {
                return Ok(Turn::Nudged);
            }
            if !state.paused {
                match &state.stream {
                    Some(stream) => return Ok(Turn::Stream(stream.clone())),
                    None if state.ended => return Ok(Turn::Ended),
                    None => (),
                }
            }
            self.changed.wait(&mut state);
        }
    }
}

impl<S: Interruptible> Default for Outlet<S> {
    fn default() -> Self {
        Self::new()
    }
}
