//! The server: who gets which frame, what acks mean, and what becomes of areas.

use gstlibcamerars::shm::{
    client::{ClientId, Facts},
    layout::{Limits, MAX_AREAS, RESERVE},
    server::{Admission, Eviction, Refusal, Server, UnknownAck, Why},
    wire::Message,
};

use super::{NOW, lean_area, limits};

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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
    let first = server.handle_connect(Facts::default(), NOW).unwrap();
    for size in 1..=3 {
        publish(&mut server, size);
    }
    let second = server.handle_connect(Facts::default(), NOW).unwrap();
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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
    server.handle_connect(Facts::default(), NOW).unwrap();
    for slot in RESERVE + 4..RESERVE + 8 {
        assert_eq!(
            server.handle_connect(Facts::default(), NOW),
            Err(Refusal::NeedsSlots)
        );
        assert_eq!(server.slot_wanted(1), Some((layout, slot)));
        assert!(!server.handle_reserved(layout.generation + 1, slot));
        assert!(server.handle_reserved(layout.generation, slot));
        assert!(!server.handle_reserved(layout.generation, slot), "twice");
    }
    server.handle_connect(Facts::default(), NOW).unwrap();
    assert_eq!(
        server.handle_connect(Facts::default(), NOW),
        Err(Refusal::Full)
    );
}

#[test]
fn a_new_area_serves_everybody_as_far_as_it_has_memory_and_the_healthy_first() {
    let mut server = server(limits(4, 3));
    let [stuck, first, second] =
        [(); 3].map(|()| server.handle_connect(Facts::default(), NOW).unwrap());
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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
    server.handle_connect(Facts::default(), NOW).unwrap();
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
    server.handle_connect(Facts::default(), NOW).unwrap();
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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
    let stuck = server.handle_connect(Facts::default(), NOW).unwrap();
    let healthy = server.handle_connect(Facts::default(), NOW).unwrap();
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
    let id = server.handle_connect(Facts::default(), NOW).unwrap();
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
