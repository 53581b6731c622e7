//! Between a pipeline's clock and CLOCK_MONOTONIC.

use gst::prelude::*;

use crate::os::clock;

/// Two readings that are farther apart than this were interrupted, and are taken again.
const NARROW: u64 = 20_000;
const ATTEMPTS: usize = 3;
/// A distance that changes by more than this, and by more than its readings are apart, is another clock or a clock that was set.
const JUMP: i64 = 1_000_000;
const SMOOTHING: i64 = 16;

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
pub struct Distance(Option<i64>);

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
        self.smooth(measured, signed(apart))
    }

    fn smooth(&mut self, measured: i64, apart: i64) -> i64 {
        let distance = match self.0 {
            Some(distance) => {
                let change = measured.wrapping_sub(distance);
                if change.unsigned_abs() < JUMP.unsigned_abs() {
                    distance.wrapping_add(change / SMOOTHING)
                } else if change.unsigned_abs() <= apart.unsigned_abs() {
                    distance
                } else {
                    measured
                }
            }
            None => measured,
        };
        self.0 = Some(distance);
        distance
    }
}

/// Times of clocks are below 2^63.
pub fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smoothed_and_another_clock_is_not() {
        let mut distance = Distance::default();
        assert_eq!(distance.smooth(1_000, 0), 1_000);
        assert_eq!(distance.smooth(1_000 + 1_600, 0), 1_100);
        // Interrupted between the readings.
        assert_eq!(distance.smooth(5_000_000, 6_000_000), 1_100);
        assert_eq!(distance.smooth(5_000_000, 100), 5_000_000);
        assert_eq!(distance.smooth(i64::MIN, 100), i64::MIN);
        // As far apart as can be is next to each other, for numbers that wrap.
        assert_eq!(distance.smooth(i64::MAX, 100), i64::MIN);
    }
}
