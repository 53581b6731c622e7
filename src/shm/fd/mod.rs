//! The wire of GStreamer's `unixfdsink` and `unixfdsrc`, on which frames travel as file descriptors.
//!
//! - [`wire`]: the commands. [`metas`]: what goes along with a frame.
//!
//! Who may hold how many frames is the [`server`](super::server)'s business here as well: its slots are places in a table of frames then, and its areas
//! stand for caps.

pub mod metas;
pub mod wire;
