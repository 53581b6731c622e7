//! That the driver and the world's book agree, and what distinguishes a state from others.

use std::hash::{DefaultHasher, Hash, Hasher};

use gstlibcamerars::camera::FrameId;

use super::{World, control};

impl World {
    pub fn check(&self) {
        assert!(
            self.driver.is_consistent(),
            "a frame is in two places, or in none"
        );
        assert_eq!(
            self.driver.clone().take_controls(),
            self.control
                .pending
                .filter(|_| self.control.wanted.is_some())
                .map(control)
                .unwrap_or_default(),
            "what was set and is still to be sent"
        );
        let in_flight = self
            .camera
            .iter()
            .any(|carried| carried.control.is_some_and(|(_, newest)| newest));
        assert!(
            self.control.wanted.is_none()
                || self.control.pending == self.control.wanted
                || in_flight
                || self.control.applied
                || self.control.given_up,
            "a control is lost"
        );
        let owed = self.failures > self.reports;
        let owed = owed || self.control.untold > 0 || !self.outcomes.is_empty();
        let work = self.driver.has_work();
        assert_eq!(
            work,
            owed || self.is_queueable(),
            "work is forgotten, or made up"
        );
        for stream in 0..self.frames.len() {
            let due = !self.outbox[stream].is_empty() || self.ending;
            assert_eq!(self.driver.has_delivery(stream), due, "stream {stream}");
        }
        if self.stopped {
            for (stream, frames) in self.frames.iter().enumerate() {
                let free = (0..*frames)
                    .filter(|frame| self.is_free(stream, FrameId(*frame)))
                    .count();
                let out = self.downstream[stream].len();
                assert_eq!(
                    free + out,
                    *frames as usize,
                    "after the stop a frame is free or downstream"
                );
            }
        }
    }

    /// What matters for what may happen next: the driver and the world's book, without what only counts.
    pub fn key(&self) -> u64 {
        let mut key = format!("{self:?}");
        for (label, end) in [
            ("ounters: Counters {", '}'),
            ("ounters: RequestCounters {", '}'),
            ("ounters: ControlCounters {", '}'),
            ("loads: ", ','),
            ("number: ", ','),
            ("last: {", '}'),
            ("watch: Watch {", '}'),
            ("cancelled_in_a_row: ", ','),
        ] {
            while let Some(start) = key.find(label) {
                let length = key[start..].find([end, '}']).unwrap() + 1;
                key.replace_range(start..start + length, "");
            }
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }
}
