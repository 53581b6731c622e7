//! Memory of ours for frames that are not passed on themselves.

use std::io;

use crate::memory::descriptors::shareable_memory;

#[derive(Debug, thiserror::Error)]
pub(in crate::shmsink) enum CopyError {
    #[error("readers hold {held} bytes of copies, and shm-size is {limit}")]
    OverLimit { held: u64, limit: u64 },
    #[error("no memory for a copy of a frame: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] crate::shmsink::frame::FrameError),
}

/// What copies are made into. Frames of one size follow each other, so what comes back is kept for the next; of other sizes it is not.
#[derive(Debug, Default)]
pub(in crate::shmsink) struct Copies {
    free: Vec<gst::Memory>,
    size: usize,
}

impl Copies {
    /// Memory of that size. `held` are the bytes that readers have of others.
    pub fn take(
        &mut self,
        size: usize,
        held: u64,
        limit: Option<u64>,
    ) -> Result<gst::Memory, CopyError> {
        if std::mem::replace(&mut self.size, size) != size {
            self.free.clear();
        }
        if let Some(memory) = self.free.pop() {
            return Ok(memory);
        }
        match limit {
            Some(limit) if held.saturating_add(size as u64) > limit => {
                Err(CopyError::OverLimit { held, limit })
            }
            _ => Ok(shareable_memory("shmsink-rs", size)?),
        }
    }

    /// Nobody has the frame in it any more.
    pub fn give_back(&mut self, buffer: gst::Buffer) {
        let Ok(memory) = buffer.memory(0).ok_or(()) else {
            return;
        };
        drop(buffer);
        if memory.size() == self.size && memory.is_writable() {
            self.free.push(memory);
        }
    }
}
