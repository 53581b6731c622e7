//! Memory for the slots that clients, newcomers and loans are to have.

use std::{ops::Range, time::Duration};

use super::{Control, accept::Newcomer};
use crate::os::area::Area;
use crate::os::area::AreaError;
use crate::os::reaper;
use crate::shm::layout::Layout;
use crate::shm::server::Why;
use crate::shmsink::CAT;
use crate::sync::Arc;

/// How long to wait for memory that is on its way back; twice as long each time, up to the longest.
pub(super) const MEMORY_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are given memory in one turn. A few milliseconds' work, during which clients wait.
const PORTION: u64 = 4 << 20;

/// A slot on its way to have memory.
#[derive(Debug)]
pub(super) struct Growth {
    area: Arc<Area>,
    layout: Layout,
    slot: usize,
    /// Bytes of it that have memory.
    done: u64,
}

impl Growth {
    /// Bytes of the slot from there on.
    fn from(&self, done: u64) -> Range<u64> {
        self.layout.bytes_of(self.slot) + done..self.layout.bytes_of(self.slot + 1)
    }

    /// Nobody wants it.
    fn undo(self) {
        self.area.give_back(self.from(0));
    }
}

impl Control {
    /// Gives the current area some of the memory that clients and the newcomer are to have. Here and not in the stream, and in portions, because
    /// neither the stream nor the other clients are to wait for it.
    pub(super) fn grow(&mut self) {
        match self.reserve_portion() {
            Ok(()) => {
                if let Some(newcomer) = self.newcomer.take() {
                    self.look_again_after(Duration::ZERO);
                    self.take_on(newcomer);
                }
            }
            // It may be enough when that is done.
            Err(AreaError::NoSpace { .. }) if reaper::is_busy() => self.wait_for_memory(),
            Err(error) => {
                if let Some(Newcomer { facts, .. }) = self.newcomer.take() {
                    gst::warning!(
                        CAT,
                        "Refused process {} ({}): {error}",
                        facts.pid,
                        facts.program
                    );
                    self.look_again_after(Duration::ZERO);
                    return;
                }
                // What it looks at stays as it is.
                let evicted = {
                    let server = &mut self.shared.lock().server;
                    server.handle_no_loan();
                    let last = server.last_in_line();
                    last.is_some_and(|last| server.handle_evict(last, Why::NoMemory))
                };
                if evicted {
                    gst::warning!(CAT, "No memory for everybody: {error}");
                    self.look_again_after(Duration::ZERO);
                } else {
                    self.wait_for_memory();
                }
            }
        }
    }

    fn wait_for_memory(&mut self) {
        self.look_again_after(self.memory_pause);
        self.memory_pause = (self.memory_pause * 2).min(LONGEST_PAUSE);
    }

    /// What was being given memory is nobody's any more.
    pub(super) fn stop_growing(&mut self) {
        if let Some(growth) = self.growth.take() {
            growth.undo();
        }
    }

    /// Does nothing when there is nothing to do.
    fn reserve_portion(&mut self) -> Result<(), AreaError> {
        let newcomers = usize::from(self.newcomer.is_some());
        let wanted = {
            let state = self.shared.lock();
            state
                .server
                .slot_wanted(newcomers)
                .and_then(|(layout, slot)| {
                    let area = state.areas.get(&layout.generation)?.clone();
                    Some((area, layout, slot))
                })
        };
        let mut growth = match (self.growth.take(), wanted) {
            (Some(growth), Some((_, layout, slot)))
                if (growth.layout.generation, growth.slot) == (layout.generation, slot) =>
            {
                growth
            }
            (before, wanted) => {
                if let Some(growth) = before {
                    // Frames go to another area now, or so many slots are no longer wanted.
                    growth.undo();
                }
                let Some((area, layout, slot)) = wanted else {
                    return Ok(());
                };
                Growth {
                    area,
                    layout,
                    slot,
                    done: 0,
                }
            }
        };
        if growth.done == 0 {
            // What would fail half-way is not begun.
            Area::check_space(growth.layout.stride)?;
        }
        let mut bytes = growth.from(growth.done);
        bytes.end = bytes.end.min(bytes.start + PORTION);
        let size = bytes.end - bytes.start;
        if let Err(error) = growth.area.reserve(bytes) {
            growth.undo();
            return Err(error);
        }
        growth.done += size;
        self.memory_pause = MEMORY_PAUSE;
        self.look_again_after(Duration::ZERO);
        if growth.done < growth.layout.stride {
            self.growth = Some(growth);
            return Ok(());
        }
        let counted = self
            .shared
            .lock()
            .server
            .handle_reserved(growth.layout.generation, growth.slot);
        if !counted {
            growth.undo();
        }
        Ok(())
    }
}
