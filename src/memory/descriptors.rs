//! Buffers as file descriptors for other processes, and memory for those that are none.

use std::{
    io,
    os::fd::{BorrowedFd, IntoRawFd, RawFd},
};

use gst_allocators::prelude::*;

use crate::os::memfd;

/// A buffer whose memories are all behind file descriptors of one kind, which another process can have without being able to do harm with them.
#[derive(Debug)]
pub struct Descriptors {
    buffer: gst::Buffer,
    memories: Vec<Memory>,
    is_dmabuf: bool,
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
        let mut is_dmabuf = None;
        for memory in buffer.iter_memories() {
            let file = memory.downcast_memory_ref::<gst_allocators::FdMemory>()?;
            let is = memory.is_memory_type::<gst_allocators::DmaBufMemory>();
            let fd = file.fd();
            if *is_dmabuf.get_or_insert(is) != is {
                return None;
            }
            // SAFETY: the memory, and with it its file descriptor, lives for the call.
            if !is && !memfd::keeps_its_size(unsafe { BorrowedFd::borrow_raw(fd) }) {
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
            is_dmabuf: is_dmabuf?,
        })
    }

    pub fn is_dmabuf(&self) -> bool {
        self.is_dmabuf
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
pub fn shareable_memory(name: &str, size: usize) -> io::Result<gst::Memory> {
    let fd = memfd::create_sealed(name, size as u64)?;
    // Mapped once and kept: it is written again and again.
    let flags = gst_allocators::FdMemoryFlags::KEEP_MAPPED;
    // SAFETY: the file descriptor is ours, and the memory owns it from now on.
    let memory =
        unsafe { gst_allocators::FdAllocator::new().alloc_fd(fd.into_raw_fd(), size, flags) };
    memory.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let sealed = || shareable_memory("test", 5000).unwrap();
        let unsealed = {
            let fd = memfd::create("test", 5000).unwrap().into_raw_fd();
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
        assert!(!shared.is_dmabuf());
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
