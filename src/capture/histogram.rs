//! How long something took, over many times: percentiles without keeping the times.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Buckets for each doubling, so that a percentile is right to an eighth.
const STEPS: u64 = 8;
/// Up to 2^40 ns, 18 minutes.
const DOUBLINGS: usize = 40;

/// Counts times in nanoseconds. Any thread may count while another asks.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<AtomicU64>,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: (0..DOUBLINGS * STEPS as usize)
                .map(|_| AtomicU64::new(0))
                .collect(),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub fn count(&self, time: u64) {
        if let Some(count) = self.counts.get(bucket(time)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.max.fetch_max(time, Ordering::Relaxed);
    }

    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// The time that so many in a hundred did not exceed; 0 where nothing was counted.
    pub fn percentile(&self, percent: u64) -> u64 {
        let counts: Vec<u64> = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && total > 0 {
                return end(bucket).min(self.max());
            }
        }
        0
    }
}

fn bucket(time: u64) -> usize {
    let doubling = u64::from(time.max(STEPS).ilog2());
    let step = (time.max(STEPS) >> (doubling - STEPS.ilog2() as u64)) - STEPS;
    let doubling = doubling - u64::from(STEPS.ilog2());
    ((doubling * STEPS + step) as usize).min(DOUBLINGS * STEPS as usize - 1)
}

/// The longest time of a bucket.
fn end(bucket: usize) -> u64 {
    let (doubling, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    ((STEPS + step + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_ends_next() {
        for time in [8, 9, 15, 16, 17, 100, 1_000, 123_456, 1 << 39] {
            let bucket = bucket(time);
            assert!(end(bucket) >= time, "{time}");
            assert!(bucket == 0 || end(bucket - 1) < time, "{time}");
        }
        assert_eq!(bucket(0), bucket(8));
    }

    #[test]
    fn percentiles_are_right_to_an_eighth() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), 0);
        (1..=1000).for_each(|time| histogram.count(time * 1000));
        for percent in [1, 50, 99] {
            let (found, exact) = (histogram.percentile(percent), percent * 10_000);
            assert!(
                (exact..=exact * 9 / 8).contains(&found),
                "{percent}: {found}"
            );
        }
        assert_eq!(histogram.percentile(100), 1_000_000);
        histogram.count(u64::MAX);
        assert_eq!(histogram.max(), u64::MAX);
    }
}
