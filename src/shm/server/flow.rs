//! Who gets a frame: what is guaranteed, what is lent, and the newest frame.
//!
//! With W the window, held(c) the frames that a client holds, and N the slots of the area, this holds in every state:
//!
//! ```text
//! slots that no client holds  >=  base + sum over clients of max(0, W - held(c)) + W x (max-clients - clients)
//! ```
//!
//! where the base is the slot being written, the newest frame's, and those that upstream has. So there is a slot for the next frame of everybody
//! who holds less than his window, and of everybody who may still come.
//!
//! What is lent must keep it true whatever happens next. To look only at the slots that are free now is not enough: when two clients hold the
//! same frame and one of them acks it, what that one is owed grows, and no slot has become free for it. So each frame beyond a window counts as
//! a slot of its own, even where several clients share it, and all of those come from the surplus: the slots beyond what everybody is
//! guaranteed. The sum of loans changes only by lending and by acks of who borrowed, so the inequality, once true, stays true.
//!
//! The same holds for the slots that have memory, with the shares in the place of the windows: shares come before loans, so as long as somebody
//! has less than his window nothing is lent. A client that is evicted keeps its place until it holds nothing of the current area.

use std::time::Duration;

use super::Server;
use crate::shm::{
    client::{Client, ClientId, Frame},
    slots::Slots,
};

/// What became of a frame.
pub(super) struct Offered {
    /// Some client did not get it.
    pub passed_by: bool,
    pub something_to_do: bool,
}

impl Server {
    /// Frames that clients hold beyond their windows.
    pub(super) fn lent(&self) -> usize {
        let clients = self.clients.values();
        clients.map(|client| client.lent(self.limits.window)).sum()
    }

    /// Those of them that an area must have slots for.
    fn lent_in(&self, area: &Slots) -> usize {
        let window = self.limits.window;
        let held = self.clients.values();
        held.map(|client| client.held_in(area.generation()).saturating_sub(window))
            .sum()
    }

    fn shared(&self) -> usize {
        self.clients.values().map(Client::share).sum()
    }

    /// Slots that are to have memory for the clients and so many more. Those that were evicted get no more than they have.
    pub(super) fn slots_for(&self, area: &Slots, newcomers: usize) -> usize {
        let window = self.limits.window;
        let clients = self.clients.values();
        let shares: usize = clients
            .map(|client| match client.is_evicted() {
                true => client.share(),
                false => window,
            })
            .sum();
        area.layout().base + shares + window * newcomers + self.lent_in(area)
    }

    /// How many frames can be lent in all: no more than nobody is guaranteed, and than have memory.
    fn lendable(&self, area: &Slots) -> usize {
        let spare = area
            .reserved()
            .saturating_sub(area.layout().base + self.shared());
        spare.min(area.layout().surplus)
    }

    /// Promises a frame to everybody who has a right to it or can be lent it, and holds fewer frames than that.
    pub(super) fn offer(&mut self, frame: &Frame, now: Duration, holding: usize) -> Offered {
        let window = self.limits.window;
        let (lendable, surplus) = self
            .current_area()
            .map_or((0, 0), |area| (self.lendable(area), area.layout().surplus));
        let mut lent = self.lent();
        let (mut promised, mut passed_by, mut first, mut wants_loan) = (0, false, false, false);
        for client in self.clients.values_mut() {
            if client.is_evicted() {
                continue;
            }
            let borrows = client.may_borrow(window) && client.outstanding() < holding;
            if client.has_room(window.min(holding), frame.generation) {
                client.promise(*frame);
                promised += 1;
            } else if borrows && lent < lendable {
                client.promise(*frame);
                promised += 1;
                lent += 1;
            } else {
                first |= client.pass_by(now);
                passed_by = true;
                wants_loan |= borrows && lent < surplus;
            }
        }
        if let Some(area) = self.area(frame.generation) {
            for _ in 0..promised {
                area.hold(frame.slot);
            }
        }
        self.wants_loan = wants_loan;
        Offered {
            passed_by,
            something_to_do: promised > 0 || first || wants_loan,
        }
    }

    /// Gives slots that are nobody's share to those that have less than their window.
    pub(super) fn share_slots(&mut self) {
        let Some(area) = self.current_area() else {
            return;
        };
        let taken = area.layout().base + self.shared() + self.lent_in(area);
        let spare = area.reserved().saturating_sub(taken);
        let window = self.limits.window;
        for _ in 0..spare {
            let next = self
                .clients
                .iter_mut()
                .filter(|(_, client)| !client.is_evicted() && client.share() < window)
                .min_by_key(|(id, client)| (client.outstanding() >= window, client.share(), **id));
            let Some((id, client)) = next else {
                break;
            };
            client.set_share(client.share() + 1);
            let id = *id;
            self.give_newest(id);
        }
    }

    /// Promises the newest frame to a client that was passed by and can have it now.
    pub(super) fn give_newest(&mut self, id: ClientId) {
        let Some(newest) = self.newest else {
            return;
        };
        let window = self.limits.window;
        let can_lend = self
            .current_area()
            .is_some_and(|area| self.lent() < self.lendable(area));
        if let Some(client) = self.clients.get_mut(&id)
            && client.lacks(&newest)
            && (client.has_room(window, newest.generation)
                || (can_lend && client.may_borrow(window)))
        {
            client.promise(newest);
            client.unskip();
            if let Some(area) = self.area(newest.generation) {
                area.hold(newest.slot);
            }
        }
    }

    pub(super) fn drop_newest_nobody_lacks(&mut self) {
        if let Some(newest) = self.newest
            && !self.clients.values().any(|client| client.lacks(&newest))
        {
            self.drop_newest();
        }
    }

    pub(super) fn drop_newest(&mut self) {
        if let Some(newest) = self.newest.take() {
            self.unpin(newest.generation, newest.slot);
        }
    }

    pub(super) fn pin(&mut self, frame: &Frame) {
        if let Some(area) = self.area(frame.generation) {
            area.pin(frame.slot);
        }
    }

    pub(super) fn unpin(&mut self, generation: u32, slot: usize) {
        let free = self.area(generation).is_some_and(|area| area.unpin(slot));
        self.note_free(generation, slot, free);
    }

    pub(super) fn let_go(&mut self, frame: &Frame) {
        let free = self
            .area(frame.generation)
            .is_some_and(|area| area.let_go(frame.slot));
        self.note_free(frame.generation, frame.slot, free);
    }

    /// A free slot of an old area gives its memory back.
    pub(super) fn note_free(&mut self, generation: u32, slot: usize, free: bool) {
        if free
            && self.current != Some(generation)
            && let Some(bytes) = self.area(generation).map(|area| area.returnable(slot))
        {
            self.freed.push((generation, bytes));
        }
    }
}
