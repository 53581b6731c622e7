//! The streaming thread's work: a frame comes in, is copied into a slot unless it is in one, and is published.

use std::time::{Duration, Instant};

use super::{
    CAT,
    frame::{Format, FrameError},
    settings::Settings,
    shared::Shared,
};
use crate::notes::clock::Timebase;
use crate::notes::writer::NoteWriter;
use crate::notes::writer::Place;
use crate::os::area::{self, Area, AreaError};
use crate::os::reaper;
use crate::shm::header::Header;
use crate::shm::header::StreamState;
use crate::shm::layout::{Layout, LayoutError, NOTE_SIZE};
use crate::shm::server::{Admission, Claim};
use crate::sync::Arc;

/// How long to wait for memory that is on its way back.
const RETURN: Duration = Duration::from_secs(1);

/// What fails here ends the stream; the text tells the user what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Area(#[from] AreaError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// To whom it may concern, which may be nobody.
    Yes,
    /// There was no slot for it.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Stream {
    format: Format,
    area_mode: u32,
    area: Option<(Arc<Area>, Layout)>,
    notes: NoteWriter,
    /// EOS has come.
    ended: bool,
    /// The frame size that the current area was made for.
    planned: u64,
    /// There are slots for upstream by now that there were not when it asked.
    has_slots_again: bool,
}

impl Stream {
    pub fn new(settings: &Settings) -> Self {
        Self {
            format: Format::Bytes,
            area_mode: settings.area_mode(),
            area: None,
            notes: NoteWriter::default(),
            ended: false,
            planned: 0,
            has_slots_again: false,
        }
    }

    /// Upstream is to ask again what it is offered; said once.
    pub fn take_has_slots_again(&mut self) -> bool {
        std::mem::take(&mut self.has_slots_again)
    }

    pub fn set_caps(&mut self, caps: &gst::Caps) {
        self.format = Format::from_caps(caps);
        if let Err(error) = self.notes.set_caps(caps, self.format.video()) {
            gst::warning!(CAT, "Readers are not told the caps: {error}");
        }
    }

    pub fn set_segment(&mut self, segment: &gst::Segment) {
        self.notes.set_segment(segment);
    }

    /// EOS has come, and readers were told. A frame after this means that the stream goes on.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Sees to it that readers can be told how the stream ends: an area's header says it, and there may have been no frame to make one for.
    pub fn prepare_end(&mut self, shared: &Shared) {
        let is_needed = {
            let server = &shared.lock().server;
            server.current_layout().is_none() && server.client_count() > 0
        };
        // A frame that comes after all has an area made for its size.
        if is_needed && let Err(error) = self.make_area(shared, 1) {
            gst::warning!(CAT, "Readers are not told of the end: {error}");
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives the frame to every client that has a credit, or to none if there is none. One copy at most, one wake, and no waiting. `timebase` is
    /// what running times are of.
    pub fn publish(
        &mut self,
        shared: &Shared,
        buffer: &gst::BufferRef,
        timebase: Option<&Timebase>,
    ) -> Result<Published, PublishError> {
        let begun = Instant::now();
        // An upstream that claims nothing more would wait for what is kept.
        shared.let_go_of_kept();
        let size = self.format.sent_size(buffer) as u64;
        if size == 0 {
            shared.lock().server.handle_empty_frame();
            return Ok(Published::Yes);
        }
        // Also for who comes only now, and finds no frame.
        if std::mem::take(&mut self.ended) {
            shared.tell_state(StreamState::Running);
        }
        // Frames of another size come from now on: smaller ones are to cost less memory, too.
        if let Some(planned) = self.format.planned_size()
            && planned as u64 != self.planned
        {
            self.make_area(shared, size.max(planned as u64))?;
            self.planned = planned as u64;
        }
        let (claim, sequence) = loop {
            let at = self.place_of(buffer);
            let mut state = shared.lock();
            let sequence = state.server.next_sequence();
            let admission = state.server.admit(size, at);
            if matches!(admission, Admission::NoClient | Admission::NoSlot) {
                state.times.push.record(begun.elapsed());
            }
            drop(state);
            match admission {
                Admission::Claimed(claim) => break (claim, sequence),
                Admission::NeedsArea => self.grow(shared, size)?,
                Admission::NeedsFreshArea => self.make_fresh_area(shared, size)?,
                Admission::NoClient => return Ok(Published::Yes),
                Admission::NoSlot => return Ok(Published::Dropped),
            }
        };
        let mut took = None;
        if claim.filled {
            // One that nobody writes to but a camera, which does not before it has claimed the slot anew, may go. (A share is as read-only, and may be
            // of one that is written.)
            let memory = buffer.memory(0);
            let is_written = |memory: &gst::Memory| {
                !memory.flags().contains(gst::MemoryFlags::READONLY) || memory.parent().is_some()
            };
            if let Some(memory) = memory.filter(is_written) {
                shared.keep(memory);
            }
        } else {
            let copy_begun = Instant::now();
            let copied = self
                .area
                .as_ref()
                .and_then(|(area, _)| area.lend(claim.offset, size))
                .ok_or(FrameError::NoRoom)
                .and_then(|mut slot| self.format.copy(buffer, &mut slot));
            if let Err(error) = copied {
                shared.lock().server.handle_claim_dropped(&claim);
                return Err(error.into());
            }
            took = Some(copy_begun.elapsed());
        }
        self.note(buffer, &claim, size, sequence, timebase);
        let now = shared.now();
        let mut state = shared.lock();
        let wake = state.server.handle_frame_published(claim, size, now);
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

    /// Makes the area for frames of the caps, if there is none yet, so that upstream can write the first of them there. What fails is said with the first frame.
    pub fn prepare(&mut self, shared: &Shared, size: u64) {
        let planned = self.format.planned_size().map(|planned| planned as u64);
        if planned == Some(size) && self.planned != size && self.make_area(shared, size).is_ok() {
            self.planned = size;
        }
        // It is asking.
        self.has_slots_again = false;
    }

    /// Writes what the wire does not say about the frame in that slot.
    fn note(
        &mut self,
        buffer: &gst::BufferRef,
        claim: &Claim,
        size: u64,
        sequence: u64,
        timebase: Option<&Timebase>,
    ) {
        let page = self
            .area
            .as_ref()
            .and_then(|(area, layout)| area.lend(layout.note_offset(claim.slot), NOTE_SIZE));
        if let Some(mut page) = page {
            let place = Place {
                generation: claim.generation,
                offset: claim.offset,
                size,
                sequence,
            };
            self.notes.write(buffer, place, timebase, &mut page);
        }
    }

    /// Where the frame lies in the area, if upstream has written it there as it is to be sent.
    fn place_of(&self, buffer: &gst::BufferRef) -> Option<u64> {
        if buffer.n_memory() != 1 || !self.format.is_as_sent(buffer) {
            return None;
        }
        let (area, _) = self.area.as_ref()?;
        let map = buffer.peek_memory(0).map_readable().ok()?;
        area.offset_of(map.as_ptr())
    }

    /// An area for larger frames. Frames whose size only their buffers tell get twice as much as before if that can be had, or every frame
    /// that is a little larger than the last would cost a new area.
    fn grow(&mut self, shared: &Shared, size: u64) -> Result<(), PublishError> {
        let before = self.planned;
        let doubled = before.saturating_mul(2).max(size);
        let fits = shared.lock().server.limits().fit(doubled);
        let mut planned = if fits { doubled } else { size };
        match self.make_area(shared, planned) {
            Err(PublishError::Area(AreaError::NoSpace { .. })) if planned > size => {
                planned = size;
                self.make_area(shared, size)?;
            }
            made => made?,
        }
        // With a size from the caps, what is larger than that is an exception and no reason for yet another area.
        self.planned = match self.format.planned_size() {
            Some(_) => before,
            None => planned,
        };
        Ok(())
    }

    /// An area as large as the one there is, or as shm-size says now.
    fn make_fresh_area(&mut self, shared: &Shared, size: u64) -> Result<(), PublishError> {
        // What is planned may have been too much since shm-size was lowered.
        let fits = shared.lock().server.limits().fit(self.planned);
        let size = if fits { self.planned.max(size) } else { size };
        // Where memory is short, the one there is must do.
        match self.create_area(shared, size) {
            Err(PublishError::Area(error)) => {
                gst::warning!(CAT, "No fresh area: {error}");
                shared.lock().server.handle_no_fresh_area();
                Ok(())
            }
            made => made,
        }
    }

    fn make_area(&mut self, shared: &Shared, size: u64) -> Result<(), PublishError> {
        match self.create_area(shared, size) {
            Err(PublishError::Area(AreaError::NoSpace { .. })) => {
                // There is none for it, unless this goes well.
                let planned = std::mem::take(&mut self.planned);
                self.make_room(shared);
                self.create_area(shared, size)?;
                self.planned = planned;
                Ok(())
            }
            created => created,
        }
    }

    fn create_area(&mut self, shared: &Shared, size: u64) -> Result<(), PublishError> {
        let (layout, slots) = {
            let server = &shared.lock().server;
            let layout = server.plan_area(size)?;
            (layout, server.slots_at_first(&layout))
        };
        let length = layout.length();
        let area = Area::create(length, layout.bytes_of(slots), self.area_mode)?;
        let header = Header {
            generation: layout.generation,
            stride: layout.stride,
            length,
            state: StreamState::Running,
        };
        let header = header.encode();
        if let Some(mut place) = area.lend(0, header.len() as u64) {
            place.copy_from_slice(&header);
        }
        {
            let mut state = shared.lock();
            state.server.handle_area(layout, area.name(), slots);
            state.areas.insert(layout.generation, area.clone());
        }
        gst::info!(
            CAT,
            "Area {} for frames of {size} bytes, {} of {} bytes each: {} are nobody's ({} for upstream), {} can be lent, {slots} have memory",
            layout.generation,
            layout.slots,
            layout.stride,
            layout.base,
            layout.upstream,
            layout.surplus
        );
        let before = self.area.replace((area, layout));
        // (Where upstream was never asked there are none.)
        self.has_slots_again |=
            layout.upstream > 0 && before.is_some_and(|(_, before)| before.upstream == 0);
        // It gives the other slots their memory. The old area may be nobody's now, and old clients may have to go.
        shared.waker().wake();
        Ok(())
    }

    /// Gives back what the current area has and nobody holds, and waits for that. Only when it must be, because it takes its time.
    fn make_room(&mut self, shared: &Shared) {
        self.area = None;
        let (freed, retired) = {
            let mut state = shared.lock();
            state.server.close_area();
            let freed = state.take_freed();
            (freed, state.take_retired())
        };
        reaper::give_back_later(freed);
        area::remove(retired);
        // What others in this process have given back, too.
        reaper::finish(RETURN);
    }
}
