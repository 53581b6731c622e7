//! Controls on their way to the camera. None is lost: each is pending, with a request that the camera has, or was applied.
//!
//! What a request could not bring there (it was refused, or given back unfilled) is pending again, unless the control has been set anew since.

use crate::camera::{ControlId, ControlValue, Controls};
use crate::sync::Arc;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct ControlQueue {
    pending: Controls,
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
            self.pending.set(id, value);
        }
    }

    /// Everything that is pending, for the next request.
    pub fn take(&mut self) -> Option<Load> {
        if self.pending.is_empty() {
            return None;
        }
        let controls = Arc::new(std::mem::take(&mut self.pending));
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

    pub fn applied(&mut self, load: &Load) {
        self.counters.applied += load.controls.iter().count() as u64;
    }

    pub fn give_back(&mut self, load: &Load) {
        for (id, value) in load.controls.iter() {
            let newest = self.last.get(&id) == Some(&load.number);
            if newest && self.pending.get(id).is_none() {
                self.pending.set(id, value.clone());
            }
        }
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
