//! What comes along with a frame: planes, metas, flags and offsets, also of frames that upstream writes into slots; and for how long it stays.

use std::time::Duration;

use gst::{meta::CustomMeta, prelude::*};
use gst_video::prelude::*;

use super::{
    I420, RGB,
    common::{
        self,
        rig::{Rig, alone, socket},
        source_rs::ShmReader,
        wait_until,
    },
    counter, info_of, info_size, picture,
};

#[test]
fn frames_with_other_strides_come_as_the_caps_have_them() {
    let _alone = alone("strides");
    let mut rig = Rig::new("strides", 1000, &[]);
    rig.set_caps(I420);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    let info = gst_video::VideoInfo::from_caps(&I420.parse::<gst::Caps>().unwrap()).unwrap();
    // Rows of 128 bytes; each pixel tells its row.
    let (strides, offsets) = ([128, 64, 64], [0usize, 128 * 50, 128 * 50 + 64 * 25]);
    let mut padded = vec![0xee; 128 * 50 + 2 * 64 * 25];
    for (plane, rows) in [(0, 50), (1, 25), (2, 25)] {
        for row in 0..rows {
            let at = offsets[plane] + row * strides[plane] as usize;
            padded[at..at + 102 / (1 + plane.min(1))].fill(row as u8);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(padded);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::I420,
        102,
        50,
        &offsets,
        &strides,
    )
    .unwrap();
    rig.push_buffer(buffer);
    let sample = reader.pull();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info);
    let frame = frame.unwrap();
    for plane in 0..3u32 {
        let stride = frame.plane_stride()[plane as usize] as usize;
        let width = 102 / (1 + plane.min(1) as usize);
        let data = frame.plane_data(plane).unwrap();
        for (row, line) in data.chunks(stride).enumerate() {
            assert!(
                line[..width].iter().all(|byte| *byte == row as u8),
                "plane {plane}, row {row}"
            );
        }
    }
}

#[test]
fn metas_and_flags_and_offsets_come_along() {
    let _alone = alone("metas");
    let mut rig = Rig::new("metas", 1000, &[]);
    rig.set_caps(RGB);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    let size = info_size(&RGB.parse().unwrap());
    let clock = gst::Caps::new_empty_simple("timestamp/x-system-monotonic");
    let crop = gst::Array::new([1i32, 2, 300, 400]);
    let mut buffer = picture(size, 1);
    {
        let buffer = buffer.get_mut().unwrap();
        buffer.set_duration(gst::ClockTime::from_mseconds(33));
        buffer.set_offset(17);
        buffer.set_offset_end(18);
        buffer.set_flags(gst::BufferFlags::CORRUPTED | gst::BufferFlags::MARKER);
        gst::ReferenceTimestampMeta::add(
            buffer,
            &clock,
            gst::ClockTime::from_nseconds(123_456_789),
            None,
        );
        let mut meta = CustomMeta::add(buffer, "libcamera").unwrap();
        let structure = meta.mut_structure();
        structure.set("exposure-time", 8333i32);
        structure.set("sensor-timestamp", 77_000_000_000i64);
        structure.set("analogue-gain", 1.5f32);
        structure.set("ae-locked", true);
        structure.set("af-state", "scanning");
        structure.set("scaler-crop", &crop);
        structure.set("colour-gains", gst::Array::new([1.25f32, 2.5]));
        structure.set(
            "crops",
            gst::Array::from_values([crop.to_send_value(), crop.to_send_value()]),
        );
        structure.set("count", 5u32);
        structure.set("byte", 200u8);
    }
    let sent = CustomMeta::from_buffer(&buffer, "libcamera")
        .unwrap()
        .structure()
        .to_owned();
    rig.push_buffer(buffer);
    // One without: nothing of the last one is left.
    rig.push_buffer(picture(size, 2));
    let sample = reader.pull();
    let buffer = sample.buffer().unwrap();
    assert_eq!(buffer.duration(), Some(gst::ClockTime::from_mseconds(33)));
    assert_eq!((buffer.offset(), buffer.offset_end()), (17, 18));
    let flags = gst::BufferFlags::CORRUPTED | gst::BufferFlags::MARKER;
    assert_eq!(buffer.flags() & flags, flags);
    assert!(
        buffer.flags().contains(gst::BufferFlags::DISCONT),
        "the first frame"
    );
    let sensor = buffer.meta::<gst::ReferenceTimestampMeta>().unwrap();
    assert_eq!(sensor.timestamp().nseconds(), 123_456_789);
    assert!(sensor.reference().is_strictly_equal(&clock));
    let came = CustomMeta::from_buffer(buffer, "libcamera")
        .unwrap()
        .structure()
        .to_owned();
    assert_eq!(came, sent);
    let sample = reader.pull();
    let buffer = sample.buffer().unwrap();
    assert!(CustomMeta::from_buffer(buffer, "libcamera").is_err());
    assert!(buffer.meta::<gst::ReferenceTimestampMeta>().is_none());
    assert!(!buffer.flags().intersects(flags | gst::BufferFlags::DISCONT));
    assert_eq!(buffer.duration(), None);
}

#[test]
fn frames_that_upstream_writes_into_slots_have_notes_as_well() {
    let _alone = alone("zero copy");
    let path = socket("zerocopy");
    let producer = gst::parse::launch(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=640,height=480,framerate=60/1 ! shmsink-rs name=sink socket-path={path}"
    ));
    let producer = producer.unwrap().downcast::<gst::Pipeline>().unwrap();
    producer.set_state(gst::State::Playing).unwrap();
    let reader = ShmReader::playing(&path, "");
    let mut last = None;
    for _ in 0..60 {
        let sample = reader.pull();
        let buffer = sample.buffer().unwrap();
        let pts = buffer.pts().unwrap();
        assert!(last.is_none_or(|last| pts >= last), "{last:?} {pts}");
        last = Some(pts);
        assert_eq!(info_of(&sample).width(), 640);
    }
    let sink = producer.by_name("sink").unwrap();
    let stats = sink.property::<gst::Structure>("stats");
    assert!(stats.get::<u64>("frames-zero-copy").unwrap() > 30);
    producer.set_state(gst::State::Null).unwrap();
}

#[test]
fn frames_that_are_kept_stay_as_they_are_after_null_and_are_given_back_in_the_end() {
    let _alone = alone("kept");
    let mut rig = Rig::new("kept", 100_000, &[]);
    let before = common::holdings();
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    let kept = reader.pull();
    rig.push(1);
    let part = reader
        .pull()
        .buffer()
        .unwrap()
        .copy_region(gst::BufferCopyFlags::MEMORY, 10..20)
        .unwrap();
    drop(reader);
    // It holds two frames and is given no more than its window.
    for frame in 2..50 {
        rig.push(frame);
    }
    assert_eq!(counter(&kept), 0);
    assert_eq!(rig.num_clients(), 1);
    drop(kept);
    wait_until("the first is back", Duration::from_secs(5), || {
        common::client::first_client(&rig, "acked") >= 1
    });
    assert_eq!(part.size(), 10);
    drop(part);
    rig.wait_for_clients(0);
    wait_until("everything is let go of", Duration::from_secs(5), || {
        common::holds_no_more_than(&before) || common::holdings().2.len() <= 1
    });
}
