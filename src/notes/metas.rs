//! The metas that go along with a frame on the wire of file descriptors, and back.

use std::str::FromStr;

use super::fields;
use crate::shm::caps_text;
use crate::shm::fd::metas::{Meta, Video};
use crate::shm::names::Names;

/// Those of a buffer's metas that readers can be told of, encoded into `out`, which is cleared. Says how many they are.
pub fn encode(buffer: &gst::BufferRef, out: &mut Vec<u8>) -> u16 {
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
    if let Some(structure) = fields::as_text(buffer) {
        put(Meta::Custom {
            name: fields::NAME.to_owned(),
            structure,
        });
    }
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

/// A meta that says what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMeta {
    #[error("metadata that is none")]
    Structure,
    #[error(transparent)]
    Text(#[from] caps_text::CapsTextError),
    #[error(transparent)]
    Names(#[from] crate::shm::names::TooManyNames),
}

/// Attaches what the camera knew about the frame, if the text is such a thing. A stranger has written it.
pub fn attach_fields(
    buffer: &mut gst::BufferRef,
    text: &str,
    names: &mut Names,
) -> Result<(), BadMeta> {
    let text = text.trim_end_matches(';');
    names.admit(caps_text::names(text)?)?;
    let structure = gst::Structure::from_str(text).map_err(|_| BadMeta::Structure)?;
    fields::attach_structure(buffer, &structure);
    Ok(())
}

/// Attaches a sensor's time, if it is of the clock that cameras have.
pub fn attach_timestamp(
    buffer: &mut gst::BufferRef,
    timestamp: u64,
    duration: Option<u64>,
    reference: &str,
) {
    if reference == super::SENSOR_CLOCK.to_string() {
        gst::ReferenceTimestampMeta::add(
            buffer,
            &super::SENSOR_CLOCK,
            gst::ClockTime::from_nseconds(timestamp),
            duration.map(gst::ClockTime::from_nseconds),
        );
    }
}
