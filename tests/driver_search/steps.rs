//! Each event: the driver is told of it, and the world's book has it.

use std::collections::VecDeque;

use gstlibcamerars::{
    camera::{
        CameraError, CompletedFrame, Completion, CompletionStatus, FrameId, FrameSet, FrameStatus,
        RequestId,
    },
    capture::{
        clock_map::Timing,
        control_queue::TRIES,
        driver::{Action, Driver},
        stills::{Still, StillOutcome, StreamSet},
        stream::{Delivery, OutboxPolicy},
    },
};

use super::{
    BookedStill, CONTROL, ControlBook, Event, How, PASSING, UNSET, WithCamera, World, control,
};

const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};

impl World {
    pub fn apply(&mut self, event: Event) {
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

    /// Empties an outbox but for the newest so many. The stills in it are lost.
    fn drop_waiting(&mut self, stream: usize, kept: usize) {
        while self.outbox[stream].len() > kept {
            let (_, still) = self.outbox[stream].pop_front().unwrap();
            self.outcomes.extend(still.map(|still| (still, false)));
        }
    }

    fn fail_stills(&mut self, of: impl Fn(usize) -> bool) {
        let (failed, left) = self.stills.iter().partition(|still| of(still.stream));
        self.stills = left;
        let failed: VecDeque<BookedStill> = failed;
        self.outcomes
            .extend(failed.iter().map(|still| (still.id, false)));
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

fn gone() -> CameraError {
    CameraError::Gone {
        camera: "camera".to_owned(),
    }
}
