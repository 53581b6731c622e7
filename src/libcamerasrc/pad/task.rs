//! What the thread of a `src_%u` pad does: STREAM_START, then for each configuration CAPS, SEGMENT and the ALLOCATION query, then its frames.
//!
//! All that is serialised goes out in this thread, so that a branch that blocks keeps nobody waiting but itself.

use super::LibcameraSrcPad;
use crate::camera::CameraError;
use crate::capture::outlet::Turn;
use crate::libcamerasrc::{
    LibcameraSrc, orientation,
    session::{NoFrame, PadStream, help_no_more},
};
use gst::{prelude::*, subclass::prelude::*};
use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Starts the pad's thread. It goes round until it is paused or stopped.
pub fn start(element: &LibcameraSrc, pad: &LibcameraSrcPad) -> Result<(), glib::BoolError> {
    let (weak_element, weak_pad) = (element.downgrade(), pad.downgrade());
    pad.start_task(move || {
        let (Some(element), Some(pad)) = (weak_element.upgrade(), weak_pad.upgrade()) else {
            return;
        };
        // GstTask calls this from C, which no panic may cross.
        let step = catch_unwind(AssertUnwindSafe(|| round(&element, &pad)));
        let step = step.unwrap_or_else(|_| {
            let error = CameraError::Panicked {
                thread: "the thread of a pad",
            };
            gst::element_error!(element, gst::LibraryError::Failed, ("{error}"));
            element.imp().end();
            ControlFlow::Break(())
        });
        if step.is_break() {
            help_no_more();
            let _ = pad.pause_task();
            // Paused first, looked then: a peer that came before the pause found nobody to wake.
            let linked_anew = pad.needs_reconfigure() && !pad.outlet().is_flushing();
            if linked_anew && !pad.pad_flags().contains(gst::PadFlags::EOS) {
                start_if_active(&element, &pad);
            }
        }
    })
}

/// Starts the thread of a pad that may be deactivated at the same time by another thread.
pub fn start_if_active(element: &LibcameraSrc, pad: &LibcameraSrcPad) {
    if pad.is_active() && start(element, pad).is_ok() && !pad.is_active() {
        pad.outlet().set_flushing(true);
        let _ = pad.pause_task();
    }
}

fn round(element: &LibcameraSrc, pad: &LibcameraSrcPad) -> ControlFlow<()> {
    element.imp().begin_stream(pad);
    let stream = match pad.outlet().next() {
        Err(_) => return ControlFlow::Break(()),
        Ok(Turn::Nudged) => return ControlFlow::Continue(()),
        Ok(Turn::Ended) => return end(pad),
        Ok(Turn::Stream(stream)) => stream,
    };
    let source = element.imp();
    // A still may be long in coming, and the sinks wait for the first sign of one.
    if stream.is_on_demand() && (announce(source, pad, &stream) | pad.take_gap_due()) {
        pad.push_event(source.nothing_yet());
    }
    let (buffer, captured) = match stream.next() {
        Err(NoFrame::Interrupted) => return ControlFlow::Continue(()),
        Err(NoFrame::Failed(error)) => return fail(element, pad, error),
        Ok(None) => return end(pad),
        Ok(Some(frame)) => frame,
    };
    // What was taken while the element was being paused is stale when it plays again.
    if pad.outlet().is_paused() || !source.is_in_time(&captured) {
        stream.still_taken(&captured, false);
        return ControlFlow::Continue(());
    }
    announce(source, pad, &stream);
    let buffer = match source.dress(pad, &stream, buffer, &captured) {
        Ok(buffer) => buffer,
        Err(error) => {
            stream.still_taken(&captured, false);
            return fail(element, pad, error);
        }
    };
    stream.still_taken(&captured, true);
    let last = source.is_last(&stream);
    match pad.push(buffer) {
        Ok(_) | Err(gst::FlowError::NotLinked) if last => {
            source.end();
            end(pad)
        }
        // A pad that is not linked (any more) drops its frames; a new link asks for a new configuration.
        Ok(_) | Err(gst::FlowError::NotLinked) => ControlFlow::Continue(()),
        Err(gst::FlowError::Flushing) => ControlFlow::Break(()),
        Err(gst::FlowError::Eos) => {
            stream.mute();
            let ended = end(pad);
            // Another one, if the camera was started anew before the pad was known to have ended.
            if let Some(stream) = pad.outlet().stream() {
                source.leave_stream(&stream);
            }
            ended
        }
        Err(gst::FlowError::NotNegotiated) if is_about_to_change(source, pad, &stream) => {
            source.renegotiate();
            ControlFlow::Continue(())
        }
        Err(error) => fail(element, pad, error),
    }
}

/// Tells downstream of the stream's configuration, if it has not been told. True when it was told now.
fn announce(
    source: &crate::libcamerasrc::imp::LibcameraSrc,
    pad: &LibcameraSrcPad,
    stream: &PadStream,
) -> bool {
    let Some(configured) = stream.stream() else {
        return false;
    };
    let mut progress = pad.progress();
    let number = Some(stream.session.number);
    let new = progress.announced != number;
    let segment = !std::mem::replace(&mut progress.segment, true);
    progress.announced = number;
    if new {
        progress.next_sequence = None;
    }
    let relief = progress.relief.take_if(|_| new);
    drop(progress);
    drop(relief);
    let reconfigure = pad.check_reconfigure();
    if new {
        pad.push_event(gst::event::Caps::new(&configured.caps));
    }
    if segment {
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::Segment::new(&segment));
    }
    if let Some(news) = orientation::news(pad, &stream.session) {
        pad.push_event(news);
    }
    if new || reconfigure {
        let mut query = gst::query::Allocation::new(Some(&configured.caps), true);
        let answered = pad.peer_query(&mut query);
        source.answered(pad, stream, answered.then_some(&mut query));
    }
    new || segment
}

/// Whether a peer that refuses what it gets will soon get something else: a change is on its way, or it asks for something else by now.
fn is_about_to_change(
    source: &crate::libcamerasrc::imp::LibcameraSrc,
    pad: &LibcameraSrcPad,
    stream: &PadStream,
) -> bool {
    let replaced = pad
        .outlet()
        .stream()
        .is_none_or(|now| now.session.number != stream.session.number);
    let refuses = || {
        let configured = stream.stream();
        configured.is_some_and(|configured| !pad.peer_query_accept_caps(&configured.caps))
    };
    replaced || pad.check_reconfigure() || source.is_to_negotiate() || refuses()
}

fn end(pad: &LibcameraSrcPad) -> ControlFlow<()> {
    pad.push_event(gst::event::Eos::new());
    ControlFlow::Break(())
}

fn fail(element: &LibcameraSrc, pad: &LibcameraSrcPad, error: gst::FlowError) -> ControlFlow<()> {
    let flow = gst::FlowReturn::from(error);
    let text = format!("streaming stopped, reason {flow:?}", flow = error);
    let details = gst::Structure::builder("details")
        .field("flow-return", flow)
        .build();
    gst::element_error!(
        element,
        gst::StreamError::Failed,
        ("{} could not push a frame", pad.name()),
        ["{text}"],
        details: details
    );
    element.imp().end();
    end(pad)
}
