//! When a buffer was, and when it is to be shown.

use super::{
    SENSOR_CLOCK,
    clock::{Distance, Timebase},
};
use crate::shm::note::Times;

/// What a buffer has for an offset when it has none.
const NO_OFFSET: u64 = u64::MAX;

/// What it takes to know it: the segment, and how far the pipeline's clock is from the machine's.
#[derive(Debug, Default)]
pub struct Moments {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    distance: Distance,
}

impl Moments {
    pub fn set_segment(&mut self, segment: &gst::Segment) {
        self.segment = segment.clone().downcast().ok();
    }

    /// The times of a buffer. Its instant is known where it has a PTS and `timebase` is what running times are of.
    pub fn of(&mut self, buffer: &gst::BufferRef, timebase: Option<&Timebase>) -> Times {
        let running = |time: Option<gst::ClockTime>| {
            let time = self.segment.as_ref()?.to_running_time(time?)?;
            Some(time.nseconds())
        };
        let (pts, dts) = (running(buffer.pts()), running(buffer.dts()));
        let instant = pts.zip(timebase).and_then(|(pts, timebase)| {
            let distance = self.distance.measure(timebase);
            // A distance is how far running times are ahead of instants.
            i64::try_from(pts)
                .ok()?
                .checked_sub(distance)?
                .try_into()
                .ok()
        });
        let mut sensors = buffer.iter_meta::<gst::ReferenceTimestampMeta>();
        let sensor = sensors.find(|meta| meta.reference().is_subset(&SENSOR_CLOCK));
        Times {
            pts,
            dts,
            duration: buffer.duration().map(gst::ClockTime::nseconds),
            instant,
            offset: Some(buffer.offset()).filter(|offset| *offset != NO_OFFSET),
            offset_end: Some(buffer.offset_end()).filter(|offset| *offset != NO_OFFSET),
            sensor: sensor.map(|meta| meta.timestamp().nseconds()),
        }
    }
}
