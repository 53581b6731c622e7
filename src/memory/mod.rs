//! Camera frames as GStreamer memory.
//!
//! A frame's memories are made once and live as long as their set: GStreamer drops its last reference to one, and instead of being freed it
//! comes to rest again ([`frame`]). The pool ([`pool`]) wraps them in buffers for each round and tells when a frame is back.

pub mod companion;
pub mod descriptors;
pub mod frame;
pub mod import;
pub mod pool;
pub mod slots;
