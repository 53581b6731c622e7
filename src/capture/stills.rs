//! Stills: pictures that somebody asks for while other streams go on. Each goes with one request, in the order in which they were asked for, and
//! brings controls for that request alone. Of each that was taken on there is one outcome for each stream that it is of: done when the stream's thread
//! pushes the frame, or why it will not.

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

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StillFailure {
    #[error("the camera gave the frame back unfilled; a control that it refuses may be why")]
    Unfilled,
    #[error(
        "the stream has ended, or the camera was stopped or configured anew; ask again when it streams"
    )]
    Ended,
    #[error("the pad was released or takes no more frames")]
    PadGone,
    #[error(
        "it was taken, and dropped before it was pushed: by a flush, a pause, or a newer one (outbox=latest)"
    )]
    Dropped,
}

/// What became of one stream's frame of a still: there is one of these for each of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StillOutcome {
    pub id: StillId,
    pub stream: usize,
    /// The frame's sequence number.
    pub result: Result<u32, StillFailure>,
}

/// Those that wait for their request, and what has become of others.
#[derive(Clone, Debug, Default)]
pub struct Stills {
    waiting: VecDeque<Still>,
    outcomes: VecDeque<StillOutcome>,
}

/// The streams of a set, by their places.
pub fn streams(set: &StreamSet) -> impl Iterator<Item = usize> {
    let places = set.iter().enumerate();
    places.filter_map(|(place, wanted)| wanted.then_some(place))
}

impl Stills {
    pub fn add(&mut self, stills: impl IntoIterator<Item = Still>) {
        self.waiting.extend(stills);
    }

    /// The place of the one that goes next: the first whose streams have a frame, and are not those of one that has waited longer.
    pub fn ready(&self, has_frame: impl Fn(usize) -> bool) -> Option<usize> {
        let mut waited_for = StreamSet::default();
        self.waiting.iter().position(|still| {
            let is_ready = streams(&still.streams)
                .all(|stream| has_frame(stream) && waited_for.get(stream) == Some(&false));
            for (waited_for, wanted) in waited_for.iter_mut().zip(still.streams) {
                *waited_for |= wanted;
            }
            is_ready
        })
    }

    pub fn get(&self, place: usize) -> Option<&Still> {
        self.waiting.get(place)
    }

    pub fn take(&mut self, place: usize) -> Option<Still> {
        self.waiting.remove(place)
    }

    /// Whether one waits for a frame of this stream.
    pub fn wants(&self, stream: usize) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|still| still.streams.get(stream) == Some(&true))
    }

    pub fn conclude(&mut self, id: StillId, stream: usize, result: Result<u32, StillFailure>) {
        self.outcomes.push_back(StillOutcome { id, stream, result });
    }

    /// A still will have no frame of any of its streams.
    pub fn fail(&mut self, still: &Still, why: StillFailure) {
        for stream in streams(&still.streams) {
            self.conclude(still.id, stream, Err(why));
        }
    }

    /// Those that wait will have no request.
    pub fn fail_all(&mut self, why: StillFailure) {
        for still in std::mem::take(&mut self.waiting) {
            self.fail(&still, why);
        }
    }

    /// Those that wait will have no frame of this stream. What they have of others, they get.
    pub fn fail_of(&mut self, stream: usize) {
        for mut still in std::mem::take(&mut self.waiting) {
            let wanted = still.streams.get_mut(stream);
            if wanted.is_some_and(std::mem::take) {
                self.conclude(still.id, stream, Err(StillFailure::PadGone));
            }
            if still.streams.contains(&true) {
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
