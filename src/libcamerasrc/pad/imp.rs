//! The pad's properties.

use super::{Capture, Outbox, PadStream, Progress, Role};
use crate::capture::outlet::Outlet;
use crate::libcamerasrc::session::frames::PeerMemory;
use crate::sync::{
    LazyLock, Mutex,
    atomic::{AtomicBool, AtomicU32},
};
use glib::subclass::prelude::*;
use gst::{prelude::*, subclass::prelude::*};

#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    pub role: Role,
    pub capture: Capture,
    pub outbox: Outbox,
}

#[derive(Debug, Default)]
pub struct LibcameraSrcPad {
    pub settings: Mutex<Settings>,
    pub outlet: Outlet<PadStream>,
    pub progress: Mutex<Progress>,
    pub frames_needed: AtomicU32,
    pub tag_due: AtomicBool,
    pub gap_due: AtomicBool,
    pub peer_memory: Mutex<Option<PeerMemory>>,
}

#[glib::object_subclass]
impl ObjectSubclass for LibcameraSrcPad {
    const NAME: &'static str = "GstLibcameraSrcRsPad";
    type Type = super::LibcameraSrcPad;
    type ParentType = gst::Pad;
}

impl ObjectImpl for LibcameraSrcPad {
    fn constructed(&self) {
        self.parent_constructed();
        // The next peer has memory of its own, or none.
        self.obj()
            .connect_unlinked(|pad, _| pad.set_peer_memory(None));
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecEnum::builder_with_default("stream-role", defaults.role)
                    .nick("Stream role")
                    .blurb(
                        "What this stream is for: the camera chooses sizes, formats and processing by it. Read when the stream is negotiated; \
                         a role that the camera does not offer, or not together with the other pads', is an error",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("capture", defaults.capture)
                    .nick("Capture")
                    .blurb(
                        "When frames are taken for this pad: all the time (continuous), or one by one when the element's signal `capture-still` asks \
                         for them (on-demand). auto (default) is on-demand for a pad of role still-capture beside one that is not, and continuous \
                         otherwise, so that a pad that is alone streams, and two of that role stream both. Where it is on-demand, `num-buffers` counts stills on \
                         `src`. Read when the stream is negotiated",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("outbox", defaults.outbox)
                    .nick("Outbox")
                    .blurb(
                        "What becomes of frames that downstream does not take in time: they wait in order (queue), or only the newest one \
                         waits and older ones go back to the camera (latest)",
                    )
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "stream-role" => self.settings.lock().role = value.get().unwrap_or_default(),
            "capture" => self.settings.lock().capture = value.get().unwrap_or_default(),
            _ => {
                let outbox: Outbox = value.get().unwrap_or_default();
                self.settings.lock().outbox = outbox;
                if let Some(stream) = self.outlet.stream() {
                    let state = stream.session.state();
                    state.set_outbox_policy(stream.index, outbox.into());
                }
            }
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *self.settings.lock();
        match pspec.name() {
            "stream-role" => settings.role.to_value(),
            "capture" => settings.capture.to_value(),
            _ => settings.outbox.to_value(),
        }
    }
}

impl GstObjectImpl for LibcameraSrcPad {}

impl PadImpl for LibcameraSrcPad {}
