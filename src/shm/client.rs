//! What one client has been given, and what it has been told.

use std::{collections::VecDeque, time::Duration};

use super::snapshot::ClientSnapshot;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer {
    /// Our file descriptor of the connection.
    pub fd: i32,
    /// The process that connected; 0 when it is in a namespace that cannot be seen from here.
    pub pid: i32,
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

#[derive(Debug)]
struct Held {
    frame: Frame,
    /// `None` until it was handed to the transport.
    sent: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Client {
    peer: Peer,
    /// By sequence: every frame that was promised and not yet acked, so never more than the window. Those that were not sent yet are last.
    held: VecDeque<Held>,
    /// Generations that the client maps, oldest first. The last is the one that its frames come from.
    announced: Vec<u32>,
    /// Frames of the current area that it may hold: its window once all of that has memory.
    share: usize,
    /// It is told and promised nothing more.
    evicted: bool,
    /// The newest frame that was promised, or that was old when it connected.
    last_sequence: u64,
    sent: u64,
    acked: u64,
    skipped: u64,
    max_outstanding: usize,
    ack_delay_max: Duration,
}

impl Client {
    /// A client that has a right to every frame after `last_sequence`.
    pub(super) fn new(peer: Peer, last_sequence: u64) -> Self {
        Self {
            peer,
            held: VecDeque::new(),
            announced: Vec::new(),
            share: 0,
            evicted: false,
            last_sequence,
            sent: 0,
            acked: 0,
            skipped: 0,
            max_outstanding: 0,
            ack_delay_max: Duration::ZERO,
        }
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

    /// It can be promised one more frame of that area, the current one.
    pub(super) fn has_room(&self, window: usize, generation: u32) -> bool {
        let in_area = self
            .frames()
            .filter(|frame| frame.generation == generation)
            .count();
        !self.evicted && self.held.len() < window && in_area < self.share
    }

    /// False when it was evicted already.
    pub(super) fn evict(&mut self) -> bool {
        !std::mem::replace(&mut self.evicted, true)
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted
    }

    pub(super) fn lacks(&self, newest: &Frame) -> bool {
        !self.evicted && self.last_sequence < newest.sequence
    }

    pub(super) fn holds_generation(&self, generation: u32) -> bool {
        self.held
            .iter()
            .any(|held| held.frame.generation == generation)
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.held.iter().map(|held| &held.frame)
    }

    /// Promises a frame, newer than all before.
    pub(super) fn promise(&mut self, frame: Frame) {
        debug_assert!(frame.sequence > self.last_sequence);
        self.last_sequence = frame.sequence;
        self.held.push_back(Held { frame, sent: None });
        self.max_outstanding = self.max_outstanding.max(self.held.len());
    }

    /// A frame was published that the client has no credit for.
    pub(super) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// It gets the last skipped frame after all.
    pub(super) fn unskip(&mut self) {
        self.skipped = self.skipped.saturating_sub(1);
    }

    /// The frame that an ack means, which is no longer held. `None` when nothing that was sent lies at that offset.
    pub(super) fn ack(&mut self, offset: u64, now: Duration) -> Option<Frame> {
        let index = self
            .held
            .iter()
            .position(|held| held.sent.is_some() && held.frame.offset == offset)?;
        let held = self.held.remove(index)?;
        self.acked += 1;
        let delay = now.saturating_sub(held.sent?);
        self.ack_delay_max = self.ack_delay_max.max(delay);
        Some(held.frame)
    }

    /// The next thing to tell, which from now on counts as told.
    ///
    /// An area is announced with its first frame, so a client that does not read is told of no more areas than its window. An old area is
    /// closed when the client holds nothing in it, and only after the next one was announced: readers up to 1.28.6 crash on anything else.
    pub(super) fn next(&mut self, now: Duration) -> Option<Next> {
        if let Some((current, old)) = self.announced.split_last() {
            debug_assert!(old.iter().all(|generation| generation < current));
            let drained = old.iter().copied().find(|old| !self.holds_generation(*old));
            if let Some(generation) = drained {
                self.announced.retain(|announced| *announced != generation);
                return Some(Next::Close(generation));
            }
        }
        let held = self.held.iter_mut().find(|held| held.sent.is_none())?;
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
        ClientSnapshot {
            id,
            peer: self.peer,
            saturated: self.held.len() >= window,
            sent: self.sent,
            skipped: self.skipped,
            acked: self.acked,
            outstanding: self.held.len(),
            share: self.share,
            max_outstanding: self.max_outstanding,
            ack_delay_max: self.ack_delay_max,
            oldest_age: self
                .held
                .front()
                .and_then(|held| held.sent)
                .map_or(Duration::ZERO, |sent| now.saturating_sub(sent)),
        }
    }
}
