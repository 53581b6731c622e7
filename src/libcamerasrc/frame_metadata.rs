//! What the camera knew about each frame, from its completion to its buffer: a GstCustomMeta.

use super::controls::by_id;
use crate::camera::Controls;
use crate::controls::to_field;
use crate::sync::{Arc, Mutex};
use gst::meta::CustomMeta;
use std::collections::VecDeque;

/// Of the meta, and of its structure. No tags: it goes along with copies, and through elements that change pixels.
const NAME: &str = "libcamera";

/// Before the first buffer; as often as one likes.
pub fn register() {
    if !CustomMeta::is_registered(NAME) {
        CustomMeta::register_simple(NAME);
    }
}

/// What was reported of the last frames. Written in the camera's thread, read in the pads'.
#[derive(Debug)]
pub struct FrameMetadata {
    /// By the moment of completion, which all streams of a request share, the newest last.
    kept: Mutex<VecDeque<(u64, Arc<Controls>)>>,
    /// Frames that can be under way at a time, and so many more that none is missed by a pad that has just taken its frame.
    capacity: usize,
}

impl FrameMetadata {
    /// For so many frames of all streams.
    pub fn new(frames: usize) -> Self {
        let capacity = frames + 2;
        Self {
            kept: Mutex::new(VecDeque::with_capacity(capacity)),
            capacity,
        }
    }

    pub fn keep(&self, completed_at: u64, metadata: Arc<Controls>) {
        let mut kept = self.kept.lock();
        let oldest = (kept.len() >= self.capacity).then(|| kept.pop_front());
        kept.push_back((completed_at, metadata));
        drop(kept);
        drop(oldest);
    }

    pub fn of(&self, completed_at: u64) -> Option<Arc<Controls>> {
        let kept = self.kept.lock();
        let found = kept.iter().rev().find(|(at, _)| *at == completed_at);
        found.map(|(_, metadata)| metadata.clone())
    }
}

/// Writes it to the buffer, with the names and types of the element's properties.
pub fn attach(buffer: &mut gst::BufferRef, metadata: &Controls) {
    let Ok(mut meta) = CustomMeta::add(buffer, NAME) else {
        return;
    };
    let structure = meta.mut_structure();
    for (id, value) in metadata.iter() {
        if let Some(property) = by_id(id) {
            structure.set_value(
                property.name.as_str(),
                to_field(&property.definition, value),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frames_are_known_and_no_others() {
        let metadata = FrameMetadata::new(2);
        for at in 0..10 {
            metadata.keep(at, Arc::default());
        }
        let known: Vec<u64> = (0..12).filter(|at| metadata.of(*at).is_some()).collect();
        assert_eq!(known, [6, 7, 8, 9]);
    }
}
