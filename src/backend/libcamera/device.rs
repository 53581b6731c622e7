//! libcamera behind the traits of every backend.

use super::{
    camera::Acquired,
    configuration::{Configuration, Validity},
    frame_buffer::FrameBuffers,
    manager::CameraManager,
    request::Requests,
    signals::Signals,
};
use crate::camera::{
    CameraDevice, CameraError, CameraEvents, CameraInfo, CameraSystem, FrameLayout, PixelFormat,
    StreamConfig, StreamFormat, StreamRole, Streaming,
};
use crate::sync::Arc;
use libcamera_sys as sys;
use std::io;

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
        let info = |camera: super::camera::Camera| CameraInfo {
            id: camera.id(),
            model: camera.model(),
        };
        Ok(self.0.cameras().into_iter().map(info).collect())
    }

    fn acquire(&self, id: &str) -> Result<Box<dyn CameraDevice>, CameraError> {
        let Some(camera) = self.0.camera(id) else {
            return Err(CameraError::Unknown {
                wanted: id.to_owned(),
                known: self
                    .cameras()?
                    .into_iter()
                    .map(|camera| camera.id)
                    .collect(),
            });
        };
        Ok(Box::new(Device {
            camera: camera.acquire()?,
            configured: None,
            frames: None,
        }))
    }
}

struct Configured {
    stream: *mut sys::libcamera_stream_t,
    format: PixelFormat,
}

/// A camera that is ours, for one stream. The frames go before the camera.
struct Device {
    frames: Option<Arc<FrameBuffers>>,
    configured: Option<Configured>,
    camera: Arc<Acquired>,
}

// SAFETY: the stream belongs to the camera, which is held; it is only handed to calls that the camera serialises.
unsafe impl Send for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("libcamera::Device")
            .field(&self.camera)
            .finish()
    }
}

impl Device {
    fn generate(&self, role: StreamRole) -> Result<Configuration, CameraError> {
        self.camera
            .generate_configuration(role)
            .ok_or_else(|| CameraError::NoStream {
                camera: self.id().to_owned(),
                role: role.to_string(),
            })
    }

    fn validated(
        &self,
        role: StreamRole,
        wanted: &StreamConfig,
    ) -> Result<Configuration, CameraError> {
        let mut configuration = self.generate(role)?;
        configuration.set(wanted);
        match configuration.validate() {
            Validity::Valid | Validity::Adjusted => Ok(configuration),
            Validity::Invalid => Err(self.failed("validate a configuration", libc::EINVAL)),
        }
    }

    fn stream(&self) -> Result<&Configured, CameraError> {
        self.configured
            .as_ref()
            .ok_or_else(|| self.failed("using a stream before configuring it", libc::EACCES))
    }

    fn failed(&self, call: &'static str, errno: i32) -> CameraError {
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

    fn offer(&self, role: StreamRole) -> Result<(StreamConfig, Vec<StreamFormat>), CameraError> {
        let configuration = self.generate(role)?;
        Ok((configuration.get(), configuration.formats()))
    }

    fn frame_durations(&self) -> Option<(u64, u64)> {
        self.camera.frame_durations()
    }

    fn validate(
        &self,
        role: StreamRole,
        wanted: &StreamConfig,
    ) -> Result<StreamConfig, CameraError> {
        self.validated(role, wanted)
            .map(|configuration| configuration.get())
    }

    fn configure(
        &mut self,
        role: StreamRole,
        wanted: &StreamConfig,
    ) -> Result<StreamConfig, CameraError> {
        self.stop();
        self.configured = None;
        self.frames = None;
        let mut configuration = self.validated(role, wanted)?;
        self.camera.configure(&mut configuration)?;
        let agreed = configuration.get();
        self.configured = Some(Configured {
            stream: configuration.stream(),
            format: agreed.format,
        });
        Ok(agreed)
    }

    fn export_frames(&mut self) -> Result<Vec<FrameLayout>, CameraError> {
        self.frames = None;
        let (frames, layouts) = FrameBuffers::export(&self.camera, self.stream()?.stream)?;
        self.frames = Some(Arc::new(frames));
        Ok(layouts)
    }

    fn import_frames(&mut self, frames: &[FrameLayout]) -> Result<(), CameraError> {
        self.frames = None;
        self.stream()?;
        self.frames = Some(Arc::new(FrameBuffers::import(&self.camera, frames)?));
        Ok(())
    }

    fn start(
        &mut self,
        requests: u32,
        frame_duration: Option<u64>,
        events: Arc<dyn CameraEvents>,
    ) -> Result<Streaming, CameraError> {
        let configured = self.stream()?;
        let stream = configured.stream;
        let compressed = configured.format == PixelFormat::new(b"MJPG");
        let Some(frames) = &self.frames else {
            return Err(self.failed("starting without frames", libc::EACCES));
        };
        let mut requests = Requests::new(&self.camera, stream, frames, requests)?;
        let run = self.camera.start(frame_duration, || {
            Signals::connect(&self.camera, stream, compressed, events)
        })?;
        requests.belong_to(run);
        Ok(Box::new(requests))
    }

    fn stop(&mut self) {
        self.camera.stop();
    }
}
