//! The pure server and the wire: golden bytes, every cut of a message, hostile acks, and random histories against a model.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gstlibcamerars::os::copy::{LARGE, copy};
use gstlibcamerars::shm::{
    client::{ClientId, Peer},
    layout::{Layout, LayoutError, Limits, MAX_AREAS, RESERVE},
    server::{Admission, Eviction, Refusal, Server, UnknownAck, Why},
    snapshot::ClientState,
    wire::{AckParser, MESSAGE_SIZE, Message, NotAnAck},
};
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(1);

fn limits(window: usize, max_clients: usize) -> Limits {
    Limits {
        window,
        max_clients,
        area_size: None,
        upstream: 0,
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn ack(area: u32, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&4u32.to_ne_bytes());
    bytes.extend_from_slice(&area.to_ne_bytes());
    bytes.extend_from_slice(&offset.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

// ---------------------------------------------------------------- wire

#[test]
#[cfg(target_endian = "little")]
fn messages_are_the_stock_elements_bytes() {
    // The greeting of a stock shmsink with its default 64 MiB, as seen on the wire.
    let mut greeting = vec![
        1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0,
    ];
    greeting.extend_from_slice(b"/shmpipe.26988.    0\0");
    let message = Message::NewArea {
        generation: 1,
        length: 64 << 20,
        name: "/shmpipe.26988.    0",
    };
    assert_eq!(encoded(&message), greeting);
    assert_eq!(
        encoded(&Message::CloseArea { generation: 7 }),
        [
            2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(
        encoded(&Message::NewBuffer {
            generation: 2,
            offset: 0x0102_0304_0506,
            size: 6_240_000
        }),
        [
            3, 0, 0, 0, 2, 0, 0, 0, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0x37, 0x5f, 0, 0, 0, 0, 0
        ]
    );
}

#[test]
fn acks_are_parsed_however_they_are_cut() {
    let stream: Vec<u8> = [ack(1, 4096), ack(9, 0), ack(2, u64::MAX)].concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut parser = AckParser::default();
            let mut offsets = Vec::new();
            for mut piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                while let Some(ack) = parser.next(&mut piece).unwrap() {
                    offsets.push(ack.offset);
                }
            }
            assert_eq!(offsets, [4096, 0, u64::MAX], "cut at {first} and {second}");
        }
    }
}

#[test]
fn no_prefix_of_an_ack_is_one() {
    let message = ack(1, 77);
    for length in 0..MESSAGE_SIZE {
        let mut parser = AckParser::default();
        assert_eq!(parser.next(&mut &message[..length]), Ok(None));
    }
}

#[test]
fn every_other_type_is_an_error() {
    for kind in [0u32, 1, 2, 3, 5, 0x0400_0000, u32::MAX] {
        let mut message = ack(1, 0);
        message[..4].copy_from_slice(&kind.to_ne_bytes());
        assert_eq!(
            AckParser::default().next(&mut message.as_slice()),
            Err(NotAnAck { kind })
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_client_upset_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut parser = AckParser::default();
        let mut rest = bytes.as_slice();
        while let Ok(Some(_)) = parser.next(&mut rest) {}
    }
}

// ---------------------------------------------------------------- copy

#[test]
fn large_frames_are_copied_whole_wherever_they_lie() {
    let noise: Vec<u8> = (0..LARGE + 200)
        .map(|byte| (byte * 31 + byte / 251) as u8)
        .collect();
    for (from, to, size) in [
        (0, 0, LARGE),
        (1, 0, LARGE + 63),
        (0, 7, LARGE + 1),
        (3, 15, LARGE + 100),
        (0, 1, LARGE - 1),
        (5, 3, 0),
    ] {
        let mut target = vec![0; LARGE + 200];
        copy(&mut target[to..to + size], &noise[from..from + size]);
        assert!(target[to..to + size] == noise[from..from + size]);
        assert!(target[..to].iter().all(|byte| *byte == 0));
        assert!(target[to + size..].iter().all(|byte| *byte == 0));
    }
}

// ---------------------------------------------------------------- layout

#[test]
fn areas_that_live_together_share_no_offset() {
    let limits = limits(4, 4);
    let mut seen = BTreeSet::new();
    for colour in 0..MAX_AREAS {
        // Of different sizes, so that the strides differ.
        let layout = Layout::new(1, colour, 100_000 + colour as u64 * 1000, &limits).unwrap();
        assert_eq!(layout.stride % 65536, 0);
        for slot in 0..layout.slots {
            let offset = layout.offset(slot);
            assert_eq!(offset % 4096, 0);
            assert!(offset + layout.capacity <= layout.bytes_of(slot + 1));
            assert!(seen.insert(offset), "colour {colour} slot {slot}");
        }
    }
}

#[test]
fn a_bound_that_cannot_be_kept_says_what_is_needed() {
    let limits = Limits {
        window: 4,
        max_clients: 16,
        area_size: Some(64 << 20),
        upstream: 0,
    };
    let error = Layout::new(1, 0, 3_110_400, &limits).unwrap_err();
    let LayoutError::OverLimit { needed, .. } = error.clone() else {
        panic!("{error}");
    };
    assert!(error.to_string().contains(&needed.to_string()), "{error}");
    assert!(error.to_string().contains("shm-size"), "{error}");
    for colour in 0..MAX_AREAS {
        let enough = Limits {
            area_size: Some(needed),
            ..limits
        };
        assert!(Layout::new(1, colour, 3_110_400, &enough).is_ok());
    }
    assert!(matches!(
        Layout::new(1, 0, 1 << 31, &limits),
        Err(LayoutError::FrameTooLarge { .. })
    ));
}

// ---------------------------------------------------------------- server

/// A server with an area, all of its slots with memory.
fn server(limits: Limits) -> Server {
    let mut server = Server::new(limits);
    new_area(&mut server, 1000);
    server
}

fn new_area(server: &mut Server, size: u64) {
    let layout = server.plan_area(size).unwrap();
    server.handle_area(layout, "/area", layout.slots);
}

/// An area with memory behind as few slots as there may be.
fn lean_area(server: &mut Server, size: u64) -> Layout {
    let layout = server.plan_area(size).unwrap();
    let slots = server.slots_at_first(&layout);
    server.handle_area(layout, "/area", slots);
    layout
}

fn publish(server: &mut Server, size: u64) -> bool {
    match server.admit(size, None) {
        Admission::Claimed(claim) => {
            server.handle_frame_published(claim, size, NOW);
            true
        }
        Admission::NoClient => false,
        other => panic!("{other:?}"),
    }
}

fn received(server: &mut Server, id: ClientId) -> Vec<Message<'static>> {
    let mut messages = Vec::new();
    while let Some(message) = server.poll_transmit(id, NOW) {
        messages.push(match message {
            Message::NewArea {
                generation, length, ..
            } => Message::NewArea {
                generation,
                length,
                name: "",
            },
            Message::CloseArea { generation } => Message::CloseArea { generation },
            Message::NewBuffer {
                generation,
                offset,
                size,
            } => Message::NewBuffer {
                generation,
                offset,
                size,
            },
        });
    }
    messages
}

fn offsets(messages: &[Message<'_>]) -> Vec<u64> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::NewBuffer { offset, .. } => Some(*offset),
            _ => None,
        })
        .collect()
}

/// The frame's number is its size, so that a client's messages say which frames it got.
fn sizes(messages: &[Message<'_>]) -> Vec<u64> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::NewBuffer { size, .. } => Some(*size),
            _ => None,
        })
        .collect()
}

#[test]
fn nobody_there_means_no_claim() {
    let mut server = server(limits(4, 4));
    assert_eq!(server.admit(10, None), Admission::NoClient);
    assert_eq!(server.admit(u64::MAX, None), Admission::NeedsArea);
    assert_eq!(server.snapshot(NOW).counters.without_client, 1);
}

#[test]
fn a_full_window_gets_the_newest_with_the_next_ack() {
    let mut server = server(limits(2, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    let mut got = Vec::new();
    for size in 1..=10 {
        publish(&mut server, size);
        got.extend(received(&mut server, id));
    }
    assert_eq!(sizes(&got), [1, 2]);
    server.handle_ack(id, offsets(&got)[0], NOW).unwrap();
    assert_eq!(sizes(&received(&mut server, id)), [10]);
    // It has had the newest: the next ack brings nothing.
    server.handle_ack(id, offsets(&got)[1], NOW).unwrap();
    assert_eq!(received(&mut server, id), []);
    let client = &server.snapshot(NOW).clients[0];
    assert_eq!((client.sent, client.skipped, client.acked), (3, 7, 2));
}

#[test]
fn who_comes_later_neither_gets_nor_keeps_an_older_newest() {
    let mut server = server(limits(2, 2));
    let first = server.handle_connect(Peer::default(), NOW).unwrap();
    for size in 1..=3 {
        publish(&mut server, size);
    }
    let second = server.handle_connect(Peer::default(), NOW).unwrap();
    let slots = server.snapshot(NOW).slots_reserved;
    for _ in 0..3 {
        let offset = offsets(&received(&mut server, first)).pop();
        // The last time it is the first one's.
        server
            .handle_ack(first, offset.unwrap_or(4096), NOW)
            .unwrap();
    }
    assert_eq!(received(&mut server, second), []);
    assert_eq!(server.snapshot(NOW).slots_free, slots);
}

#[test]
fn areas_are_announced_before_frames_and_closed_after_them() {
    let mut server = server(limits(4, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    publish(&mut server, 1);
    let first = received(&mut server, id);
    assert!(matches!(
        first[..],
        [
            Message::NewArea { generation: 1, .. },
            Message::NewBuffer { generation: 1, .. }
        ]
    ));
    new_area(&mut server, 100_000);
    assert_eq!(received(&mut server, id), []);
    assert_eq!(server.poll_retired(), None);
    publish(&mut server, 2);
    let second = received(&mut server, id);
    assert!(matches!(
        second[..],
        [
            Message::NewArea { generation: 2, .. },
            Message::NewBuffer { generation: 2, .. }
        ]
    ));
    server.handle_ack(id, offsets(&first)[0], NOW).unwrap();
    assert_eq!(server.poll_retired(), Some(1));
    assert_eq!(
        received(&mut server, id),
        [Message::CloseArea { generation: 1 }]
    );
}

#[test]
fn acks_that_mean_nothing_are_errors_and_change_nothing() {
    let mut server = server(limits(4, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    let idle = server.snapshot(NOW).slots_free;
    publish(&mut server, 1);
    let Admission::Claimed(next) = server.admit(1, None) else {
        panic!();
    };
    // Promised, but not sent yet.
    assert!(server.handle_ack(id, 4096, NOW).is_err());
    let offset = offsets(&received(&mut server, id))[0];
    assert_eq!(offset, 4096);
    for wrong in [0, 1, next.offset, u64::MAX] {
        assert!(server.handle_ack(id, wrong, NOW).is_err(), "{wrong}");
    }
    server.handle_claim_dropped(&next);
    server.handle_ack(id, offset, NOW).unwrap();
    assert!(server.handle_ack(id, offset, NOW).is_err());
    server.handle_disconnect(id);
    assert_eq!(server.handle_ack(id, offset, NOW), Ok(()));
    assert_eq!(server.snapshot(NOW).slots_free, idle);
}

#[test]
fn admission_needs_room_and_memory() {
    let limits = limits(4, 2);
    let mut server = Server::new(limits);
    let layout = server.plan_area(1000).unwrap();
    server.handle_area(layout, "/a", RESERVE + 4);
    server.handle_connect(Peer::default(), NOW).unwrap();
    for slot in RESERVE + 4..RESERVE + 8 {
        assert_eq!(
            server.handle_connect(Peer::default(), NOW),
            Err(Refusal::NeedsSlots)
        );
        assert_eq!(server.slot_wanted(1), Some((layout, slot)));
        assert!(!server.handle_reserved(layout.generation + 1, slot));
        assert!(server.handle_reserved(layout.generation, slot));
        assert!(!server.handle_reserved(layout.generation, slot), "twice");
    }
    server.handle_connect(Peer::default(), NOW).unwrap();
    assert_eq!(
        server.handle_connect(Peer::default(), NOW),
        Err(Refusal::Full)
    );
}

#[test]
fn a_new_area_serves_everybody_as_far_as_it_has_memory_and_the_healthy_first() {
    let mut server = server(limits(4, 3));
    let [stuck, first, second] =
        [(); 3].map(|()| server.handle_connect(Peer::default(), NOW).unwrap());
    let mut next = 0;
    let mut pass = |server: &mut Server, frames: u64| {
        for _ in 0..frames {
            next += 1;
            assert!(publish(server, next));
            for healthy in [first, second] {
                let got = received(server, healthy);
                assert_eq!(sizes(&got), [next]);
                server.handle_ack(healthy, offsets(&got)[0], NOW).unwrap();
            }
        }
    };
    pass(&mut server, 10);
    assert_eq!(sizes(&received(&mut server, stuck)), [1, 2, 3, 4]);
    let layout = lean_area(&mut server, 100_000);
    let shares = |server: &Server| -> Vec<usize> {
        let clients = server.snapshot(NOW).clients;
        clients.iter().map(|client| client.share).collect()
    };
    assert_eq!(shares(&server), [0, 2, 2]);
    assert_eq!(server.last_in_line(), Some(stuck));
    pass(&mut server, 10);
    for slot in RESERVE + 4..RESERVE + 12 {
        assert_eq!(server.slot_wanted(0), Some((layout, slot)));
        assert!(server.handle_reserved(layout.generation, slot));
        pass(&mut server, 1);
    }
    assert_eq!(server.slot_wanted(0), None);
    assert_eq!(server.last_in_line(), None);
    assert_eq!(shares(&server), [4, 4, 4]);
    server.handle_disconnect(stuck);
    let last = server.snapshot(NOW);
    assert_eq!(last.slots_free, last.slots_reserved);
}

#[test]
fn a_closed_area_gives_back_what_nobody_holds() {
    let mut server = server(limits(4, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    publish(&mut server, 1);
    let held = offsets(&received(&mut server, id))[0];
    let slots = server.snapshot(NOW).slots_total;
    server.close_area();
    let freed: Vec<_> = std::iter::from_fn(|| server.poll_freed()).collect();
    assert_eq!(freed.len(), slots - 1);
    assert!(freed.iter().all(|(_, bytes)| !bytes.contains(&held)));
    assert_eq!(server.admit(1, None), Admission::NeedsArea);
    assert_eq!(server.slot_wanted(1), None);
    assert!(!server.handle_reserved(1, slots));
    // Nobody has to wait for memory that nothing is known of yet.
    server.handle_connect(Peer::default(), NOW).unwrap();
    server.handle_ack(id, held, NOW).unwrap();
    assert_eq!(server.poll_retired(), Some(1));
    assert_eq!(server.snapshot(NOW).shm_bytes, 0);
    new_area(&mut server, 1000);
    assert!(publish(&mut server, 2));
    let got = received(&mut server, id);
    assert_eq!(sizes(&got), [2]);
}

#[test]
fn a_bound_that_is_set_while_an_area_is_made_is_heeded_by_the_next() {
    let mut server = server(limits(4, 2));
    server.handle_connect(Peer::default(), NOW).unwrap();
    let layout = server.plan_area(2000).unwrap();
    server.set_area_size(Some(layout.length() * 2));
    server.handle_area(layout, "/area", layout.slots);
    assert_eq!(server.admit(1, None), Admission::NeedsFreshArea);
    new_area(&mut server, 2000);
    assert!(publish(&mut server, 1));
}

#[test]
fn who_was_evicted_may_ack_what_it_was_told_of_and_no_more() {
    let mut server = server(limits(4, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    for _ in 0..2 {
        publish(&mut server, 1);
    }
    let old = offsets(&received(&mut server, id));
    new_area(&mut server, 1000);
    publish(&mut server, 1);
    let current = offsets(&received(&mut server, id));
    assert!(server.handle_evict(id, Why::Asked));
    // Two of the old area are lost, and the one of the current area is in quarantine.
    for offset in &old {
        assert_eq!(server.handle_ack(id, *offset, NOW), Ok(()));
    }
    let offset = old[0];
    assert_eq!(
        server.handle_ack(id, offset, NOW),
        Err(UnknownAck { offset })
    );
    assert_eq!(server.handle_ack(id, current[0], NOW), Ok(()));
    assert_eq!(server.poll_forgotten(), Some(id));
}

#[test]
fn so_many_changes_of_size_that_offsets_would_repeat_evict_who_holds_the_oldest() {
    let mut server = server(limits(64, 2));
    let stuck = server.handle_connect(Peer::default(), NOW).unwrap();
    let healthy = server.handle_connect(Peer::default(), NOW).unwrap();
    let mut evicted = Vec::new();
    for change in 0..40 {
        publish(&mut server, 10);
        received(&mut server, stuck);
        for offset in offsets(&received(&mut server, healthy)) {
            server.handle_ack(healthy, offset, NOW).unwrap();
        }
        new_area(&mut server, 1000 + change);
        assert!(server.snapshot(NOW).areas_retired < MAX_AREAS - 1);
        evicted.extend(std::iter::from_fn(|| server.poll_evicted()));
    }
    assert_eq!(
        evicted,
        [Eviction {
            id: stuck,
            why: Why::TooManyAreas,
            quarantined: false
        }]
    );
    // It may still look at what it holds: none of that is given back, and nobody waits for it either. It is given nothing more.
    let freed: Vec<_> = std::iter::from_fn(|| server.poll_freed()).collect();
    assert!(!freed.contains(&(1, 0..65536)), "{freed:?}");
    assert_eq!(server.client_count(), 1);
    assert_eq!(server.snapshot(NOW).areas_retired, 0);
    assert_eq!(received(&mut server, stuck), []);
    assert_eq!(server.handle_ack(stuck, 0, NOW), Ok(()));
}

#[test]
fn a_frame_that_is_held_through_many_changes_of_size_keeps_its_offset_to_itself() {
    let mut server = server(limits(4, 2));
    let id = server.handle_connect(Peer::default(), NOW).unwrap();
    publish(&mut server, 1);
    let kept = offsets(&received(&mut server, id))[0];
    for change in 0..100 {
        new_area(&mut server, 1000 + change);
        publish(&mut server, 10);
        let offset = offsets(&received(&mut server, id))[0];
        assert_ne!(offset, kept, "change {change}");
        server.handle_ack(id, offset, NOW).unwrap();
    }
    assert_eq!(server.poll_evicted(), None);
    server.handle_ack(id, kept, NOW).unwrap();
    assert_eq!(server.snapshot(NOW).areas_retired, 0);
}

// ---------------------------------------------------------------- random histories

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
            match self.server.handle_connect(Peer::default(), NOW) {
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
