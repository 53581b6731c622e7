//! Every state of small servers.

use std::collections::HashSet;

use gstlibcamerars::shm::client::ClientId;

use super::world::{Step, World};

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
