//! One stream of a session: what it delivers, its frames and their pool.

use super::frames::{Frames, Origin, SlotFrames, plane_lengths};
use crate::camera::{FrameId, StreamConfig};
use crate::histogram::Histogram;
use crate::memory::import::{Need, Unfit};
use crate::memory::pool::{FramePool, Memories, PlaneLayout};
use crate::memory::slots::SlotSupply;
use crate::sync::{Mutex, atomic::AtomicU64};
use crate::video::caps::{Choice, Offer};
use crate::video::format::Media;
use crate::video::layout::frame_end;
use crate::video::repack::Repack;

pub struct SessionStream {
    pub caps: gst::Caps,
    pub frames: u32,
    /// Bytes of a frame up to the end of its last line. Its memory may be longer. `None` for formats whose frames differ in size.
    pub size: Option<usize>,
    /// From a frame's completion until its pad's thread pushes it.
    pub hand_over: Mutex<Histogram>,
    pub pool: FramePool,
    /// Whether its peer takes frames as DMABUFs, and only so.
    pub is_dmabuf: bool,
    /// Whose memory the frames are, and why not the peer's, where that has some.
    pub origin: Origin,
    pub unfit: Mutex<Option<Unfit>>,
    pub copies: Copies,
    layout: Option<PlaneLayout>,
    /// Bytes of each plane, and of a whole frame.
    planes: Vec<u32>,
    frame_size: usize,
}

/// Buffers that went downstream, by how.
#[derive(Debug, Default)]
pub struct Copies {
    /// As the camera filled them.
    pub none: AtomicU64,
    /// For a peer that does not see how planes lie.
    pub layout: AtomicU64,
    /// Because the camera would have had too few frames.
    pub scarce: AtomicU64,
}

impl SessionStream {
    /// `returned` is called in whatever thread drops the last memory of a frame.
    pub fn new(
        offer: &Offer,
        choice: &Choice,
        agreed: &StreamConfig,
        frames: Frames,
        returned: impl Fn(FrameId) + Send + Sync + 'static,
        stale: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        let layout = frames.planes;
        let count = match &frames.slots {
            Some(slots) => slots.at_a_time,
            None => frames.layouts.len(),
        };
        let pool = match (frames.slots, frames.held) {
            (Some(slots), _) => {
                let SlotFrames {
                    source,
                    area,
                    size,
                    at_a_time,
                } = slots;
                let supply = SlotSupply::new(source, &area, size, at_a_time, returned, stale);
                FramePool::of_slots(supply, layout.clone())
            }
            (None, Some(held)) => {
                FramePool::new(Memories::Buffers(held), layout.clone(), returned)?
            }
            (None, None) => {
                let files = Memories::Files(&frames.layouts, frames.kind);
                FramePool::new(files, layout.clone(), returned)?
            }
        };
        Ok(Self {
            is_dmabuf: choice.media.is_dmabuf(),
            caps: offer.fixed_caps(choice, agreed),
            frames: count as u32,
            size: match (&layout, choice.media) {
                (Some(layout), _) => Some(frame_end(layout.format, agreed, &layout.offsets)),
                (None, Media::Bayer(_)) => Some((agreed.stride * agreed.size.height) as usize),
                (None, _) => None,
            },
            hand_over: Mutex::default(),
            origin: frames.origin,
            unfit: Mutex::new(frames.unfit),
            copies: Copies::default(),
            planes: plane_lengths(choice, agreed),
            frame_size: agreed.frame_size as usize,
            pool,
            layout,
        })
    }

    /// How to copy frames for a peer that does not see their layout; `None` where they lie as the caps imply, or where a copy would be of another
    /// kind of memory.
    pub fn repack(&self) -> Result<Option<Repack>, glib::BoolError> {
        match &self.layout {
            Some(layout) if !self.is_dmabuf => {
                Repack::new(&self.caps, &layout.offsets, &layout.strides)
            }
            _ => Ok(None),
        }
    }

    /// Whether the peer's memory was tried for the frames.
    pub fn has_tried(&self) -> bool {
        self.origin == Origin::Peer || self.unfit.lock().is_some()
    }

    /// Why the frames are not in memory of the peer's, where that has some.
    pub fn refusal(&self) -> Option<String> {
        self.unfit.lock().as_ref().map(Unfit::to_string)
    }

    /// What memory of the peer's would have to be for frames of this stream.
    pub fn need(&self, anywhere: bool) -> Need<'_> {
        Need {
            caps: &self.caps,
            size: self.size.unwrap_or_default().max(self.frame_size),
            frames: self.frames as usize,
            layout: self.layout.as_ref(),
            planes: &self.planes,
            dmabuf: self.is_dmabuf,
            anywhere,
        }
    }
}
