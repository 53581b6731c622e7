//! The element.

use super::{
    base_src,
    controls::ControlState,
    error,
    events::PipelineClock,
    opened::{self, Opened},
    orientation,
    pad::LibcameraSrcPad,
    request_pads, sensor_config,
    session::{NoFrame, Session, help_no_more},
    settings::{DEFAULT_COPY_THRESHOLD, PROPERTIES, Settings},
    stamp::Latency,
    stills::SIGNALS,
};
use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use crate::camera::StreamRole;
use crate::capture::outlet::Turn;
use crate::sync::{
    Arc, LazyLock, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
};
use crate::video::caps::Offer;
use crate::video::format::template_caps;
use gst::subclass::prelude::*;
use gst_base::{
    prelude::*,
    subclass::{base_src::CreateSuccess, prelude::*},
};

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "libcamerasrc-rs",
        gst::DebugColorFlags::empty(),
        Some("Camera source on libcamera"),
    )
});

/// What the pads' threads and everybody else share.
#[derive(Debug, Default)]
pub struct Streaming {
    pub session: Option<Arc<Session>>,
    /// Nothing follows: an EOS was sent, or the negotiation failed.
    pub eos: bool,
    pub playing: bool,
    group: Option<gst::GroupId>,
}

/// Locks, in the order in which a thread takes them: `camera`, then `streaming`; `settings` and `offers` alone. `camera` is held while the
/// camera is configured, started or stopped, and while the objects of a session are made; nothing that waits for another thread of ours, and
/// nothing that comes out at the application, is done under any of them. A pad's outlet, its progress and the loop state's leaf lock may follow
/// any of them.
#[derive(Debug, Default)]
pub struct LibcameraSrc {
    pub settings: Mutex<Settings>,
    pub camera: Mutex<Option<Opened>>,
    /// Of the open camera, for each role that a pad had then. Caps are asked for at any time, also while the camera is being stopped.
    pub offers: Mutex<Vec<(StreamRole, Offer)>>,
    camera_id: Mutex<Option<String>>,
    pub streaming: Mutex<Streaming>,
    source_pad: OnceLock<LibcameraSrcPad>,
    pub clock: Arc<PipelineClock>,
    pub controls: Arc<ControlState>,
    /// The unlock that comes now is for a pause, and no flush.
    pausing: AtomicBool,
    pub latency: Latency,
    /// The property: read for every frame.
    pub copy_threshold: AtomicI32,
    /// Frames that were pushed by the first pad while `src` had no stream.
    pub led: AtomicU64,
}

#[glib::object_subclass]
impl ObjectSubclass for LibcameraSrc {
    const NAME: &'static str = "GstLibcameraSrcRs";
    type Type = super::LibcameraSrc;
    type ParentType = gst_base::PushSrc;
    type Interfaces = (gst::ChildProxy,);
}

impl ObjectImpl for LibcameraSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.get(pspec.name())
            .unwrap_or_else(|| pspec.default_value().clone())
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
        self.copy_threshold
            .store(DEFAULT_COPY_THRESHOLD, Ordering::Relaxed);
        let pad = self.source_pad();
        pad.outlet().set_flushing(false);
        self.watch_source_pad(pad);
    }
}

impl GstObjectImpl for LibcameraSrc {}

impl ChildProxyImpl for LibcameraSrc {
    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        let pads = self.all_pads();
        pads.into_iter().nth(index as usize).map(|pad| pad.upcast())
    }

    fn children_count(&self) -> u32 {
        self.all_pads().len() as u32
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.obj().static_pad(name).map(|pad| pad.upcast())
    }
}

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
            let template = |name, presence| {
                gst::PadTemplate::with_gtype(
                    name,
                    gst::PadDirection::Src,
                    presence,
                    &template_caps(),
                    LibcameraSrcPad::static_type(),
                )
                .ok()
            };
            let always = template("src", gst::PadPresence::Always);
            let request = template(request_pads::TEMPLATE, gst::PadPresence::Request);
            // Of the templates that fit GStreamer takes the first for a link without a pad's name, `source. ! ...`, when `src` is linked already.
            request.into_iter().chain(always).collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        self.add_request_pad(template, name).map(|pad| pad.upcast())
    }

    fn release_pad(&self, pad: &gst::Pad) {
        if let Some(pad) = pad.downcast_ref::<LibcameraSrcPad>() {
            self.remove_request_pad(pad);
        }
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
            gst::StateChange::ReadyToPaused => self.begin(),
            gst::StateChange::PausedToPlaying => {
                // What was captured in PAUSED is stale.
                self.discard();
                self.source_pad().outlet().let_go();
            }
            gst::StateChange::PlayingToPaused => {
                self.set_playing(false);
                self.pausing.store(true, Ordering::Relaxed);
            }
            _ => (),
        }
        let success = self.parent_change_state(transition);
        self.pausing.store(false, Ordering::Relaxed);
        if transition == gst::StateChange::PausedToPlaying && success.is_ok() {
            self.set_playing(true);
            self.come_back();
        }
        let closes = match transition {
            gst::StateChange::ReadyToNull => true,
            gst::StateChange::NullToReady => success.is_err(),
            _ => false,
        };
        if closes {
            self.offers.lock().clear();
            self.controls.set_infos(None);
            let camera = self.camera.lock().take();
            drop(camera);
        }
        success
    }

    /// EOS goes behind the frames that wait. The parent's way would take the pad's stream lock, and hang behind a sink that blocks.
    fn send_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Eos(_) if self.obj().current_state() < gst::State::Paused => false,
            gst::EventView::Eos(_) => {
                self.end();
                true
            }
            gst::EventView::FlushStart(_) => {
                self.flush_start_request_pads();
                self.parent_send_event(event)
            }
            gst::EventView::FlushStop(stop) => {
                // What waited is from before the flush.
                self.discard();
                self.source_pad().progress().segment = false;
                self.source_pad().set_gap_due();
                self.flush_stop_request_pads(stop.resets_time());
                self.parent_send_event(event)
            }
            _ => self.parent_send_event(event),
        }
    }
}

impl BaseSrcImpl for LibcameraSrc {
    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        Some(self.caps_of(self.source_pad(), filter))
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        base_src::forget_stream_start(&self.obj(), self.source_pad());
        Ok(())
    }

    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        let pad = self.source_pad();
        pad.outlet().see();
        self.begin_stream(pad);
        let flushes = pad.outlet().flushes();
        let Err(message) = self.negotiated() else {
            return Ok(());
        };
        // A pad that is flushed, or shut down, refuses everything; that is nobody's error. It negotiates again when it goes on.
        let flushed = pad.outlet().is_flushing() || pad.outlet().flushes() != flushes;
        if flushed || pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
            pad.mark_reconfigure();
            return Ok(());
        }
        // The message says what is wrong. A refusal here would make GstBaseSrc post a second one that says nothing; `create` ends the stream
        // instead.
        self.post_error_message(message);
        self.end();
        self.stop_session();
        Ok(())
    }

    /// GstBaseSrc would activate a pool of downstream's, for nothing.
    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        let pad = self.source_pad();
        if let Some(stream) = pad.outlet().stream() {
            self.answered(pad, &stream, Some(query));
        }
        while query.allocation_pools().next().is_some() {
            query.remove_nth_allocation_pool(0);
        }
        Ok(())
    }

    fn event(&self, event: &gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure {
            let pad = self.source_pad();
            pad.set_gap_due();
            pad.outlet().nudge();
            // A thread that went to sleep because its peer was flushing goes on when there is another one. In a pause it would be wrong, and is not
            // needed; the lock keeps one from beginning.
            let streaming = self.streaming.lock();
            if streaming.playing && pad.is_active() && !pad.pad_flags().contains(gst::PadFlags::EOS)
            {
                base_src::resume(pad);
            }
            drop(streaming);
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        let pad = self.source_pad();
        if self.pausing.load(Ordering::Relaxed) {
            pad.outlet().hold();
        } else {
            pad.outlet().set_flushing(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.source_pad().outlet().set_flushing(false);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.stop_session();
        let progress = std::mem::take(&mut *self.source_pad().progress());
        drop(progress);
        self.latency.reset();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let (min, max) = self.latency_of(self.source_pad());
                latency.set(true, min, max);
                true
            }
            // GstBaseSrc has no answer, which counts as yes.
            gst::QueryViewMut::AcceptCaps(accept) => {
                let accepts = accept
                    .caps()
                    .is_subset(&self.caps_of(self.source_pad(), None));
                accept.set_result(accepts);
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }
}

impl PushSrcImpl for LibcameraSrc {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        self.next_buffer().inspect_err(|_| help_no_more())
    }
}

impl LibcameraSrc {
    /// Waits for the next frame of `src`.
    fn next_buffer(&self) -> Result<CreateSuccess, gst::FlowError> {
        let pad = self.source_pad();
        loop {
            let stream = match pad.outlet().next() {
                Err(_) => return Err(gst::FlowError::Flushing),
                Ok(Turn::Nudged) => {
                    if pad.needs_reconfigure() {
                        // It marks the pad when it fails; `negotiate` has said why, and ended the stream.
                        let _ = self.obj().negotiate();
                    }
                    continue;
                }
                Ok(Turn::Ended) => return Err(gst::FlowError::Eos),
                Ok(Turn::Stream(stream)) => stream,
            };
            if stream.is_on_demand() {
                self.begin_on_demand(pad);
            }
            match stream.next() {
                Err(NoFrame::Interrupted) => (),
                Err(NoFrame::Failed(error)) => return Err(error),
                Ok(None) => return Err(gst::FlowError::Eos),
                // What was taken while the element was being paused is stale when it plays again.
                Ok(Some((buffer, captured)))
                    if !pad.outlet().is_paused() && self.is_in_time(&captured) =>
                {
                    let dressed = self.dress(pad, &stream, buffer, &captured);
                    let buffer = dressed.inspect_err(|_| stream.still_taken(&captured, false))?;
                    stream.still_taken(&captured, true);
                    return Ok(CreateSuccess::NewBuffer(buffer));
                }
                Ok(Some((_, captured))) => stream.still_taken(&captured, false),
            }
        }
    }

    /// The pad that GstBaseSrc serves.
    pub fn source_pad(&self) -> &LibcameraSrcPad {
        self.source_pad.get_or_init(|| {
            let pad = self.obj().src_pad().clone();
            pad.downcast()
                .unwrap_or_else(|_| unreachable!("the template says so"))
        })
    }

    fn open(&self) -> Result<(), gst::StateChangeError> {
        let Settings {
            camera_name: name,
            sensor_config,
            ..
        } = self.settings.lock().clone();
        let sensor = sensor_config.map(|structure| sensor_config::parse(&structure));
        let sensor = match sensor.transpose() {
            Ok(sensor) => sensor,
            Err(text) => {
                let error = gst::error_msg!(gst::ResourceError::Settings, ("{text}"));
                self.post_error_message(error);
                return Err(gst::StateChangeError);
            }
        };
        let roles: HashSet<StreamRole> =
            self.all_pads().iter().map(LibcameraSrcPad::role).collect();
        let opened = opened::open(name.as_deref()).and_then(|mut opened| {
            opened.device.set_sensor_config(sensor);
            opened.sensor = sensor;
            let offers = opened::offers(&*opened.device, &roles)?;
            Ok((opened, offers))
        });
        match opened {
            Ok((opened, offers)) => {
                gst::info!(CAT, imp = self, "camera {}", opened.device.id());
                self.controls.set_infos(Some(opened.device.controls()));
                *self.offers.lock() = offers;
                *self.camera_id.lock() = Some(opened.device.id().to_owned());
                *self.camera.lock() = Some(opened);
                self.check_controls();
                Ok(())
            }
            Err(error) => {
                self.post_error_message(error::message(&error));
                Err(gst::StateChangeError)
            }
        }
    }

    /// Before the pads are activated: nothing of the last time is left, nothing flows before PLAYING.
    fn begin(&self) {
        let mut streaming = self.streaming.lock();
        streaming.eos = false;
        streaming.group = Some(gst::GroupId::next());
        drop(streaming);
        self.led.store(0, Ordering::Relaxed);
        for pad in self.all_pads() {
            pad.outlet().reset();
            pad.set_peer_memory(None);
        }
        self.set_playing(false);
    }

    /// GstBaseSrc has its thread leave `create` for a pause, and starts it again after that. But the thread looks some time after it has left whether
    /// it is to sleep: when the start comes in between, it sleeps for good. So it does not leave any more once the element is to play, and if it has
    /// left, it is woken here should it fall asleep, until it was seen again. That takes it some microseconds.
    fn come_back(&self) {
        const LONGEST: Duration = Duration::from_secs(2);
        const GLANCE: Duration = Duration::from_micros(50);
        let pad = self.source_pad();
        let begun = Instant::now();
        // Neither in a flush nor after EOS is it to come back.
        let is_away = || {
            let flags = pad.pad_flags();
            !flags.intersects(gst::PadFlags::FLUSHING | gst::PadFlags::EOS)
                && pad.outlet().has_left()
        };
        while is_away() && begun.elapsed() < LONGEST {
            base_src::resume(pad);
            thread::sleep(GLANCE);
        }
    }

    fn set_playing(&self, playing: bool) {
        self.streaming.lock().playing = playing;
        for pad in self.all_pads() {
            // A sink that was paused waits for something anew.
            pad.set_gap_due();
            pad.outlet().set_paused(!playing);
        }
    }

    /// What a pad could deliver.
    pub fn caps_of(&self, pad: &LibcameraSrcPad, filter: Option<&gst::Caps>) -> gst::Caps {
        let (role, paced) = (pad.role(), self.settings.lock().pace);
        let offers = self.offers.lock();
        let offer = offers.iter().find(|(offered, _)| *offered == role);
        let offer = offer.map(|(_, offer)| offer.clone());
        drop(offers);
        let caps = offer.map_or_else(template_caps, |offer| Offer { paced, ..offer }.caps());
        match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        }
    }

    pub fn latency_of(&self, pad: &LibcameraSrcPad) -> (gst::ClockTime, Option<gst::ClockTime>) {
        self.latency.range(pad.outlet().stream().as_deref())
    }

    /// STREAM_START, unless it was sent. A pad that is being flushed takes none.
    pub fn begin_stream(&self, pad: &LibcameraSrcPad) {
        if !pad.progress().begun {
            let begun = pad.push_event(self.stream_start(pad));
            pad.progress().begun = begun;
        }
    }

    /// The same stream of the same camera has the same id every time; all pads are one group.
    fn stream_start(&self, pad: &LibcameraSrcPad) -> gst::Event {
        let camera = self.camera_id.lock().clone().unwrap_or_default();
        let id = format!("libcamera/{camera}/{}", pad.name());
        let group = self.streaming.lock().group;
        let start = gst::event::StreamStart::builder(&id);
        match group {
            Some(group) => start.group_id(group).build(),
            None => start.build(),
        }
    }

    /// A frame of `src` has found the pad not linked: an error, unless frames go elsewhere.
    fn met_nobody(&self) {
        if self.request_pads().iter().any(|pad| pad.is_linked()) {
            return;
        }
        // First of all, or the frames that wait would say the same.
        self.end();
        self.discard();
        gst::element_imp_error!(
            self,
            gst::StreamError::Failed,
            ("no pad of the camera is linked: link one, as in `libcamerasrc-rs ! videoconvert ! autovideosink`")
        );
    }

    /// What GstBaseSrc does on its pad, and others have to know of.
    fn watch_source_pad(&self, pad: &LibcameraSrcPad) {
        let weak = self.obj().downgrade();
        // One probe for both: GStreamer goes through all of a pad's twice for each buffer.
        let both = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
        pad.add_probe(both, move |pad, info| {
            let Some(gst::PadProbeData::Event(event)) = &info.data else {
                return match pad.is_linked() {
                    true => {
                        orientation::tell_at_buffer(pad);
                        gst::PadProbeReturn::Ok
                    }
                    // GstBaseSrc takes that for an error, and says no more than `not-linked`.
                    false => {
                        if let Some(element) = weak.upgrade() {
                            element.imp().met_nobody();
                        }
                        gst::PadProbeReturn::Drop
                    }
                };
            };
            // `num-buffers`, an error, or a downstream that has enough: the others end as well.
            if event.type_() == gst::EventType::Eos
                && let Some(element) = weak.upgrade()
            {
                element.imp().end();
            }
            gst::PadProbeReturn::Ok
        });
    }
}
