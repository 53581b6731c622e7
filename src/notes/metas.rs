//! The metas that go along with a frame on the wire of file descriptors, and back.

use std::str::FromStr;

use super::fields;
use super::stamp::LayoutError;
use crate::shm::caps_text;
use crate::shm::fd::metas::{Meta, Video};
use crate::shm::names::Names;
use crate::shm::note::{MAX_CAPS, MAX_FIELDS};
use crate::sync::LazyLock;

/// As it is written: this is asked for every frame.
static SENSOR_CLOCK_TEXT: LazyLock<String> = LazyLock::new(|| super::SENSOR_CLOCK.to_string());

/// A text of a structure that is longer goes with no frame: readers take caps' texts of this length.
const MAX_TEXT: usize = MAX_CAPS;

/// Those of a buffer's metas that readers can be told of, encoded into `out`, which is cleared; with the frame's number and what the camera knew about it,
/// for readers of ours. Says how many they are.
pub fn encode(buffer: &gst::BufferRef, sequence: u64, fields: &[u8], out: &mut Vec<u8>) -> u16 {
    out.clear();
    let mut count = 0;
    let mut put = |meta: Meta| {
        meta.encode(out);
        count += 1;
    };
    for meta in buffer.iter_meta::<gst::ReferenceTimestampMeta>() {
        put(Meta::Timestamp {
            timestamp: meta.timestamp().nseconds(),
            duration: meta.duration().map(gst::ClockTime::nseconds),
            reference: meta.reference().to_string(),
        });
    }
    if let Some(meta) = buffer.meta::<gst_video::VideoMeta>() {
        put(Meta::Video(video(&meta)));
    }
    if let Some(structure) = fields::as_text(buffer).filter(|text| text.len() <= MAX_TEXT) {
        put(Meta::Custom {
            name: fields::NAME.to_owned(),
            structure,
        });
    }
    let fields = if fields.len() <= MAX_FIELDS {
        fields
    } else {
        &[]
    };
    put(Meta::Ours {
        sequence,
        fields: fields.to_owned(),
    });
    count
}

fn video(meta: &gst_video::VideoMeta) -> Video {
    use glib::translate::IntoGlib;
    let alignment = meta.alignment();
    let planes = meta.offset().iter().zip(meta.stride());
    Video {
        flags: meta.video_frame_flags().bits() as i32,
        format: meta.format().into_glib(),
        width: meta.width(),
        height: meta.height(),
        planes: planes
            .map(|(offset, stride)| (*offset as u64, *stride))
            .collect(),
        padding: [
            alignment.padding_top(),
            alignment.padding_bottom(),
            alignment.padding_left(),
            alignment.padding_right(),
        ],
        stride_align: alignment.stride_align().to_vec(),
    }
}

/// Attaches what the camera knew about the frame, as another sink has written it. A stranger's text that is no such thing is left out.
pub fn attach_text(buffer: &mut gst::BufferRef, text: &str, names: &mut Names) {
    let text = text.trim_end_matches(';');
    let is_plain = caps_text::names(text).is_ok_and(|found| names.admit(found).is_ok());
    if let (true, Ok(structure)) = (is_plain, gst::Structure::from_str(text)) {
        fields::attach_structure(buffer, &structure);
    }
}

/// Attaches where the planes of a frame lie that only devices can read, once it is certain that they begin in it.
pub fn attach_layout(buffer: &mut gst::BufferRef, video: &Video) -> Result<(), LayoutError> {
    use glib::translate::IntoGlib;
    let size = buffer.size();
    let planes = video.planes.iter();
    let inside = |(offset, stride): &(u64, i32)| {
        let offset = usize::try_from(*offset)
            .ok()
            .filter(|offset| *offset < size)?;
        (*stride > 0).then_some((offset, *stride))
    };
    let planes: Option<Vec<_>> = planes.map(inside).collect();
    let planes = planes.ok_or(LayoutError::Planes)?;
    let (offsets, strides): (Vec<_>, Vec<_>) = planes.into_iter().unzip();
    let mut formats = gst_video::VIDEO_FORMATS_ALL.iter().copied();
    let Some(format) = formats.find(|format| format.into_glib() == video.format) else {
        // One that this GStreamer does not know, whose elements have no use for it.
        return Ok(());
    };
    let added = gst_video::VideoMeta::add_full(
        buffer,
        gst_video::VideoFrameFlags::empty(),
        format,
        video.width,
        video.height,
        &offsets,
        &strides,
    );
    added.map(|_| ()).map_err(|_| LayoutError::Planes)
}

/// Attaches a sensor's time, if it is of the clock that cameras have.
pub fn attach_timestamp(
    buffer: &mut gst::BufferRef,
    timestamp: u64,
    duration: Option<u64>,
    reference: &str,
) {
    let is_time = |time: u64| time != u64::MAX;
    if is_time(timestamp) && reference == *SENSOR_CLOCK_TEXT {
        gst::ReferenceTimestampMeta::add(
            buffer,
            &super::SENSOR_CLOCK,
            gst::ClockTime::from_nseconds(timestamp),
            duration
                .filter(|time| is_time(*time))
                .map(gst::ClockTime::from_nseconds),
        );
    }
}
