//! Caps come before their frames, the end after them, and frames stay beyond it.

use std::time::{Duration, Instant};

use super::{
    SIZE, client,
    common::{
        fd_wire::{FdClient, Said},
        frames::Generator,
        rig::alone,
        source_rs::ShmReader,
    },
    fd_rig,
};

#[test]
fn caps_come_before_their_frames_and_the_end_after_them() {
    let _alone = alone("caps and end");
    let mut rig = fd_rig("fdcaps", &[]);
    let mut reader = client(&rig);
    assert!(reader.hears_nothing());
    rig.push(0);
    let heard = |reader: &mut FdClient| match reader.hear() {
        Said::Caps(caps) => caps,
        Said::Frame(frame) => {
            let counter = Generator::new(SIZE).check(&frame.bytes()).unwrap();
            reader.release(frame.id);
            format!("frame {counter}")
        }
        Said::End => "end".to_owned(),
        Said::Closed => "closed".to_owned(),
    };
    assert_eq!(heard(&mut reader), "application/x-test");
    assert_eq!(heard(&mut reader), "frame 0");
    rig.set_caps("application/x-other");
    rig.push(1);
    rig.push(2);
    assert_eq!(heard(&mut reader), "application/x-other");
    assert_eq!(heard(&mut reader), "frame 1");
    // A late one is told the caps that there are.
    let mut late = client(&rig);
    assert_eq!(heard(&mut reader), "frame 2");
    rig.push(3);
    assert_eq!(heard(&mut late), "application/x-other");
    assert_eq!(heard(&mut late), "frame 3");
    assert_eq!(heard(&mut reader), "frame 3");
    let before = Instant::now();
    rig.push_event(gst::event::Eos::new());
    assert!(before.elapsed() < Duration::from_millis(250));
    for reader in [&mut reader, &mut late] {
        assert_eq!(heard(reader), "end");
    }
    // Who comes after the end hears of it.
    let mut after = client(&rig);
    assert_eq!(heard(&mut after), "application/x-other");
    assert_eq!(heard(&mut after), "end");
    rig.stop();
    for reader in [&mut reader, &mut late, &mut after] {
        assert_eq!(heard(reader), "closed");
    }
}

#[test]
fn a_reader_keeps_its_frames_beyond_the_sinks_end() {
    let _alone = alone("beyond the end");
    let mut rig = fd_rig("fdbeyond", &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(1);
    let sample = reader.pull();
    let path = rig.path.clone();
    rig.stop();
    let mut again = fd_rig("fdbeyond", &[]);
    assert_eq!(again.path, path);
    again.wait_for_clients(1);
    again.push(2);
    let counter = |sample: &gst::Sample| {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        Generator::new(SIZE).check(&map)
    };
    assert_eq!(counter(&reader.pull()), Some(2));
    assert_eq!(counter(&sample), Some(1));
    assert_eq!(reader.stat("connections"), 2);
}
