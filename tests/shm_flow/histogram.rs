//! The histogram of how long acks take.

use std::time::Duration;

use gstlibcamerars::histogram::Histogram;

#[test]
fn histograms_know_their_quantiles_to_a_quarter() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.quantile(500), Duration::ZERO);
    for microseconds in 1..=1000 {
        histogram.record(Duration::from_micros(microseconds));
    }
    for per_mille in [1, 10, 500, 990, 1000] {
        let exact = Duration::from_micros(per_mille);
        let found = histogram.quantile(per_mille);
        assert!(
            (exact..=exact + exact / 4).contains(&found),
            "{per_mille}: {found:?}"
        );
    }
    assert_eq!(histogram.max(), Duration::from_millis(1));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.quantile(0), Duration::from_nanos(1024));
}
