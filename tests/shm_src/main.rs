//! `shmsrc-rs` and `shmsink-rs`: what a reader knows of the frames, without anybody telling it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod caps;
mod ends;
mod frames;
mod pauses;
mod readers;
mod times;

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// Frames of a pattern, each telling its number.
fn picture(size: usize, number: u8) -> gst::Buffer {
    let bytes = (0..size).map(|at| (at as u8).wrapping_mul(7).wrapping_add(number));
    gst::Buffer::from_mut_slice(bytes.collect::<Vec<u8>>())
}

fn bytes(sample: &gst::Sample) -> Vec<u8> {
    sample.buffer().unwrap().map_readable().unwrap().to_vec()
}

fn counter(sample: &gst::Sample) -> u64 {
    let frame = bytes(sample);
    common::frames::Generator::new(frame.len())
        .check(&frame)
        .expect("a whole frame")
}

const I420: &str = "video/x-raw, format=(string)I420, width=(int)102, height=(int)50, framerate=(fraction)30/1, colorimetry=(string)bt709";
const RGB: &str = "video/x-raw, format=(string)RGB, width=(int)51, height=(int)20, framerate=(fraction)0/1, colorimetry=(string)1:1:0:0";

fn info_of(sample: &gst::Sample) -> gst_video::VideoInfo {
    gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap()
}

fn info_size(caps: &gst::Caps) -> usize {
    gst_video::VideoInfo::from_caps(caps).unwrap().size()
}
