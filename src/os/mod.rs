//! The system calls behind `shmsink-rs`: shared memory, its socket, and waiting for several things at once. Nothing here blocks on a peer.

pub mod area;
pub mod listener;
pub mod lock_file;
pub mod peer;
pub mod poll;
