//! The frames of a stream: whose memory they are, and how they lie in it.

use crate::camera::{CameraDevice, CameraError, FrameLayout, Plane, StreamConfig};
use crate::memory::frame::{MemoryKind, plane_offsets};
use crate::memory::import::{Held, Imported, Need, Source, Unfit};
use crate::memory::pool::PlaneLayout;
use crate::memory::slots::{SlotArea, SlotSource};
use crate::os::{dmabuf, memfd};
use crate::sync::Arc;
use crate::video::caps::{Choice, Offer};
use crate::video::format::Media;
use crate::video::layout::{packed_planes, video_planes};
use std::{io, os::fd::OwnedFd};

/// Whose memory the camera is to fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLibcameraRsIoMode")]
pub enum IoMode {
    #[default]
    #[enum_value(
        name = "Downstream's where it fits, otherwise the camera's own, otherwise of ours",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "The camera's own, which it exports", nick = "dmabuf")]
    Dmabuf,
    #[enum_value(
        name = "Downstream's where it fits, otherwise of ours",
        nick = "dmabuf-import"
    )]
    DmabufImport,
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Exported,
    /// Of downstream's pool or allocator.
    Peer,
    /// DMABUFs of ours.
    Heap,
    /// Anonymous memory of ours, which is no DMABUF.
    Memfd,
}

impl Origin {
    pub fn nick(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Peer => "downstream",
            Self::Heap => "dma-heap",
            Self::Memfd => "memfd",
        }
    }
}

/// Memory that a pad's peer has for frames of these caps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMemory {
    pub caps: gst::Caps,
    pub source: Source,
}

impl PeerMemory {
    /// What there is of it by now.
    pub fn refreshed(self) -> Option<Self> {
        let Self { caps, source } = self;
        let source = source.refreshed()?;
        Some(Self { caps, source })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Io {
    pub mode: IoMode,
    pub peer: Option<PeerMemory>,
    /// Why the camera is not given that, where it has refused it.
    pub refused: Option<String>,
    /// Frames that are wanted; 0: as many as the camera says.
    pub frames: u32,
}

impl Io {
    /// Memory of downstream's that may be used.
    fn peer(&self) -> Option<&PeerMemory> {
        self.peer.as_ref().filter(|_| self.mode != IoMode::Dmabuf)
    }

    /// Whether the camera is given it, if it fits.
    pub fn tries_peer(&self) -> bool {
        self.peer().is_some() && self.refused.is_none()
    }
}

/// Slots of another element's area.
pub struct SlotFrames {
    pub source: Arc<dyn SlotSource>,
    pub area: SlotArea,
    pub size: usize,
    pub at_a_time: usize,
}

/// The frames of a stream, and how they lie.
pub struct Frames {
    pub layouts: Vec<FrameLayout>,
    pub kind: MemoryKind,
    pub origin: Origin,
    /// Why they are not the peer's, where that has memory.
    pub unfit: Option<Unfit>,
    pub held: Option<Held>,
    /// They are slots, and so many are the camera's at a time.
    pub slots: Option<SlotFrames>,
    pub planes: Option<PlaneLayout>,
}

impl Frames {
    /// For the camera's stream number `index`, which is configured.
    pub fn new(
        device: &mut dyn CameraDevice,
        index: usize,
        offer: &Offer,
        choice: &Choice,
        agreed: &StreamConfig,
        io: &Io,
    ) -> Result<Self, CameraError> {
        refuse_padded_bayer(device, choice, agreed)?;
        let imported = io.peer().map(|peer| match &io.refused {
            Some(why) => Err(Unfit::Camera(why.clone())),
            None => import(device, index, offer, choice, agreed, peer),
        });
        let unfit = match imported {
            Some(Ok(frames)) => return Ok(frames),
            Some(Err(unfit)) => Some(unfit),
            None => None,
        };
        let (layouts, origin) = made(device, index, choice, agreed, io)?;
        Ok(Self {
            planes: plane_layout(choice, agreed, &layouts),
            kind: match origin {
                Origin::Memfd => MemoryKind::Fd,
                _ => MemoryKind::DmaBuf,
            },
            held: None,
            slots: None,
            layouts,
            origin,
            unfit,
        })
    }
}

fn import(
    device: &mut dyn CameraDevice,
    index: usize,
    offer: &Offer,
    choice: &Choice,
    agreed: &StreamConfig,
    peer: &PeerMemory,
) -> Result<Frames, Unfit> {
    let caps = offer.fixed_caps(choice, agreed);
    if caps != peer.caps {
        return Err(Unfit::Refused);
    }
    let lengths = plane_lengths(choice, agreed);
    let packed = packed_layout(choice, agreed);
    let need = Need {
        caps: &caps,
        size: lengths.iter().sum::<u32>().max(agreed.frame_size) as usize,
        frames: agreed.buffer_count.max(1) as usize,
        layout: packed.as_ref(),
        planes: &lengths,
        dmabuf: choice.media.is_dmabuf(),
        anywhere: device.fills_any_memory(),
    };
    if let Source::Slots { size, .. } = &peer.source {
        let slots = peer.source.import_slots(&need)?;
        device
            .import_frames(index, &slots.layouts)
            .map_err(|error| Unfit::Camera(error.to_string()))?;
        return Ok(Frames {
            layouts: slots.layouts,
            kind: MemoryKind::Fd,
            origin: Origin::Peer,
            unfit: None,
            held: None,
            slots: Some(SlotFrames {
                at_a_time: need.frames.min(slots.area.most),
                source: slots.source,
                area: slots.area,
                size: *size,
            }),
            planes: packed,
        });
    }
    let Imported {
        held,
        layouts,
        planes,
    } = peer.source.import(&need)?;
    match device.import_frames(index, &layouts) {
        Ok(()) => Ok(Frames {
            layouts,
            kind: MemoryKind::DmaBuf,
            origin: Origin::Peer,
            unfit: None,
            held: Some(held),
            slots: None,
            planes,
        }),
        Err(error) => Err(Unfit::Camera(error.to_string())),
    }
}

/// Frames that the camera exports; if it cannot (no memory on this machine to make DMABUFs of), or is not to, memory of ours that the camera is to
/// fill. A camera that cannot write to that gives every frame back unfilled, which the driver takes for the failure that it is.
fn made(
    device: &mut dyn CameraDevice,
    index: usize,
    choice: &Choice,
    agreed: &StreamConfig,
    io: &Io,
) -> Result<(Vec<FrameLayout>, Origin), CameraError> {
    let mode = io.mode;
    let mut refused = None;
    if mode != IoMode::DmabufImport {
        match device.export_frames(index) {
            Ok(frames) => return Ok((frames, Origin::Exported)),
            Err(error) if choice.media.is_dmabuf() || mode == IoMode::Dmabuf => return Err(error),
            Err(error) => refused = Some(error),
        }
    }
    let (frames, origin) =
        own_frames(choice, agreed, io).map_err(|error| CameraError::Allocation {
            camera: device.id().to_owned(),
            reason: error.to_string(),
        })?;
    match device.import_frames(index, &frames) {
        Ok(()) => Ok((frames, origin)),
        Err(error) => Err(refused.unwrap_or(error)),
    }
}

/// DMABUFs where they are asked for and to be had, otherwise anonymous memory.
fn own_frames(
    choice: &Choice,
    agreed: &StreamConfig,
    io: &Io,
) -> io::Result<(Vec<FrameLayout>, Origin)> {
    let planes = packed_planes(choice.media.video_format(), agreed);
    let end = planes.iter().map(|(offset, length)| offset + length).max();
    let size = u64::from(end.unwrap_or_default().max(agreed.frame_size));
    let all = |file: &dyn Fn() -> io::Result<OwnedFd>| -> io::Result<Vec<FrameLayout>> {
        let frame = |_| {
            let fd = Arc::new(file()?);
            let plane = |(offset, length): &(u32, u32)| Plane {
                fd: fd.clone(),
                offset: *offset,
                length: *length,
            };
            Ok(FrameLayout {
                planes: planes.iter().map(plane).collect(),
            })
        };
        // Of ours there can be more than the camera takes at a time, for consumers that hold some.
        (0..agreed.buffer_count.max(io.frames).max(1))
            .map(frame)
            .collect()
    };
    if io.mode == IoMode::DmabufImport {
        match all(&|| dmabuf::create(NAME, size)) {
            Ok(frames) => return Ok((frames, Origin::Heap)),
            Err(error) if choice.media.is_dmabuf() => return Err(error),
            Err(_) => (),
        }
    }
    Ok((all(&|| memfd::create_sealed(NAME, size))?, Origin::Memfd))
}

const NAME: &str = "libcamera-frame";

/// Bytes of each plane of a frame.
pub fn plane_lengths(choice: &Choice, agreed: &StreamConfig) -> Vec<u32> {
    let planes = packed_planes(choice.media.video_format(), agreed);
    planes.into_iter().map(|(_, length)| length).collect()
}

/// How the planes lie where each follows the one before, in lines as long as the camera's.
fn packed_layout(choice: &Choice, agreed: &StreamConfig) -> Option<PlaneLayout> {
    let format = choice.media.video_format()?;
    let planes = packed_planes(Some(format), agreed);
    let offsets: Vec<usize> = planes.iter().map(|(offset, _)| *offset as usize).collect();
    // Of a frame with a memory plane for each plane of the format.
    let frame = FrameLayout { planes: Vec::new() };
    let (_, strides) = video_planes(format, agreed, &frame, &offsets);
    Some(PlaneLayout {
        format,
        width: agreed.size.width,
        height: agreed.size.height,
        offsets,
        strides,
    })
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
    Err(CameraError::RawLines {
        camera: device.id().to_owned(),
        size: agreed.size,
        format,
        stride: agreed.stride,
        implied,
    })
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
