//! Pictures on demand while other pads stream: the action signal `capture-still` and its messages.

use super::{
    imp::{CAT, LibcameraSrc},
    pad::LibcameraSrcPad,
    session::Session,
};
use crate::camera::Controls;
use crate::capture::stills::{Still, StillId, StillOutcome, StreamSet};
use crate::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};
use glib::subclass::Signal;
use gst::{prelude::*, subclass::prelude::*};

/// `capture-still` takes pictures for a pad whose `capture` is on-demand, or for all of those at once where the pad is NULL: one for each structure
/// of the caps, in order, each by a request of its own that carries the continuous pads' frames too. A structure's fields are controls for that
/// request alone, as `extra-controls` takes them; afterwards they are what they were. NULL takes one picture with the controls as they are. Returns
/// an id, or 0 with a warning in the log where nothing can be taken. Of each picture there is an element message `libcamerasrc-still` for each pad: `id`,
/// `index` from 0, `pad`, `result` (done, when the buffer is pushed, or failed), and the buffer's `offset` or the `reason`. Buffers say in their metadata
/// which they are: `still-id`, `still-index`.
pub static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
    let signal = Signal::builder("capture-still")
        .param_types([gst::Pad::static_type(), gst::Caps::static_type()])
        .return_type::<u64>()
        .action()
        .class_handler(|values| {
            let source = values.first()?.get::<super::LibcameraSrc>().ok()?;
            let pad = values.get(1)?.get::<Option<gst::Pad>>().ok()?;
            let controls = values.get(2)?.get::<Option<gst::Caps>>().ok()?;
            let id = source.imp().capture_stills(pad.as_ref(), controls.as_ref());
            Some(id.to_value())
        });
    vec![signal.build()]
});

const NO_STREAM: &str = "no such pad streams on demand: set its `capture` to on-demand, link it, and wait until it streams";

static CAPTURES: AtomicU64 = AtomicU64::new(1);

impl LibcameraSrc {
    fn capture_stills(&self, pad: Option<&gst::Pad>, controls: Option<&gst::Caps>) -> u64 {
        match self.captured_stills(pad, controls) {
            Ok(id) => id,
            Err(why) => {
                gst::warning!(CAT, imp = self, "capture-still: {why}");
                0
            }
        }
    }

    fn captured_stills(
        &self,
        pad: Option<&gst::Pad>,
        controls: Option<&gst::Caps>,
    ) -> Result<u64, &'static str> {
        if !self.streaming.lock().playing {
            return Err("the element does not play");
        }
        let pads = match pad {
            None => {
                let mut pads = self.all_pads();
                pads.retain(|pad| !pad.pad_flags().contains(gst::PadFlags::EOS));
                pads
            }
            Some(pad) => match pad.downcast_ref::<LibcameraSrcPad>() {
                Some(ours) if self.all_pads().contains(ours) => vec![ours.clone()],
                _ => return Err("the pad is not one of this element's"),
            },
        };
        let session = self.session().ok_or(NO_STREAM)?;
        let mut set = StreamSet::default();
        for (wanted, planned) in set.iter_mut().zip(&session.plan.streams) {
            let is_asked = || pads.iter().any(|pad| pad.name() == planned.pad.as_str());
            *wanted = planned.on_demand && is_asked();
        }
        if !set.contains(&true) {
            return Err(NO_STREAM);
        }
        let capture = CAPTURES.fetch_add(1, Ordering::Relaxed);
        let still = |(index, controls, restore): (u32, Controls, Controls)| Still {
            id: StillId { capture, index },
            streams: set,
            controls,
            restore,
        };
        let pictures: Vec<(Controls, Controls)> = match controls {
            Some(controls) if controls.is_any() => return Err("ANY are no controls"),
            Some(controls) => controls
                .iter()
                .map(|one| self.passing_controls(one, &session))
                .collect(),
            None => vec![Default::default()],
        };
        if pictures.is_empty() {
            return Err("the list of controls is empty: it asks for no picture");
        }
        let pictures = (0..).zip(pictures);
        let stills = pictures.map(|(index, (controls, restore))| still((index, controls, restore)));
        if session.state().capture(stills.collect()) {
            Ok(capture)
        } else {
            Err("the stream has ended, or the pad is about to go")
        }
    }

    /// Not to be called with a lock held: the application may answer at once.
    pub fn tell_of_still(&self, pad: &str, outcome: &StillOutcome) {
        let details = gst::Structure::builder("libcamerasrc-still")
            .field("id", outcome.id.capture)
            .field("index", outcome.id.index)
            .field("pad", pad);
        let details = match outcome.result {
            Ok(sequence) => details
                .field("result", "done")
                .field("offset", u64::from(sequence)),
            Err(why) => details
                .field("result", "failed")
                .field("reason", why.to_string()),
        };
        let element = self.obj();
        let message = gst::message::Element::builder(details.build());
        let _ = element.post_message(message.src(&*element).build());
    }

    /// The same for those that a session has left.
    pub fn tell_of_stills(&self, session: &Session, outcomes: &[StillOutcome]) {
        for outcome in outcomes {
            let planned = session.plan.streams.get(outcome.stream);
            self.tell_of_still(planned.map_or("src", |planned| &planned.pad), outcome);
        }
    }

    /// Says to sinks that there is nothing yet, for which they need not wait.
    pub fn nothing_yet(&self) -> gst::Event {
        let now = self.obj().current_running_time();
        gst::event::Gap::builder(now.unwrap_or_default()).build()
    }

    /// On `src`, whose SEGMENT GstBaseSrc sends with the first buffer, which may be long in coming.
    pub fn begin_on_demand(&self, pad: &LibcameraSrcPad) {
        if !pad.progress().segment {
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            // A pad that flushes takes none, and gets it afterwards.
            let pushed = pad.push_event(gst::event::Segment::new(&segment));
            pad.progress().segment = pushed;
            pad.set_gap_due();
        }
        if pad.take_gap_due() {
            pad.push_event(self.nothing_yet());
        }
    }
}
