//! How large slots and areas are.

use std::ops::Range;

/// Every slot begins at a multiple of this.
const SLOT_ALIGNMENT: u64 = 64 * 1024;
/// Frames begin on a page.
const PAGE: u64 = 4096;
/// Areas that can live at the same time: as there are so many pages in the alignment of slots, so many areas have their frames at distinct offsets.
/// One page less, because no frame begins with its slot: the first page is the note's.
pub const MAX_AREAS: usize = (SLOT_ALIGNMENT / PAGE - 1) as usize;
const MAX_COLOUR: u64 = SLOT_ALIGNMENT - PAGE;

/// The first bytes of the area's first slot: its header. They keep their memory as long as the area lives.
pub const HEADER_SIZE: u64 = 64;
/// The frame's note follows, up to the second page of each slot. Stock readers are told of frames only, which begin there or later.
pub const NOTE_SIZE: u64 = PAGE - HEADER_SIZE;

/// The slots that clients cannot take: one is being written, one is the newest frame.
pub const RESERVE: usize = 2;
/// Slots that the element before the sink may have at a time, to write its frames straight into them.
pub const UPSTREAM: usize = 4;
/// Frames that one client may hold with all that is lent to it. A socket takes 278 messages before it is full.
pub const MAX_HELD: usize = 128;

/// A reader keeps a frame's size in an `int`.
const MAX_FRAME_SIZE: u64 = i32::MAX as u64;

/// How many frames each client may hold, how many clients there may be, and how much memory that may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Frames that each client may hold.
    pub window: usize,
    /// Clients at the same time.
    pub max_clients: usize,
    /// Bytes of one area; `None` when the frames' size decides.
    pub area_size: Option<u64>,
    /// Slots that upstream may have, if the area's size allows it.
    pub upstream: usize,
}

impl Limits {
    /// There can be an area for frames of this size.
    pub fn fit(&self, frame_size: u64) -> bool {
        Layout::new(1, 0, frame_size, self).is_ok()
    }
}

/// Why there can be no area for frames of some size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error(
        "frames of {frame_size} bytes need {needed} bytes of shared memory ({slots} slots: {RESERVE} + client-window {window} x max-clients \
         {max_clients}), but shm-size is {limit}. Set shm-size to {needed} or more or to 0 (automatic), or lower client-window or max-clients"
    )]
    OverLimit {
        frame_size: u64,
        needed: u64,
        slots: usize,
        window: usize,
        max_clients: usize,
        limit: u64,
    },
    #[error(
        "a frame of {frame_size} bytes cannot be sent: readers take at most {MAX_FRAME_SIZE} bytes. Send smaller frames"
    )]
    FrameTooLarge { frame_size: u64 },
}

/// Where the frames of one generation lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The area's id on the wire, from 1.
    pub generation: u32,
    /// Which page of its slot a frame begins at, from the second on, below [`MAX_AREAS`]; no two areas that live have the same.
    pub colour: usize,
    /// Bytes that a slot has for its frame.
    pub capacity: u64,
    /// Bytes from one slot to the next.
    pub stride: u64,
    /// Slots of the whole area.
    pub slots: usize,
    /// Slots that are no client's: the reserve, and upstream's.
    pub base: usize,
    /// Those of them that upstream may have.
    pub upstream: usize,
    /// Slots beyond what all clients are guaranteed, which can be lent.
    pub surplus: usize,
    /// The bound on its size that it was made for.
    pub limit: Option<u64>,
}

impl Layout {
    /// The layout for frames of up to `frame_size` bytes. Without a bound it has what the promise to all clients takes; with one it has as
    /// much as fits, and what is more than that promise takes is lent.
    pub fn new(
        generation: u32,
        colour: usize,
        frame_size: u64,
        limits: &Limits,
    ) -> Result<Self, LayoutError> {
        if frame_size > MAX_FRAME_SIZE {
            return Err(LayoutError::FrameTooLarge { frame_size });
        }
        // Room for the largest colour, so that what fits a bound once fits it with every colour.
        let stride = (frame_size.max(1) + MAX_COLOUR).next_multiple_of(SLOT_ALIGNMENT);
        let fits = limits
            .area_size
            .map(|limit| usize::try_from(limit / stride).unwrap_or(usize::MAX));
        let windows = limits.window * limits.max_clients;
        let needed = RESERVE + windows;
        let upstream = match fits {
            Some(fits) if fits < needed + limits.upstream => 0,
            _ => limits.upstream,
        };
        let guaranteed = needed + upstream;
        match (fits, limits.area_size) {
            (Some(fits), Some(limit)) if fits < guaranteed => Err(LayoutError::OverLimit {
                frame_size,
                needed: stride.saturating_mul(needed as u64),
                slots: needed,
                window: limits.window,
                max_clients: limits.max_clients,
                limit,
            }),
            _ => {
                let most = RESERVE + upstream + MAX_HELD * limits.max_clients;
                let slots = fits.map_or(guaranteed, |fits| fits.min(most).max(guaranteed));
                Ok(Self {
                    generation,
                    colour,
                    capacity: stride - page(colour),
                    stride,
                    slots,
                    base: RESERVE + upstream,
                    upstream,
                    surplus: slots - guaranteed,
                    limit: limits.area_size,
                })
            }
        }
    }

    /// Bytes of so many slots.
    pub fn bytes_of(&self, slots: usize) -> u64 {
        self.stride * slots as u64
    }

    /// Bytes of the whole area.
    pub fn length(&self) -> u64 {
        self.bytes_of(self.slots)
    }

    /// Where the frame of a slot begins. Areas that live at the same time never share an offset, because a client's ack says nothing else
    /// that could be relied on.
    pub fn offset(&self, slot: usize) -> u64 {
        self.stride * slot as u64 + page(self.colour)
    }

    /// Where the note of the frame in a slot begins.
    pub fn note_offset(&self, slot: usize) -> u64 {
        note_offset(self.offset(slot), self.stride)
    }

    /// The bytes of a slot that are given back when nobody needs it: all but the header.
    pub fn returnable(&self, slot: usize) -> Range<u64> {
        let header = if slot == 0 { PAGE } else { 0 };
        self.bytes_of(slot) + header..self.bytes_of(slot + 1)
    }

    /// The slot whose frame begins there.
    pub fn slot_at(&self, offset: u64) -> Option<usize> {
        let slot = usize::try_from(offset / self.stride).ok()?;
        (slot < self.slots && self.offset(slot) == offset).then_some(slot)
    }
}

fn page(colour: usize) -> u64 {
    ((colour as u64 + 1) * PAGE).min(MAX_COLOUR)
}

/// Where the note of the frame at `offset` begins, in an area of slots of `stride` bytes.
pub fn note_offset(offset: u64, stride: u64) -> u64 {
    offset - offset % stride + HEADER_SIZE
}

/// Whether slots can be so many bytes apart.
pub fn is_stride(stride: u64) -> bool {
    stride > 0 && stride.is_multiple_of(SLOT_ALIGNMENT)
}
