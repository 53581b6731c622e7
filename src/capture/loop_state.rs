//! What the threads of a streaming camera share: the driver under one leaf lock, and the two ways to be woken.
//!
//! | who | does | wakes |
//! |---|---|---|
//! | the camera's thread | [`LoopState::completed`], [`LoopState::failed`] | the pad's thread, and the capture task if there is work for it |
//! | any thread, dropping a frame | [`LoopState::returned`] | the capture task |
//! | the clock's thread | [`LoopState::tick`], [`LoopState::glance`] | the capture task |
//! | the capture task | [`LoopState::next_action`], [`LoopState::queue_failed`], [`LoopState::reported`] | the pad's thread |
//! | the pad's thread | [`LoopState::next_delivery`] | nobody |
//! | the application's thread | [`LoopState::end`], [`LoopState::discard`], [`LoopState::set_flushing`] | the pad's thread |
//!
//! The lock is the last one that any thread takes: nothing is called with it held. Each method publishes under the lock, leaves it, and then
//! notifies. The capture task is notified whenever there is work for it after a change, not when there was none before.

use super::{
    clock_map::Timing,
    driver::{Action, Driver},
    stream::{Counters, Delivery},
};
use crate::camera::{CameraError, Completion, FrameId, MAX_STREAMS, RequestId};
use crate::sync::{Condvar, Mutex};
use std::fmt;

struct State {
    driver: Driver,
    /// By stream.
    flushing: [bool; MAX_STREAMS],
}

pub struct LoopState {
    state: Mutex<State>,
    /// By stream: there is a delivery, or the wait for one is over.
    delivery: [Condvar; MAX_STREAMS],
    /// Wakes the capture task.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for LoopState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopState")
    }
}

/// The wait for a delivery was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushing;

impl LoopState {
    pub fn new(driver: Driver, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::new(State {
                driver,
                flushing: [false; MAX_STREAMS],
            }),
            delivery: std::array::from_fn(|_| Condvar::new()),
            wake: Box::new(wake),
        }
    }

    /// Changes the driver, and wakes whom the change concerns.
    fn publish(&self, change: impl FnOnce(&mut Driver)) {
        let mut state = self.state.lock();
        change(&mut state.driver);
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
    }

    pub fn completed(&self, completion: &Completion, timing: Timing) {
        self.publish(|driver| driver.handle_completed(completion, timing));
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

    pub fn next_action(&self) -> Option<Action> {
        self.state.lock().driver.poll_action()
    }

    /// Waits for a stream's next frame, or its end.
    pub fn next_delivery(&self, stream: usize) -> Result<Delivery, Flushing> {
        let Some(delivery) = self.delivery.get(stream) else {
            return Ok(Delivery::Eos);
        };
        let mut state = self.state.lock();
        loop {
            if state.flushing.get(stream) == Some(&true) {
                return Err(Flushing);
            }
            if let Some(delivery) = state.driver.poll_delivery(stream) {
                return Ok(delivery);
            }
            delivery.wait(&mut state);
        }
    }

    /// While it is set nobody waits for this stream. Only this clears it: a wait that begins later is broken off as well.
    pub fn set_flushing(&self, stream: usize, flushing: bool) {
        let mut state = self.state.lock();
        if let Some(flag) = state.flushing.get_mut(stream) {
            *flag = flushing;
        }
        drop(state);
        if let Some(delivery) = self.delivery.get(stream) {
            delivery.notify_all();
        }
    }

    pub fn counters(&self, stream: usize) -> Counters {
        self.state.lock().driver.counters(stream)
    }
}
