//! Pictures on demand while other pads stream: the action signal `capture-still` and its messages.

use super::{
    imp::{CAT, LibcameraSrc},
    pad::LibcameraSrcPad,
    session::PadStream,
};
use crate::camera::Controls;
use crate::capture::stills::{Still, StillId, StillOutcome, StreamSet};
use crate::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering},
};
use glib::subclass::Signal;
use gst::{prelude::*, subclass::prelude::*};

/// `capture-still` takes pictures for a pad whose `capture` is on-demand, or for all of those at once where the pad is NULL: one for each structure
/// of the caps, in order, each by a request of its own that carries the continuous pads' frames too. A structure's fields are controls for that
/// request alone, as `extra-controls` takes them; afterwards they are what they were. NULL takes one picture with the controls as they are. Returns
/// an id, or 0 with a warning in the log where nothing can be taken. Of each picture there is an element message `libcamerasrc-still`: `id`, `index`
/// from 0, `result` (done or failed), and the buffer's `offset` or the `reason`. Buffers say in their metadata which they are: `still-id`,
/// `still-index`.
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
        let pads = match pad {
            None => self.all_pads(),
            Some(pad) => match pad.downcast_ref::<LibcameraSrcPad>() {
                Some(ours) if self.all_pads().contains(ours) => vec![ours.clone()],
                _ => return Err("the pad is not one of this element's"),
            },
        };
        let streams = pads.iter().filter_map(|pad| pad.outlet().stream());
        let streams: Vec<Arc<PadStream>> = streams.filter(|stream| stream.is_on_demand()).collect();
        let Some(first) = streams.first() else {
            return Err(
                "no such pad streams on demand: set its `capture` to on-demand, link it, and wait until the element plays",
            );
        };
        let mut set = StreamSet::default();
        for stream in &streams {
            if let Some(wanted) = set.get_mut(stream.index) {
                *wanted = Arc::ptr_eq(&stream.session, &first.session);
            }
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
                .map(|one| self.passing_controls(one))
                .collect(),
            None => vec![Default::default()],
        };
        if pictures.is_empty() {
            return Err("the list of controls is empty: it asks for no picture");
        }
        let pictures = (0..).zip(pictures);
        let stills = pictures.map(|(index, (controls, restore))| still((index, controls, restore)));
        if first.session.state().capture(stills.collect()) {
            Ok(capture)
        } else {
            Err("the stream has ended, or the pad is about to go")
        }
    }

    /// Not to be called with a lock held: the application may answer at once.
    pub fn tell_of_stills(&self, outcomes: &[StillOutcome]) {
        for outcome in outcomes {
            let details = gst::Structure::builder("libcamerasrc-still")
                .field("id", outcome.id.capture)
                .field("index", outcome.id.index);
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
    }

    /// Says to sinks that there is nothing yet, for which they need not wait.
    pub fn nothing_yet(&self) -> gst::Event {
        let now = self.obj().current_running_time();
        gst::event::Gap::builder(now.unwrap_or_default()).build()
    }

    /// On `src`, whose SEGMENT GstBaseSrc sends with the first buffer, which may be long in coming.
    pub fn begin_on_demand(&self, pad: &LibcameraSrcPad) {
        if std::mem::replace(&mut pad.progress().segment, true) {
            return;
        }
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::Segment::new(&segment));
        pad.push_event(self.nothing_yet());
    }
}
