//! Tells the application of frames that nobody gets, but not of each.

use std::time::{Duration, Instant};

/// Between two messages.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct DropReports {
    last: Option<Instant>,
}

impl DropReports {
    /// A frame was dropped: is it time to say so?
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PERIOD);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// The message: what was dropped of how many.
pub(super) fn message(
    source: &impl glib::prelude::IsA<gst::Object>,
    buffer: &gst::BufferRef,
    processed: u64,
    dropped: u64,
) -> gst::Message {
    gst::message::Qos::builder(true)
        .timestamp(buffer.pts())
        .duration(buffer.duration())
        .stats(
            gst::format::Buffers::from_u64(processed),
            gst::format::Buffers::from_u64(dropped),
        )
        .src(source)
        .build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_of_many_drops_is_told_with_all_counts() {
        gst::init().unwrap();
        let mut reports = DropReports::default();
        assert!(reports.is_due());
        assert!((0..1000).all(|_| !reports.is_due()));
        reports.last = reports.last.and_then(|last| last.checked_sub(PERIOD));
        assert!(reports.is_due(), "a period later");

        let mut buffer = gst::Buffer::new();
        let time = gst::ClockTime::from_seconds(3);
        buffer.get_mut().unwrap().set_pts(time);
        let element = gst::Bin::new();
        let message = message(&element, &buffer, 40, 2);
        let gst::MessageView::Qos(qos) = message.view() else {
            panic!("{message:?}");
        };
        let (live, _, _, timestamp, _) = qos.get();
        assert!(live);
        assert_eq!(timestamp, Some(time));
        let (processed, dropped) = qos.stats();
        assert_eq!(processed.value(), 40);
        assert_eq!(dropped.value(), 2);
    }
}
