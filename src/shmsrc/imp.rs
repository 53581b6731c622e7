//! The virtual functions, which delegate.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use gst::subclass::prelude::*;
use gst_base::{
    prelude::*,
    subclass::{base_src::CreateSuccess, prelude::*},
};

use super::{
    CAT,
    caps::certain,
    connection::Connection,
    control::Control,
    properties::PROPERTIES,
    session::{Notice, Session, Stop},
    settings::Settings,
    stats::{self, Counters},
    stream::{BadFrame, Context, Made, NewCaps, Stream, StreamError},
};
use crate::notes::clock::Timebase;
use crate::notes::fields;
use crate::notes::stamp::LayoutError;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, LazyLock, Mutex};

/// Bytes of a path that fit a socket address, without the NUL.
const MAX_PATH: usize = 107;

#[derive(Debug, Default)]
pub struct ShmSrc {
    settings: Mutex<Settings>,
    control: Mutex<Option<Arc<Control>>>,
    /// Taken out by the streaming thread while it is at work, so that no lock is held over it.
    stream: Mutex<Option<Box<Stream>>>,
    /// For the statistics only.
    connection: Mutex<Option<Arc<Connection>>>,
    counters: Mutex<Counters>,
    area_name: Mutex<Option<String>>,
    /// Of the last time that the element began to play.
    timebase: Mutex<Option<Timebase>>,
    /// Frames come without caps: downstream's are asked for.
    pub(super) asks_downstream: AtomicBool,
    /// Bytes that a frame of these caps must have.
    least: AtomicUsize,
    /// The stream is at its end, until the element is started again.
    pub(super) has_ended: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for ShmSrc {
    const NAME: &'static str = "GstShmSrcRs";
    type Type = super::ShmSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for ShmSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn constructed(&self) {
        self.parent_constructed();
        fields::register();
        let source = self.obj();
        source.set_live(Settings::default().is_live);
        source.set_format(gst::Format::Time);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "socket-path" => {
                // A string property holds any bytes, and reading those that are not UTF-8 as a string panics.
                let path = value.get::<Option<PathBuf>>().ok().flatten();
                let path = path.map(|path| path.into_os_string().into_string());
                let (path, odd) = match path {
                    Some(Ok(path)) => (Some(path), None),
                    Some(Err(path)) => (None, Some(path)),
                    None => (None, None),
                };
                self.settings.lock().socket_path = path;
                if let Some(path) = odd {
                    gst::element_imp_warning!(
                        self,
                        gst::ResourceError::Settings,
                        ("socket-path {path:?} is not UTF-8 and is not used. Choose another path")
                    );
                }
            }
            "is-live" => {
                let is_live = value.get().unwrap_or_default();
                self.settings.lock().is_live = is_live;
                self.obj().set_live(is_live);
            }
            "reconnect" => self.settings.lock().reconnect = value.get().unwrap_or_default(),
            name => gst::error!(CAT, imp = self, "Property {name} cannot be set"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().clone();
        match pspec.name() {
            "socket-path" => settings.socket_path.to_value(),
            "is-live" => settings.is_live.to_value(),
            "reconnect" => settings.reconnect.to_value(),
            "shm-area-name" => self.area_name.lock().clone().to_value(),
            "stats" => {
                let counters = *self.counters.lock();
                let connection = self.connection.lock().clone();
                let outstanding = connection.map_or(0, |connection| connection.outstanding());
                stats::structure(&counters, outstanding).to_value()
            }
            _ => pspec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for ShmSrc {}

impl ElementImpl for ShmSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Shared memory source (with caps and times)",
                "Source",
                "Reads what shmsink-rs in another process gives, with its caps, timestamps and metas, without a copy; waits for its producer to come \
                 and to come back. Reads a stock shmsink and unixfdsink as well",
                env!("CARGO_PKG_NAME"),
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
                &gst::Caps::new_any(),
            )
            .into_iter()
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // The clock and the beginning of running time stay while the element plays. In a pause those from before it stay: the last frame may be on
        // its way yet.
        let plays = transition == gst::StateChange::PausedToPlaying;
        // Not in `start` alone: GstBaseSrc tells of its failure once more, and says nothing.
        if transition == gst::StateChange::ReadyToPaused
            && let Err(message) = self.path()
        {
            self.post_error_message(message);
            return Err(gst::StateChangeError);
        }
        if plays {
            self.set_timebase(Timebase::of(&*self.obj()));
        }
        let is_live = self.settings.lock().is_live;
        if let Some(control) = self.control().filter(|_| is_live) {
            match transition {
                gst::StateChange::PlayingToPaused => control.set_paused(true),
                gst::StateChange::PausedToPlaying => {
                    control.set_paused(false);
                    // The unlock of the pause is over, of which GstBaseSrc tells too late. One of a flush is not.
                    if !self
                        .obj()
                        .src_pad()
                        .pad_flags()
                        .contains(gst::PadFlags::FLUSHING)
                    {
                        control.set_unlocked(false);
                    }
                }
                _ => (),
            }
        }
        let changed = self.parent_change_state(transition)?;
        if plays && is_live {
            self.come_back();
        }
        if transition == gst::StateChange::PausedToReady {
            self.set_timebase(None);
        }
        Ok(changed)
    }

    fn send_event(&self, event: gst::Event) -> bool {
        let keeps_away = matches!(
            event.type_(),
            gst::EventType::Eos | gst::EventType::FlushStart
        );
        let sent = self.parent_send_event(event);
        // The thread has left for good, or until the flush is over; GstBaseSrc has waited for it.
        if let Some(control) = self.control().filter(|_| keeps_away) {
            control.see();
        }
        sent
    }
}

impl BaseSrcImpl for ShmSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let path = self.path()?;
        let failed = |error: std::io::Error| {
            gst::error_msg!(
                gst::ResourceError::OpenRead,
                ("cannot wait for a producer: {error}. Check how many open files this process may have (ulimit -n)")
            )
        };
        let control = Arc::new(Control::new().map_err(failed)?);
        let session = Session::new(Path::new(&path), &control).map_err(failed)?;
        *self.counters.lock() = Counters::default();
        self.asks_downstream.store(false, Ordering::Relaxed);
        self.least.store(0, Ordering::Relaxed);
        self.has_ended.store(false, Ordering::Relaxed);
        *self.control.lock() = Some(control);
        *self.stream.lock() = Some(Box::new(Stream::new(session)));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let control = self.control.lock().take();
        let stream = self.stream.lock().take();
        let connection = self.connection.lock().take();
        // The last of the connection goes here, or with the last frame.
        if let Some(mut stream) = stream {
            stream.session.leave();
        }
        drop((control, connection));
        *self.area_name.lock() = None;
        *self.counters.lock() = Counters::default();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    /// The producer's caps come with its frames, and are set then. If it tells none, they are what downstream takes, should that be something
    /// certain; a stock `shmsrc` leaves it to the capsfilter behind it, but then caps that are told later come too late.
    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        if !self.asks_downstream.load(Ordering::Relaxed) {
            return Ok(());
        }
        let caps = self.obj().src_pad().peer_query_caps(None);
        if caps.is_empty() {
            return Err(gst::loggable_error!(CAT, "downstream takes nothing"));
        }
        if caps.is_any() {
            return Ok(());
        }
        let Some(caps) = certain(caps.clone()) else {
            // What downstream has is as certain as anything.
            let before = self.obj().src_pad().current_caps();
            if before.is_some_and(|before| before.can_intersect(&caps)) {
                return Ok(());
            }
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("The producer does not tell the caps of its frames, and downstream takes several: {caps}. Put a capsfilter behind the source, with \
                     the format and size of raw video, or the format, rate and channels of raw audio")
            );
            self.has_ended.store(true, Ordering::Relaxed);
            return Err(gst::loggable_error!(CAT, "downstream takes several caps"));
        };
        // It is refused by a pad that is flushing, too; then pushing the buffer says the same.
        let _ = self.obj().set_caps(&caps);
        self.least.store(self.least_size(), Ordering::Relaxed);
        Ok(())
    }

    /// Frames are in the producer's memory: a pool of downstream's would be activated for nothing.
    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        while query.allocation_pools().next().is_some() {
            query.remove_nth_allocation_pool(0);
        }
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(control) = self.control() {
            control.set_unlocked(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(control) = self.control() {
            control.set_unlocked(false);
        }
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let is_live = self.settings.lock().is_live;
                let min = gst::ClockTime::from_nseconds(self.counters.lock().latency);
                latency.set(is_live, min, gst::ClockTime::NONE);
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }
}

impl PushSrcImpl for ShmSrc {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        let control = self.control().ok_or(gst::FlowError::Flushing)?;
        control.see();
        let next = self.next_buffer(&control);
        if next == Err(gst::FlowError::Eos) {
            self.leave();
        }
        next.map(CreateSuccess::NewBuffer)
    }
}

impl ShmSrc {
    /// Where the sink is to be, if that can be the path of a socket.
    fn path(&self) -> Result<String, gst::ErrorMessage> {
        let path = self.settings.lock().socket_path.clone().unwrap_or_default();
        match path.len() {
            0 => Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("no socket path. Set socket-path to that of the sink, such as /tmp/camera")
            )),
            1..=MAX_PATH => Ok(path),
            length => Err(gst::error_msg!(
                gst::ResourceError::NotFound,
                ("socket path of {length} bytes is too long: a socket address has room for {MAX_PATH}. Choose a shorter socket-path for both sides")
            )),
        }
    }

    fn set_timebase(&self, timebase: Option<Timebase>) {
        let before = std::mem::replace(&mut *self.timebase.lock(), timebase);
        // Without the lock: it may be the last of a clock.
        drop(before);
    }

    fn control(&self) -> Option<Arc<Control>> {
        self.control.lock().clone()
    }

    /// The end: the producer need not wait for this reader any more.
    fn leave(&self) {
        let stream = self.stream.lock().take();
        let stream = stream.map(|mut stream| {
            stream.session.leave();
            stream
        });
        *self.stream.lock() = stream;
        self.counters.lock().connected = false;
        let connection = self.connection.lock().take();
        drop(connection);
    }

    fn next_buffer(&self, control: &Control) -> Result<gst::Buffer, gst::FlowError> {
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(gst::FlowError::Eos);
        }
        let mut stream = self.stream.lock().take().ok_or(gst::FlowError::Flushing)?;
        let made = loop {
            match self.make(&mut stream) {
                Err(StreamError::Stop(Stop::Unlocked)) if !control.leaves() => (),
                made => break made,
            }
        };
        *self.stream.lock() = Some(stream);
        let made = made.map_err(|error| self.end(&error))?;
        if made.caps != NewCaps::Same {
            self.announce(&made.caps)?;
            self.least.store(self.least_size(), Ordering::Relaxed);
        }
        // Whoever told the caps, and when: elements downstream read what they say.
        let (size, needed) = (made.buffer.size(), self.least.load(Ordering::Relaxed));
        if size < needed {
            let error = BadFrame::from(LayoutError::TooSmall { size, needed });
            return Err(self.end(&error.into()));
        }
        Ok(made.buffer)
    }

    /// The next frame as a buffer.
    fn make(&self, stream: &mut Stream) -> Result<Made, StreamError> {
        let delivery = stream.session.next(
            || self.settings.lock().reconnect,
            |notice| self.note(notice),
            || self.counters.lock().skipped += 1,
        );
        let delivery = delivery?;
        let size = delivery.size();
        if self.was_interrupted(stream) {
            stream.interrupt();
        }
        let timebase = self.timebase.lock().clone();
        let context = Context {
            timebase: timebase.as_ref(),
            is_live: self.settings.lock().is_live,
        };
        let made = stream.make(delivery, context)?;
        let latency = stream.latency;
        let told = {
            let counters = &mut *self.counters.lock();
            counters.received += 1;
            counters.bytes += size;
            counters.missed += made.missed;
            counters.without_note += u64::from(!made.has_note);
            counters.caps_changes += u64::from(made.caps != NewCaps::Same);
            std::mem::replace(&mut counters.latency, latency)
        };
        if told != latency {
            let source = self.obj();
            // Without a bus there is nobody to tell.
            let _ = source.post_message(gst::message::Latency::builder().src(&*source).build());
        }
        Ok(made)
    }

    /// The frame comes over another connection than the one before.
    fn was_interrupted(&self, stream: &Stream) -> bool {
        let now = stream.session.connection().cloned();
        let before = std::mem::replace(&mut *self.connection.lock(), now.clone());
        match (before, now) {
            (Some(before), Some(now)) => !Arc::ptr_eq(&before, &now),
            _ => true,
        }
    }

    fn note(&self, notice: Notice) {
        match notice {
            Notice::Connected(name) => {
                {
                    let counters = &mut *self.counters.lock();
                    counters.connected = true;
                    counters.connections += 1;
                }
                gst::info!(CAT, imp = self, "Connected");
                *self.area_name.lock() = name;
            }
            Notice::Area(name) => *self.area_name.lock() = Some(name),
            Notice::Waiting(stop) => {
                self.counters.lock().connected = false;
                *self.area_name.lock() = None;
                // Closed here, unless somebody has a frame of it.
                let connection = self.connection.lock().take();
                drop(connection);
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::NotFound,
                    ("Waiting for a producer: {stop}")
                );
            }
        }
    }

    /// Says why the stream ends. After an error of ours that is EOS: anything else makes GstBaseSrc post a second one, which says nothing.
    fn end(&self, error: &StreamError) -> gst::FlowError {
        if matches!(error, StreamError::Stop(Stop::Unlocked)) {
            return gst::FlowError::Flushing;
        }
        self.has_ended.store(true, Ordering::Relaxed);
        let remedy = match error {
            StreamError::Stop(stop) => stop.remedy(),
            StreamError::Frame(frame) => frame.remedy(),
        };
        let text = format!("{error}{remedy}");
        match error {
            StreamError::Stop(Stop::End | Stop::Stopped { .. }) => return gst::FlowError::Eos,
            StreamError::Stop(
                Stop::Connect { .. } | Stop::NoSocket { .. } | Stop::Refused { .. },
            ) => {
                gst::element_imp_error!(self, gst::ResourceError::OpenRead, ("{text}"));
            }
            StreamError::Stop(Stop::Map { .. }) => {
                gst::element_imp_error!(self, gst::ResourceError::NotAuthorized, ("{text}"));
            }
            StreamError::Stop(_) => {
                gst::element_imp_error!(self, gst::ResourceError::Read, ("{text}"));
            }
            StreamError::Frame(_) => {
                gst::element_imp_error!(self, gst::StreamError::Format, ("{text}"));
            }
        }
        gst::FlowError::Eos
    }

    /// GstBaseSrc has its thread leave `create` for a pause, and starts it again after that. But the thread looks some time after it has left whether it
    /// is to sleep: when the start comes in between, it sleeps for good. So it does not leave any more once it is called back, and if it has left, it is
    /// started until it was seen again, which takes it some microseconds.
    fn come_back(&self) {
        const LONGEST: Duration = Duration::from_secs(2);
        const GLANCE: Duration = Duration::from_micros(50);
        let begun = Instant::now();
        let pad = self.obj().src_pad().clone();
        // Neither in a flush nor after EOS is it to come back.
        let is_away = || {
            let flags = pad.pad_flags();
            !flags.intersects(gst::PadFlags::FLUSHING | gst::PadFlags::EOS)
                && self.control().is_some_and(|control| control.has_left())
        };
        while is_away() && begun.elapsed() < LONGEST {
            // The pad has a task, which goes on with its own function; this one is never called.
            let _ = pad.start_task(|| ());
            thread::sleep(GLANCE);
        }
    }
}
