//! What is passed on, what is copied instead, and that it comes back.

use std::time::Duration;

use gst::prelude::*;
use rustix::fs::SealFlags;

use super::{
    SIZE, SOON, buffer, client,
    common::{
        fd_wire::{Frame, Said},
        frames::Generator,
        holdings, holds_no_more_than,
        rig::alone,
        wait_until,
    },
    fd_rig, file, memory, ours, passable, references,
};

#[test]
fn ordinary_memory_is_copied_and_arrives_whole_in_every_reader() {
    let _alone = alone("ordinary memory");
    let mut rig = fd_rig("fdcopy", &[]);
    let mut readers: Vec<_> = (0..3).map(|_| rig.reader_with(&ours())).collect();
    rig.in_step(&mut readers, 0..100);
    assert_eq!(rig.stat("frames-copied"), 100);
    assert_eq!(rig.stat("frames-zero-copy"), 0);
    assert_eq!(rig.stat("frames-copied-scarce"), 0);
    // Readers in step hold two frames at most: the next copies go where those before were.
    let bytes = rig.stat("shm-bytes");
    assert!(bytes <= 4 * 65536, "{bytes} bytes of copies");
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}

#[test]
fn what_is_behind_a_descriptor_is_passed_on_and_comes_back() {
    let _alone = alone("passed on");
    let mut rig = fd_rig("fdpass", &[]);
    let (mut first, mut second) = (client(&rig), client(&rig));
    let fd = file(7, true);
    let stat = rustix::fs::fstat(&fd).unwrap();
    // Of two memories, the second of which begins somewhere in its file.
    let whole = memory(fd, SIZE);
    let part = memory(file(8, true), SIZE).share(1000..3000);
    rig.push_buffer(buffer(vec![whole.clone(), part]));
    for reader in [&mut first, &mut second] {
        let Said::Caps(caps) = reader.hear() else {
            panic!("no caps before the first frame");
        };
        assert_eq!(caps, "application/x-test");
        let frame = reader.frame();
        assert_eq!(frame.file(), (stat.st_dev, stat.st_ino));
        assert_eq!(frame.parts, [(SIZE as u64, 0), (2000, 1000)]);
        assert_eq!(frame.kind, 0);
        let bytes = frame.bytes();
        assert_eq!(Generator::new(SIZE).check(&bytes[..SIZE]), Some(7));
        let other = Generator::new(SIZE).frame(8);
        assert_eq!(bytes[SIZE..], other[1000..3000]);
        assert!(references(&whole) > 1);
        reader.release(frame.id);
    }
    wait_until("the frame is back", SOON, || references(&whole) == 1);
    assert_eq!(rig.stat("frames-zero-copy"), 1);
    assert_eq!(rig.stat("frames-held-upstreams"), 0);
    // One that is gone gives back what it had.
    rig.push_buffer(buffer(vec![whole.clone()]));
    let _ = (first.frame(), second.frame());
    drop(first);
    second.0.shutdown(std::net::Shutdown::Both).unwrap();
    wait_until("the frame is back again", SOON, || references(&whole) == 1);
}

#[test]
fn what_a_reader_could_shorten_is_copied() {
    let _alone = alone("could be shortened");
    let mut rig = fd_rig("fdunsealed", &[]);
    let mut reader = client(&rig);
    rig.push_buffer(buffer(vec![memory(file(3, false), SIZE)]));
    // To which somebody could add a seal against writing.
    let fd = file(5, false);
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).unwrap();
    rig.push_buffer(buffer(vec![memory(fd, SIZE)]));
    // One memory of each kind.
    let rest = gst::Memory::from_slice(vec![1; 10]);
    rig.push_buffer(buffer(vec![memory(file(4, true), SIZE), rest]));
    for (counter, size) in [(3, SIZE), (5, SIZE), (4, SIZE + 10)] {
        let frame = reader.frame();
        assert_eq!(frame.parts, [(size as u64, 0)]);
        let check = Generator::new(SIZE).check(&frame.bytes()[..SIZE]);
        assert_eq!(check, Some(counter));
        // Its size is for good.
        assert!(rustix::fs::ftruncate(&frame.fds[0], 1).is_err());
    }
    assert_eq!(rig.stat("frames-copied"), 3);
}

/// Readers that keep what they get cost the camera no more than it was asked for. Beyond that everybody gets copies; with leaky=skip those do not that
/// keep something.
#[test]
fn readers_that_keep_frames_get_copies_when_frames_are_scarce() {
    let _alone = alone("scarce");
    for (leaky, copies) in [("mailbox", true), ("skip", false)] {
        let mut rig = fd_rig("fdscarce", &[("leaky", leaky)]);
        let mut keeper = client(&rig);
        let mut healthy = client(&rig);
        let counter = |frame: &Frame| Generator::new(SIZE).check(&frame.bytes());
        let mut kept = Vec::new();
        // Nobody has asked the harness for frames to spare, so it is two.
        for counter in 0..2 {
            rig.push_buffer(passable(counter));
            kept.push(keeper.frame());
            let frame = healthy.frame();
            healthy.release(frame.id);
        }
        wait_until("only the kept ones are out", SOON, || {
            rig.stat("frames-held-upstreams") == 2
        });
        rig.push_buffer(passable(2));
        assert_eq!(rig.stat("frames-copied-scarce"), 1);
        let frame = healthy.frame();
        assert_eq!(counter(&frame), Some(2));
        healthy.release(frame.id);
        if copies {
            assert_eq!(counter(&keeper.frame()), Some(2));
        }
        keeper.release(kept.pop().unwrap().id);
        wait_until("one is back", SOON, || {
            rig.stat("frames-held-upstreams") == 1
        });
        rig.push_buffer(passable(3));
        for reader in [&mut healthy, &mut keeper] {
            assert_eq!(counter(&reader.frame()), Some(3));
        }
        assert_eq!(rig.stat("frames-zero-copy"), 3);
        assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
        rig.assert_no_error();
    }
}

#[test]
fn shm_size_bounds_the_copies() {
    let _alone = alone("bound");
    // Copies are of whole steps of 64 KiB.
    let mut rig = fd_rig("fdbound", &[]);
    rig.element.set_property("shm-size", 140_000u32);
    let mut keeper = client(&rig);
    rig.push(0);
    let first = keeper.frame();
    rig.push(1);
    let _second = keeper.frame();
    rig.push(2);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 1);
    assert_eq!(rig.stat("shm-bytes"), 2 * 65536);
    keeper.release(first.id);
    wait_until("the release is heard", SOON, || {
        rig.client_stat(std::process::id(), "outstanding") == 1
    });
    rig.push(3);
    let frame = keeper.frame();
    assert_eq!(Generator::new(SIZE).check(&frame.bytes()), Some(3));
}

#[test]
fn nothing_is_left_open() {
    let _alone = alone("left open");
    let round = || {
        let mut rig = fd_rig("fdleft", &[]);
        let mut reader = client(&rig);
        for counter in 0..10 {
            rig.push(counter);
            rig.push_buffer(passable(counter));
            for _ in 0..2 {
                let frame = reader.frame();
                reader.release(frame.id);
            }
        }
        // One is dropped while the reader has frames.
        rig.push(10);
        rig.push_buffer(passable(11));
        rig.stop();
    };
    round();
    let before = holdings();
    for _ in 0..20 {
        round();
    }
    wait_until("everything is closed", SOON, || holds_no_more_than(&before));
}
