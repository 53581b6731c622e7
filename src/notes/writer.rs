//! From a buffer to its note.

use super::{clock::Timebase, fields, flags_of, moments::Moments};
use crate::os::clock;
use crate::shm::caps_text::{self, CapsTextError};
use crate::shm::note::{Note, Planes, Times};

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
    moments: Moments,
    caps: String,
    planes: Planes,
    /// Kept for its memory.
    fields: Vec<u8>,
}

impl NoteWriter {
    pub fn set_segment(&mut self, segment: &gst::Segment) {
        self.moments.set_segment(segment);
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
        let times = self.moments.of(buffer, timebase);
        let times = Times {
            instant: Some(times.instant.unwrap_or_else(clock::monotonic)),
            ..times
        };
        fields::encode(buffer, &mut self.fields);
        let note = Note {
            generation: place.generation,
            offset: place.offset,
            size: place.size,
            sequence: place.sequence,
            flags: flags_of(buffer),
            times,
            planes: self.planes,
            caps: &self.caps,
            fields: &self.fields,
        };
        note.encode(out);
    }
}
