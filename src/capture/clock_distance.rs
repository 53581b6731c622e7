//! How far one clock is ahead of another, smoothed: one reading of two clocks is off by whatever happened between the two reads, the mean of many is not.

/// A distance that changes by more than this, and by more than its readings may be apart, is another clock or a clock that was set.
const JUMP_NS: u64 = 1_000_000;
const SMOOTHING: i64 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub struct ClockDistance(Option<i64>);

impl ClockDistance {
    /// Takes a measured distance into account, of readings that were so far apart. Returns the smoothed one. All in nanoseconds.
    pub fn smooth(&mut self, measured: i64, apart: u64) -> i64 {
        let distance = match self.0 {
            Some(distance) => {
                let change = measured.wrapping_sub(distance);
                if change.unsigned_abs() < JUMP_NS {
                    distance.wrapping_add(change / SMOOTHING)
                } else if change.unsigned_abs() <= apart {
                    // The thread was interrupted between the readings: they say nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smoothed_and_another_clock_is_not() {
        let mut distance = ClockDistance::default();
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
