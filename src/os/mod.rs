//! System calls: clocks and memory for cameras; shared memory, its socket and waiting for several things at once for `shmsink-rs`.
//! Nothing here blocks on a peer.

pub mod area;
pub mod clock;
pub mod listener;
pub mod lock_file;
pub mod memfd;
pub mod peer;
pub mod poll;
