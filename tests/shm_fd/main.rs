//! `shmsink-rs transport=fd`: frames go to readers as file descriptors, and no reader costs more than its credits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod camera;
mod memory;
mod readers;
mod stream;

use std::{
    os::fd::{IntoRawFd, OwnedFd},
    time::Duration,
};

use common::{
    fd_wire::{FdClient, frame_file},
    reader::ReaderOptions,
    rig::Rig,
};
use gst_allocators::prelude::*;
use rustix::fs::SealFlags;

const SIZE: usize = 50_000;
const SOON: Duration = Duration::from_secs(10);

#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

fn ours() -> ReaderOptions<'static> {
    ReaderOptions {
        size: Some(SIZE),
        ours: Some(""),
        ..ReaderOptions::default()
    }
}

fn fd_rig(name: &str, properties: &[(&str, &str)]) -> Rig {
    let mut all = vec![("transport", "fd")];
    all.extend_from_slice(properties);
    Rig::new(name, SIZE, &all)
}

/// A file with a generator's frame in it.
fn file(counter: u64, sealed: bool) -> OwnedFd {
    let fd = frame_file(SIZE, counter);
    if sealed {
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::SEAL).unwrap();
    }
    fd
}

fn memory(fd: OwnedFd, size: usize) -> gst::Memory {
    let allocator = gst_allocators::FdAllocator::new();
    let flags = gst_allocators::FdMemoryFlags::NONE;
    // SAFETY: the file descriptor is ours, and the memory's from now on.
    unsafe { allocator.alloc_fd(fd.into_raw_fd(), size, flags) }.unwrap()
}

fn buffer(memories: Vec<gst::Memory>) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let whole = buffer.make_mut();
    memories
        .into_iter()
        .for_each(|memory| whole.append_memory(memory));
    buffer
}

/// A frame behind a file descriptor that can be passed on.
fn passable(counter: u64) -> gst::Buffer {
    buffer(vec![memory(file(counter, true), SIZE)])
}

fn references(memory: &gst::Memory) -> i32 {
    // SAFETY: the memory lives; its count is a whole number that somebody may just be changing.
    unsafe { (*memory.as_ptr()).mini_object.refcount }
}

fn client(rig: &Rig) -> FdClient {
    let before = rig.num_clients();
    let client = FdClient::connect(&rig.path);
    rig.wait_for_clients(before + 1);
    client
}
