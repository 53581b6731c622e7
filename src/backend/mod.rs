//! Where cameras come from.

#[cfg(feature = "libcamera")]
pub mod libcamera;

#[cfg(any(feature = "simulated", not(feature = "plugin")))]
pub mod simulated;
