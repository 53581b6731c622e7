//! One start of the camera: its frames, their pool, the capture task, and their orderly end.
//!
//! | thread | runs | may wait for |
//! |---|---|---|
//! | libcamera's | `events` | nothing |
//! | capture task | `capture_task` | its own pause |
//! | system clock's | `ticker` | nothing |
//! | the pad's | `next` | a frame, or flushing |
//! | any, dropping a frame | the pool's `returned` | nothing |
//!
//! The end comes in two steps. [`Session::halt`]: no more ticks, and the capture task is joined, so nothing is queued any more; no lock of the
//! element is held for that, because the task may be in the middle of telling the application of an error. [`Session::finish`]: the camera is
//! stopped, which gives back every request; then requests, frames and memory go.

use super::{
    capture_task::{self, Gate, Report, Worker},
    events::{Events, PipelineClock},
    negotiation,
    ticker::Ticker,
};
use crate::camera::{CameraDevice, CameraError, FrameLayout, Plane, StreamConfig};
use crate::capture::clock_map::ClockMap;
use crate::capture::driver::{Driver, GLANCES, Policy};
use crate::capture::loop_state::{Flushing, LoopState};
use crate::capture::stream::{Captured, Delivery};
use crate::memory::frame::{MemoryKind, plane_offsets};
use crate::memory::pool::{FramePool, PlaneLayout};
use crate::os::memfd;
use crate::sync::{Arc, Mutex, OnceLock};
use crate::video::caps::{Choice, Offer, frame_interval};
use crate::video::format::Media;
use crate::video::layout::{frame_end, packed_planes, video_planes};
use crate::video::repack::Repack;
use std::io;

/// The stream of the pad `src`.
pub const STREAM: usize = 0;

pub struct Session {
    pub choice: Choice,
    pub caps: gst::Caps,
    pub frames: u32,
    /// From one frame to the next, where that is known.
    pub interval: Option<gst::ClockTime>,
    /// Bytes of a raw frame up to the end of its last plane. Its memory may be longer.
    pub size: Option<usize>,
    layout: Option<PlaneLayout>,
    state: Arc<LoopState>,
    pool: FramePool,
    tickers: Mutex<Vec<Ticker>>,
    gate: Arc<Gate>,
    /// `None` once the session is stopped.
    worker: Mutex<Option<Arc<Worker>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("choice", &self.choice)
            .finish()
    }
}

impl Session {
    /// Configures the camera, makes its frames and starts it. `report` is called in the capture task, with no lock held.
    pub fn start(
        device: &mut dyn CameraDevice,
        offer: &Offer,
        choice: Choice,
        clock: &Arc<PipelineClock>,
        stall_timeout: Option<gst::ClockTime>,
        report: impl Fn(Report<'_>) + Send + Sync + 'static,
    ) -> Result<Self, CameraError> {
        let wanted = negotiation::wanted(offer, &choice);
        let agreed = device.configure(&[negotiation::ROLE], &[wanted])?;
        let agreed = agreed
            .into_iter()
            .next()
            .ok_or_else(|| CameraError::NoStream {
                camera: device.id().to_owned(),
                role: negotiation::ROLE.to_string(),
            })?;
        let (frames, kind) = frames(device, &choice, &agreed)?;
        refuse_padded_bayer(device, &choice, &agreed)?;
        let layout = plane_layout(&choice, &agreed, &frames);
        let interval = frame_interval(choice.framerate).map(|interval| interval.max(1));

        let gate: Arc<OnceLock<Arc<Gate>>> = Arc::default();
        let wake = {
            let gate = gate.clone();
            // Before the gate is there the task has not begun, and it looks for work when it does.
            move || {
                if let Some(gate) = gate.get() {
                    gate.notify();
                }
            }
        };
        let count = frames.len() as u32;
        let policy = Policy {
            paced: offer.paced && interval.is_some(),
            ..Policy::default()
        };
        let driver = Driver::new(&[count], policy);
        let requests = driver.request_count();
        let state = Arc::new(LoopState::new(driver, wake));

        let pool = {
            let state = Arc::downgrade(&state);
            FramePool::new(&frames, kind, layout.clone(), move |frame| {
                if let Some(state) = state.upgrade() {
                    state.returned(STREAM, frame);
                }
            })
        };
        let pool = pool.map_err(|error| CameraError::Allocation {
            camera: device.id().to_owned(),
            reason: error.to_string(),
        })?;

        let events = Events {
            state: state.clone(),
            clock: clock.clone(),
            map: Mutex::new(ClockMap::default()),
        };
        let duration = offer.frame_duration(choice.framerate);
        let queue = device.start(requests, duration, Arc::new(events))?;
        let worker = Worker::new(queue, report);
        let task = capture_task::new(Arc::downgrade(&state), Arc::downgrade(&worker));
        let session = Self {
            caps: offer.fixed_caps(&choice, &agreed),
            frames: count,
            interval: interval.map(gst::ClockTime::from_nseconds),
            size: layout
                .as_ref()
                .map(|layout| frame_end(layout.format, &agreed, &layout.offsets)),
            layout,
            tickers: Mutex::default(),
            gate: gate.get_or_init(|| task).clone(),
            worker: Mutex::new(Some(worker)),
            pool,
            state,
            choice,
        };
        let begun = session
            .begin(offer.paced, stall_timeout)
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
    }

    /// To be called after [`Self::halt`].
    pub fn finish(&self, device: &mut dyn CameraDevice) {
        device.stop();
        let worker = self.worker.lock().take();
        drop(worker);
        self.state.end();
        self.state.discard();
        self.pool.close();
    }

    /// How to copy frames for a peer that does not see their layout; `None` where they lie as the caps imply.
    pub fn repack(&self) -> Result<Option<Repack>, glib::BoolError> {
        match &self.layout {
            Some(layout) => Repack::new(&self.caps, &layout.offsets, &layout.strides),
            None => Ok(None),
        }
    }

    pub fn state(&self) -> &LoopState {
        &self.state
    }

    /// Waits for the next frame, as a buffer without timestamps. `None` is the end.
    pub fn next(&self) -> Result<Option<(gst::Buffer, Captured)>, gst::FlowError> {
        match self.state.next_delivery(STREAM) {
            Err(Flushing) => Err(gst::FlowError::Flushing),
            Ok(Delivery::Eos) => Ok(None),
            Ok(Delivery::Frame(captured)) => match self.pool.buffer(captured.frame) {
                Ok(buffer) => Ok(Some((buffer, captured))),
                Err(error) => {
                    self.state.returned(STREAM, captured.frame);
                    Err(error)
                }
            },
        }
    }
}

impl Drop for Session {
    /// A session that nobody has stopped leaves no thread behind.
    fn drop(&mut self) {
        self.halt();
    }
}

/// `video/x-bayer` cannot say that lines are longer than their pixels, and nobody converts it.
fn refuse_padded_bayer(
    device: &dyn CameraDevice,
    choice: &Choice,
    agreed: &StreamConfig,
) -> Result<(), CameraError> {
    let Media::Bayer(format) = choice.media else {
        return Ok(());
    };
    let bytes = if format.ends_with("le") { 2 } else { 1 };
    let implied = (agreed.size.width * bytes).next_multiple_of(4);
    if agreed.stride == implied {
        return Ok(());
    }
    let (stride, size) = (agreed.stride, agreed.size);
    let reason = format!(
        "lines of {stride} bytes at {size}, which {format} caps cannot say ({implied}); ask for another width"
    );
    Err(CameraError::Call {
        camera: device.id().to_owned(),
        call: "capturing raw frames",
        reason: io::Error::other(reason),
    })
}

/// Frames that the camera exports; if it cannot (no memory on this machine to make DMABUFs of), memory of ours that the camera is to fill.
/// A camera that cannot write to that gives every frame back unfilled, which the driver takes for the failure that it is.
fn frames(
    device: &mut dyn CameraDevice,
    choice: &Choice,
    agreed: &StreamConfig,
) -> Result<(Vec<FrameLayout>, MemoryKind), CameraError> {
    let refused = match device.export_frames(STREAM) {
        Ok(frames) => return Ok((frames, MemoryKind::DmaBuf)),
        Err(refused) => refused,
    };
    let frames = own_frames(choice, agreed).map_err(|error| CameraError::Allocation {
        camera: device.id().to_owned(),
        reason: error.to_string(),
    })?;
    match device.import_frames(STREAM, &frames) {
        Ok(()) => Ok((frames, MemoryKind::Fd)),
        Err(_) => Err(refused),
    }
}

fn own_frames(choice: &Choice, agreed: &StreamConfig) -> io::Result<Vec<FrameLayout>> {
    let format = match choice.media {
        Media::Raw(format) => Some(format),
        _ => None,
    };
    let planes = packed_planes(format, agreed);
    let size = planes
        .iter()
        .map(|(offset, length)| u64::from(offset + length))
        .max()
        .unwrap_or_default();
    let frame = |_| {
        let fd = Arc::new(memfd::create(
            "libcamera-frame",
            size.max(agreed.frame_size.into()),
        )?);
        let plane = |(offset, length): &(u32, u32)| Plane {
            fd: fd.clone(),
            offset: *offset,
            length: *length,
        };
        Ok(FrameLayout {
            planes: planes.iter().map(plane).collect(),
        })
    };
    (0..agreed.buffer_count.max(1)).map(frame).collect()
}

fn plane_layout(
    choice: &Choice,
    agreed: &StreamConfig,
    frames: &[FrameLayout],
) -> Option<PlaneLayout> {
    let (Media::Raw(format), Some(frame)) = (choice.media, frames.first()) else {
        return None;
    };
    let (offsets, strides) = video_planes(format, agreed, frame, &plane_offsets(frame));
    Some(PlaneLayout {
        format,
        width: agreed.size.width,
        height: agreed.size.height,
        offsets,
        strides,
    })
}
