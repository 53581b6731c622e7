//! The server's numbers at one moment.

use std::time::Duration;

use super::client::{ClientId, Peer};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSnapshot {
    pub id: ClientId,
    pub peer: Peer,
    /// It holds its whole window: frames pass it by until it acks.
    pub saturated: bool,
    pub sent: u64,
    /// Frames that it did not get because it held its whole window.
    pub skipped: u64,
    pub acked: u64,
    pub outstanding: usize,
    pub max_outstanding: usize,
    /// Frames of the current area that it may hold so far; its whole window once all of that has memory.
    pub share: usize,
    pub ack_delay_max: Duration,
    /// How long it has held the frame that it has held longest.
    pub oldest_age: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The current area's; 0 before there is one.
    pub generation: u32,
    /// Slots that the current area may grow to.
    pub slots_total: usize,
    /// Slots of the current area that have memory.
    pub slots_reserved: usize,
    pub slots_free: usize,
    /// Memory behind the slots of all areas that live.
    pub shm_bytes: u64,
    /// Areas that live only because somebody holds frames in them.
    pub areas_retired: usize,
    pub counters: Counters,
    pub clients: Vec<ClientSnapshot>,
}

/// What became of the incoming frames; each is counted in one of the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub published: u64,
    pub dropped_no_slot: u64,
    pub without_client: u64,
    pub empty: u64,
    pub bytes: u64,
}

impl Counters {
    pub fn frames_in(&self) -> u64 {
        self.published + self.dropped_no_slot + self.without_client + self.empty
    }
}
