//! Random histories, against a model that keeps its book by simpler means than the server.

use std::collections::{BTreeMap, BTreeSet};

use gstlibcamerars::shm::{
    client::{ClientId, Facts},
    layout::RESERVE,
    server::{Admission, Refusal, Server},
    snapshot::ClientState,
    wire::Message,
};
use proptest::prelude::*;

use super::{NOW, lean_area, limits};

#[derive(Debug, Clone)]
enum Step {
    Connect,
    Disconnect(usize),
    Publish,
    /// A claim whose frame could not be copied.
    Abandon,
    Transmit(usize),
    Ack(usize, usize),
    BadAck(usize, u64),
    NewArea(u64),
    /// One more slot has memory.
    Reserve,
}

fn step(new_area: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Connect),
        1 => any::<usize>().prop_map(Step::Disconnect),
        12 => Just(Step::Publish),
        1 => Just(Step::Abandon),
        12 => any::<usize>().prop_map(Step::Transmit),
        12 => (any::<usize>(), any::<usize>()).prop_map(|(client, frame)| Step::Ack(client, frame)),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(client, offset)| Step::BadAck(client, offset)),
        4 => Just(Step::Reserve),
        new_area => (1u64..200_000).prop_map(Step::NewArea),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ModelFrame {
    sequence: u64,
    generation: u32,
    offset: u64,
}

/// What a client must have, kept by simpler means than the server's.
#[derive(Debug, Default)]
struct ModelClient {
    promised: Vec<ModelFrame>,
    sent: Vec<ModelFrame>,
    last: u64,
    announced: Vec<u32>,
}

struct Model {
    server: Server,
    window: usize,
    clients: BTreeMap<ClientId, ModelClient>,
    sequence: u64,
    newest: Option<ModelFrame>,
    retired: BTreeSet<u32>,
    /// What clients that were evicted had been sent. Nobody knows what they do with it.
    lost: BTreeSet<ModelFrame>,
    strides: BTreeMap<u32, u64>,
}

impl Model {
    fn pick(&self, index: usize) -> Option<ClientId> {
        let count = self.clients.len();
        (count > 0).then(|| *self.clients.keys().nth(index % count).unwrap())
    }

    fn lacks_newest(&self) -> bool {
        self.newest
            .is_some_and(|newest| self.clients.values().any(|c| c.last < newest.sequence))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect => self.connect(),
            Step::Disconnect(index) => {
                if let Some(id) = self.pick(index) {
                    self.server.handle_disconnect(id);
                    self.clients.remove(&id);
                }
            }
            Step::Publish => self.publish(),
            Step::Abandon => {
                if let Admission::Claimed(claim) = self.server.admit(1, None) {
                    self.server.handle_claim_dropped(&claim);
                }
            }
            Step::Transmit(index) => {
                if let Some(id) = self.pick(index) {
                    self.transmit(id);
                }
            }
            Step::Ack(index, frame) => {
                if let Some(id) = self.pick(index) {
                    self.ack(id, frame);
                }
            }
            Step::BadAck(index, offset) => {
                if let Some(id) = self.pick(index) {
                    let client = &self.clients[&id];
                    if client.sent.iter().all(|frame| frame.offset != offset) {
                        assert!(self.server.handle_ack(id, offset, NOW).is_err());
                    }
                }
            }
            Step::Reserve => {
                if let Some((layout, slot)) = self.server.slot_wanted(0) {
                    assert!(self.server.handle_reserved(layout.generation, slot));
                }
            }
            Step::NewArea(size) => {
                self.new_area(size);
                while let Some(eviction) = self.server.poll_evicted() {
                    assert!(!eviction.quarantined);
                    let gone = self.clients.remove(&eviction.id).unwrap();
                    self.lost.extend(gone.sent);
                }
            }
        }
        self.give_newest();
        if !self.lacks_newest() {
            self.newest = None;
        }
        while let Some(generation) = self.server.poll_retired() {
            assert!(self.retired.insert(generation), "retired twice");
        }
        while let Some((generation, bytes)) = self.server.poll_freed() {
            assert!(generation < self.server.snapshot(NOW).generation);
            let held = self.held();
            assert!(
                held.iter().all(|frame| {
                    frame.generation != generation || !bytes.contains(&frame.offset)
                })
            );
        }
    }

    fn new_area(&mut self, size: u64) {
        let layout = lean_area(&mut self.server, size);
        self.strides.insert(layout.generation, layout.stride);
        self.newest = None;
    }

    fn connect(&mut self) {
        let refusal = loop {
            match self.server.handle_connect(Facts::default(), NOW) {
                Ok(id) => return self.connected(id),
                Err(Refusal::Full) => break Refusal::Full,
                // No more than asked for, so that every claim shows that it is enough.
                Err(Refusal::NeedsSlots) => {
                    let (layout, slot) = self.server.slot_wanted(1).unwrap();
                    assert!(self.server.handle_reserved(layout.generation, slot));
                }
            }
        };
        assert_eq!(refusal, Refusal::Full);
        assert_eq!(self.clients.len(), self.server.limits().max_clients);
    }

    fn connected(&mut self, id: ClientId) {
        let client = ModelClient {
            last: self.sequence,
            ..ModelClient::default()
        };
        assert!(self.clients.insert(id, client).is_none());
    }

    fn publish(&mut self) {
        match self.server.admit(1, None) {
            Admission::NoClient => assert!(self.clients.is_empty()),
            Admission::Claimed(claim) => {
                let taken = self
                    .clients
                    .values()
                    .flat_map(|client| client.promised.iter().chain(&client.sent))
                    .chain(&self.newest)
                    .any(|frame| {
                        (frame.generation, frame.offset) == (claim.generation, claim.offset)
                    });
                assert!(!taken, "a slot that somebody refers to was claimed");
                self.sequence += 1;
                let frame = ModelFrame {
                    sequence: self.sequence,
                    generation: claim.generation,
                    offset: claim.offset,
                };
                self.server.handle_frame_published(claim, 1, NOW);
                // Whoever holds less than its window and its share gets every frame, whatever others do.
                self.newest = Some(frame);
                self.give_newest();
            }
            // With slots for everybody's window there always is one.
            other => panic!("{other:?}"),
        }
    }

    /// Nobody who has room lacks the newest frame.
    fn give_newest(&mut self) {
        let Some(newest) = self.newest else {
            return;
        };
        let shares = self.server.snapshot(NOW).clients;
        for (client, share) in self.clients.values_mut().zip(shares) {
            let held = client.promised.iter().chain(&client.sent);
            let in_area = held
                .filter(|frame| frame.generation == newest.generation)
                .count();
            let outstanding = client.promised.len() + client.sent.len();
            if client.last < newest.sequence && outstanding < self.window && in_area < share.share {
                client.promised.push(newest);
                client.last = newest.sequence;
            }
        }
    }

    fn transmit(&mut self, id: ClientId) {
        let client = self.clients.get_mut(&id).unwrap();
        let Some(message) = self.server.poll_transmit(id, NOW) else {
            assert!(client.promised.is_empty(), "a promised frame is not sent");
            return;
        };
        match message {
            Message::NewArea { generation, .. } => {
                assert!(
                    client
                        .announced
                        .last()
                        .is_none_or(|last| *last < generation)
                );
                assert_eq!(client.promised[0].generation, generation);
                assert!(!self.retired.contains(&generation));
                client.announced.push(generation);
                assert!(client.announced.len() <= self.window + 1);
            }
            Message::CloseArea { generation } => {
                assert_ne!(client.announced.last(), Some(&generation));
                assert!(client.announced.contains(&generation));
                let held = client.promised.iter().chain(&client.sent);
                assert!(held.clone().all(|frame| frame.generation != generation));
                client.announced.retain(|known| *known != generation);
            }
            Message::NewBuffer {
                generation, offset, ..
            } => {
                // In order, from the area that was announced last, and never one that is already with it.
                let frame = client.promised.remove(0);
                assert_eq!((frame.generation, frame.offset), (generation, offset));
                assert_eq!(client.announced.last(), Some(&generation));
                assert!(client.sent.iter().all(|sent| sent.offset != offset));
                assert!(
                    client
                        .sent
                        .iter()
                        .all(|sent| sent.sequence < frame.sequence)
                );
                client.sent.push(frame);
            }
        }
    }

    fn ack(&mut self, id: ClientId, index: usize) {
        let client = self.clients.get_mut(&id).unwrap();
        if client.sent.is_empty() {
            return;
        }
        let frame = client.sent.remove(index % client.sent.len());
        self.server.handle_ack(id, frame.offset, NOW).unwrap();
    }

    fn held(&self) -> Vec<ModelFrame> {
        let clients = self.clients.values();
        clients
            .flat_map(|client| client.promised.iter().chain(&client.sent))
            .chain(&self.newest)
            .copied()
            .collect()
    }

    fn check(&self) {
        let snapshot = self.server.snapshot(NOW);
        assert_eq!(snapshot.clients.len(), self.clients.len());
        let mut held = BTreeSet::new();
        for (client, model) in snapshot.clients.iter().zip(self.clients.values()) {
            let outstanding = model.promised.len() + model.sent.len();
            assert_eq!(client.outstanding, outstanding);
            assert!(outstanding <= self.window);
            assert_eq!(
                client.state == ClientState::Saturated,
                outstanding == self.window
            );
            held.extend(model.promised.iter().chain(&model.sent).copied());
        }
        // Shares are of memory that is there, and whole as soon as it suffices.
        let shares = snapshot.clients.iter().map(|client| client.share);
        let total = shares.clone().sum::<usize>();
        assert!(total + RESERVE <= snapshot.slots_reserved);
        assert!(shares.clone().all(|share| share <= self.window));
        let whole = shares.clone().all(|share| share == self.window);
        assert_eq!(whole, self.server.slot_wanted(0).is_none());
        assert_eq!(whole, self.server.last_in_line().is_none());
        // One slot at most for the newest frame, and only while somebody lacks it.
        held.extend(self.newest);
        let in_current = held
            .iter()
            .filter(|frame| frame.generation == snapshot.generation)
            .count();
        assert_eq!(snapshot.slots_free, snapshot.slots_reserved - in_current);
        let old: BTreeSet<u32> = held
            .iter()
            .map(|frame| frame.generation)
            .filter(|generation| *generation != snapshot.generation)
            .collect();
        assert_eq!(snapshot.areas_retired, old.len());
        // Memory is what the current area has and what is held or lost in others.
        let lost = self.lost.iter();
        let lost = lost.filter(|frame| !self.retired.contains(&frame.generation));
        let needed: BTreeSet<_> = held.iter().chain(lost).collect();
        // Without its first slot an old area keeps its header's page.
        let headers = old.iter().filter(|generation| {
            let stride = self.strides[generation];
            let of_it = |frame: &&&ModelFrame| frame.generation == **generation;
            let mut its = needed.iter().filter(of_it);
            its.all(|frame| frame.offset >= stride)
        });
        let headers = headers.count() as u64 * 4096;
        let bytes: u64 = needed
            .into_iter()
            .filter(|frame| frame.generation != snapshot.generation)
            .map(|frame| self.strides[&frame.generation])
            .sum();
        let current = snapshot.slots_reserved as u64 * self.strides[&snapshot.generation];
        assert_eq!(snapshot.shm_bytes, current + bytes + headers);
        assert!(old.is_disjoint(&self.retired));
        let offsets: BTreeSet<u64> = held.iter().map(|frame| frame.offset).collect();
        assert_eq!(offsets.len(), held.len(), "two frames at one offset");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_clients_do(
        window in prop_oneof![2usize..6, Just(40)],
        max_clients in 1usize..5,
        steps in prop_oneof![
            proptest::collection::vec(step(1), 1..400),
            // Areas without end, so that there are too many.
            proptest::collection::vec(step(20), 1..400),
        ],
    ) {
        let mut model = Model {
            server: Server::new(limits(window, max_clients)),
            window,
            clients: BTreeMap::new(),
            sequence: 0,
            newest: None,
            retired: BTreeSet::new(),
            lost: BTreeSet::new(),
            strides: BTreeMap::new(),
        };
        model.new_area(1000);
        for step in steps {
            model.take(step);
            model.check();
        }
        // When everybody has gone, nobody refers to anything.
        while let Some(id) = model.pick(0) {
            model.take(Step::Disconnect(0));
            prop_assert!(!model.clients.contains_key(&id));
        }
        let snapshot = model.server.snapshot(NOW);
        prop_assert_eq!(snapshot.slots_free, snapshot.slots_reserved);
        prop_assert_eq!(snapshot.areas_retired, 0);
    }
}
