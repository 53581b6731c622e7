//! A buffer's bytes, laid out as readers expect them.
//!
//! A reader knows the caps and nothing else, so raw video must have the strides and plane offsets that the caps imply. Buffers with a
//! GstVideoMeta may have others; they are repacked in the one copy that is made anyway.

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(
        "a buffer's memory cannot be read ({0} bytes of it could). Check that the element before the sink gives readable memory"
    )]
    Unreadable(usize),
    #[error("a video frame cannot be mapped: {0}. Put videoconvert before the sink")]
    Unmappable(#[from] glib::BoolError),
    #[error(
        "a buffer of {size} bytes is too small for the planes that its GstVideoMeta describes. Put videoconvert before the sink"
    )]
    MetaBeyondBuffer { size: usize },
    #[error(
        "a buffer holds {found:?} frames where the caps say {expected:?}. Put videoconvert before the sink"
    )]
    OtherFormat {
        found: gst_video::VideoFormat,
        expected: gst_video::VideoFormat,
    },
    #[error("a slot has no room for its frame. Please report this")]
    NoRoom,
}

/// What the caps say about the buffers.
#[derive(Debug)]
pub(super) enum Format {
    /// Nothing: the bytes are sent as they are.
    Bytes,
    Video(Box<gst_video::VideoInfo>),
}

impl Format {
    pub fn from_caps(caps: &gst::CapsRef) -> Self {
        let raw = caps
            .structure(0)
            .is_some_and(|structure| structure.name() == "video/x-raw");
        match gst_video::VideoInfo::from_caps(caps) {
            Ok(info) if raw && info.size() > 0 => Self::Video(Box::new(info)),
            _ => Self::Bytes,
        }
    }

    /// How large frames are going to be, if the caps say it.
    pub fn planned_size(&self) -> Option<usize> {
        match self {
            Self::Bytes => None,
            Self::Video(info) => Some(info.size()),
        }
    }

    /// How many bytes of this buffer's are sent.
    pub fn sent_size(&self, buffer: &gst::BufferRef) -> usize {
        match self {
            Self::Video(info)
                if buffer.size() > 0 && buffer.meta::<gst_video::VideoMeta>().is_some() =>
            {
                info.size()
            }
            _ => buffer.size(),
        }
    }

    /// Copies the frame into `slot`, which has [`sent_size`](Self::sent_size) bytes.
    pub fn copy(&self, buffer: &gst::BufferRef, slot: &mut [u8]) -> Result<(), FrameError> {
        match (self, buffer.meta::<gst_video::VideoMeta>()) {
            (Self::Video(info), Some(meta)) if !is_canonical(info, &meta) => {
                repack(info, &meta, buffer, slot)
            }
            _ => copy_bytes(buffer, slot),
        }
    }
}

fn is_canonical(info: &gst_video::VideoInfo, meta: &gst_video::VideoMeta) -> bool {
    meta.format() == info.format()
        && (meta.width(), meta.height()) == (info.width(), info.height())
        && meta.stride() == info.stride()
        && meta.offset() == info.offset()
}

/// All memories of the buffer, one after the other. What the buffer lacks is zero.
fn copy_bytes(buffer: &gst::BufferRef, slot: &mut [u8]) -> Result<(), FrameError> {
    let (bytes, rest) = slot.split_at_mut(slot.len().min(buffer.size()));
    buffer
        .copy_to_slice(0, bytes)
        .map_err(FrameError::Unreadable)?;
    rest.fill(0);
    Ok(())
}

fn repack(
    info: &gst_video::VideoInfo,
    meta: &gst_video::VideoMeta,
    buffer: &gst::BufferRef,
    slot: &mut [u8],
) -> Result<(), FrameError> {
    if meta.format() != info.format() {
        return Err(FrameError::OtherFormat {
            found: meta.format(),
            expected: info.format(),
        });
    }
    let Some(planes) = plain_planes(info, meta) else {
        return repack_by_library(info, buffer, slot);
    };
    let size = buffer.size();
    let within = planes.iter().zip(meta.offset()).all(|(plane, offset)| {
        let last_row = plane.source_stride * plane.rows.saturating_sub(1);
        offset + last_row + plane.row_bytes <= size
    });
    if !within {
        return Err(FrameError::MetaBeyondBuffer { size });
    }
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)?;
    for (plane, number) in planes.iter().zip(0..) {
        let source = frame.plane_data(number)?;
        let target = slot
            .get_mut(plane.target_offset..)
            .ok_or(FrameError::NoRoom)?;
        let rows = source
            .chunks(plane.source_stride)
            .zip(target.chunks_mut(plane.target_stride))
            .take(plane.rows);
        for (from, to) in rows {
            let bytes = plane.row_bytes.min(from.len()).min(to.len());
            to[..bytes].copy_from_slice(&from[..bytes]);
        }
    }
    Ok(())
}

struct Plane {
    source_stride: usize,
    target_stride: usize,
    target_offset: usize,
    row_bytes: usize,
    rows: usize,
}

/// The planes of a format whose rows are just pixels side by side, top to bottom; `None` for every other.
fn plain_planes(info: &gst_video::VideoInfo, meta: &gst_video::VideoMeta) -> Option<Vec<Plane>> {
    let format = info.format_info();
    if format.is_tiled() || format.has_palette() || meta.n_planes() != info.n_planes() {
        return None;
    }
    // A frame of another size is a mistake upstream; what both have is copied.
    let width = info.width().min(meta.width());
    let height = info.field_height().min(meta.height());
    meta.stride()
        .iter()
        .zip(info.stride())
        .zip(info.offset())
        .zip(0u32..)
        .map(|(((source_stride, target_stride), target_offset), plane)| {
            let component = u8::try_from(*format.component(plane).first()?).ok()?;
            let pixel = usize::try_from(info.comp_pstride(component)).ok()?;
            let source_stride = usize::try_from(*source_stride).ok()?;
            let target_stride = usize::try_from(*target_stride).ok()?;
            let row_bytes = pixel * format.scale_width(component, width) as usize;
            (row_bytes > 0 && row_bytes <= source_stride && row_bytes <= target_stride).then_some(
                Plane {
                    source_stride,
                    target_stride,
                    target_offset: *target_offset,
                    row_bytes,
                    rows: format.scale_height(component, height) as usize,
                },
            )
        })
        .collect()
}

/// Tiles, palettes, packed bits and rows from bottom to top: rare enough for a second copy.
fn repack_by_library(
    info: &gst_video::VideoInfo,
    buffer: &gst::BufferRef,
    slot: &mut [u8],
) -> Result<(), FrameError> {
    let mut canonical = gst::Buffer::with_size(info.size())?;
    {
        let source = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)?;
        let target = canonical.get_mut().ok_or(FrameError::Unreadable(0))?;
        let mut target = gst_video::VideoFrameRef::from_buffer_ref_writable(target, info)?;
        source.copy(&mut target)?;
    }
    copy_bytes(&canonical, slot)
}
