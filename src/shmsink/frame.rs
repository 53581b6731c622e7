//! A buffer's bytes, laid out as readers expect them.
//!
//! A reader knows the caps and nothing else, so raw video must have the strides and plane offsets that the caps imply. Buffers with a
//! GstVideoMeta may have others; they are repacked in the one copy that is made anyway. What a GstVideoMeta says is a claim: no byte is read
//! before it is known to lie in the buffer's memory.

use std::ops::Range;

use crate::os::copy::{LARGE, copy};

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(
        "a buffer's memory cannot be read ({0} bytes of it could). Check that the element before the sink gives readable memory"
    )]
    Unreadable(usize),
    #[error(
        "a buffer's memory cannot be mapped: {0}. Check that the element before the sink gives readable memory"
    )]
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
    #[error(
        "the planes of a buffer's {0:?} frame lie in a way that cannot be repacked. Let videoconvert make another format before the sink"
    )]
    OtherPlanes(gst_video::VideoFormat),
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

    pub fn video(&self) -> Option<&gst_video::VideoInfo> {
        match self {
            Self::Bytes => None,
            Self::Video(info) => Some(info),
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

    /// The buffer's bytes are those that are sent.
    pub fn is_as_sent(&self, buffer: &gst::BufferRef) -> bool {
        let meta = buffer.meta::<gst_video::VideoMeta>();
        match (self, meta) {
            (Self::Video(info), Some(meta)) if !is_canonical(info, &meta) => false,
            _ => buffer.size() == self.sent_size(buffer),
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
    if bytes.len() < LARGE {
        buffer
            .copy_to_slice(0, bytes)
            .map_err(FrameError::Unreadable)?;
    } else {
        copy_large(buffer, bytes)?;
    }
    rest.fill(0);
    Ok(())
}

fn copy_large(buffer: &gst::BufferRef, mut to: &mut [u8]) -> Result<(), FrameError> {
    let size = to.len();
    for memory in buffer.iter_memories() {
        let map = memory.map_readable()?;
        let taken = map.len().min(to.len());
        let (head, rest) = std::mem::take(&mut to).split_at_mut(taken);
        copy(head, map.get(..taken).unwrap_or_default());
        to = rest;
    }
    match to.len() {
        0 => Ok(()),
        missing => Err(FrameError::Unreadable(size - missing)),
    }
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
    let planes = planes(info, meta).ok_or(FrameError::OtherPlanes(info.format()))?;
    planes
        .iter()
        .try_for_each(|plane| copy_plane(plane, buffer, slot))
}

/// One plane, as rows that are copied one by one.
struct Plane {
    source_offset: usize,
    /// Negative for rows that lie from bottom to top.
    source_stride: isize,
    /// Up to the next plane.
    target: Range<usize>,
    target_stride: usize,
    row_bytes: usize,
    rows: usize,
}

impl Plane {
    /// Where a row lies in the buffer, however long that is; `None` if nothing can lie there.
    fn row(&self, number: usize) -> Option<Range<usize>> {
        let distance = self
            .source_stride
            .checked_mul(isize::try_from(number).ok()?)?;
        let start = self.source_offset.checked_add_signed(distance)?;
        Some(start..start.checked_add(self.row_bytes)?)
    }

    /// From the first byte that is read to the last.
    fn extent(&self) -> Option<Range<usize>> {
        let first = self.row(0)?;
        let last = self.row(self.rows.checked_sub(1)?)?;
        Some(first.start.min(last.start)..first.end.max(last.end))
    }
}

/// Copies the pixels. Every other byte of the plane becomes zero: the slot still has an older frame's.
fn copy_plane(plane: &Plane, buffer: &gst::BufferRef, slot: &mut [u8]) -> Result<(), FrameError> {
    let beyond = || FrameError::MetaBeyondBuffer {
        size: buffer.size(),
    };
    let extent = plane
        .extent()
        .filter(|extent| extent.end <= buffer.size())
        .ok_or_else(beyond)?;
    // A plane seldom lies in more than one memory; if it does, this merges those.
    let (memories, skip) = buffer.find_memory(extent.clone()).ok_or_else(beyond)?;
    let map = buffer.map_range_readable(memories)?;
    let source = map.get(skip..).ok_or_else(beyond)?;
    let target = slot
        .get_mut(plane.target.clone())
        .ok_or(FrameError::NoRoom)?;
    for (number, to) in target.chunks_mut(plane.target_stride).enumerate() {
        if number >= plane.rows {
            to.fill(0);
            continue;
        }
        let from = plane
            .row(number)
            .and_then(|row| {
                let start = row.start.checked_sub(extent.start)?;
                source.get(start..)?.get(..plane.row_bytes)
            })
            .ok_or_else(beyond)?;
        let (pixels, rest) = to
            .split_at_mut_checked(plane.row_bytes)
            .ok_or(FrameError::NoRoom)?;
        pixels.copy_from_slice(from);
        rest.fill(0);
    }
    Ok(())
}

/// How the planes are copied; `None` if the buffer's cannot become those of the caps.
fn planes(info: &gst_video::VideoInfo, meta: &gst_video::VideoMeta) -> Option<Vec<Plane>> {
    if meta.n_planes() != info.n_planes() {
        return None;
    }
    meta.stride()
        .iter()
        .zip(meta.offset())
        .zip(0u32..)
        .map(|((stride, offset), number)| plane(info, meta, number, *stride, *offset))
        .collect()
}

fn plane(
    info: &gst_video::VideoInfo,
    meta: &gst_video::VideoMeta,
    number: u32,
    source_stride: i32,
    source_offset: usize,
) -> Option<Plane> {
    let format = info.format_info();
    let target_stride = *info.stride().get(number as usize)?;
    let target_offset = *info.offset().get(number as usize)?;
    let later = info.offset().iter().filter(|later| **later > target_offset);
    let target = target_offset..later.min().copied().unwrap_or(info.size());
    if target.is_empty() {
        return None;
    }
    if format.is_tiled() || (format.has_palette() && number == 1) {
        // Strides that count tiles. As many of them as the caps imply are in the right order already; others are not worth their code.
        let same = !format.is_tiled() || source_stride == target_stride;
        return same.then(|| Plane {
            source_offset,
            source_stride: 0,
            target_stride: target.len(),
            row_bytes: target.len(),
            rows: 1,
            target,
        });
    }
    let target_stride = usize::try_from(target_stride).ok()?;
    let source_stride = isize::try_from(source_stride).ok()?;
    // A frame of another size is a mistake upstream; what both have is copied.
    let width = info.width().min(meta.width());
    let height = info.field_height().min(meta.height());
    let row_bytes = pixel_bytes(info, number, width)
        .unwrap_or(usize::MAX)
        .min(target_stride)
        .min(source_stride.unsigned_abs());
    let rows = components(info, number)
        .map(|component| format.scale_height(component, height) as usize)
        .max()?;
    (row_bytes > 0).then_some(Plane {
        source_offset,
        source_stride,
        target,
        target_stride,
        row_bytes,
        rows,
    })
}

fn components(info: &gst_video::VideoInfo, plane: u32) -> impl Iterator<Item = u8> {
    info.format_info()
        .component(plane)
        .into_iter()
        .filter_map(|component| u8::try_from(component).ok())
}

/// The bytes of a row that hold pixels; `None` for pixels that are not whole bytes apart, whose rows are copied with their padding.
///
/// The component that reaches farthest counts: the 3 pixels of a row of YUY2 are 6 bytes by their luma and 8 by their chroma.
fn pixel_bytes(info: &gst_video::VideoInfo, plane: u32, width: u32) -> Option<usize> {
    let format = info.format_info();
    components(info, plane)
        .map(|component| {
            let pixel = usize::try_from(info.comp_pstride(component)).ok()?;
            (pixel > 0).then(|| pixel * format.scale_width(component, width) as usize)
        })
        .try_fold(0, |most, bytes| Some(most.max(bytes?)))
}
