//! From frames to buffers: caps, times and metas, as far as the frame's note has them.

use super::{
    areas, descriptors,
    session::{Delivery, Session, Stop},
};
use crate::notes::{
    clock::{Distance, Timebase, signed},
    metas,
    stamp::{self, LayoutError},
};
use crate::os::clock;
use crate::shm::caps_text::{self, CapsTextError};
use crate::shm::fd::metas::Meta;
use crate::shm::fd::wire::Kind;
use crate::shm::fields::{self, BrokenFields};
use crate::shm::names::{Names, TooManyNames};
use crate::shm::note::{Planes, Times};

/// Features that caps may have of frames in shared memory, and of others.
const ORDINARY: &[&str] = caps_text::FEATURES;
const DEVICES: &[&str] = &["memory:SystemMemory", DMABUF];
const DMABUF: &str = "memory:DMABuf";

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
    #[error("caps of DMABUFs, and a frame that is none")]
    NoDmaBuf,
    #[error(transparent)]
    Fields(#[from] BrokenFields),
    #[error(transparent)]
    Names(#[from] TooManyNames),
}

impl BadFrame {
    /// What there is to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Layout(LayoutError::TooSmall { .. }) => {
                ". If caps are given behind the source, they have to be the producer's; otherwise check what listens at socket-path"
            }
            Self::CapsText(_) => {
                ". Give the producer plainer caps, or check what listens at socket-path"
            }
            _ => ". Check what listens at socket-path",
        }
    }
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
    /// Frames are to be DMABUFs.
    is_dmabuf: bool,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub session: Session,
    known: Option<Known>,
    names: Names,
    moments: Moments,
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
            moments: Moments::default(),
            discont: true,
            latency: 0,
        }
    }

    /// The next buffer is not the one after the last.
    pub fn interrupt(&mut self) {
        self.discont = true;
    }

    /// Makes a buffer of a frame. Whatever is wrong with it, it is given back.
    pub fn make(&mut self, delivery: Delivery, context: Context<'_>) -> Result<Made, StreamError> {
        self.moments.follow(context);
        let mut made = match delivery {
            Delivery::InArea(delivery) if delivery.has_note => self.with_note(delivery, context)?,
            Delivery::InArea(delivery) => self.without_note(delivery, context)?,
            Delivery::ByDescriptors(delivery) => self.by_descriptors(delivery, context)?,
        };
        if made.missed > 0 || std::mem::take(&mut self.discont) {
            let buffer = made.buffer.make_mut();
            buffer.set_flags(buffer.flags() | gst::BufferFlags::DISCONT);
        }
        Ok(made)
    }

    fn with_note(
        &mut self,
        delivery: areas::Delivery,
        context: Context<'_>,
    ) -> Result<Made, StreamError> {
        let mut whole = buffer_of([gst::Memory::from_slice(delivery.bytes)]);
        let buffer = whole.make_mut();
        let Self {
            session,
            known,
            names,
            moments,
            ..
        } = self;
        let (note, missed) = session.note(&delivery.frame)?;
        let caps = learn(known, names, note.caps, ORDINARY)?;
        let told = fields::decode(note.fields).map_err(BadFrame::from)?;
        names
            .admit(told.iter().map(|(name, _)| *name))
            .map_err(BadFrame::from)?;
        let pts = moments.pts(&note.times, context);
        stamp::times(buffer, &note.times, pts);
        stamp::flags(buffer, note.flags);
        stamp::metadata(buffer, told);
        if let Some(info) = known.as_ref().and_then(|known| known.video.as_ref()) {
            stamp::planes(buffer, info, &note.planes).map_err(BadFrame::from)?;
        }
        let instant = note.times.instant;
        self.notice_age(instant, context);
        Ok(Made {
            buffer: whole,
            caps,
            missed,
            has_note: true,
        })
    }

    /// Of a stock `shmsink`.
    fn without_note(
        &mut self,
        delivery: areas::Delivery,
        context: Context<'_>,
    ) -> Result<Made, StreamError> {
        let mut whole = buffer_of([gst::Memory::from_slice(delivery.bytes)]);
        let buffer = whole.make_mut();
        let now = Times {
            instant: Some(clock::monotonic()),
            ..Times::default()
        };
        let pts = self.moments.arrival(&now, context);
        buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
        Ok(Made {
            buffer: whole,
            caps: learn(&mut self.known, &mut self.names, "", ORDINARY)?,
            missed: 0,
            has_note: false,
        })
    }

    fn by_descriptors(
        &mut self,
        delivery: descriptors::Delivery,
        context: Context<'_>,
    ) -> Result<Made, StreamError> {
        let descriptors::Delivery {
            frame,
            metas,
            memories,
            caps,
        } = delivery;
        let mut whole = buffer_of(memories);
        let buffer = whole.make_mut();
        let caps = learn(&mut self.known, &mut self.names, &caps, DEVICES)?;
        // Without a timestamp it is the moment at which it came.
        let instant = frame.pts.unwrap_or_else(clock::monotonic);
        let times = Times {
            pts: frame.pts,
            dts: frame.dts,
            duration: frame.duration,
            instant: Some(instant),
            offset: frame.offset,
            offset_end: frame.offset_end,
            sensor: None,
        };
        let pts = self.moments.pts(&times, context);
        stamp::times(buffer, &times, pts);
        stamp::flags(buffer, frame.flags);
        let (mut layout, mut missed, mut text, mut is_ours) = (None, 0, None, false);
        for meta in metas {
            match meta {
                Meta::Video(video) => layout = Some(video),
                Meta::Timestamp {
                    timestamp,
                    duration,
                    reference,
                } => metas::attach_timestamp(buffer, timestamp, duration, &reference),
                Meta::Custom { structure, .. } => text = Some(structure),
                Meta::Ours { sequence, fields } => {
                    is_ours = true;
                    missed = self.session.count(sequence);
                    let told = fields::decode(&fields).map_err(BadFrame::from)?;
                    let names = told.iter().map(|(name, _)| *name);
                    self.names.admit(names).map_err(BadFrame::from)?;
                    stamp::metadata(buffer, told);
                }
            }
        }
        if let Some(text) = text.filter(|_| !is_ours) {
            metas::attach_text(buffer, &text, &mut self.names);
        }
        if let Some(known) = &self.known {
            if known.is_dmabuf && frame.kind != Kind::DmaBuf {
                return Err(BadFrame::NoDmaBuf.into());
            }
            match (&known.video, layout) {
                (Some(info), layout) => {
                    let planes = layout.map(|video| Planes::new(video.planes.into_iter()));
                    stamp::planes(buffer, info, &planes.unwrap_or_default())
                        .map_err(BadFrame::from)?;
                }
                // What lies in it is known to drivers alone; where the planes begin is not to be guessed.
                (None, Some(video)) if known.is_dmabuf => {
                    metas::attach_layout(buffer, &video).map_err(BadFrame::from)?;
                }
                _ => (),
            }
        }
        self.notice_age(frame.pts, context);
        Ok(Made {
            buffer: whole,
            caps,
            missed,
            has_note: true,
        })
    }

    /// How long a frame was on its way is what the pipeline is told as latency.
    fn notice_age(&mut self, instant: Option<u64>, context: Context<'_>) {
        let age = instant.map(|instant| clock::monotonic().saturating_sub(instant));
        if context.is_live
            && let Some(age) = age.filter(|age| (self.latency..OLDEST).contains(age))
        {
            self.latency = age + SLACK;
        }
    }
}

fn buffer_of(memories: impl IntoIterator<Item = gst::Memory>) -> gst::Buffer {
    let mut whole = gst::Buffer::new();
    let buffer = whole.make_mut();
    for memory in memories {
        buffer.append_memory(memory);
    }
    whole
}

/// Frames' moments as this pipeline's running times.
#[derive(Debug, Default)]
struct Moments {
    distance: Distance,
    /// What the distance was measured with: it is another one after each pause, by as much as that took, which is not to be smoothed.
    base_time: Option<gst::ClockTime>,
    /// The latest timestamp.
    newest: u64,
    /// That of before the last pause: a frame of then which comes only now would be earlier.
    earliest: u64,
    /// The moment of the first frame.
    first: Option<i64>,
}

impl Moments {
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

    /// The timestamp of a frame with these times, as its producer has said them.
    fn pts(&mut self, times: &Times, context: Context<'_>) -> Option<u64> {
        let pts = self.arrival(times, context);
        let pts = pts.map(|pts| pts.max(self.earliest));
        self.newest = pts.map_or(self.newest, |pts| pts.max(self.newest));
        pts
    }

    /// The moment; since the first frame where the element is not live, or the moment is not known.
    fn arrival(&mut self, times: &Times, context: Context<'_>) -> Option<u64> {
        let not_before_the_start = |time: i64| u64::try_from(time).unwrap_or(0);
        match (times.instant, context.timebase) {
            (Some(instant), Some(timebase)) if context.is_live => {
                let time = signed(instant).saturating_add(self.distance.measure(timebase));
                Some(not_before_the_start(time))
            }
            // Without a clock there is no running time, and another time would not go with what comes later.
            (Some(_), None) if context.is_live => None,
            (instant, _) => {
                let moment = signed(instant.or(times.pts)?);
                let first = *self.first.get_or_insert(moment);
                Some(not_before_the_start(moment.saturating_sub(first)))
            }
        }
    }
}

/// Takes what the producer says about its frames' caps.
fn learn(
    known: &mut Option<Known>,
    names: &mut Names,
    text: &str,
    features: &[&str],
) -> Result<NewCaps, BadFrame> {
    if known.as_ref().is_some_and(|known| known.text == text) {
        return Ok(NewCaps::Same);
    }
    let text = text.to_owned();
    if text.is_empty() {
        *known = Some(Known {
            text,
            video: None,
            is_dmabuf: false,
        });
        return Ok(NewCaps::Untold);
    }
    names.admit(caps_text::names_with(&text, features)?)?;
    let caps = parse(&text).ok_or(BadFrame::Caps)?;
    let is_dmabuf = caps
        .features(0)
        .is_some_and(|features| features.contains(DMABUF));
    let is_raw_video = !is_dmabuf
        && caps
            .structure(0)
            .is_some_and(|structure| structure.name() == "video/x-raw");
    let video = match is_raw_video {
        true => Some(gst_video::VideoInfo::from_caps(&caps).map_err(|_| BadFrame::Caps)?),
        false => None,
    };
    *known = Some(Known {
        text,
        video,
        is_dmabuf,
    });
    Ok(NewCaps::Told(caps))
}

/// Caps that something can be made of.
fn parse(text: &str) -> Option<gst::Caps> {
    let caps: gst::Caps = text.parse().ok()?;
    (caps.size() == 1 && caps.is_fixed()).then_some(caps)
}
