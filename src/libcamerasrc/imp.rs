//! The element.

use super::{
    capture_task::Report,
    error,
    events::PipelineClock,
    negotiation,
    opened::{self, Opened},
    session::{STREAM, Session},
    settings::{PROPERTIES, Settings},
    stamp::{Latency, stamp},
};
use std::path::PathBuf;

use crate::camera::CameraError;
use crate::sync::{Arc, LazyLock, Mutex};
use crate::video::caps::{Choice, Offer};
use crate::video::format::template_caps;
use crate::video::repack::Repack;
use gst::subclass::prelude::*;
use gst_base::{
    prelude::*,
    subclass::{base_src::CreateSuccess, prelude::*},
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "libcamerasrc-rs",
        gst::DebugColorFlags::empty(),
        Some("Camera source on libcamera"),
    )
});

/// What the pad's thread and everybody else share.
#[derive(Debug, Default)]
struct Streaming {
    session: Option<Arc<Session>>,
    /// Set by `unlock`, cleared by `unlock_stop` alone: a session that begins in between is born flushing.
    flushing: bool,
    /// Nothing follows: an EOS was sent, or the negotiation failed.
    eos: bool,
    /// For a peer that needs copies.
    repack: Option<Arc<Repack>>,
    /// The sequence number that follows the last buffer's.
    next_sequence: Option<u32>,
}

/// Locks, in the order in which a thread takes them: `camera`, then `streaming`; `settings` and `offer` alone. `camera` is held while the camera
/// is configured, started or stopped, and while the objects of a session are made; nothing that waits for another thread of ours, and nothing
/// that comes out at the application, is done under any of them. The loop state's leaf lock may follow any of them.
#[derive(Debug, Default)]
pub struct LibcameraSrc {
    settings: Mutex<Settings>,
    camera: Mutex<Option<Opened>>,
    /// Of the open camera. Caps are asked for at any time, also while the camera is being stopped.
    offer: Mutex<Option<Offer>>,
    streaming: Mutex<Streaming>,
    clock: Arc<PipelineClock>,
    latency: Latency,
}

#[glib::object_subclass]
impl ObjectSubclass for LibcameraSrc {
    const NAME: &'static str = "GstLibcameraSrcRs";
    type Type = super::LibcameraSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for LibcameraSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "camera-name" => {
                // A string property holds any bytes, and reading those that are not UTF-8 as a string panics. No camera has such a name, so
                // what replaces them makes the error of a camera that does not exist.
                let name = value.get::<Option<PathBuf>>().unwrap_or_default();
                let name = name.map(|name| name.to_string_lossy().into_owned());
                self.settings.lock().camera_name = name;
            }
            "pace" => self.settings.lock().pace = value.get().unwrap_or_default(),
            "stall-timeout" => {
                self.settings.lock().stall_timeout = value.get().unwrap_or_default();
            }
            _ => (),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "camera-name" => self.settings.lock().camera_name.to_value(),
            "pace" => self.settings.lock().pace.to_value(),
            "stall-timeout" => self.settings.lock().stall_timeout.to_value(),
            _ => self.stats().to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for LibcameraSrc {}

impl ElementImpl for LibcameraSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "libcamera source",
                "Source/Video",
                "Captures frames from a camera that libcamera supports",
                "The authors of gst-plugin-libcamera-rs",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            gst::PadTemplate::new(
                "src",
                gst::PadDirection::Src,
                gst::PadPresence::Always,
                &template_caps(),
            )
            .into_iter()
            .collect()
        });
        &TEMPLATES
    }

    fn set_clock(&self, clock: Option<&gst::Clock>) -> bool {
        self.clock.set(clock.cloned());
        self.parent_set_clock(clock)
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.open()?,
            // What was captured in PAUSED is stale.
            gst::StateChange::PausedToPlaying => {
                if let Some(session) = self.session() {
                    session.state().discard();
                }
            }
            _ => (),
        }
        let success = self.parent_change_state(transition);
        let closes = match transition {
            gst::StateChange::ReadyToNull => true,
            gst::StateChange::NullToReady => success.is_err(),
            _ => false,
        };
        if closes {
            *self.offer.lock() = None;
            let camera = self.camera.lock().take();
            drop(camera);
        }
        success
    }

    /// EOS goes behind the frames that wait. The parent's way would take the pad's stream lock, and hang behind a sink that blocks.
    fn send_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::Eos => (),
            gst::EventType::FlushStop => {
                // What waited is from before the flush.
                if let Some(session) = self.session() {
                    session.state().discard();
                }
                return self.parent_send_event(event);
            }
            _ => return self.parent_send_event(event),
        }
        if self.obj().current_state() < gst::State::Paused {
            return false;
        }
        let mut streaming = self.streaming.lock();
        streaming.eos = true;
        let session = streaming.session.clone();
        drop(streaming);
        if let Some(session) = session {
            session.state().end();
        }
        true
    }
}

impl BaseSrcImpl for LibcameraSrc {
    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let caps = self
            .offer()
            .map_or_else(template_caps, |offer| offer.caps());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        if let Err(message) = self.negotiated() {
            // A pad that is being shut down refuses everything; that is nobody's error.
            if !self
                .obj()
                .src_pad()
                .pad_flags()
                .contains(gst::PadFlags::FLUSHING)
            {
                self.post_error_message(message);
            }
            // That message says what is wrong. A refusal here would make GstBaseSrc post a second one that says nothing; `create` ends the
            // stream instead.
            self.streaming.lock().eos = true;
            self.stop_session();
        }
        Ok(())
    }

    /// The camera's frames are what is pushed; no pool of downstream's is taken, which GstBaseSrc would activate for nothing. A peer that
    /// cannot see how the frames' planes lie gets copies.
    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        while query.allocation_pools().next().is_some() {
            query.remove_nth_allocation_pool(0);
        }
        let sees_layout = query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some();
        let repack = match self.session() {
            Some(session) if !sees_layout => session
                .repack()
                .map_err(|error| gst::loggable_error!(CAT, "preparing to copy frames: {error}"))?,
            _ => None,
        };
        if repack.is_some() {
            gst::warning!(
                CAT,
                imp = self,
                "downstream does not know GstVideoMeta: every frame is copied"
            );
        }
        let before = std::mem::replace(&mut self.streaming.lock().repack, repack.map(Arc::new));
        drop(before);
        Ok(())
    }

    /// An EOS of the last time that came while it was being stopped is not one of this time.
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.streaming.lock().eos = false;
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.set_flushing(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.set_flushing(false);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.stop_session();
        let mut streaming = self.streaming.lock();
        streaming.eos = false;
        streaming.next_sequence = None;
        let repack = streaming.repack.take();
        drop(streaming);
        drop(repack);
        self.latency.reset();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let (min, max) = self.latency.range(self.session().as_deref());
            latency.set(true, min, max);
            return true;
        }
        BaseSrcImplExt::parent_query(self, query)
    }
}

impl PushSrcImpl for LibcameraSrc {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        let streaming = self.streaming.lock();
        let (session, eos) = (streaming.session.clone(), streaming.eos);
        drop(streaming);
        let session = match session {
            Some(session) => session,
            None if eos => return Err(gst::FlowError::Eos),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        let (mut buffer, captured) = loop {
            let Some((buffer, captured)) = session.next()? else {
                return Err(gst::FlowError::Eos);
            };
            // A frame that was completed before the element had its clock has no time, and is from before PLAYING.
            if captured.timing.pipeline.is_some() || !self.clock.is_set() {
                break (buffer, captured);
            }
        };
        let mut streaming = self.streaming.lock();
        let expected = streaming
            .next_sequence
            .replace(captured.sequence.wrapping_add(1));
        let repack = streaming.repack.clone();
        drop(streaming);
        let discont = expected.is_none_or(|expected| captured.sequence > expected);
        let element = self.obj();
        if let Some(buffer) = buffer.get_mut() {
            stamp(buffer, &captured, &session, element.base_time(), discont);
        }
        if self.latency.observe(captured.timing.age) {
            self.announce_latency();
        }
        Ok(CreateSuccess::NewBuffer(match repack {
            Some(repack) => repack.repack(&buffer)?,
            None => buffer,
        }))
    }
}

impl LibcameraSrc {
    fn session(&self) -> Option<Arc<Session>> {
        self.streaming.lock().session.clone()
    }

    fn open(&self) -> Result<(), gst::StateChangeError> {
        let name = self.settings.lock().camera_name.clone();
        let opened = opened::open(name.as_deref()).and_then(|opened| {
            let offer = negotiation::offer(&*opened.device)?;
            Ok((opened, offer))
        });
        match opened {
            Ok((opened, offer)) => {
                gst::info!(CAT, imp = self, "camera {}", opened.device.id());
                *self.offer.lock() = Some(offer);
                *self.camera.lock() = Some(opened);
                Ok(())
            }
            Err(error) => {
                self.post_error_message(error::message(&error));
                Err(gst::StateChangeError)
            }
        }
    }

    /// What the camera offers; `None` while it is not open.
    fn offer(&self) -> Option<Offer> {
        let paced = self.settings.lock().pace;
        let offer = self.offer.lock().clone()?;
        Some(Offer { paced, ..offer })
    }

    /// Chooses, and (re)starts the camera if that changes what it delivers.
    fn negotiated(&self) -> Result<(), gst::ErrorMessage> {
        let camera_error = |error: CameraError| error::message(&error);
        let element = self.obj();
        let offer = self.offer().ok_or_else(closed)?;
        let choice = loop {
            let peer = element.src_pad().peer_query_caps(None);
            match self.chosen(&offer, &peer) {
                Ok(choice) => break choice,
                // The peer has changed its mind between two questions: ask again.
                Err(_) if element.src_pad().peer_query_caps(None) != peer => (),
                Err(message) => return Err(message),
            }
        };
        if self
            .session()
            .is_some_and(|session| session.choice == choice)
        {
            return Ok(());
        }
        self.stop_session();
        let weak = element.downgrade();
        let timeout = self.settings.lock().stall_timeout;
        let timeout = (timeout > 0).then(|| gst::ClockTime::from_nseconds(timeout));
        let report = move |report: Report<'_>| {
            let Some(element) = weak.upgrade() else {
                return;
            };
            match report {
                Report::Failed(error) => element.imp().post_error_message(error::message(error)),
                Report::Stalled => {
                    let _ = element.post_message(error::stall_warning(&element, timeout));
                }
            }
        };
        let mut camera = self.camera.lock();
        let device = &mut *camera.as_mut().ok_or_else(closed)?.device;
        let session = Session::start(device, &offer, choice, &self.clock, timeout, report)
            .map_err(camera_error)?;
        let session = Arc::new(session);
        let mut streaming = self.streaming.lock();
        if streaming.flushing {
            session.state().set_flushing(STREAM, true);
        }
        if streaming.eos {
            session.state().end();
        }
        streaming.next_sequence = None;
        streaming.session = Some(session.clone());
        drop((streaming, camera));

        gst::info!(
            CAT,
            imp = self,
            "{}, {} frames",
            session.caps,
            session.frames
        );
        self.announce_latency();
        // A peer that has changed its mind since has marked the pad, and is asked again before the next frame.
        if element.set_caps(&session.caps).is_ok() || element.src_pad().needs_reconfigure() {
            return Ok(());
        }
        let caps = &session.caps;
        Err(gst::error_msg!(
            gst::StreamError::Format,
            ("downstream refuses {caps}")
        ))
    }

    /// The first choice that the camera delivers as it is and the peer accepts.
    fn chosen(&self, offer: &Offer, peer: &gst::Caps) -> Result<Choice, gst::ErrorMessage> {
        let camera_error = |error: CameraError| error::message(&error);
        let choices = offer.choices(peer);
        let Some(first) = choices.first() else {
            let delivers = offer.describe();
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("the camera cannot deliver what downstream asks for; it delivers {delivers}"),
                ["downstream asks for {peer}"]
            ));
        };
        let pad = self.obj().src_pad().clone();
        let mut refused = None;
        for choice in &choices {
            let camera = self.camera.lock();
            let device = &*camera.as_ref().ok_or_else(closed)?.device;
            let agreed = negotiation::validate(device, offer, choice).map_err(camera_error)?;
            drop(camera);
            let Some(agreed) = agreed else { continue };
            let caps = offer.fixed_caps(choice, &agreed);
            if pad.peer_query_accept_caps(&caps) {
                return Ok(choice.clone());
            }
            refused = refused.or(Some(caps));
        }
        if let Some(caps) = refused {
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("downstream refuses the camera's {caps}; it asks for {peer}. Ask for less, or put a converter behind the camera (videoconvert)")
            ));
        }
        let camera = self.camera.lock();
        let device = &*camera.as_ref().ok_or_else(closed)?.device;
        Err(error::message(&negotiation::adjusted(device, offer, first)))
    }

    fn announce_latency(&self) {
        let element = self.obj();
        let _ = element.post_message(gst::message::Latency::builder().src(&*element).build());
    }

    fn stop_session(&self) {
        let session = self.streaming.lock().session.take();
        let Some(session) = session else { return };
        session.halt();
        if let Some(opened) = self.camera.lock().as_mut() {
            session.finish(&mut *opened.device);
        }
    }

    fn set_flushing(&self, flushing: bool) {
        let mut streaming = self.streaming.lock();
        streaming.flushing = flushing;
        let session = streaming.session.clone();
        drop(streaming);
        if let Some(session) = session {
            session.state().set_flushing(STREAM, flushing);
        }
    }

    fn stats(&self) -> gst::Structure {
        let counters = self
            .session()
            .map(|session| session.state().counters(STREAM))
            .unwrap_or_default();
        gst::Structure::builder("libcamerasrc-stats")
            .field("captured", counters.captured)
            .field("delivered", counters.delivered)
            .field("missed", counters.missed)
            .field("damaged", counters.damaged)
            .field("cancelled", counters.cancelled)
            .build()
    }
}

fn closed() -> gst::ErrorMessage {
    gst::error_msg!(gst::CoreError::StateChange, ("the camera is not open"))
}
