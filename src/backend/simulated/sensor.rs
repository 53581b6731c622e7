//! The camera's thread: it fills the requests that it has, at the sensor's rate, as its script tells it.

use super::{
    picture::Canvas,
    script::{Fault, Script},
};
use crate::camera::{
    CameraError, CameraEvents, CompletedFrame, Completion, CompletionStatus, FrameSet, FrameStatus,
    MAX_STREAMS, RequestId, StreamConfig,
};
use crate::sync::{Arc, Condvar, Mutex};
use std::{
    collections::VecDeque,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often a camera that waits looks at its script.
const GLANCE: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub id: RequestId,
    pub frames: FrameSet,
    /// How many controls the camera had been told of by then.
    pub told: usize,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Request>,
    stopping: bool,
}

/// What the camera's thread and its user share.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// False when the camera does not stream any more.
    pub fn queue(&self, request: Request) -> bool {
        let mut state = self.state.lock();
        if !state.stopping {
            state.requests.push_back(request);
        }
        let streams = !state.stopping;
        drop(state);
        self.changed.notify_one();
        streams
    }
}

#[derive(Debug)]
pub struct Stream {
    pub config: StreamConfig,
    pub frames: Arc<Vec<Canvas>>,
}

/// A camera that streams.
#[derive(Debug)]
pub struct Sensor {
    pub shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sensor {
    pub fn start(
        camera: String,
        script: Arc<Script>,
        interval: Duration,
        streams: Vec<Stream>,
        events: Arc<dyn CameraEvents>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut work = Work {
            camera,
            script,
            interval,
            streams,
            events,
            shared: shared.clone(),
            sequence: 0,
            next: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("SimulatedCamera".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Sensor {
    /// Every request has come back when this returns, unless the camera had vanished.
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in the camera's thread is one in the events' receiver; it was printed there.
            let _ = thread.join();
        }
    }
}

struct Work {
    script: Arc<Script>,
    interval: Duration,
    streams: Vec<Stream>,
    events: Arc<dyn CameraEvents>,
    shared: Arc<Shared>,
    camera: String,
    sequence: u32,
    /// When the next frame is exposed.
    next: Instant,
}

impl Work {
    fn run(&mut self) {
        while let Some(request) = self.next_request() {
            self.fill(request);
        }
        if self.script.is_gone() {
            self.events.failed(CameraError::Gone {
                camera: self.camera.clone(),
            });
            return;
        }
        let left = std::mem::take(&mut self.shared.state.lock().requests);
        for Request { id, frames, .. } in left {
            self.events.completed(completion(
                id,
                frames,
                CompletionStatus::Cancelled,
                FrameStatus::Cancelled,
                0,
            ));
        }
    }

    /// Waits for a request and the time to fill it; `None` when the camera stops or vanishes.
    fn next_request(&mut self) -> Option<Request> {
        let mut state = self.shared.state.lock();
        loop {
            if state.stopping || self.script.is_gone() {
                return None;
            }
            let now = Instant::now();
            if now >= self.next && !self.script.is_stalled() {
                // A thread that was late makes up for it; only a camera without a request loses what the sensor exposes.
                if let Some(request) = state.requests.pop_front() {
                    self.next = self.next.max(now - self.interval) + self.interval;
                    return Some(request);
                }
                if !self.interval.is_zero() {
                    self.next += self.interval;
                    self.sequence += 1;
                    continue;
                }
            }
            let wait = self
                .next
                .saturating_duration_since(now)
                .clamp(Duration::from_micros(50), GLANCE);
            self.shared.changed.wait_for(&mut state, wait);
        }
    }

    fn fill(&mut self, request: Request) {
        let Request { id, frames, told } = request;
        let (mut status, mut frame_status) = (CompletionStatus::Complete, FrameStatus::Success);
        let (mut without, mut short) = (None, None);
        match self.script.next_fault() {
            Some(Fault::Damaged) => frame_status = FrameStatus::Error,
            Some(Fault::Short(bytes)) => short = Some(bytes),
            Some(Fault::Cancelled) => {
                (status, frame_status) = (CompletionStatus::Cancelled, FrameStatus::Cancelled)
            }
            Some(Fault::WithoutStream(stream)) => without = Some(stream),
            Some(Fault::Overtaken) => {
                let overtaking = self.shared.state.lock().requests.pop_front();
                if let Some(request) = overtaking {
                    self.fill(request);
                }
            }
            Some(Fault::Gap(more)) => self.sequence += more,
            Some(Fault::MadeUp) => {
                let unknown = RequestId(u32::MAX);
                self.events.completed(completion(
                    unknown,
                    frames,
                    status,
                    frame_status,
                    self.sequence,
                ));
            }
            None => (),
        }
        for (stream, frame) in self.streams.iter().zip(frames) {
            let canvas = frame.and_then(|frame| stream.frames.get(frame.0 as usize));
            if canvas.is_some_and(|canvas| canvas.paint(&stream.config, self.sequence).is_err()) {
                frame_status = FrameStatus::Error;
            }
        }
        let mut completion = completion(id, frames, status, frame_status, self.sequence);
        for frame in completion.frames.iter_mut().flatten() {
            frame.bytes_used = short;
        }
        if let Some(frame) = without.and_then(|stream| completion.frames.get_mut(stream)) {
            *frame = None;
        }
        self.sequence += 1;
        if self.events.wants_metadata() {
            let current = self.script.current(told);
            self.events
                .reported(&mut |controls| controls.clone_from(&current));
        }
        self.events.completed(completion);
    }
}

fn completion(
    request: RequestId,
    frames: FrameSet,
    status: CompletionStatus,
    frame_status: FrameStatus,
    sequence: u32,
) -> Completion {
    let mut completed = [None; MAX_STREAMS];
    for (completed, frame) in completed.iter_mut().zip(frames) {
        *completed = frame.map(|frame| CompletedFrame {
            frame,
            status: frame_status,
            sequence,
            bytes_used: None,
        });
    }
    Completion {
        request,
        status,
        sensor_timestamp: Some(monotonic()),
        frames: completed,
    }
}

/// CLOCK_MONOTONIC, in nanoseconds: what a sensor's driver would stamp.
fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
