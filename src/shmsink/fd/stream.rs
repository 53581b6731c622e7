//! The streaming thread's work: a frame comes in, and is passed on or copied.

use std::time::Instant;

use gst::prelude::*;

use super::{
    copies::{Copies, CopyError},
    table::{Content, Idle},
};
use crate::memory::descriptors::{self, Descriptors};
use crate::memory::frame::MemoryKind;
use crate::notes;
use crate::notes::moments::Moments;
use crate::notes::{fields, metas};
use crate::shm::fd::wire::{self, Frame, Kind, MAX_PARTS, Part};
use crate::shm::header::StreamState;
use crate::shm::note::Times;
use crate::shm::server::{Admission, Claim};
use crate::shmsink::{
    CAT,
    frame::{Format, FrameError},
    shared::{Shared, State},
    stream::{PublishError, Published},
    streaming::Context,
};
use crate::sync::Arc;

/// Frames of upstream's that readers may have when upstream has not said that it can spare more.
const UNASKED: usize = 2;
/// Frames of a pool that stay with upstream: one to fill, one that waits to be filled, and one on its way here.
const FOR_UPSTREAM: usize = 3;
/// Who holds fewer frames than this is well: he looks at one, and the next is on its way.
const WELL: usize = 2;

#[derive(Debug)]
pub(in crate::shmsink) struct FdStream {
    /// The command for the caps, if there are some.
    caps: Option<Arc<[u8]>>,
    /// Readers can only take frames as these say if they are DMABUFs.
    needs_dmabuf: bool,
    /// Frames go under the current caps.
    is_announced: bool,
    moments: Moments,
    copies: Copies,
    /// Frames of upstream's that readers may have, as far as it was asked for them.
    spare: usize,
    /// Where frames came from, and how many of them readers may have.
    pool: Option<(glib::WeakRef<gst::BufferPool>, usize)>,
    /// Kept for their memory.
    metas: Vec<u8>,
    fields: Vec<u8>,
    ended: bool,
}

impl Default for FdStream {
    fn default() -> Self {
        Self {
            caps: None,
            needs_dmabuf: false,
            is_announced: false,
            moments: Moments::default(),
            copies: Copies::default(),
            spare: UNASKED,
            pool: None,
            metas: Vec::new(),
            fields: Vec::new(),
            ended: false,
        }
    }
}

impl FdStream {
    pub fn set_caps(&mut self, caps: &gst::Caps) {
        self.needs_dmabuf = caps
            .features(0)
            .is_some_and(|features| features.contains("memory:DMABuf"));
        let mut caps = caps.copy();
        if let (Some(caps), false) = (caps.get_mut(), self.needs_dmabuf) {
            // Whatever memory it was, readers get what anybody can map.
            caps.set_features_simple(None);
        }
        let mut command = Vec::new();
        wire::encode_caps(&caps.to_string(), &mut command);
        self.caps = Some(command.into());
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

    /// Where the frame comes from, as a number, and how many frames of there readers may have. Whatever upstream was asked for, it may have no more
    /// than a few.
    fn origin(&mut self, buffer: &gst::BufferRef) -> (usize, usize) {
        let Some(pool) = descriptors::pool_of(buffer) else {
            // Made of somebody's frame, perhaps, with its memory.
            let known = self.pool.as_ref().map(|(_, spare)| *spare);
            return (0, self.spare.min(known.unwrap_or(UNASKED)));
        };
        let number = pool.as_ptr().addr();
        if let Some((known, spare)) = &self.pool
            && known.upgrade().as_ref() == Some(&pool)
        {
            return (number, *spare);
        }
        let most = pool.config().params().map_or(0, |(_, _, _, most)| most);
        let spare = match most as usize {
            0 => self.spare,
            most => self.spare.min(most.saturating_sub(FOR_UPSTREAM)),
        };
        self.pool = Some((pool.downgrade(), spare));
        (number, spare)
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
        // Also for who comes only now, and finds no frame.
        if std::mem::take(&mut self.ended) {
            shared.tell_state(StreamState::Running);
        }
        if !self.is_announced {
            self.announce(shared)?;
        }
        let (pool, spare) = self.origin(buffer);
        let (mut claim, out, held, sequence) = loop {
            let mut state = shared.lock();
            let idle = state.take_idle_frames(Idle::All);
            let table = state.table.as_ref();
            let out = table.map_or(0, |table| table.of_pool(pool));
            let held = table.map_or(0, |table| table.passed().copied_bytes);
            let sequence = state.server.next_sequence();
            let admission = state.server.admit(1, None);
            if matches!(admission, Admission::NoClient | Admission::NoSlot) {
                state.times.push.record(begun.elapsed());
            }
            drop(state);
            self.take_back(idle);
            match admission {
                Admission::Claimed(claim) => break (claim, out, held, sequence),
                Admission::NeedsArea | Admission::NeedsFreshArea => self.announce(shared)?,
                Admission::NoClient => return Ok(Published::Yes),
                Admission::NoSlot => return Ok(Published::Dropped),
            }
        };
        let shareable = Descriptors::of(buffer, MAX_PARTS)
            .filter(|descriptors| descriptors.kind() == MemoryKind::DmaBuf || !self.needs_dmabuf);
        let is_scarce = shareable.is_some() && out >= spare;
        let mut took = None;
        let descriptors = match shareable.filter(|_| !is_scarce) {
            Some(descriptors) => {
                claim.filled = true;
                descriptors
            }
            None => {
                let copy_begun = Instant::now();
                match self.copy(buffer, held, context.copy_limit) {
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
                        shared.lock().server.handle_claim_unfilled(&claim);
                        return Ok(Published::Dropped);
                    }
                }
            }
        };
        let times = self.moments.of(buffer, context.timebase);
        let latency = context.latency.nseconds();
        let command = self.command(buffer, &claim, &descriptors, times, latency, sequence);
        let content = Content::new(command, descriptors, pool, took.is_some());
        let holding = match is_scarce && context.skips_scarce {
            true => WELL,
            false => usize::MAX,
        };
        let now = shared.now();
        let mut state = shared.lock();
        let State { server, table, .. } = &mut *state;
        if let Some(table) = table {
            table.insert(&claim, content, is_scarce);
        }
        let wake = server.handle_frame_published_for(claim, size, now, holding);
        // One that nobody took, or that this one has taken the place of.
        let idle = state.take_idle_frames(Idle::Upstreams);
        // Under this lock, as the control thread wants the next one.
        state.times.push.record(begun.elapsed());
        if let Some(took) = took {
            state.times.copy.record(took);
        }
        drop(state);
        drop(idle);
        if wake {
            shared.waker().wake();
        }
        Ok(Published::Yes)
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
                self.copies.give_back(content.kind(), content.into_buffer());
            }
        }
    }

    fn copy(
        &mut self,
        buffer: &gst::BufferRef,
        held: u64,
        limit: Option<u64>,
    ) -> Result<Descriptors, CopyError> {
        let kind = match self.needs_dmabuf {
            true => MemoryKind::DmaBuf,
            false => MemoryKind::Fd,
        };
        let mut copy = self.copies.take(kind, buffer.size(), held, limit)?;
        {
            let mut map = copy.make_mut().map_writable().map_err(FrameError::from)?;
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
        sequence: u64,
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
            kind: match descriptors.kind() {
                MemoryKind::DmaBuf => Kind::DmaBuf,
                MemoryKind::Fd => Kind::Plain,
            },
            parts: descriptors
                .places()
                .map(|(offset, size)| Part {
                    size: size as u64,
                    offset: offset as u64,
                })
                .collect(),
        };
        fields::encode(buffer, &mut self.fields);
        let count = metas::encode(buffer, sequence, &self.fields, &mut self.metas);
        let mut command = Vec::new();
        frame.encode(count, &self.metas, &mut command);
        command
    }
}
