//! The `src_%u` pads: how they come and go, what they answer, and what happens to all of them at once.

use super::{
    LibcameraSrc,
    imp::{self, CAT},
    pad::{LibcameraSrcPad, task},
};
use gst::{prelude::*, subclass::prelude::*};

pub const TEMPLATE: &str = "src_%u";

/// A pad of that name for `element`, not added yet.
pub fn new_pad(template: &gst::PadTemplate, name: &str) -> LibcameraSrcPad {
    gst::PadBuilder::<LibcameraSrcPad>::from_template(template)
        .name(name)
        .activatemode_function(|pad, parent, mode, active| {
            let Some(element) = parent.and_then(|parent| parent.downcast_ref::<LibcameraSrc>())
            else {
                return Err(gst::loggable_error!(CAT, "a pad without its element"));
            };
            match mode {
                gst::PadMode::Push if active => start(element, pad),
                gst::PadMode::Push => {
                    stop(pad);
                    Ok(())
                }
                _ => Err(gst::loggable_error!(CAT, "a camera pushes")),
            }
        })
        .event_function(|pad, parent, event| {
            if event.type_() == gst::EventType::Reconfigure
                && let Some(element) =
                    parent.and_then(|parent| parent.downcast_ref::<LibcameraSrc>())
            {
                element.imp().renegotiate();
                pad.set_gap_due();
                pad.outlet().nudge();
                revive(element, pad);
                return true;
            }
            gst::Pad::event_default(pad, parent, event)
        })
        .query_function(|pad, parent, query| {
            let element = parent.and_then(|parent| parent.downcast_ref::<LibcameraSrc>());
            match (element, query.view_mut()) {
                (Some(element), gst::QueryViewMut::Latency(latency)) => {
                    let (min, max) = element.imp().latency_of(pad);
                    latency.set(true, min, max);
                    true
                }
                (Some(element), gst::QueryViewMut::Caps(caps)) => {
                    let result = element.imp().caps_of(pad, caps.filter_owned().as_ref());
                    caps.set_result(&result);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            }
        })
        .build()
}

fn start(element: &LibcameraSrc, pad: &LibcameraSrcPad) -> Result<(), gst::LoggableError> {
    *pad.progress() = Default::default();
    pad.outlet().set_flushing(false);
    task::start(element, pad)
        .map_err(|error| gst::loggable_error!(CAT, "starting a pad's thread: {error}"))
}

fn stop(pad: &LibcameraSrcPad) {
    pad.outlet().set_flushing(true);
    let _ = pad.stop_task();
    let progress = std::mem::take(&mut *pad.progress());
    drop(progress);
}

/// A thread that went to sleep because its peer was flushing goes on when there is another one.
fn revive(element: &LibcameraSrc, pad: &LibcameraSrcPad) {
    let ended = pad.pad_flags().contains(gst::PadFlags::EOS);
    if !ended && pad.task_state() == gst::TaskState::Paused {
        task::start_if_active(element, pad);
    }
}

impl imp::LibcameraSrc {
    pub fn request_pads(&self) -> Vec<LibcameraSrcPad> {
        let source = self.source_pad();
        let mut pads = self.all_pads();
        pads.retain(|pad| pad != source);
        pads
    }

    /// `src` first.
    pub fn all_pads(&self) -> Vec<LibcameraSrcPad> {
        let pads = self.obj().src_pads();
        pads.into_iter()
            .filter_map(|pad| pad.downcast().ok())
            .collect()
    }

    pub fn add_request_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
    ) -> Option<LibcameraSrcPad> {
        let element = self.obj();
        let free = |number: &u32| element.static_pad(&format!("src_{number}")).is_none();
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("src_{}", (0..).find(free)?),
        };
        let pad = new_pad(template, &name);
        if element.add_pad(&pad).is_err() {
            gst::warning!(CAT, imp = self, "there is a pad named {name} already");
            return None;
        }
        // Whoever pauses or ends the pads from now on finds this one; what they did before is read here. They say so under the lock first, so what is
        // read is not older than what they have told the pad.
        let streaming = self.streaming.lock();
        pad.outlet().set_paused(!streaming.playing);
        if streaming.eos {
            pad.outlet().end();
        }
        drop(streaming);
        if element.current_state() >= gst::State::Paused && !pad.is_active() {
            let _ = pad.set_active(true);
            // The element may have deactivated its pads before that, and not be in READY yet.
            let (_, current, pending) = element.state(gst::ClockTime::ZERO);
            let is_down = |state| matches!(state, gst::State::Null | gst::State::Ready);
            if is_down(current) || is_down(pending) {
                let _ = pad.set_active(false);
            }
        }
        element.child_added(&pad, &name);
        Some(pad)
    }

    pub fn remove_request_pad(&self, pad: &LibcameraSrcPad) {
        let element = self.obj();
        let _ = pad.set_active(false);
        if element.remove_pad(pad).is_err() {
            return;
        }
        if let Some(stream) = pad.outlet().stream() {
            self.leave_stream(&stream);
        }
        pad.outlet().reset();
        element.child_removed(pad, &pad.name());
    }

    pub fn flush_start_request_pads(&self) {
        for pad in self.request_pads() {
            pad.outlet().set_flushing(true);
            pad.push_event(gst::event::FlushStart::new());
        }
    }

    /// A flush ends: each thread begins again, with a segment of its own.
    pub fn flush_stop_request_pads(&self, reset_time: bool) {
        for pad in self.request_pads() {
            // A pad that came since the flush began does not flush yet, and its thread may be blocked downstream.
            if !pad.outlet().is_flushing() {
                pad.outlet().set_flushing(true);
                pad.push_event(gst::event::FlushStart::new());
            }
            let _ = pad.stop_task();
            let mut progress = pad.progress();
            // What was refused because of the flush is said again.
            (progress.segment, progress.announced) = (false, None);
            drop(progress);
            pad.push_event(gst::event::FlushStop::new(reset_time));
            if pad.is_active() {
                pad.outlet().set_flushing(false);
                task::start_if_active(&self.obj(), &pad);
            }
        }
        if self
            .request_pads()
            .iter()
            .any(|pad| pad.needs_reconfigure())
        {
            self.renegotiate();
        }
    }
}
