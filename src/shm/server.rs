//! The state machine of the server: events in through `handle_*`, what to do about them out through `poll_*`, time as an argument.
//!
//! What it keeps, whatever clients do (each is checked after every step of random histories in `tests/shm_server.rs`):
//!
//! - A slot is free exactly when nobody refers to it: not the writer, not the newest frame, no client.
//! - A client holds at most its window, counted across generations, and at most its share of the current area's slots. A client that holds less
//!   gets every frame.
//! - There are `RESERVE + all shares` slots with memory, so a healthy client's frame always finds one: what one client does never changes which
//!   frames another gets.
//! - A client's share is its window, except while a new area, which starts with the memory for one window, does not have more yet. Then
//!   everybody's share grows with it, and clients that hold their whole window of old frames come last.
//! - A client's frames have strictly growing sequence numbers.
//! - The newest frame is kept, in one slot for all, only while some client with a full window has not had it. Such a client gets it with its
//!   next ack.
//! - An area that is no longer current goes as soon as nobody refers to its slots; until then each of its slots gives its memory back when nobody
//!   refers to it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::Duration,
};

use super::{
    client::{Client, ClientId, Frame, Next, Peer},
    layout::{Layout, LayoutError, Limits, MAX_AREAS, RESERVE},
    slots::Slots,
    snapshot::{Counters, Snapshot},
    wire::Message,
};

/// A slot that the writer may fill, and nobody else knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    pub generation: u32,
    pub slot: usize,
    pub offset: u64,
}

/// What to do with an incoming frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Write it here, then call [`Server::handle_frame_published`].
    Claimed(Claim),
    /// Make an area for frames of this size, then ask again.
    NeedsArea,
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

#[derive(Debug)]
pub struct Server {
    limits: Limits,
    /// By generation; the last is the current one, unless it is closed.
    areas: VecDeque<Slots>,
    /// The current area's generation; none between two areas.
    current: Option<u32>,
    /// The last area's.
    generation: u32,
    clients: BTreeMap<ClientId, Client>,
    next_client: u64,
    sequence: u64,
    newest: Option<Frame>,
    retired: Vec<u32>,
    freed: Vec<(u32, Range<u64>)>,
    evicted: Vec<ClientId>,
    counters: Counters,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            areas: VecDeque::new(),
            current: None,
            generation: 0,
            clients: BTreeMap::new(),
            next_client: 1,
            sequence: 0,
            newest: None,
            retired: Vec::new(),
            freed: Vec::new(),
            evicted: Vec::new(),
            counters: Counters::default(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// The layout of the next area, for frames of up to `size` bytes. `None` while there are as many areas as there can be: clients that hold
    /// frames of the oldest are being evicted for it.
    pub fn plan_area(&self, size: u64) -> Result<Option<Layout>, LayoutError> {
        let is_free = |colour: &usize| {
            self.areas
                .iter()
                .all(|area| area.layout().colour != *colour)
        };
        let colour = (0..MAX_AREAS).find(is_free);
        let layout = Layout::new(
            self.generation + 1,
            colour.unwrap_or_default(),
            size,
            &self.limits,
        )?;
        Ok(colour.map(|_| layout))
    }

    /// Chooses clients to part with, so that there can be one more area. They keep their slots until they are disconnected, because until then
    /// they may look at them.
    fn evict_for_next_area(&mut self) {
        if self.areas.len() < MAX_AREAS {
            return;
        }
        let Some(oldest) = self.areas.front().map(Slots::generation) else {
            return;
        };
        for (id, client) in &mut self.clients {
            if client.holds_generation(oldest) && client.evict() {
                self.evicted.push(*id);
            }
        }
    }

    /// The slot that is to have memory next, for the clients' windows and those of so many that are to come.
    pub fn slot_wanted(&self, newcomers: usize) -> Option<(Layout, usize)> {
        let area = self.current_area()?;
        let clients = (self.clients.len() + newcomers).min(self.limits.max_clients);
        (area.reserved() < self.limits.slots_for(clients))
            .then(|| (*area.layout(), area.reserved()))
    }

    /// The client that will be the last to have its whole window. `None` when all have.
    pub fn last_in_line(&self) -> Option<ClientId> {
        let window = self.limits.window;
        self.clients
            .iter()
            .filter(|(_, client)| client.share() < window)
            .max_by_key(|(id, client)| {
                (
                    client.outstanding() >= window,
                    window - client.share(),
                    **id,
                )
            })
            .map(|(id, _)| *id)
    }

    /// Slots that a new area is to have memory for. Few, because the stream waits for it.
    pub fn slots_at_first(&self) -> usize {
        self.limits.slots_for(1)
    }

    /// A client connected. The `Full` and `NeedsSlots` answers change nothing.
    pub fn handle_connect(&mut self, peer: Peer) -> Result<ClientId, Refusal> {
        if self.clients.len() >= self.limits.max_clients {
            return Err(Refusal::Full);
        }
        let slots = self.limits.slots_for(self.clients.len() + 1);
        if let Some(area) = self.current_area()
            && area.reserved() < slots
        {
            return Err(Refusal::NeedsSlots);
        }
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(id, Client::new(peer, self.sequence));
        self.share_slots();
        Ok(id)
    }

    /// That slot, the first that had none, has memory now. False when its area is no longer current: nobody will use it.
    pub fn handle_reserved(&mut self, generation: u32, slot: usize) -> bool {
        match self.current_area_mut() {
            Some(area) if area.generation() == generation && area.reserved() == slot => {
                area.reserve(slot + 1);
                self.share_slots();
                self.drop_newest_nobody_lacks();
                true
            }
            _ => false,
        }
    }

    /// A new area takes over, of which the first `reserved` slots have memory. Its layout is that of [`plan_area`](Self::plan_area).
    pub fn handle_area(&mut self, layout: Layout, name: &str, reserved: usize) {
        self.close_area();
        debug_assert_eq!(layout.generation, self.generation + 1);
        self.generation = layout.generation;
        self.current = Some(layout.generation);
        self.areas.push_back(Slots::new(layout, name, reserved));
        for client in self.clients.values_mut() {
            client.set_share(0);
        }
        self.share_slots();
        self.evict_for_next_area();
    }

    /// No frame goes into the current area any more, and its memory is given back as far as nobody holds it. Until there is a new area there is
    /// none, and frames need one.
    pub fn close_area(&mut self) {
        let Some(area) = self.current_area() else {
            return;
        };
        let generation = area.generation();
        let free: Vec<_> = area
            .free_slots()
            .map(|slot| (generation, area.bytes(slot)))
            .collect();
        self.freed.extend(free);
        self.current = None;
        // Of another size or from before other caps; whoever waits for it gets the first frame of the new area.
        if let Some(newest) = self.newest.take() {
            self.release(&newest);
        }
        self.retire();
    }

    /// A frame of `size` bytes came in.
    pub fn admit(&mut self, size: u64) -> Admission {
        let nobody = self.clients.is_empty();
        let Some(area) = self
            .current_area_mut()
            .filter(|area| size <= area.layout().capacity)
        else {
            return Admission::NeedsArea;
        };
        if nobody {
            self.counters.without_client += 1;
            return Admission::NoClient;
        }
        let Some(slot) = area.claim() else {
            self.counters.dropped_no_slot += 1;
            return Admission::NoSlot;
        };
        Admission::Claimed(Claim {
            generation: area.generation(),
            slot,
            offset: area.layout().offset(slot),
        })
    }

    /// A frame came in for which there can be no area now.
    pub fn handle_no_area(&mut self) {
        self.counters.dropped_no_slot += 1;
    }

    /// A frame without a single byte came in. Readers have no use for it.
    pub fn handle_empty_frame(&mut self) {
        self.counters.empty += 1;
    }

    /// The claimed slot holds a frame of `size` bytes. True when there is something to transmit.
    pub fn handle_frame_published(&mut self, claim: Claim, size: u64) -> bool {
        self.sequence += 1;
        self.counters.published += 1;
        self.counters.bytes += size;
        let frame = Frame {
            sequence: self.sequence,
            generation: claim.generation,
            slot: claim.slot,
            offset: claim.offset,
            size,
        };
        let (mut promised, mut passed_by) = (0, false);
        for client in self.clients.values_mut() {
            if client.has_room(self.limits.window, frame.generation) {
                client.promise(frame);
                promised += 1;
            } else {
                client.skip();
                passed_by = true;
            }
        }
        for _ in 0..promised {
            self.refer(&frame);
        }
        if passed_by {
            self.refer(&frame);
        }
        let before = std::mem::replace(&mut self.newest, passed_by.then_some(frame));
        if let Some(before) = before {
            self.release(&before);
        }
        self.release(&frame);
        self.retire();
        promised > 0
    }

    /// The claimed slot holds nothing after all.
    pub fn handle_claim_dropped(&mut self, claim: &Claim) {
        self.release_slot(claim.generation, claim.slot);
        self.retire();
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
        let frame = client.ack(offset, now).ok_or(UnknownAck { offset })?;
        self.give_newest(id);
        self.release(&frame);
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
            self.release(frame);
        }
        self.share_slots();
        self.drop_newest_nobody_lacks();
        self.retire();
    }

    /// The next message for a client, which from now on counts as sent. It is to be sent whole before the next one.
    pub fn poll_transmit(&mut self, id: ClientId, now: Duration) -> Option<Message<'_>> {
        let client = self.clients.get_mut(&id)?;
        if client.is_evicted() {
            return None;
        }
        let next = client.next(now)?;
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

    /// A generation whose memory can go: nobody holds anything in it.
    pub fn poll_retired(&mut self) -> Option<u32> {
        self.retired.pop()
    }

    /// Bytes of an old generation that nobody will use again.
    pub fn poll_freed(&mut self) -> Option<(u32, Range<u64>)> {
        self.freed.pop()
    }

    /// A client that is to be disconnected because it holds frames of too old an area.
    pub fn poll_evicted(&mut self) -> Option<ClientId> {
        self.evicted.pop()
    }

    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let current = self.current_area();
        Snapshot {
            generation: self.generation,
            slots_total: current.map_or(0, |area| area.layout().slots),
            slots_reserved: current.map_or(0, Slots::reserved),
            slots_free: current.map_or(0, Slots::free),
            shm_bytes: self
                .areas
                .iter()
                .map(|area| {
                    let is_current = self.current == Some(area.generation());
                    let unused = if is_current { 0 } else { area.free() };
                    area.layout().bytes_of(area.reserved() - unused)
                })
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

    fn current_area(&self) -> Option<&Slots> {
        self.current.and_then(|_| self.areas.back())
    }

    fn current_area_mut(&mut self) -> Option<&mut Slots> {
        self.current.and_then(|_| self.areas.back_mut())
    }

    fn area(&mut self, generation: u32) -> Option<&mut Slots> {
        self.areas
            .iter_mut()
            .find(|area| area.generation() == generation)
    }

    fn refer(&mut self, frame: &Frame) {
        if let Some(area) = self.area(frame.generation) {
            area.refer(frame.slot);
        }
    }

    fn release(&mut self, frame: &Frame) {
        self.release_slot(frame.generation, frame.slot);
    }

    fn release_slot(&mut self, generation: u32, slot: usize) {
        let is_old = self.current != Some(generation);
        if let Some(area) = self.area(generation)
            && area.release(slot)
            && is_old
        {
            let bytes = area.bytes(slot);
            self.freed.push((generation, bytes));
        }
    }

    /// Gives slots that are nobody's share to those that have less than their window.
    fn share_slots(&mut self) {
        let Some(area) = self.current_area() else {
            return;
        };
        let shared: usize = self.clients.values().map(Client::share).sum();
        let spare = area.reserved().saturating_sub(RESERVE + shared);
        let window = self.limits.window;
        for _ in 0..spare {
            let next = self
                .clients
                .iter_mut()
                .filter(|(_, client)| client.share() < window)
                .min_by_key(|(id, client)| (client.outstanding() >= window, client.share(), **id));
            let Some((id, client)) = next else {
                break;
            };
            client.set_share(client.share() + 1);
            let id = *id;
            self.give_newest(id);
        }
    }

    /// Promises the newest frame to a client that was passed by and has room for it now.
    fn give_newest(&mut self, id: ClientId) {
        if let Some(newest) = self.newest
            && let Some(client) = self.clients.get_mut(&id)
            && client.lacks(&newest)
            && client.has_room(self.limits.window, newest.generation)
        {
            client.promise(newest);
            client.unskip();
            self.refer(&newest);
        }
    }

    fn drop_newest_nobody_lacks(&mut self) {
        if let Some(newest) = self.newest
            && !self.clients.values().any(|client| client.lacks(&newest))
        {
            self.newest = None;
            self.release(&newest);
        }
    }

    fn retire(&mut self) {
        let (current, retired) = (self.current, &mut self.retired);
        self.areas.retain(|area| {
            let goes = current != Some(area.generation()) && area.is_idle();
            if goes {
                retired.push(area.generation());
            }
            !goes
        });
    }
}
