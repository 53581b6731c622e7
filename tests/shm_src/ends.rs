//! How a stream ends: EOS, a producer that stops or is not there, and NULL at any time.

use std::time::{Duration, Instant};

use gst::prelude::*;

use super::{
    RGB,
    common::{
        self,
        rig::{Rig, alone, socket},
        source_rs::ShmReader,
    },
};

#[test]
fn eos_is_eos_and_a_stopped_sink_is_waited_for() {
    let _alone = alone("eos");
    let mut rig = Rig::new("eos", 1000, &[]);
    let path = rig.path.clone();
    let reader = ShmReader::playing(&path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    reader.pull();
    rig.push_event(gst::event::Eos::new());
    rig.stop();
    reader.wait_for_end();
    assert_eq!(
        reader.message(gst::MessageType::Warning, gst::ClockTime::ZERO),
        None
    );
    assert_eq!(reader.error(), None);
    drop(reader);

    // Stopped without EOS: waited for, and read again.
    let mut rig = Rig::new("eos", 1000, &[]);
    let reader = ShmReader::playing(&path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    reader.pull();
    rig.stop();
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    let warning = warning.unwrap();
    assert!(warning.contains("stopped before the end"), "{warning}");
    let mut rig = Rig::new("eos", 1000, &[]);
    rig.wait_for_clients(1);
    rig.push(7);
    let sample = reader.pull();
    assert!(
        sample
            .buffer()
            .unwrap()
            .flags()
            .contains(gst::BufferFlags::DISCONT)
    );
    assert_eq!(reader.stat("connections"), 2);
    // Without reconnect the proper stop is the end.
    reader.element.set_property("reconnect", false);
    rig.stop();
    reader.wait_for_end();
    assert_eq!(reader.error(), None);
}

/// An area is announced with a frame of it, and it is its header that says how the stream ended. With descriptors it may be the first that is said.
#[test]
fn a_reader_learns_of_the_end_without_a_frame_of_the_last_area() {
    let _alone = alone("eos without a frame");
    for transport in ["shm", "fd"] {
        for (had_a_frame, ends) in [(false, true), (false, false), (true, true), (true, false)] {
            println!("{transport}, a frame: {had_a_frame}, EOS: {ends}");
            let mut rig = Rig::new("noframe", 1000, &[("transport", transport)]);
            let reader = ShmReader::playing(&rig.path, "reconnect=false");
            rig.wait_for_clients(1);
            if had_a_frame {
                rig.push(0);
                drop(reader.pull());
                // Other caps: upstream asks for a pool, which makes an area that no frame has come to.
                rig.set_caps(RGB);
                let caps: gst::Caps = RGB.parse().unwrap();
                let pad = rig.element.static_pad("sink").unwrap();
                let mut query = gst::query::Allocation::new(Some(&caps), true);
                assert!(pad.query(&mut query));
            }
            if ends {
                rig.push_event(gst::event::Eos::new());
            }
            rig.stop();
            reader.wait_for_end();
            assert_eq!(reader.error(), None);
        }
    }
}

/// A frame has passed it by, and would be its own with its next ack.
#[test]
fn a_reader_that_is_behind_learns_that_its_sink_was_stopped() {
    let _alone = alone("stopped beside a slow reader");
    for transport in ["shm", "fd"] {
        println!("{transport}");
        let mut rig = Rig::new("behind", 1000, &[("transport", transport)]);
        let reader = ShmReader::playing(&rig.path, "reconnect=false");
        rig.wait_for_clients(1);
        rig.push(0);
        let mut samples = vec![reader.pull()];
        let window: u32 = rig.element.property("client-window");
        for counter in 1..u64::from(window) + 4 {
            rig.push(counter);
        }
        // It keeps all that it has got.
        while let Some(sample) = reader
            .sink
            .try_pull_sample(gst::ClockTime::from_mseconds(300))
        {
            samples.push(sample);
        }
        assert!(rig.client_stat(std::process::id(), "skipped") > 0);
        rig.stop();
        reader.wait_for_end();
        assert_eq!(reader.error(), None);
    }
}

/// The stream goes on after a flush, while nobody reads.
#[test]
fn who_comes_after_an_end_that_was_none_is_told_of_no_end() {
    let _alone = alone("on after EOS");
    let mut rig = Rig::new("onagain", 1000, &[("transport", "fd")]);
    let first = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(0);
    first.pull();
    rig.push_event(gst::event::Eos::new());
    first.wait_for_end();
    drop(first);
    rig.wait_for_clients(0);
    rig.push_event(gst::event::FlushStart::new());
    rig.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    rig.push_event(gst::event::Segment::new(&segment));
    rig.push(1);
    let second = ShmReader::playing(&rig.path, "");
    rig.wait_for_clients(1);
    rig.push(2);
    second.pull();
    assert!(!second.sink.is_eos());
}

#[test]
fn without_reconnect_a_missing_producer_is_an_error_that_says_what_to_do() {
    let _alone = alone("no producer");
    let path = socket("nobody");
    let reader = ShmReader::playing(&path, "reconnect=false");
    let text = reader.only_error();
    assert!(
        text.contains("cannot connect") && text.contains("reconnect=true"),
        "{text}"
    );
    let (nowhere, bus) = (ShmReader::new("x", ""), gst::Bus::new());
    nowhere.element.set_property("socket-path", None::<String>);
    nowhere.element.set_bus(Some(&bus));
    assert!(nowhere.element.set_state(gst::State::Paused).is_err());
    assert!(common::rig::error_of(&bus).contains("Set socket-path"));
}

/// Nothing if the queue is full.
fn try_connect(path: &str) -> Option<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK, None).unwrap();
    let address = SocketAddrUnix::new(path).unwrap();
    rustix::net::connect(&socket, &address)
        .ok()
        .map(|()| socket)
}

#[test]
fn null_takes_no_time_whatever_the_producer_does() {
    let _alone = alone("null");
    // A server whose queue is full, and one that says nothing.
    let path = socket("silent");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    for fill in [false, true] {
        let mut full = Vec::new();
        if fill {
            while let Some(socket) = try_connect(&path) {
                full.push(socket);
            }
        }
        for wait in [0, 30] {
            let reader = ShmReader::playing(&path, "");
            std::thread::sleep(Duration::from_millis(wait));
            let before = Instant::now();
            reader.pipeline.set_state(gst::State::Null).unwrap();
            assert!(
                before.elapsed() < Duration::from_millis(100),
                "{:?}",
                before.elapsed()
            );
        }
    }
    drop(listener);
    std::fs::remove_file(&path).unwrap();
}
