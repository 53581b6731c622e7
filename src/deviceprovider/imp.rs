//! The provider: what GStreamer asks of it. No panic leaves it: GStreamer calls it from C.

use super::monitor::{self, Monitor};
use crate::sync::{LazyLock, Mutex};
use gst::subclass::prelude::*;
use std::panic::{self, AssertUnwindSafe};

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "libcameraprovider-rs",
        gst::DebugColorFlags::empty(),
        Some("cameras of libcamera, with hotplug"),
    )
});

#[derive(Debug, Default)]
pub struct LibcameraProvider {
    /// While it is started.
    monitor: Mutex<Option<Monitor>>,
}

#[glib::object_subclass]
impl ObjectSubclass for LibcameraProvider {
    const NAME: &'static str = "GstLibcameraProviderRs";
    type Type = super::LibcameraProvider;
    type ParentType = gst::DeviceProvider;
}

impl ObjectImpl for LibcameraProvider {}
impl GstObjectImpl for LibcameraProvider {}

impl DeviceProviderImpl for LibcameraProvider {
    fn metadata() -> Option<&'static gst::subclass::DeviceProviderMetadata> {
        static METADATA: LazyLock<gst::subclass::DeviceProviderMetadata> = LazyLock::new(|| {
            gst::subclass::DeviceProviderMetadata::new(
                "libcamera device provider (Rust)",
                "Source/Video",
                "Lists the cameras that libcamera knows, and tells of those that come and go",
                "The authors of gst-plugin-libcamera-rs",
            )
        });
        Some(&METADATA)
    }

    fn probe(&self) -> Vec<gst::Device> {
        let probed = panic::catch_unwind(AssertUnwindSafe(|| monitor::probe(&self.obj())));
        probed.unwrap_or_default()
    }

    fn start(&self) -> Result<(), gst::LoggableError> {
        let started = panic::catch_unwind(AssertUnwindSafe(|| Monitor::start(&self.obj())));
        let monitor = match started {
            Ok(Ok(monitor)) => monitor,
            Ok(Err(error)) => {
                return Err(gst::loggable_error!(
                    CAT,
                    "no thread to follow cameras: {error}"
                ));
            }
            Err(_) => {
                return Err(gst::loggable_error!(
                    CAT,
                    "listing the cameras has panicked"
                ));
            }
        };
        let before = self.monitor.lock().replace(monitor);
        drop(before);
        Ok(())
    }

    fn stop(&self) {
        let monitor = self.monitor.lock().take();
        if let Some(monitor) = monitor {
            monitor.stop(&self.obj());
        }
    }
}
