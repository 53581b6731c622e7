//! Sets and gets the element's properties, which [`settings`](super::settings) describes.

use super::{controls::by_property_name, imp::LibcameraSrc, stats};
use crate::sync::atomic::Ordering;
use gst::prelude::*;
use std::path::PathBuf;

impl LibcameraSrc {
    pub fn set(&self, name: &str, value: &glib::Value) {
        match name {
            "camera-name" => {
                // A string property holds any bytes, and reading those that are not UTF-8 as a string panics. No camera has such a name, so
                // what replaces them makes the error of a camera that does not exist.
                let name = value.get::<Option<PathBuf>>().unwrap_or_default();
                let name = name.map(|name| name.to_string_lossy().into_owned());
                self.settings.lock().camera_name = name;
            }
            "pace" => self.settings.lock().pace = value.get().unwrap_or_default(),
            "frame-metadata" => {
                self.settings.lock().frame_metadata = value.get().unwrap_or_default();
            }
            "io-mode" => self.settings.lock().io_mode = value.get().unwrap_or_default(),
            "state-messages" => {
                self.settings.lock().state_messages = value.get().unwrap_or_default();
            }
            "video-direction" => {
                if let Ok(direction) = value.get() {
                    self.settings.lock().video_direction = direction;
                    self.renegotiate();
                }
            }
            "stall-timeout" => {
                self.settings.lock().stall_timeout = value.get().unwrap_or_default();
            }
            "all-streams" => self.settings.lock().all_streams = value.get().unwrap_or_default(),
            "sensor-config" => self.settings.lock().sensor_config = value.get().unwrap_or_default(),
            "buffer-count" => self.settings.lock().buffer_count = value.get().unwrap_or_default(),
            "copy-threshold" => {
                self.copy_threshold
                    .store(value.get().unwrap_or_default(), Ordering::Relaxed);
            }
            "extra-controls" => {
                if let Ok(Some(extra)) = value.get::<Option<gst::Structure>>() {
                    self.set_extra_controls(&extra);
                }
            }
            name => {
                if let Some(property) = by_property_name(name) {
                    self.set_control(property, value);
                }
            }
        }
    }

    /// `None` where only the property's default is known.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "camera-name" => self.settings.lock().camera_name.to_value(),
            "pace" => self.settings.lock().pace.to_value(),
            "frame-metadata" => self.settings.lock().frame_metadata.to_value(),
            "stall-timeout" => self.settings.lock().stall_timeout.to_value(),
            "all-streams" => self.settings.lock().all_streams.to_value(),
            "sensor-config" => self.settings.lock().sensor_config.to_value(),
            "buffer-count" => self.settings.lock().buffer_count.to_value(),
            "copy-threshold" => self.copy_threshold.load(Ordering::Relaxed).to_value(),
            "io-mode" => self.settings.lock().io_mode.to_value(),
            "state-messages" => self.settings.lock().state_messages.to_value(),
            "video-direction" => self.settings.lock().video_direction.to_value(),
            "sensor-modes" => self.sensor_modes().to_value(),
            "stats" => stats::structure(self.session().as_deref()).to_value(),
            "extra-controls" => self.extra_controls().to_value(),
            "camera-controls" => self.camera_controls().to_value(),
            name => self.control(by_property_name(name)?),
        })
    }
}
