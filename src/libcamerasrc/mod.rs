//! `libcamerasrc-rs`: a camera source.
//!
//! | file | what it does |
//! |---|---|
//! | `imp` | the element: properties, state changes, the vfuncs of GstBaseSrc |
//! | `settings` | the properties and their defaults |
//! | `opened` | a camera that is ours, from READY on |
//! | `negotiation` | which format, size and rate |
//! | `session` | one camera start: frames, pool, capture task, and their orderly end |
//! | `capture_task` | the GstTask that queues requests |
//! | `ticker` | the clock's ticks: paced requests, glances at a camera that may stall |
//! | `events` | what the camera tells, with the clocks read at that moment |
//! | `stamp` | buffers' timestamps and flags, and the latency |
//! | `error` | a camera's errors as bus messages |

mod capture_task;
mod error;
mod events;
mod imp;
mod negotiation;
mod opened;
mod session;
mod settings;
mod stamp;
mod ticker;

use gst::prelude::*;

glib::wrapper! {
    /// A camera of libcamera as a live source.
    pub struct LibcameraSrc(ObjectSubclass<imp::LibcameraSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "libcamerasrc-rs",
        gst::Rank::NONE,
        LibcameraSrc::static_type(),
    )
}
