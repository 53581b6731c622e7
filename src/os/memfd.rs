//! Anonymous memory behind a file descriptor.

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, ftruncate,
    memfd_create,
};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

/// Memory of `size` bytes, all zero, whose size can be sealed; pages are taken when they are first written.
pub fn create_sealable(name: &str, size: u64) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, size)?;
    Ok(fd)
}

/// Memory for others to have as well, all of it there: nobody can change its size any more.
pub fn create_sealed(name: &str, size: u64) -> io::Result<OwnedFd> {
    let fd = create_sealable(name, size)?;
    fallocate(&fd, FallocateFlags::empty(), 0, size.max(1))?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Whether nobody can make it shorter, as to read beyond a file's end would end the process, nor forbid us to write to it.
pub fn keeps_its_size(fd: BorrowedFd<'_>) -> bool {
    let needed = SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(needed))
}
