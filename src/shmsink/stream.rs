//! The streaming thread's work: a frame comes in, is copied into a slot, and is published.

use super::{
    CAT,
    frame::{Format, FrameError},
    settings::Settings,
    shared::Shared,
};
use crate::os::area::AreaError;
use crate::os::area::AreaWriter;
use crate::os::reaper;
use crate::shm::layout::LayoutError;
use crate::shm::server::Admission;

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

#[derive(Debug)]
pub(super) struct Stream {
    format: Format,
    area_mode: u32,
    writer: Option<AreaWriter>,
    /// The frame size that the current area was made for.
    planned: u64,
}

impl Stream {
    pub fn new(settings: &Settings) -> Self {
        Self {
            format: Format::Bytes,
            area_mode: settings.area_mode(),
            writer: None,
            planned: 0,
        }
    }

    pub fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Gives the frame to every client that has a credit, or to none if there is none. One copy at most, one wake, and no waiting.
    pub fn publish(
        &mut self,
        shared: &Shared,
        buffer: &gst::BufferRef,
    ) -> Result<(), PublishError> {
        let size = self.format.sent_size(buffer) as u64;
        if size == 0 {
            shared.lock().server.handle_empty_frame();
            return Ok(());
        }
        // Frames of another size come from now on: smaller ones are to cost less memory, too.
        if let Some(planned) = self.format.planned_size()
            && planned as u64 != self.planned
        {
            if !self.make_area(shared, size.max(planned as u64))? {
                return Ok(());
            }
            self.planned = planned as u64;
        }
        let claim = loop {
            let admission = shared.lock().server.admit(size);
            match admission {
                Admission::Claimed(claim) => break claim,
                Admission::NeedsArea => {
                    if !self.grow(shared, size)? {
                        return Ok(());
                    }
                }
                Admission::NoClient => return Ok(()),
                Admission::NoSlot => {
                    gst::warning!(CAT, "No free slot; a frame is dropped");
                    return Ok(());
                }
            }
        };
        let copied = self
            .writer
            .as_mut()
            .and_then(|writer| writer.bytes_mut(claim.offset, size))
            .ok_or(FrameError::NoRoom)
            .and_then(|slot| self.format.copy(buffer, slot));
        if let Err(error) = copied {
            shared.lock().server.handle_claim_dropped(&claim);
            return Err(error.into());
        }
        let wake = shared.lock().server.handle_frame_published(claim, size);
        if wake {
            shared.waker().wake();
        }
        Ok(())
    }

    /// An area for larger frames. Frames whose size only their buffers tell get twice as much as before if that can be had, or every frame
    /// that is a little larger than the last would cost a new area.
    fn grow(&mut self, shared: &Shared, size: u64) -> Result<bool, PublishError> {
        let doubled = self.planned.saturating_mul(2).max(size);
        let fits = shared.lock().server.limits().fit(doubled);
        let mut planned = if fits { doubled } else { size };
        let made = match self.make_area(shared, planned) {
            Err(PublishError::Area(AreaError::NoSpace { .. })) if planned > size => {
                planned = size;
                self.make_area(shared, size)
            }
            made => made,
        }?;
        // With a size from the caps, what is larger than that is an exception and no reason for yet another area.
        if made && self.format.planned_size().is_none() {
            self.planned = planned;
        }
        Ok(made)
    }

    /// False when there can be none for this frame, which is counted as dropped.
    fn make_area(&mut self, shared: &Shared, size: u64) -> Result<bool, PublishError> {
        let (layout, slots) = {
            let server = &mut shared.lock().server;
            let layout = server.plan_area(size)?;
            if layout.is_none() {
                server.handle_no_area();
            }
            (layout, server.slots_at_first())
        };
        let Some(layout) = layout else {
            gst::warning!(
                CAT,
                "Too many changes of size at once; a frame is dropped until those have gone who hold the oldest"
            );
            shared.waker().wake();
            return Ok(false);
        };
        let create = |mode| AreaWriter::create(layout.length(), layout.bytes_of(slots), mode);
        let writer = match create(self.area_mode) {
            Err(AreaError::NoSpace { .. }) => {
                self.make_room(shared);
                create(self.area_mode)?
            }
            created => created?,
        };
        {
            let mut state = shared.lock();
            let area = writer.area().clone();
            state.server.handle_area(layout, area.name(), slots);
            state.areas.insert(layout.generation, area);
        }
        gst::info!(
            CAT,
            "Area {} for frames of {size} bytes: {slots} of {} slots of {} bytes have memory",
            layout.generation,
            layout.slots,
            layout.stride
        );
        self.drop_writer();
        self.writer = Some(writer);
        // It gives the other slots their memory. The old area may be nobody's now, and old clients may have to go.
        shared.waker().wake();
        Ok(true)
    }

    /// Gives back what the current area has and nobody holds, and waits for that. Only when it must be, because it takes its time.
    fn make_room(&mut self, shared: &Shared) {
        self.drop_writer();
        self.planned = 0;
        let (freed, retired) = {
            let mut state = shared.lock();
            state.server.close_area();
            let freed = state.take_freed();
            (freed, state.take_retired())
        };
        reaper::give_back_later(freed);
        reaper::drop_later(retired);
        // What others in this process have given back, too.
        reaper::finish();
    }

    /// It may be the last reference to its area, which takes its time to go. Its name is others' to remove: clients may still have to open it.
    fn drop_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            reaper::let_go_later(writer);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.drop_writer();
    }
}
