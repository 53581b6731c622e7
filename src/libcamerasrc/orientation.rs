//! Which way pictures lie: what the camera cannot do is left to who shows them, by a tag.

use super::{pad::LibcameraSrcPad, session::Session};
use crate::camera::Orientation;
use crate::video::orientation::tag;
use gst::prelude::*;

/// The tag for a pad whose peer does not know yet what is to be done with this session's pictures. It follows the SEGMENT.
pub fn news(pad: &LibcameraSrcPad, session: &Session) -> Option<gst::Event> {
    let before = std::mem::replace(&mut pad.progress().told_to_do, session.to_do);
    (before != session.to_do).then(|| event(session.to_do))
}

fn event(to_do: Orientation) -> gst::Event {
    let mut tags = gst::TagList::new();
    if let Some(tags) = tags.get_mut() {
        tags.set_scope(gst::TagScope::Stream);
        tags.add::<gst::tags::ImageOrientation>(&tag(to_do), gst::TagMergeMode::Replace);
    }
    gst::event::Tag::new(tags)
}

/// On `src`, with the buffer that it is due with: GstBaseSrc sends the SEGMENT just before the first one.
pub fn tell_at_buffer(pad: &LibcameraSrcPad) {
    if !pad.take_tag_due() {
        return;
    }
    let stream = pad.outlet().stream();
    if let Some(news) = stream.and_then(|stream| news(pad, &stream.session)) {
        pad.push_event(news);
    }
}
