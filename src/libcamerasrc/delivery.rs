//! From a captured frame to the buffer that a pad's thread pushes. The same for all pads.

use super::{
    frame_metadata,
    imp::{CAT, LibcameraSrc},
    pad::{LibcameraSrcPad, Progress},
    session::{
        PadStream,
        frames::{IoMode, PeerMemory},
    },
    settings::MOST_FRAMES,
    stamp::stamp,
};
use crate::capture::stream::Captured;
use crate::memory::import::Source;
use crate::sync::atomic::Ordering;
use crate::video::repack::Repack;
use gst::{prelude::*, subclass::prelude::*};

impl LibcameraSrc {
    /// A frame that was completed before the element had its clock has no time, and is from before PLAYING.
    pub fn is_in_time(&self, captured: &Captured) -> bool {
        captured.timing.pipeline.is_some() || !self.clock.is_set()
    }

    /// Timestamps, flags and, where the peer needs it, another layout.
    pub fn dress(
        &self,
        pad: &LibcameraSrcPad,
        stream: &PadStream,
        mut buffer: gst::Buffer,
        captured: &Captured,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let mut progress = pad.progress();
        let expected = progress
            .next_sequence
            .replace(captured.sequence.wrapping_add(1));
        let discont = expected.is_none_or(|expected| captured.sequence > expected);
        if let Some(buffer) = buffer.get_mut() {
            stamp(buffer, captured, stream, self.obj().base_time(), discont);
        }
        if progress.told_to_do != stream.session.to_do {
            pad.set_tag_due();
        }
        let threshold = usize::try_from(self.copy_threshold.load(Ordering::Relaxed)).unwrap_or(
            if progress.holds_all {
                FRAMES_FOR_THE_CAMERA as usize
            } else {
                0
            },
        );
        let may_copy = stream.stream().is_some_and(|stream| !stream.is_dmabuf);
        let few = may_copy && captured.spare < threshold;
        let copies = stream.stream().map(|stream| &stream.copies);
        let (mut buffer, counter) = match &progress.repack {
            Some(repack) => (repack.repack(&buffer)?, copies.map(|copies| &copies.layout)),
            None if few => {
                let copy = relieved(&mut progress, stream, &buffer)?;
                (copy, copies.map(|copies| &copies.scarce))
            }
            None => (buffer, copies.map(|copies| &copies.none)),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        drop(progress);
        let metadata = stream.session.metadata.as_ref();
        let metadata = metadata.and_then(|all| all.of(stream.index, captured.frame));
        if (metadata.is_some() || captured.still.is_some())
            && let Some(buffer) = buffer.get_mut()
        {
            frame_metadata::attach(buffer, metadata.as_deref(), captured.still);
        }
        self.sync_controls(stream, buffer.pts());
        if self.latency.observe(captured.timing.age) {
            self.announce_latency();
        }
        Ok(buffer)
    }

    /// Controls that a GstController moves are set for the frames to come, once for each frame of the leading stream.
    fn sync_controls(&self, stream: &PadStream, time: Option<gst::ClockTime>) {
        let element = self.obj();
        if let Some(time) = time.filter(|_| stream.is_leader())
            && element.has_active_control_bindings()
        {
            let _ = element.sync_values(time);
        }
    }

    /// Whether this is the last of the frames that were asked for (`num-buffers`), counted here when `src` has no stream.
    pub fn is_last(&self, stream: &PadStream) -> bool {
        let limit = stream.session.limit.filter(|_| stream.is_leader());
        limit.is_some_and(|limit| self.led.fetch_add(1, Ordering::Relaxed) + 1 >= limit)
    }

    /// Nobody takes this stream any more. Where it was the one that counts the frames of `num-buffers`, another has to.
    pub fn leave_stream(&self, stream: &PadStream) {
        stream.mute();
        if stream.is_leader() && stream.session.limit.is_some() {
            self.renegotiate();
        }
    }

    /// After the ALLOCATION query: a peer that cannot see how the frames' planes lie gets copies, and one that holds many frames at once has
    /// the camera asked for more. Downstream's pools are left alone, since the camera's frames are what is pushed.
    pub fn answered(
        &self,
        pad: &LibcameraSrcPad,
        stream: &PadStream,
        answer: Option<&mut gst::query::Allocation>,
    ) {
        let pools = answer
            .as_ref()
            .map(|query| query.allocation_pools().map(|(_, _, min, _)| min).max());
        self.provide_for(pad, stream, pools.flatten().unwrap_or_default());
        self.consider(pad, stream, answer.as_deref());
        let sees_layout = answer.is_some_and(|query| {
            query
                .find_allocation_meta::<gst_video::VideoMeta>()
                .is_some()
        });
        let repack = match stream.stream() {
            Some(configured) if !sees_layout => configured.repack(),
            _ => Ok(None),
        };
        let repack = repack.unwrap_or_else(|error| {
            gst::error!(CAT, obj = pad, "preparing to copy frames: {error}");
            None
        });
        if repack.is_some() {
            gst::warning!(
                CAT,
                obj = pad,
                "downstream does not know GstVideoMeta: every frame is copied"
            );
        }
        let before = std::mem::replace(&mut pad.progress().repack, repack);
        drop(before);
    }

    /// Memory that the peer has for frames is theirs after a restart of the camera, where it fits. It is tried here, so that nothing restarts for memory
    /// that does not. A peer that offers another pool with each answer has the camera restarted once.
    fn consider(
        &self,
        pad: &LibcameraSrcPad,
        stream: &PadStream,
        answer: Option<&gst::query::Allocation>,
    ) {
        let Some(configured) = stream.stream() else {
            return;
        };
        if self.settings.lock().io_mode == IoMode::Dmabuf {
            return;
        }
        // A pool that is in use may not be offered again; another peer has forgotten this one's.
        let Some(source) = answer.and_then(offered) else {
            return;
        };
        let known = pad.peer_memory();
        let is_known = known.is_some_and(|known| known.caps == configured.caps);
        // It is used, or has turned out not to fit.
        if is_known && configured.has_tried() {
            return;
        }
        let need = configured.need(stream.session.fills_any);
        let slots = match &source {
            Source::Pool { pool, .. } => Source::slots(pool, need.size),
            _ => None,
        };
        let (source, tried) = match slots {
            Some(slots) => {
                let tried = slots.import_slots(&need).map(drop);
                (slots, tried)
            }
            None => {
                let tried = source.import(&need).map(drop);
                (source, tried)
            }
        };
        match tried {
            Ok(()) => {
                gst::info!(CAT, obj = pad, "the camera will fill downstream's memory");
                let caps = configured.caps.clone();
                pad.set_peer_memory(Some(PeerMemory { caps, source }));
                self.renegotiate();
            }
            Err(unfit) => {
                gst::info!(CAT, obj = pad, "downstream's memory is not used: {unfit}");
                pad.set_peer_memory(None);
                *configured.unfit.lock() = Some(unfit);
            }
        }
    }

    /// Downstream holds so many frames before it gives the first one back.
    fn provide_for(&self, pad: &LibcameraSrcPad, stream: &PadStream, held: u32) {
        let Some(configured) = stream.stream() else {
            return;
        };
        pad.progress().holds_all = held >= configured.frames;
        let needed = held.saturating_add(FRAMES_FOR_THE_CAMERA).min(MOST_FRAMES);
        let fixed = self.settings.lock().buffer_count > 0;
        if held > 0 && !fixed && needed > configured.frames && needed > pad.frames_needed() {
            pad.set_frames_needed(needed);
            self.renegotiate();
        }
    }

    pub fn announce_latency(&self) {
        let element = self.obj();
        let _ = element.post_message(gst::message::Latency::builder().src(&*element).build());
    }
}

/// The memory that an answer offers: of its first pool, otherwise of its first allocator.
fn offered(answer: &gst::query::Allocation) -> Option<Source> {
    let pool = answer.allocation_pools().find_map(|(pool, size, _, max)| {
        let pool = pool?.to_owned();
        Some(Source::Pool { pool, size, max })
    });
    pool.or_else(|| {
        let mut allocators = answer.allocation_params();
        allocators.find_map(|(allocator, _)| Some(Source::Allocator(allocator?.to_owned())))
    })
}

/// Frames that go round between camera and pad while downstream holds the others.
const FRAMES_FOR_THE_CAMERA: u32 = 2;

/// A copy, so that the camera's frame goes home.
fn relieved(
    progress: &mut Progress,
    stream: &PadStream,
    buffer: &gst::BufferRef,
) -> Result<gst::Buffer, gst::FlowError> {
    if progress.relief.is_none() {
        let configured = stream.stream().ok_or(gst::FlowError::Error)?;
        progress.relief = Repack::for_caps(&configured.caps).ok();
    }
    match &progress.relief {
        Some(relief) => relief.repack(buffer),
        // Compressed or raw sensor data, which has no planes.
        None => buffer.copy_deep().map_err(|_| gst::FlowError::Error),
    }
}
