//! What the camera tells, in the camera's thread.

use super::{controls::ControlState, frame_metadata::FrameMetadata, states::States};
use crate::camera::{CameraError, CameraEvents, Completion, Controls, FrameStatus};
use crate::capture::clock_map::{ClockMap, ClockReading};
use crate::capture::loop_state::LoopState;
use crate::os::clock;
use crate::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use gst::prelude::*;

/// The pipeline's clock, as the element was last told. A leaf lock: the clock is read after it was left.
#[derive(Debug, Default)]
pub struct PipelineClock(Mutex<Told>);

#[derive(Clone, Debug, Default)]
struct Told {
    clock: Option<gst::Clock>,
    /// It is the kernel's CLOCK_MONOTONIC at a constant distance.
    is_steady: bool,
    /// That distance, and when it was measured.
    distance: Option<(i64, u64)>,
}

/// How long a measured distance of a steady clock serves, for somebody may calibrate it; and how far apart its readings may be for that.
const MEASURED_AGAIN_AFTER_NS: u64 = 100_000_000;
const CLOSE_NS: u64 = 10_000;

impl PipelineClock {
    pub fn set(&self, clock: Option<gst::Clock>) {
        let told = Told {
            is_steady: clock.as_ref().is_some_and(is_steady),
            clock,
            distance: None,
        };
        let before = std::mem::replace(&mut *self.0.lock(), told);
        drop(before);
    }

    pub fn is_set(&self) -> bool {
        self.0.lock().clock.is_some()
    }

    /// The kernel's clocks in the middle of two readings of the pipeline's.
    pub fn read(&self) -> ClockReading {
        let told = self.0.lock();
        let (monotonic, boottime) = (clock::monotonic(), clock::boottime());
        if let Some((distance, measured)) = told.distance
            && monotonic.saturating_sub(measured) < MEASURED_AGAIN_AFTER_NS
        {
            return ClockReading {
                monotonic,
                boottime,
                pipeline: Some(monotonic.saturating_add_signed(distance)),
                bracket: 0,
            };
        }
        let clock = told.clock.clone();
        drop(told);
        let reading = measure(clock.as_ref());
        let mut told = self.0.lock();
        if told.is_steady && told.clock == clock {
            let close = reading.pipeline.filter(|_| reading.bracket < CLOSE_NS);
            told.distance = close.map(|pipeline| {
                let distance = pipeline as i64 - reading.monotonic as i64;
                (distance, reading.monotonic)
            });
        }
        reading
    }
}

fn is_steady(clock: &gst::Clock) -> bool {
    clock.type_() == gst::SystemClock::static_type()
        && clock.property::<gst::ClockType>("clock-type") == gst::ClockType::Monotonic
}

fn measure(clock: Option<&gst::Clock>) -> ClockReading {
    let before = clock.map(|clock| clock.time());
    let (monotonic, boottime) = (clock::monotonic(), clock::boottime());
    let after = clock.map(|clock| clock.time());
    let bracket = before
        .zip(after)
        .map(|(before, after)| (before.nseconds(), after.nseconds()));
    ClockReading {
        monotonic,
        boottime,
        pipeline: bracket.map(|(before, after)| (before + after) / 2),
        bracket: bracket.map_or(0, |(before, after)| after.saturating_sub(before)),
    }
}

const REPORT_INTERVAL_NS: u64 = 100_000_000;

pub struct Events {
    pub state: Arc<LoopState>,
    pub clock: Arc<PipelineClock>,
    pub controls: Arc<ControlState>,
    /// Where what is reported of each frame goes, if anybody wants it.
    pub metadata: Option<Arc<FrameMetadata>>,
    /// The states that are told, if somebody wants that.
    pub states: Option<States>,
    /// What was reported of frames. Used by the camera's thread alone.
    pub reported: Mutex<Reported>,
    /// By stream: bytes that a whole frame has at least, 1 where that is not known.
    pub whole: Vec<u32>,
    /// When metadata was last asked for, in nanoseconds of CLOCK_MONOTONIC.
    pub reported_at: AtomicU64,
    /// Used by the camera's thread alone.
    pub map: Mutex<ClockMap>,
}

/// Metadata of frames, of which as many are made as are needed at a time: one that nobody has any more is written over for the next frame.
#[derive(Debug, Default)]
pub struct Reported {
    all: Vec<Arc<Controls>>,
    /// The place of the last one.
    last: usize,
    /// That is of the frame which completes next.
    is_pending: bool,
}

impl Reported {
    fn read(&mut self, read: &mut dyn FnMut(&mut Controls)) -> &Arc<Controls> {
        let count = self.all.len();
        let mut places = (self.last + 1..=self.last + count).map(|place| place % count);
        let unused = places.find(|place| Arc::get_mut(&mut self.all[*place]).is_some());
        self.last = unused.unwrap_or_else(|| {
            self.all.push(Arc::default());
            self.all.len() - 1
        });
        let place = &mut self.all[self.last];
        if let Some(controls) = Arc::get_mut(place) {
            read(controls);
        }
        place
    }

    fn take(&mut self) -> Option<Arc<Controls>> {
        let is_pending = std::mem::take(&mut self.is_pending);
        self.all.get(self.last).filter(|_| is_pending).cloned()
    }
}

/// Drivers that do not say how much they have written leave 0, but not for frames of which each is of another size.
fn is_short(used: u32, whole: u32) -> bool {
    used < whole && (used > 0 || whole == 1)
}

impl CameraEvents for Events {
    fn completed(&self, mut completion: Completion) {
        for (frame, whole) in completion.frames.iter_mut().zip(&self.whole) {
            if let Some(frame) = frame
                && frame.status == FrameStatus::Success
                && frame.bytes_used.is_some_and(|used| is_short(used, *whole))
            {
                frame.status = FrameStatus::Error;
            }
        }
        let now = self.clock.read();
        let timing = self.map.lock().timing(completion.sensor_timestamp, now);
        if let Some(metadata) = &self.metadata {
            let reported = self.reported.lock().take();
            if let Some(reported) = reported {
                metadata.keep(&completion, &reported);
            }
        }
        self.state.completed(&completion, timing, now.monotonic);
    }

    /// Whoever looks at the last value of a control does not see more of it than this.
    fn wants_metadata(&self) -> bool {
        if self.metadata.is_some() || self.states.is_some() {
            return true;
        }
        let now = clock::monotonic();
        let due =
            now.saturating_sub(self.reported_at.load(Ordering::Relaxed)) >= REPORT_INTERVAL_NS;
        if due {
            self.reported_at.store(now, Ordering::Relaxed);
        }
        due
    }

    fn reported(&self, read: &mut dyn FnMut(&mut Controls)) {
        let mut reported = self.reported.lock();
        let metadata = reported.read(read).clone();
        reported.is_pending = self.metadata.is_some();
        drop(reported);
        self.controls.report(metadata.clone());
        let news = self.states.as_ref().map(|states| states.news(&metadata));
        if let Some(news) = news.filter(|news| !news.is_empty()) {
            self.state.state_changed(news);
        }
    }

    fn failed(&self, error: CameraError) {
        self.state.failed(error);
    }
}
