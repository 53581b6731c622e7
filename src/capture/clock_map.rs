//! From the sensor's clock to the pipeline's.

use super::clock_distance::ClockDistance;

/// Several clocks read at (nearly) one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    pub monotonic: u64,
    pub boottime: u64,
    /// The pipeline's clock, where the element has one.
    pub pipeline: Option<u64>,
    /// How long reading them took: the readings may be apart by as much.
    pub bracket: u64,
}

/// Where a frame was in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// Time of the pipeline's clock at the exposure's begin. It may lie before the pipeline's start.
    pub pipeline: Option<i64>,
    /// From the exposure's begin to the completion.
    pub age: u64,
}

/// Translates sensor timestamps. It keeps the distance of the pipeline's clock from the sensor's.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockMap {
    distance: ClockDistance,
}

/// A frame that is older than this carries the time of another clock.
const OLDEST_NS: u64 = 5_000_000_000;

impl ClockMap {
    /// `None` for a frame without a timestamp of its own: it is as old as its completion.
    pub fn timing(&mut self, sensor: Option<u64>, now: ClockReading) -> Timing {
        // libcamera documents CLOCK_BOOTTIME, most drivers give CLOCK_MONOTONIC. They differ by the time that the machine has slept, and a
        // frame is never from the future: what lies ahead of one clock belongs to the other.
        let reference = match sensor {
            Some(sensor) if sensor > now.monotonic && sensor <= now.boottime => now.boottime,
            _ => now.monotonic,
        };
        let sensor = sensor
            .filter(|sensor| (reference.saturating_sub(OLDEST_NS)..reference).contains(sensor));
        let sensor = sensor.unwrap_or(reference);
        Timing {
            pipeline: now.pipeline.map(|pipeline| {
                let measured = pipeline as i64 - reference as i64;
                sensor as i64 + self.distance.smooth(measured, now.bracket)
            }),
            age: reference - sensor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ClockReading = ClockReading {
        monotonic: 10_000_000_000,
        boottime: 10_000_000_000,
        pipeline: Some(3_000_000_000),
        bracket: 200,
    };

    #[test]
    fn the_exposure_is_as_far_back_in_the_pipelines_clock_as_in_the_sensors() {
        let timing = ClockMap::default().timing(Some(9_980_000_000), NOW);
        assert_eq!(
            timing,
            Timing {
                pipeline: Some(2_980_000_000),
                age: 20_000_000
            }
        );
    }

    #[test]
    fn a_timestamp_that_counts_sleep_is_told_apart() {
        let slept = ClockReading {
            boottime: 50_000_000_000,
            ..NOW
        };
        let timing = ClockMap::default().timing(Some(49_990_000_000), slept);
        assert_eq!(timing.age, 10_000_000);
        assert_eq!(timing.pipeline, Some(2_990_000_000));
    }

    #[test]
    fn a_frame_from_before_the_pipelines_start_has_a_negative_time() {
        let early = ClockReading {
            pipeline: Some(5_000_000),
            ..NOW
        };
        let timing = ClockMap::default().timing(Some(9_980_000_000), early);
        assert_eq!(timing.pipeline, Some(-15_000_000));
    }

    #[test]
    fn no_clock_means_no_time_and_no_timestamp_means_now() {
        let unclocked = ClockReading {
            pipeline: None,
            ..NOW
        };
        assert_eq!(
            ClockMap::default().timing(Some(1), unclocked).pipeline,
            None
        );
        let timing = ClockMap::default().timing(None, NOW);
        assert_eq!(
            timing,
            Timing {
                pipeline: Some(3_000_000_000),
                age: 0
            }
        );
    }

    #[test]
    fn a_timestamp_from_the_future_is_as_good_as_none() {
        assert_eq!(ClockMap::default().timing(Some(u64::MAX), NOW).age, 0);
    }

    #[test]
    fn an_absurdly_old_timestamp_is_as_good_as_none() {
        assert_eq!(ClockMap::default().timing(Some(1), NOW).age, 0);
    }

    #[test]
    fn a_reading_that_was_interrupted_says_nothing() {
        let mut map = ClockMap::default();
        map.timing(None, NOW);
        let interrupted = ClockReading {
            pipeline: Some(3_008_000_000),
            bracket: 16_000_000,
            ..NOW
        };
        assert_eq!(map.timing(None, interrupted).pipeline, Some(3_000_000_000));
    }

    #[test]
    fn noise_of_a_reading_is_smoothed_and_another_clock_is_taken_at_once() {
        let mut map = ClockMap::default();
        map.timing(None, NOW);
        let late = ClockReading {
            pipeline: Some(3_000_160_000),
            ..NOW
        };
        assert_eq!(map.timing(None, late).pipeline, Some(3_000_010_000));
        let other = ClockReading {
            pipeline: Some(77),
            ..NOW
        };
        assert_eq!(map.timing(None, other).pipeline, Some(77));
    }
}
