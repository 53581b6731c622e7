//! Caps: those that come by themselves and change, and those that nobody tells.

use gst::prelude::*;
use gstlibcamerars::shm::{header::StreamState, note::Note};

use super::{
    I420, RGB, bytes,
    common::{
        producer::{FIRST, FakeProducer, plain_note},
        rig::{Rig, alone},
        source_rs::ShmReader,
    },
    info_of, info_size, picture,
};

#[test]
fn caps_come_by_themselves_and_change() {
    let _alone = alone("caps");
    let mut rig = Rig::new("caps", 1000, &[]);
    let reader = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    for round in 0..6u8 {
        let caps = [I420, RGB][usize::from(round) % 2];
        rig.set_caps(caps);
        let wanted: gst::Caps = caps.parse().unwrap();
        let size = gst_video::VideoInfo::from_caps(&wanted).unwrap().size();
        for number in 0..3 {
            let frame = picture(size, round * 3 + number);
            let sent = frame.map_readable().unwrap().to_vec();
            rig.push_buffer(frame);
            let sample = reader.pull();
            assert_eq!(sample.caps().unwrap(), &wanted);
            assert_eq!(bytes(&sample), sent);
            let info = info_of(&sample);
            let meta = sample
                .buffer()
                .unwrap()
                .meta::<gst_video::VideoMeta>()
                .unwrap();
            assert_eq!(
                (meta.stride(), meta.offset()),
                (info.stride(), info.offset())
            );
        }
    }
    // The same size with other caps: the memory stays, the caps change.
    let area = reader.element.property::<String>("shm-area-name");
    let wanted: gst::Caps = RGB.replace("0/1", "25/1").parse().unwrap();
    rig.set_caps(&wanted.to_string());
    rig.push_buffer(picture(info_size(&wanted), 1));
    assert_eq!(reader.pull().caps().unwrap(), &wanted);
    assert_eq!(reader.element.property::<String>("shm-area-name"), area);
    // A note that is longer than most; and one that has no room for its caps, which then stay as they were.
    for (length, comes) in [(1500, true), (3000, false)] {
        let text = format!("application/x-long, text=(string){}", "x".repeat(length));
        rig.set_caps(&text);
        rig.push_buffer(picture(100, 1));
        let is_it = reader
            .pull()
            .caps()
            .unwrap()
            .can_intersect(&text.parse::<gst::Caps>().unwrap());
        assert_eq!(is_it, comes, "{length}");
    }
    assert_eq!(reader.stat("caps-changes"), 9);
    assert_eq!(reader.stat("frames-without-note"), 0);
    rig.assert_no_error();
}

#[test]
fn downstream_that_takes_something_else_is_an_error_that_says_both() {
    let _alone = alone("other caps");
    let mut rig = Rig::new("other", 1000, &[]);
    rig.set_caps(RGB);
    let reader = ShmReader::playing(&rig.path, "! video/x-raw,format=NV12");
    rig.wait_for_clients(1);
    rig.push_buffer(picture(info_size(&RGB.parse().unwrap()), 1));
    let text = reader.only_error();
    assert!(text.contains("RGB") && text.contains("NV12"), "{text}");
    // It leaves its place.
    rig.wait_for_clients(0);
}

/// What would be made up of a list of formats is not what the frames are.
#[test]
fn frames_without_caps_are_not_taken_for_one_of_several() {
    let _alone = alone("several caps");
    for (rest, text) in [
        ("! video/x-raw", "takes several"),
        ("! video/x-raw,format=RGB,width=4", "takes several"),
        (
            "! video/x-raw,format=RGB,width=4,height=[1,4]",
            "takes several",
        ),
        ("! videoconvert", "takes several"),
        ("! audio/x-raw,format=S16LE", "takes several"),
        (
            "! video/x-raw,format=RGB,width=4,height=4,framerate=30/1 ! videoconvert",
            "",
        ),
        ("! video/x-raw,format=RGB,width=4,height=4", ""),
        ("", ""),
    ] {
        println!("{rest}");
        let mut producer = FakeProducer::new("several");
        let reader = ShmReader::playing(&producer.path, rest);
        producer.accept();
        producer.announce();
        producer.frame(FIRST, 48);
        if text.is_empty() {
            reader.pull();
        } else {
            let error = reader.only_error();
            assert!(error.contains(text), "{error}");
        }
    }
}

#[test]
fn frames_that_no_longer_tell_caps_are_what_downstream_has() {
    let _alone = alone("caps that are told no longer");
    let mut producer = FakeProducer::new("kept");
    let reader = ShmReader::playing(&producer.path, "! videoconvert");
    producer.accept();
    producer.write_header(StreamState::Running);
    producer.announce();
    let caps =
        "video/x-raw, format=(string)RGB, width=(int)4, height=(int)4, framerate=(fraction)30/1";
    let note = plain_note(0, 48, 1);
    producer.write_note(0, &Note { caps, ..note });
    producer.frame(FIRST, 48);
    let told = reader.pull();
    producer.write_note(0, &plain_note(0, 48, 2));
    producer.frame(FIRST, 48);
    assert_eq!(reader.pull().caps(), told.caps());
    assert_eq!(reader.error(), None);
}

#[test]
fn caps_that_are_told_late_are_a_warning() {
    let _alone = alone("late caps");
    let mut producer = FakeProducer::new("late");
    let reader = ShmReader::playing(&producer.path, "");
    producer.accept();
    producer.write_header(StreamState::Running);
    producer.announce();
    producer.write_note(0, &plain_note(0, 100, 1));
    producer.frame(FIRST, 100);
    reader.pull();
    let note = plain_note(0, 100, 2);
    let caps = "application/x-late, a=(int)1";
    producer.write_note(0, &Note { caps, ..note });
    producer.frame(FIRST, 100);
    assert_eq!(reader.pull().caps(), None);
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    assert!(warning.unwrap().contains("late"));
}
