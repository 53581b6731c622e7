//! The copy of a frame into a slot.

use gstlibcamerars::os::copy::{LARGE, copy};

#[test]
fn large_frames_are_copied_whole_wherever_they_lie() {
    let noise: Vec<u8> = (0..LARGE + 200)
        .map(|byte| (byte * 31 + byte / 251) as u8)
        .collect();
    for (from, to, size) in [
        (0, 0, LARGE),
        (1, 0, LARGE + 63),
        (0, 7, LARGE + 1),
        (3, 15, LARGE + 100),
        (0, 1, LARGE - 1),
        (5, 3, 0),
    ] {
        let mut target = vec![0; LARGE + 200];
        copy(&mut target[to..to + size], &noise[from..from + size]);
        assert!(target[to..to + size] == noise[from..from + size]);
        assert!(target[..to].iter().all(|byte| *byte == 0));
        assert!(target[to + size..].iter().all(|byte| *byte == 0));
    }
}
