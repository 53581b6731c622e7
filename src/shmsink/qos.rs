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
