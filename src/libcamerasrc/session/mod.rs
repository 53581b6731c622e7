//! One start of the camera: its streams, the capture task, and their orderly end.
//!
//! | thread | runs | may wait for |
//! |---|---|---|
//! | libcamera's | `events` | nothing |
//! | capture task | `capture_task` | its own pause |
//! | system clock's | `ticker` | nothing |
//! | each pad's | [`PadStream::next`]; what the capture task does, when a frame comes back in it ([`waker`]) | a frame, or an interruption; downstream |
//! | any, dropping a frame | a pool's `returned` | nothing |
//!
//! The end comes in two steps. [`Session::halt`]: no more ticks, the capture task is joined, and pads' threads help it no more, so nothing is queued any
//! more; no lock of the element is held for that, because the task may be in the middle of telling the application of an error. [`Session::finish`]: the
//! camera is stopped, which gives back every request; then requests, frames and memory go.

pub mod frames;
mod recovery;
mod stream;
mod waker;

use super::{
    capture_task::{self, Gate, Report, Tell, Worker},
    controls::ControlState,
    events::{Events, PipelineClock},
    frame_metadata::FrameMetadata,
    negotiation::{self, Plan, PlannedStream},
    states::States,
    ticker::Ticker,
};
use crate::camera::{
    CameraDevice, CameraError, Controls, Orientation, RequestQueue, Start, StreamConfig, StreamRole,
};
use crate::capture::clock_map::ClockMap;
use crate::capture::driver::{Driver, Policy};
use crate::capture::loop_state::LoopState;
use crate::capture::outlet::Interruptible;
use crate::capture::stall::GLANCES;
use crate::capture::stills::StillOutcome;
use crate::capture::stream::{Captured, Delivery, OutboxPolicy};
use crate::memory::import::Held;
use crate::os::clock;
use crate::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use crate::video::caps::{Choice, Offer, frame_duration, frame_interval};
use crate::video::layout::whole_frame;
use frames::{Frames, Io, Origin};
use std::{io, time::Duration};
pub use stream::SessionStream;
use waker::Waker;
pub use waker::help_no_more;

pub struct Session {
    /// No other session of this process has it.
    pub number: u64,
    pub plan: Plan,
    /// How many frames the leading pad's thread is to push, where that is not GstBaseSrc's to count.
    pub limit: Option<u64>,
    /// In the plan's order.
    pub streams: Vec<SessionStream>,
    /// From one frame to the next, where that is known.
    pub interval: Option<gst::ClockTime>,
    pub metadata: Option<Arc<FrameMetadata>>,
    /// What is left to do with the pictures for them to lie as they are to.
    pub to_do: Orientation,
    /// What the camera was started with, in microseconds.
    pub frame_duration: Option<u64>,
    /// The camera writes to memory of any kind.
    pub fills_any: bool,
    /// A peer's memory is not what it was, or cannot be filled: it is to be started anew, even if nothing else has changed.
    stale: Arc<AtomicBool>,
    refusal: Arc<OnceLock<String>>,
    state: Arc<LoopState>,
    report: Tell,
    controls: Arc<ControlState>,
    tickers: Mutex<Vec<Ticker>>,
    gate: Arc<Gate>,
    /// `None` once the session is halted.
    worker: Mutex<Option<Arc<Worker>>>,
    /// Its requests, from [`Session::halt`] until the camera is stopped.
    queue: Mutex<Option<Box<dyn RequestQueue>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("plan", &self.plan).finish()
    }
}

/// How the application wants it.
pub struct Options {
    pub stall_timeout: Option<gst::ClockTime>,
    pub all_streams: bool,
    pub limit: Option<u64>,
    /// Buffers are to carry what the camera knew about them.
    pub frame_metadata: bool,
    /// States of the camera are to be told.
    pub state_messages: bool,
    pub clock: Arc<PipelineClock>,
    pub controls: Arc<ControlState>,
    /// By stream.
    pub outboxes: Vec<OutboxPolicy>,
    /// By stream.
    pub io: Vec<Io>,
    /// Called, in whatever thread, when a peer's memory is not what it was: to be negotiated again.
    pub stale: Arc<dyn Fn() + Send + Sync>,
}

impl Session {
    /// Configures the camera, makes its frames and starts it. `report` is called with no lock held, in the capture task or, when that is gone, in a pad's
    /// thread. There is an offer for each stream of the plan.
    pub fn start(
        device: &mut dyn CameraDevice,
        offers: &[Offer],
        plan: Plan,
        options: Options,
        report: Tell,
    ) -> Result<Self, CameraError> {
        let roles: Vec<StreamRole> = plan.streams.iter().map(|stream| stream.role).collect();
        let wanted: Vec<_> = plan
            .streams
            .iter()
            .zip(offers)
            .map(|(stream, offer)| {
                let wanted = negotiation::wanted(offer, &stream.choice);
                let buffer_count = match stream.frames {
                    0 => wanted.buffer_count,
                    frames => frames,
                };
                StreamConfig {
                    buffer_count,
                    ..wanted
                }
            })
            .collect();
        let agreed = device.configure(&roles, &wanted)?;
        let to_do = device.orientation().to(plan.orientation);
        options.controls.set_configured(device.controls());
        // What the camera can do in time may depend on its configuration.
        let durations = device.frame_durations();
        let offers: Vec<Offer> = offers
            .iter()
            .map(|offer| Offer {
                durations,
                ..offer.clone()
            })
            .collect();
        if let (Some(stream), Some(offer)) = (plan.streams.first(), offers.first()) {
            check_rate(device, offer, &stream.choice)?;
        }
        let frames: Result<Vec<Frames>, CameraError> = plan
            .streams
            .iter()
            .zip(&agreed)
            .zip(offers.iter().zip(&options.io))
            .enumerate()
            .map(|(index, ((stream, agreed), (offer, io)))| {
                Frames::new(device, index, offer, &stream.choice, agreed, io)
            })
            .collect();
        let frames = frames?;
        let Some(first) = plan.streams.first() else {
            return Err(CameraError::NoStream {
                camera: device.id().to_owned(),
                role: "no pad".to_owned(),
            });
        };
        let interval = frame_interval(first.choice.framerate).map(|interval| interval.max(1));
        let frame_duration = frame_duration(first.choice.framerate, durations);
        let paced = offers.iter().any(|offer| offer.paced) && interval.is_some();

        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let waker: Arc<OnceLock<Waker>> = Arc::default();
        let wake = {
            let waker = waker.clone();
            // Before the task is there it has not begun, and it looks for work when it does.
            move || {
                if let Some(waker) = waker.get() {
                    waker.wake();
                }
            }
        };
        let counts: Vec<u32> = frames
            .iter()
            .map(|frames| frames.layouts.len() as u32)
            .collect();
        let mut policy = Policy {
            paced,
            all_streams: options.all_streams,
            ..Policy::default()
        };
        for (on_demand, stream) in policy.on_demand.iter_mut().zip(&plan.streams) {
            *on_demand = stream.on_demand;
        }
        let mut driver = Driver::new(&counts, policy);
        for (stream, policy) in options.outboxes.into_iter().enumerate() {
            driver.handle_outbox_policy(stream, policy);
        }
        for (index, frames) in frames.iter().enumerate() {
            if let Some(slots) = &frames.slots {
                driver.lend_out(index, slots.at_a_time);
            }
        }
        // As many as the camera takes at a time, if there are more frames than that.
        let more = |((frames, agreed), planned): ((&Frames, &StreamConfig), &PlannedStream)| {
            let few = agreed.buffer_count as usize;
            let has_more = frames.slots.is_none() && frames.layouts.len() > few;
            (has_more && !planned.on_demand).then_some(few)
        };
        let all = frames.iter().zip(&agreed).zip(&plan.streams);
        if let Some(few) = all.filter_map(more).min() {
            driver.limit_in_flight(few);
        }
        let requests = driver.request_count();
        let state = Arc::new(LoopState::new(driver, wake, clock::monotonic));
        let stale: Arc<AtomicBool> = Arc::default();
        let go_stale: Arc<dyn Fn() + Send + Sync> = {
            let (renegotiate, is_stale) = (options.stale, stale.clone());
            Arc::new(move || {
                is_stale.store(true, Ordering::Relaxed);
                renegotiate();
            })
        };
        let streams: Result<Vec<SessionStream>, glib::BoolError> = frames
            .into_iter()
            .enumerate()
            .zip(plan.streams.iter().zip(&agreed).zip(&offers))
            .map(|((index, frames), ((planned, agreed), offer))| {
                let state = Arc::downgrade(&state);
                let returned = move |frame| {
                    if let Some(state) = state.upgrade() {
                        state.returned(index, frame);
                    }
                };
                let go_stale = go_stale.clone();
                let stale = move || go_stale();
                SessionStream::new(offer, &planned.choice, agreed, frames, returned, stale)
            })
            .collect();
        let streams = streams.map_err(|error| CameraError::Allocation {
            camera: device.id().to_owned(),
            reason: error.to_string(),
        })?;

        for stream in &streams {
            stream.pool.fill();
        }
        let metadata = options
            .frame_metadata
            .then(|| Arc::new(FrameMetadata::new(&counts)));
        let events = Events {
            metadata: metadata.clone(),
            states: options.state_messages.then(States::default),
            reported: Mutex::default(),
            whole: plan
                .streams
                .iter()
                .zip(&agreed)
                .map(|(stream, agreed)| whole_frame(stream.choice.media, agreed))
                .collect(),
            state: state.clone(),
            clock: options.clock,
            controls: options.controls.clone(),
            reported_at: AtomicU64::new(0),
            map: Mutex::new(ClockMap::default()),
        };
        let start = Start {
            requests,
            frame_duration,
            controls: options.controls.start(&state),
        };
        let started = start_camera(device, &start, Arc::new(events), &state);
        let queue = started.inspect_err(|_| options.controls.give_back(start.controls.clone()))?;
        let refusal: Arc<OnceLock<String>> = Arc::default();
        let has_peers = streams.iter().any(|stream| stream.origin == Origin::Peer);
        let recover = recovery::recover(has_peers, &state, refusal.clone(), go_stale);
        let worker = Worker::new(queue, report.clone(), recover);
        let gate = capture_task::new(Arc::downgrade(&state), Arc::downgrade(&worker));
        waker.get_or_init(|| Waker::new(number, &gate, &state, &worker));
        let session = Self {
            number,
            limit: options.limit,
            metadata,
            to_do,
            frame_duration,
            fills_any: device.fills_any_memory(),
            stale,
            refusal,
            interval: interval.map(gst::ClockTime::from_nseconds),
            tickers: Mutex::default(),
            gate,
            worker: Mutex::new(Some(worker)),
            queue: Mutex::default(),
            controls: options.controls,
            streams,
            state,
            report,
            plan,
        };
        let begun = session
            .begin(paced, options.stall_timeout)
            .map_err(|reason| CameraError::Call {
                camera: device.id().to_owned(),
                call: "starting the capture task",
                reason,
            });
        if let Err(error) = begun {
            session.halt();
            session.finish(device);
            return Err(error);
        }
        Ok(session)
    }

    fn begin(&self, paced: bool, stall_timeout: Option<gst::ClockTime>) -> io::Result<()> {
        let tick = |interval, tick: fn(&LoopState)| {
            let ticker = Ticker::new(interval, Arc::downgrade(&self.state), tick)
                .map_err(io::Error::other)?;
            self.tickers.lock().push(ticker);
            Ok::<_, io::Error>(())
        };
        if let Some(interval) = self.interval.filter(|_| paced) {
            tick(interval, LoopState::tick)?;
        }
        if let Some(timeout) = stall_timeout {
            tick(timeout / u64::from(GLANCES), LoopState::glance)?;
        }
        if self.gate.open() {
            Ok(())
        } else {
            Err(io::Error::other("no thread for it"))
        }
    }

    pub fn halt(&self) {
        let tickers = std::mem::take(&mut *self.tickers.lock());
        drop(tickers);
        self.gate.close();
        // Pads' threads may help until here.
        let worker = self.worker.lock().take();
        if let Some(queue) = worker.and_then(|worker| worker.close()) {
            *self.queue.lock() = Some(queue);
        }
    }

    /// To be called after [`Self::halt`]. What became of the stills is for the caller to tell, and what others have lent to drop, when it has let go of
    /// the camera.
    pub fn finish(&self, device: &mut dyn CameraDevice) -> (Vec<StillOutcome>, Vec<Held>) {
        // What the camera has still comes back unfilled, for no fault of its own.
        let mut outcomes = self.state.take_still_outcomes();
        device.stop();
        self.controls.stop();
        self.controls.give_back(self.state.take_controls());
        let queue = self.queue.lock().take();
        drop(queue);
        outcomes.extend(self.state.finish());
        let held = self.streams.iter().filter_map(|stream| stream.pool.close());
        (outcomes, held.collect())
    }

    /// What the camera said when it could not fill one frame of downstream's memory.
    pub fn refusal(&self) -> Option<&String> {
        self.refusal.get()
    }

    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// The stream that stands for all of them where one is needed: the first that flows by itself.
    pub fn leader(&self) -> usize {
        let streams = &self.plan.streams;
        let flows = |stream: &PlannedStream| !stream.on_demand;
        streams.iter().position(flows).unwrap_or_default()
    }

    pub fn state(&self) -> &LoopState {
        &self.state
    }
}

fn check_rate(
    device: &dyn CameraDevice,
    offer: &Offer,
    choice: &Choice,
) -> Result<(), CameraError> {
    match offer.durations {
        Some(durations) if !offer.is_possible(choice.framerate, durations) => {
            Err(negotiation::rate_refused(device, choice, durations))
        }
        _ => Ok(()),
    }
}

/// A driver that refuses one of the controls refuses the whole start. Then they go with requests, where each can be refused for itself.
fn start_camera(
    device: &mut dyn CameraDevice,
    start: &Start,
    events: Arc<Events>,
    state: &LoopState,
) -> Result<Box<dyn RequestQueue>, CameraError> {
    match device.start(start, events.clone()) {
        Err(CameraError::Call { .. }) if !start.controls.is_empty() => {
            let bare = Start {
                controls: Controls::default(),
                ..start.clone()
            };
            let queue = device.start(&bare, events)?;
            state.set_controls(start.controls.clone());
            Ok(queue)
        }
        started => started,
    }
}

impl Drop for Session {
    /// A session that nobody has stopped leaves no thread behind.
    fn drop(&mut self) {
        self.halt();
    }
}

/// A session's stream, as its pad has it.
#[derive(Debug)]
pub struct PadStream {
    pub session: Arc<Session>,
    pub index: usize,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// Something else is up: see the pad's outlet.
    Interrupted,
    Failed(gst::FlowError),
}

impl Interruptible for PadStream {
    fn interrupt(&self) {
        self.session.state.interrupt(self.index);
    }
}

impl PadStream {
    /// `None` cannot be: the index is one of the session's.
    pub fn stream(&self) -> Option<&SessionStream> {
        self.session.streams.get(self.index)
    }

    pub fn is_on_demand(&self) -> bool {
        let streams = &self.session.plan.streams;
        streams
            .get(self.index)
            .is_some_and(|stream| stream.on_demand)
    }

    /// What becomes of a frame that was taken, if it is a still's. To be said once of each, without a lock.
    pub fn still_taken(&self, captured: &Captured, pushed: bool) {
        let Session { state, report, .. } = &*self.session;
        for outcome in state.still_taken(self.index, captured, pushed) {
            report(Report::Still(outcome));
        }
    }

    pub fn is_leader(&self) -> bool {
        self.index == self.session.leader()
    }

    /// Waits for the next frame, as a buffer without timestamps. `None` is the end.
    pub fn next(&self) -> Result<Option<(gst::Buffer, Captured)>, NoFrame> {
        let state = &self.session.state;
        waker::help_in_this_thread(self.session.number);
        let captured = match state.next_delivery(self.index) {
            Err(_) => return Err(NoFrame::Interrupted),
            Ok(Delivery::Eos) => return Ok(None),
            Ok(Delivery::Frame(captured)) => captured,
        };
        let Some(stream) = self.stream() else {
            return Ok(None);
        };
        match stream.pool.buffer(captured.frame) {
            Ok(buffer) => {
                let age = clock::monotonic().saturating_sub(captured.completed_at);
                stream.hand_over.lock().record(Duration::from_nanos(age));
                Ok(Some((buffer, captured)))
            }
            Err(error) => {
                // A slot without its memory is its owner's.
                if !stream.pool.has_slots() {
                    state.returned(self.index, captured.frame);
                }
                self.still_taken(&captured, false);
                // The pool of a session that has ended gives nothing.
                Err(match error {
                    gst::FlowError::Flushing => NoFrame::Interrupted,
                    error => NoFrame::Failed(error),
                })
            }
        }
    }

    /// Frames of this stream go home by themselves from now on.
    pub fn mute(&self) {
        self.session.state.mute(self.index);
    }
}
