//! One area's slots, and how many refer to each.

use std::ops::Range;

use super::layout::Layout;

/// The slots of one generation that have memory behind them. A slot is free when nobody refers to it: not the writer, not the newest frame,
/// no client.
#[derive(Debug)]
pub struct Slots {
    layout: Layout,
    name: Box<str>,
    references: Vec<u32>,
}

impl Slots {
    /// An area of that layout and name, of which the first `reserved` slots have memory.
    pub fn new(layout: Layout, name: &str, reserved: usize) -> Self {
        Self {
            layout,
            name: name.into(),
            references: vec![0; reserved.min(layout.slots)],
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
        self.references.len()
    }

    /// The first `reserved` slots have memory now. Never takes any away.
    pub fn reserve(&mut self, reserved: usize) {
        let reserved = reserved.min(self.layout.slots);
        if reserved > self.references.len() {
            self.references.resize(reserved, 0);
        }
    }

    /// The lowest free slot, referred to once from now on. The lowest, so that few pages are in use and the caches know them.
    pub fn claim(&mut self) -> Option<usize> {
        let index = self.references.iter().position(|count| *count == 0)?;
        self.refer(index);
        Some(index)
    }

    /// One more refers to that slot.
    pub fn refer(&mut self, index: usize) {
        if let Some(count) = self.references.get_mut(index) {
            *count += 1;
        }
    }

    /// One refers to that slot no longer. True when nobody does now.
    pub fn release(&mut self, index: usize) -> bool {
        let Some(count) = self.references.get_mut(index) else {
            return false;
        };
        debug_assert!(
            *count > 0,
            "slot {index} released more often than referred to"
        );
        *count = count.saturating_sub(1);
        *count == 0
    }

    /// The bytes of a slot.
    pub fn bytes(&self, index: usize) -> Range<u64> {
        self.layout.bytes_of(index)..self.layout.bytes_of(index + 1)
    }

    /// The slots that nobody refers to.
    pub fn free_slots(&self) -> impl Iterator<Item = usize> {
        self.references
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(index, _)| index)
    }

    pub fn free(&self) -> usize {
        self.free_slots().count()
    }

    /// Nobody refers to any slot.
    pub fn is_idle(&self) -> bool {
        self.references.iter().all(|count| *count == 0)
    }
}
