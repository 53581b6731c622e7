//! The state machine of the server: events in through `handle_*`, what to do about them out through `poll_*`, time as an argument.
//!
//! What it keeps, whatever clients do (`tests/shm_flow/` visits every state of small servers, `tests/shm_server/` takes random histories):
//!
//! - A slot is free exactly when nobody needs it: not the writer, not the newest frame, no client, not upstream.
//! - A client is guaranteed its window, counted across generations, and its share of the current area's slots: one that holds less gets every
//!   frame. What it may hold beyond that is lent, from slots that nobody is guaranteed: `flow.rs`.
//! - So a healthy client's frame always finds a slot: what one client does never changes which frames another gets.
//! - A client's share is its window, except while a new area, which starts with the memory for one window, does not have more yet. Then
//!   everybody's share grows with it, and clients that hold their whole window of old frames come last.
//! - A client's frames have strictly growing sequence numbers.
//! - The newest frame is kept, in one slot for all, only while some client with a full window has not had it. Such a client gets it with its
//!   next ack.
//! - An area that is no longer current goes as soon as nobody needs its slots; until then each of its slots gives its memory back when nobody
//!   needs it: `areas.rs`.
//! - A client that is evicted keeps what it holds of the current area, so that what it looks at is not written: `watch.rs`.

mod areas;
mod flow;
mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

pub use super::slots::Need;
use super::{
    client::{Client, ClientId, Facts, Frame, Next},
    layout::Limits,
    slots::Slots,
    snapshot::{Counters, Snapshot},
    wire::Message,
};
pub use watch::{Change, Eviction, Timeouts, Why};

/// A slot that the writer may fill, and nobody else knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    pub generation: u32,
    pub slot: usize,
    pub offset: u64,
    /// The frame is there already: upstream wrote it.
    pub filled: bool,
}

/// What to do with an incoming frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Write it here, then call [`Server::handle_frame_published`].
    Claimed(Claim),
    /// Make an area for frames of this size, then ask again.
    NeedsArea,
    /// Make another area for frames of the size that this one was made for, then ask again; or say that it cannot be made.
    NeedsFreshArea,
    /// Nobody is there to read it.
    NoClient,
    /// No slot is free; drop it. The caller's own unfinished claims are the only possible cause.
    NoSlot,
}

/// Why a client was not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are `max_clients` already.
    Full,
    /// Give memory to the slot that [`Server::slot_wanted`] says, then ask again.
    NeedsSlots,
}

/// A client broke the protocol and is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ack of offset {offset}, where it holds no frame")]
pub struct UnknownAck {
    pub offset: u64,
}

#[derive(Debug, Clone)]
pub struct Server {
    limits: Limits,
    /// A client with a full window gets the newest frame with its next ack.
    mailbox: bool,
    timeouts: Timeouts,
    /// By generation; the last is the current one, unless it is closed.
    areas: VecDeque<Slots>,
    /// The current area's generation; none between two areas.
    current: Option<u32>,
    /// The last area's.
    generation: u32,
    /// Frames are to go to another area of the same size.
    wants_fresh_area: bool,
    /// An area costs nothing: what an evicted client holds is not waited for.
    areas_are_free: bool,
    /// No frame may come any more: clients are to know the current area, whose header says why.
    tells_end: bool,
    /// A client could be lent a frame if one more slot had memory.
    wants_loan: bool,
    /// With those that were evicted and still hold frames of the current area.
    clients: BTreeMap<ClientId, Client>,
    next_client: u64,
    sequence: u64,
    newest: Option<Frame>,
    retired: Vec<u32>,
    freed: Vec<(u32, Range<u64>)>,
    changes: VecDeque<Change>,
    evicted: VecDeque<Eviction>,
    forgotten: Vec<ClientId>,
    counters: Counters,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            mailbox: true,
            timeouts: Timeouts::default(),
            areas: VecDeque::new(),
            current: None,
            generation: 0,
            wants_fresh_area: false,
            areas_are_free: false,
            tells_end: false,
            wants_loan: false,
            clients: BTreeMap::new(),
            next_client: 1,
            sequence: 0,
            newest: None,
            retired: Vec::new(),
            freed: Vec::new(),
            changes: VecDeque::new(),
            evicted: VecDeque::new(),
            forgotten: Vec::new(),
            counters: Counters::default(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether clients with a full window get the newest frame with their next ack, or only frames that come after it.
    pub fn set_mailbox(&mut self, mailbox: bool) {
        self.mailbox = mailbox;
        if !mailbox {
            self.drop_newest();
        }
    }

    /// Areas are no memory: who is evicted has frames go to another at once, so that what he holds is given back.
    pub fn set_areas_free(&mut self) {
        self.areas_are_free = true;
    }

    /// Whether clients are to know the current area without a frame of it.
    pub fn set_tells_end(&mut self, tells_end: bool) {
        self.tells_end = tells_end;
    }

    /// The area that clients are to know without a frame of it.
    fn end(&self) -> Option<u32> {
        self.current.filter(|_| self.tells_end)
    }

    /// Clients that are connected; not those that were evicted.
    pub fn client_count(&self) -> usize {
        let clients = self.clients.values();
        clients.filter(|client| !client.is_evicted()).count()
    }

    /// A client connected. On `Err` nothing has changed.
    pub fn handle_connect(&mut self, peer: Facts, now: Duration) -> Result<ClientId, Refusal> {
        let places = self.clients.len();
        if places >= self.limits.max_clients {
            self.counters.clients_refused += 1;
            // In a fresh area those that were evicted have no place.
            self.wants_fresh_area |= self.client_count() < self.limits.max_clients;
            return Err(Refusal::Full);
        }
        if let Some(area) = self.current_area()
            && area.reserved() < self.slots_for(area, 1)
        {
            return Err(Refusal::NeedsSlots);
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let client = Client::new(peer, self.sequence, now);
        self.clients.insert(id, client);
        self.share_slots();
        Ok(id)
    }

    /// The sequence number of the next frame that is published.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    /// A frame of `size` bytes came in. `at` is where it lies in the current area, if it does.
    pub fn admit(&mut self, size: u64, at: Option<u64>) -> Admission {
        let nobody = self.clients.values().all(Client::is_evicted);
        let fresh = self.wants_fresh_area;
        let Some(area) = self
            .current_area_mut()
            .filter(|area| size <= area.layout().capacity)
        else {
            return Admission::NeedsArea;
        };
        if fresh {
            return Admission::NeedsFreshArea;
        }
        if nobody {
            self.counters.without_client += 1;
            return Admission::NoClient;
        }
        let own = at.and_then(|offset| area.claim_from_upstream(offset));
        let filled = own.is_some();
        let Some(slot) = own.or_else(|| area.claim()) else {
            self.counters.dropped_no_slot += 1;
            return Admission::NoSlot;
        };
        Admission::Claimed(Claim {
            generation: area.generation(),
            slot,
            offset: area.layout().offset(slot),
            filled,
        })
    }

    /// A slot for upstream to write a frame of up to `size` bytes into. `None` when upstream has enough of them.
    pub fn claim_for_upstream(&mut self, size: u64) -> Option<Claim> {
        let area = self
            .current_area_mut()
            .filter(|area| size <= area.layout().capacity)?;
        let slot = area.claim_for_upstream()?;
        Some(Claim {
            generation: area.generation(),
            slot,
            offset: area.layout().offset(slot),
            filled: false,
        })
    }

    /// Upstream has let go of the slot that it had claimed.
    pub fn handle_upstream_done(&mut self, generation: u32, slot: usize) {
        let free = self
            .area(generation)
            .is_some_and(|area| area.take_back(slot));
        self.note_free(generation, slot, free);
    }

    /// A frame without a single byte came in. Readers have no use for it.
    pub fn handle_empty_frame(&mut self) {
        self.counters.empty += 1;
    }

    /// The claimed slot holds a frame of `size` bytes. True when the one who transmits, gives memory or watches the time has something to do.
    pub fn handle_frame_published(&mut self, claim: Claim, size: u64, now: Duration) -> bool {
        self.handle_frame_published_for(claim, size, now, usize::MAX)
    }

    /// The same, but clients that hold so many frames or more do not get it.
    pub fn handle_frame_published_for(
        &mut self,
        claim: Claim,
        size: u64,
        now: Duration,
        holding: usize,
    ) -> bool {
        self.sequence += 1;
        self.counters.published += 1;
        self.counters.zero_copy += u64::from(claim.filled);
        self.counters.bytes += size;
        let frame = Frame {
            sequence: self.sequence,
            generation: claim.generation,
            slot: claim.slot,
            offset: claim.offset,
            size,
        };
        let offered = self.offer(&frame, now, holding);
        self.drop_newest();
        if offered.passed_by && self.mailbox {
            self.pin(&frame);
            self.newest = Some(frame);
        }
        self.unpin(frame.generation, frame.slot);
        self.retire();
        offered.something_to_do
    }

    /// The claimed slot holds nothing after all.
    pub fn handle_claim_dropped(&mut self, claim: &Claim) {
        self.unpin(claim.generation, claim.slot);
        self.retire();
    }

    /// The claimed slot cannot be filled: the frame is dropped for everybody.
    pub fn handle_claim_unfilled(&mut self, claim: &Claim) {
        self.counters.dropped_no_slot += 1;
        self.handle_claim_dropped(claim);
    }

    /// Whether somebody needs what is in that slot. Of areas that are gone somebody may still look at anything.
    pub fn need(&self, generation: u32, slot: usize) -> Need {
        let mut areas = self.areas.iter();
        let area = areas.find(|area| area.generation() == generation);
        area.map_or(Need::Lost, |area| area.need(slot))
    }

    /// A client acked the frame at `offset`. On `Err` it is to be disconnected. An ack of a client that is gone means nothing.
    pub fn handle_ack(
        &mut self,
        id: ClientId,
        offset: u64,
        now: Duration,
    ) -> Result<(), UnknownAck> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        let frame = match client.ack(offset, now) {
            Some(frame) => frame,
            // Of an old area: that frame is lost already.
            None if client.late_ack() => return Ok(()),
            None => return Err(UnknownAck { offset }),
        };
        if client.set_stalled(false) {
            self.changes.push_back(Change::Resumed(id));
        }
        self.give_newest(id);
        self.let_go(&frame);
        self.leave_quarantine(id);
        self.drop_newest_nobody_lacks();
        self.retire();
        Ok(())
    }

    /// A client is gone, and with it its claims.
    pub fn handle_disconnect(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        for frame in client.frames() {
            self.let_go(frame);
        }
        self.share_slots();
        self.drop_newest_nobody_lacks();
        self.retire();
    }

    /// The next message for a client, which from now on counts as sent. It is to be sent whole before the next one.
    pub fn poll_transmit(&mut self, id: ClientId, now: Duration) -> Option<Message<'_>> {
        let end = self.end();
        let client = self.clients.get_mut(&id)?;
        if client.is_evicted() {
            return None;
        }
        let next = client.next(now, end)?;
        match next {
            Next::Close(generation) => Some(Message::CloseArea { generation }),
            Next::Send(frame) => Some(Message::NewBuffer {
                generation: frame.generation,
                offset: frame.offset,
                size: frame.size,
            }),
            Next::Announce(generation) => {
                let area = self
                    .areas
                    .iter()
                    .find(|area| area.generation() == generation)?;
                Some(Message::NewArea {
                    generation,
                    length: area.layout().length(),
                    name: area.name(),
                })
            }
        }
    }

    /// The frames that a client holds, oldest first.
    pub fn held(&self, id: ClientId) -> impl Iterator<Item = &Frame> {
        self.clients.get(&id).into_iter().flat_map(Client::frames)
    }

    /// The newest frame, while it is kept for clients that have not had it.
    pub fn newest(&self) -> Option<&Frame> {
        self.newest.as_ref()
    }

    /// The client of that file descriptor.
    pub fn find(&self, fd: i32) -> Option<ClientId> {
        self.clients
            .iter()
            .find(|(_, client)| !client.is_evicted() && client.fd() == fd)
            .map(|(id, _)| *id)
    }

    /// Everything that a client is to have was handed to the transport, and nothing waits for its next ack.
    pub fn is_told(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| {
            let lacks = self.newest.is_some_and(|newest| client.lacks(&newest));
            let knows = self.end().is_none_or(|end| client.knows(end));
            client.is_told() && knows && !lacks
        })
    }

    pub fn is_stalled(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(Client::is_stalled)
    }

    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let current = self.current_area();
        Snapshot {
            generation: self.generation,
            slots_total: current.map_or(0, |area| area.layout().slots),
            slots_reserved: current.map_or(0, Slots::reserved),
            slots_free: current.map_or(0, Slots::free),
            slots_upstream: current.map_or(0, Slots::upstream),
            slots_lent: self.lent(),
            slots_quarantined: self.quarantined(),
            shm_bytes: self
                .areas
                .iter()
                .map(|area| area.memory(self.current == Some(area.generation())))
                .sum(),
            areas_retired: self.areas.len() - usize::from(current.is_some()),
            counters: self.counters,
            clients: self
                .clients
                .iter()
                .map(|(id, client)| client.snapshot(*id, self.limits.window, now))
                .collect(),
        }
    }
}
