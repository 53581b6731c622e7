//! The capture driver in every order of events: a breadth-first search over all that can happen to two streams of two frames, and long random
//! runs of bigger ones. The world beside the driver keeps its own book of where each frame is, and compares.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use gstlibcamerars::{
    camera::{
        CameraError, CompletedFrame, Completion, CompletionStatus, ControlId, ControlValue,
        Controls, FrameId, FrameSet, FrameStatus, MAX_STREAMS, RequestId, Scalar,
    },
    capture::{
        clock_map::Timing,
        control_queue::TRIES,
        driver::{Action, Driver, Policy},
        stills::{Still, StillId, StillOutcome, StreamSet},
        stream::{Delivery, OutboxPolicy},
    },
};
use proptest::prelude::*;
use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The capture task does the next thing; the camera takes the request, or refuses it.
    Act {
        refused: bool,
    },
    /// The n-th request that the camera has, in any order.
    Complete {
        nth: usize,
        how: How,
    },
    /// The completion of a request that the camera does not have, and the return of every frame that nobody holds.
    MadeUp,
    Take {
        stream: usize,
    },
    /// The n-th frame that the stream's consumer holds.
    Return {
        stream: usize,
        nth: usize,
    },
    /// The application sets the one control to another value.
    Set,
    /// The application wants a still of a stream on demand, for which the one control has a value of its own.
    Capture {
        stream: usize,
    },
    /// The pad of a stream goes.
    Mute {
        stream: usize,
    },
    Policy {
        stream: usize,
        policy: OutboxPolicy,
    },
    Tick,
    Flush,
    Eos,
    Gone,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Filled,
    Damaged,
    Cancelled,
    WithoutLastStream,
}

#[derive(Clone, Copy, Debug)]
struct WithCamera {
    request: RequestId,
    frames: FrameSet,
    /// What it brings, and whether no later request brings the control anew.
    control: Option<(i32, bool)>,
    still: Option<BookedStill>,
}

/// A still that was asked for, and the stream that it is to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BookedStill {
    id: StillId,
    stream: usize,
}

/// Where the one control's value is.
#[derive(Clone, Debug, Default)]
struct ControlBook {
    wanted: Option<i32>,
    pending: Option<i32>,
    applied: bool,
    /// How often it came back since it was set.
    setbacks: u32,
    /// It came back too often, and is not sent any more.
    given_up: bool,
    /// That is still to be told.
    untold: u32,
}

const CONTROL: ControlId = ControlId(7);

/// Its value for a still, and before anybody has set it.
const PASSING: i32 = 9;
const UNSET: i32 = 0;

/// Outstanding at once, where nothing else is said. More make more states than can be visited.
const MOST_STILLS: usize = 2;

#[derive(Clone, Debug)]
struct World {
    driver: Driver,
    policy: Policy,
    frames: Vec<u32>,
    // The world's own book.
    camera: Vec<WithCamera>,
    control: ControlBook,
    most_stills: usize,
    stills: VecDeque<BookedStill>,
    /// Whether it was taken.
    outcomes: VecDeque<(StillId, bool)>,
    policies: Vec<OutboxPolicy>,
    muted: Vec<bool>,
    outbox: Vec<VecDeque<(FrameId, Option<StillId>)>>,
    downstream: Vec<Vec<FrameId>>,
    /// What each request carried in its last round.
    carried: Vec<FrameSet>,
    last_completed: Option<RequestId>,
    most_in_flight: usize,
    ticked: bool,
    /// Nothing is queued any more.
    failed: bool,
    /// The streams end behind what waits.
    ending: bool,
    cancelled_in_a_row: u32,
    ended: Vec<bool>,
    failures: u32,
    reports: u32,
    stopped: bool,
}

impl World {
    fn new(frames: &[u32], policy: Policy) -> Self {
        let streams = frames.len();
        let driver = Driver::new(frames, policy);
        Self {
            carried: vec![FrameSet::default(); driver.request_count() as usize],
            last_completed: None,
            most_in_flight: usize::MAX,
            driver,
            policy,
            frames: frames.to_vec(),
            camera: Vec::new(),
            control: ControlBook::default(),
            most_stills: MOST_STILLS,
            stills: VecDeque::new(),
            outcomes: VecDeque::new(),
            policies: vec![OutboxPolicy::Queue; streams],
            muted: vec![false; streams],
            outbox: vec![VecDeque::new(); streams],
            downstream: vec![Vec::new(); streams],
            ticked: true,
            failed: false,
            ending: false,
            cancelled_in_a_row: 0,
            ended: vec![false; streams],
            failures: 0,
            reports: 0,
            stopped: false,
        }
    }

    fn is_free(&self, stream: usize, frame: FrameId) -> bool {
        frame.0 < self.frames[stream]
            && !self.outbox[stream].iter().any(|(other, _)| *other == frame)
            && !self.downstream[stream].contains(&frame)
            && !self
                .camera
                .iter()
                .any(|carried| carried.frames[stream] == Some(frame))
    }

    /// Whether a request ought to be made now, by the words of the rule.
    fn is_queueable(&self) -> bool {
        let has_free = |stream: usize| {
            (0..self.frames[stream]).any(|frame| self.is_free(stream, FrameId(frame)))
        };
        let continuous: Vec<usize> = (0..self.frames.len())
            .filter(|stream| !self.is_on_demand(*stream))
            .collect();
        let with_frames = continuous
            .iter()
            .filter(|stream| has_free(**stream))
            .count();
        let due = !self.policy.paced || self.ticked;
        let few = |stream: &usize| self.frames[*stream] <= 3;
        let dry = self.camera.len() < if continuous.iter().any(few) { 1 } else { 2 };
        let rides = self.riding().is_some();
        let all = if continuous.is_empty() {
            rides
        } else {
            with_frames == continuous.len()
        };
        let partly = (with_frames > 0 || rides) && dry && !self.policy.all_streams;
        let takes_more = self.camera.len() < self.most_in_flight;
        !self.ending && !self.failed && due && takes_more && (all || partly)
    }

    fn is_on_demand(&self, stream: usize) -> bool {
        self.policy.on_demand[stream]
    }

    /// The place of the still that the next request takes along: the first one of its stream, where that has a frame.
    fn riding(&self) -> Option<usize> {
        self.stills.iter().position(|still| {
            let of_stream = |other: &&BookedStill| other.stream == still.stream;
            self.stills.iter().find(of_stream) == Some(still)
                && (0..self.frames[still.stream])
                    .any(|frame| self.is_free(still.stream, FrameId(frame)))
        })
    }

    /// Empties an outbox but for the newest so many. The stills in it are lost.
    fn drop_waiting(&mut self, stream: usize, kept: usize) {
        while self.outbox[stream].len() > kept {
            let (_, still) = self.outbox[stream].pop_front().unwrap();
            self.outcomes.extend(still.map(|still| (still, false)));
        }
    }

    /// One that is not outstanding.
    fn new_still(&self, stream: usize) -> BookedStill {
        let outstanding = |id: &StillId| {
            let with_camera = self
                .camera
                .iter()
                .filter_map(|carried| carried.still.as_ref());
            let mut booked = self.stills.iter().chain(with_camera);
            let mut waiting = self.outbox.iter().flatten();
            booked.any(|still| still.id == *id)
                || self.outcomes.iter().any(|(told, _)| told == id)
                || waiting.any(|(_, still)| *still == Some(*id))
        };
        let ids = (0..).map(|capture| StillId { capture, index: 0 });
        let id = ids.into_iter().find(|id| !outstanding(id)).unwrap();
        BookedStill { id, stream }
    }

    fn fail_stills(&mut self, of: impl Fn(usize) -> bool) {
        let (failed, left) = self.stills.iter().partition(|still| of(still.stream));
        self.stills = left;
        let failed: VecDeque<BookedStill> = failed;
        self.outcomes
            .extend(failed.iter().map(|still| (still.id, false)));
    }

    fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::MadeUp];
        if self.driver.has_work() {
            events.extend([Event::Act { refused: false }, Event::Act { refused: true }]);
        }
        for nth in 0..self.camera.len() {
            let hows = [
                How::Filled,
                How::Damaged,
                How::Cancelled,
                How::WithoutLastStream,
            ];
            events.extend(hows.map(|how| Event::Complete { nth, how }));
        }
        for stream in 0..self.frames.len() {
            let other = match self.policies[stream] {
                OutboxPolicy::Queue => OutboxPolicy::Latest,
                OutboxPolicy::Latest => OutboxPolicy::Queue,
            };
            events.extend([
                Event::Take { stream },
                Event::Mute { stream },
                Event::Policy {
                    stream,
                    policy: other,
                },
            ]);
            events.extend(
                (0..self.downstream[stream].len()).map(|nth| Event::Return { stream, nth }),
            );
        }
        let with_camera = self.camera.iter().filter(|carried| carried.still.is_some());
        let waiting = self.outbox.iter().flatten();
        let waiting = waiting.filter(|(_, still)| still.is_some()).count();
        let outstanding = self.stills.len() + with_camera.count() + waiting + self.outcomes.len();
        if outstanding < self.most_stills && !self.stopped {
            let streams = (0..self.frames.len()).filter(|stream| self.is_on_demand(*stream));
            events.extend(streams.map(|stream| Event::Capture { stream }));
        }
        if !self.stopped {
            events.extend([
                Event::Set,
                Event::Tick,
                Event::Flush,
                Event::Eos,
                Event::Gone,
                Event::Stop,
            ]);
        }
        events
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Act { refused } => self.act(refused),
            Event::Complete { nth, how } => self.complete(nth, how),
            Event::MadeUp => {
                let unknown = RequestId(self.driver.request_count());
                let frames = FrameSet::default();
                self.driver
                    .handle_completed(&completion(unknown, &frames, How::Filled), TIMING, 0);
                for (stream, held) in self.downstream.iter().enumerate() {
                    let others = (0..=self.frames[stream])
                        .map(FrameId)
                        .filter(|frame| !held.contains(frame));
                    others.for_each(|frame| self.driver.handle_returned(stream, frame));
                }
            }
            Event::Take { stream } => self.take(stream),
            Event::Return { stream, nth } => {
                let frame = self.downstream[stream].remove(nth);
                self.driver.handle_returned(stream, frame);
            }
            Event::Set => {
                let value = 3 - self.control.wanted.unwrap_or(1);
                self.control = ControlBook {
                    wanted: Some(value),
                    pending: Some(value),
                    applied: false,
                    setbacks: 0,
                    given_up: false,
                    untold: self.control.untold,
                };
                self.driver.handle_controls(control(value));
            }
            Event::Capture { stream } => self.capture(stream),
            Event::Mute { stream } => {
                self.fail_stills(|of| of == stream);
                self.muted[stream] = true;
                self.drop_waiting(stream, 0);
                self.driver.handle_muted(stream);
            }
            Event::Policy { stream, policy } => {
                self.policies[stream] = policy;
                if policy == OutboxPolicy::Latest {
                    self.drop_waiting(stream, 1);
                }
                self.driver.handle_outbox_policy(stream, policy);
            }
            Event::Tick => {
                self.ticked = true;
                self.driver.handle_tick();
            }
            Event::Flush => {
                for stream in 0..self.outbox.len() {
                    self.drop_waiting(stream, 0);
                }
                self.driver.handle_discard();
            }
            Event::Eos => {
                self.fail_stills(|_| true);
                self.ending = true;
                self.driver.handle_eos();
            }
            Event::Gone => self.fail(|driver| driver.handle_failure(gone())),
            Event::Stop => {
                while !self.camera.is_empty() {
                    self.complete(0, How::Cancelled);
                }
                self.apply(Event::Eos);
                self.apply(Event::Flush);
                self.stopped = true;
            }
        }
        self.check();
    }

    fn capture(&mut self, stream: usize) {
        let still = self.new_still(stream);
        let mut streams = StreamSet::default();
        streams[stream] = true;
        let accepted = self.driver.handle_stills(vec![Still {
            id: still.id,
            streams,
            controls: control(PASSING),
            restore: control(UNSET),
        }]);
        let possible = !self.ending && !self.failed && !self.muted[stream];
        assert_eq!(accepted, possible, "a still of stream {stream}");
        if accepted {
            self.stills.push_back(still);
        }
    }

    fn fail(&mut self, change: impl FnOnce(&mut Driver)) {
        self.count_failure();
        change(&mut self.driver);
    }

    fn count_failure(&mut self) {
        if !self.ending && !self.failed {
            self.failures += 1;
            self.failed = true;
            self.fail_stills(|_| true);
        }
    }

    fn act(&mut self, refused: bool) {
        match self
            .driver
            .poll_action()
            .expect("has_work() promised something")
        {
            Action::WarnOfStall | Action::TellOfStarvation(_) | Action::TellOfState(_) => {
                unreachable!("nobody looks at this camera's time or its state")
            }
            Action::TellOfRefusal(control) => {
                assert_eq!(control, CONTROL);
                assert!(self.control.untold > 0, "nothing was given up");
                self.control.untold -= 1;
            }
            Action::TellOfStill(StillOutcome { id, result, .. }) => {
                let booked = self.outcomes.pop_front();
                assert_eq!(booked, Some((id, result.is_ok())), "what became of a still");
            }
            Action::Report(_) => {
                self.reports += 1;
                assert!(
                    self.reports <= self.failures,
                    "a report without a failure, or a second one"
                );
                for (stream, waiting) in self.outbox.iter().enumerate() {
                    let early =
                        self.driver.has_delivery(stream) && waiting.is_empty() && !self.ending;
                    assert!(!early, "an end before its reason");
                }
                self.driver.handle_reported();
                self.ending = true;
            }
            Action::Queue {
                request,
                frames,
                same_frames,
                controls,
            } => {
                assert!(self.is_queueable(), "nothing was to be queued");
                let still = self.riding().and_then(|place| self.stills.remove(place));
                let mut brought = self.control.pending.take();
                assert_eq!(
                    controls.as_deref().cloned(),
                    still.map_or(brought, |_| Some(PASSING)).map(control),
                    "what is pending goes with the next request, under what a still brings"
                );
                if still.is_some() {
                    let before = self.control.wanted.unwrap_or(UNSET);
                    let before = (!self.control.given_up).then_some(before);
                    self.control.pending = brought.take().or(before);
                }
                for (stream, frame) in frames.iter().enumerate().take(self.frames.len()) {
                    let asked_for = still.is_some_and(|still| still.stream == stream);
                    if self.is_on_demand(stream) {
                        assert_eq!(frame.is_some(), asked_for, "stream {stream} on demand");
                    }
                }
                let carried = &mut self.carried[request.0 as usize];
                assert_eq!(
                    same_frames,
                    *carried == frames,
                    "{request:?} carries {carried:?}"
                );
                let rests = self.last_completed != Some(request);
                assert!(
                    same_frames || rests,
                    "{request:?} is changed before a later one has completed"
                );
                *carried = frames;
                assert!(
                    self.camera.iter().all(|other| other.request != request),
                    "{request:?} is with the camera"
                );
                for (stream, frame) in frames.iter().enumerate() {
                    let Some(frame) = frame else { continue };
                    assert!(
                        self.is_free(stream, *frame),
                        "stream {stream}, {frame:?} is not free"
                    );
                }
                self.ticked = false;
                if refused {
                    self.carried[request.0 as usize] = FrameSet::default();
                    self.control.pending = self.control.pending.or(brought);
                    self.outcomes.extend(still.map(|still| (still.id, false)));
                    self.fail(|driver| driver.handle_queue_failed(request, gone()));
                } else {
                    if brought.is_some() {
                        for (_, newest) in self.camera.iter_mut().filter_map(|c| c.control.as_mut())
                        {
                            *newest = false;
                        }
                    }
                    self.camera.push(WithCamera {
                        request,
                        frames,
                        control: brought.map(|value| (value, true)),
                        still,
                    });
                }
            }
        }
    }

    fn complete(&mut self, nth: usize, how: How) {
        let WithCamera {
            request,
            frames,
            control,
            still,
        } = self.camera.remove(nth);
        self.last_completed = Some(request);
        if let Some((value, true)) = control {
            let stands = self.control.pending.is_none();
            if how != How::Cancelled {
                self.control.applied |= stands;
                self.control.setbacks *= u32::from(!stands);
            } else if stands {
                self.control.setbacks += 1;
                if self.control.setbacks < TRIES {
                    self.control.pending = Some(value);
                } else {
                    self.control.setbacks = 0;
                    self.control.given_up = true;
                    self.control.untold += 1;
                }
            }
        }
        self.cancelled_in_a_row = if how == How::Cancelled {
            self.cancelled_in_a_row + 1
        } else {
            0
        };
        if self.cancelled_in_a_row >= 4 * self.driver.request_count() {
            self.count_failure();
        }
        let completion = completion(request, &frames, how);
        self.driver.handle_completed(&completion, TIMING, 0);
        let filled = how != How::Cancelled && !self.ending;
        let mut lost = Vec::new();
        for (stream, completed) in completion.frames.iter().enumerate() {
            if let (true, Some(completed)) = (filled, completed) {
                let still = still.filter(|still| still.stream == stream);
                let still = still.map(|still| still.id);
                if self.policies[stream] == OutboxPolicy::Latest {
                    lost.extend(self.outbox[stream].drain(..).filter_map(|(_, still)| still));
                }
                if self.muted[stream] {
                    lost.extend(still);
                } else {
                    self.outbox[stream].push_back((completed.frame, still));
                }
            }
        }
        if let Some(still) = still
            && (!filled || completion.frames[still.stream].is_none())
        {
            self.outcomes.push_back((still.id, false));
        }
        self.outcomes.extend(lost.into_iter().map(|id| (id, false)));
    }

    fn take(&mut self, stream: usize) {
        let delivery = self.driver.poll_delivery(stream);
        match self.outbox[stream].pop_front() {
            Some((frame, still)) => {
                assert!(!self.ended[stream], "a frame behind the end");
                match delivery {
                    Some(Delivery::Frame(captured)) if captured.frame == frame => {
                        assert_eq!(captured.still, still);
                        assert_eq!(still.is_some(), self.is_on_demand(stream));
                        self.driver.handle_still_delivered(stream, &captured);
                        self.outcomes.extend(still.map(|still| (still, true)));
                    }
                    other => {
                        panic!("stream {stream}: {frame:?} was to be delivered, not {other:?}")
                    }
                }
                self.downstream[stream].push(frame);
            }
            None if self.ending => {
                assert_eq!(delivery, Some(Delivery::Eos), "stream {stream}");
                self.ended[stream] = true;
            }
            None => assert_eq!(delivery, None, "stream {stream}"),
        }
    }

    fn check(&self) {
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
    fn key(&self) -> u64 {
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

fn completion(request: RequestId, frames: &FrameSet, how: How) -> Completion {
    let status = match how {
        How::Cancelled => CompletionStatus::Cancelled,
        _ => CompletionStatus::Complete,
    };
    let last = frames.iter().rposition(Option::is_some);
    let mut completed = frames.map(|frame| {
        Some(CompletedFrame {
            frame: frame?,
            status: if how == How::Damaged {
                FrameStatus::Error
            } else {
                FrameStatus::Success
            },
            sequence: 0,
            bytes_used: None,
        })
    });
    if let (How::WithoutLastStream, Some(last)) = (how, last) {
        completed[last] = None;
    }
    Completion {
        request,
        status,
        sensor_timestamp: None,
        frames: completed,
    }
}

fn control(value: i32) -> Controls {
    [(CONTROL, ControlValue::One(Scalar::I32(value)))]
        .into_iter()
        .collect()
}

fn gone() -> CameraError {
    CameraError::Gone {
        camera: "camera".to_owned(),
    }
}

/// Visits every state that `frames` and `policy` can come to by such events, and says how many there are.
fn search(frames: &[u32], policy: Policy, wanted: fn(&Event) -> bool) -> usize {
    search_from(World::new(frames, policy), wanted)
}

fn search_from(first: World, wanted: fn(&Event) -> bool) -> usize {
    let (frames, policy) = (first.frames.clone(), first.policy);
    let mut seen = HashSet::from([first.key()]);
    let mut next = VecDeque::from([first]);
    while let Some(world) = next.pop_front() {
        for event in world.events().into_iter().filter(wanted) {
            let mut after = world.clone();
            after.apply(event);
            if seen.insert(after.key()) {
                next.push_back(after);
            }
        }
    }
    println!(
        "driver search: {frames:?} frames, {policy:?}: {} states",
        seen.len()
    );
    seen.len()
}

const fn policy(paced: bool, all_streams: bool) -> Policy {
    Policy {
        paced,
        all_streams,
        on_demand: [false; MAX_STREAMS],
    }
}

const POLICIES: [Policy; 4] = [
    policy(false, false),
    policy(false, true),
    policy(true, false),
    policy(true, true),
];

/// What changes a stream or a control while frames flow. Apart, or there would be more states than can be visited.
fn is_a_setting(event: &Event) -> bool {
    matches!(
        event,
        Event::Set | Event::Mute { .. } | Event::Policy { .. }
    )
}

#[test]
fn every_order_of_every_event_of_the_camera() {
    for policy in POLICIES {
        for frames in [&[2][..], &[1, 1]] {
            assert!(search(frames, policy, |event| !is_a_setting(event)) > 500);
        }
    }
    assert!(search(&[2, 1], policy(true, true), |event| !is_a_setting(event)) > 2000);
}

/// Of our own memory there can be more frames than the camera takes at a time.
#[test]
fn every_order_with_fewer_requests_than_frames() {
    // Two streams are many orders: they are taken with the usual policy alone.
    for (place, policy) in POLICIES.into_iter().enumerate() {
        for (frames, most) in [(&[3][..], 1), (&[2, 1], 2)] {
            if place > 0 && frames.len() > 1 {
                continue;
            }
            let mut first = World::new(frames, policy);
            first.driver.limit_in_flight(most);
            first.most_in_flight = most;
            first.carried.truncate(most + 1);
            let usual = |event: &Event| match event {
                Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
                Event::Act { refused } => !refused,
                Event::Flush | Event::MadeUp => false,
                event => !is_a_setting(event),
            };
            assert!(search_from(first, usual) > 500);
        }
    }
}

#[test]
fn every_order_of_a_control_and_what_becomes_of_requests() {
    let wanted = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
        Event::MadeUp | Event::Tick | Event::Flush => false,
        Event::Mute { .. } | Event::Policy { .. } => false,
        _ => true,
    };
    for frames in [&[2][..], &[1, 1]] {
        assert!(search(frames, Policy::default(), wanted) > 500);
    }
}

#[test]
fn every_order_of_pads_that_go_and_outboxes_of_the_latest() {
    let wanted = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::MadeUp | Event::Tick | Event::Set | Event::Gone => false,
        Event::Act { refused } => !refused,
        _ => true,
    };
    for frames in [&[2][..], &[1, 1], &[3]] {
        assert!(search(frames, Policy::default(), wanted) > 100);
    }
}

/// The last stream is on demand.
#[test]
fn every_order_of_stills_beside_a_stream() {
    let with_stills = |frames: &[u32], all_streams, most_stills, wanted| {
        let mut policy = policy(false, all_streams);
        policy.on_demand[frames.len() - 1] = true;
        let mut first = World::new(frames, policy);
        first.most_stills = most_stills;
        search_from(first, wanted)
    };
    let usual = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::Act { refused } => !refused,
        Event::Capture { .. } | Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    let ending = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::Mute { stream } => *stream == 1,
        Event::Act { .. } | Event::Capture { .. } | Event::Take { .. } => true,
        Event::Return { .. } | Event::Eos => true,
        _ => false,
    };
    let failing = |event: &Event| match event {
        Event::Complete { how, .. } => !matches!(how, How::Damaged),
        Event::Act { .. } | Event::Capture { .. } | Event::Take { .. } => true,
        Event::Return { .. } | Event::Gone => true,
        _ => false,
    };
    let beside_a_control = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
        Event::Act { refused } => !refused,
        Event::Capture { .. } | Event::Set | Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    for all_streams in [false, true] {
        assert!(with_stills(&[1, 1], all_streams, 2, usual) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, ending) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, failing) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, beside_a_control) > 100);
    }
    assert!(with_stills(&[2], false, 2, usual) > 100);
}

#[test]
fn every_order_of_what_two_streams_with_two_frames_do_all_day() {
    let usual = |event: &Event| match event {
        Event::Act { refused } => !refused,
        Event::Complete { how, .. } => matches!(how, How::Filled | How::WithoutLastStream),
        Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    for all_streams in [false, true] {
        assert!(search(&[2, 2], policy(false, all_streams), usual) > 2000);
    }
}

fn arbitrary_event() -> impl Strategy<Value = (u32, u32)> {
    (any::<u32>(), any::<u32>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_runs_of_bigger_worlds(
        frames in prop::collection::vec(1..6u32, 1..4),
        all_streams: bool,
        paced: bool,
        on_demand: StreamSet,
        choices in prop::collection::vec(arbitrary_event(), 400),
    ) {
        let mut world = World::new(&frames, Policy { paced, all_streams, on_demand });
        for (choice, rare) in choices {
            let mut events = world.events();
            // What ends everything comes seldom, or there would be no long run.
            if !rare.is_multiple_of(64) {
                let ends = |event: &Event| {
                    matches!(
                        event,
                        Event::Eos | Event::Gone | Event::Stop | Event::Mute { .. } | Event::Act { refused: true }
                    )
                };
                events.retain(|event| !ends(event));
            }
            world.apply(events[choice as usize % events.len()]);
        }
    }
}
