//! Anonymous memory behind a file descriptor.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::{io, os::fd::OwnedFd};

/// Memory of `size` bytes, all zero; pages are taken when they are first written.
pub fn create(name: &str, size: u64) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, size)?;
    Ok(fd)
}
