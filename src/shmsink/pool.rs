//! The pool that the element before the sink is offered: it writes its frames straight into slots, so that they are not copied.
//!
//! To acquire a buffer never waits and never fails for want of a slot: when upstream has its share of them, or there is no area yet, the buffer
//! has ordinary memory, and the sink copies it. Buffers are not kept for the next frame; their slots are.
//!
//! A camera that can write to shared memory claims slots one by one ([`crate::memory::slots`]), and fills them by their place in the area's file.
//!
//! A frame that was published must not be written while clients look at it, although upstream may still have its buffer. So the sink keeps its
//! memory in a buffer of its own: GStreamer lets nobody write to a memory that is in two. When upstream's is gone the sink's goes, too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::subclass::prelude::*;

use super::{CAT, shared::Shared};
use crate::memory::slots::{self, Gone, Slot, SlotArea, SlotSource};
use crate::os::area::{Area, Lent};
use crate::sync::{Arc, Mutex, Weak};

glib::wrapper! {
    pub struct SlotPool(ObjectSubclass<imp::SlotPool>) @extends gst::BufferPool, gst::Object;
}

impl SlotPool {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let pool: Self = glib::Object::new();
        pool.imp().serve(shared);
        slots::attach(&pool, Arc::new(Slots(Arc::downgrade(shared))));
        pool
    }
}

/// Slots that a camera fills itself.
struct Slots(Weak<Shared>);

impl SlotSource for Slots {
    fn area(&self, size: usize) -> Option<SlotArea> {
        let shared = self.0.upgrade()?;
        let (layout, area) = {
            let state = &*shared.lock();
            let layout = *state.server.current_layout()?;
            (layout, state.areas.get(&layout.generation)?.clone())
        };
        if size as u64 > layout.capacity {
            return None;
        }
        Some(SlotArea {
            generation: layout.generation,
            file: Arc::new(area.file().try_clone_to_owned().ok()?),
            offsets: (0..layout.slots).map(|slot| layout.offset(slot)).collect(),
            most: layout.upstream,
        })
    }

    fn claim(&self, size: usize, gone: Arc<Gone>) -> Option<Slot> {
        let (slot, generation, index) = upstream_slot(&self.0.upgrade()?, size, Some(gone))?;
        Some(Slot {
            generation,
            index,
            memory: gst::Memory::from_slice(slot),
        })
    }
}

/// A slot that upstream has. It is given back when the last reference to its memory goes, in whatever thread that is.
struct UpstreamSlot {
    shared: Arc<Shared>,
    area: Option<Arc<Area>>,
    bytes: Option<Lent>,
    generation: u32,
    slot: usize,
    gone: Option<Arc<Gone>>,
}

impl AsRef<[u8]> for UpstreamSlot {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

impl AsMut<[u8]> for UpstreamSlot {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for UpstreamSlot {
    fn drop(&mut self) {
        // Before somebody else may write there.
        drop(self.bytes.take());
        let mut state = self.shared.lock();
        state
            .server
            .handle_upstream_done(self.generation, self.slot);
        drop(state);
        if let Some(gone) = &self.gone {
            gone();
        }
    }
}

/// A slot's memory for a frame of that size; `None` when there is none to be had.
fn slot_memory(shared: &Arc<Shared>, size: usize) -> Option<gst::Memory> {
    let (slot, _, _) = upstream_slot(shared, size, None)?;
    Some(gst::Memory::from_mut_slice(slot))
}

/// The same as bytes, with its area's generation and its place in that.
fn upstream_slot(
    shared: &Arc<Shared>,
    size: usize,
    gone: Option<Arc<Gone>>,
) -> Option<(UpstreamSlot, u32, usize)> {
    // Slots that upstream has had come back only when the sink lets go of them, too.
    shared.let_go_of_kept();
    let (claim, area) = {
        let state = &mut *shared.lock();
        let claim = state.server.claim_for_upstream(size as u64)?;
        let area = state.areas.get(&claim.generation).cloned();
        (claim, area)
    };
    let mut slot = UpstreamSlot {
        shared: shared.clone(),
        area,
        bytes: None,
        generation: claim.generation,
        slot: claim.slot,
        gone: None,
    };
    slot.bytes = Some(slot.area.as_ref()?.lend(claim.offset, size as u64)?);
    // Who is told of the end of it is one who has got it.
    slot.gone = gone;
    Some((slot, claim.generation, claim.slot))
}

mod imp {
    use gst::prelude::*;

    use super::*;

    #[derive(Default)]
    pub struct SlotPool {
        shared: Mutex<Weak<Shared>>,
        /// Bytes of a buffer.
        size: Mutex<usize>,
    }

    impl SlotPool {
        pub(super) fn serve(&self, shared: &Arc<Shared>) {
            *self.shared.lock() = Arc::downgrade(shared);
        }

        fn acquire(&self) -> gst::Buffer {
            let size = *self.size.lock();
            let shared = self.shared.lock().upgrade();
            let memory = shared
                .filter(|_| size > 0)
                .and_then(|shared| slot_memory(&shared, size))
                .unwrap_or_else(|| gst::Memory::with_size(size));
            let mut buffer = gst::Buffer::new();
            if let Some(buffer) = buffer.get_mut() {
                buffer.append_memory(memory);
            }
            buffer
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for SlotPool {
        const NAME: &'static str = "GstShmSinkRsPool";
        type Type = super::SlotPool;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for SlotPool {}
    impl GstObjectImpl for SlotPool {}

    impl BufferPoolImpl for SlotPool {
        fn set_config(&self, config: &mut gst::BufferPoolConfigRef) -> bool {
            if let Some((_, size, _, _)) = config.params() {
                *self.size.lock() = size as usize;
            }
            self.parent_set_config(config)
        }

        /// The parent's would make buffers that are to be kept.
        fn start(&self) -> bool {
            true
        }

        fn acquire_buffer(
            &self,
            _params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            if !self.obj().is_active() {
                return Err(gst::FlowError::Flushing);
            }
            // Upstream calls this from C, which no panic may cross.
            catch_unwind(AssertUnwindSafe(|| Ok(self.acquire()))).unwrap_or_else(|_| {
                gst::error!(CAT, imp = self, "a panic in acquire_buffer");
                Err(gst::FlowError::Error)
            })
        }

        fn release_buffer(&self, buffer: gst::Buffer) {
            if catch_unwind(AssertUnwindSafe(|| drop(buffer))).is_err() {
                gst::error!(CAT, imp = self, "a panic in release_buffer");
            }
        }
    }
}
