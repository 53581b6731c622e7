//! Anonymous memory behind a file descriptor.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::{io, os::fd::OwnedFd};

/// Memory of `size` bytes, all zero; pages are taken when they are first written.
pub fn create(name: &str, size: u64) -> io::Result<OwnedFd> {
    of_size(name, size, MemfdFlags::CLOEXEC)
}

/// The same, whose size can be sealed.
pub fn create_sealable(name: &str, size: u64) -> io::Result<OwnedFd> {
    of_size(name, size, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
}

fn of_size(name: &str, size: u64, flags: MemfdFlags) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, flags)?;
    ftruncate(&fd, size)?;
    Ok(fd)
}
