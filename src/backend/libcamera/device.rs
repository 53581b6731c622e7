//! libcamera behind the traits of every backend.

use super::{
    camera::{Acquired, Camera},
    configuration::{Configuration, Validity},
    frame_buffer::FrameBuffers,
    manager::CameraManager,
    orientation,
    request::{RequestStream, Requests},
    signals::{Run, Stream},
};
use crate::camera::{
    CameraDescription, CameraDevice, CameraError, CameraEvents, CameraInfo, CameraSystem,
    CameraWatcher, ControlInfo, FrameLayout, Orientation, RequestQueue, SensorConfig, Start,
    StreamConfig, StreamOffer, StreamRole,
};
use crate::sync::{Arc, Mutex};
use libcamera_sys as sys;
use std::{fmt, io};

/// The cameras of libcamera. The process's camera manager runs while a value of this type, or a camera of it, is held.
#[derive(Debug)]
pub struct Libcamera(CameraManager);

impl Libcamera {
    pub fn new() -> Result<Self, CameraError> {
        CameraManager::obtain().map(Self)
    }
}

impl CameraSystem for Libcamera {
    fn cameras(&self) -> Result<Vec<CameraInfo>, CameraError> {
        let cameras = self.0.cameras();
        Ok(cameras.iter().map(Camera::info).collect())
    }

    fn describe(&self, id: &str) -> Result<CameraDescription, CameraError> {
        let camera = self.camera(id)?;
        let offered = |role: StreamRole| {
            let configuration = camera.generate_configuration(&[role])?;
            configuration.offers().into_iter().next()
        };
        let offer = ROLES.into_iter().find_map(offered);
        Ok(CameraDescription {
            offer: offer.ok_or_else(|| CameraError::NoStream {
                camera: id.to_owned(),
                role: "any role".to_owned(),
            })?,
            info: camera.info(),
            properties: camera.properties(),
            frame_durations: camera.frame_durations(),
        })
    }

    fn acquire(&self, id: &str) -> Result<Box<dyn CameraDevice>, CameraError> {
        Ok(Box::new(Device {
            camera: self.camera(id)?.acquire()?,
            configured: Vec::new(),
            sensor: None,
            wanted: Orientation::UPRIGHT,
            orientation: Orientation::UPRIGHT,
        }))
    }

    fn watch(&self, watcher: Arc<dyn CameraWatcher>) -> Box<dyn fmt::Debug + Send> {
        Box::new(self.0.watch(watcher))
    }
}

impl Libcamera {
    fn camera(&self, id: &str) -> Result<Camera, CameraError> {
        self.0.camera(id).ok_or_else(|| CameraError::Unknown {
            wanted: id.to_owned(),
            known: self.0.cameras().iter().map(Camera::id).collect(),
        })
    }
}

/// In the order in which a camera is described by one of them.
const ROLES: [StreamRole; 4] = [
    StreamRole::VideoRecording,
    StreamRole::ViewFinder,
    StreamRole::StillCapture,
    StreamRole::Raw,
];

/// A configured stream, and its frames once there are any.
struct Configured {
    /// It belongs to the camera.
    stream: *mut sys::libcamera_stream_t,
    frames: Option<Arc<FrameBuffers>>,
}

/// A camera that is ours. The frames go before the camera.
struct Device {
    configured: Vec<Configured>,
    sensor: Option<SensorConfig>,
    /// How pictures are to lie, and how they do.
    wanted: Orientation,
    orientation: Orientation,
    camera: Arc<Acquired>,
}

// SAFETY: the streams belong to the camera, which is held; they are only handed to calls that the camera serialises.
unsafe impl Send for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("libcamera::Device")
            .field(&self.camera)
            .finish()
    }
}

impl Device {
    fn generate(&self, roles: &[StreamRole]) -> Result<Configuration, CameraError> {
        self.camera.generate_configuration(roles).ok_or_else(|| {
            if self.camera.is_gone() {
                return self.failed("generate a configuration", libc::ENODEV);
            }
            let roles: Vec<String> = roles.iter().map(StreamRole::to_string).collect();
            CameraError::NoStream {
                camera: self.id().to_owned(),
                role: roles.join(" and "),
            }
        })
    }

    fn validated(
        &self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Configuration, CameraError> {
        let mut configuration = self.generate(roles)?;
        configuration.set(wanted);
        orientation::ask(&mut configuration, self.wanted);
        if let Some(sensor) = &self.sensor {
            configuration.set_sensor(sensor);
        }
        match configuration.validate() {
            Validity::Valid | Validity::Adjusted => Ok(configuration),
            Validity::Invalid if self.camera.is_gone() => {
                Err(self.failed("validate a configuration", libc::ENODEV))
            }
            Validity::Invalid if self.sensor.is_some() => Err(CameraError::SensorConfig {
                camera: self.id().to_owned(),
                modes: self
                    .sensor_modes()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            }),
            Validity::Invalid => Err(self.failed("validate a configuration", libc::EINVAL)),
        }
    }

    fn configured(
        &mut self,
        stream: usize,
    ) -> Result<(&mut Configured, Arc<Acquired>), CameraError> {
        let camera = self.camera.clone();
        match self.configured.get_mut(stream) {
            Some(configured) => Ok((configured, camera)),
            None => Err(CameraError::Call {
                camera: camera.id().to_owned(),
                call: "using a stream before configuring it",
                reason: io::Error::from_raw_os_error(libc::EACCES),
            }),
        }
    }

    fn failed(&self, call: &'static str, errno: i32) -> CameraError {
        if errno == libc::ENODEV {
            return CameraError::Gone {
                camera: self.id().to_owned(),
            };
        }
        CameraError::Call {
            camera: self.id().to_owned(),
            call,
            reason: io::Error::from_raw_os_error(errno),
        }
    }
}

impl CameraDevice for Device {
    fn id(&self) -> &str {
        self.camera.id()
    }

    fn offer(&self, roles: &[StreamRole]) -> Result<Vec<StreamOffer>, CameraError> {
        Ok(self.generate(roles)?.offers())
    }

    fn frame_durations(&self) -> Option<(u64, u64)> {
        self.camera.frame_durations()
    }

    fn controls(&self) -> Vec<ControlInfo> {
        self.camera.controls()
    }

    fn set_sensor_config(&mut self, config: Option<SensorConfig>) {
        self.sensor = config;
    }

    fn set_orientation(&mut self, wanted: Orientation) {
        self.wanted = wanted;
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn validate(
        &self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError> {
        Ok(self.validated(roles, wanted)?.get())
    }

    fn configure(
        &mut self,
        roles: &[StreamRole],
        wanted: &[StreamConfig],
    ) -> Result<Vec<StreamConfig>, CameraError> {
        self.stop();
        self.configured.clear();
        let mut configuration = self.validated(roles, wanted)?;
        self.camera.configure(&mut configuration)?;
        self.orientation = orientation::of(&self.camera, &configuration);
        let agreed = configuration.get();
        let streams = configuration.streams().into_iter();
        self.configured = streams
            .map(|raw| Configured {
                stream: raw,
                frames: None,
            })
            .collect();
        Ok(agreed)
    }

    fn export_frames(&mut self, stream: usize) -> Result<Vec<FrameLayout>, CameraError> {
        let (configured, camera) = self.configured(stream)?;
        configured.frames = None;
        let (frames, layouts) = FrameBuffers::export(&camera, configured.stream)?;
        configured.frames = Some(Arc::new(frames));
        Ok(layouts)
    }

    fn fills_any_memory(&self) -> bool {
        self.camera.handler().as_deref() == Some("virtual")
    }

    fn import_frames(&mut self, stream: usize, frames: &[FrameLayout]) -> Result<(), CameraError> {
        let (configured, camera) = self.configured(stream)?;
        configured.frames = None;
        configured.frames = Some(Arc::new(FrameBuffers::import(&camera, frames)?));
        Ok(())
    }

    fn start(
        &mut self,
        start: &Start,
        events: Arc<dyn CameraEvents>,
    ) -> Result<Box<dyn RequestQueue>, CameraError> {
        let with_frames = |configured: &Configured| {
            Some(RequestStream {
                raw: configured.stream,
                buffers: configured.frames.clone()?,
            })
        };
        let streams: Option<Vec<RequestStream>> = self.configured.iter().map(with_frames).collect();
        let Some(streams) = streams.filter(|streams| !streams.is_empty()) else {
            return Err(self.failed("starting without frames", libc::EACCES));
        };
        let mut requests = Requests::new(&self.camera, streams, start.requests)?;
        let run = Run {
            events,
            streams: self
                .configured
                .iter()
                .map(|configured| Stream {
                    raw: configured.stream,
                    written: configured
                        .frames
                        .as_ref()
                        .map_or_else(Vec::new, |frames| frames.written()),
                })
                .collect(),
            in_flight: requests.in_flight(),
            doubt: requests.doubt(),
            metadata: Mutex::default(),
        };
        let run = self.camera.start(start, run)?;
        requests.belong_to(run);
        Ok(Box::new(requests))
    }

    fn stop(&mut self) {
        self.camera.stop();
    }
}
