//! The streaming thread's work: a frame comes in, and is passed on or copied.

use std::time::Instant;

use gst::prelude::*;

use super::{
    copies::{Copies, CopyError},
    table::{Content, Idle, Table},
};
use crate::memory::descriptors::{self, Descriptors};
use crate::notes;
use crate::notes::metas;
use crate::notes::moments::Moments;
use crate::shm::fd::wire::{self, Frame, Kind, MAX_PARTS, Part};
use crate::shm::note::Times;
use crate::shm::server::{Admission, Claim};
use crate::shmsink::{
    CAT,
    frame::Format,
    shared::{Shared, State},
    stream::{PublishError, Published},
    streaming::Context,
};
use crate::sync::Arc;

/// Frames of upstream's that readers may have when upstream has not said that it can spare more.
const UNASKED: usize = 2;
/// Frames of a pool that stay with upstream: one to fill, one that waits to be filled, and one on its way here.
const FOR_UPSTREAM: usize = 3;

#[derive(Debug)]
pub(in crate::shmsink) struct FdStream {
    /// The command for the caps, if there are some.
    caps: Option<Arc<[u8]>>,
    /// Readers can only map frames as these say if they are DMABUFs.
    needs_dmabuf: bool,
    /// Frames go under the current caps.
    is_announced: bool,
    moments: Moments,
    copies: Copies,
    copy_limit: Option<u64>,
    /// Frames of upstream's that readers may have, as far as it was asked for them.
    spare: usize,
    /// Where frames come from, and how many of them readers may have.
    pool: Option<(gst::BufferPool, usize)>,
    /// Kept for their memory.
    metas: Vec<u8>,
    ended: bool,
}

impl FdStream {
    pub fn new(copy_limit: Option<u64>) -> Self {
        Self {
            caps: None,
            needs_dmabuf: false,
            is_announced: false,
            moments: Moments::default(),
            copies: Copies::default(),
            copy_limit,
            spare: UNASKED,
            pool: None,
            metas: Vec::new(),
            ended: false,
        }
    }

    pub fn set_caps(&mut self, caps: &gst::Caps) {
        let mut command = Vec::new();
        wire::encode_caps(&caps.to_string(), &mut command);
        self.caps = Some(command.into());
        self.needs_dmabuf = caps
            .features(0)
            .is_some_and(|features| features.contains("memory:DMABuf"));
        self.is_announced = false;
    }

    pub fn set_segment(&mut self, segment: &gst::Segment) {
        self.moments.set_segment(segment);
    }

    /// Upstream was asked for so many frames beyond those that it needs itself.
    pub fn set_spare(&mut self, spare: usize) {
        self.spare = spare;
        self.pool = None;
    }

    /// Frames of upstream's that readers may have. Whatever it was asked for, it may have no more than a few.
    fn may_pass(&mut self, buffer: &gst::BufferRef) -> usize {
        let Some(pool) = descriptors::pool_of(buffer) else {
            return self.spare;
        };
        if let Some((known, spare)) = &self.pool
            && *known == pool
        {
            return *spare;
        }
        let most = pool.config().params().map_or(0, |(_, _, _, most)| most);
        let spare = match most as usize {
            0 => self.spare,
            most => self.spare.min(most.saturating_sub(FOR_UPSTREAM)),
        };
        self.pool = Some((pool, spare));
        spare
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives the frame to every client that has a credit, or to none if there is none. One copy at most, one wake, and no waiting.
    pub fn publish(
        &mut self,
        shared: &Shared,
        buffer: &gst::Buffer,
        context: Context<'_>,
    ) -> Result<Published, PublishError> {
        let begun = Instant::now();
        let size = buffer.size() as u64;
        if size == 0 {
            shared.lock().server.handle_empty_frame();
            return Ok(Published::Yes);
        }
        if !self.is_announced {
            self.announce(shared)?;
        }
        let (mut claim, passed) = loop {
            let mut state = shared.lock();
            let idle = state.take_idle_frames(Idle::All);
            let passed = state.table.as_ref().map(Table::passed).unwrap_or_default();
            let admission = state.server.admit(1, None);
            if matches!(admission, Admission::NoClient | Admission::NoSlot) {
                state.times.push.record(begun.elapsed());
            }
            drop(state);
            self.take_back(idle);
            match admission {
                Admission::Claimed(claim) => break (claim, passed),
                Admission::NeedsArea | Admission::NeedsFreshArea => self.announce(shared)?,
                Admission::NoClient => return Ok(Published::Yes),
                Admission::NoSlot => return Ok(Published::Dropped),
            }
        };
        if std::mem::take(&mut self.ended)
            && let Some(table) = &mut shared.lock().table
        {
            table.set_ended(false);
        }
        let shareable = Descriptors::of(buffer, MAX_PARTS)
            .filter(|descriptors| descriptors.is_dmabuf() || !self.needs_dmabuf);
        let is_scarce = shareable.is_some() && passed.originals >= self.may_pass(buffer);
        let mut took = None;
        let descriptors = match shareable.filter(|_| !is_scarce) {
            Some(descriptors) => {
                claim.filled = true;
                descriptors
            }
            None if self.needs_dmabuf || (is_scarce && !context.copies_scarce) => {
                return Ok(self.drop_frame(shared, &claim));
            }
            None => {
                let copy_begun = Instant::now();
                match self.copy(buffer, passed.copied_bytes) {
                    Ok(descriptors) => {
                        took = Some(copy_begun.elapsed());
                        descriptors
                    }
                    Err(CopyError::Frame(error)) => {
                        shared.lock().server.handle_claim_dropped(&claim);
                        return Err(error.into());
                    }
                    Err(error) => {
                        gst::warning!(CAT, "A frame is dropped: {error}");
                        return Ok(self.drop_frame(shared, &claim));
                    }
                }
            }
        };
        let times = self.moments.of(buffer, context.timebase);
        let command = self.command(
            buffer,
            &claim,
            &descriptors,
            times,
            context.latency.nseconds(),
        );
        let content = Content::new(command, descriptors, took.is_some());
        let now = shared.now();
        let mut state = shared.lock();
        let State { server, table, .. } = &mut *state;
        if let Some(table) = table {
            table.insert(&claim, content, is_scarce);
        }
        let wake = server.handle_frame_published(claim, size, now);
        // Under this lock, as the control thread wants the next one.
        state.times.push.record(begun.elapsed());
        if let Some(took) = took {
            state.times.copy.record(took);
        }
        drop(state);
        if wake {
            shared.waker().wake();
        }
        Ok(Published::Yes)
    }

    fn drop_frame(&self, shared: &Shared, claim: &Claim) -> Published {
        shared.lock().server.handle_claim_unfilled(claim);
        Published::Dropped
    }

    /// Frames from now on have the current caps, and readers are told them before the first.
    fn announce(&mut self, shared: &Shared) -> Result<(), PublishError> {
        let mut state = shared.lock();
        let State { server, table, .. } = &mut *state;
        let layout = server.plan_area(1)?;
        server.handle_area(layout, "", layout.slots);
        if let Some(table) = table {
            table.set_caps(layout.generation, self.caps.clone());
        }
        let idle = state.take_idle_frames(Idle::All);
        drop(state);
        self.take_back(idle);
        self.is_announced = true;
        // Old clients may have to go.
        shared.waker().wake();
        Ok(())
    }

    /// Uses the memory of copies again; everything else goes back to its owner.
    fn take_back(&mut self, idle: Vec<(Arc<Content>, bool)>) {
        for (content, is_lost) in idle {
            // The control thread may be sending it yet, to somebody who is gone.
            let content = Arc::into_inner(content);
            if let Some(content) = content.filter(|content| content.is_copy && !is_lost) {
                self.copies.give_back(content.into_buffer());
            }
        }
    }

    fn copy(&mut self, buffer: &gst::BufferRef, held: u64) -> Result<Descriptors, CopyError> {
        let memory = self.copies.take(buffer.size(), held, self.copy_limit)?;
        let mut copy = gst::Buffer::new();
        copy.make_mut().append_memory(memory);
        {
            let mut map = copy
                .make_mut()
                .map_writable()
                .map_err(crate::shmsink::frame::FrameError::from)?;
            Format::Bytes.copy(buffer, &mut map)?;
        }
        let unusable = || CopyError::System(std::io::ErrorKind::Unsupported.into());
        Descriptors::of(&copy, MAX_PARTS).ok_or_else(unusable)
    }

    fn command(
        &mut self,
        buffer: &gst::BufferRef,
        claim: &Claim,
        descriptors: &Descriptors,
        times: Times,
        latency: u64,
    ) -> Vec<u8> {
        // When the sink would show it.
        let moment = times.instant.map(|instant| instant.saturating_add(latency));
        let dts = moment.zip(times.dts).zip(times.pts);
        let frame = Frame {
            id: claim.offset,
            pts: moment,
            dts: dts.map(|((moment, dts), pts)| moment.saturating_add(dts).saturating_sub(pts)),
            duration: times.duration,
            offset: times.offset,
            offset_end: times.offset_end,
            flags: notes::flags_of(buffer),
            kind: match descriptors.is_dmabuf() {
                true => Kind::DmaBuf,
                false => Kind::Plain,
            },
            parts: descriptors
                .places()
                .map(|(offset, size)| Part {
                    size: size as u64,
                    offset: offset as u64,
                })
                .collect(),
        };
        let count = metas::encode(buffer, &mut self.metas);
        let mut command = Vec::new();
        frame.encode(count, &self.metas, &mut command);
        command
    }
}
