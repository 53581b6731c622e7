//! What the streaming thread and the control thread share.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    time::{Duration, Instant},
};

use super::fd::table::{Content, Idle, Table};
use crate::histogram::Histogram;
use crate::os::area::Area;
use crate::os::poll::Waker;
use crate::shm::header;
use crate::shm::header::StreamState;
use crate::shm::server::Server;
use crate::sync::Arc;
use crate::sync::Condvar;
use crate::sync::Mutex;
use crate::sync::MutexGuard;

#[derive(Debug)]
pub(super) struct Shared {
    /// A leaf lock; see the rules in this folder's `mod.rs`.
    state: Mutex<State>,
    /// Another leaf: memories of upstream's that clients may be looking at.
    kept: Mutex<Kept>,
    changed: Condvar,
    waker: Waker,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<gst::Buffer>,
    /// Nothing is kept any more: it would keep the server, and itself.
    closed: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub server: Server,
    /// The memory of every generation that the server knows.
    pub areas: BTreeMap<u32, Arc<Area>>,
    pub times: Times,
    /// The frames, if they go to readers as file descriptors.
    pub table: Option<Table>,
    had_client: bool,
    /// The stream ends when clients have read what there is for them.
    draining: bool,
    unlocked: bool,
    stopped: bool,
}

/// How long the streaming thread was at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// A whole frame.
    pub push: Histogram,
    /// Its copy, if there was one.
    pub copy: Histogram,
}

impl State {
    /// The memory of old areas that nobody will use again, to be given back after the lock.
    pub fn take_freed(&mut self) -> Vec<(Arc<Area>, Range<u64>)> {
        std::iter::from_fn(|| self.server.poll_freed())
            .filter_map(|(generation, bytes)| Some((self.areas.get(&generation)?.clone(), bytes)))
            .collect()
    }

    /// Frames of the table that nobody needs any more, to be dropped after the lock, and of each whether somebody may still look at it.
    pub fn take_idle_frames(&mut self, which: Idle) -> Vec<(Arc<Content>, bool)> {
        let Self { server, table, .. } = self;
        let idle = table.as_mut().map(|table| table.take_idle(server, which));
        idle.unwrap_or_default()
    }

    /// The areas that nobody needs any more, to be dropped after the lock.
    pub fn take_retired(&mut self) -> Vec<Arc<Area>> {
        std::iter::from_fn(|| self.server.poll_retired())
            .filter_map(|generation| {
                if let Some(table) = &mut self.table {
                    table.forget_caps(generation);
                }
                self.areas.remove(&generation)
            })
            .collect()
    }
}

impl Shared {
    pub fn new(server: Server, table: Option<Table>) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                server,
                areas: BTreeMap::new(),
                times: Times::default(),
                table,
                had_client: false,
                draining: false,
                unlocked: false,
                stopped: false,
            }),
            kept: Mutex::default(),
            changed: Condvar::new(),
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

    /// Writes into the header of every area what became of the stream, for readers to find when their connection ends. Those that have had no frame
    /// of the current area are told of it for that.
    pub fn tell_state(&self, stream: StreamState) {
        let areas: Vec<Arc<Area>> = {
            let mut state = self.lock();
            state.server.set_tells_end(stream != StreamState::Running);
            if let Some(table) = &mut state.table {
                table.set_state(stream);
            }
            state.areas.values().cloned().collect()
        };
        let word = stream.encode();
        for area in areas {
            if let Some(mut state) = area.lend(header::STATE_AT, word.len() as u64) {
                state.copy_from_slice(&word);
            }
        }
        self.waker.wake();
    }

    /// The time that the server's events carry.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The control thread is to part with everybody and end.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
        self.waker.wake();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// A client was taken on.
    pub fn client_arrived(&self) {
        self.lock().had_client = true;
        self.changed.notify_all();
    }

    /// Ends the waiting of the streaming thread, now and until it is called with `false`.
    pub fn set_unlocked(&self, unlocked: bool) {
        self.lock().unlocked = unlocked;
        self.changed.notify_all();
    }

    /// Waits until there was a client; false when it was unlocked before that.
    pub fn wait_for_first_client(&self) -> bool {
        let mut state = self.lock();
        while !state.had_client && !state.unlocked {
            self.changed.wait(&mut state);
        }
        state.had_client
    }

    /// Waits until clients have read what there is for them, but not longer than that, and not when unlocked.
    pub fn drain(&self, limit: Duration) {
        if limit.is_zero() {
            return;
        }
        let deadline = Instant::now() + limit;
        self.lock().draining = true;
        self.waker.wake();
        let mut state = self.lock();
        while state.draining && !state.unlocked && !state.stopped {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.draining = false;
    }

    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Clients have read it all.
    pub fn drained(&self) {
        self.lock().draining = false;
        self.changed.notify_all();
    }

    /// From now on nobody can write to that memory of upstream's, until [`let_go_of_kept`](Self::let_go_of_kept).
    pub fn keep(&self, memory: gst::Memory) {
        let mut kept = self.kept.lock();
        // Of a frame that was published before. A memory in two of these buffers would look as if upstream had it still.
        let is_kept = |buffer: &gst::Buffer| buffer.peek_memory(0).as_ptr() == memory.as_ptr();
        if kept.closed || kept.buffers.iter().any(is_kept) {
            drop(kept);
            // Without the lock: it may be the last of it.
            drop(memory);
            return;
        }
        let mut buffer = gst::Buffer::new();
        if let Some(buffer) = buffer.get_mut() {
            buffer.append_memory(memory);
        }
        kept.buffers.push(buffer);
    }

    /// Lets go of what upstream has let go of.
    pub fn let_go_of_kept(&self) {
        let dropped: Vec<_> = {
            let kept = &mut self.kept.lock().buffers;
            let is_ours_alone = |buffer: &mut gst::Buffer| buffer.is_all_memory_writable();
            kept.extract_if(.., is_ours_alone).collect()
        };
        // Without a lock: their slots go back to the server.
        drop(dropped);
    }

    /// Lets go of everything, and keeps nothing from now on.
    pub fn close_kept(&self) {
        let mut kept = self.kept.lock();
        kept.closed = true;
        let dropped = std::mem::take(&mut kept.buffers);
        drop(kept);
        // As above.
        drop(dropped);
    }
}
