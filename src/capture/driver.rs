//! Which frame is where, and what is to be done next. Pure: events in by `handle_*`, work out by `poll_*`.
//!
//! A frame goes `Free -> Queued -> Outbox -> Downstream -> Free`, or from any place straight back to `Free`; it is in exactly one.
//! Requests are found by their number, never by order. One that has completed may go back at once with the same frame; it is given another
//! frame only after a later request has completed, because some pipeline handlers still walk its buffers for a while. There is one request more
//! than frames, so a request that rests never keeps a free frame from the camera.

use super::clock_map::Timing;
use crate::camera::{CameraError, Completion, CompletionStatus, FrameId, FrameStatus, RequestId};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Queued,
    Outbox,
    Downstream,
}

#[derive(Clone, Copy, Debug, Default)]
struct Request {
    in_flight: bool,
    /// The frame of the last round, which it still carries.
    frame: Option<FrameId>,
    /// Whether a later request has completed since this one did, or it was never used.
    rested: bool,
}

/// A frame on its way to the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    pub frame: FrameId,
    pub damaged: bool,
    pub sequence: u32,
    pub sensor_timestamp: Option<u64>,
    pub bytes_used: Option<u32>,
    pub timing: Timing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Frame(Captured),
    /// Nothing follows.
    Eos,
}

/// What the capture task is to do.
#[derive(Debug)]
pub enum Action {
    Queue {
        request: RequestId,
        frame: FrameId,
        same_frame: bool,
    },
    /// The camera has failed: tell the user, once. The outbox ends behind the frames that it holds.
    Report(CameraError),
}

/// Totals since the camera's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub captured: u64,
    pub delivered: u64,
    /// Frames that the sensor counted and nobody saw.
    pub missed: u64,
    pub damaged: u64,
    pub cancelled: u64,
}

#[derive(Debug)]
pub struct Driver {
    places: Vec<Place>,
    free: VecDeque<FrameId>,
    requests: Vec<Request>,
    outbox: VecDeque<Delivery>,
    /// Whether a request is due. Always, unless the requests are paced.
    paced: bool,
    due: bool,
    failure: Option<CameraError>,
    /// The outbox holds its last item, or has handed it out.
    ended: bool,
    last_sequence: Option<u32>,
    counters: Counters,
}

impl Driver {
    /// With `paced`, every request waits for a tick of its own.
    pub fn new(frames: u32, paced: bool) -> Self {
        let fresh = Request {
            rested: true,
            ..Request::default()
        };
        Self {
            places: vec![Place::Free; frames as usize],
            free: (0..frames).map(FrameId).collect(),
            requests: vec![fresh; frames as usize + 1],
            outbox: VecDeque::with_capacity(frames as usize + 1),
            paced,
            due: true,
            failure: None,
            ended: false,
            last_sequence: None,
            counters: Counters::default(),
        }
    }

    pub fn request_count(&self) -> u32 {
        self.requests.len() as u32
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    // --- events -----------------------------------------------------------------------------------------------------------

    pub fn handle_completed(&mut self, completion: &Completion, timing: Timing) {
        let completed = completion.request.0 as usize;
        let frame = completion.frame;
        let known = self
            .requests
            .get(completed)
            .is_some_and(|request| request.in_flight)
            && self.place(frame) == Some(Place::Queued);
        if !known {
            // The camera speaks of a request that it does not have; nothing of ours changes.
            return;
        }
        for (index, request) in self.requests.iter_mut().enumerate() {
            request.rested |= index != completed;
        }
        if let Some(request) = self.requests.get_mut(completed) {
            request.in_flight = false;
            request.rested = false;
        }
        let unfilled = completion.status == CompletionStatus::Cancelled
            || completion.frame_status == FrameStatus::Cancelled;
        if unfilled {
            self.counters.cancelled += 1;
        }
        if unfilled || self.ended {
            return self.free(frame);
        }
        self.counters.captured += 1;
        let damaged = completion.frame_status == FrameStatus::Error;
        self.counters.damaged += u64::from(damaged);
        if let Some(last) = self.last_sequence.replace(completion.sequence) {
            let step = completion.sequence.wrapping_sub(last);
            // A count that stands still or goes back is a camera that does not count.
            if (2..u32::MAX / 2).contains(&step) {
                self.counters.missed += u64::from(step - 1);
            }
        }
        self.put(frame, Place::Outbox);
        self.outbox.push_back(Delivery::Frame(Captured {
            frame,
            damaged,
            sequence: completion.sequence,
            sensor_timestamp: completion.sensor_timestamp,
            bytes_used: completion.bytes_used,
            timing,
        }));
    }

    /// The last memory of a frame was dropped.
    pub fn handle_returned(&mut self, frame: FrameId) {
        if self.place(frame) == Some(Place::Downstream) {
            self.free(frame);
        }
    }

    /// A tick that finds the one before it unused is lost: a camera that was kept waiting does not hurry afterwards.
    pub fn handle_tick(&mut self) {
        self.due = true;
    }

    /// What [`Action::Queue`] asked for did not work: the frame is free, and the camera has failed.
    pub fn handle_queue_failed(&mut self, request: RequestId, frame: FrameId, error: CameraError) {
        if let Some(request) = self.requests.get_mut(request.0 as usize) {
            request.in_flight = false;
            request.frame = None;
        }
        if self.place(frame) == Some(Place::Queued) {
            self.free(frame);
        }
        self.handle_failure(error);
    }

    /// The first failure counts; what follows is its consequence.
    pub fn handle_failure(&mut self, error: CameraError) {
        if !self.ended {
            self.failure = Some(error);
            self.handle_eos();
        }
    }

    /// Ends the outbox behind the frames that it holds.
    pub fn handle_eos(&mut self) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(Delivery::Eos);
        }
    }

    /// Drops the frames that nobody has taken yet. An end of the outbox stays.
    pub fn handle_discard(&mut self) {
        for delivery in std::mem::take(&mut self.outbox) {
            match delivery {
                Delivery::Frame(captured) => self.free(captured.frame),
                Delivery::Eos => self.outbox.push_back(delivery),
            }
        }
    }

    // --- work -------------------------------------------------------------------------------------------------------------

    /// Whether [`Self::poll_action`] would give something.
    pub fn has_work(&self) -> bool {
        self.failure.is_some() || self.queueable().is_some()
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(error) = self.failure.take() {
            return Some(Action::Report(error));
        }
        let (request, frame, same_frame) = self.queueable()?;
        self.free.pop_front();
        self.put(frame, Place::Queued);
        self.due = !self.paced;
        let queued = self.requests.get_mut(request.0 as usize)?;
        *queued = Request {
            in_flight: true,
            frame: Some(frame),
            rested: false,
        };
        Some(Action::Queue {
            request,
            frame,
            same_frame,
        })
    }

    pub fn has_delivery(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.outbox.pop_front()?;
        match delivery {
            Delivery::Frame(captured) => {
                self.put(captured.frame, Place::Downstream);
                self.counters.delivered += 1;
            }
            // It stays, for whoever asks again.
            Delivery::Eos => self.outbox.push_front(delivery),
        }
        Some(delivery)
    }

    /// The frame that goes to the camera next and the request that takes it there.
    fn queueable(&self) -> Option<(RequestId, FrameId, bool)> {
        if !self.due || self.ended {
            return None;
        }
        let frame = *self.free.front()?;
        let find = |wanted: &dyn Fn(&Request) -> bool| {
            let index = self
                .requests
                .iter()
                .position(|request| !request.in_flight && wanted(request))?;
            Some(RequestId(index as u32))
        };
        find(&|request| request.frame == Some(frame))
            .map(|request| (request, frame, true))
            .or_else(|| find(&|request| request.rested).map(|request| (request, frame, false)))
    }

    fn place(&self, frame: FrameId) -> Option<Place> {
        self.places.get(frame.0 as usize).copied()
    }

    fn put(&mut self, frame: FrameId, place: Place) {
        if let Some(current) = self.places.get_mut(frame.0 as usize) {
            *current = place;
        }
    }

    fn free(&mut self, frame: FrameId) {
        self.put(frame, Place::Free);
        self.free.push_back(frame);
    }
}

#[cfg(test)]
mod tests;
