//! `libcamerasrc-rs`: a camera source.
//!
//! | file | what it does |
//! |---|---|
//! | `imp` | the element: properties, state changes, the vfuncs of GstBaseSrc |
//! | `request_pads` | the `src_%u` pads: how they come, go, and what they answer |
//! | `streaming` | starts and stops sessions, and gives each pad its stream |
//! | `delivery` | from a captured frame to the buffer that is pushed |
//! | `pad` | the pads' properties and the thread of a `src_%u` |
//! | `settings` | the properties: documentation, defaults |
//! | `properties` | the properties: setting and getting |
//! | `opened` | a camera that is ours, from READY on |
//! | `negotiation` | which format, size and rate: computed |
//! | `planning` | the same, tried with camera and peers |
//! | `session` | one camera start: frames, pool, capture task, and their orderly end |
//! | `capture_task` | the GstTask that queues requests |
//! | `ticker` | the clock's ticks: paced requests, glances at a camera that may stall |
//! | `events` | what the camera tells, with the clocks read at that moment |
//! | `stamp` | buffers' timestamps and flags, and the latency |
//! | `base_src` | what GstBaseSrc does not foresee |
//! | `sensor_config` | the property of that name |
//! | `sensor_modes` | the property of that name |
//! | `orientation` | which way pictures lie: the tag |
//! | `controls` | the camera's controls: as set, as reported |
//! | `frame_metadata` | what the camera knew about each frame, on its buffer |
//! | `states` | messages of what the camera says of its own state |
//! | `stills` | pictures on demand: the signal `capture-still` |
//! | `stats` | what the property `stats` tells |
//! | `error` | a camera's errors as bus messages |

mod base_src;
mod capture_task;
mod controls;
mod delivery;
mod error;
mod events;
mod frame_metadata;
mod imp;
mod negotiation;
mod opened;
mod orientation;
mod pad;
mod planning;
mod properties;
mod request_pads;
mod sensor_config;
mod sensor_modes;
mod session;
mod settings;
mod stamp;
mod states;
mod stats;
mod stills;
mod streaming;
mod ticker;

use gst::prelude::*;

glib::wrapper! {
    /// A camera of libcamera as a live source.
    pub struct LibcameraSrc(ObjectSubclass<imp::LibcameraSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    crate::notes::fields::register();
    gst::Element::register(
        Some(plugin),
        "libcamerasrc-rs",
        gst::Rank::NONE,
        LibcameraSrc::static_type(),
    )
}
