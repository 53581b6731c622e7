//! What others tell the streaming thread, and whether it is there.

use std::io;

use crate::os::poll::Waker;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// What others tell the streaming thread.
#[derive(Debug)]
pub(super) struct Control {
    pub waker: Arc<Waker>,
    pub unlocked: AtomicBool,
    /// Whether the streaming thread has left for that. It leaves under this lock, and only if it still is to: whoever calls it back knows whether it has.
    left: Mutex<bool>,
    pub paused: AtomicBool,
    /// What has come until now is stale.
    pub stale: AtomicBool,
}

impl Control {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Arc::new(Waker::new()?),
            unlocked: AtomicBool::new(false),
            left: Mutex::default(),
            paused: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        })
    }

    /// Ends the waiting of the streaming thread, now and until it is called with `false`.
    pub fn set_unlocked(&self, unlocked: bool) {
        let leaving = self.left.lock();
        self.unlocked.store(unlocked, Ordering::SeqCst);
        drop(leaving);
        self.waker.wake();
    }

    /// For the streaming thread, whose waiting was ended: whether it is to leave. It may have been called back meanwhile.
    pub fn leaves(&self) -> bool {
        let mut left = self.left.lock();
        *left = self.unlocked.load(Ordering::SeqCst);
        *left
    }

    /// The streaming thread is here.
    pub fn see(&self) {
        *self.left.lock() = false;
    }

    /// Whether it has left, and was not seen since.
    pub fn has_left(&self) -> bool {
        *self.left.lock()
    }

    /// Nothing is received in a pause; what has come by its end is given back.
    pub fn set_paused(&self, paused: bool) {
        if !paused {
            self.stale.store(true, Ordering::SeqCst);
        }
        self.paused.store(paused, Ordering::SeqCst);
        self.waker.wake();
    }
}
