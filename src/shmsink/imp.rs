//! The virtual functions, which delegate.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::sync::Arc;
use crate::sync::LazyLock;
use crate::sync::Mutex;
use glib::{prelude::*, subclass::prelude::*};
use gst_base::{prelude::*, subclass::prelude::*};

use super::{
    CAT, Leaky, Transport,
    fd::table::{Passed, Table},
    frame::Format,
    pool::SlotPool,
    properties::{PROPERTIES, SIGNALS},
    qos::{self, DropReports},
    session::{Session, StartError},
    settings::Settings,
    shared::{Shared, Times},
    stats,
    stream::{PublishError, Published},
    streaming::{Context, Streaming},
};
use crate::notes::clock::Timebase;
use crate::notes::fields;
use crate::os::area::AreaError;
use crate::os::listener::ListenError;
use crate::shm::header::StreamState;
use crate::shm::layout::LayoutError;
use crate::shm::server::Why;
use crate::shm::snapshot::Snapshot;

#[derive(Debug, Default)]
pub struct ShmSink {
    settings: Mutex<Settings>,
    session: Mutex<Option<Session>>,
    /// Taken out by the streaming thread while it is at work, so that no lock is held over it.
    stream: Mutex<Option<Streaming>>,
    drop_reports: Mutex<DropReports>,
    /// While the element plays.
    timebase: Mutex<Option<Timebase>>,
}

impl ShmSink {
    fn set_timebase(&self, timebase: Option<Timebase>) {
        let before = std::mem::replace(&mut *self.timebase.lock(), timebase);
        // Without the lock: it may be the last of a clock.
        drop(before);
    }

    fn open(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().clone();
        let session = Session::start(&self.obj(), &settings).map_err(|error| {
            let text = error.to_string();
            match error {
                StartError::Listen(ListenError::InUse { .. }) => {
                    gst::error_msg!(gst::ResourceError::Busy, ("{text}"))
                }
                StartError::Listen(ListenError::NoPath | ListenError::NoDirectory { .. }) => {
                    gst::error_msg!(gst::ResourceError::NotFound, ("{text}"))
                }
                StartError::Allowed(_) => {
                    gst::error_msg!(gst::ResourceError::Settings, ("{text}"))
                }
                StartError::Listen(_) | StartError::System(_) => {
                    gst::error_msg!(gst::ResourceError::OpenReadWrite, ("{text}"))
                }
            }
        })?;
        *self.stream.lock() = Some(Streaming::new(&settings));
        *self.session.lock() = Some(session);
        Ok(())
    }

    fn close(&self) {
        let session = self.session.lock().take();
        let mut stream = self.stream.lock().take();
        if let Some(session) = session {
            if let Some(stream) = &mut stream {
                stream.prepare_end(session.shared());
            }
            let has_ended = stream.as_ref().is_some_and(|stream| stream.has_ended());
            session.stop(&self.obj(), has_ended);
        }
        drop(stream);
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.session
            .lock()
            .as_ref()
            .map(|session| session.shared().clone())
    }

    fn snapshot(&self) -> (Snapshot, Times, Passed) {
        self.shared().map_or_else(Default::default, |shared| {
            let now = shared.now();
            let state = shared.lock();
            let mut snapshot = state.server.snapshot(now);
            let passed = state.table.as_ref().map(Table::passed);
            if let Some(passed) = &passed {
                // Slots are tickets, and cost nothing.
                snapshot.shm_bytes = passed.copied_bytes;
            }
            (snapshot, state.times.clone(), passed.unwrap_or_default())
        })
    }

    fn num_clients(&self) -> u32 {
        self.shared()
            .map_or(0, |shared| shared.lock().server.client_count() as u32)
    }

    pub(super) fn evict_client(&self, fd: i32) -> bool {
        let Some(shared) = self.shared() else {
            return false;
        };
        let evicted = {
            let server = &mut shared.lock().server;
            server
                .find(fd)
                .is_some_and(|id| server.handle_evict(id, Why::Asked))
        };
        shared.waker().wake();
        evicted
    }

    /// What can be set while running takes effect.
    fn apply(&self, property: &str) {
        let Some(shared) = self.shared() else {
            return;
        };
        let settings = self.settings.lock().clone();
        match property {
            // Nobody has to arrive any more: the stream that waits goes on.
            "wait-for-connection" if !settings.wait_for_connection => shared.client_arrived(),
            "leaky" => {
                let mailbox = settings.leaky == Leaky::Mailbox;
                shared.lock().server.set_mailbox(mailbox);
            }
            // Of copies it is the limit from the next frame on.
            "shm-size" if settings.transport == Transport::Shm => {
                shared.lock().server.set_area_size(settings.area_size());
            }
            "stall-timeout" | "evict-after" => {
                shared.lock().server.set_timeouts(settings.timeouts());
            }
            _ => return,
        }
        shared.waker().wake();
    }

    fn report_drop(&self, buffer: &gst::BufferRef) {
        let due = self.drop_reports.lock().is_due();
        if due {
            gst::warning!(CAT, imp = self, "No free slot; frames are dropped");
            let counters = self.snapshot().0.counters;
            let (all, dropped) = (counters.frames_in(), counters.dropped_no_slot);
            let message = qos::message(&*self.obj(), buffer, all, dropped);
            // Without a bus there is nobody to tell.
            let _ = self.obj().post_message(message);
        }
    }

    /// Until there was a reader, if the user wants that.
    fn wait_for_first_client(&self, shared: &Shared) -> Result<(), gst::FlowError> {
        if !self.settings.lock().wait_for_connection {
            return Ok(());
        }
        while !shared.wait_for_first_client() {
            // Paused, flushed or stopped: the base class knows which, and comes back only if the frame is still wanted.
            self.obj().wait_preroll()?;
        }
        Ok(())
    }

    fn post(&self, error: &PublishError) {
        match error {
            PublishError::Layout(LayoutError::OverLimit { .. })
            | PublishError::Area(AreaError::NoSpace { .. }) => {
                gst::element_imp_error!(self, gst::ResourceError::NoSpaceLeft, ("{error}"))
            }
            PublishError::Area(AreaError::System { .. }) => {
                gst::element_imp_error!(self, gst::ResourceError::OpenReadWrite, ("{error}"))
            }
            PublishError::Layout(LayoutError::FrameTooLarge { .. }) | PublishError::Frame(_) => {
                gst::element_imp_error!(self, gst::StreamError::Failed, ("{error}"));
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ShmSink {
    const NAME: &'static str = "GstShmSinkRs";
    type Type = super::ShmSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for ShmSink {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        fields::register();
        // A server of frames has nothing to synchronise, readers do; and a frame kept as last sample is one that the camera misses.
        let sink = self.obj();
        sink.set_sync(false);
        sink.set_async(false);
        sink.set_property("enable-last-sample", false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // GObject has checked type and range against the specs in `properties.rs`.
        macro_rules! assign {
            ($($name:literal => $field:ident),* $(,)?) => {
                match pspec.name() {
                    $($name => {
                        if let Ok(value) = value.get() {
                            self.settings.lock().$field = value;
                        }
                    })*
                    name => gst::error!(CAT, imp = self, "Property {name} cannot be set"),
                }
            };
        }
        // A string property holds any bytes, and reading those that are not UTF-8 as a string panics.
        let text = || {
            let path = value.get::<Option<PathBuf>>().ok().flatten();
            path.map(PathBuf::into_os_string)
        };
        match pspec.name() {
            "socket-path" => {
                let (path, odd) = match text().map(OsString::into_string) {
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
                return;
            }
            // What is no list of numbers is an error at the start.
            name @ ("allow-uids" | "allow-gids") => {
                let list = text().map(|text| text.to_string_lossy().into_owned());
                let mut settings = self.settings.lock();
                match name {
                    "allow-uids" => settings.allow_uids = list,
                    _ => settings.allow_gids = list,
                }
                return;
            }
            _ => (),
        }
        assign! {
            "perms" => perms,
            "shm-size" => shm_size,
            "wait-for-connection" => wait_for_connection,
            "buffer-time" => buffer_time,
            "client-window" => client_window,
            "max-clients" => max_clients,
            "leaky" => leaky,
            "transport" => transport,
            "stall-timeout" => stall_timeout,
            "evict-after" => evict_after,
            "eos-drain-timeout" => eos_drain_timeout,
        }
        self.apply(pspec.name());
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().clone();
        match pspec.name() {
            "socket-path" => settings.socket_path.to_value(),
            "perms" => settings.perms.to_value(),
            "shm-size" => settings.shm_size.to_value(),
            "wait-for-connection" => settings.wait_for_connection.to_value(),
            "buffer-time" => settings.buffer_time.to_value(),
            "client-window" => settings.client_window.to_value(),
            "max-clients" => settings.max_clients.to_value(),
            "leaky" => settings.leaky.to_value(),
            "transport" => settings.transport.to_value(),
            "stall-timeout" => settings.stall_timeout.to_value(),
            "evict-after" => settings.evict_after.to_value(),
            "eos-drain-timeout" => settings.eos_drain_timeout.to_value(),
            "allow-uids" => settings.allow_uids.to_value(),
            "allow-gids" => settings.allow_gids.to_value(),
            "num-clients" => self.num_clients().to_value(),
            "stats" => {
                let (snapshot, times, passed) = self.snapshot();
                stats::structure(&snapshot, &times, passed).to_value()
            }
            _ => pspec.default_value().clone(),
        }
    }

    fn dispose(&self) {
        // Only when the application forgot the NULL state.
        let session = self.session.lock().take();
        if let Some(session) = session {
            session.stop(&self.obj(), false);
        }
    }
}

impl GstObjectImpl for ShmSink {}

impl ElementImpl for ShmSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Shared memory sink (never waits)",
                "Sink",
                "Gives frames over shared memory to any number of shmsrc in other processes; no reader can slow, block or stop it or another \
                 reader",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            gst::PadTemplate::new(
                "sink",
                gst::PadDirection::Sink,
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
        // The clock and the beginning of running time stay while the element plays, which it may be told again.
        match transition {
            gst::StateChange::PausedToPlaying => self.set_timebase(Timebase::of(&*self.obj())),
            gst::StateChange::PlayingToPaused => self.set_timebase(None),
            _ => (),
        }
        // Not in `start`: GstBaseSink tells of its failure once more, and says nothing.
        let opens = transition == gst::StateChange::NullToReady;
        if opens && let Err(message) = self.open() {
            self.post_error_message(message);
            return Err(gst::StateChangeError);
        }
        let changed = self.parent_change_state(transition);
        if opens && changed.is_err() {
            self.close();
        }
        changed
    }
}

impl BaseSinkImpl for ShmSink {
    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.close();
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        if let Some(stream) = self.stream.lock().as_mut() {
            stream.set_caps(caps);
        }
        Ok(())
    }

    fn propose_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Strides of any kind are repacked in the copy that is made anyway.
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        let (Some(caps), true) = query.get_owned() else {
            return Ok(());
        };
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        // Without a size from the caps there is no saying what a buffer of a pool would be.
        let size = Format::from_caps(&caps).planned_size();
        let size = size.and_then(|size| u32::try_from(size).ok());
        let (transport, spare) = {
            let settings = self.settings.lock();
            (settings.transport, settings.spare())
        };
        // Out of its lock, as for a frame: this takes its time.
        let stream = self.stream.lock().take();
        if let Some(mut stream) = stream {
            match (transport, size) {
                (Transport::Fd, Some(_)) => stream.set_spare(spare),
                (Transport::Shm, Some(size)) => stream.prepare_slots(&shared, size.into()),
                (_, None) => (),
            }
            *self.stream.lock() = Some(stream);
        }
        match (transport, size) {
            (Transport::Fd, Some(size)) => {
                query.add_allocation_pool(None::<&gst::BufferPool>, size, spare as u32, 0);
            }
            (Transport::Shm, Some(size)) => {
                let pool = SlotPool::new(&shared);
                let mut config = pool.config();
                config.set_params(Some(&caps), size, 0, 0);
                pool.set_config(config)
                    .map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
                query.add_allocation_pool(Some(&pool), size, 0, 0);
            }
            // Upstream may make a pool of this by itself, of buffers of that size.
            (_, None) => (),
        }
        Ok(())
    }

    fn event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Segment(segment) => {
                if let Some(stream) = self.stream.lock().as_mut() {
                    stream.set_segment(segment.segment());
                }
            }
            gst::EventView::Eos(_) => {
                if let Some(shared) = self.shared() {
                    // Out of its lock, for this takes its time.
                    let stream = self.stream.lock().take();
                    if let Some(mut stream) = stream {
                        stream.end();
                        stream.prepare_end(&shared);
                        *self.stream.lock() = Some(stream);
                    }
                    shared.tell_state(StreamState::Ended);
                    let limit = self.settings.lock().eos_drain_timeout;
                    shared.drain(Duration::from_nanos(limit));
                }
            }
            _ => (),
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(shared) = self.shared() {
            shared.set_unlocked(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(shared) = self.shared() {
            shared.set_unlocked(false);
        }
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let shared = self.shared().ok_or(gst::FlowError::Flushing)?;
        self.wait_for_first_client(&shared)?;
        let mut stream = self.stream.lock().take().ok_or(gst::FlowError::Flushing)?;
        let timebase = self.timebase.lock().clone();
        let (transport, leaky, copy_limit) = {
            let settings = self.settings.lock();
            (settings.transport, settings.leaky, settings.area_size())
        };
        let context = Context {
            timebase: timebase.as_ref(),
            latency: match transport {
                Transport::Shm => gst::ClockTime::ZERO,
                Transport::Fd => self.obj().latency(),
            },
            skips_scarce: leaky == Leaky::Skip,
            copy_limit,
        };
        let published = stream.publish(&shared, buffer, context);
        let reconfigure = stream.take_has_slots_again();
        *self.stream.lock() = Some(stream);
        if reconfigure {
            // Who does not know the event goes on as before.
            let _ = self
                .obj()
                .sink_pad()
                .push_event(gst::event::Reconfigure::new());
        }
        match published {
            Ok(Published::Yes) => (),
            Ok(Published::Dropped) => self.report_drop(buffer),
            Err(error) => {
                self.post(&error);
                return Err(gst::FlowError::Error);
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
