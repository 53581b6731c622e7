//! Between a pipeline's clock and CLOCK_MONOTONIC.

use gst::prelude::*;

use crate::capture::clock_distance::ClockDistance;
use crate::os::clock;

/// Two readings that are farther apart than this were interrupted, and are taken again.
const NARROW: u64 = 20_000;
const ATTEMPTS: usize = 3;

/// A pipeline's clock, and when its running time began.
#[derive(Debug, Clone)]
pub struct Timebase {
    pub clock: gst::Clock,
    pub base_time: gst::ClockTime,
}

impl Timebase {
    /// That of an element that is playing.
    pub fn of(element: &impl IsA<gst::Element>) -> Option<Self> {
        Some(Self {
            clock: element.clock()?,
            base_time: element.base_time()?,
        })
    }
}

/// How far a pipeline's running time is ahead of CLOCK_MONOTONIC, smoothed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Distance(ClockDistance);

impl Distance {
    /// In nanoseconds, as of now.
    pub fn measure(&mut self, timebase: &Timebase) -> i64 {
        let mut best: Option<(u64, i64)> = None;
        for _ in 0..ATTEMPTS {
            let before = clock::monotonic();
            let time = timebase.clock.time();
            let apart = clock::monotonic().saturating_sub(before);
            let running =
                signed(time.nseconds()).wrapping_sub(signed(timebase.base_time.nseconds()));
            let distance = running.wrapping_sub(signed(before + apart / 2));
            if best.is_none_or(|(narrowest, _)| apart < narrowest) {
                best = Some((apart, distance));
            }
            if apart < NARROW {
                break;
            }
        }
        let (apart, measured) = best.unwrap_or_default();
        self.0.smooth(measured, apart)
    }
}

/// Times of clocks are below 2^63.
pub fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
