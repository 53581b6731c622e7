use std::{
    os::fd::{BorrowedFd, RawFd},
    ptr,
};

use gst_allocators::DmaBufMemory;

/// A buffer's one memory, which is a DMABUF.
pub struct Exported {
    pub fd: RawFd,
    pub offset: usize,
    pub size: usize,
}

impl Exported {
    /// Panics unless all of the buffer is in one DMABUF.
    pub fn of(buffer: &gst::BufferRef) -> Self {
        assert_eq!(buffer.n_memory(), 1, "all planes are in one memory");
        let memory = buffer.peek_memory(0);
        let dmabuf = memory
            .downcast_memory_ref::<DmaBufMemory>()
            .expect("a DMABUF memory");
        let whole = Self {
            fd: dmabuf.fd(),
            offset: memory.offset(),
            size: memory.size(),
        };
        assert!(
            whole.offset + whole.size <= whole.file_size(),
            "the memory ends within its file"
        );
        whole
    }

    /// The kernel's name for who made it: only a true DMABUF has one.
    pub fn exporter(&self) -> String {
        exporter(self.fd).expect("the kernel says that it is a DMABUF")
    }

    fn file_size(&self) -> usize {
        // SAFETY: the buffer that this was made of keeps it open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        rustix::fs::seek(fd, rustix::fs::SeekFrom::End(0)).unwrap() as usize
    }

    /// Its bytes by way of the kernel alone, between the two synchronising calls that it wants around an access by the processor.
    pub fn bytes(&self) -> Vec<u8> {
        const PROT: i32 = libc::PROT_READ;
        let length = self.offset + self.size;
        self.sync(READ | START);
        // SAFETY: a new mapping of a file that is open and long enough; it is unmapped before anybody could keep it.
        let bytes = unsafe {
            let start = libc::mmap(ptr::null_mut(), length, PROT, libc::MAP_SHARED, self.fd, 0);
            assert_ne!(start, libc::MAP_FAILED, "mmap");
            let all = std::slice::from_raw_parts(start.cast::<u8>(), length);
            let bytes = all[self.offset..].to_vec();
            libc::munmap(start, length);
            bytes
        };
        self.sync(READ | END);
        bytes
    }

    fn sync(&self, flags: u64) {
        // SAFETY: the call reads the eight bytes that it is given.
        let result = unsafe { libc::ioctl(self.fd, DMA_BUF_IOCTL_SYNC, &flags) };
        assert_eq!(result, 0, "DMA_BUF_IOCTL_SYNC {flags}");
    }
}

/// As in linux/dma-buf.h: `_IOW('b', 0, struct dma_buf_sync)`.
const DMA_BUF_IOCTL_SYNC: libc::c_ulong = 0x4008_6200;
const READ: u64 = 1;
const START: u64 = 0;
const END: u64 = 4;

/// Of a file descriptor of this process; `None` if it is no DMABUF.
pub fn exporter(fd: RawFd) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let name = info.lines().find_map(|line| line.strip_prefix("exp_name:"));
    name.map(|name| name.trim().to_owned())
}

/// A buffer's bytes as every consumer gets them.
pub fn mapped(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}
