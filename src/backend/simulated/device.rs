//! A simulated camera behind the traits of every backend.

use super::{
    Camera, Spec,
    picture::Canvas,
    sensor::{Request, Sensor, Shared, Stream},
};
use crate::camera::{
    CameraDevice, CameraError, CameraEvents, ControlInfo, Controls, FrameLayout, FrameSet,
    Orientation, PixelFormat, RequestId, RequestQueue, SensorConfig, Size, Start, StreamConfig,
    StreamFormat, StreamOffer, StreamRole,
};
use crate::sync::Arc;
use std::io;

/// Of each stream.
const MOST_FRAMES: u32 = 64;
const NV12: PixelFormat = PixelFormat::new(b"NV12");
const RAW: PixelFormat = PixelFormat::new(b"RG10");

#[derive(Debug)]
pub struct Device {
    camera: Arc<Camera>,
    configured: Vec<Configured>,
    sensor: Option<Sensor>,
    sensor_config: Option<SensorConfig>,
    wanted: Orientation,
}

#[derive(Debug)]
struct Configured {
    config: StreamConfig,
    frames: Option<Arc<Vec<Canvas>>>,
}

impl Device {
    pub fn new(camera: Arc<Camera>) -> Self {
        Self {
            camera,
            configured: Vec::new(),
            sensor: None,
            sensor_config: None,
            wanted: Orientation::UPRIGHT,
        }
    }

    fn failed(&self, call: &'static str, errno: i32) -> CameraError {
        let reason = io::Error::from_raw_os_error(errno);
        CameraError::Call {
            camera: self.camera.spec.id.clone(),
            call,
            reason,
        }
    }

    fn check_roles(&self, roles: &[StreamRole]) -> Result<(), CameraError> {
        let raw = roles.contains(&StreamRole::Raw);
        let raw_alone = roles.len() == 1 && !self.camera.spec.modes.is_empty();
        let possible = roles.len() <= self.camera.spec.streams && (!raw || raw_alone);
        if possible && !roles.is_empty() {
            return Ok(());
        }
        let roles: Vec<String> = roles.iter().map(StreamRole::to_string).collect();
        Err(CameraError::NoStream {
            camera: self.camera.spec.id.clone(),
            role: roles.join(" and "),
        })
    }
}

/// What a camera makes of what somebody wants.
fn adjusted(spec: &Spec, wanted: &StreamConfig) -> StreamConfig {
    let distance = |size: &&Size| {
        size.width.abs_diff(wanted.size.width) + size.height.abs_diff(wanted.size.height)
    };
    let size = spec
        .sizes
        .iter()
        .min_by_key(distance)
        .copied()
        .unwrap_or(wanted.size);
    let stride = size.width + spec.padding;
    StreamConfig {
        format: NV12,
        size,
        stride,
        frame_size: stride * size.height * 3 / 2,
        buffer_count: match wanted.buffer_count {
            0 => spec.frames,
            count => count.clamp(spec.frames, MOST_FRAMES),
        },
        color_space: None,
    }
}

pub fn offer(spec: &Spec) -> StreamOffer {
    let largest = StreamConfig {
        format: NV12,
        size: Size::new(u32::MAX / 4, u32::MAX / 4),
        stride: 0,
        frame_size: 0,
        buffer_count: 0,
        color_space: None,
    };
    StreamOffer {
        default: adjusted(spec, &largest),
        formats: vec![StreamFormat {
            format: NV12,
            sizes: spec.sizes.clone(),
            range: None,
        }],
    }
}

fn raw_offer(spec: &Spec) -> StreamOffer {
    let sizes: Vec<Size> = spec.modes.iter().map(|(size, _)| *size).collect();
    let size = sizes.first().copied().unwrap_or(Size::new(1, 1));
    let format = |format| StreamFormat {
        format,
        sizes: sizes.clone(),
        range: None,
    };
    StreamOffer {
        default: StreamConfig {
            format: RAW,
            size,
            stride: size.width * 2,
            frame_size: size.width * size.height * 2,
            buffer_count: spec.frames,
            color_space: None,
        },
        formats: vec![format(RAW), format(NV12)],
    }
}

pub fn frame_durations(spec: &Spec, configured: Option<Size>) -> Option<(u64, u64)> {
    let mut interval = spec.interval.as_micros() as u64;
    if spec.slow_at_largest && configured == spec.sizes.last().copied() {
        interval *= 2;
    }
    (interval > 0).then_some((interval, interval))
}

impl CameraDevice for Device {
    fn id(&self) -> &str {
        &self.camera.spec.id
    }

    fn offer(&self, roles: &[StreamRole]) -> Result<Vec<StreamOffer>, CameraError> {
        self.check_roles(roles)?;
        if roles.contains(&StreamRole::Raw) {
            return Ok(vec![raw_offer(&self.camera.spec)]);
        }
        Ok(vec![offer(&self.camera.spec); roles.len()])
    }

    fn frame_durations(&self) -> Option<(u64, u64)> {
        let configured = self.configured.first().map(|first| &first.config);
        if let Some(raw) = configured.filter(|config| config.format == RAW) {
            let modes = &self.camera.spec.modes;
            let (_, shortest) = modes.iter().find(|(size, _)| *size == raw.size)?;
            return Some((shortest.as_micros() as u64, 1_000_000));
        }
        frame_durations(&self.camera.spec, configured.map(|config| config.size))
    }

    fn controls(&self) -> Vec<ControlInfo> {
        self.camera.spec.controls.clone()
    }

    fn set_sensor_config(&mut self, config: Option<SensorConfig>) {
        self.sensor_config = config;
    }

    fn set_orientation(&mut self, wanted: Orientation) {
        self.wanted = wanted;
    }

    /// A camera that cannot do what is wanted does nothing.
    fn orientation(&self) -> Orientation {
        let Spec { mounted, flips, .. } = self.camera.spec;
        let possible = flips && !mounted.to(self.wanted).is_transposing();
        if possible { self.wanted } else { mounted }
    }

    /// Its sensor has the largest of its sizes and ten bits.
    fn validate(
        &self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError> {
        self.check_roles(roles)?;
        let sensor = self.camera.spec.sizes.last();
        let possible = |config: SensorConfig| sensor == Some(&config.size) && config.depth == 10;
        if self.sensor_config.is_some_and(|config| !possible(config)) {
            let camera = self.camera.spec.id.clone();
            let modes = self.sensor_modes();
            let modes = modes.iter().map(ToString::to_string).collect();
            return Err(CameraError::SensorConfig { camera, modes });
        }
        if roles.contains(&StreamRole::Raw) {
            return Ok(wanted.to_vec());
        }
        Ok(wanted
            .iter()
            .map(|wanted| adjusted(&self.camera.spec, wanted))
            .collect())
    }

    fn configure(
        &mut self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError> {
        self.stop();
        self.configured.clear();
        self.camera.script.count_configuration();
        let agreed = self.validate(roles, wanted)?;
        let configured = |config: &StreamConfig| Configured {
            config: config.clone(),
            frames: None,
        };
        self.configured = agreed.iter().map(configured).collect();
        Ok(agreed)
    }

    /// As a camera on a machine without memory for it.
    fn export_frames(&mut self, stream: usize) -> Result<Vec<FrameLayout>, CameraError> {
        if stream >= self.configured.len() {
            return Err(self.failed("using a stream before configuring it", libc::EACCES));
        }
        let reason = io::Error::from_raw_os_error(libc::ENOBUFS).to_string();
        Err(CameraError::Allocation {
            camera: self.id().to_owned(),
            reason,
        })
    }

    fn fills_any_memory(&self) -> bool {
        true
    }

    fn import_frames(&mut self, stream: usize, frames: &[FrameLayout]) -> Result<(), CameraError> {
        let unconfigured = self.failed("using a stream before configuring it", libc::EACCES);
        let camera = self.id().to_owned();
        let configured = self.configured.get_mut(stream).ok_or(unconfigured)?;
        configured.frames = None;
        if frames.iter().any(|frame| frame.planes.is_empty()) {
            let reason = io::Error::from_raw_os_error(libc::EBADF).to_string();
            return Err(CameraError::Allocation { camera, reason });
        }
        let frames: io::Result<Vec<Canvas>> = frames.iter().map(Canvas::new).collect();
        let frames = frames.map_err(|reason| CameraError::Call {
            camera,
            call: "import a frame",
            reason,
        })?;
        configured.frames = Some(Arc::new(frames));
        Ok(())
    }

    fn start(
        &mut self,
        start: &Start,
        events: Arc<dyn CameraEvents>,
    ) -> Result<Box<dyn RequestQueue>, CameraError> {
        if self.sensor.is_some() {
            return Err(self.failed("start a camera that runs", libc::EBUSY));
        }
        if self.camera.script.is_gone() {
            return Err(CameraError::Gone {
                camera: self.id().to_owned(),
            });
        }
        if self.camera.script.refuses_start() {
            return Err(self.failed("start", libc::EIO));
        }
        let stream = |configured: &Configured| {
            Some(Stream {
                config: configured.config.clone(),
                frames: configured.frames.clone()?,
            })
        };
        let streams: Option<Vec<Stream>> = self.configured.iter().map(stream).collect();
        let Some(streams) = streams.filter(|streams| !streams.is_empty()) else {
            return Err(self.failed("starting without frames", libc::EACCES));
        };
        let frames = streams
            .iter()
            .map(|stream| stream.frames.len() as u32)
            .collect();
        let interval = self.camera.spec.interval;
        let sensor = Sensor::start(
            self.id().to_owned(),
            self.camera.script.clone(),
            interval,
            streams,
            events,
        )
        .map_err(|reason| CameraError::Call {
            camera: self.id().to_owned(),
            call: "start",
            reason,
        })?;
        let queue = Queue {
            camera: self.camera.clone(),
            shared: sensor.shared.clone(),
            requests: start.requests,
            frames,
        };
        self.camera.script.tell(Some(&start.controls));
        self.sensor = Some(sensor);
        Ok(Box::new(queue))
    }

    fn stop(&mut self) {
        self.sensor = None;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop();
        *self.camera.taken.lock() = false;
    }
}

struct Queue {
    camera: Arc<Camera>,
    shared: Arc<Shared>,
    requests: u32,
    /// How many each stream has.
    frames: Vec<u32>,
}

impl RequestQueue for Queue {
    fn queue(
        &mut self,
        request: RequestId,
        frames: &FrameSet,
        _same_frames: bool,
        controls: Option<&Controls>,
    ) -> Result<(), CameraError> {
        let failed = |call, errno| {
            let reason = io::Error::from_raw_os_error(errno);
            Err(CameraError::Call {
                camera: self.camera.spec.id.clone(),
                call,
                reason,
            })
        };
        let counts = self.frames.iter().copied().chain(std::iter::repeat(0));
        let known = |(frame, count): (&Option<_>, u32)| {
            frame.is_none_or(|frame: crate::camera::FrameId| frame.0 < count)
        };
        if request.0 >= self.requests || !frames.iter().zip(counts).all(known) {
            return failed("queue an unknown request or frame", libc::EINVAL);
        }
        if self.camera.script.refuses_queue() {
            return failed("queue a request", libc::EIO);
        }
        if self.camera.script.is_gone() {
            return Err(CameraError::Gone {
                camera: self.camera.spec.id.clone(),
            });
        }
        let told = self.camera.script.tell(controls);
        let request = Request {
            id: request,
            frames: *frames,
            told,
        };
        if self.shared.queue(request) {
            Ok(())
        } else {
            failed("queue a request", libc::EACCES)
        }
    }
}
