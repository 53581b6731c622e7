//! One stream's frames: where each is, and which wait to be taken.
//!
//! A frame goes `Free -> Queued -> Outbox -> Downstream -> Free`, or from any place straight back to `Free`; it is in exactly one.

use super::{clock_map::Timing, stills::StillId};
use crate::camera::{CompletedFrame, FrameId, FrameStatus};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Free,
    Queued,
    Outbox,
    Downstream,
}

/// What becomes of frames that are completed faster than they are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutboxPolicy {
    /// They wait, in order.
    #[default]
    Queue,
    /// Only the newest waits; older ones are free again at once.
    Latest,
}

/// A frame on its way to the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Captured {
    pub frame: FrameId,
    pub damaged: bool,
    pub sequence: u32,
    pub sensor_timestamp: Option<u64>,
    pub bytes_used: Option<u32>,
    pub timing: Timing,
    /// When it was completed, in nanoseconds of CLOCK_MONOTONIC.
    pub completed_at: u64,
    /// How many frames of the stream are not downstream, once this one is.
    pub spare: usize,
    /// The still that it is, in a stream on demand.
    pub still: Option<StillId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    Frame(Captured),
    /// Nothing follows.
    Eos,
}

/// Totals of one stream since the camera's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    pub captured: u64,
    pub delivered: u64,
    /// Frames that the sensor counted and nobody saw.
    pub missed: u64,
    pub damaged: u64,
    /// Frames that the camera gave back unfilled.
    pub cancelled: u64,
    /// Requests that had to leave this stream out, because it had no free frame.
    pub left_out: u64,
    /// Frames that were captured and never delivered: a newer one replaced them, a flush or a pause made them stale, or nobody wanted them.
    pub dropped: u64,
    /// For how long consumers had every frame, in nanoseconds, up to the end of the last such time.
    pub starved: u64,
}

/// Starvation of a stream is told once in so long.
const STARVATION_INTERVAL_NS: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    places: Vec<Place>,
    free: VecDeque<FrameId>,
    outbox: VecDeque<Delivery>,
    policy: OutboxPolicy,
    on_demand: bool,
    /// How many of the frames are ours at a time.
    circulating: usize,
    /// Frames of a stream on demand are asked for.
    wanted: bool,
    /// Nobody wants this stream's frames any more.
    muted: bool,
    /// How many frames are in the outbox or downstream.
    with_consumer: usize,
    /// How many are downstream.
    downstream: usize,
    /// Stills that were dropped from the outbox, until somebody asks.
    lost: Vec<StillId>,
    starved_since: Option<u64>,
    /// When that was last told.
    starvation_told: Option<u64>,
    /// The outbox holds its last item, or has handed it out.
    ended: bool,
    last_sequence: Option<u32>,
    pub counters: Counters,
}

impl Stream {
    /// The frames of a stream on demand are taken one by one, when they are asked for.
    pub fn new(frames: u32, on_demand: bool) -> Self {
        Self {
            places: vec![Place::Free; frames as usize],
            free: (0..frames).map(FrameId).collect(),
            outbox: VecDeque::with_capacity(frames as usize + 1),
            policy: OutboxPolicy::default(),
            on_demand,
            circulating: frames as usize,
            wanted: false,
            muted: false,
            with_consumer: 0,
            downstream: 0,
            lost: Vec::new(),
            starved_since: None,
            starvation_told: None,
            ended: false,
            last_sequence: None,
            counters: Counters::default(),
        }
    }

    /// Every frame is downstream, and so many come back at a time.
    pub fn lend_out(&mut self, circulating: usize) {
        self.circulating = circulating.min(self.places.len());
        while let Some(frame) = self.free.pop_front() {
            self.put(frame, Place::Downstream);
        }
    }

    pub fn is_on_demand(&self) -> bool {
        self.on_demand
    }

    pub fn circulating(&self) -> usize {
        self.circulating
    }

    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Whether a frame of a stream on demand is asked for.
    pub fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    pub fn frame_count(&self) -> usize {
        self.places.len()
    }

    /// The frame that goes to the camera next.
    pub fn next_free(&self) -> Option<FrameId> {
        self.free.front().copied()
    }

    /// How many frames are in a place.
    pub fn frames_in(&self, place: Place) -> usize {
        self.places.iter().filter(|other| **other == place).count()
    }

    pub fn place(&self, frame: FrameId) -> Option<Place> {
        self.places.get(frame.0 as usize).copied()
    }

    pub fn has_delivery(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Gives the next free frame to the camera.
    pub fn queue_next(&mut self) {
        if let Some(frame) = self.free.pop_front() {
            self.put(frame, Place::Queued);
        }
    }

    /// The camera has filled a frame, or given it back unfilled.
    pub fn complete(
        &mut self,
        completed: &CompletedFrame,
        sensor_timestamp: Option<u64>,
        timing: Timing,
        now: u64,
        still: Option<StillId>,
    ) {
        if completed.status == FrameStatus::Cancelled {
            return self.cancel(completed.frame);
        }
        if self.ended {
            return self.release(completed.frame);
        }
        self.count_captured(completed);
        if self.policy == OutboxPolicy::Latest {
            self.discard();
        }
        if self.muted {
            self.counters.dropped += 1;
            self.lost.extend(still);
            return self.release(completed.frame);
        }
        self.put(completed.frame, Place::Outbox);
        self.outbox.push_back(Delivery::Frame(Captured {
            frame: completed.frame,
            damaged: completed.status == FrameStatus::Error,
            sequence: completed.sequence,
            sensor_timestamp,
            bytes_used: completed.bytes_used,
            timing,
            completed_at: now,
            spare: 0,
            still,
        }));
    }

    fn count_captured(&mut self, completed: &CompletedFrame) {
        self.counters.captured += 1;
        self.counters.damaged += u64::from(completed.status == FrameStatus::Error);
        let last = self.last_sequence.replace(completed.sequence);
        // Between stills there are frames that nobody asked for.
        if let Some(last) = last.filter(|_| !self.on_demand) {
            let step = completed.sequence.wrapping_sub(last);
            // A count that stands still or goes back is a camera that does not count.
            if (2..u32::MAX / 2).contains(&step) {
                self.counters.missed += u64::from(step - 1);
            }
        }
    }

    /// A frame that was queued comes back unfilled.
    pub fn cancel(&mut self, frame: FrameId) {
        self.counters.cancelled += 1;
        self.release(frame);
    }

    /// The last memory of a frame was dropped.
    pub fn give_back(&mut self, frame: FrameId) {
        if self.place(frame) == Some(Place::Downstream) {
            self.release(frame);
        }
    }

    pub fn next_delivery(&mut self) -> Option<Delivery> {
        let mut delivery = self.outbox.pop_front()?;
        match &mut delivery {
            Delivery::Frame(captured) => {
                self.put(captured.frame, Place::Downstream);
                captured.spare = self.places.len() - self.downstream;
                self.counters.delivered += 1;
            }
            // It stays, for whoever asks again.
            Delivery::Eos => self.outbox.push_front(delivery),
        }
        Some(delivery)
    }

    /// Ends the outbox behind the frames that it holds.
    pub fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(Delivery::Eos);
        }
    }

    /// Drops the frames that nobody has taken yet. An end stays.
    pub fn discard(&mut self) {
        self.discard_but(0);
    }

    /// Drops them but for the newest so many.
    fn discard_but(&mut self, kept: usize) {
        let waiting = self.outbox.len() - usize::from(self.ended);
        for _ in kept..waiting {
            if let Some(Delivery::Frame(captured)) = self.outbox.pop_front() {
                self.counters.dropped += 1;
                self.lost.extend(captured.still);
                self.release(captured.frame);
            }
        }
    }

    /// Stills whose frames were taken and will not be delivered.
    pub fn take_lost(&mut self) -> Vec<StillId> {
        std::mem::take(&mut self.lost)
    }

    pub fn set_policy(&mut self, policy: OutboxPolicy) {
        self.policy = policy;
        if policy == OutboxPolicy::Latest {
            self.discard_but(1);
        }
    }

    /// From now on every frame is free again as soon as it is completed. An end stays.
    pub fn mute(&mut self) {
        self.muted = true;
        self.discard();
    }

    /// Whether consumers have every frame, so that the camera can have none.
    fn is_starved(&self) -> bool {
        let wanted = self.wanted || !self.on_demand;
        wanted && self.with_consumer == self.places.len() && !self.ended
    }

    /// Whether [`Self::note_starvation`] has something to note.
    pub fn starvation_has_changed(&self) -> bool {
        self.is_starved() != self.starved_since.is_some()
    }

    /// True when it is to be told: the stream has starved, and that was not told a moment ago.
    pub fn note_starvation(&mut self, now: u64) -> bool {
        if self.is_starved() {
            self.starved_since.get_or_insert(now);
            let due = self
                .starvation_told
                .is_none_or(|told| now.saturating_sub(told) >= STARVATION_INTERVAL_NS);
            if due {
                self.starvation_told = Some(now);
            }
            return due;
        }
        if let Some(since) = self.starved_since.take() {
            self.counters.starved += now.saturating_sub(since);
        }
        false
    }

    /// Makes a frame free from whatever place it is in.
    pub fn release(&mut self, frame: FrameId) {
        self.put(frame, Place::Free);
        self.free.push_back(frame);
    }

    fn put(&mut self, frame: FrameId, place: Place) {
        let with_consumer = |place| matches!(place, Place::Outbox | Place::Downstream);
        if let Some(current) = self.places.get_mut(frame.0 as usize) {
            self.with_consumer += usize::from(with_consumer(place));
            self.with_consumer -= usize::from(with_consumer(*current));
            self.downstream += usize::from(place == Place::Downstream);
            self.downstream -= usize::from(*current == Place::Downstream);
            *current = place;
        }
    }

    /// What must hold at any time: each list names the frames that are in its place, each once.
    pub fn is_consistent(&self) -> bool {
        let listed = |place, mut frames: Vec<FrameId>| {
            frames.sort_unstable_by_key(|frame| frame.0);
            let placed = (0..)
                .map(FrameId)
                .zip(&self.places)
                .filter(|(_, other)| **other == place);
            frames.iter().copied().eq(placed.map(|(frame, _)| frame))
        };
        let waiting = self.outbox.iter().filter_map(|delivery| match delivery {
            Delivery::Frame(captured) => Some(captured.frame),
            Delivery::Eos => None,
        });
        let ends = self
            .outbox
            .iter()
            .filter(|delivery| **delivery == Delivery::Eos)
            .count();
        listed(Place::Free, self.free.iter().copied().collect())
            && self.downstream == self.frames_in(Place::Downstream)
            && self.with_consumer
                == self.frames_in(Place::Outbox) + self.frames_in(Place::Downstream)
            && listed(Place::Outbox, waiting.collect())
            && ends == usize::from(self.ended)
            && (ends == 0 || self.outbox.back() == Some(&Delivery::Eos))
    }
}
