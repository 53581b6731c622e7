//! Stills: pictures that somebody asks for while other streams go on. Each goes with one request, in the order in which they were asked for, and
//! brings controls for that request alone. Of each that was taken on there is one outcome.

use crate::camera::{Controls, MAX_STREAMS};
use std::collections::VecDeque;

/// By a stream's place.
pub type StreamSet = [bool; MAX_STREAMS];

/// One picture of those that one call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StillId {
    pub capture: u64,
    /// From 0.
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Still {
    pub id: StillId,
    /// The streams that it is a frame of.
    pub streams: StreamSet,
    /// For its request alone.
    pub controls: Controls,
    /// What those controls are again afterwards, unless the application has set them since the camera's start.
    pub restore: Controls,
}

/// Why a still was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StillFailure {
    #[error("the camera gave the frame back unfilled; a control that it refuses may be why")]
    Unfilled,
    #[error("the stream has ended, or the camera was stopped or configured anew")]
    Ended,
    #[error("the pad was released or takes no more frames")]
    PadGone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StillOutcome {
    pub id: StillId,
    pub streams: StreamSet,
    /// The frame's sequence number.
    pub result: Result<u32, StillFailure>,
}

/// Those that wait for their request, and what has become of others.
#[derive(Clone, Debug, Default)]
pub struct Stills {
    waiting: VecDeque<Still>,
    outcomes: VecDeque<StillOutcome>,
}

impl Stills {
    pub fn add(&mut self, stills: impl IntoIterator<Item = Still>) {
        self.waiting.extend(stills);
    }

    /// The one that goes next.
    pub fn next(&self) -> Option<&Still> {
        self.waiting.front()
    }

    pub fn take_next(&mut self) -> Option<Still> {
        self.waiting.pop_front()
    }

    /// Whether one waits for a frame of this stream.
    pub fn wants(&self, stream: usize) -> bool {
        let has = |still: &Still| still.streams.get(stream) == Some(&true);
        self.next().is_some_and(has)
    }

    pub fn conclude(&mut self, still: &Still, result: Result<u32, StillFailure>) {
        self.outcomes.push_back(StillOutcome {
            id: still.id,
            streams: still.streams,
            result,
        });
    }

    /// Those that wait will have no request.
    pub fn fail_all(&mut self, why: StillFailure) {
        for still in std::mem::take(&mut self.waiting) {
            self.conclude(&still, Err(why));
        }
    }

    /// Those that wait for a frame of this stream will not have one.
    pub fn fail_of(&mut self, stream: usize) {
        for still in std::mem::take(&mut self.waiting) {
            if still.streams.get(stream) == Some(&true) {
                self.conclude(&still, Err(StillFailure::PadGone));
            } else {
                self.waiting.push_back(still);
            }
        }
    }

    pub fn has_outcome(&self) -> bool {
        !self.outcomes.is_empty()
    }

    pub fn poll_outcome(&mut self) -> Option<StillOutcome> {
        self.outcomes.pop_front()
    }
}
