//! One stream of a session: what it delivers, its frames and their pool.

use crate::camera::{CameraDevice, CameraError, FrameId, FrameLayout, Plane, StreamConfig};
use crate::histogram::Histogram;
use crate::memory::frame::{MemoryKind, plane_offsets};
use crate::memory::pool::{FramePool, PlaneLayout};
use crate::os::memfd;
use crate::sync::{Arc, Mutex};
use crate::video::caps::{Choice, Offer};
use crate::video::format::Media;
use crate::video::layout::{frame_end, packed_planes, video_planes};
use crate::video::repack::Repack;
use std::io;

pub struct SessionStream {
    pub caps: gst::Caps,
    pub frames: u32,
    /// Bytes of a frame up to the end of its last line. Its memory may be longer. `None` for formats whose frames differ in size.
    pub size: Option<usize>,
    /// From a frame's completion until its pad's thread pushes it.
    pub hand_over: Mutex<Histogram>,
    pub pool: FramePool,
    /// Whether its peer takes frames as DMABUFs, and only so.
    pub is_dmabuf: bool,
    layout: Option<PlaneLayout>,
}

/// The frames of a stream, and how they lie.
pub struct Frames {
    pub layouts: Vec<FrameLayout>,
    kind: MemoryKind,
    planes: Option<PlaneLayout>,
}

impl Frames {
    /// Has the camera make frames for its stream number `index`, or makes them for it.
    pub fn new(
        device: &mut dyn CameraDevice,
        index: usize,
        choice: &Choice,
        agreed: &StreamConfig,
    ) -> Result<Self, CameraError> {
        let (layouts, kind) = frames(device, index, choice, agreed)?;
        refuse_padded_bayer(device, choice, agreed)?;
        Ok(Self {
            planes: plane_layout(choice, agreed, &layouts),
            layouts,
            kind,
        })
    }
}

impl SessionStream {
    /// `returned` is called in whatever thread drops the last memory of a frame.
    pub fn new(
        offer: &Offer,
        choice: &Choice,
        agreed: &StreamConfig,
        frames: Frames,
        returned: impl Fn(FrameId) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        let layout = frames.planes;
        Ok(Self {
            is_dmabuf: choice.media.is_dmabuf(),
            caps: offer.fixed_caps(choice, agreed),
            frames: frames.layouts.len() as u32,
            size: match (&layout, choice.media) {
                (Some(layout), _) => Some(frame_end(layout.format, agreed, &layout.offsets)),
                (None, Media::Bayer(_)) => Some((agreed.stride * agreed.size.height) as usize),
                (None, _) => None,
            },
            hand_over: Mutex::default(),
            pool: FramePool::new(&frames.layouts, frames.kind, layout.clone(), returned)?,
            layout,
        })
    }

    /// How to copy frames for a peer that does not see their layout; `None` where they lie as the caps imply, or where a copy would be of another
    /// kind of memory.
    pub fn repack(&self) -> Result<Option<Repack>, glib::BoolError> {
        match &self.layout {
            Some(layout) if !self.is_dmabuf => {
                Repack::new(&self.caps, &layout.offsets, &layout.strides)
            }
            _ => Ok(None),
        }
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
    index: usize,
    choice: &Choice,
    agreed: &StreamConfig,
) -> Result<(Vec<FrameLayout>, MemoryKind), CameraError> {
    let refused = match device.export_frames(index) {
        Ok(frames) => return Ok((frames, MemoryKind::DmaBuf)),
        Err(refused) if choice.media.is_dmabuf() => return Err(refused),
        Err(refused) => refused,
    };
    let frames = own_frames(choice, agreed).map_err(|error| CameraError::Allocation {
        camera: device.id().to_owned(),
        reason: error.to_string(),
    })?;
    match device.import_frames(index, &frames) {
        Ok(()) => Ok((frames, MemoryKind::Fd)),
        Err(_) => Err(refused),
    }
}

fn own_frames(choice: &Choice, agreed: &StreamConfig) -> io::Result<Vec<FrameLayout>> {
    let planes = packed_planes(choice.media.video_format(), agreed);
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
    let (format, frame) = (choice.media.video_format()?, frames.first()?);
    let (offsets, strides) = video_planes(format, agreed, frame, &plane_offsets(frame));
    Some(PlaneLayout {
        format,
        width: agreed.size.width,
        height: agreed.size.height,
        offsets,
        strides,
    })
}
