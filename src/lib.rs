//! GStreamer elements for local camera capture on Linux.
//!
//! - `libcamerasrc-rs`: a camera source on libcamera that never stalls and never hangs.
//! - `shmsink-rs`: a shared-memory sink that never waits for a reader, read by the stock `shmsrc`.
//!
//! The modules are a ladder of floors; a file uses only lower floors, or its own folder:
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 6 | this file | the plugin's entry |
//! | 5 | `libcamerasrc`, `shmsink` | GObject faces |
//! | 4 | `video`, `memory` | our vocabulary and GStreamer's |
//! | 3 | `backend`, `os` | cameras and system calls |
//! | 2 | `capture`, `shm` | pure state machines |
//! | 1 | `camera` | vocabulary: what a camera is |
//! | 0 | `sync` | threads |
//!
//! GStreamer may be named on floors 4 to 6 only; `--no-default-features` builds the rest.

pub mod sync;

pub mod camera;

pub mod capture;
pub mod shm;

pub mod backend;
pub mod os;

#[cfg(feature = "plugin")]
mod memory;
#[cfg(feature = "plugin")]
mod video;

#[cfg(feature = "plugin")]
mod libcamerasrc;
#[cfg(feature = "plugin")]
mod shmsink;

#[cfg(feature = "plugin")]
mod plugin {
    fn init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::libcamerasrc::register(plugin)?;
        crate::shmsink::register(plugin)
    }

    gst::plugin_define!(
        libcamerars,
        env!("CARGO_PKG_DESCRIPTION"),
        init,
        env!("CARGO_PKG_VERSION"),
        "MPL-2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://gstreamer.freedesktop.org/"
    );
}

#[cfg(feature = "plugin")]
pub use plugin::plugin_register_static;
