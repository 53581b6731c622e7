//! How long things took, in classes.

use std::time::Duration;

/// Classes to an octave, as a power of two: each is at most a quarter wider than the next.
const FINE: u32 = 2;
/// 2^42 ns are more than an hour; what takes longer counts as that.
const OCTAVES: usize = 42;
const CLASSES: usize = OCTAVES << FINE;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u32; CLASSES]>,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; CLASSES]),
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, duration: Duration) {
        self.max = self.max.max(duration);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(class(nanoseconds)) {
            *count = count.saturating_add(1);
        }
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    /// What that many per mille of the durations stayed below, to within a quarter; zero if there were none.
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_nanos(end_of(class)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// Numbers below 4 are classes of their own; above, the leading bit and the two that follow it say which.
fn class(nanoseconds: u64) -> usize {
    let octave = nanoseconds.max(1).ilog2();
    let class = match octave.checked_sub(FINE) {
        None => nanoseconds as usize,
        Some(shift) => {
            ((shift as usize + 1) << FINE) | ((nanoseconds >> shift) as usize & ((1 << FINE) - 1))
        }
    };
    class.min(CLASSES - 1)
}

/// The first number beyond a class.
fn end_of(class: usize) -> u64 {
    let octave = class >> FINE;
    let next = (class & ((1 << FINE) - 1)) as u64 + 1;
    match octave.checked_sub(1) {
        None => next,
        Some(shift) => ((1 << FINE) + next) << shift,
    }
}
