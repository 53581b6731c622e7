//! `shmsink-rs` and its readers: stock `shmsrc` in processes of their own, stopped and killed as it may happen, and clients that keep no rule.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    reader::{KEPT, ReaderOptions, Seen},
    rig::{Rig, alone},
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

fn ack(offset: u64) -> Vec<u8> {
    let mut ack = 4u32.to_ne_bytes().to_vec();
    ack.extend_from_slice(&1u32.to_ne_bytes());
    ack.extend_from_slice(&offset.to_ne_bytes());
    ack.extend_from_slice(&[0; 8]);
    ack
}

/// The offset of the next frame that the sink sends to a raw client.
fn next_offset(client: &mut UnixStream) -> u64 {
    loop {
        let mut message = [0; 24];
        client.read_exact(&mut message).unwrap();
        let word = |at: usize| u32::from_ne_bytes(message[at..at + 4].try_into().unwrap());
        match word(0) {
            1 => {
                let mut name = vec![0; word(16) as usize];
                client.read_exact(&mut name).unwrap();
                assert_eq!((name.first(), name.last()), (Some(&b'/'), Some(&0)));
            }
            2 => (),
            3 => return u64::from_ne_bytes(message[8..16].try_into().unwrap()),
            kind => panic!("message of type {kind}"),
        }
    }
}

/// The sink has closed the connection.
fn is_closed(client: &mut UnixStream) -> bool {
    loop {
        match client.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => (),
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    let _alone = alone("bytes arrive");
    let mut rig = Rig::new("bytes", 100_001, &[]);
    let mut readers = [rig.reader(), rig.reader()];
    rig.in_step(&mut readers, 0..100);
    assert_eq!(rig.stat("frames-published"), 100);
    assert_eq!(rig.stat("bytes-published"), 100 * 100_001);
    for reader in &readers {
        assert_eq!(rig.client_stat(reader.pid(), "skipped"), 0);
    }
    rig.assert_no_error();
}

#[test]
fn t02_a_stopped_reader_of_small_frames_costs_the_others_nothing() {
    let _alone = alone("a stopped reader");
    let mut rig = Rig::new("stopped", 1000, &[]);
    let mut stopped = rig.reader();
    let mut readers = [rig.reader(), rig.reader()];
    rig.push(0);
    assert_eq!(stopped.counter(), 0);
    for reader in &mut readers {
        assert_eq!(reader.counter(), 0);
    }
    stopped.stop();
    // Far more than its socket could take: there the stock sink blocks for good.
    rig.in_step(&mut readers, 1..1001);
    let client = rig.client(stopped.pid()).unwrap();
    assert_eq!(client.get::<&str>("state").unwrap(), "saturated");
    assert_eq!(client.get::<u64>("outstanding").unwrap(), 4);
    assert_eq!(client.get::<u64>("skipped").unwrap(), 996 + KEPT);

    stopped.resume();
    // Those that were under way, and then at once the newest.
    let seen: Vec<u64> = (0..4).map(|_| stopped.counter()).collect();
    assert_eq!(seen, [1, 2, 3, 1000]);
    let mut all = [stopped];
    rig.in_step(&mut all, 1001..1011);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
    rig.assert_no_error();
}

#[test]
fn null_is_reached_whatever_readers_do() {
    let _alone = alone("to NULL");
    for size in [1000, 1_000_000] {
        // The quickest of three: the machine may have other things to do, but not always.
        let quickest = (0..3)
            .map(|_| {
                let mut rig = Rig::new("null", size, &[]);
                let stopped = rig.reader();
                let _silent = rig.raw_client();
                stopped.stop();
                for counter in 0..400 {
                    rig.push(counter);
                }
                rig.stop()
            })
            .min()
            .unwrap();
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    }
}

#[test]
fn t19_eos_waits_for_no_reader_for_long() {
    let _alone = alone("EOS");
    let mut rig = Rig::new("eos", 1000, &[]);
    let stopped = rig.reader();
    stopped.stop();
    for counter in 0..10 {
        rig.push(counter);
    }
    assert!(rig.push_event(gst::event::Eos::new()));
    rig.bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(5), &[gst::MessageType::Eos])
        .expect("EOS");
    rig.stop();
}

#[test]
fn t03_a_killed_reader_gives_its_slots_back() {
    let _alone = alone("a killed reader");
    let mut rig = Rig::new("killed", 10_000, &[]);
    let mut healthy = [rig.reader()];
    for _ in 0..common::scale(5, 1000) {
        let mut greedy = rig.reader_with(&ReaderOptions {
            size: Some(10_000),
            hold: 100,
            ..ReaderOptions::default()
        });
        rig.in_step(&mut healthy, 0..10);
        assert_eq!(rig.client_stat(greedy.pid(), "outstanding"), 4);
        greedy.kill();
        rig.wait_for_clients(1);
        wait_until("its slots are free", SOON, || {
            rig.stat("slots-free") + KEPT == rig.stat("slots-reserved")
        });
    }
    rig.assert_no_error();
}

#[test]
fn readers_may_hold_less_than_their_window_for_good() {
    let _alone = alone("readers that hold frames");
    let mut rig = Rig::new("hold", 1000, &[("client-window", "3")]);
    let holding = rig.reader_with(&ReaderOptions {
        size: Some(1000),
        hold: 1,
        ..ReaderOptions::default()
    });
    let mut readers = [holding, rig.reader()];
    rig.in_step(&mut readers, 0..200);
    assert_eq!(rig.client_stat(readers[0].pid(), "skipped"), 0);
    wait_until("it holds what it keeps", SOON, || {
        rig.client_stat(readers[0].pid(), "outstanding") == 1 + KEPT
    });
}

#[test]
fn t10_clients_that_never_read_or_ack_are_passed_by() {
    let _alone = alone("clients that never read");
    let mut rig = Rig::new("silent", 1000, &[]);
    let _silent = [rig.raw_client(), rig.raw_client(), rig.raw_client()];
    let mut readers = [rig.reader()];
    rig.in_step(&mut readers, 0..500);
    assert_eq!(rig.num_clients(), 4);
    assert_eq!(rig.stat("frames-dropped-no-slot"), 0);
}

/// 100 in 100 ms: more at once come only from a nuisance.
#[test]
fn t08_no_more_clients_are_taken_on_than_anybody_needs() {
    let _alone = alone("accept limit");
    let mut rig = Rig::new("limit", 1000, &[("max-clients", "256")]);
    let mut readers = [rig.reader()];
    rig.in_step(&mut readers, 0..2);
    let begun = Instant::now();
    // More wait than the limit allows; none of them is turned away.
    let crowd: Vec<_> = (0..250)
        .map(|_| UnixStream::connect(&rig.path).unwrap())
        .collect();
    let mut counter = 2;
    while rig.num_clients() < 251 {
        rig.in_step(&mut readers, counter..counter + 1);
        counter += 1;
        assert!(begun.elapsed() < SOON, "{} clients", rig.num_clients());
    }
    // Two whole periods after the first hundred and the second.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(150), "{took:?}");
    assert_eq!(rig.client_stat(readers[0].pid(), "skipped"), 0);
    drop(crowd);
    rig.wait_for_clients(1);
}

#[test]
fn t09_who_breaks_the_protocol_goes_alone() {
    let _alone = alone("broken protocol");
    let mut rig = Rig::new("broken", 1000, &[]);
    let mut readers = [rig.reader()];
    let mut counter = 0;
    let garbage: [&dyn Fn(u64) -> Vec<u8>; 6] = [
        // Twice.
        &|offset| [ack(offset), ack(offset)].concat(),
        // Of no frame.
        &|offset| ack(offset + 4096),
        &|_| ack(u64::MAX),
        // No ack at all.
        &|_| vec![0; 24],
        &|_| vec![0xff; 100_000],
        &|_| b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];
    for bytes in garbage {
        let mut client = rig.raw_client();
        rig.in_step(&mut readers, counter..counter + 1);
        let offset = next_offset(&mut client);
        // The sink may close before it has all of it.
        let _ = client.write_all(&bytes(offset));
        assert!(is_closed(&mut client));
        rig.wait_for_clients(1);
        rig.in_step(&mut readers, counter + 1..counter + 10);
        counter += 10;
    }
    wait_until("every slot is free", SOON, || {
        rig.stat("slots-free") + KEPT == rig.stat("slots-reserved")
    });
    rig.assert_no_error();
}

#[test]
fn t09_acks_may_come_in_pieces_and_in_any_order() {
    let _alone = alone("acks in pieces");
    let mut rig = Rig::new("pieces", 1000, &[]);
    let mut client = rig.raw_client();
    for round in 0..20 {
        let mut offsets: Vec<u64> = (0..4)
            .map(|frame| {
                rig.push(round * 4 + frame);
                next_offset(&mut client)
            })
            .collect();
        offsets.reverse();
        for byte in offsets.into_iter().flat_map(ack) {
            client.write_all(&[byte]).unwrap();
        }
        wait_until("all are acked", SOON, || {
            rig.client_stat(std::process::id(), "outstanding") == 0
        });
    }
    assert_eq!(rig.client_stat(std::process::id(), "skipped"), 0);
}

#[test]
fn t08_a_storm_of_connections_upsets_nobody() {
    let _alone = alone("a storm");
    let mut rig = Rig::new("storm", 1000, &[]);
    let mut readers = [rig.reader()];
    let over = Arc::new(AtomicBool::new(false));
    let connected = Arc::new(AtomicU32::new(0));
    let storm = {
        let (over, connected, path) = (over.clone(), connected.clone(), rig.path.clone());
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                // The backlog may be full.
                if UnixStream::connect(&path).is_ok() {
                    connected.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    // As long as it takes for a storm: a watchdog ends it.
    let mut next = 0;
    while next < 1000 || connected.load(Ordering::SeqCst) < common::scale(500, 10_000) as u32 {
        rig.in_step(&mut readers, next..next + 100);
        next += 100;
    }
    over.store(true, Ordering::SeqCst);
    storm.join().unwrap();
    rig.wait_for_clients(1);
    rig.in_step(&mut readers, next..next + 10);
    assert_eq!(rig.client_stat(readers[0].pid(), "skipped"), 0);
    rig.assert_no_error();
}

#[test]
fn one_client_too_many_is_sent_away() {
    let _alone = alone("max-clients");
    let mut rig = Rig::new("many", 1000, &[("max-clients", "2")]);
    let mut readers = [rig.reader()];
    let _second = rig.raw_client();
    let mut third = UnixStream::connect(&rig.path).unwrap();
    assert!(is_closed(&mut third));
    rig.in_step(&mut readers, 0..10);
    assert_eq!(rig.num_clients(), 2);
}

#[test]
fn t13_a_change_of_size_reaches_readers_that_listen_and_one_that_does_not() {
    let _alone = alone("a change of size");
    let mut rig = Rig::new("sizes", 1000, &[]);
    let mut readers = [
        rig.reader_with(&ReaderOptions::default()),
        rig.reader_with(&ReaderOptions::default()),
    ];
    let mut stopped = rig.reader_with(&ReaderOptions::default());
    let sizes = [
        (320, 240),
        (1280, 720),
        (1920, 1080),
        (3840, 2160),
        (1920, 1080),
        (640, 480),
    ];
    for (round, (width, height)) in sizes.into_iter().enumerate() {
        let size = width * height * 3 / 2;
        rig.set_caps(&format!(
            "video/x-raw,format=NV12,width={width},height={height},framerate=30/1"
        ));
        for frame in 0..3 {
            let bytes = vec![(round * 3 + frame) as u8; size];
            let sent = Seen::of(&bytes);
            rig.push_buffer(gst::Buffer::from_mut_slice(bytes));
            for reader in &mut readers {
                assert_eq!(reader.frame(), sent);
            }
            if round == 0 {
                assert_eq!(stopped.frame(), sent);
            }
            if (round, frame) == (0, 2) {
                // The acks are on their way before it is stopped.
                wait_until("it has acked", SOON, || {
                    rig.client_stat(stopped.pid(), "outstanding") == KEPT
                });
                stopped.stop();
            }
        }
    }
    wait_until("only its two areas are kept", SOON, || {
        rig.stat("areas-retired") == 2
    });
    wait_until("memory that nobody needs is given back", SOON, || {
        rig.stat("shm-bytes") == common::memory_of(std::process::id())
    });
    stopped.resume();
    // Beside the one of the first size that it still holds: three of the second size, then the newest, of the last. All of them whole.
    let expected = [
        (1280 * 720, 3),
        (1280 * 720, 4),
        (1280 * 720, 5),
        (640 * 480, 17),
    ];
    for (pixels, value) in expected {
        assert_eq!(stopped.frame(), Seen::of(&vec![value; pixels * 3 / 2]));
    }
    wait_until("old areas are gone", SOON, || {
        rig.stat("areas-retired") == 0 && common::areas_of(std::process::id()).len() == 1
    });
    for reader in readers.iter_mut().chain([&mut stopped]) {
        assert_eq!(reader.try_line("error", Duration::ZERO), None);
    }
    rig.assert_no_error();
}

#[test]
fn buffers_of_growing_size_need_few_areas() {
    let _alone = alone("growing buffers");
    let mut rig = Rig::new("growing", 1000, &[]);
    let mut reader = rig.reader_with(&ReaderOptions::default());
    for size in (1000..1_000_000).step_by(40_000) {
        let bytes = vec![7; size];
        let sent = Seen::of(&bytes);
        rig.push_buffer(gst::Buffer::from_mut_slice(bytes));
        assert_eq!(reader.frame(), sent);
    }
    let stats = rig.element.property::<gst::Structure>("stats");
    let generation = stats.get::<u32>("generation").unwrap();
    assert!(generation <= 8, "{generation} areas");
}

#[test]
fn t12_nothing_is_copied_for_nobody_and_empty_buffers_harm_nobody() {
    let _alone = alone("empty buffers");
    let mut rig = Rig::new("empty", 1000, &[]);
    for counter in 0..10 {
        rig.push(counter);
    }
    assert_eq!(rig.stat("frames-without-client"), 10);
    assert_eq!(rig.stat("bytes-published"), 0);
    let mut readers = [rig.reader()];
    let mut gap = gst::Buffer::new();
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    rig.push_buffer(gap);
    rig.push_buffer(gst::Buffer::with_size(0).unwrap());
    rig.in_step(&mut readers, 0..3);
    assert_eq!(rig.stat("frames-empty"), 2);
    assert_eq!(rig.stat("frames-in"), 15);
}

#[test]
fn wait_for_connection_waits_for_the_first_reader_only() {
    let _alone = alone("wait-for-connection");
    let mut rig = Rig::new("wait", 1000, &[("wait-for-connection", "true")]);
    let path = rig.path.clone();
    let element = rig.element.clone();
    let (pushed, came_back) = mpsc::channel();
    let pusher = thread::spawn(move || {
        let buffer = gst::Buffer::from_mut_slice(vec![0; 1000]);
        let result = rig.try_push(buffer);
        pushed.send(result).unwrap();
        rig
    });
    assert!(came_back.recv_timeout(Duration::from_millis(200)).is_err());
    // A pause and a way back do not count as a reader.
    element.set_state(gst::State::Paused).unwrap();
    element.set_state(gst::State::Playing).unwrap();
    assert!(came_back.recv_timeout(Duration::from_millis(200)).is_err());
    let client = UnixStream::connect(path).unwrap();
    came_back.recv_timeout(SOON).unwrap().unwrap();
    let mut rig = pusher.join().unwrap();
    drop(client);
    rig.wait_for_clients(0);
    rig.push(1);
}

#[test]
fn waiting_for_a_reader_ends_with_a_flush_and_with_null() {
    let _alone = alone("unlock");
    for flush in [true, false] {
        let mut rig = Rig::new("unlock", 1000, &[("wait-for-connection", "true")]);
        let element = rig.element.clone();
        let pad = element.static_pad("sink").unwrap();
        let (pushed, came_back) = mpsc::channel();
        let pusher = thread::spawn(move || {
            let buffer = gst::Buffer::from_mut_slice(vec![0; 1000]);
            pushed.send(rig.try_push(buffer)).unwrap();
            rig
        });
        assert!(came_back.recv_timeout(Duration::from_millis(200)).is_err());
        if flush {
            pad.send_event(gst::event::FlushStart::new());
        } else {
            element.set_state(gst::State::Null).unwrap();
        }
        let result = came_back.recv_timeout(SOON).unwrap();
        assert_eq!(result, Err(gst::FlowError::Flushing));
        pusher.join().unwrap();
    }
}

#[test]
fn t20_signals_tell_who_comes_and_goes_and_may_stop_the_element() {
    let _alone = alone("signals");
    let rig = Rig::new("signals", 1000, &[]);
    let (told, events) = mpsc::channel();
    for name in ["client-connected", "client-disconnected"] {
        let told = told.clone();
        rig.element.connect(name, false, move |values| {
            let fd = values[1].get::<i32>().unwrap();
            // The number is still the connection's.
            assert!(std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
            told.send((name, fd)).unwrap();
            None
        });
    }
    let client = rig.raw_client();
    let (name, fd) = events.recv_timeout(SOON).unwrap();
    assert_eq!(name, "client-connected");
    drop(client);
    assert_eq!(
        events.recv_timeout(SOON).unwrap(),
        ("client-disconnected", fd)
    );
    // From NULL, too.
    let _client = rig.raw_client();
    let (_, fd) = events.recv_timeout(SOON).unwrap();
    // An element that is gone tells nothing.
    let element = rig.element.clone();
    rig.stop();
    assert_eq!(
        events.recv_timeout(SOON).unwrap(),
        ("client-disconnected", fd)
    );
    drop(element);

    // A handler that stops its own element, and starts it again at the same path.
    let rig = Rig::new("signals", 1000, &[]);
    let (done, restarted) = mpsc::channel();
    rig.element
        .connect("client-connected", false, move |values| {
            let element = values[0].get::<gst::Element>().unwrap();
            element.set_state(gst::State::Null).unwrap();
            element.set_state(gst::State::Playing).unwrap();
            done.send(()).unwrap();
            None
        });
    let mut client = UnixStream::connect(&rig.path).unwrap();
    restarted.recv_timeout(SOON).unwrap();
    assert!(is_closed(&mut client));
    assert_eq!(rig.num_clients(), 0);
    rig.stop();
}

#[test]
fn a_handler_that_never_returns_does_not_keep_the_element_from_null() {
    let _alone = alone("a stuck handler");
    let rig = Rig::new("stuck", 1000, &[]);
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = std::sync::Mutex::new(stuck);
    let (entered, in_handler) = mpsc::channel();
    rig.element.connect("client-connected", false, move |_| {
        entered.send(()).unwrap();
        let _ = stuck.lock().unwrap().recv();
        None
    });
    let _client = UnixStream::connect(&rig.path).unwrap();
    in_handler.recv_timeout(SOON).unwrap();
    let path = rig.path.clone();
    assert!(rig.stop() < SOON);
    assert!(!std::path::Path::new(&path).exists());
    drop(release);
}
