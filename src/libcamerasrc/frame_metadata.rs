//! What the camera knew about each frame, from its completion to its buffer: a GstCustomMeta.

use super::controls;
use crate::camera::{Completion, Controls, FrameId, MAX_STREAMS};
use crate::capture::stills::StillId;
use crate::memory::custom_meta::Kind;
use crate::notes::fields;
use crate::sync::{Arc, Mutex};

static META: Kind = Kind::new(fields::META);

/// What was reported of each frame that is with us or downstream. Written in the camera's thread, read in the pads'.
#[derive(Debug)]
pub struct FrameMetadata(Mutex<Vec<Vec<Option<Arc<Controls>>>>>);

impl FrameMetadata {
    /// For streams of so many frames.
    pub fn new(frames: &[u32]) -> Self {
        let stream = |frames: &u32| vec![None; *frames as usize];
        Self(Mutex::new(frames.iter().map(stream).collect()))
    }

    /// A frame is not completed again before its pad has taken it and downstream has let go of it.
    pub fn keep(&self, completion: &Completion, metadata: &Arc<Controls>) {
        let mut replaced = [const { None }; MAX_STREAMS];
        let mut streams = self.0.lock();
        let frames = streams.iter_mut().zip(&completion.frames);
        for ((stream, frame), replaced) in frames.zip(&mut replaced) {
            let place = frame.and_then(|frame| stream.get_mut(frame.frame.0 as usize));
            if let Some(place) = place {
                *replaced = place.replace(metadata.clone());
            }
        }
        drop(streams);
        drop(replaced);
    }

    pub fn of(&self, stream: usize, frame: FrameId) -> Option<Arc<Controls>> {
        let streams = self.0.lock();
        streams.get(stream)?.get(frame.0 as usize)?.clone()
    }
}

/// Writes it to the buffer, with the names and types of the element's properties; and which still it is, if it is one. The meta stays with the
/// camera's buffers from then on, and is written over.
pub fn attach(buffer: &mut gst::BufferRef, metadata: Option<&Controls>, still: Option<StillId>) {
    let Some(structure) = META.fields(buffer) else {
        return;
    };
    let count = metadata.map_or(0, Controls::len) + if still.is_some() { 2 } else { 0 };
    write(structure, metadata, still);
    // What an earlier frame had beside them, or a camera has told that is no property.
    if structure.n_fields() != count {
        structure.remove_all_fields();
        write(structure, metadata, still);
    }
}

fn write(structure: &mut gst::StructureRef, metadata: Option<&Controls>, still: Option<StillId>) {
    if let Some(metadata) = metadata {
        controls::write(metadata, structure);
    }
    if let Some(still) = still {
        structure.set("still-id", still.capture);
        structure.set("still-index", still.index);
    }
}
