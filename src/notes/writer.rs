//! From a buffer to its note.

use gst_video::video_frame::VideoBufferExt;

use super::{
    FLAGS, SENSOR_CLOCK,
    clock::{Distance, Timebase},
    fields,
};
use crate::os::clock;
use crate::shm::caps_text::{self, CapsTextError};
use crate::shm::note::{Note, Planes, Times};

/// What a buffer has for an offset when it has none.
const NO_OFFSET: u64 = u64::MAX;

/// Where a frame was put.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub generation: u32,
    pub offset: u64,
    pub size: u64,
    pub sequence: u64,
}

/// Why readers cannot be told the caps.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    #[error(transparent)]
    Text(#[from] CapsTextError),
    #[error("caps that cannot be written as text")]
    Printed,
}

/// What it takes to write notes of one stream.
#[derive(Debug, Default)]
pub struct NoteWriter {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    distance: Distance,
    caps: String,
    planes: Planes,
    /// Kept for its memory.
    fields: Vec<u8>,
}

impl NoteWriter {
    pub fn set_segment(&mut self, segment: &gst::Segment) {
        self.segment = segment.clone().downcast().ok();
    }

    /// The caps of the frames that come, in memory that anybody can map. `info` says how they are laid out. On `Err` notes have no caps.
    pub fn set_caps(
        &mut self,
        caps: &gst::Caps,
        info: Option<&gst_video::VideoInfo>,
    ) -> Result<(), CapsError> {
        self.planes = info.map_or_else(Planes::default, |info| {
            let offsets = info.offset().iter().map(|offset| *offset as u64);
            Planes::new(offsets.zip(info.stride().iter().copied()))
        });
        let mut caps = caps.copy();
        if let Some(caps) = caps.get_mut() {
            caps.set_features_simple(None);
        }
        self.caps.clear();
        let text = caps.to_string();
        caps_text::names(&text)?;
        // GStreamer prints some values in a way that it does not understand itself.
        let again = text.parse::<gst::Caps>();
        if !again.is_ok_and(|again| again.is_strictly_equal(&caps)) {
            return Err(CapsError::Printed);
        }
        self.caps = text;
        Ok(())
    }

    /// Writes the note of a frame that lies there. `timebase` is what running times are of, if they are of anything.
    pub fn write(
        &mut self,
        buffer: &gst::BufferRef,
        place: Place,
        timebase: Option<&Timebase>,
        out: &mut [u8],
    ) {
        let times = self.times(buffer, timebase);
        fields::encode(buffer, &mut self.fields);
        let note = Note {
            generation: place.generation,
            offset: place.offset,
            size: place.size,
            sequence: place.sequence,
            flags: (buffer.flags().bits() | buffer.video_flags().bits()) & FLAGS,
            times,
            planes: self.planes,
            caps: &self.caps,
            fields: &self.fields,
        };
        note.encode(out);
    }

    fn times(&mut self, buffer: &gst::BufferRef, timebase: Option<&Timebase>) -> Times {
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
            instant: Some(instant.unwrap_or_else(clock::monotonic)),
            offset: Some(buffer.offset()).filter(|offset| *offset != NO_OFFSET),
            offset_end: Some(buffer.offset_end()).filter(|offset| *offset != NO_OFFSET),
            sensor: sensor.map(|meta| meta.timestamp().nseconds()),
        }
    }
}
