//! The pool that a camera's buffers come from, and go back to.
//!
//! It gives out the frame that it is asked for, never another: which frame is next is the camera's to say. Its signal `buffer-notify` tells that
//! a frame is back, which is when its last memory was dropped. That may be long after its buffer was released, and in any thread.

use super::frame::{FrameMemories, MemoryKind, Returned};
use super::import::Held;
use super::slots::SlotSupply;
use crate::camera::{self, FrameId, FrameLayout};
use crate::sync::{Arc, LazyLock, Mutex};
use glib::subclass::{Signal, prelude::*};
use gst::{prelude::*, subclass::prelude::*};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the planes lie in each buffer, for its GstVideoMeta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneLayout {
    pub format: gst_video::VideoFormat,
    pub width: u32,
    pub height: u32,
    pub offsets: Vec<usize>,
    pub strides: Vec<i32>,
}

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "libcamerapool-rs",
        gst::DebugColorFlags::empty(),
        Some("Pool of camera frames"),
    )
});

/// What the frames of a pool are made of.
#[derive(Debug)]
pub enum Memories<'a> {
    /// Files, which are duplicated.
    Files(&'a [FrameLayout], MemoryKind),
    /// Buffers, which are held until the pool is closed.
    Buffers(Held),
}

const BUFFER_NOTIFY: &str = "buffer-notify";

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct State {
        /// Empty when the pool is closed.
        pub frames: Arc<Vec<FrameMemories>>,
        /// Instead of frames of its own.
        pub slots: Option<Arc<SlotSupply>>,
        /// Somebody else's buffers whose memory the frames share.
        pub held: Option<Held>,
        pub layout: Option<Arc<PlaneLayout>>,
        /// Buffers without memory, whose GstVideoMeta is ready.
        pub shells: Vec<gst::Buffer>,
        /// By frame: the buffer in which its memories rest.
        pub whole: Vec<Option<gst::Buffer>>,
        /// To be called when a frame is back in its whole buffer.
        pub returned: Option<Arc<Returned>>,
    }

    #[derive(Default)]
    pub struct FramePool {
        pub state: Mutex<State>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for FramePool {
        const NAME: &'static str = "GstLibcameraPoolRs";
        type Type = super::FramePool;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for FramePool {
        fn signals() -> &'static [Signal] {
            static SIGNALS: LazyLock<Vec<Signal>> =
                LazyLock::new(|| vec![Signal::builder(BUFFER_NOTIFY).run_last().build()]);
            &SIGNALS
        }
    }

    impl GstObjectImpl for FramePool {}

    impl BufferPoolImpl for FramePool {
        fn acquire_buffer(
            &self,
            params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            let Some(frame) = params.and_then(asked_frame) else {
                gst::warning!(
                    CAT,
                    imp = self,
                    "frames come from the camera; nobody else can acquire one"
                );
                return Err(gst::FlowError::Error);
            };
            let panicked = |_| {
                gst::error!(CAT, imp = self, "a panic in acquire_buffer");
                Err(gst::FlowError::Error)
            };
            catch_unwind(AssertUnwindSafe(|| self.take(frame))).unwrap_or_else(panicked)
        }

        fn release_buffer(&self, buffer: gst::Buffer) {
            if catch_unwind(AssertUnwindSafe(|| self.put_back(buffer))).is_err() {
                gst::error!(CAT, imp = self, "a panic in release_buffer");
            }
        }
    }

    impl FramePool {
        fn take(&self, frame: FrameId) -> Result<gst::Buffer, gst::FlowError> {
            let mut state = self.state.lock();
            let whole = state.whole.get_mut(frame.0 as usize);
            if let Some(whole) = whole.and_then(Option::take) {
                return Ok(whole);
            }
            let (frames, shell, layout) = (
                state.frames.clone(),
                state.shells.pop(),
                state.layout.clone(),
            );
            let slots = state.slots.clone();
            drop(state);
            let mut buffer = match shell {
                Some(shell) => shell,
                None => new_shell(layout.as_deref()).map_err(|_| gst::FlowError::Error)?,
            };
            let target = buffer.get_mut().ok_or(gst::FlowError::Error)?;
            if let Some(slots) = slots {
                target.append_memory(slots.take(frame).ok_or(gst::FlowError::Flushing)?);
                return Ok(buffer);
            }
            let frame = frames
                .get(frame.0 as usize)
                .ok_or(gst::FlowError::Flushing)?;
            if frame.append_to(target) {
                return Ok(buffer);
            }
            gst::warning!(CAT, imp = self, "that frame is in use");
            Err(gst::FlowError::Error)
        }

        /// The frame may come back by this, and its return calls whoever listens: no lock of ours is held.
        fn put_back(&self, mut buffer: gst::Buffer) {
            let frames = self.state.lock().frames.clone();
            let Some(shell) = buffer.get_mut() else {
                return;
            };
            if let Some(index) = frames.iter().position(|frame| frame.rest_in(shell)) {
                let mut state = self.state.lock();
                match state.whole.get_mut(index) {
                    Some(place) => *place = Some(buffer),
                    // Closed: its memory goes with it.
                    None => {
                        drop(state);
                        return;
                    }
                }
                let returned = state.returned.clone();
                drop(state);
                if let Some(returned) = returned {
                    returned(FrameId(index as u32));
                    self.obj().notify_buffer();
                }
                return;
            }
            shell.remove_all_memory();
            let mut state = self.state.lock();
            if !state.frames.is_empty() || state.slots.is_some() {
                state.shells.push(buffer);
                return;
            }
            drop(state);
            drop(buffer);
        }
    }

    fn new_shell(layout: Option<&PlaneLayout>) -> Result<gst::Buffer, glib::BoolError> {
        let mut buffer = gst::Buffer::new();
        if let Some(buffer) = buffer.get_mut() {
            let clock = &SENSOR_CLOCK;
            let mut meta = gst::ReferenceTimestampMeta::add(
                buffer,
                clock,
                gst::ClockTime::ZERO,
                gst::ClockTime::NONE,
            );
            // SAFETY: the meta is borrowed mutably.
            unsafe { keep(&mut (*meta.as_mut_ptr()).parent) };
        }
        if let (Some(layout), Some(buffer)) = (layout, buffer.get_mut()) {
            let mut meta = gst_video::VideoMeta::add_full(
                buffer,
                gst_video::VideoFrameFlags::empty(),
                layout.format,
                layout.width,
                layout.height,
                &layout.offsets,
                &layout.strides,
            )?;
            // SAFETY: the meta is borrowed mutably.
            unsafe { keep(&mut (*meta.as_mut_ptr()).meta) };
        }
        Ok(buffer)
    }
}

/// It stays when the buffer is reset for its next round, and no consumer can take it off.
pub(super) fn keep(meta: &mut gst::ffi::GstMeta) {
    meta.flags |= gst::ffi::GST_META_FLAG_POOLED | gst::ffi::GST_META_FLAG_LOCKED;
}

/// What the sensor's timestamps count: nanoseconds of the system's clock that does not go back (CLOCK_MONOTONIC, or CLOCK_BOOTTIME, which is the
/// same but for the time that the machine slept).
static SENSOR_CLOCK: LazyLock<gst::Caps> =
    LazyLock::new(|| gst::Caps::new_empty_simple(camera::SENSOR_CLOCK));

/// Writes the sensor's own time of a frame to its buffer, as GstReferenceTimestampMeta. The meta was made with the buffer: this allocates nothing.
pub fn set_sensor_time(buffer: &mut gst::BufferRef, time: gst::ClockTime) {
    if let Some(mut meta) = buffer.meta_mut::<gst::ReferenceTimestampMeta>() {
        // SAFETY: the meta is borrowed mutably.
        unsafe { (*meta.as_mut_ptr()).timestamp = time.nseconds() };
    }
}

glib::wrapper! {
    /// A pool of camera frames.
    pub struct FramePool(ObjectSubclass<imp::FramePool>)
        @extends gst::BufferPool, gst::Object;
}

impl FramePool {
    /// `returned` is called in the thread that drops the last memory of a frame, before `buffer-notify` is emitted there.
    pub fn new(
        frames: Memories<'_>,
        layout: Option<PlaneLayout>,
        returned: impl Fn(FrameId) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        let pool: Self = glib::Object::new();
        let weak = pool.downgrade();
        let directly: Arc<Returned> = Arc::new(returned);
        let told = directly.clone();
        let returned: Arc<Returned> = Arc::new(move |frame| {
            told(frame);
            if let Some(pool) = weak.upgrade() {
                pool.notify_buffer();
            }
        });
        let frame = |index| (FrameId(index), returned.clone());
        let memories: Result<Vec<_>, _> = match &frames {
            Memories::Files(layouts, kind) => (0..)
                .map(frame)
                .zip(*layouts)
                .map(|((frame, returned), layout)| {
                    FrameMemories::new(frame, layout, *kind, returned)
                })
                .collect(),
            Memories::Buffers(buffers) => (0..)
                .map(frame)
                .zip(&buffers.buffers)
                .map(|((frame, returned), buffer)| FrameMemories::shared(frame, buffer, returned))
                .collect(),
        };
        let memories = memories?;
        // For who wants to know how many there are.
        let mut config = pool.config();
        let count = memories.len() as u32;
        config.set_params(None, 0, count, count);
        pool.set_config(config)?;
        let mut state = pool.imp().state.lock();
        state.whole = memories.iter().map(|_| None).collect();
        state.returned = Some(directly);
        state.frames = Arc::new(memories);
        if let Memories::Buffers(buffers) = frames {
            state.held = Some(buffers);
        }
        state.layout = layout.map(Arc::new);
        drop(state);
        Ok(pool)
    }

    /// Of an element that shares out slots.
    pub fn of_slots(slots: Arc<SlotSupply>, layout: Option<PlaneLayout>) -> Self {
        let pool: Self = glib::Object::new();
        let mut state = pool.imp().state.lock();
        state.slots = Some(slots);
        state.layout = layout.map(Arc::new);
        drop(state);
        pool
    }

    /// Claims the camera's slots, where its frames are such.
    pub fn fill(&self) {
        let slots = self.imp().state.lock().slots.clone();
        if let Some(slots) = slots {
            slots.fill();
        }
    }

    /// A buffer of one frame, which must be free.
    pub fn buffer(&self, frame: FrameId) -> Result<gst::Buffer, gst::FlowError> {
        self.acquire_buffer(Some(&ask_for(frame)))
    }

    /// Whether its frames are slots of another element's.
    pub fn has_slots(&self) -> bool {
        self.imp().state.lock().slots.is_some()
    }

    /// Frees what rests, but for what others have lent, which is returned. Memory that is still downstream is freed when it is dropped, and nobody is
    /// told.
    pub fn close(&self) -> Option<Held> {
        let mut state = self.imp().state.lock();
        let frames = std::mem::take(&mut state.frames);
        let shells = std::mem::take(&mut state.shells);
        let whole = std::mem::take(&mut state.whole);
        let returned = state.returned.take();
        let held = state.held.take();
        let slots = state.slots.take();
        drop(state);
        if let Some(slots) = slots {
            slots.close();
        }
        // The shares before the buffers whose memory they share.
        drop((frames, shells, whole));
        drop(returned);
        held
    }

    fn notify_buffer(&self) {
        static SIGNAL: LazyLock<Option<glib::subclass::SignalId>> = LazyLock::new(|| {
            glib::subclass::SignalId::lookup(BUFFER_NOTIFY, FramePool::static_type())
        });
        let Some(signal) = *SIGNAL else { return };
        // An emission costs allocations; most pools have nobody who listens.
        // SAFETY: the pool lives, and the signal is one of its class.
        let listened = unsafe {
            glib::gobject_ffi::g_signal_has_handler_pending(
                self.as_ptr().cast(),
                glib::translate::IntoGlib::into_glib(signal),
                0,
                glib::ffi::GFALSE,
            )
        };
        if listened != glib::ffi::GFALSE {
            self.emit_by_name::<()>(BUFFER_NOTIFY, &[]);
        }
    }
}

/// A frame's number travels in the start position of the parameters.
fn ask_for(frame: FrameId) -> gst::BufferPoolAcquireParams {
    gst::BufferPoolAcquireParams::with_start_stop(
        gst::format::Default::from_u64(u64::from(frame.0)),
        gst::format::Default::from_u64(u64::from(frame.0)),
        gst::BufferPoolAcquireFlags::DONTWAIT,
    )
}

fn asked_frame(params: &gst::BufferPoolAcquireParams) -> Option<FrameId> {
    match params.start() {
        gst::GenericFormattedValue::Default(Some(frame)) => u32::try_from(*frame).ok().map(FrameId),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
