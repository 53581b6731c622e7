//! Flow control of the pure server: every state of small servers, and long random histories of larger ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use gstlibcamerars::histogram::Histogram;
use gstlibcamerars::shm::{
    client::{ClientId, Peer},
    layout::Limits,
    server::{Admission, Change, Eviction, Refusal, Server, Timeouts, Why},
    snapshot::ClientState,
    wire::Message,
};
use proptest::prelude::*;

const SLOT: u64 = 65536;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Step {
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
struct World {
    server: Server,
    now: Duration,
    /// Also those in quarantine.
    clients: BTreeMap<ClientId, Seen>,
    /// (generation, slot), oldest first.
    upstream: VecDeque<(u32, usize, u64)>,
    frame: u64,
    base: usize,
}

#[derive(Clone, Default)]
struct Seen {
    last: u64,
    /// Offsets of frames that it has.
    has: Vec<u64>,
}

impl World {
    fn new(window: usize, max_clients: usize, slots: Option<u64>, upstream: usize) -> Self {
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

    fn new_area(&mut self, size: u64) {
        if self.server.plan_area(size).is_err() {
            // Larger frames than the bound allows would end the stream.
            self.server.set_area_size(None);
        }
        let layout = self.server.plan_area(size).unwrap();
        self.base = layout.base;
        let slots = self.server.slots_at_first(&layout);
        self.server.handle_area(layout, "/area", slots);
    }

    fn id(&self, index: usize) -> Option<ClientId> {
        let count = self.clients.len();
        self.clients.keys().nth(index % count.max(1)).copied()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect => {
                while self.server.handle_connect(Peer::default(), self.now)
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

    fn transmit(&mut self, id: ClientId) -> bool {
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

    fn check(&self) {
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
    fn key(&self) -> u64 {
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

/// The states that these steps lead to, nearest first, each message being delivered at once: all of them, or as many as asked for. Says how many,
/// and whether those were all.
fn search(start: World, most: usize, steps: impl Fn(&World) -> Vec<Step>) -> (usize, bool) {
    let mut seen = HashSet::from([start.key()]);
    let mut frontier = vec![start];
    while seen.len() < most {
        let mut next = Vec::new();
        for world in &frontier {
            for step in steps(world) {
                let mut world = world.clone();
                world.take(step);
                let ids: Vec<ClientId> = world.clients.keys().copied().collect();
                for id in ids {
                    while world.transmit(id) {}
                }
                world.check();
                if seen.insert(world.key()) {
                    next.push(world);
                }
            }
        }
        if next.is_empty() {
            return (seen.len(), true);
        }
        frontier = next;
    }
    (seen.len(), false)
}

fn client_steps(world: &World) -> Vec<Step> {
    let mut steps = vec![Step::Connect, Step::Publish, Step::Reserve];
    for (index, seen) in world.clients.values().enumerate() {
        steps.push(Step::Disconnect(index));
        steps.push(Step::Evict(index));
        steps.extend((0..seen.has.len()).map(|frame| Step::Ack(index, frame)));
    }
    steps
}

#[test]
fn every_state_of_a_server_that_lends_keeps_its_promises() {
    // Three clients, a window of two, and two slots to lend. All slots have memory; the other searches and histories see to the rest.
    let mut start = World::new(2, 3, Some(10), 0);
    let generation = start.server.snapshot(start.now).generation;
    for slot in 4..10 {
        assert!(start.server.handle_reserved(generation, slot));
    }
    let (states, all) = search(start, 500_000, |world| {
        let mut steps = client_steps(world);
        steps.retain(|step| !matches!(step, Step::Evict(_)));
        steps
    });
    println!("{states} states, all: {all}");
    assert!(all && states > 1000, "{states}");
}

#[test]
fn states_with_upstream_slots_keep_their_promises() {
    let (states, _) = search(World::new(2, 2, Some(8), 1), 20_000, |world| {
        let mut steps = client_steps(world);
        steps.extend([Step::Claim, Step::Push, Step::LetGo]);
        steps
    });
    println!("{states} states");
}

#[test]
fn states_around_changes_of_area_keep_their_promises() {
    let (states, _) = search(World::new(2, 2, Some(7), 0), 20_000, |world| {
        let mut steps = client_steps(world);
        steps.extend([Step::NewArea(1000), Step::AreaSize(6), Step::AreaSize(8)]);
        steps
    });
    println!("{states} states");
}

fn any_step() -> impl Strategy<Value = Step> {
    let index = || any::<usize>();
    prop_oneof![
        2 => Just(Step::Connect),
        1 => index().prop_map(Step::Disconnect),
        1 => index().prop_map(Step::Evict),
        12 => Just(Step::Publish),
        12 => (index(), index()).prop_map(|(client, frame)| Step::Ack(client, frame)),
        20 => index().prop_map(Step::Transmit),
        4 => Just(Step::Reserve),
        1 => (1u64..200_000).prop_map(Step::NewArea),
        1 => (6u64..60).prop_map(Step::AreaSize),
        2 => Just(Step::Claim),
        2 => Just(Step::Push),
        2 => Just(Step::LetGo),
        2 => (1u64..3000).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn frames_grow_and_promises_are_kept_whatever_happens(
        window in 2usize..6,
        max_clients in 1usize..5,
        surplus in 0u64..12,
        upstream in 0usize..3,
        mailbox in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..400),
    ) {
        let slots = 2 + (window * max_clients + upstream) as u64 + surplus;
        let mut world = World::new(window, max_clients, Some(slots), upstream);
        world.server.set_mailbox(mailbox);
        for step in steps {
            world.take(step);
        }
    }
}

// ---------------------------------------------------------------- the rule of lending, and the one that looks right

/// Slots held by each of two clients; a client that is not there holds none.
type Held = [BTreeSet<u8>; 2];

const WINDOW: usize = 2;
const SLOTS: u8 = 7;
const BASE: usize = 2;

/// The states in which a frame finds no slot although a client has a right to it.
fn broken_states(may_lend: impl Fn(&Held, usize) -> bool) -> usize {
    let start: (Held, Option<u8>) = (Default::default(), None);
    let (mut seen, mut queue, mut broken) =
        (HashSet::from([start.clone()]), VecDeque::from([start]), 0);
    while let Some((held, newest)) = queue.pop_front() {
        let mut next = Vec::new();
        for client in 0..2 {
            for slot in &held[client] {
                let mut held = held.clone();
                held[client].remove(slot);
                next.push((held, newest));
            }
        }
        let free = (0..SLOTS)
            .find(|slot| held.iter().all(|held| !held.contains(slot)) && newest != Some(*slot));
        match free {
            None => broken += usize::from(held.iter().any(|held| held.len() < WINDOW)),
            Some(slot) => {
                let (mut after, mut passed_by) = (held.clone(), false);
                for client in 0..2 {
                    if after[client].len() < WINDOW || may_lend(&after, client) {
                        after[client].insert(slot);
                    } else {
                        passed_by = true;
                    }
                }
                next.push((after, passed_by.then_some(slot)));
            }
        }
        for state in next {
            if seen.insert(state.clone()) {
                queue.push_back(state);
            }
        }
    }
    broken
}

/// Lending while afterwards the slots that are free now cover what is owed now breaks the promise: a slot that is shared is given back by one,
/// who is owed more from then on, while the other keeps it.
#[test]
fn to_lend_by_the_slots_that_are_free_now_breaks_the_promise() {
    let by_free_slots = |held: &Held, _: usize| {
        let taken: BTreeSet<_> = held.iter().flatten().collect();
        let owed: usize = held.iter().map(|h| WINDOW.saturating_sub(h.len())).sum();
        usize::from(SLOTS) - taken.len() > BASE + owed
    };
    assert!(broken_states(by_free_slots) > 0);
    let by_loans = |held: &Held, _: usize| {
        let lent: usize = held.iter().map(|h| h.len().saturating_sub(WINDOW)).sum();
        lent < usize::from(SLOTS) - BASE - WINDOW * 2
    };
    assert_eq!(broken_states(by_loans), 0);
}

// ---------------------------------------------------------------- states of clients

fn world_with_a_client() -> (World, ClientId) {
    let mut world = World::new(2, 2, None, 0);
    world.take(Step::Connect);
    let id = world.id(0).unwrap();
    (world, id)
}

fn state(world: &World) -> ClientState {
    world.server.snapshot(world.now).clients[0].state
}

#[test]
fn a_client_that_frames_pass_by_stalls_resumes_and_is_evicted_in_time() {
    let (mut world, id) = world_with_a_client();
    for _ in 0..2 {
        world.take(Step::Publish);
    }
    while world.transmit(id) {}
    assert_eq!(state(&world), ClientState::Saturated);
    // Nothing passes it by: it may hold what it has as long as it likes.
    assert_eq!(world.server.poll_timeout(), None);
    world.now += 100 * SECOND;
    world.take(Step::Publish);
    let since = world.now;
    assert_eq!(world.server.poll_timeout(), Some(since + 2 * SECOND));
    world.server.handle_timeout(since + SECOND);
    assert_eq!(world.server.poll_change(), None);
    world.now = since + 2 * SECOND;
    world.server.handle_timeout(world.now);
    assert_eq!(world.server.poll_change(), Some(Change::Stalled(id)));
    assert_eq!(state(&world), ClientState::Stalled);
    assert_eq!(world.server.poll_timeout(), Some(since + 10 * SECOND));

    let offset = world.clients.get_mut(&id).unwrap().has.remove(0);
    world.server.handle_ack(id, offset, world.now).unwrap();
    assert_eq!(world.server.poll_change(), Some(Change::Resumed(id)));
    // It has the newest now, and holds its window again.
    assert_eq!(state(&world), ClientState::Saturated);
    assert_eq!(world.server.poll_timeout(), None);

    world.take(Step::Publish);
    world.now += 10 * SECOND;
    world.server.handle_timeout(world.now);
    assert_eq!(world.server.poll_change(), Some(Change::Stalled(id)));
    let expected = Eviction {
        id,
        why: Why::Stalled,
        quarantined: true,
    };
    assert_eq!(world.server.poll_evicted(), Some(expected));
    assert_eq!(world.server.client_count(), 0);
    assert_eq!(state(&world), ClientState::Evicted);
}

#[test]
fn what_an_evicted_client_holds_is_not_written_until_it_lets_go_or_the_area_is_old() {
    for lets_go in [true, false] {
        let (mut world, id) = world_with_a_client();
        for _ in 0..2 {
            world.take(Step::Publish);
            while world.transmit(id) {}
        }
        let held: Vec<_> = world.server.held(id).copied().collect();
        assert!(world.server.handle_evict(id, Why::Asked));
        assert!(!world.server.handle_evict(id, Why::Asked), "twice");
        assert_eq!(world.server.snapshot(world.now).slots_quarantined, 2);
        world.take(Step::Connect);
        let other = world.id(1).unwrap();
        for _ in 0..20 {
            let Admission::Claimed(claim) = world.server.admit(1, None) else {
                // A third of the slots is in quarantine.
                break;
            };
            assert!(held.iter().all(|held| held.slot != claim.slot));
            world.server.handle_claim_dropped(&claim);
        }
        if lets_go {
            for frame in &held {
                world
                    .server
                    .handle_ack(id, frame.offset, world.now)
                    .unwrap();
            }
        } else {
            world.new_area(1000);
            let freed: Vec<_> = std::iter::from_fn(|| world.server.poll_freed()).collect();
            for frame in &held {
                assert!(
                    freed
                        .iter()
                        .all(|(_, bytes)| !bytes.contains(&frame.offset))
                );
            }
        }
        assert_eq!(world.server.poll_forgotten(), Some(id));
        assert_eq!(world.server.snapshot(world.now).slots_quarantined, 0);
        assert_eq!(world.server.client_count(), 1);
        assert_eq!(world.server.snapshot(world.now).clients[0].id, other);
    }
}

#[test]
fn a_place_in_quarantine_is_free_in_a_fresh_area() {
    let (mut world, id) = world_with_a_client();
    world.take(Step::Connect);
    world.take(Step::Publish);
    while world.transmit(id) {}
    assert!(world.server.handle_evict(id, Why::Asked));
    // It holds one slot of six, but its place as well.
    let connect = |world: &mut World| world.server.handle_connect(Peer::default(), world.now);
    assert_eq!(connect(&mut world), Err(Refusal::Full));
    assert_eq!(world.server.admit(1, None), Admission::NeedsFreshArea);
    world.new_area(1000);
    assert_ne!(connect(&mut world), Err(Refusal::Full));
}

#[test]
fn nothing_is_wanted_for_a_client_that_was_evicted_before_it_had_its_share() {
    let mut world = World::new(4, 2, None, 0);
    world.take(Step::Connect);
    world.take(Step::Connect);
    // An area with memory for one window.
    world.new_area(1000);
    world.take(Step::Publish);
    let second = world.id(1).unwrap();
    while world.transmit(second) {}
    let last = world.server.last_in_line();
    assert!(last.is_some());
    let held: Vec<_> = world.server.held(second).copied().collect();
    assert!(world.server.handle_evict(second, Why::Asked));
    // Its frame is still to come back: nobody else has to go for want of memory.
    assert_eq!(world.server.last_in_line(), None);
    for frame in held {
        world
            .server
            .handle_ack(second, frame.offset, world.now)
            .unwrap();
    }
    while let Some((layout, slot)) = world.server.slot_wanted(0) {
        // Whoever asks for memory must be one that could be parted with if there is none.
        assert!(world.server.last_in_line().is_some());
        assert!(world.server.handle_reserved(layout.generation, slot));
    }
}

#[test]
fn the_surplus_is_lent_and_comes_back() {
    let mut world = World::new(2, 2, Some(9), 0);
    world.take(Step::Connect);
    world.take(Step::Connect);
    let [greedy, healthy] = [0, 1].map(|index| world.id(index).unwrap());
    for _ in 0..10 {
        world.take(Step::Publish);
        while world.transmit(greedy) || world.transmit(healthy) {}
        while !world.clients[&healthy].has.is_empty() {
            world.take(Step::Ack(1, 0));
        }
        world.take(Step::Reserve);
    }
    // Its window of two, and the three that nobody is guaranteed.
    assert_eq!(world.server.held(greedy).count(), 5);
    assert_eq!(world.server.snapshot(world.now).slots_lent, 3);
    assert_eq!(world.clients[&healthy].last, 10);
    while !world.clients[&greedy].has.is_empty() {
        world.take(Step::Ack(0, 0));
        while world.transmit(greedy) {}
    }
    assert_eq!(world.server.snapshot(world.now).slots_lent, 0);
    assert_eq!(
        world.clients[&greedy].last, 10,
        "the newest came with an ack"
    );
}

#[test]
fn without_a_mailbox_a_full_window_waits_for_the_next_frame() {
    let (mut world, id) = world_with_a_client();
    world.server.set_mailbox(false);
    for _ in 0..5 {
        world.take(Step::Publish);
    }
    while world.transmit(id) {}
    world.take(Step::Ack(0, 0));
    assert!(!world.transmit(id), "nothing was kept for it");
    world.take(Step::Publish);
    while world.transmit(id) {}
    assert_eq!(world.clients[&id].last, 6);
}

#[test]
fn histograms_know_their_quantiles_to_a_quarter() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.quantile(500), Duration::ZERO);
    for microseconds in 1..=1000 {
        histogram.record(Duration::from_micros(microseconds));
    }
    for per_mille in [1, 10, 500, 990, 1000] {
        let exact = Duration::from_micros(per_mille);
        let found = histogram.quantile(per_mille);
        assert!(
            (exact..=exact + exact / 4).contains(&found),
            "{per_mille}: {found:?}"
        );
    }
    assert_eq!(histogram.max(), Duration::from_millis(1));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.quantile(0), Duration::from_nanos(1024));
}
