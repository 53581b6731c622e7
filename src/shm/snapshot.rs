//! The server's numbers at one moment.

use std::time::Duration;

use super::client::{ClientId, Facts};
use crate::histogram::Histogram;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    Active,
    /// It holds its whole window or more: frames may pass it by until it acks.
    Saturated,
    /// Frames have been passing it by for longer than the stall timeout, and it has not acked once.
    Stalled,
    /// It was parted with. What it holds stays as it is until it lets go, dies, or frames go to another area.
    Evicted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSnapshot {
    pub id: ClientId,
    pub peer: Facts,
    pub state: ClientState,
    pub connected_for: Duration,
    pub sent: u64,
    /// Frames that it did not get because it held all that it could.
    pub skipped: u64,
    pub acked: u64,
    pub outstanding: usize,
    pub max_outstanding: usize,
    /// Frames of the current area that it may hold so far; its whole window once all of that has memory.
    pub share: usize,
    pub ack_delays: Histogram,
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
    /// Slots of the current area that the element before the sink has.
    pub slots_upstream: usize,
    /// Frames that clients hold beyond their windows.
    pub slots_lent: usize,
    /// Frames of the current area that evicted clients hold.
    pub slots_quarantined: usize,
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
    /// Those of the published ones that upstream had written into their slot itself.
    pub zero_copy: u64,
    pub bytes: u64,
    pub clients_refused: u64,
    pub clients_evicted: u64,
}

impl Counters {
    pub fn frames_in(&self) -> u64 {
        self.published + self.dropped_no_slot + self.without_client + self.empty
    }
}
