//! Raw video reaches readers in the layout that its caps imply, whatever layout its buffers have.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    reader::{Reader, ReaderOptions, Seen},
    rig::{Rig, alone, error_of},
};
use gst::prelude::*;

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

/// Where every pixel of a plane's rows lies in its row of `stride` bytes.
fn row_bytes(info: &gst_video::VideoInfo, plane: usize) -> usize {
    use gst_video::VideoFormat as F;
    let stride = info.stride()[plane] as usize;
    let pairs = (info.width() as usize).div_ceil(2);
    match info.format() {
        // By hand: gst_video_frame_copy loses the last chroma sample of an odd width.
        F::Yuy2 | F::Uyvy | F::Yvyu | F::Vyuy => pairs * 4,
        F::Y210 => (pairs * 8).min(stride),
        // Not whole bytes: the row with its padding.
        F::V210 | F::Uyvp | F::Iyu1 => stride,
        _ => {
            let component = info.format_info().component(plane as u32)[0] as u8;
            let pixels = info.format_info().scale_width(component, info.width());
            pixels as usize * info.comp_pstride(component) as usize
        }
    }
}

fn rows(info: &gst_video::VideoInfo, plane: usize) -> usize {
    let component = info.format_info().component(plane as u32)[0] as u8;
    info.format_info().scale_height(component, info.height()) as usize
}

/// Copies the pixels of a plane whose rows begin at these bytes and are so far apart.
fn copy_rows(
    info: &gst_video::VideoInfo,
    plane: usize,
    (source, from, from_stride): (&[u8], usize, isize),
    (target, to, to_stride): (&mut [u8], usize, isize),
) {
    let bytes = row_bytes(info, plane);
    for row in 0..rows(info, plane) as isize {
        let from = from.checked_add_signed(row * from_stride).unwrap();
        let to = to.checked_add_signed(row * to_stride).unwrap();
        target[to..to + bytes].copy_from_slice(&source[from..from + bytes]);
    }
}

fn noise(size: usize) -> Vec<u8> {
    (0..size)
        .map(|byte| (byte * 31 + byte / 251) as u8)
        .collect()
}

/// Pixels that differ from place to place, in the canonical layout; padding is zero.
fn canonical_frame(info: &gst_video::VideoInfo) -> gst::Buffer {
    let noise = noise(info.size());
    let mut bytes = vec![0; info.size()];
    if info.format_info().is_tiled() {
        bytes = noise;
    } else {
        for plane in 0..info.n_planes() as usize {
            let (offset, stride) = (info.offset()[plane], info.stride()[plane] as isize);
            copy_rows(
                info,
                plane,
                (&noise, offset, stride),
                (&mut bytes, offset, stride),
            );
        }
    }
    gst::Buffer::from_mut_slice(bytes)
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
    let frame = frame.map_readable().unwrap();
    let mut bytes = vec![0xaa; end];
    for plane in 0..info.n_planes() as usize {
        let from = info.offset()[plane];
        if info.format_info().is_tiled() {
            let next = info.offset().get(plane + 1).copied();
            let tiles = &frame[from..next.unwrap_or(info.size())];
            bytes[offsets[plane]..][..tiles.len()].copy_from_slice(tiles);
        } else {
            copy_rows(
                info,
                plane,
                (&frame, from, info.stride()[plane] as isize),
                (&mut bytes, offsets[plane], strides[plane] as isize),
            );
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    add_meta(&mut buffer, info, &offsets, &strides);
    buffer
}

fn add_meta(
    buffer: &mut gst::Buffer,
    info: &gst_video::VideoInfo,
    offsets: &[usize],
    strides: &[i32],
) {
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        offsets,
        strides,
    )
    .unwrap();
}

/// The same bytes in memories of these sizes, without metas.
fn split(bytes: &[u8], sizes: &[usize]) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let mut rest = bytes;
    for size in sizes {
        let (memory, after) = rest.split_at(*size);
        let memory = gst::Memory::from_mut_slice(memory.to_vec());
        buffer.get_mut().unwrap().append_memory(memory);
        rest = after;
    }
    assert!(rest.is_empty());
    buffer
}

/// Frames of these caps that nobody's slot is clean after.
fn soil(rig: &mut Rig, reader: &mut Reader, info: &gst_video::VideoInfo) {
    for _ in 0..3 {
        let dirt = vec![0xee; info.size()];
        rig.push_buffer(gst::Buffer::from_mut_slice(dirt.clone()));
        assert_eq!(reader.frame(), Seen::of(&dirt));
    }
}

fn rig() -> (Rig, Reader) {
    let rig = Rig::new("layout", 1000, &[]);
    let reader = rig.reader_with(&ReaderOptions::default());
    (rig, reader)
}

#[test]
fn t23_padded_frames_are_repacked() {
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
        F::Yvyu,
        F::Vyuy,
        F::Y210,
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
        for (width, height) in [(64, 48), (321, 243), (3, 3)] {
            let info = info(format, width, height);
            rig.set_caps(&info.to_caps().unwrap().to_string());
            soil(&mut rig, &mut reader, &info);
            let frame = canonical_frame(&info);
            let expected = bytes_of(&frame);
            for padding in [64, 4] {
                let padded = padded(&frame, &info, padding);
                assert_ne!(padded.size(), info.size());
                rig.push_buffer(padded);
                let seen = reader.frame();
                assert_eq!(
                    seen,
                    Seen::of(&expected),
                    "{format:?} {width}x{height} +{padding}"
                );
            }
        }
    }
    rig.assert_no_error();
}

#[test]
fn rows_from_bottom_to_top_and_palettes_are_repacked() {
    let _alone = alone("odd layouts");
    let (mut rig, mut reader) = rig();
    let upright = info(gst_video::VideoFormat::Rgb, 21, 9);
    rig.set_caps(&upright.to_caps().unwrap().to_string());
    soil(&mut rig, &mut reader, &upright);
    let frame = bytes_of(&canonical_frame(&upright));
    let mut bytes = vec![0xaa; 80 * 9];
    copy_rows(
        &upright,
        0,
        (&frame, 0, upright.stride()[0] as isize),
        (&mut bytes, 80 * 8, -80),
    );
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    add_meta(&mut buffer, &upright, &[80 * 8], &[-80]);
    rig.push_buffer(buffer);
    assert_eq!(reader.frame(), Seen::of(&frame));

    let palette = info(gst_video::VideoFormat::Rgb8p, 21, 9);
    rig.set_caps(&palette.to_caps().unwrap().to_string());
    soil(&mut rig, &mut reader, &palette);
    let colours = noise(1024);
    let mut bytes = vec![0xaa; 40 * 9];
    let mut expected = vec![0; palette.size()];
    for row in 0..9 {
        for bytes in [
            &mut bytes[row * 40..][..21],
            &mut expected[row * palette.stride()[0] as usize..][..21],
        ] {
            bytes.fill(row as u8);
        }
    }
    bytes.extend_from_slice(&colours);
    expected[palette.offset()[1]..].copy_from_slice(&colours);
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    add_meta(&mut buffer, &palette, &[0, 40 * 9], &[40, 4]);
    rig.push_buffer(buffer);
    assert_eq!(reader.frame(), Seen::of(&expected));
    rig.assert_no_error();
}

#[test]
fn padded_planes_may_lie_in_any_memories() {
    let _alone = alone("padded planes in memories");
    let (mut rig, mut reader) = rig();
    let info = info(gst_video::VideoFormat::I420, 321, 243);
    rig.set_caps(&info.to_caps().unwrap().to_string());
    soil(&mut rig, &mut reader, &info);
    let frame = canonical_frame(&info);
    let padded = padded(&frame, &info, 64);
    let (offset, stride) = {
        let meta = padded.meta::<gst_video::VideoMeta>().unwrap();
        (meta.offset().to_vec(), meta.stride().to_vec())
    };
    let whole = bytes_of(&padded);
    for sizes in [
        // A memory for each plane.
        vec![offset[1], offset[2] - offset[1], whole.len() - offset[2]],
        // Planes over several memories, rows too.
        vec![4096, offset[1] - 4096 + 100, whole.len() - offset[1] - 100],
    ] {
        let mut buffer = split(&whole, &sizes);
        add_meta(&mut buffer, &info, &offset, &stride);
        rig.push_buffer(buffer);
        assert_eq!(reader.frame(), Seen::of(&bytes_of(&frame)), "{sizes:?}");
    }
    // Large enough for what is not mapped to be unmapped memory, not just some other memory.
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, 6400, 1200)
        .fps((30, 1))
        .build()
        .unwrap();
    rig.set_caps(&info.to_caps().unwrap().to_string());
    let frame = noise(6464 * 1200);
    let mut expected = vec![0; info.size()];
    copy_rows(&info, 0, (&frame, 0, 6464), (&mut expected, 0, 6400));
    let mut buffer = split(&frame, &[4096, frame.len() - 4096]);
    add_meta(&mut buffer, &info, &[0], &[6464]);
    rig.push_buffer(buffer);
    assert_eq!(reader.frame(), Seen::of(&expected));
    rig.assert_no_error();
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
    use gst_video::VideoFormat as F;
    let _alone = alone("a lying meta");
    let (mut rig, _reader) = rig();
    const HUGE: i32 = 100_000_000;
    let lies: &[(F, usize, &[usize], &[i32])] = &[
        // The last row, by one byte.
        (F::Gray8, 64 * 48, &[1], &[64]),
        (F::Gray8, 128 * 47 + 63, &[0], &[128]),
        (F::Gray8, 64 * 48, &[0], &[128]),
        (F::Gray8, 64 * 48, &[usize::MAX - 64], &[64]),
        (F::Gray8, 64 * 48, &[usize::MAX], &[HUGE]),
        // From bottom to top, with one row too few.
        (F::Gray8, 128 * 48, &[128 * 46], &[-128]),
        (F::Gray8, 128 * 48, &[0], &[i32::MIN]),
        (F::V210, 256 * 48, &[0], &[HUGE]),
        (F::Uyvp, 160 * 48, &[0], &[HUGE]),
        (F::Iyu1, 96 * 48, &[0], &[HUGE]),
        (F::Rgb8p, 64 * 48 + 1024, &[0, 64 * 48 + 1], &[64, 4]),
        (F::Rgb8p, 64 * 48 + 1024, &[0, 64 * 48], &[HUGE, 4]),
        (F::Nv12, 64 * 72, &[0, usize::MAX], &[64, 64]),
        // The strides that the caps imply, one byte too late.
        (
            F::Nv1264z32,
            128 * 64 * 3 / 2,
            &[0, 128 * 64 + 1],
            &[0x2_0002, 0x1_0002],
        ),
    ];
    for (format, size, offsets, strides) in lies {
        let info = info(*format, 64, 48);
        rig.set_caps(&info.to_caps().unwrap().to_string());
        let mut buffer = gst::Buffer::from_mut_slice(vec![0; *size]);
        add_meta(&mut buffer, &info, offsets, strides);
        let pushed = rig.try_push(buffer);
        let lie = format!("{format:?} of {size} bytes at {offsets:x?} by {strides:?}");
        assert_eq!(pushed, Err(gst::FlowError::Error), "{lie}");
        let text = error_of(&rig.bus);
        assert!(
            text.contains("GstVideoMeta") && text.contains("videoconvert"),
            "{lie}: {text}"
        );
        assert_eq!(rig.stat("slots-free"), rig.stat("slots-reserved"), "{lie}");
    }
}

#[test]
fn tiles_in_an_order_of_their_own_are_an_error() {
    let _alone = alone("other tiles");
    let (mut rig, _reader) = rig();
    let info = info(gst_video::VideoFormat::Nv1264z32, 64, 48);
    rig.set_caps(&info.to_caps().unwrap().to_string());
    for stride in [0x2_0004, 0x7fff_ffff, -1] {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0; info.size()]);
        let strides = [stride, info.stride()[1]];
        add_meta(&mut buffer, &info, info.offset(), &strides);
        assert_eq!(rig.try_push(buffer), Err(gst::FlowError::Error));
        let text = error_of(&rig.bus);
        assert!(text.contains("videoconvert"), "{text}");
    }
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
