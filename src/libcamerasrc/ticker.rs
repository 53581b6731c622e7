//! Ticks of the system clock: for paced requests at the frame rate, and for glances at a camera that may stall. They come from the clock's thread;
//! the capture task never sleeps for them.

use crate::capture::loop_state::LoopState;
use crate::sync::Weak;
use gst::prelude::*;

/// Ticks until it is dropped. A tick that is on its way then finds nobody.
#[derive(Debug)]
pub struct Ticker(gst::PeriodicClockId);

impl Ticker {
    pub fn new(
        interval: gst::ClockTime,
        state: Weak<LoopState>,
        tick: fn(&LoopState),
    ) -> Result<Self, gst::ClockError> {
        let clock = gst::SystemClock::obtain();
        let first = clock.time() + interval;
        let id = clock.new_periodic_id(first, interval);
        id.wait_async(move |_, _, _| {
            if let Some(state) = state.upgrade() {
                tick(&state);
            }
        })?;
        Ok(Self(id))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.unschedule();
    }
}
