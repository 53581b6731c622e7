//! Where cameras come from.

#[cfg(feature = "libcamera")]
pub mod libcamera;
