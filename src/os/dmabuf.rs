//! DMABUFs of our own making: of a DMA heap, or of anonymous memory by udmabuf.

use super::memfd;
use rustix::fs::{Mode, OFlags, SealFlags, fcntl_add_seals, open};
use std::{
    ffi::c_ulong,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Heaps of contiguous memory first: any camera can write there, and not every one anywhere else.
const HEAPS: [&str; 4] = [
    "/dev/dma_heap/linux,cma",
    "/dev/dma_heap/reserved",
    "/dev/dma_heap/default_cma_region",
    "/dev/dma_heap/system",
];
/// A DMABUF has whole pages, which are no larger than this on any machine.
const LARGEST_PAGE: u64 = 65536;
const UDMABUF: &str = "/dev/udmabuf";

/// linux/dma-heap.h
#[repr(C)]
struct HeapAllocation {
    length: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}
const HEAP_ALLOCATE: c_ulong = 0xc018_4800;

/// linux/udmabuf.h
#[repr(C)]
struct UdmabufCreation {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}
const UDMABUF_CREATE: c_ulong = 0x4018_7542;
const UDMABUF_CLOEXEC: u32 = 1;

/// A DMABUF of at least `size` bytes. The error is that of the last device that exists, or that there is none.
pub fn create(name: &str, size: u64) -> io::Result<OwnedFd> {
    let size = size.max(1).next_multiple_of(LARGEST_PAGE);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let heaps = HEAPS.iter().map(|heap| from_heap(heap, size));
    for made in heaps.chain(std::iter::once_with(|| from_udmabuf(name, size))) {
        match made {
            Ok(fd) => return Ok(fd),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The bytes of a DMABUF; `None` for what is none.
pub fn size_of(fd: BorrowedFd<'_>) -> Option<u64> {
    const MAGIC: u64 = 0x444d_4142;
    let kind = rustix::fs::fstatfs(fd).ok()?.f_type;
    if kind as u64 != MAGIC {
        return None;
    }
    rustix::fs::seek(fd, rustix::fs::SeekFrom::End(0)).ok()
}

fn from_heap(heap: &str, size: u64) -> io::Result<OwnedFd> {
    let device = open(heap, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut allocation = HeapAllocation {
        length: size,
        fd: 0,
        fd_flags: (libc::O_RDWR | libc::O_CLOEXEC) as u32,
        heap_flags: 0,
    };
    // SAFETY: the structure is the one that this request reads and writes.
    let result =
        unsafe { libc::ioctl(device.as_raw_fd(), HEAP_ALLOCATE as _, &raw mut allocation) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has made this file descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(allocation.fd as i32) })
}

fn from_udmabuf(name: &str, size: u64) -> io::Result<OwnedFd> {
    let device = open(UDMABUF, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let memory = memfd::create_sealable(name, size)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK)?;
    let creation = UdmabufCreation {
        memfd: memory.as_raw_fd() as u32,
        flags: UDMABUF_CLOEXEC,
        offset: 0,
        size,
    };
    // SAFETY: the structure is the one that this request reads.
    let fd = unsafe { libc::ioctl(device.as_raw_fd(), UDMABUF_CREATE as _, &raw const creation) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has made this file descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
