//! System calls.

pub mod clock;
pub mod memfd;
