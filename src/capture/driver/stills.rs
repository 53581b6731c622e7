//! The driver's part in stills: which one goes with the next request, and what has become of the others.

use super::Driver;
use crate::camera::FrameSet;
use crate::capture::{
    stills::{Still, StillFailure, StillOutcome},
    stream::{Captured, Stream},
};

impl Driver {
    /// A stream's thread is about to push a still's frame.
    pub fn handle_still_delivered(&mut self, stream: usize, captured: &Captured) {
        if let Some(id) = captured.still {
            self.stills.conclude(id, stream, Ok(captured.sequence));
        }
    }

    /// It has taken the frame, and will not push it.
    pub fn handle_still_dropped(&mut self, stream: usize, captured: &Captured) {
        if let Some(id) = captured.still {
            self.stills.conclude(id, stream, Err(StillFailure::Dropped));
        }
    }

    /// Stills whose frames streams have dropped are concluded.
    pub(super) fn note_lost(&mut self) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let why = if stream.is_muted() {
                StillFailure::PadGone
            } else {
                StillFailure::Dropped
            };
            for id in stream.take_lost() {
                self.stills.conclude(id, index, Err(why));
            }
        }
    }

    /// Pictures to take of streams on demand, one after the other. False when there is no such stream, or nothing is captured any more; otherwise each
    /// has an outcome.
    pub fn handle_stills(&mut self, stills: Vec<Still>) -> bool {
        let takes = |(wanted, stream): (bool, &Stream)| {
            !wanted || (stream.is_on_demand() && !stream.is_muted())
        };
        let possible = |still: &Still| {
            let known = still.streams.iter().skip(self.streams.len());
            still.streams.contains(&true)
                && known.copied().all(|wanted| !wanted)
                && still.streams.into_iter().zip(&self.streams).all(takes)
        };
        let accepted = !self.ended && !self.failed && stills.iter().all(possible);
        if accepted {
            self.stills.add(stills);
            self.note_wanted();
        }
        accepted
    }

    /// What became of stills and was not told yet; those that the camera has still are given up. To be called when it was stopped.
    pub fn take_still_outcomes(&mut self) -> Vec<StillOutcome> {
        for request in &mut self.requests {
            if let Some(still) = request.still.take() {
                self.stills.fail(&still, StillFailure::Ended);
            }
        }
        std::iter::from_fn(|| self.stills.poll_outcome()).collect()
    }

    /// A stream on demand starves only while a still waits for it.
    pub(super) fn note_wanted(&mut self) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            stream.set_wanted(self.stills.wants(index));
        }
    }

    /// The place of the still that goes with the next request.
    pub(super) fn ready_still(&self) -> Option<usize> {
        let has_frame = |stream: usize| {
            let stream = self.streams.get(stream);
            stream.is_some_and(|stream| stream.next_free().is_some())
        };
        self.stills.ready(has_frame)
    }

    /// The frames of that still.
    pub(super) fn add_still(&self, frames: &mut FrameSet) -> bool {
        let still = self.ready_still().and_then(|place| self.stills.get(place));
        let Some(still) = still else {
            return false;
        };
        for ((stream, frame), wanted) in self.streams.iter().zip(frames).zip(still.streams) {
            if wanted {
                *frame = stream.next_free();
            }
        }
        true
    }
}
