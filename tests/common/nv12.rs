//! Frames for a camera to fill.

use gstlibcamerars::{
    camera::{FrameLayout, Plane, StreamConfig},
    os::memfd,
    sync::Arc,
};

/// `count` frames of ours in the layout of NV12.
pub fn frames(agreed: &StreamConfig, count: usize) -> Vec<FrameLayout> {
    let luma = agreed.stride * agreed.size.height;
    let frame = |_| {
        let fd = Arc::new(memfd::create_sealable("test-frame", u64::from(luma * 3 / 2)).unwrap());
        let plane = |offset, length| Plane {
            fd: fd.clone(),
            offset,
            length,
        };
        FrameLayout {
            planes: vec![plane(0, luma), plane(luma, luma / 2)],
        }
    };
    (0..count).map(frame).collect()
}
