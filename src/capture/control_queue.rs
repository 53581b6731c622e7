//! Controls on their way to the camera. None is lost: each is pending, with a request that the camera has, was applied, or was given up.
//!
//! What a request could not bring there (it was refused, or given back unfilled) is pending again, unless the control has been set anew since.
//!
//! A camera gives back unfilled each request that brings a control which its driver refuses. So what came back goes again behind what did not, and
//! each alone, which separates the refused ones from the others; one that comes back [`TRIES`] times is given up, and told.

use crate::camera::{ControlId, ControlValue, Controls};
use crate::sync::Arc;
use std::collections::BTreeMap;

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

impl ControlQueue {
    pub fn set(&mut self, controls: impl IntoIterator<Item = (ControlId, ControlValue)>) {
        for (id, value) in controls {
            self.counters.set += 1;
            self.setbacks.remove(&id);
            self.pending.set(id, value);
        }
    }

    /// What the next request is to bring: everything that is pending and has not come back yet, otherwise what came back least, alone.
    pub fn take(&mut self) -> Option<Load> {
        let setbacks = |id: ControlId| self.setbacks.get(&id).copied().unwrap_or_default();
        let pending = self.pending.iter().map(|(id, _)| id);
        let least = pending.min_by_key(|id| setbacks(*id))?;
        let chosen = if setbacks(least) == 0 {
            let all = std::mem::take(&mut self.pending).into_iter();
            let (fresh, others) = all.partition(|(id, _)| !self.setbacks.contains_key(id));
            self.pending = others;
            fresh
        } else {
            let alone = self.pending.remove(least);
            alone.map(|value| (least, value)).into_iter().collect()
        };
        let controls: Arc<Controls> = Arc::new(chosen);
        self.loads += 1;
        for (id, _) in controls.iter() {
            self.last.insert(id, self.loads);
        }
        Some(Load {
            number: self.loads,
            controls,
        })
    }

    pub fn take_pending(&mut self) -> Controls {
        std::mem::take(&mut self.pending)
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
                self.refused.push(id);
            } else {
                self.pending.set(id, value);
            }
        }
    }

    /// Those of a load that were not set anew since.
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
        queue.take().map_or_else(Vec::new, |load| {
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
        assert!(queue.take().is_none());
        assert_eq!(queue.counters.set, 3);
    }

    #[test]
    fn what_was_not_brought_is_pending_again() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1)), (B, value(2))]);
        let load = queue.take().unwrap();
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
        while let Some(load) = queue.take() {
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
        assert!(queue.take().is_some(), "set anew, it is tried anew");
    }

    #[test]
    fn what_is_set_later_overtakes_what_came_back() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1))]);
        let load = queue.take().unwrap();
        queue.set_back(&load);
        queue.set([(B, value(2))]);
        assert_eq!(pending(&mut queue), [(B, value(2))]);
        assert_eq!(pending(&mut queue), [(A, value(1))]);
    }

    #[test]
    fn a_value_that_came_later_is_not_undone() {
        let mut queue = ControlQueue::default();
        queue.set([(A, value(1))]);
        let early = queue.take().unwrap();
        queue.set([(A, value(2))]);
        let late = queue.take().unwrap();
        queue.applied(&late);
        queue.give_back(&early);
        assert!(queue.take().is_none());
        assert_eq!(queue.counters.applied, 1);
    }
}
