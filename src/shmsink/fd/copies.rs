//! Memory of ours for frames that are not passed on themselves.

use std::io;

use crate::memory::descriptors::shareable_memory;
use crate::memory::frame::MemoryKind;
use crate::shmsink::frame::FrameError;

#[derive(Debug, thiserror::Error)]
pub(in crate::shmsink) enum CopyError {
    #[error("readers hold {held} bytes of copies, and shm-size is {limit}")]
    OverLimit { held: u64, limit: u64 },
    #[error("no memory for a copy of a frame: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Memory that is kept for the next copies. Readers that are well hold a frame or two.
const MOST_FREE: usize = 4;
/// Sizes are rounded up, so that frames of varying size go where others were.
const SIZE_STEP: usize = 64 * 1024;

/// What copies are made into. What comes back is kept for the next, if that is of about its size.
#[derive(Debug, Default)]
pub(in crate::shmsink) struct Copies {
    free: Vec<(MemoryKind, gst::Memory)>,
}

impl Copies {
    /// A buffer of that size, to be filled. `held` are the bytes that readers have of others.
    pub fn take(
        &mut self,
        kind: MemoryKind,
        size: usize,
        held: u64,
        limit: Option<u64>,
    ) -> Result<gst::Buffer, CopyError> {
        let fits = |(other, memory): &(MemoryKind, gst::Memory)| {
            let sizes = size..=size.saturating_mul(2).next_multiple_of(SIZE_STEP);
            *other == kind && sizes.contains(&memory.maxsize())
        };
        let memory = match self.free.iter().position(fits) {
            Some(place) => self.free.swap_remove(place).1,
            None => {
                // Those do not fit the frames that come now.
                self.free.clear();
                let rounded = size.next_multiple_of(SIZE_STEP);
                if let Some(limit) = limit
                    && held.saturating_add(rounded as u64) > limit
                {
                    return Err(CopyError::OverLimit { held, limit });
                }
                shareable_memory(kind, "shmsink-rs", rounded)?
            }
        };
        let mut buffer = gst::Buffer::new();
        let whole = buffer.make_mut();
        whole.append_memory(memory);
        whole.set_size(size);
        Ok(buffer)
    }

    /// Nobody has the frame in it any more.
    pub fn give_back(&mut self, kind: MemoryKind, buffer: gst::Buffer) {
        let memory = buffer.memory(0);
        drop(buffer);
        if let Some(memory) = memory.filter(gst::Memory::is_writable)
            && self.free.len() < MOST_FREE
        {
            self.free.push((kind, memory));
        }
    }
}
