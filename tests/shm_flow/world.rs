//! A server and what its clients saw, with what must hold whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use gstlibcamerars::shm::{
    client::{ClientId, Facts},
    layout::Limits,
    server::{Admission, Eviction, Refusal, Server, Timeouts, Why},
    snapshot::ClientState,
    wire::Message,
};

use super::{SECOND, SLOT};

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Connect,
    Disconnect(usize),
    Evict(usize),
    Publish,
    /// The k-th of the frames that it was sent and has not acked.
    Ack(usize, usize),
    /// One message.
    Transmit(usize),
    Reserve,
    NewArea(u64),
    AreaSize(u64),
    /// Upstream claims a slot, publishes its oldest one, lets go of it.
    Claim,
    Push,
    LetGo,
    Time(u64),
}

/// A server and what its clients saw. Frames are numbered by their size, so that messages say which they are.
#[derive(Clone)]
pub struct World {
    pub server: Server,
    pub now: Duration,
    /// Also those in quarantine.
    pub clients: BTreeMap<ClientId, Seen>,
    /// (generation, slot), oldest first.
    pub upstream: VecDeque<(u32, usize, u64)>,
    pub frame: u64,
    pub base: usize,
}

#[derive(Clone, Default)]
pub struct Seen {
    pub last: u64,
    /// Offsets of frames that it has.
    pub has: Vec<u64>,
}

impl World {
    pub fn new(window: usize, max_clients: usize, slots: Option<u64>, upstream: usize) -> Self {
        let mut server = Server::new(Limits {
            window,
            max_clients,
            area_size: slots.map(|slots| slots * SLOT),
            upstream,
        });
        server.set_timeouts(Timeouts {
            stall: Some(2 * SECOND),
            evict: Some(10 * SECOND),
        });
        let mut world = Self {
            server,
            now: SECOND,
            clients: BTreeMap::new(),
            upstream: VecDeque::new(),
            frame: 0,
            base: 0,
        };
        world.new_area(1000);
        world
    }

    pub fn new_area(&mut self, size: u64) {
        if self.server.plan_area(size).is_err() {
            // Larger frames than the bound allows would end the stream.
            self.server.set_area_size(None);
        }
        let layout = self.server.plan_area(size).unwrap();
        self.base = layout.base;
        let slots = self.server.slots_at_first(&layout);
        self.server.handle_area(layout, "/area", slots);
    }

    pub fn id(&self, index: usize) -> Option<ClientId> {
        let count = self.clients.len();
        self.clients.keys().nth(index % count.max(1)).copied()
    }

    pub fn take(&mut self, step: Step) {
        match step {
            Step::Connect => {
                while self.server.handle_connect(Facts::default(), self.now)
                    == Err(Refusal::NeedsSlots)
                {
                    let (layout, slot) = self.server.slot_wanted(1).expect("there is room for it");
                    assert!(self.server.handle_reserved(layout.generation, slot));
                }
                for client in self.server.snapshot(self.now).clients {
                    let seen = Seen {
                        last: self.frame,
                        has: Vec::new(),
                    };
                    self.clients.entry(client.id).or_insert(seen);
                }
            }
            Step::Disconnect(index) => {
                if let Some(id) = self.id(index) {
                    self.server.handle_disconnect(id);
                    self.clients.remove(&id);
                }
            }
            Step::Evict(index) => {
                if let Some(id) = self.id(index) {
                    self.server.handle_evict(id, Why::Asked);
                }
            }
            Step::Publish => self.publish(None),
            Step::Ack(index, frame) => {
                if let Some(id) = self.id(index) {
                    let seen = self.clients.get_mut(&id).unwrap();
                    if !seen.has.is_empty() {
                        let offset = seen.has.remove(frame % seen.has.len());
                        self.server.handle_ack(id, offset, self.now).unwrap();
                    }
                }
            }
            Step::Transmit(index) => {
                if let Some(id) = self.id(index) {
                    self.transmit(id);
                }
            }
            Step::Reserve => {
                if let Some((layout, slot)) = self.server.slot_wanted(0) {
                    assert!(self.server.handle_reserved(layout.generation, slot));
                }
            }
            Step::NewArea(size) => self.new_area(size),
            Step::AreaSize(slots) => {
                self.server.set_area_size(Some(slots * SLOT));
                assert_eq!(self.server.admit(1, None), Admission::NeedsFreshArea);
                self.new_area(1);
            }
            Step::Claim => {
                if let Some(claim) = self.server.claim_for_upstream(1) {
                    self.upstream
                        .push_back((claim.generation, claim.slot, claim.offset));
                }
            }
            Step::Push => {
                let generation = self.server.snapshot(self.now).generation;
                let mine = self.upstream.iter().find(|slot| slot.0 == generation);
                if let Some((_, _, offset)) = mine.copied() {
                    self.publish(Some(offset));
                }
            }
            Step::LetGo => {
                if let Some((generation, slot, _)) = self.upstream.pop_front() {
                    self.server.handle_upstream_done(generation, slot);
                }
            }
            Step::Time(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                if self
                    .server
                    .poll_timeout()
                    .is_some_and(|then| then <= self.now)
                {
                    self.server.handle_timeout(self.now);
                }
                assert!(
                    self.server
                        .poll_timeout()
                        .is_none_or(|then| then > self.now)
                );
            }
        }
        self.tidy();
        self.check();
    }

    fn tidy(&mut self) {
        while let Some(Eviction {
            id, quarantined, ..
        }) = self.server.poll_evicted()
        {
            if !quarantined {
                self.clients.remove(&id);
            }
        }
        while let Some(id) = self.server.poll_forgotten() {
            self.clients.remove(&id);
        }
        while self.server.poll_retired().is_some() || self.server.poll_change().is_some() {}
        let current = self.server.snapshot(self.now).generation;
        while let Some((generation, bytes)) = self.server.poll_freed() {
            // Only of old areas, and of nothing that anybody may look at, evicted or not.
            assert!(generation < current);
            for id in self.clients.keys() {
                assert!(
                    self.server
                        .held(*id)
                        .all(|held| held.generation != generation || !bytes.contains(&held.offset))
                );
            }
        }
    }

    /// As the stream does when it is asked to.
    fn fresh_area_if_wanted(&mut self) {
        if self.server.clone().admit(1, None) == Admission::NeedsFreshArea {
            self.new_area(1000);
            self.tidy();
        }
    }

    fn publish(&mut self, at: Option<u64>) {
        self.fresh_area_if_wanted();
        // That may have closed the area in which it lies.
        let generation = self.server.snapshot(self.now).generation;
        let at = at.filter(|_| self.upstream.iter().any(|slot| slot.0 == generation));
        let before: Vec<_> = self.server.snapshot(self.now).clients;
        let connected = before.iter().any(|c| c.state != ClientState::Evicted);
        match self.server.admit(1, at) {
            Admission::NoClient => assert!(!connected),
            Admission::Claimed(claim) => {
                for id in self.clients.keys() {
                    for held in self.server.held(*id) {
                        let same = (held.generation, held.slot) == (claim.generation, claim.slot);
                        assert!(!same, "a slot that a client holds was claimed");
                    }
                }
                self.frame += 1;
                self.server
                    .handle_frame_published(claim, self.frame, self.now);
                // Whoever held less than its window and its share has it, whatever others do.
                for client in before {
                    if client.state == ClientState::Evicted {
                        continue;
                    }
                    let generation = self.server.snapshot(self.now).generation;
                    let held: Vec<_> = self.server.held(client.id).collect();
                    let newest = held.last().is_some_and(|last| last.size == self.frame);
                    let older = held.len() - usize::from(newest);
                    let in_area = held
                        .iter()
                        .filter(|f| f.generation == generation && f.size != self.frame)
                        .count();
                    let owed = older < self.server.limits().window && in_area < client.share;
                    assert!(
                        newest || !owed,
                        "a client lost a frame that it had a right to"
                    );
                }
            }
            other => panic!("no slot for a frame: {other:?}"),
        }
    }

    pub fn transmit(&mut self, id: ClientId) -> bool {
        let seen = self.clients.get_mut(&id).unwrap();
        match self.server.poll_transmit(id, self.now) {
            None => return false,
            Some(Message::NewBuffer { offset, size, .. }) => {
                assert!(size > seen.last, "frame {size} after {}", seen.last);
                assert!(!seen.has.contains(&offset), "a frame that it holds");
                seen.last = size;
                seen.has.push(offset);
            }
            Some(_) => (),
        }
        true
    }

    pub fn check(&self) {
        let snapshot = self.server.snapshot(self.now);
        let limits = self.server.limits();
        let (mut held, mut owed, mut owed_now, mut places) = (BTreeSet::new(), 0, 0, 0);
        for client in &snapshot.clients {
            let frames = self.server.held(client.id);
            let mine: BTreeSet<usize> = frames
                .filter(|frame| frame.generation == snapshot.generation)
                .map(|frame| frame.slot)
                .collect();
            places += 1;
            if client.state != ClientState::Evicted {
                owed += limits.window.saturating_sub(mine.len());
                owed_now += client.share.saturating_sub(mine.len());
            } else {
                assert!(!mine.is_empty(), "nothing is kept for nobody");
            }
            held.extend(mine);
        }
        assert!(places <= limits.max_clients);
        let absent = limits.window * (limits.max_clients - places);
        assert!(
            snapshot.slots_total - held.len() >= self.base + owed + absent,
            "the inequality"
        );
        assert!(
            snapshot.slots_reserved - held.len() >= self.base + owed_now,
            "the inequality for memory"
        );
        if let Some(newest) = self.server.newest() {
            held.insert(newest.slot);
        }
        held.extend(
            self.upstream
                .iter()
                .filter(|slot| slot.0 == snapshot.generation)
                .map(|slot| slot.1),
        );
        assert_eq!(snapshot.slots_free, snapshot.slots_reserved - held.len());
        assert!(snapshot.areas_retired < 15);
    }

    /// What distinguishes this state from others, whatever number frames, areas and clients have come to. Slots are as good as each other, so
    /// each is named by where it first occurs.
    pub fn key(&self) -> u64 {
        let snapshot = self.server.snapshot(self.now);
        let mut key = DefaultHasher::new();
        let mut names = BTreeMap::new();
        let mut name = |generation: u32, slot: usize| {
            let next = names.len();
            let name = *names.entry((generation, slot)).or_insert(next);
            (snapshot.generation - generation, name)
        };
        for client in &snapshot.clients {
            (client.state == ClientState::Evicted, client.share).hash(&mut key);
            self.server.is_told(client.id).hash(&mut key);
            for frame in self.server.held(client.id) {
                name(frame.generation, frame.slot).hash(&mut key);
            }
            usize::MAX.hash(&mut key);
        }
        let newest = self.server.newest();
        newest
            .map(|newest| name(newest.generation, newest.slot))
            .hash(&mut key);
        for (generation, slot, _) in &self.upstream {
            name(*generation, *slot).hash(&mut key);
        }
        (snapshot.slots_reserved, snapshot.areas_retired).hash(&mut key);
        self.server.slot_wanted(0).is_some().hash(&mut key);
        key.finish()
    }
}
