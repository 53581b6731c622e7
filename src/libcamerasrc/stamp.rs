//! Timestamps and flags of a buffer, and the latency that follows from them.

use super::session::PadStream;
use crate::capture::stream::Captured;
use crate::memory::pool::set_sensor_time;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is told beyond the longest age that was seen, so that a frame that is a little older is not late.
const SLACK_NS: u64 = 5_000_000;

/// The time from an exposure's begin to the push, as the pipeline was last told, in nanoseconds.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

impl Latency {
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Takes a frame's age into account. True when the pipeline has to ask for the latency again.
    pub fn observe(&self, age: u64) -> bool {
        let grown = age > self.0.load(Ordering::Relaxed);
        if grown {
            self.0.store(age + SLACK_NS, Ordering::Relaxed);
        }
        grown
    }

    /// A frame is pushed when it is complete, at least one interval after its exposure began; behind it wait as many as the camera has.
    pub fn range(&self, stream: Option<&PadStream>) -> (gst::ClockTime, Option<gst::ClockTime>) {
        let age = gst::ClockTime::from_nseconds(self.0.load(Ordering::Relaxed));
        let Some((stream, interval)) = stream.map(|stream| (stream, stream.session.interval))
        else {
            return (age, None);
        };
        let min = interval.unwrap_or_default() + age;
        let frames = stream.stream().map_or(1, |stream| stream.frames);
        let behind = u64::from(frames.saturating_sub(1));
        (min, interval.map(|interval| min + interval * behind))
    }
}

/// Writes timestamps, offsets and flags. `base_time` is the element's.
pub fn stamp(
    buffer: &mut gst::BufferRef,
    captured: &Captured,
    stream: &PadStream,
    base_time: Option<gst::ClockTime>,
    discont: bool,
) {
    let running = captured.timing.pipeline.zip(base_time).map(|(time, base)| {
        // A frame that was exposed before the pipeline's start belongs to its begin.
        gst::ClockTime::from_nseconds(u64::try_from(time - base.nseconds() as i64).unwrap_or(0))
    });
    buffer.set_pts(running);
    // A camera without timestamps has the moment at which the frame was complete.
    let sensor = captured.sensor_timestamp.unwrap_or(captured.completed_at);
    set_sensor_time(buffer, gst::ClockTime::from_nseconds(sensor));
    buffer.set_duration(stream.session.interval);
    buffer.set_offset(captured.sequence.into());
    buffer.set_offset_end(u64::from(captured.sequence) + 1);
    let mut flags = gst::BufferFlags::empty();
    flags.set(gst::BufferFlags::DISCONT, discont);
    flags.set(gst::BufferFlags::CORRUPTED, captured.damaged);
    buffer.set_flags(flags);
    // A frame that was cut short keeps its size, which consumers map by its caps; one that is compressed is as long as it came out.
    let fixed = stream.stream().and_then(|stream| stream.size);
    let used = fixed.or(captured.bytes_used.map(|used| used as usize));
    if let Some(used) = used.filter(|used| *used < buffer.size()) {
        buffer.set_size(used);
    }
}
