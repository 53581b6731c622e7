//! What a simulated camera is told to do wrong.

use crate::camera::{ControlId, ControlValue, Controls};
use crate::sync::Mutex;
use std::collections::VecDeque;

/// Something that happens to the next frame that the camera would deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The frame's content is damaged.
    Damaged,
    /// The camera wrote so many bytes of it only.
    Short(u32),
    /// The request comes back cancelled.
    Cancelled,
    /// The completion does not name this stream.
    WithoutStream(usize),
    /// The request behind it completes first.
    Overtaken,
    /// The sensor's count goes on by so many more.
    Gap(u32),
    /// The completion of a request that the camera never had comes first.
    MadeUp,
}

/// How many starts go well before one that does not.
#[derive(Debug, Default)]
struct Countdown(Option<u32>);

impl Countdown {
    fn is_over(&mut self) -> bool {
        let left = self.0.take();
        self.0 = left.and_then(|left| left.checked_sub(1));
        left == Some(0)
    }
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    stalled: bool,
    gone: bool,
    bad: bool,
    refuse_queue: bool,
    refused_start: Countdown,
    unfilled_start: Countdown,
    /// The run that goes on is one that fills nothing.
    fills_nothing: bool,
    configurations: usize,
    told: Vec<(ControlId, ControlValue)>,
    pretended: Controls,
}

/// Shared by a test and its camera.
#[derive(Debug, Default)]
pub struct Script(Mutex<State>);

impl Script {
    /// For the next frame that has no fault yet.
    pub fn fault(&self, fault: Fault) {
        self.0.lock().faults.push_back(fault);
    }

    /// While stalled, the camera keeps its requests and completes none. A stop gives them back all the same.
    pub fn stall(&self, stalled: bool) {
        self.0.lock().stalled = stalled;
    }

    /// The camera vanishes: it says so, and gives back nothing of what it has.
    pub fn vanish(&self) {
        self.0.lock().gone = true;
    }

    /// From now on it offers no stream.
    pub fn turn_bad(&self) {
        self.0.lock().bad = true;
    }

    pub fn refuse_next_queue(&self) {
        self.0.lock().refuse_queue = true;
    }

    pub fn refuse_next_start(&self) {
        self.refuse_start_after(0);
    }

    /// The same for the one after so many that go well.
    pub fn refuse_start_after(&self, starts: u32) {
        self.0.lock().refused_start = Countdown(Some(starts));
    }

    /// After so many starts comes one after which every request is given back unfilled, as drivers do that cannot write to the memory.
    pub fn fill_nothing_after(&self, starts: u32) {
        self.0.lock().unfilled_start = Countdown(Some(starts));
    }

    /// Reports these values as well, which nobody has given it.
    pub fn pretend(&self, metadata: &Controls) {
        self.0.lock().pretended.extend(metadata.clone());
    }

    /// How often it was configured.
    pub fn configurations(&self) -> usize {
        self.0.lock().configurations
    }

    /// Every control that the camera was given, in order.
    pub fn told(&self) -> Vec<(ControlId, ControlValue)> {
        self.0.lock().told.clone()
    }

    /// What it reports of a frame when it had been told of so many controls: the last value of each.
    pub(super) fn current(&self, told: usize) -> Controls {
        let state = self.0.lock();
        let mut current: Controls = state.told.iter().take(told).cloned().collect();
        current.extend(state.pretended.clone());
        current
    }

    /// How many it was told of with these.
    pub(super) fn tell(&self, controls: Option<&Controls>) -> usize {
        let controls = controls.into_iter().flat_map(Controls::iter);
        let told = &mut self.0.lock().told;
        told.extend(controls.map(|(id, value)| (id, value.clone())));
        told.len()
    }

    pub(super) fn count_configuration(&self) {
        self.0.lock().configurations += 1;
    }

    pub(super) fn next_fault(&self) -> Option<Fault> {
        let mut state = self.0.lock();
        match state.fills_nothing {
            true => Some(Fault::Cancelled),
            false => state.faults.pop_front(),
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.0.lock().stalled
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0.lock().gone
    }

    pub(super) fn is_bad(&self) -> bool {
        self.0.lock().bad
    }

    pub(super) fn refuses_queue(&self) -> bool {
        std::mem::take(&mut self.0.lock().refuse_queue)
    }

    pub(super) fn refuses_start(&self) -> bool {
        let mut state = self.0.lock();
        state.fills_nothing = state.unfilled_start.is_over();
        state.refused_start.is_over()
    }
}
