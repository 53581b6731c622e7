//! The camera's formats in GStreamer's words.

pub mod caps;
pub mod colorimetry;
pub mod format;
pub mod layout;
pub mod orientation;
pub mod repack;
