//! Areas: one takes over from another, slots get their memory, and what nobody needs gives it back.

use std::ops::Range;

use super::{Server, watch::Why};
use crate::shm::{
    client::{Client, ClientId},
    layout::{Layout, LayoutError, MAX_AREAS},
    slots::Slots,
};

impl Server {
    /// The layout of the next area, for frames of up to `size` bytes.
    pub fn plan_area(&self, size: u64) -> Result<Layout, LayoutError> {
        let is_free = |colour: &usize| {
            self.areas
                .iter()
                .all(|area| area.layout().colour != *colour)
        };
        // There always is one: see `evict_for_next_area`.
        let colour = (0..MAX_AREAS).find(is_free).unwrap_or_default();
        Layout::new(self.generation + 1, colour, size, &self.limits)
    }

    /// Slots that a new area is to have memory for at first. Few, because the stream waits for it.
    pub fn slots_at_first(&self, layout: &Layout) -> usize {
        layout.base + self.limits.window
    }

    /// The slot that is to have memory next: for the clients' windows, those of so many that are to come, and what could be lent.
    pub fn slot_wanted(&self, newcomers: usize) -> Option<(Layout, usize)> {
        let area = self.current_area()?;
        let places = self.limits.max_clients.saturating_sub(self.clients.len());
        let wanted = self.slots_for(area, newcomers.min(places)) + usize::from(self.wants_loan);
        (area.reserved() < wanted.min(area.layout().slots))
            .then(|| (*area.layout(), area.reserved()))
    }

    /// There is no memory for more loans now.
    pub fn handle_no_loan(&mut self) {
        self.wants_loan = false;
    }

    /// The client to part with for want of memory: the last that would have its whole window. `None` when all have, and while what another one
    /// looks at is still to come back.
    pub fn last_in_line(&self) -> Option<ClientId> {
        if self.quarantined() > 0 {
            return None;
        }
        let window = self.limits.window;
        self.clients
            .iter()
            .filter(|(_, client)| !client.is_evicted() && client.share() < window)
            .max_by_key(|(id, client)| {
                (
                    client.outstanding() >= window,
                    window - client.share(),
                    **id,
                )
            })
            .map(|(id, _)| *id)
    }

    /// That slot, the first that had none, has memory now. False when its area is no longer current: nobody will use it.
    pub fn handle_reserved(&mut self, generation: u32, slot: usize) -> bool {
        match self.current_area_mut() {
            Some(area) if area.generation() == generation && area.reserved() == slot => {
                area.reserve(slot + 1);
                self.wants_loan = false;
                self.share_slots();
                self.drop_newest_nobody_lacks();
                true
            }
            _ => false,
        }
    }

    /// Areas from now on have that size, and frames go to such a one soon.
    pub fn set_area_size(&mut self, area_size: Option<u64>) {
        self.limits.area_size = area_size;
        self.wants_fresh_area |= self.current.is_some();
    }

    /// Upstream is to have slots to write its frames into, from the next area on.
    pub fn set_upstream(&mut self, slots: usize) {
        self.limits.upstream = slots;
    }

    /// A new area takes over, of which the first `reserved` slots have memory. Its layout is that of [`plan_area`](Self::plan_area).
    pub fn handle_area(&mut self, layout: Layout, name: &str, reserved: usize) {
        self.close_area();
        debug_assert_eq!(layout.generation, self.generation + 1);
        self.generation = layout.generation;
        self.current = Some(layout.generation);
        // It may have been set to another while this one was made.
        self.wants_fresh_area = layout.limit != self.limits.area_size;
        self.areas.push_back(Slots::new(layout, name, reserved));
        self.wants_loan = false;
        for client in self.clients.values_mut() {
            client.set_share(0);
        }
        self.share_slots();
        self.evict_for_next_area();
    }

    /// The fresh area that was asked for cannot be made: the current one goes on.
    pub fn handle_no_fresh_area(&mut self) {
        self.wants_fresh_area = false;
    }

    /// Areas that live at the same time must not share an offset, so there must be room for one more: whoever holds frames of the oldest goes.
    fn evict_for_next_area(&mut self) {
        if self.areas.len() < MAX_AREAS {
            return;
        }
        let Some(oldest) = self.areas.front().map(Slots::generation) else {
            return;
        };
        let clients = self.clients.iter();
        let holders: Vec<ClientId> = clients
            .filter(|(_, client)| client.holds_generation(oldest))
            .map(|(id, _)| *id)
            .collect();
        for id in holders {
            self.evict(id, Why::TooManyAreas);
        }
        debug_assert!(self.areas.len() < MAX_AREAS);
    }

    /// No frame goes into the current area any more, and its memory is given back as far as nobody needs it. Until there is a new area there is
    /// none, and frames need one.
    pub fn close_area(&mut self) {
        let Some(area) = self.current_area() else {
            return;
        };
        let generation = area.generation();
        let free: Vec<_> = area
            .free_slots()
            .map(|slot| (generation, area.returnable(slot)))
            .collect();
        self.freed.extend(free);
        self.current = None;
        // Of another size or from before other caps; whoever waits for it gets the first frame of the new area.
        self.drop_newest();
        self.end_quarantine();
        self.retire();
    }

    /// A generation whose memory can go: nobody holds anything in it.
    pub fn poll_retired(&mut self) -> Option<u32> {
        self.retired.pop()
    }

    /// Bytes of an old generation that nobody will use again.
    pub fn poll_freed(&mut self) -> Option<(u32, Range<u64>)> {
        self.freed.pop()
    }

    /// How the slots lie that frames go to now.
    pub fn current_layout(&self) -> Option<&Layout> {
        self.current_area().map(Slots::layout)
    }

    pub(super) fn current_area(&self) -> Option<&Slots> {
        self.current.and_then(|_| self.areas.back())
    }

    pub(super) fn current_area_mut(&mut self) -> Option<&mut Slots> {
        self.current.and_then(|_| self.areas.back_mut())
    }

    pub(super) fn area(&mut self, generation: u32) -> Option<&mut Slots> {
        self.areas
            .iter_mut()
            .find(|area| area.generation() == generation)
    }

    pub(super) fn retire(&mut self) {
        let (current, retired) = (self.current, &mut self.retired);
        self.areas.retain(|area| {
            let goes = current != Some(area.generation()) && area.is_idle();
            if goes {
                retired.push(area.generation());
            }
            !goes
        });
    }

    pub(super) fn evicted_clients(&self) -> impl Iterator<Item = (&ClientId, &Client)> {
        self.clients
            .iter()
            .filter(|(_, client)| client.is_evicted())
    }
}
