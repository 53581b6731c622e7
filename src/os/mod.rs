//! System calls: what the kernel gives to shared memory, sockets, clocks.

pub mod area;
pub mod clock;
pub mod copy;
pub mod dmabuf;
pub mod listener;
pub mod lock_file;
pub mod mapping;
pub mod memfd;
pub mod peer;
pub mod poll;
pub mod reaper;
pub mod server;
