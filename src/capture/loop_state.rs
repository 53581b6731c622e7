//! What the threads of a streaming camera share: the driver under one leaf lock, and the two ways to be woken.
//!
//! | who | does | wakes |
//! |---|---|---|
//! | the camera's thread | [`LoopState::completed`], [`LoopState::state_changed`], [`LoopState::failed`] | the pad's thread, and the capture task if there is work for it |
//! | any thread, dropping a frame | [`LoopState::returned`] | the capture task |
//! | any thread that sets a control, or wants stills | [`LoopState::set_controls`], [`LoopState::capture`] | the capture task, if a request can go |
//! | the clock's thread | [`LoopState::tick`], [`LoopState::glance`] | the capture task |
//! | the capture task | [`LoopState::next_action`], [`LoopState::queue_failed`], [`LoopState::reported`] | the pad's thread |
//! | who helps it (see [`queueing`](super::queueing)) | [`LoopState::next_request`], [`LoopState::queue_failed`] | the pad's thread; the capture task, if there is more |
//! | the pad's thread | [`LoopState::next_delivery`], [`LoopState::still_taken`] | nobody; the capture task, which tells of a still while there is one |
//! | the application's thread | [`LoopState::end`], [`LoopState::discard`], [`LoopState::interrupt`], [`LoopState::mute`] | the pad's thread |
//!
//! The lock is the last one that any thread takes: nothing is called with it held. Each method publishes under the lock, leaves it, and then
//! notifies. The capture task is notified whenever there is work for it after a change, not when there was none before.

use super::{
    clock_map::Timing,
    control_queue::ControlCounters,
    driver::{Action, Driver, RequestCounters},
    stills::{Still, StillOutcome},
    stream::{Captured, Counters, Delivery, OutboxPolicy, Place},
};
use crate::camera::{CameraError, Completion, Controls, FrameId, MAX_STREAMS, RequestId};
use crate::sync::{
    Condvar, Mutex,
    atomic::{AtomicU64, Ordering},
};
use std::fmt;

struct State {
    driver: Driver,
    /// By stream.
    interrupted: [bool; MAX_STREAMS],
    /// There is no capture task any more.
    finished: bool,
}

/// Rounds of the capture task.
#[derive(Debug, Default)]
struct Rounds {
    all: AtomicU64,
    idle: AtomicU64,
}

pub struct LoopState {
    state: Mutex<State>,
    /// By stream: there is a delivery, or the wait for one is over.
    delivery: [Condvar; MAX_STREAMS],
    /// Wakes the capture task.
    wake: Box<dyn Fn() + Send + Sync>,
    /// CLOCK_MONOTONIC in nanoseconds, where this file may not look for itself.
    now: fn() -> u64,
    rounds: Rounds,
}

impl fmt::Debug for LoopState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopState")
    }
}

/// The wait for a delivery was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// What a stream has done since the camera's start, and where its frames are now.
#[derive(Clone, Copy, Debug)]
pub struct StreamReport {
    pub counters: Counters,
    pub free: usize,
    pub queued: usize,
    pub outbox: usize,
    pub downstream: usize,
}

impl LoopState {
    pub fn new(driver: Driver, wake: impl Fn() + Send + Sync + 'static, now: fn() -> u64) -> Self {
        Self {
            state: Mutex::new(State {
                driver,
                interrupted: [false; MAX_STREAMS],
                finished: false,
            }),
            delivery: std::array::from_fn(|_| Condvar::new()),
            wake: Box::new(wake),
            now,
            rounds: Rounds::default(),
        }
    }

    /// Changes the driver, and wakes whom the change concerns.
    fn publish<T>(&self, change: impl FnOnce(&mut Driver) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state.driver);
        if state.driver.starvation_has_changed() {
            state.driver.note_starvation((self.now)());
        }
        let work = state.driver.has_work();
        let deliverable: [bool; MAX_STREAMS] =
            std::array::from_fn(|stream| state.driver.has_delivery(stream));
        drop(state);
        for (delivery, deliverable) in self.delivery.iter().zip(deliverable) {
            if deliverable {
                delivery.notify_one();
            }
        }
        if work {
            (self.wake)();
        }
        result
    }

    /// `now` is when it was, in nanoseconds of CLOCK_MONOTONIC.
    pub fn completed(&self, completion: &Completion, timing: Timing, now: u64) {
        self.publish(|driver| driver.handle_completed(completion, timing, now));
    }

    /// The camera reports these states, which are not those of before.
    pub fn state_changed(&self, news: Controls) {
        self.publish(|driver| driver.handle_states(news));
    }

    pub fn failed(&self, error: CameraError) {
        self.publish(|driver| driver.handle_failure(error));
    }

    pub fn returned(&self, stream: usize, frame: FrameId) {
        self.publish(|driver| driver.handle_returned(stream, frame));
    }

    pub fn tick(&self) {
        self.publish(Driver::handle_tick);
    }

    pub fn glance(&self) {
        self.publish(Driver::handle_glance);
    }

    pub fn queue_failed(&self, request: RequestId, error: CameraError) {
        self.publish(|driver| driver.handle_queue_failed(request, error));
    }

    /// The failure was told to the user.
    pub fn reported(&self) {
        self.publish(Driver::handle_reported);
    }

    pub fn end(&self) {
        self.publish(Driver::handle_eos);
    }

    pub fn discard(&self) {
        self.publish(Driver::handle_discard);
    }

    pub fn set_controls(&self, controls: Controls) {
        self.publish(|driver| driver.handle_controls(controls));
    }

    /// Pictures to take of streams on demand. False when that cannot be done; otherwise there is one outcome of each, from [`Self::next_action`] or,
    /// in the end, from [`Self::take_still_outcomes`], [`Self::finish`] or [`Self::still_taken`].
    pub fn capture(&self, stills: Vec<Still>) -> bool {
        self.publish(|driver| driver.handle_stills(stills))
    }

    /// The pad's thread pushes the frame of a still that it has taken, or drops it. It may be late with that: what is returned is for it to tell, as
    /// there is no capture task any more.
    pub fn still_taken(
        &self,
        stream: usize,
        captured: &Captured,
        pushed: bool,
    ) -> Vec<StillOutcome> {
        if captured.still.is_none() {
            return Vec::new();
        }
        self.publish(|driver| match pushed {
            true => driver.handle_still_delivered(stream, captured),
            false => driver.handle_still_dropped(stream, captured),
        });
        let mut state = self.state.lock();
        if state.finished {
            state.driver.take_still_outcomes()
        } else {
            Vec::new()
        }
    }

    /// To be called before the camera is stopped, which gives back what it has unfilled.
    pub fn take_still_outcomes(&self) -> Vec<StillOutcome> {
        self.state.lock().driver.take_still_outcomes()
    }

    /// To be called when the camera was stopped and the capture task has ended: ends the streams, and says what became of the stills that were not told
    /// of, but for those whose frames pads' threads have in their hands.
    pub fn finish(&self) -> Vec<StillOutcome> {
        self.end();
        self.discard();
        let mut state = self.state.lock();
        state.finished = true;
        state.driver.take_still_outcomes()
    }

    /// Those that have not reached the camera. To be called when it was stopped.
    pub fn take_controls(&self) -> Controls {
        self.state.lock().driver.take_controls()
    }

    pub fn set_outbox_policy(&self, stream: usize, policy: OutboxPolicy) {
        self.publish(|driver| driver.handle_outbox_policy(stream, policy));
    }

    /// Nobody takes this stream's frames any more: they go home by themselves.
    pub fn mute(&self, stream: usize) {
        self.publish(|driver| driver.handle_muted(stream));
    }

    pub fn next_action(&self) -> Option<Action> {
        self.state.lock().driver.poll_action()
    }

    /// The next request, unless there is something to tell first.
    pub fn next_request(&self) -> Option<Action> {
        self.state.lock().driver.poll_request()
    }

    pub fn has_news(&self) -> bool {
        self.state.lock().driver.has_news()
    }

    /// To be called at the end of each round of the capture task.
    pub fn count_round(&self, idle: bool) {
        self.rounds.all.fetch_add(1, Ordering::Relaxed);
        self.rounds.idle.fetch_add(idle.into(), Ordering::Relaxed);
    }

    /// How many rounds the capture task has made, and in how many of them there was nothing to do.
    pub fn rounds(&self) -> (u64, u64) {
        (
            self.rounds.all.load(Ordering::Relaxed),
            self.rounds.idle.load(Ordering::Relaxed),
        )
    }

    /// Waits for a stream's next frame, or its end.
    pub fn next_delivery(&self, stream: usize) -> Result<Delivery, Interrupted> {
        let Some(delivery) = self.delivery.get(stream) else {
            return Ok(Delivery::Eos);
        };
        let mut state = self.state.lock();
        loop {
            let interrupted = state.interrupted.get_mut(stream);
            if interrupted.is_some_and(std::mem::take) {
                return Err(Interrupted);
            }
            if let Some(delivery) = state.driver.poll_delivery(stream) {
                return Ok(delivery);
            }
            delivery.wait(&mut state);
        }
    }

    /// Breaks off the wait for a stream, or the next one. What for is to be published elsewhere, before this is called.
    pub fn interrupt(&self, stream: usize) {
        let mut state = self.state.lock();
        if let Some(flag) = state.interrupted.get_mut(stream) {
            *flag = true;
        }
        drop(state);
        if let Some(delivery) = self.delivery.get(stream) {
            delivery.notify_all();
        }
    }

    pub fn report(&self, stream: usize) -> StreamReport {
        let state = self.state.lock();
        let frames_in = |place| state.driver.frames_in(stream, place);
        StreamReport {
            counters: state.driver.counters(stream),
            free: frames_in(Place::Free),
            queued: frames_in(Place::Queued),
            outbox: frames_in(Place::Outbox),
            downstream: frames_in(Place::Downstream)
                .saturating_sub(state.driver.idle_frames(stream)),
        }
    }

    pub fn request_counters(&self) -> (RequestCounters, ControlCounters) {
        let state = self.state.lock();
        (
            state.driver.request_counters(),
            state.driver.control_counters(),
        )
    }
}
