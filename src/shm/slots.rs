//! One area's slots, and who needs each.

use std::ops::Range;

use super::layout::Layout;

/// Who needs a slot. It is free when nobody does and nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Slot {
    /// The writer, and the newest frame.
    pins: u32,
    /// Clients that hold a frame in it.
    holders: u32,
    /// An element before the sink has it to write its next frame into, or has not let go of the one that it wrote.
    upstream: bool,
    /// Somebody may still look at it who will never say that he is done. Only in areas that are not current, so it is never written again.
    lost: bool,
}

impl Slot {
    fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a slot's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Needed,
    Free,
    /// Nobody is waited for, but somebody may still look at it.
    Lost,
}

/// The slots of one generation that have memory behind them.
#[derive(Debug, Clone)]
pub struct Slots {
    layout: Layout,
    name: Box<str>,
    slots: Vec<Slot>,
}

impl Slots {
    /// An area of that layout and name, of which the first `reserved` slots have memory.
    pub fn new(layout: Layout, name: &str, reserved: usize) -> Self {
        Self {
            layout,
            name: name.into(),
            slots: vec![Slot::default(); reserved.min(layout.slots)],
        }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn generation(&self) -> u32 {
        self.layout.generation
    }

    /// The shared memory object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Slots that have memory.
    pub fn reserved(&self) -> usize {
        self.slots.len()
    }

    /// The first `reserved` slots have memory now. Never takes any away.
    pub fn reserve(&mut self, reserved: usize) {
        let reserved = reserved.min(self.layout.slots);
        if reserved > self.slots.len() {
            self.slots.resize(reserved, Slot::default());
        }
    }

    /// The lowest free slot, pinned from now on. The lowest, so that few pages are in use and the caches know them.
    pub fn claim(&mut self) -> Option<usize> {
        let index = self.slots.iter().position(Slot::is_free)?;
        self.pin(index);
        Some(index)
    }

    /// The lowest free slot, upstream's from now on; not more than the layout has for that.
    pub fn claim_for_upstream(&mut self) -> Option<usize> {
        if self.upstream() >= self.layout.upstream {
            return None;
        }
        let index = self.slots.iter().position(Slot::is_free)?;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.upstream = true;
        }
        Some(index)
    }

    /// Upstream's slot at that offset, pinned from now on, if no client has a frame in it.
    pub fn claim_from_upstream(&mut self, offset: u64) -> Option<usize> {
        let index = self.layout.slot_at(offset)?;
        let slot = self.slots.get_mut(index)?;
        if !slot.upstream || slot.pins > 0 || slot.holders > 0 {
            return None;
        }
        slot.pins = 1;
        Some(index)
    }

    pub fn pin(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.pins += 1;
        }
    }

    /// True when the slot is free now.
    pub fn unpin(&mut self, index: usize) -> bool {
        self.change(index, |slot| {
            debug_assert!(slot.pins > 0, "slot {index} unpinned too often");
            slot.pins = slot.pins.saturating_sub(1);
        })
    }

    /// One more client holds a frame in that slot.
    pub fn hold(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.holders += 1;
        }
    }

    /// A client is done with its frame in that slot. True when the slot is free now.
    pub fn let_go(&mut self, index: usize) -> bool {
        self.change(index, |slot| {
            debug_assert!(slot.holders > 0, "slot {index} let go too often");
            slot.holders = slot.holders.saturating_sub(1);
        })
    }

    /// A client is no longer waited for, but may still look at that slot.
    pub fn lose(&mut self, index: usize) {
        self.change(index, |slot| {
            slot.holders = slot.holders.saturating_sub(1);
            slot.lost = true;
        });
    }

    /// Whether somebody needs that slot, and if not, whether something of it is lost.
    pub fn need(&self, index: usize) -> Need {
        match self.slots.get(index) {
            Some(slot) if slot.pins > 0 || slot.holders > 0 || slot.upstream => Need::Needed,
            Some(slot) if !slot.lost => Need::Free,
            _ => Need::Lost,
        }
    }

    /// Upstream has let go of its slot. True when it is free now.
    pub fn take_back(&mut self, index: usize) -> bool {
        self.change(index, |slot| slot.upstream = false)
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Slot)) -> bool {
        self.slots.get_mut(index).is_some_and(|slot| {
            change(slot);
            slot.is_free()
        })
    }

    /// The bytes of a slot that nobody needs, once the area is an old one.
    pub fn returnable(&self, index: usize) -> Range<u64> {
        self.layout.returnable(index)
    }

    /// Bytes that have memory. A free slot of an old area has given it back, but for the header.
    pub fn memory(&self, is_current: bool) -> u64 {
        let returned = |index| self.layout.returnable(index);
        let returned = self
            .free_slots()
            .map(returned)
            .map(|bytes| bytes.end - bytes.start);
        let returned: u64 = if is_current { 0 } else { returned.sum() };
        self.layout.bytes_of(self.reserved()) - returned
    }

    pub fn free_slots(&self) -> impl Iterator<Item = usize> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.is_free())
            .map(|(index, _)| index)
    }

    pub fn free(&self) -> usize {
        self.free_slots().count()
    }

    /// Slots in which clients hold frames.
    pub fn held(&self) -> usize {
        self.slots.iter().filter(|slot| slot.holders > 0).count()
    }

    /// Slots that upstream has.
    pub fn upstream(&self) -> usize {
        self.slots.iter().filter(|slot| slot.upstream).count()
    }

    /// The area is needed no longer: what upstream has needs only its memory, and what is lost nobody waits for.
    pub fn is_idle(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.pins == 0 && slot.holders == 0)
    }
}
