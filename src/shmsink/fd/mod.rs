//! `transport=fd`: frames go to readers as file descriptors, on the wire of GStreamer's `unixfdsrc`.
//!
//! Who may hold how many frames, who stalls and who is parted with is decided by the same state machine ([`crate::shm::server`]) and told by the same
//! control thread. Its slots are tickets here: each is the place of one frame in a [`table`], and an offset is a frame's id.
//!
//! A frame whose memory another process can have is passed on as it is, and is back with its owner when the last reader has released it. Only so many
//! are, because owners have few: readers that keep them are not to stop a camera. Beyond that, and for ordinary memory, readers get
//! [`copies`] of ours.

pub(super) mod copies;
pub(super) mod stream;
pub(super) mod table;
