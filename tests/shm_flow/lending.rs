//! The rule of lending, and the one that looks right.

use std::collections::{BTreeSet, HashSet, VecDeque};

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
