//! How large slots and areas are.

/// Every slot begins at a multiple of this.
const SLOT_ALIGNMENT: u64 = 64 * 1024;
/// Frames begin on a page.
const PAGE: u64 = 4096;
/// Areas that can live at the same time: as there are so many pages in the alignment of slots, so many areas have their frames at distinct offsets.
pub const MAX_AREAS: usize = (SLOT_ALIGNMENT / PAGE) as usize;
const MAX_COLOUR: u64 = SLOT_ALIGNMENT - PAGE;

/// The slots that clients cannot take: one is being written, one is the newest frame.
pub const RESERVE: usize = 2;

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
}

impl Limits {
    /// Slots that keep the promise to so many clients: each may hold its window and still no frame is ever without a slot.
    pub fn slots_for(&self, clients: usize) -> usize {
        RESERVE + self.window * clients
    }

    /// There can be an area for frames of this size.
    pub fn fit(&self, frame_size: u64) -> bool {
        Layout::new(1, 0, frame_size, self).is_ok()
    }

    /// Slots of a whole area.
    pub fn slots(&self) -> usize {
        self.slots_for(self.max_clients)
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
    /// Which page of its slot a frame begins at, below [`MAX_AREAS`]; no two areas that live have the same.
    pub colour: usize,
    /// Bytes that a slot has for its frame.
    pub capacity: u64,
    /// Bytes from one slot to the next.
    pub stride: u64,
    /// Slots of the whole area.
    pub slots: usize,
}

impl Layout {
    /// The layout for frames of up to `frame_size` bytes.
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
        let slots = limits.slots();
        let needed = stride.saturating_mul(slots as u64);
        match limits.area_size {
            Some(limit) if needed > limit => Err(LayoutError::OverLimit {
                frame_size,
                needed,
                slots,
                window: limits.window,
                max_clients: limits.max_clients,
                limit,
            }),
            _ => Ok(Self {
                generation,
                colour,
                capacity: stride - page(colour),
                stride,
                slots,
            }),
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
}

fn page(colour: usize) -> u64 {
    (colour as u64 * PAGE).min(MAX_COLOUR)
}
