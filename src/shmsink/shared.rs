//! What the streaming thread and the control thread share.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    time::{Duration, Instant},
};

use crate::os::area::Area;
use crate::os::poll::Waker;
use crate::shm::layout::Limits;
use crate::shm::server::Server;
use crate::sync::Arc;
use crate::sync::Condvar;
use crate::sync::Mutex;
use crate::sync::MutexGuard;

#[derive(Debug)]
pub(super) struct Shared {
    /// The leaf lock; see the rules in this folder's `mod.rs`.
    state: Mutex<State>,
    first_client: Condvar,
    waker: Waker,
    epoch: Instant,
}

#[derive(Debug)]
pub(super) struct State {
    pub server: Server,
    /// The memory of every generation that the server knows.
    pub areas: BTreeMap<u32, Arc<Area>>,
    had_client: bool,
    unlocked: bool,
    stopped: bool,
}

impl State {
    /// The memory of old areas that nobody will use again, to be given back after the lock.
    pub fn take_freed(&mut self) -> Vec<(Arc<Area>, Range<u64>)> {
        std::iter::from_fn(|| self.server.poll_freed())
            .filter_map(|(generation, bytes)| Some((self.areas.get(&generation)?.clone(), bytes)))
            .collect()
    }

    /// The areas that nobody needs any more, to be dropped after the lock.
    pub fn take_retired(&mut self) -> Vec<Arc<Area>> {
        std::iter::from_fn(|| self.server.poll_retired())
            .filter_map(|generation| self.areas.remove(&generation))
            .collect()
    }
}

impl Shared {
    pub fn new(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                server: Server::new(limits),
                areas: BTreeMap::new(),
                had_client: false,
                unlocked: false,
                stopped: false,
            }),
            first_client: Condvar::new(),
            waker: Waker::new()?,
            epoch: Instant::now(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The time that the server's events carry.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The control thread is to part with everybody and end.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.waker.wake();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// A client was taken on.
    pub fn client_arrived(&self) {
        self.lock().had_client = true;
        self.first_client.notify_all();
    }

    /// Ends the waiting of [`wait_for_first_client`](Self::wait_for_first_client), now and until it is called with `false`.
    pub fn set_unlocked(&self, unlocked: bool) {
        self.lock().unlocked = unlocked;
        self.first_client.notify_all();
    }

    /// Waits until there was a client; false when it was unlocked before that.
    pub fn wait_for_first_client(&self) -> bool {
        let mut state = self.lock();
        while !state.had_client && !state.unlocked {
            self.first_client.wait(&mut state);
        }
        state.had_client
    }
}
