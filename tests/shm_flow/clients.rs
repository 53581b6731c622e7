//! The states that a client goes through, and what it is given in each.

use gstlibcamerars::shm::{
    client::{ClientId, Facts},
    server::{Admission, Change, Eviction, Refusal, Why},
    snapshot::ClientState,
};

use super::{
    SECOND,
    world::{Step, World},
};

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
    let connect = |world: &mut World| world.server.handle_connect(Facts::default(), world.now);
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
