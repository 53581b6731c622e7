//! `libcameraprovider-rs`: the cameras that are here, and those that come and go.
//!
//! | file | what it does |
//! |---|---|
//! | `imp` | the provider: what GStreamer asks of it |
//! | `monitor` | its thread while it is started: cameras that come and go become devices that come and go |
//! | `device` | one camera as a GstDevice |
//! | `systems` | where cameras are looked for |

mod device;
mod imp;
mod monitor;
mod systems;

use gst::prelude::*;

glib::wrapper! {
    /// The cameras of libcamera, with hotplug.
    pub struct LibcameraProvider(ObjectSubclass<imp::LibcameraProvider>)
        @extends gst::DeviceProvider, gst::Object;
}

/// Below upstream's provider, so that one goes first and lets go of libcamera before this one takes it.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::DeviceProvider::register(
        Some(plugin),
        "libcameraprovider-rs",
        gst::Rank::SECONDARY,
        LibcameraProvider::static_type(),
    )
}
