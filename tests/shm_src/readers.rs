//! Several readers of one sink, also stock ones.

use std::time::{Duration, Instant};

use super::common::{
    self,
    reader::ReaderOptions,
    rig::{READER_TEST, Rig, alone},
};

#[test]
fn eight_readers_and_one_is_stopped() {
    let _alone = alone("eight readers");
    let mut rig = Rig::new("eight", 100_000, &[]);
    let options = ReaderOptions {
        arguments: READER_TEST,
        size: Some(100_000),
        ours: Some(""),
        ..ReaderOptions::default()
    };
    let mut readers: Vec<_> = (0..8).map(|_| rig.reader_with(&options)).collect();
    rig.in_step(&mut readers, 0..5);
    let mut stopped = readers.pop().unwrap();
    stopped.stop();
    let frames = common::scale(200, 5000);
    rig.in_step(&mut readers, 5..5 + frames);
    stopped.resume();
    rig.push(9999);
    let deadline = Instant::now() + Duration::from_secs(10);
    while stopped.counter() != 9999 {
        assert!(Instant::now() < deadline);
    }
    rig.assert_no_error();
}

#[test]
fn stock_and_our_readers_read_one_sink_and_a_caps_change_passes_both() {
    let _alone = alone("mixed");
    let mut rig = Rig::new("mixed", 5000, &[]);
    let options = ReaderOptions {
        arguments: READER_TEST,
        size: Some(5000),
        ..ReaderOptions::default()
    };
    let ours = ReaderOptions {
        ours: Some(""),
        ..options
    };
    let mut readers = vec![rig.reader_with(&options), rig.reader_with(&ours)];
    for round in 0..20 {
        rig.set_caps(&format!("application/x-test, round=(int){round}"));
        rig.in_step(&mut readers, round * 10..round * 10 + 10);
    }
}
