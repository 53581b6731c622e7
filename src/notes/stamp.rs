//! From a note to a buffer.

use gst_video::video_frame::VideoBufferExt;

use super::{FLAGS, SENSOR_CLOCK, clock::signed, fields};
use crate::shm::fields::Value;
use crate::shm::note::{Planes, Times};

/// Why frames cannot be what their producer says they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("a frame of {size} bytes, where its caps need {needed}")]
    TooSmall { size: usize, needed: usize },
    #[error("planes that do not lie in their frame")]
    Planes,
}

/// Writes a note's times to a buffer. `pts` is what the reader makes of them.
pub fn times(buffer: &mut gst::BufferRef, times: &Times, pts: Option<u64>) {
    let time = |time: Option<u64>| {
        let time = time.filter(|time| *time != u64::MAX);
        time.map(gst::ClockTime::from_nseconds)
    };
    buffer.set_pts(time(pts));
    // As far before the PTS as with the producer.
    let dts = times
        .pts
        .zip(times.dts)
        .zip(pts)
        .and_then(|((theirs, dts), pts)| {
            signed(pts)
                .checked_sub(signed(theirs))?
                .checked_add(signed(dts))
        });
    buffer.set_dts(time(dts.map(|dts| u64::try_from(dts).unwrap_or(0))));
    buffer.set_duration(time(times.duration));
    if let Some(offset) = times.offset {
        buffer.set_offset(offset);
    }
    if let Some(offset) = times.offset_end {
        buffer.set_offset_end(offset);
    }
    if let Some(sensor) = time(times.sensor) {
        gst::ReferenceTimestampMeta::add(buffer, &SENSOR_CLOCK, sensor, gst::ClockTime::NONE);
    }
}

pub fn flags(buffer: &mut gst::BufferRef, flags: u32) {
    let flags = flags & FLAGS;
    buffer.set_flags(gst::BufferFlags::from_bits_truncate(flags));
    buffer.set_video_flags(gst_video::VideoBufferFlags::from_bits_truncate(flags));
}

pub fn metadata(buffer: &mut gst::BufferRef, metadata: Vec<(&str, Value)>) {
    if !metadata.is_empty() {
        fields::attach(buffer, metadata);
    }
}

/// Attaches where the planes of a frame of raw video lie, once it is certain that they lie in it: elements read what the caps and this meta say.
pub fn planes(
    buffer: &mut gst::BufferRef,
    info: &gst_video::VideoInfo,
    planes: &Planes,
) -> Result<(), LayoutError> {
    let (size, needed) = (buffer.size(), info.size());
    if size < needed {
        return Err(LayoutError::TooSmall { size, needed });
    }
    let implied = || {
        info.offset()
            .iter()
            .copied()
            .zip(info.stride().iter().copied())
    };
    let told: Vec<(usize, i32)> = planes
        .iter()
        .map(|(offset, stride)| Some((usize::try_from(offset).ok()?, stride)))
        .collect::<Option<_>>()
        .ok_or(LayoutError::Planes)?;
    let planes = if told.is_empty() {
        implied().collect()
    } else {
        told
    };
    if !planes.iter().copied().eq(implied()) && !are_inside(info, &planes, size) {
        return Err(LayoutError::Planes);
    }
    let (offsets, strides): (Vec<usize>, Vec<i32>) = planes.into_iter().unzip();
    let added = gst_video::VideoMeta::add_full(
        buffer,
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    );
    added.map(|_| ()).map_err(|_| LayoutError::Planes)
}

/// Every row of every plane. Only for formats whose strides are bytes.
fn are_inside(info: &gst_video::VideoInfo, planes: &[(usize, i32)], size: usize) -> bool {
    let format = info.format_info();
    if format.is_tiled() || format.has_palette() || planes.len() != info.n_planes() as usize {
        return false;
    }
    let mut planes = planes.iter().zip(info.stride()).zip(0u32..);
    planes.all(|(((offset, stride), least), plane)| {
        let component = format.component(plane).first().copied();
        let rows = component
            .and_then(|component| u8::try_from(component).ok())
            .map(|component| format.scale_height(component, info.field_height()) as usize);
        let bytes = usize::try_from(*stride).ok().zip(rows);
        let bytes = bytes.and_then(|(stride, rows)| stride.checked_mul(rows));
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        stride >= least && end.is_some_and(|end| end <= size)
    })
}
