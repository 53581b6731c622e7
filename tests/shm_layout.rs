//! Raw video reaches readers in the layout that its caps imply, whatever layout its buffers have.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    reader::{Reader, ReaderOptions, Seen},
    rig::{Rig, alone, error_of},
};
use gst_video::prelude::*;

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

fn info(format: gst_video::VideoFormat, width: u32, height: u32) -> gst_video::VideoInfo {
    gst_video::VideoInfo::builder(format, width, height)
        .fps((30, 1))
        .build()
        .unwrap()
}

/// Pixels that differ from place to place, in the canonical layout; padding is zero.
fn canonical_frame(info: &gst_video::VideoInfo) -> gst::Buffer {
    let noise = gst::Buffer::from_mut_slice(
        (0..info.size())
            .map(|byte| (byte * 31 + byte / 251) as u8)
            .collect::<Vec<u8>>(),
    );
    let noise = gst_video::VideoFrame::from_buffer_readable(noise, info).unwrap();
    let zero = gst::Buffer::from_mut_slice(vec![0; info.size()]);
    let mut frame = gst_video::VideoFrame::from_buffer_writable(zero, info).unwrap();
    noise.copy(&mut frame).unwrap();
    frame.into_buffer()
}

fn bytes_of(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// The same pixels with `padding` bytes after every row and a gap before every plane, full of rubbish, and a GstVideoMeta that says so.
fn padded(frame: &gst::Buffer, info: &gst_video::VideoInfo, padding: i32) -> gst::Buffer {
    let mut strides = Vec::new();
    let mut offsets = Vec::new();
    let mut end = 48;
    for plane in 0..info.n_planes() as usize {
        let stride = if info.format_info().is_tiled() {
            info.stride()[plane]
        } else {
            info.stride()[plane] + padding
        };
        let last = plane + 1 == info.n_planes() as usize;
        let next = if last {
            info.size()
        } else {
            info.offset()[plane + 1]
        };
        let size = next - info.offset()[plane];
        let rows = size.div_ceil(info.stride()[plane].unsigned_abs() as usize);
        offsets.push(end);
        strides.push(stride);
        end += size + rows * padding as usize + 16;
    }
    let mut buffer = gst::Buffer::from_mut_slice(vec![0xaa; end]);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    )
    .unwrap();
    let source = gst_video::VideoFrame::from_buffer_readable(frame.clone(), info).unwrap();
    let mut target = gst_video::VideoFrame::from_buffer_writable(buffer, info).unwrap();
    source.copy(&mut target).unwrap();
    target.into_buffer()
}

fn rig() -> (Rig, Reader) {
    let rig = Rig::new("layout", 1000, &[]);
    let reader = rig.reader_with(&ReaderOptions::default());
    (rig, reader)
}

#[test]
fn padded_frames_are_repacked() {
    use gst_video::VideoFormat as F;
    let _alone = alone("repacking");
    let (mut rig, mut reader) = rig();
    let formats = [
        F::Nv12,
        F::Nv21,
        F::Nv16,
        F::I420,
        F::Yv12,
        F::Y42b,
        F::Y444,
        F::I42010le,
        F::P01010le,
        F::Yuy2,
        F::Uyvy,
        F::Rgb,
        F::Bgr,
        F::Bgrx,
        F::Rgba,
        F::Argb,
        F::Rgb16,
        F::Gbr,
        F::Gray8,
        F::Gray16Le,
        F::A420,
        // Those that do not go row by row.
        F::V210,
        F::Uyvp,
        F::Iyu1,
        F::Nv1264z32,
    ];
    for format in formats {
        for (width, height) in [(64, 48), (321, 243)] {
            let info = info(format, width, height);
            rig.set_caps(&info.to_caps().unwrap().to_string());
            let frame = canonical_frame(&info);
            let expected = bytes_of(&frame);
            for padding in [64, 4] {
                let padded = padded(&frame, &info, padding);
                assert_ne!(padded.size(), info.size());
                rig.push_buffer(padded);
                let seen = reader.frame();
                assert_eq!(seen.size, info.size(), "{format:?} {width}x{height}");
                // Canonical padding is nobody's; compare pixels where there is some.
                if is_dense(&info) {
                    assert_eq!(seen, Seen::of(&expected), "{format:?} {width}x{height}");
                }
            }
        }
    }
    rig.assert_no_error();
}

/// Every byte of the canonical layout is a pixel's.
fn is_dense(info: &gst_video::VideoInfo) -> bool {
    let ones = gst::Buffer::from_mut_slice(vec![0xff; info.size()]);
    let ones = gst_video::VideoFrame::from_buffer_readable(ones, info).unwrap();
    let zero = gst::Buffer::from_mut_slice(vec![0; info.size()]);
    let mut frame = gst_video::VideoFrame::from_buffer_writable(zero, info).unwrap();
    ones.copy(&mut frame).unwrap();
    bytes_of(&frame.into_buffer())
        .iter()
        .all(|byte| *byte == 0xff)
}

#[test]
fn planes_may_lie_in_memories_of_their_own() {
    let _alone = alone("planes in memories");
    let (mut rig, mut reader) = rig();
    let info = info(gst_video::VideoFormat::I420, 64, 48);
    rig.set_caps(&info.to_caps().unwrap().to_string());
    let frame = canonical_frame(&info);
    let bytes = bytes_of(&frame);
    let bounds = [0, info.offset()[1], info.offset()[2], info.size()];
    let mut split = gst::Buffer::new();
    for range in bounds.windows(2) {
        let plane = bytes[range[0]..range[1]].to_vec();
        split
            .get_mut()
            .unwrap()
            .append_memory(gst::Memory::from_mut_slice(plane));
    }
    rig.push_buffer(split.clone());
    assert_eq!(reader.frame(), Seen::of(&bytes));
    gst_video::VideoMeta::add(
        split.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
    )
    .unwrap();
    rig.push_buffer(split);
    assert_eq!(reader.frame(), Seen::of(&bytes));
}

#[test]
fn a_meta_that_points_beyond_its_buffer_is_an_error() {
    let _alone = alone("a lying meta");
    let (mut rig, _reader) = rig();
    let info = info(gst_video::VideoFormat::Gray8, 64, 48);
    rig.set_caps(&info.to_caps().unwrap().to_string());
    let mut buffer = gst::Buffer::from_mut_slice(vec![0; 64 * 48]);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &[0],
        &[128],
    )
    .unwrap();
    assert_eq!(rig.try_push(buffer), Err(gst::FlowError::Error));
    let text = error_of(&rig.bus);
    assert!(
        text.contains("GstVideoMeta") && text.contains("videoconvert"),
        "{text}"
    );
    assert_eq!(rig.stat("slots-free"), rig.stat("slots-reserved"));
}

#[test]
fn upstream_is_told_that_any_layout_will_do() {
    let _alone = alone("allocation");
    let (mut rig, _reader) = rig();
    let caps = info(gst_video::VideoFormat::Nv12, 64, 48)
        .to_caps()
        .unwrap();
    rig.set_caps(&caps.to_string());
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    let pad = rig.element.static_pad("sink").unwrap();
    assert!(pad.query(&mut query));
    assert!(
        query
            .find_allocation_meta::<gst_video::VideoMeta>()
            .is_some()
    );
}
