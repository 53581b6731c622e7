//! Slots of an area that another element shares out, as frames that the camera fills.
//!
//! Which slot is free is the other element's to say. So there is a frame for each slot of the area, and the camera has as many of them as were claimed
//! for it: a slot that went downstream with a frame is the other element's again when its memory is dropped, and another one is claimed.

use crate::camera::FrameId;
use crate::sync::{Arc, LazyLock, Mutex, Weak};
use glib::prelude::*;
use std::{fmt, os::fd::OwnedFd};

/// Called in the thread that drops a slot's memory.
pub type Gone = dyn Fn() + Send + Sync;

/// An element that has an area.
pub trait SlotSource: Send + Sync {
    /// The area that there is now, if its slots hold frames of that size.
    fn area(&self, size: usize) -> Option<SlotArea>;
    /// A slot for one frame. It is given back when the last reference to its memory goes; `gone` is called after that.
    fn claim(&self, size: usize, gone: Arc<Gone>) -> Option<Slot>;
}

pub struct SlotArea {
    /// No other area of the element has it.
    pub generation: u32,
    pub file: Arc<OwnedFd>,
    /// Where the frame of each slot begins in the file.
    pub offsets: Vec<u64>,
    /// How many slots may be claimed at a time.
    pub most: usize,
}

pub struct Slot {
    pub generation: u32,
    pub index: usize,
    /// Nobody but the camera writes to it.
    pub memory: gst::Memory,
}

static QUARK: LazyLock<glib::Quark> = LazyLock::new(|| glib::Quark::from_str("libcamerars-slots"));

/// Whoever is offered this pool can have slots instead.
pub fn attach(pool: &impl IsA<gst::BufferPool>, source: Arc<dyn SlotSource>) {
    // SAFETY: this key has values of this type only.
    unsafe { pool.as_ref().set_qdata(*QUARK, source) };
}

pub fn of_pool(pool: &gst::BufferPool) -> Option<Arc<dyn SlotSource>> {
    // SAFETY: as above; the pool lives for the call.
    unsafe { Some(pool.qdata::<Arc<dyn SlotSource>>(*QUARK)?.as_ref().clone()) }
}

struct State {
    /// Of slots that were claimed and have not gone downstream.
    memories: Vec<Option<gst::Memory>>,
    /// Slots whose memory somebody has, or we.
    out: usize,
    closed: bool,
}

/// The slots that a camera has.
pub struct SlotSupply {
    source: Arc<dyn SlotSource>,
    generation: u32,
    size: usize,
    most: usize,
    /// A leaf lock: nothing is claimed, dropped or called with it held.
    state: Mutex<State>,
    gone: Arc<Gone>,
    claimed: Box<dyn Fn(FrameId) + Send + Sync>,
    stale: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for SlotSupply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotSupply")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl SlotSupply {
    /// None is claimed yet. `claimed` is called for each slot that is, in whatever thread; `stale` when the element has another area by now, or none: once.
    pub fn new(
        source: Arc<dyn SlotSource>,
        area: &SlotArea,
        size: usize,
        most: usize,
        claimed: impl Fn(FrameId) + Send + Sync + 'static,
        stale: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let memories = area.offsets.iter().map(|_| None).collect();
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let weak = weak.clone();
            Self {
                source,
                generation: area.generation,
                size,
                most: most.min(area.most),
                state: Mutex::new(State {
                    memories,
                    out: 0,
                    closed: false,
                }),
                gone: Arc::new(move || {
                    if let Some(supply) = weak.upgrade() {
                        supply.state.lock().out -= 1;
                        supply.fill();
                    }
                }),
                claimed: Box::new(claimed),
                stale: Box::new(stale),
            }
        })
    }

    /// Claims as many as the camera may have. To be called once; afterwards each that is gone is made up for.
    pub fn fill(&self) {
        while self.wants_one() {
            match self.source.claim(self.size, self.gone.clone()) {
                Some(slot) if slot.generation == self.generation => self.put(slot),
                other => return self.miss(other),
            }
        }
    }

    fn wants_one(&self) -> bool {
        let mut state = self.state.lock();
        let wants = !state.closed && state.out < self.most;
        state.out += usize::from(wants);
        wants
    }

    fn put(&self, Slot { index, memory, .. }: Slot) {
        let mut refused = Some(memory);
        {
            let state = &mut *self.state.lock();
            let place = state.memories.get_mut(index);
            if let Some(place) = place.filter(|_| !state.closed) {
                *place = refused.take();
            }
        }
        // Nobody wants it any more, or there is no such slot.
        let wanted = refused.is_none();
        drop(refused);
        if wanted {
            (self.claimed)(FrameId(index as u32));
        }
    }

    /// There was none to be had, or one of another area.
    fn miss(&self, other: Option<Slot>) {
        let mut state = self.state.lock();
        state.out -= usize::from(other.is_none());
        // One that is still out brings us here again.
        let is_stale = !state.closed && (other.is_some() || state.out == 0);
        state.closed |= is_stale;
        drop(state);
        drop(other);
        if is_stale {
            (self.stale)();
        }
    }

    /// The memory of a frame that goes downstream.
    pub fn take(&self, frame: FrameId) -> Option<gst::Memory> {
        let mut state = self.state.lock();
        state.memories.get_mut(frame.0 as usize)?.take()
    }

    /// Gives back what has not gone downstream, and claims nothing more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let memories = std::mem::take(&mut state.memories);
        drop(state);
        drop(memories);
    }
}
