//! What one client has been given, and what it has been told.

use std::{collections::VecDeque, time::Duration};

use super::{
    layout::MAX_HELD,
    snapshot::{ClientSnapshot, ClientState},
};
use crate::histogram::Histogram;

/// Names a client for as long as the server lives; never used twice, unlike a file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) u64);

impl ClientId {
    /// From 1 up.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What people want to know of the other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Our file descriptor of the connection.
    pub fd: i32,
    /// The process that connected; 0 when it is in a namespace that cannot be seen from here.
    pub pid: i32,
    pub uid: u32,
    /// The name of its program; empty when that cannot be seen.
    pub program: String,
}

/// A frame in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Grows by one with every published frame.
    pub sequence: u64,
    pub generation: u32,
    pub slot: usize,
    pub offset: u64,
    pub size: u64,
}

/// The next thing to tell a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Announce(u32),
    Close(u32),
    Send(Frame),
}

#[derive(Debug, Clone)]
struct Held {
    frame: Frame,
    /// `None` until it was handed to the transport.
    sent: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    peer: Facts,
    connected: Duration,
    /// By sequence: every frame that was promised and not yet acked. Those that were not sent yet are last.
    held: VecDeque<Held>,
    /// Generations that the client maps, oldest first. The last is the one that its frames come from.
    announced: Vec<u32>,
    /// Frames of the current area that it may hold: its window once all of that has memory.
    share: usize,
    /// It is told and promised nothing more. It is still here because it may look at what it holds of the current area.
    evicted: bool,
    /// Acks that may come of frames that were taken away from it.
    late_acks: usize,
    /// Frames have been passing it by since then, without an ack in between.
    passed_by_since: Option<Duration>,
    /// For too long.
    stalled: bool,
    /// The newest frame that was promised, or that was old when it connected.
    last_sequence: u64,
    sent: u64,
    acked: u64,
    skipped: u64,
    max_outstanding: usize,
    ack_delays: Histogram,
}

impl Client {
    /// A client that has a right to every frame after `last_sequence`.
    pub(super) fn new(peer: Facts, last_sequence: u64, now: Duration) -> Self {
        Self {
            peer,
            connected: now,
            held: VecDeque::new(),
            announced: Vec::new(),
            share: 0,
            evicted: false,
            late_acks: 0,
            passed_by_since: None,
            stalled: false,
            last_sequence,
            sent: 0,
            acked: 0,
            skipped: 0,
            max_outstanding: 0,
            ack_delays: Histogram::default(),
        }
    }

    pub(super) fn fd(&self) -> i32 {
        self.peer.fd
    }

    pub(super) fn outstanding(&self) -> usize {
        self.held.len()
    }

    pub(super) fn share(&self) -> usize {
        self.share
    }

    pub(super) fn set_share(&mut self, share: usize) {
        self.share = share;
    }

    pub(super) fn held_in(&self, generation: u32) -> usize {
        self.frames()
            .filter(|frame| frame.generation == generation)
            .count()
    }

    /// It has a right to one more frame of that area, the current one.
    pub(super) fn has_room(&self, window: usize, generation: u32) -> bool {
        !self.evicted && self.held.len() < window && self.held_in(generation) < self.share
    }

    /// It has all that it has a right to, and can be lent more.
    pub(super) fn may_borrow(&self, window: usize) -> bool {
        !self.evicted && !self.stalled && (window..MAX_HELD).contains(&self.held.len())
    }

    /// What it holds beyond its window.
    pub(super) fn lent(&self, window: usize) -> usize {
        self.held.len().saturating_sub(window)
    }

    /// False when it was evicted already.
    pub(super) fn evict(&mut self) -> bool {
        !std::mem::replace(&mut self.evicted, true)
    }

    /// So many frames that it was told of were taken away from it.
    pub(super) fn expect_acks(&mut self, count: usize) {
        self.late_acks = count;
    }

    /// Whether an ack may be of one of those. Who sends more of them than that breaks the protocol.
    pub(super) fn late_ack(&mut self) -> bool {
        let expected = self.late_acks > 0;
        self.late_acks = self.late_acks.saturating_sub(1);
        expected
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted
    }

    /// Takes all frames away that `which` says, and whether it was told of them.
    pub(super) fn take(&mut self, which: impl Fn(&Frame) -> bool) -> Vec<(Frame, bool)> {
        let (taken, kept): (VecDeque<Held>, VecDeque<Held>) = self
            .held
            .drain(..)
            .partition(|held| held.sent.is_none() || which(&held.frame));
        self.held = kept;
        taken
            .into_iter()
            .map(|held| (held.frame, held.sent.is_some()))
            .collect()
    }

    pub(super) fn lacks(&self, newest: &Frame) -> bool {
        !self.evicted && self.last_sequence < newest.sequence
    }

    pub(super) fn holds_generation(&self, generation: u32) -> bool {
        self.frames().any(|frame| frame.generation == generation)
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.held.iter().map(|held| &held.frame)
    }

    /// All that was promised has been handed to the transport.
    pub(super) fn is_told(&self) -> bool {
        self.held.back().is_none_or(|held| held.sent.is_some())
    }

    /// Promises a frame, newer than all before.
    pub(super) fn promise(&mut self, frame: Frame) {
        debug_assert!(frame.sequence > self.last_sequence);
        self.last_sequence = frame.sequence;
        self.held.push_back(Held { frame, sent: None });
        self.max_outstanding = self.max_outstanding.max(self.held.len());
    }

    /// A frame was published that the client does not get. True when it is the first since its last ack.
    pub(super) fn pass_by(&mut self, now: Duration) -> bool {
        self.skipped += 1;
        let first = self.passed_by_since.is_none();
        self.passed_by_since.get_or_insert(now);
        first
    }

    /// It gets the last skipped frame after all.
    pub(super) fn unskip(&mut self) {
        self.skipped = self.skipped.saturating_sub(1);
    }

    /// When frames began to pass it by; `None` while it is well.
    pub(super) fn passed_by_since(&self) -> Option<Duration> {
        self.passed_by_since.filter(|_| !self.evicted)
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// What it was before.
    pub(super) fn set_stalled(&mut self, stalled: bool) -> bool {
        std::mem::replace(&mut self.stalled, stalled)
    }

    /// The frame that an ack means, which is no longer held. `None` when nothing that was sent lies at that offset.
    pub(super) fn ack(&mut self, offset: u64, now: Duration) -> Option<Frame> {
        let index = self
            .held
            .iter()
            .position(|held| held.sent.is_some() && held.frame.offset == offset)?;
        let held = self.held.remove(index)?;
        self.acked += 1;
        self.passed_by_since = None;
        self.ack_delays.record(now.saturating_sub(held.sent?));
        Some(held.frame)
    }

    /// It was announced that area last.
    pub(super) fn knows(&self, generation: u32) -> bool {
        self.announced.last() == Some(&generation)
    }

    /// The next thing to tell, which from now on counts as told.
    ///
    /// An area is announced with its first frame, so a client that does not read is told of no more areas than it holds frames; and one more at the
    /// `end`, the area whose header says what became of the stream. An old area is
    /// closed when the client holds nothing in it, and only after the next one was announced: readers up to 1.28.6 crash on anything else.
    pub(super) fn next(&mut self, now: Duration, end: Option<u32>) -> Option<Next> {
        if let Some((current, old)) = self.announced.split_last() {
            debug_assert!(old.iter().all(|generation| generation < current));
            let drained = old.iter().copied().find(|old| !self.holds_generation(*old));
            if let Some(generation) = drained {
                self.announced.retain(|announced| *announced != generation);
                return Some(Next::Close(generation));
            }
        }
        let held = self.held.iter_mut().find(|held| held.sent.is_none());
        let Some(held) = held else {
            let generation = end.filter(|end| !self.knows(*end))?;
            self.announced.push(generation);
            return Some(Next::Announce(generation));
        };
        let generation = held.frame.generation;
        if self.announced.last() != Some(&generation) {
            self.announced.push(generation);
            return Some(Next::Announce(generation));
        }
        held.sent = Some(now);
        self.sent += 1;
        Some(Next::Send(held.frame))
    }

    pub(super) fn snapshot(&self, id: ClientId, window: usize, now: Duration) -> ClientSnapshot {
        let state = if self.evicted {
            ClientState::Evicted
        } else if self.stalled {
            ClientState::Stalled
        } else if self.held.len() >= window {
            ClientState::Saturated
        } else {
            ClientState::Active
        };
        ClientSnapshot {
            id,
            peer: self.peer.clone(),
            state,
            connected_for: now.saturating_sub(self.connected),
            sent: self.sent,
            skipped: self.skipped,
            acked: self.acked,
            outstanding: self.held.len(),
            share: self.share,
            max_outstanding: self.max_outstanding,
            ack_delays: self.ack_delays.clone(),
            oldest_age: self
                .held
                .front()
                .and_then(|held| held.sent)
                .map_or(Duration::ZERO, |sent| now.saturating_sub(sent)),
        }
    }
}
