//! The element's properties, their documentation and their defaults.

use crate::sync::LazyLock;
use gst::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub camera_name: Option<String>,
    pub pace: bool,
    /// Nanoseconds; 0 does not watch.
    pub stall_timeout: u64,
}

pub static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let defaults = Settings::default();
    vec![
        glib::ParamSpecString::builder("camera-name")
            .nick("Camera name")
            .blurb(
                "The id of the camera to use, as `cam -l` prints it in parentheses. Unset takes the first camera. An unknown name is an error \
                 that lists the cameras there are. Read when the element goes to READY, which takes the camera for this process alone",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("pace")
            .nick("Pace")
            .blurb(
                "Hold the negotiated frame rate (30/1 if downstream does not say) by queueing one request per frame interval, for cameras that \
                 deliver as fast as they are asked, such as libcamera's virtual ones. A camera that keeps its rate by itself does not need it",
            )
            .default_value(defaults.pace)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("stall-timeout")
            .nick("Stall timeout")
            .blurb(
                "Warn when the camera has requests and completes none for so long, in nanoseconds; 0 (default) does not watch. The warning's details are \
                 a structure `libcamerasrc-stalled` with `stall-timeout`; there is one for each stall, and the stream goes on when the camera does. \
                 Choose several times the longest exposure",
            )
            .default_value(defaults.stall_timeout)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Totals since the camera was last started, each a uint64: `captured` frames, `delivered` to the pad, `missed` (the sensor's count \
                 had a gap), `damaged` (marked CORRUPTED) and `cancelled` (given back unfilled)",
            )
            .read_only()
            .build(),
    ]
});
