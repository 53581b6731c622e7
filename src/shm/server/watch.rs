//! Clients that stall, and those that are parted with.
//!
//! An evicted client is told nothing more, but it may go on looking at the frames that it holds. Those of old areas are never written again, so
//! they are *lost*: nobody waits for them. Those of the current area are in *quarantine*: not written until the client acks them, is gone, or
//! frames go to another area. When a quarter of the slots are in quarantine, frames are to go to another area.

use std::time::Duration;

use super::Server;
use crate::shm::client::ClientId;

/// When clients that do not ack are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Frames have been passing a client by for so long, without one ack: it is stalled. `None`: never.
    pub stall: Option<Duration>,
    /// And for so long: it is evicted. `None`: never.
    pub evict: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Stalled(ClientId),
    Resumed(ClientId),
}

/// Why a client is parted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has been stalled for too long.
    Stalled,
    /// Somebody asked for it.
    Asked,
    /// It holds frames of too old an area.
    TooManyAreas,
    /// There is none for its window.
    NoMemory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    pub id: ClientId,
    pub why: Why,
    /// It still holds frames of the current area: its acks and its end are worth knowing.
    pub quarantined: bool,
}

impl Server {
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        let Timeouts { stall, evict } = self.timeouts;
        let over = |since: Duration, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_sub(since) >= limit)
        };
        let mut too_long = Vec::new();
        for (id, client) in &mut self.clients {
            let Some(since) = client.passed_by_since() else {
                continue;
            };
            if over(since, stall) && !client.set_stalled(true) {
                self.changes.push_back(Change::Stalled(*id));
            }
            if over(since, evict) {
                too_long.push(*id);
            }
        }
        for id in too_long {
            self.evict(id, Why::Stalled);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let clients = self.clients.values();
        clients
            .filter_map(|client| {
                let since = client.passed_by_since()?;
                let stall = self.timeouts.stall.filter(|_| !client.is_stalled());
                let next = stall.into_iter().chain(self.timeouts.evict).min()?;
                Some(since + next)
            })
            .min()
    }

    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Somebody wants to part with a client. False when there is no such client.
    pub fn handle_evict(&mut self, id: ClientId, why: Why) -> bool {
        self.evict(id, why)
    }

    /// A client to close the connection to.
    pub fn poll_evicted(&mut self) -> Option<Eviction> {
        self.evicted.pop_front()
    }

    /// A client that was evicted, and that nothing is kept for any more.
    pub fn poll_forgotten(&mut self) -> Option<ClientId> {
        self.forgotten.pop()
    }

    pub(super) fn evict(&mut self, id: ClientId, why: Why) -> bool {
        let current = self.current;
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        if !client.evict() {
            return false;
        }
        self.counters.clients_evicted += 1;
        let taken = client.take(|frame| Some(frame.generation) != current);
        client.expect_acks(taken.iter().filter(|(_, known)| *known).count());
        // What it holds is all that it will ever need.
        client.set_share(client.outstanding().min(self.limits.window));
        let quarantined = client.outstanding() > 0;
        if !quarantined {
            self.clients.remove(&id);
        }
        for (frame, known) in taken {
            if !known {
                self.let_go(&frame);
            } else if let Some(area) = self.area(frame.generation) {
                area.lose(frame.slot);
            }
        }
        self.evicted.push_back(Eviction {
            id,
            why,
            quarantined,
        });
        let slots = self.current_area().map_or(0, |area| area.layout().slots);
        let held = self.quarantined();
        self.wants_fresh_area |= held * 4 > slots || (held > 0 && self.areas_are_free);
        self.share_slots();
        self.drop_newest_nobody_lacks();
        self.retire();
        true
    }

    /// Frames of the current area that evicted clients hold.
    pub(super) fn quarantined(&self) -> usize {
        self.evicted_clients()
            .map(|(_, client)| client.outstanding())
            .sum()
    }

    /// An evicted client needs only what it holds, and is forgotten when that is nothing.
    pub(super) fn leave_quarantine(&mut self, id: ClientId) {
        let Some(client) = self
            .clients
            .get_mut(&id)
            .filter(|client| client.is_evicted())
        else {
            return;
        };
        client.set_share(client.outstanding().min(self.limits.window));
        if client.outstanding() == 0 {
            self.clients.remove(&id);
            self.forgotten.push(id);
        }
        self.share_slots();
    }

    /// The current area is old now: what evicted clients look at there will not be written.
    pub(super) fn end_quarantine(&mut self) {
        let ids: Vec<ClientId> = self.evicted_clients().map(|(id, _)| *id).collect();
        for id in ids {
            let Some(mut client) = self.clients.remove(&id) else {
                continue;
            };
            for (frame, _) in client.take(|_| true) {
                if let Some(area) = self.area(frame.generation) {
                    area.lose(frame.slot);
                }
            }
            self.forgotten.push(id);
        }
    }
}
