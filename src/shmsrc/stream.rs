//! From frames to buffers: caps, times and metas, as far as the frame's note has them.

use super::session::{Delivery, Session, Stop};
use crate::notes::{
    clock::{Distance, Timebase, signed},
    stamp::{self, LayoutError},
};
use crate::os::clock;
use crate::shm::caps_text::{self, CapsTextError};
use crate::shm::fields::{self, BrokenFields};
use crate::shm::names::{Names, TooManyNames};

/// A frame that is older than this when it comes was not delayed on its way: its producer says so, for reasons of its own.
const OLDEST: u64 = 1_000_000_000;
/// What is told beyond the longest age that was seen, so that a frame that is a little older is not late.
const SLACK: u64 = 5_000_000;

/// A producer says of its frames what cannot be.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadFrame {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    CapsText(#[from] CapsTextError),
    #[error("caps that are none")]
    Caps,
    #[error(transparent)]
    Fields(#[from] BrokenFields),
    #[error(transparent)]
    Names(#[from] TooManyNames),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error("a frame cannot be used: {0}")]
    Frame(#[from] BadFrame),
}

/// What a buffer needs of its surroundings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// Of the last time that the element began to play.
    pub timebase: Option<&'a Timebase>,
    pub is_live: bool,
}

/// A buffer on its way downstream.
#[derive(Debug)]
pub(super) struct Made {
    pub buffer: gst::Buffer,
    /// What comes before it.
    pub caps: NewCaps,
    /// Frames that were published before it and did not come here.
    pub missed: u64,
    pub has_note: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NewCaps {
    Same,
    /// The producer's.
    Told(gst::Caps),
    /// It does not tell them: downstream's are asked for.
    Untold,
}

#[derive(Debug)]
struct Known {
    /// As the producer wrote them.
    text: String,
    /// Raw video has a layout.
    video: Option<gst_video::VideoInfo>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub session: Session,
    known: Option<Known>,
    names: Names,
    distance: Distance,
    /// What the distance was measured with: it is another one after each pause, by as much as that took, which is not to be smoothed.
    base_time: Option<gst::ClockTime>,
    /// The latest timestamp.
    newest: u64,
    /// That of before the last pause: a frame of then which comes only now would be earlier.
    earliest: u64,
    /// The moment of the first frame.
    first: Option<i64>,
    discont: bool,
    /// The time from a frame's moment to here, as the pipeline was last told.
    pub latency: u64,
}

impl Stream {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            known: None,
            names: Names::default(),
            distance: Distance::default(),
            base_time: None,
            newest: 0,
            earliest: 0,
            first: None,
            discont: true,
            latency: 0,
        }
    }

    /// The next buffer is not the one after the last.
    pub fn interrupt(&mut self) {
        self.discont = true;
    }

    /// Notices that the element has begun to play again.
    fn follow(&mut self, context: Context<'_>) {
        let base_time = context.timebase.map(|timebase| timebase.base_time);
        if std::mem::replace(&mut self.base_time, base_time) == base_time {
            return;
        }
        self.distance = Distance::default();
        if let Some(timebase) = context.timebase.filter(|_| context.is_live) {
            // A flush may have had running time begin anew.
            let now = signed(clock::monotonic()).saturating_add(self.distance.measure(timebase));
            self.newest = self.newest.min(u64::try_from(now).unwrap_or(0));
            self.earliest = self.newest;
        }
    }

    /// Makes a buffer of a frame. Whatever is wrong with it, it is given back.
    pub fn make(&mut self, delivery: Delivery, context: Context<'_>) -> Result<Made, StreamError> {
        let Delivery {
            frame,
            memory,
            has_note,
        } = delivery;
        self.follow(context);
        let mut whole = gst::Buffer::new();
        let buffer = whole.make_mut();
        buffer.append_memory(gst::Memory::from_slice(memory));
        let mut missed = 0;
        let caps = if has_note {
            let Self {
                session,
                known,
                names,
                distance,
                newest,
                earliest,
                first,
                ..
            } = self;
            let (note, gap) = session.note(&frame)?;
            missed = gap;
            let caps = learn(known, names, note.caps)?;
            let told = fields::decode(note.fields).map_err(BadFrame::from)?;
            names
                .admit(told.iter().map(|(name, _)| *name))
                .map_err(BadFrame::from)?;
            let pts = pts(note.times.instant, note.times.pts, context, distance, first)
                .map(|pts| pts.max(*earliest));
            *newest = pts.map_or(*newest, |pts| pts.max(*newest));
            stamp::times(buffer, &note.times, pts);
            stamp::flags(buffer, &note);
            stamp::metadata(buffer, told);
            if let Some(info) = known.as_ref().and_then(|known| known.video.as_ref()) {
                stamp::planes(buffer, info, &note.planes).map_err(BadFrame::from)?;
            }
            let age = note
                .times
                .instant
                .map(|instant| clock::monotonic().saturating_sub(instant));
            if context.is_live
                && let Some(age) = age.filter(|age| (self.latency..OLDEST).contains(age))
            {
                self.latency = age + SLACK;
            }
            caps
        } else {
            let now = Some(clock::monotonic());
            let pts = pts(now, None, context, &mut self.distance, &mut self.first);
            buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
            learn(&mut self.known, &mut self.names, "")?
        };
        if missed > 0 || std::mem::take(&mut self.discont) {
            buffer.set_flags(buffer.flags() | gst::BufferFlags::DISCONT);
        }
        Ok(Made {
            buffer: whole,
            caps,
            missed,
            has_note,
        })
    }
}

/// The moment of a frame as this pipeline's running time; since the first frame where it is not live, or the moment is not known.
fn pts(
    instant: Option<u64>,
    theirs: Option<u64>,
    context: Context<'_>,
    distance: &mut Distance,
    first: &mut Option<i64>,
) -> Option<u64> {
    let not_before_the_start = |time: i64| u64::try_from(time).unwrap_or(0);
    match (instant, context.timebase) {
        (Some(instant), Some(timebase)) if context.is_live => {
            let time = signed(instant).saturating_add(distance.measure(timebase));
            Some(not_before_the_start(time))
        }
        // Without a clock there is no running time, and another time would not go with what comes later.
        (Some(_), None) if context.is_live => None,
        (instant, _) => {
            let moment = signed(instant.or(theirs)?);
            let first = *first.get_or_insert(moment);
            Some(not_before_the_start(moment.saturating_sub(first)))
        }
    }
}

/// Takes what the producer says about its frames' caps.
fn learn(known: &mut Option<Known>, names: &mut Names, text: &str) -> Result<NewCaps, BadFrame> {
    if known.as_ref().is_some_and(|known| known.text == text) {
        return Ok(NewCaps::Same);
    }
    let text = text.to_owned();
    if text.is_empty() {
        *known = Some(Known { text, video: None });
        return Ok(NewCaps::Untold);
    }
    names.admit(caps_text::names(&text)?)?;
    let caps = parse(&text).ok_or(BadFrame::Caps)?;
    let is_raw_video = caps
        .structure(0)
        .is_some_and(|structure| structure.name() == "video/x-raw");
    let video = match is_raw_video {
        true => Some(gst_video::VideoInfo::from_caps(&caps).map_err(|_| BadFrame::Caps)?),
        false => None,
    };
    *known = Some(Known { text, video });
    Ok(NewCaps::Told(caps))
}

/// Caps that something can be made of.
fn parse(text: &str) -> Option<gst::Caps> {
    let caps: gst::Caps = text.parse().ok()?;
    (caps.size() == 1 && caps.is_fixed()).then_some(caps)
}
