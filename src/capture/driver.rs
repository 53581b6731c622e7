//! Which request takes which frames to the camera, and what is to be done next. Pure: events in by `handle_*`, work out by `poll_*`.
//!
//! **Which frames.** A request uses up one of the sensor's frames, so it carries every stream. A stream without a free frame is left out only when
//! the camera is about to run dry: when fewer than [`Driver::min_queued`] requests are with it. Until then the request waits for that
//! stream, because {A} and {B} queued apart would halve the rate of both.
//!
//! **Which request.** Requests are found by their number, never by order. One that has completed may go back at once with the same frames; it
//! is given others only after a later request has completed, because some pipeline handlers still walk its buffers for a while. There is one
//! request more than can be with the camera, so one that rests never keeps a free frame from it.
//!
//! **Which controls.** All that are pending go with the next request, unless the camera may have refused some; see [`control_queue`](super::control_queue).
//!
//! **Stills.** A stream on demand is part of a request only where a still asks for it. A still goes with the next request for which its streams have a
//! free frame; until then the others go on without it, and it does not make a request due, unless no stream is continuous.

use super::{
    clock_map::Timing,
    control_queue::{ControlCounters, ControlQueue, Load, Passing},
    stall::Watch,
    stills::{Still, StillFailure, StillOutcome, Stills, StreamSet},
    stream::{Counters, Delivery, OutboxPolicy, Place, Stream},
};
use crate::camera::{
    CameraError, CompletedFrame, Completion, CompletionStatus, ControlId, Controls, FrameId,
    FrameSet, FrameStatus, RequestId,
};
use crate::sync::Arc;

#[derive(Clone, Debug, Default)]
struct Request {
    in_flight: bool,
    /// The frames of the last round, which it still carries.
    frames: FrameSet,
    /// What it brings to the camera beside them.
    load: Option<Load>,
    still: Option<Still>,
    /// Whether a later request has completed since this one did, or it was never used.
    rested: bool,
}

/// What a request had, when it came back from the camera.
struct Carried {
    frames: FrameSet,
    load: Option<Load>,
    still: Option<Still>,
}

/// What the capture task is to do.
#[derive(Debug)]
pub enum Action {
    Queue {
        request: RequestId,
        frames: FrameSet,
        same_frames: bool,
        controls: Option<Arc<Controls>>,
    },
    /// The camera has failed: tell the user, once. The outboxes end behind the frames that they hold.
    Report(Arc<CameraError>),
    /// The camera has requests and completes none: warn the user. It may go on by itself.
    WarnOfStall,
    /// Consumers have every frame of this stream.
    TellOfStarvation(usize),
    /// The camera fills no request that brings this control; it was given up.
    TellOfRefusal(ControlId),
    /// The camera reports states that it did not report before.
    TellOfState(Controls),
    /// A still was taken, or failed.
    TellOfStill(StillOutcome),
}

/// How requests are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Every request waits for a tick of its own.
    pub paced: bool,
    /// A request carries all continuous streams or is not made.
    pub all_streams: bool,
    /// Streams of which frames are taken only as stills.
    pub on_demand: StreamSet,
}

/// Totals of all streams since the camera's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    pub queued: u64,
    pub completed: u64,
    /// Given back unfilled.
    pub cancelled: u64,
    /// Not taken by the camera.
    pub failed: u64,
    /// Completions of requests that the camera did not have.
    pub unknown: u64,
}

#[derive(Clone, Debug)]
pub struct Driver {
    streams: Vec<Stream>,
    requests: Vec<Request>,
    controls: ControlQueue,
    /// States of the camera that are to be told, each as it is by now.
    states: Controls,
    stills: Stills,
    counters: RequestCounters,
    policy: Policy,
    /// Whether a request is due. Always, unless requests are paced.
    due: bool,
    /// Not yet reported.
    failure: Option<Arc<CameraError>>,
    failed: bool,
    ended: bool,
    cancelled_in_a_row: usize,
    watch: Watch,
    /// Streams whose starvation is to be told.
    starved: Vec<usize>,
}

impl Driver {
    /// For a stream with so many frames each, [`MAX_STREAMS`](crate::camera::MAX_STREAMS) at most.
    pub fn new(frames: &[u32], policy: Policy) -> Self {
        let all: u32 = frames.iter().sum();
        let fresh = Request {
            rested: true,
            ..Request::default()
        };
        let stream = |(frames, on_demand): (&u32, bool)| Stream::new(*frames, on_demand);
        Self {
            streams: frames.iter().zip(policy.on_demand).map(stream).collect(),
            requests: vec![fresh; all as usize + 1],
            controls: ControlQueue::default(),
            states: Controls::default(),
            stills: Stills::default(),
            counters: RequestCounters::default(),
            policy,
            due: true,
            failure: None,
            failed: false,
            cancelled_in_a_row: 0,
            watch: Watch::default(),
            starved: Vec::new(),
            ended: false,
        }
    }

    /// The frames of this stream are not ours at first: they come one by one, by [`Self::handle_returned`], so many at a time. To be called before all else.
    pub fn lend_out(&mut self, stream: usize, at_a_time: usize) {
        if let Some(stream) = self.streams.get_mut(stream) {
            let idle = stream.frame_count().saturating_sub(at_a_time);
            stream.lend_out(at_a_time);
            self.requests.truncate(self.requests.len() - idle);
        }
    }

    /// No more requests than that, though there are more frames: a camera that takes few at a time. At least 2, as one may have to rest. To be called
    /// before all else.
    pub fn limit_requests(&mut self, requests: usize) {
        self.requests.truncate(requests.max(2));
    }

    pub fn request_count(&self) -> u32 {
        self.requests.len() as u32
    }

    pub fn counters(&self, stream: usize) -> Counters {
        self.streams
            .get(stream)
            .map(|stream| stream.counters)
            .unwrap_or_default()
    }

    pub fn request_counters(&self) -> RequestCounters {
        self.counters
    }

    pub fn control_counters(&self) -> ControlCounters {
        self.controls.counters
    }

    /// Frames of a stream that are never ours at the same time as the others.
    pub fn idle_frames(&self, stream: usize) -> usize {
        let stream = self.streams.get(stream);
        stream.map_or(0, |stream| stream.frame_count() - stream.circulating())
    }

    /// How many frames of a stream are in each place.
    pub fn frames_in(&self, stream: usize, place: Place) -> usize {
        self.streams
            .get(stream)
            .map_or(0, |stream| stream.frames_in(place))
    }

    /// Requests that the camera should not run out of: two, so that the next one is there when one completes; one where a stream has so few
    /// frames that two would leave its consumer none.
    pub fn min_queued(&self) -> usize {
        let few = |stream: &Stream| !stream.is_on_demand() && stream.circulating() <= 3;
        if self.streams.iter().any(few) { 1 } else { 2 }
    }

    // --- events -----------------------------------------------------------------------------------------------------------

    pub fn handle_completed(&mut self, completion: &Completion, timing: Timing, now: u64) {
        let Some(Carried {
            frames,
            load,
            still,
        }) = self.take_from_camera(completion.request)
        else {
            // The camera speaks of a request that it does not have; nothing of ours changes.
            self.counters.unknown += 1;
            return;
        };
        match (completion.status, load) {
            (CompletionStatus::Complete, Some(load)) => self.controls.applied(&load),
            (CompletionStatus::Cancelled, Some(load)) => self.controls.set_back(&load),
            (_, None) => (),
        }
        self.watch.completed();
        self.count_cancelled(completion.status);
        for (index, (stream, frame)) in self.streams.iter_mut().zip(frames).enumerate() {
            let Some(frame) = frame else { continue };
            let told = completion.frames.get(index).copied().flatten();
            let completed = match told {
                Some(told)
                    if told.frame == frame && completion.status == CompletionStatus::Complete =>
                {
                    told
                }
                // Cancelled, or the camera has said nothing of this frame: it comes back unfilled.
                _ => CompletedFrame {
                    frame,
                    status: FrameStatus::Cancelled,
                    sequence: 0,
                    bytes_used: None,
                },
            };
            let id = still.as_ref().map(|still| still.id);
            let id = id.filter(|_| stream.is_on_demand());
            let unfilled = completed.status == FrameStatus::Cancelled;
            stream.complete(&completed, completion.sensor_timestamp, timing, now, id);
            if let Some(id) = id.filter(|_| unfilled || self.ended) {
                let why = if self.ended || self.failed {
                    StillFailure::Ended
                } else {
                    StillFailure::Unfilled
                };
                self.stills.conclude(id, index, Err(why));
            }
        }
        self.note_lost();
    }

    /// A camera that gives back everything unfilled would be given the same again at once, for ever.
    fn count_cancelled(&mut self, status: CompletionStatus) {
        if status == CompletionStatus::Complete {
            self.counters.completed += 1;
            self.cancelled_in_a_row = 0;
            return;
        }
        self.counters.cancelled += 1;
        self.cancelled_in_a_row += 1;
        if self.cancelled_in_a_row >= 4 * self.requests.len() {
            self.handle_failure(CameraError::AllCancelled);
        }
    }

    /// What a request carried that was with the camera, and rests from now on.
    fn take_from_camera(&mut self, request: RequestId) -> Option<Carried> {
        let index = request.0 as usize;
        let request = self
            .requests
            .get_mut(index)
            .filter(|request| request.in_flight)?;
        let carried = Carried {
            frames: request.frames,
            load: request.load.take(),
            still: request.still.take(),
        };
        request.in_flight = false;
        request.rested = false;
        for (other, request) in self.requests.iter_mut().enumerate() {
            request.rested |= other != index;
        }
        Some(carried)
    }

    /// The last memory of a frame was dropped.
    pub fn handle_returned(&mut self, stream: usize, frame: FrameId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.give_back(frame);
        }
    }

    /// A tick that finds the one before it unused is lost: a camera that was kept waiting does not hurry afterwards.
    pub fn handle_tick(&mut self) {
        self.due = true;
    }

    /// A look at whether the camera stalls, of which there are [`GLANCES`](super::stall::GLANCES) in the time that makes a stall.
    pub fn handle_glance(&mut self) {
        let has_requests = self.requests.iter().any(|request| request.in_flight);
        self.watch.glance(has_requests);
    }

    /// Controls that the next request is to bring to the camera.
    pub fn handle_controls(&mut self, controls: Controls) {
        self.controls.set(controls);
    }

    /// What the camera says of its own state has changed.
    pub fn handle_states(&mut self, news: Controls) {
        self.states.extend(news);
    }

    /// Controls that no request will bring to the camera any more.
    pub fn take_controls(&mut self) -> Controls {
        self.controls.take_pending()
    }

    pub fn handle_outbox_policy(&mut self, stream: usize, policy: OutboxPolicy) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.set_policy(policy);
        }
        self.note_lost();
    }

    /// Nobody wants a stream's frames any more.
    pub fn handle_muted(&mut self, stream: usize) {
        self.stills.fail_of(stream);
        self.note_wanted();
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.mute();
        }
        self.note_lost();
    }

    /// Whether some stream's consumers have come to hold every frame, or do so no longer.
    pub fn starvation_has_changed(&self) -> bool {
        self.streams.iter().any(Stream::starvation_has_changed)
    }

    pub fn note_starvation(&mut self, now: u64) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if stream.note_starvation(now) {
                self.starved.push(index);
            }
        }
    }

    /// What [`Action::Queue`] asked for did not work: the frames are free, and the camera has failed.
    pub fn handle_queue_failed(&mut self, request: RequestId, error: CameraError) {
        let request = self
            .requests
            .get_mut(request.0 as usize)
            .filter(|request| request.in_flight);
        if let Some(request) = request {
            let Request {
                frames,
                load,
                still,
                ..
            } = std::mem::take(request);
            self.counters.failed += 1;
            if let Some(still) = still {
                self.stills.fail(&still, StillFailure::Ended);
            }
            if let Some(load) = load {
                self.controls.give_back(&load);
            }
            for (stream, frame) in self.streams.iter_mut().zip(frames) {
                if let Some(frame) = frame {
                    stream.release(frame);
                }
            }
        }
        self.handle_failure(error);
    }

    /// The first failure counts; what follows is its consequence. Nothing is queued any more, and the streams end once it was reported: an
    /// application must not see their end before it sees why.
    pub fn handle_failure(&mut self, error: CameraError) {
        if !self.ended && !self.failed {
            self.failed = true;
            self.failure = Some(Arc::new(error));
            self.stills.fail_all(StillFailure::Ended);
        }
    }

    /// What [`Action::Report`] asked for is done.
    pub fn handle_reported(&mut self) {
        self.handle_eos();
    }

    /// Ends every outbox behind the frames that it holds.
    pub fn handle_eos(&mut self) {
        self.ended = true;
        self.stills.fail_all(StillFailure::Ended);
        for stream in &mut self.streams {
            stream.end();
        }
    }

    /// Drops the frames that nobody has taken yet. An end stays.
    pub fn handle_discard(&mut self) {
        for stream in &mut self.streams {
            stream.discard();
        }
        self.note_lost();
    }

    // --- work -------------------------------------------------------------------------------------------------------------

    /// Whether [`Self::poll_action`] would give something.
    pub fn has_work(&self) -> bool {
        self.failure.is_some()
            || self.watch.has_warning()
            || !self.starved.is_empty()
            || self.controls.has_refused()
            || self.stills.has_outcome()
            || !self.states.is_empty()
            || self.queueable().is_some()
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(error) = self.failure.take() {
            return Some(Action::Report(error));
        }
        if self.watch.poll_warning() {
            return Some(Action::WarnOfStall);
        }
        if let Some(stream) = self.starved.pop() {
            return Some(Action::TellOfStarvation(stream));
        }
        if let Some(control) = self.controls.poll_refused() {
            return Some(Action::TellOfRefusal(control));
        }
        if !self.states.is_empty() {
            return Some(Action::TellOfState(std::mem::take(&mut self.states)));
        }
        if let Some(outcome) = self.stills.poll_outcome() {
            return Some(Action::TellOfStill(outcome));
        }
        let (request, frames, same_frames) = self.queueable()?;
        let still = self.ready_still();
        for (stream, frame) in self.streams.iter_mut().zip(frames) {
            match frame {
                Some(_) => stream.queue_next(),
                None if stream.is_on_demand() => (),
                None => stream.counters.left_out += 1,
            }
        }
        self.due = !self.policy.paced;
        self.counters.queued += 1;
        let still = still.and_then(|place| self.stills.take(place));
        self.note_wanted();
        let load = self.controls.take(still.as_ref().map(|still| Passing {
            controls: &still.controls,
            restore: &still.restore,
        }));
        let controls = load.as_ref().map(|load| load.controls.clone());
        let queued = self.requests.get_mut(request.0 as usize)?;
        *queued = Request {
            in_flight: true,
            frames,
            load,
            still,
            rested: false,
        };
        Some(Action::Queue {
            request,
            frames,
            same_frames,
            controls,
        })
    }

    pub fn has_delivery(&self, stream: usize) -> bool {
        self.streams.get(stream).is_some_and(Stream::has_delivery)
    }

    pub fn poll_delivery(&mut self, stream: usize) -> Option<Delivery> {
        self.streams.get_mut(stream)?.next_delivery()
    }

    /// The frames that go to the camera next, and the request that takes them there.
    fn queueable(&self) -> Option<(RequestId, FrameSet, bool)> {
        if !self.due || self.ended || self.failed {
            return None;
        }
        let frames = self.next_frames()?;
        let find = |wanted: &dyn Fn(&Request) -> bool| {
            let index = self
                .requests
                .iter()
                .position(|request| !request.in_flight && wanted(request))?;
            Some(RequestId(index as u32))
        };
        find(&|request| request.frames == frames)
            .map(|request| (request, frames, true))
            .or_else(|| find(&|request| request.rested).map(|request| (request, frames, false)))
    }

    fn next_frames(&self) -> Option<FrameSet> {
        let mut frames = FrameSet::default();
        let (mut continuous, mut found) = (0, 0);
        for (stream, frame) in self.streams.iter().zip(&mut frames) {
            if !stream.is_on_demand() {
                *frame = stream.next_free();
                continuous += 1;
                found += usize::from(frame.is_some());
            }
        }
        let complete = found == continuous && continuous > 0;
        let rides = self.add_still(&mut frames);
        let requests = self.requests.iter();
        let with_camera = requests.filter(|request| request.in_flight).count();
        let alone = rides && continuous == 0;
        let partial_is_due =
            !self.policy.all_streams && (found > 0 || rides) && with_camera < self.min_queued();
        (complete || alone || partial_is_due).then_some(frames)
    }

    /// What must hold at any time, apart from what the types say; for tests.
    pub fn is_consistent(&self) -> bool {
        let with_camera = |index: usize, frame: FrameId| {
            let carries = |request: &&Request| {
                request.in_flight && request.frames.get(index).copied().flatten() == Some(frame)
            };
            self.requests.iter().filter(carries).count()
        };
        self.streams.iter().enumerate().all(|(index, stream)| {
            let frames = (0..stream.frame_count() as u32).map(FrameId);
            let mut queued = frames.map(|frame| (with_camera(index, frame), stream.place(frame)));
            stream.is_consistent()
                && queued
                    .all(|(requests, place)| requests == usize::from(place == Some(Place::Queued)))
        })
    }
}

mod stills;
#[cfg(test)]
mod tests;
