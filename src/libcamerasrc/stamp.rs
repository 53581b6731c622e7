//! Timestamps and flags of a buffer, and the latency that follows from them.

use super::session::Session;
use crate::capture::stream::Captured;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What the frames since the camera's start have told about time.
#[derive(Debug, Default)]
pub struct Latency {
    /// The longest time from an exposure's begin to the push, in nanoseconds.
    longest: AtomicU64,
    /// What the pipeline was last told.
    announced: AtomicU64,
}

impl Latency {
    pub fn reset(&self) {
        self.longest.store(0, Ordering::Relaxed);
        self.announced.store(0, Ordering::Relaxed);
    }

    /// Takes a frame's age into account. True when the pipeline should ask for the latency again: it has grown by more than a frame's time.
    pub fn observe(&self, age: u64, session: &Session) -> bool {
        let longest = self.longest.fetch_max(age, Ordering::Relaxed).max(age);
        let step = session
            .interval
            .map_or(10_000_000, gst::ClockTime::nseconds);
        let grown = longest > self.announced.load(Ordering::Relaxed) + step;
        if grown {
            self.announced.store(longest, Ordering::Relaxed);
        }
        grown
    }

    /// A frame is pushed when it is complete, at least one interval after its exposure began; behind it wait as many as the camera has.
    pub fn range(&self, session: &Session) -> (gst::ClockTime, Option<gst::ClockTime>) {
        let interval = session.interval.unwrap_or_default();
        let longest = gst::ClockTime::from_nseconds(self.longest.load(Ordering::Relaxed));
        let min = interval + longest;
        let behind = u64::from(session.frames.saturating_sub(1));
        (
            min,
            session.interval.map(|interval| min + interval * behind),
        )
    }
}

/// Writes timestamps, offsets and flags. `base_time` is the element's.
pub fn stamp(
    buffer: &mut gst::BufferRef,
    captured: &Captured,
    session: &Session,
    base_time: Option<gst::ClockTime>,
    discont: bool,
) {
    let running = captured.timing.pipeline.zip(base_time).map(|(time, base)| {
        // A frame that was exposed before the pipeline's start belongs to its begin.
        gst::ClockTime::from_nseconds(u64::try_from(time - base.nseconds() as i64).unwrap_or(0))
    });
    buffer.set_pts(running);
    buffer.set_duration(session.interval);
    buffer.set_offset(captured.sequence.into());
    buffer.set_offset_end(u64::from(captured.sequence) + 1);
    let mut flags = gst::BufferFlags::empty();
    flags.set(gst::BufferFlags::DISCONT, discont);
    flags.set(gst::BufferFlags::CORRUPTED, captured.damaged);
    buffer.set_flags(flags);
    if let Some(used) = captured.bytes_used {
        buffer.set_size((used as usize).min(buffer.size()));
    }
}
