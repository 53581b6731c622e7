//! Controls on their way to the camera. None is lost: each is pending, with a request that the camera has, was applied, or was given up.
//!
//! What a request could not bring there (it was refused, or given back unfilled) is pending again, unless the control has been set anew since.
//!
//! A camera gives back unfilled each request that brings a control which its driver refuses. So what came back goes again behind what did not, and
//! each alone, which separates the refused ones from the others; one that comes back [`TRIES`] times is given up, and told.
//!
//! A still brings controls for its request alone; the next request brings back what stood before. They are not tried again.

use crate::camera::{ControlId, ControlValue, Controls};
use crate::sync::Arc;
use std::collections::{BTreeMap, BTreeSet};

/// How often a control may come back.
pub const TRIES: u32 = 3;

#[derive(Clone, Debug, Default)]
pub struct ControlQueue {
    pending: Controls,
    /// How often those came back that did, since they were set.
    setbacks: BTreeMap<ControlId, u32>,
    /// Given up, and not told yet.
    refused: Vec<ControlId>,
    /// How many loads were taken.
    loads: u64,
    /// The last load that each control was in.
    last: BTreeMap<ControlId, u64>,
    /// What was last set.
    standing: Controls,
    /// What was given up since.
    given_up: BTreeSet<ControlId>,
    pub counters: ControlCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounters {
    /// Values that were set, also those that a later one has replaced before they went to the camera.
    pub set: u64,
    /// Values that a request has brought to the camera.
    pub applied: u64,
}

/// What one request brings.
#[derive(Clone, Debug)]
pub struct Load {
    number: u64,
    pub controls: Arc<Controls>,
}

/// Controls for one request alone, and what those that are to be restored are with the next one, unless something else was set.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    pub controls: &'a Controls,
    pub restore: &'a Controls,
}

impl ControlQueue {
    pub fn set(&mut self, controls: impl IntoIterator<Item = (ControlId, ControlValue)>) {
        for (id, value) in controls {
            self.counters.set += 1;
            self.setbacks.remove(&id);
            self.given_up.remove(&id);
            self.standing.set(id, value.clone());
            self.pending.set(id, value);
        }
    }

    /// What the next request is to bring: what is pending, and over it what holds for this request alone.
    pub fn take(&mut self, passing: Option<Passing<'_>>) -> Option<Load> {
        let mut controls = self.take_due();
        self.loads += 1;
        for (id, _) in controls.iter() {
            self.last.insert(id, self.loads);
        }
        for (id, value) in passing.iter().flat_map(|passing| passing.controls.iter()) {
            let restore = passing.and_then(|passing| passing.restore.get(id));
            let restore = restore.filter(|_| !self.given_up.contains(&id));
            let restore = restore.map(|restore| self.standing.get(id).unwrap_or(restore));
            let before = controls.get(id).or(restore).cloned();
            if let Some(before) = before.filter(|_| self.pending.get(id).is_none()) {
                self.pending.set(id, before);
            }
            controls.set(id, value.clone());
        }
        (!controls.is_empty()).then(|| Load {
            number: self.loads,
            controls: Arc::new(controls),
        })
    }

    /// Everything that is pending and has not come back yet, otherwise what came back least, alone.
    fn take_due(&mut self) -> Controls {
        let setbacks = |id: ControlId| self.setbacks.get(&id).copied().unwrap_or_default();
        let pending = self.pending.iter().map(|(id, _)| id);
        let Some(least) = pending.min_by_key(|id| setbacks(*id)) else {
            return Controls::default();
        };
        if setbacks(least) == 0 {
            let all = std::mem::take(&mut self.pending).into_iter();
            let (fresh, others) = all.partition(|(id, _)| !self.setbacks.contains_key(id));
            self.pending = others;
            fresh
        } else {
            let alone = self.pending.remove(least);
            alone.map(|value| (least, value)).into_iter().collect()
        }
    }

    /// What was set and has not reached the camera. What was to be restored is nobody's wish.
    pub fn take_pending(&mut self) -> Controls {
        let pending = std::mem::take(&mut self.pending).into_iter();
        pending
            .filter(|(id, _)| self.standing.get(*id).is_some())
            .collect()
    }

    /// A control that was given up; each is told once.
    pub fn poll_refused(&mut self) -> Option<ControlId> {
        self.refused.pop()
    }

    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    pub fn applied(&mut self, load: &Load) {
        self.counters.applied += load.controls.iter().count() as u64;
        for (id, _) in self.newest(load) {
            self.setbacks.remove(&id);
        }
    }

    /// The camera did not take the request.
    pub fn give_back(&mut self, load: &Load) {
        let newest = self.newest(load);
        self.pending.extend(newest);
    }

    /// The camera gave the request back unfilled, perhaps because of what it brought.
    pub fn set_back(&mut self, load: &Load) {
        let alone = load.controls.iter().count() == 1;
        for (id, value) in self.newest(load) {
            let setbacks = self.setbacks.entry(id).or_default();
            *setbacks += 1;
            if alone && *setbacks >= TRIES {
                self.setbacks.remove(&id);
                self.given_up.insert(id);
                self.refused.push(id);
            } else {
                self.pending.set(id, value);
            }
        }
    }

    /// Those of a load that were not set anew since. What a still has brought is none of them: it was never the control's last load, or what is to
    /// follow it is pending.
    fn newest(&self, load: &Load) -> Controls {
        let stands = |id: ControlId| {
            self.last.get(&id) == Some(&load.number) && self.pending.get(id).is_none()
        };
        let all = load.controls.iter();
        all.filter(|(id, _)| stands(*id))
            .map(|(id, value)| (id, value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::camera::Scalar;

    const A: ControlId = ControlId(1);
    const B: ControlId = ControlId(2);

    fn value(value: i32) -> ControlValue {
        ControlValue::One(Scalar::I32(value))
    }

    fn pending(queue: &mut ControlQueue) -> Vec<(ControlId, ControlValue)> {
        queue.take(None).map_or_else(Vec::new, |load| {
            load.controls
                .iter()
                .map(|(id, value)| (id, value.clone()))
                .collect()
        })
    }

    #[test]
    fn a_request_brings_the_last_value_of_each() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1)), (B, value(2)), (A, value(3))]);
        assert_eq!(pending(&mut queue), [(A, value(3)), (B, value(2))]);
        assert!(queue.take(None).is_none());
        assert_eq!(queue.counters.set, 3);
    }

    #[test]
    fn what_was_not_brought_is_pending_again() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1)), (B, value(2))]);
        let load = queue.take(None).unwrap();
        queue.set([(B, value(5))]);
        queue.give_back(&load);
        assert_eq!(pending(&mut queue), [(A, value(1)), (B, value(5))]);
    }

    #[test]
    fn a_control_that_comes_back_does_not_keep_others_away_and_is_given_up() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1)), (B, value(2))]);
        let mut brought = Vec::new();
        // The camera refuses whatever brings A.
        while let Some(load) = queue.take(None) {
            let ids: Vec<ControlId> = load.controls.iter().map(|(id, _)| id).collect();
            if ids.contains(&A) {
                queue.set_back(&load);
            } else {
                queue.applied(&load);
            }
            brought.push(ids);
        }
        assert_eq!(brought, [vec![A, B], vec![A], vec![B], vec![A]]);
        assert_eq!(queue.poll_refused(), Some(A));
        assert_eq!(queue.poll_refused(), None);
        queue.set([(A, value(1))]);
        assert!(queue.take(None).is_some(), "set anew, it is tried anew");
    }

    #[test]
    fn what_is_set_later_overtakes_what_came_back() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1))]);
        let load = queue.take(None).unwrap();
        queue.set_back(&load);
        queue.set([(B, value(2))]);
        assert_eq!(pending(&mut queue), [(B, value(2))]);
        assert_eq!(pending(&mut queue), [(A, value(1))]);
    }

    fn for_one_request(
        queue: &mut ControlQueue,
        controls: &[(ControlId, ControlValue)],
        restore: &[(ControlId, ControlValue)],
    ) -> Load {
        let (controls, restore) = (controls.iter().cloned(), restore.iter().cloned());
        queue
            .take(Some(Passing {
                controls: &controls.collect(),
                restore: &restore.collect(),
            }))
            .unwrap()
    }

    #[test]
    fn what_holds_for_one_request_is_undone_by_the_next() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1))]);
        queue.take(None);
        let (passing, default) = (
            [(A, value(8)), (B, value(9))],
            [(A, value(0)), (B, value(0))],
        );
        let load = for_one_request(&mut queue, &passing, &default);
        assert_eq!(*load.controls, passing.into_iter().collect());
        assert_eq!(
            pending(&mut queue),
            [(A, value(1)), (B, value(0))],
            "what was set, or else what the camera had"
        );
    }

    #[test]
    fn what_is_set_beside_it_is_not_lost_by_it() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1)), (B, value(2))]);
        let load = for_one_request(&mut queue, &[(A, value(8))], &[]);
        let brought = [(A, value(8)), (B, value(2))].into_iter().collect();
        assert_eq!(*load.controls, brought);
        queue.set_back(&load);
        assert_eq!(pending(&mut queue), [(A, value(1))]);
        assert_eq!(pending(&mut queue), [(B, value(2))], "it came back");
        let load = for_one_request(&mut queue, &[(A, value(8))], &[]);
        queue.set([(A, value(5))]);
        queue.set_back(&load);
        assert_eq!(pending(&mut queue), [(A, value(5))]);
        assert!(queue.take(None).is_none());
    }

    #[test]
    fn a_value_that_came_later_is_not_undone() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1))]);
        let early = queue.take(None).unwrap();
        queue.set([(A, value(2))]);
        let late = queue.take(None).unwrap();
        queue.applied(&late);
        queue.give_back(&early);
        assert!(queue.take(None).is_none());
        assert_eq!(queue.counters.applied, 1);
    }
}
