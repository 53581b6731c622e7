//! Frames that travel as DMABUFs are ones to the kernel, lie where GStreamer is told, and leave nothing behind.

use crate::{
    camera::{Order, UsbCamera, frames_in_order, number, usb_source},
    common::{holdings, source::Source, wait_until},
    exported::{Exported, mapped},
    in_machine,
};
use std::{collections::BTreeSet, time::Duration};

const VIRTUAL: &str = "libcamerasrc-rs name=source camera-name=Virtual0 ! video/x-raw,format=NV12,width=640,height=480";

/// Luma of the test picture is bars; its chroma is that of grey, but for the coloured ones.
fn check_nv12(bytes: &[u8], offsets: &[usize], strides: &[i32]) {
    let stride = strides[0] as usize;
    let lines: BTreeSet<&[u8]> = bytes[offsets[0]..offsets[1]].chunks(stride).collect();
    assert_eq!(lines.len(), 1, "bars: every line is the same");
    let first = lines.first().unwrap();
    let levels: BTreeSet<u8> = first.iter().copied().collect();
    assert!(levels.len() >= 8, "eight bars: {levels:?}");
    let chroma: BTreeSet<&[u8]> = bytes[offsets[1]..].chunks(stride).collect();
    assert_eq!(chroma.len(), 1, "and so is every line of chroma");
}

#[test]
fn the_two_planes_of_nv12_are_one_dmabuf_with_the_second_at_an_offset() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let source = Source::playing(VIRTUAL);
    let mut files = BTreeSet::new();
    for _ in 0..30 {
        let sample = source.pull().unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = Exported::of(buffer);
        assert_eq!(frame.exporter(), "system");
        assert_eq!((frame.offset, frame.size), (0, 640 * 480 * 3 / 2));
        let meta = buffer.meta::<gst_video::VideoMeta>().unwrap();
        assert_eq!(meta.offset(), [0, 640 * 480]);
        assert_eq!(meta.stride(), [640, 640]);
        let bytes = frame.bytes();
        check_nv12(&bytes, meta.offset(), meta.stride());
        assert!(bytes == mapped(buffer), "the kernel and GStreamer agree");
        files.insert(frame.fd);
    }
    assert!(files.len() > 1, "several frames, each its own DMABUF");
    println!("NOTE: virtual: {} DMABUFs of system", files.len());
}

#[test]
fn frames_of_a_usb_camera_are_its_drivers_dmabufs() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let source = usb_source("! video/x-raw,width=640,height=480");
    source.set_state(gst::State::Playing);
    let mut order = Order::default();
    for _ in 0..30 {
        let sample = source.pull().unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = Exported::of(buffer);
        assert_eq!(frame.exporter(), "videobuf2_vmalloc");
        let bytes = frame.bytes();
        let number = number(&bytes, 640, 128);
        assert!(bytes == mapped(buffer), "the kernel and GStreamer agree");
        order.next(number, buffer.offset());
    }
    println!("NOTE: uvcvideo: DMABUFs of videobuf2_vmalloc");
}

#[test]
fn what_is_kept_outlives_the_camera_and_all_is_closed_at_the_end() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let camera = UsbCamera::plugged();
    let round = |keep: bool| {
        let kept: Vec<gst::Sample> = [
            Source::new(VIRTUAL),
            usb_source("! video/x-raw,width=320,height=240"),
        ]
        .iter()
        .filter_map(|source| {
            source.set_state(gst::State::Playing);
            let sample = source.pull();
            source.pull();
            source.set_state(gst::State::Null);
            sample.filter(|_| keep)
        })
        .collect();
        for sample in &kept {
            let buffer = sample.buffer().unwrap();
            assert!(Exported::of(buffer).bytes() == mapped(buffer));
        }
        kept
    };
    drop(round(false));
    let before = holdings();
    let kept = round(true);
    assert_eq!(kept.len(), 2);
    let held = holdings().0;
    // The camera itself goes: what it wrote stays.
    drop(camera);
    number(&mapped(kept[1].buffer().unwrap()), 320, 128);
    drop(kept);
    let _camera = UsbCamera::plugged();
    for _ in 0..5 {
        drop(round(false));
    }
    wait_until("threads to end", Duration::from_secs(10), || {
        holdings().1.len() <= before.1.len()
    });
    let after = holdings().0;
    assert!(after <= before.0, "{after} open files, {} before", before.0);
    println!(
        "NOTE: {} open files, {held} with two frames kept, {after} after",
        before.0
    );
}

#[test]
fn more_frames_than_the_camera_proposes() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    // libcamera's handler for USB cameras keeps to four, whatever it is asked for.
    let source = usb_source("buffer-count=12 ! video/x-raw,width=320,height=240");
    source.set_state(gst::State::Playing);
    frames_in_order(&source, 20);
    assert_eq!(source.error(), None);
}
