//! Acks on their way to a socket that may have no room.
//!
//! Whoever has an ack puts it into the list, and then sends what is in the list; so an ack is in the list, or in the hands of somebody who sends it or
//! puts it back. Who finds the socket full puts his ack back and *then* wakes the thread that waits for room; that one, woken, *first* looks whether
//! there is anything in the list, and waits for room only if there is. `tests/loom_acks.rs` checks it.

use std::collections::VecDeque;

use crate::sync::Mutex;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Whole,
    /// The other side does not read.
    Full,
    Gone,
}

/// Oldest first.
#[derive(Debug, Default)]
pub struct Unsent<T>(Mutex<VecDeque<T>>);

impl<T> Unsent<T> {
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn push(&self, message: T) {
        self.0.lock().push_back(message);
    }

    /// Sends what the socket has room for, without a lock. `wake` is called when it has none.
    pub fn flush(&self, send: impl Fn(&T) -> Sent, wake: impl Fn()) {
        loop {
            let next = self.0.lock().pop_front();
            let Some(message) = next else {
                return;
            };
            match send(&message) {
                Sent::Whole => (),
                Sent::Full => {
                    self.0.lock().push_front(message);
                    return wake();
                }
                // Whoever is gone needs none.
                Sent::Gone => return self.0.lock().clear(),
            }
        }
    }
}
