//! Buffers as file descriptors for other processes, and memory for those that are none.

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use super::frame::{MemoryKind, mapped_memory};
use crate::os::{dmabuf, memfd};

/// A buffer whose memories are all behind file descriptors of one kind, which another process can have without being able to do harm with them.
#[derive(Debug)]
pub struct Descriptors {
    buffer: gst::Buffer,
    memories: Vec<Memory>,
    kind: MemoryKind,
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    fd: RawFd,
    offset: usize,
    size: usize,
}

impl Descriptors {
    /// `None` for a buffer that is to be copied: one of ordinary memory, of more memories than that, or of a file that a reader could make shorter,
    /// which would end this process when it looks there.
    pub fn of(buffer: &gst::Buffer, most: usize) -> Option<Self> {
        if buffer.n_memory() == 0 || buffer.n_memory() > most {
            return None;
        }
        let mut memories = Vec::with_capacity(buffer.n_memory());
        let mut kind = None;
        for memory in buffer.iter_memories() {
            let file = memory.downcast_memory_ref::<gst_allocators::FdMemory>()?;
            let is = match memory.is_memory_type::<gst_allocators::DmaBufMemory>() {
                true => MemoryKind::DmaBuf,
                false => MemoryKind::Fd,
            };
            let fd = file.fd();
            if *kind.get_or_insert(is) != is {
                return None;
            }
            // SAFETY: the memory, and with it its file descriptor, lives for the call.
            if is == MemoryKind::Fd && !memfd::keeps_its_size(unsafe { BorrowedFd::borrow_raw(fd) })
            {
                return None;
            }
            memories.push(Memory {
                fd,
                offset: memory.offset(),
                size: memory.size(),
            });
        }
        Some(Self {
            buffer: buffer.clone(),
            memories,
            kind: kind?,
        })
    }

    pub fn kind(&self) -> MemoryKind {
        self.kind
    }

    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        // SAFETY: they live as long as the buffer's memories, which nobody takes out of it: it is ours and never lent for writing.
        let borrow = |memory: &Memory| unsafe { BorrowedFd::borrow_raw(memory.fd) };
        self.memories.iter().map(borrow).collect()
    }

    /// Offset in its file and size of each memory.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.memories
            .iter()
            .map(|memory| (memory.offset, memory.size))
    }

    /// Bytes of all memory behind it.
    pub fn memory_bytes(&self) -> u64 {
        let memories = self.buffer.iter_memories();
        memories.map(|memory| memory.maxsize() as u64).sum()
    }

    /// The buffer, whose other owners may have changed meanwhile.
    pub fn into_buffer(self) -> gst::Buffer {
        self.buffer
    }
}

/// The pool that a buffer goes back to, if there is one.
pub fn pool_of(buffer: &gst::BufferRef) -> Option<gst::BufferPool> {
    // SAFETY: a buffer's pool is set when it is handed out, lives as long as the buffer is out, and nobody changes it meanwhile.
    unsafe { glib::translate::from_glib_none((*buffer.as_ptr()).pool) }
}

/// Memory that [`Descriptors`] can be of. That there is room for it is certain once it is made.
pub fn shareable_memory(kind: MemoryKind, name: &str, size: usize) -> io::Result<gst::Memory> {
    let fd = match kind {
        MemoryKind::Fd => memfd::create_sealed(name, size as u64)?,
        MemoryKind::DmaBuf => dmabuf::create(name, size as u64)?,
    };
    mapped_memory(kind, fd, size).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst_allocators::prelude::*;
    use std::os::fd::IntoRawFd;

    fn buffer(memories: Vec<gst::Memory>) -> gst::Buffer {
        let mut buffer = gst::Buffer::new();
        let whole = buffer.make_mut();
        memories
            .into_iter()
            .for_each(|memory| whole.append_memory(memory));
        buffer
    }

    #[test]
    fn only_what_readers_cannot_shorten_is_shared() {
        gst::init().unwrap();
        let sealed = || shareable_memory(MemoryKind::Fd, "test", 5000).unwrap();
        let unsealed = {
            let fd = memfd::create_sealable("test", 5000).unwrap().into_raw_fd();
            // SAFETY: the file descriptor is ours, and the memory's from now on.
            unsafe {
                gst_allocators::FdAllocator::new().alloc_fd(
                    fd,
                    5000,
                    gst_allocators::FdMemoryFlags::NONE,
                )
            }
            .unwrap()
        };
        let ordinary = gst::Memory::with_size(10);
        let part = sealed().share(1000..2000);
        let shared = Descriptors::of(&buffer(vec![sealed(), part]), 2).unwrap();
        let places: Vec<_> = shared.places().collect();
        assert_eq!(places, [(0, 5000), (1000, 1000)]);
        assert_eq!(shared.fds().len(), 2);
        assert_eq!(shared.kind(), MemoryKind::Fd);
        for copied in [
            vec![],
            vec![sealed(), sealed(), sealed()],
            vec![sealed(), ordinary],
            vec![unsealed],
        ] {
            assert!(Descriptors::of(&buffer(copied), 2).is_none());
        }
    }
}
