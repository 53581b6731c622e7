//! `shmsrc-rs` and producers that mean no good: whatever they say, write or take away, the stream ends with an error, and nothing else does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    producer::{FIRST, FakeProducer, LENGTH, STRIDE, plain_note},
    rig::alone,
    source_rs::ShmReader,
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::shm::{
    fields::{self, Value},
    header::StreamState,
    note::{Note, Planes},
    wire::Message,
};

/// A reader and its producer, connected.
fn pair(name: &str, rest: &str) -> (FakeProducer, ShmReader) {
    let mut producer = FakeProducer::new(name);
    let reader = ShmReader::playing(&producer.path, rest);
    producer.accept();
    (producer, reader)
}

/// Has the producer say it, and gives the text of the reader's error.
fn after(name: &str, say: impl FnOnce(&mut FakeProducer)) -> String {
    let (mut producer, reader) = pair(name, "");
    say(&mut producer);
    // Shown if there is none.
    println!("{name}: {:?}", producer.client);
    let text = reader.only_error();
    assert!(
        text.contains(&producer.path) || text.contains("frame"),
        "{text}"
    );
    text
}

fn message(kind: u32, area: u32, words: [u64; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&area.to_ne_bytes());
    bytes.extend_from_slice(&words[0].to_ne_bytes());
    bytes.extend_from_slice(&words[1].to_ne_bytes());
    bytes
}

#[test]
fn messages_that_are_none_end_the_stream() {
    let _alone = alone("messages that are none");
    for kind in [0, 4, 5, 99, u32::MAX] {
        let text = after("kind", |producer| producer.raw(&message(kind, 1, [0, 0])));
        assert!(text.contains(&format!("type {kind}")), "{text}");
    }
    for size in [0, 1, 2, 257, 65536, u64::from(u32::MAX)] {
        let text = after("name", |producer| {
            producer.raw(&message(1, 1, [LENGTH, size]))
        });
        assert!(text.contains("a name of"), "{text}");
    }
    for name in [
        "abc\0", "/a/b\0", "/..\0", "/.\0", "/abcd", "/a\0b\0", "/\u{0}\0",
    ] {
        let text = after("badname", |producer| {
            let mut bytes = message(1, 1, [LENGTH, name.len() as u64]);
            bytes.extend_from_slice(name.as_bytes());
            producer.raw(&bytes);
        });
        assert!(text.contains("name"), "{name:?}: {text}");
    }
    let text = after("utf8", |producer| {
        let mut bytes = message(1, 1, [LENGTH, 4]);
        bytes.extend_from_slice(&[b'/', 0xff, 0xfe, 0]);
        producer.raw(&bytes);
    });
    assert!(text.contains("name"), "{text}");
}

#[test]
fn frames_that_are_not_in_their_area_end_the_stream() {
    let _alone = alone("frames outside");
    for (offset, size) in [
        (LENGTH, 1),
        (0, LENGTH + 1),
        (LENGTH - 1, 2),
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::MAX, u64::MAX),
        (u64::MAX - 4095, 4096),
    ] {
        let text = after("outside", |producer| {
            producer.announce();
            producer.frame(offset, size);
        });
        assert!(text.contains("a frame of"), "{text}");
    }
    let text = after("unknown", |producer| producer.frame(0, 1));
    assert!(text.contains("which there is not"), "{text}");
    let text = after("closed", |producer| {
        producer.announce();
        producer.say(Message::CloseArea { generation: 1 });
        producer.frame(0, 1);
    });
    assert!(text.contains("which there is not"), "{text}");
}

#[test]
fn areas_that_are_no_memory_end_the_stream() {
    let _alone = alone("bad areas");
    let text = after("small", |producer| {
        producer.object.set_len(LENGTH - 1).unwrap();
        producer.announce();
    });
    assert!(
        text.contains(&format!(
            "{LENGTH} bytes in shared memory of {}",
            LENGTH - 1
        )),
        "{text}"
    );
    let text = after("twice", |producer| {
        producer.announce();
        producer.announce();
    });
    assert!(text.contains("a second time"), "{text}");
    let text = after("empty", |producer| {
        producer.say(Message::NewArea {
            generation: 1,
            length: 0,
            name: "/x",
        });
    });
    assert!(text.contains("of no bytes"), "{text}");
    // It may have gone meanwhile, and is waited for where that is wanted.
    let missing = Message::NewArea {
        generation: 1,
        length: 1,
        name: "/nobody has this",
    };
    let (mut producer, reader) = pair("missing", "");
    producer.say(missing);
    let warning = reader.message(gst::MessageType::Warning, gst::ClockTime::from_seconds(5));
    assert!(warning.unwrap().contains("no shared memory"));
    producer.accept();
    producer.announce();
    producer.frame(0, 1);
    reader.pull();
    drop((reader, producer));
    let (mut producer, reader) = pair("missing", "reconnect=false");
    producer.say(missing);
    let text = reader.only_error();
    assert!(
        text.contains("no shared memory") && text.contains("--ipc"),
        "{text}"
    );
    let text = after("many", |producer| {
        let name = producer.name.clone();
        for generation in 1..=19 {
            producer.say(Message::NewArea {
                generation,
                length: LENGTH,
                name: &name,
            });
        }
    });
    assert!(text.contains("more than 18 areas"), "{text}");
    // Closed ones count while somebody has a frame of them.
    let (mut producer, reader) = pair("held", "");
    let name = producer.name.clone();
    let mut held = Vec::new();
    for generation in 1..=19 {
        producer.say(Message::NewArea {
            generation,
            length: LENGTH,
            name: &name,
        });
        producer.say(Message::NewBuffer {
            generation,
            offset: 0,
            size: 1,
        });
        producer.say(Message::CloseArea { generation });
        if generation <= 18 {
            held.push(reader.pull());
        }
    }
    let text = reader.only_error();
    assert!(text.contains("more than 18 areas"), "{text}");
    drop(held);
    let text = after("huge", |producer| {
        let name = producer.name.clone();
        producer.object.set_len(1 << 62).unwrap();
        producer.say(Message::NewArea {
            generation: 1,
            length: 1 << 62,
            name: &name,
        });
    });
    assert!(text.contains("areas of more than"), "{text}");
    let text = after("hugeframe", |producer| {
        let (name, length) = (producer.name.clone(), 1 << 32);
        producer.object.set_len(length).unwrap();
        producer.say(Message::NewArea {
            generation: 1,
            length,
            name: &name,
        });
        producer.frame(0, 1 << 31);
    });
    assert!(text.contains("a frame of 2147483648 bytes"), "{text}");
    // What would keep its readers waiting: a device, a pipe, a file of another file system, a pipe with that name.
    let file = std::env::current_exe().unwrap();
    for path in ["/dev/zero", "/dev/null", file.to_str().unwrap()] {
        let text = after("device", |producer| {
            producer.announce_with(File::open(path).unwrap())
        });
        assert!(text.contains("was to be shared memory"), "{path}: {text}");
    }
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    let text = after("pipe", |producer| producer.announce_with(&pipe));
    assert!(text.contains("is no file"), "{text}");
    let fifo = format!("/fifo.{}", std::process::id());
    let place = format!("/dev/shm{fifo}");
    assert!(
        Command::new("mkfifo")
            .arg(&place)
            .status()
            .unwrap()
            .success()
    );
    let text = after("fifo", |producer| {
        producer.say(Message::NewArea {
            generation: 1,
            length: 1,
            name: &fifo,
        });
    });
    std::fs::remove_file(&place).unwrap();
    assert!(text.contains("is no file"), "{text}");
}

/// Has the producer show one frame with such a note.
fn after_note(name: &str, size: u64, note: impl Fn(Note<'static>) -> Note<'static>) -> String {
    after(name, |producer| {
        producer.write_header(StreamState::Running);
        producer.write_note(0, &note(plain_note(0, size, 1)));
        producer.announce();
        producer.frame(FIRST, size);
    })
}

#[test]
fn notes_that_are_not_true_end_the_stream() {
    let _alone = alone("bad notes");
    let text = after_note("offset", 100, |note| Note {
        offset: 8192,
        ..note
    });
    assert!(text.contains("another frame"), "{text}");
    let text = after_note("size", 100, |note| Note { size: 101, ..note });
    assert!(text.contains("another frame"), "{text}");
    let text = after_note("generation", 100, |note| Note {
        generation: 2,
        ..note
    });
    assert!(text.contains("another frame"), "{text}");
    for caps in [
        "video/x-raw, format=(string)RGB, width=(int)4000, height=(int)4000, framerate=(fraction)30/1",
        "video/x-raw, format=(string)RGB, width=(int)2147483647, height=(int)2147483647, framerate=(fraction)30/1",
        "video/x-raw, format=(string)NONE, width=(int)1, height=(int)1",
        "video/x-raw",
        "video/x-raw, width=(int)[ 1, 5 ]",
        "video/x-raw, a=(GstCaps)\"video/x-raw\"",
        "video/x-raw, a={ 1, 2 }",
        "video/x-raw(memory:DMABuf), format=(string)RGB, width=(int)1, height=(int)1",
        "a/b; c/d",
        "ANY",
        "a/b, c=<<1>>",
        "a/b, c=\"\u{1}\"",
        "a/b, c=\"",
        "a/b, c=(int",
        "a/b, c=(fraction)1/0",
        "\u{e9}/b",
        ",",
        "=",
    ] {
        println!("{caps}");
        let text = after_note("caps", 100, |note| Note { caps, ..note });
        assert!(text.contains("a frame cannot be used"), "{caps}: {text}");
        let remedy = "check what listens at socket-path";
        assert!(text.to_lowercase().contains(remedy), "{caps}: {text}");
    }
    // Planes beyond the frame.
    const RGB: &str =
        "video/x-raw, format=(string)RGB, width=(int)4, height=(int)4, framerate=(fraction)30/1";
    for planes in [
        vec![(1, 12)],
        vec![(0, 13)],
        vec![(0, 11)],
        vec![(0, -12)],
        vec![(u64::MAX, 12)],
        vec![(0, i32::MAX)],
        vec![(0, 12), (0, 12)],
    ] {
        let text = after_note("planes", 48, |note| Note {
            caps: RGB,
            planes: Planes::new(planes.clone().into_iter()),
            ..note
        });
        assert!(text.contains("planes"), "{planes:?}: {text}");
    }
    for fields in [
        &b"\x01a\x63"[..],
        b"\x05abc",
        b"\x00\x02",
        b"\x01a\x07\x01\x07\x01\x07\x01\x07\x00",
    ] {
        let text = after_note("fields", 100, |note| Note { fields, ..note });
        assert!(text.contains("fields are broken"), "{text}");
    }
    // Frames that go back in time, and one again.
    for second in [1, 0] {
        let text = after("order", |producer| {
            producer.write_header(StreamState::Running);
            producer.write_note(0, &plain_note(0, 100, 1));
            producer.write_note(1, &plain_note(1, 100, second));
            producer.announce();
            producer.frame(FIRST, 100);
            producer.frame(STRIDE + FIRST, 100);
        });
        assert!(
            text.contains(&format!("frame {second} after frame 1")),
            "{text}"
        );
    }
}

/// Downstream knows the caps of the frame before.
#[test]
fn a_frame_without_caps_is_not_smaller_than_those_that_downstream_knows() {
    let _alone = alone("caps that are told no longer");
    let text = after("nolonger", |producer| {
        producer.write_header(StreamState::Running);
        let caps = "video/x-raw, format=(string)RGB, width=(int)4, height=(int)4, framerate=(fraction)30/1";
        let note = plain_note(0, 48, 1);
        producer.write_note(0, &Note { caps, ..note });
        producer.write_note(1, &plain_note(1, 47, 2));
        producer.announce();
        producer.frame(FIRST, 48);
        producer.frame(STRIDE + FIRST, 47);
    });
    assert!(
        text.contains("a frame of 47 bytes, where its caps need 48"),
        "{text}"
    );
    // The same of a stock sink, with caps that were given here.
    let (mut producer, reader) = pair(
        "given",
        "! video/x-raw,format=RGB,width=4,height=4,framerate=30/1",
    );
    producer.announce();
    producer.frame(0, 48);
    reader.pull();
    producer.frame(48, 47);
    let text = reader.only_error();
    assert!(
        text.contains("a frame of 47 bytes, where its caps need 48"),
        "{text}"
    );
}

#[test]
fn a_producer_cannot_make_up_names_for_ever() {
    let _alone = alone("names");
    let (mut producer, reader) = pair("names", "");
    producer.write_header(StreamState::Running);
    producer.announce();
    let mut sequence = 0;
    while reader.error().is_none() {
        sequence += 1;
        assert!(sequence < 1000, "it takes any number of names");
        let mut bytes = Vec::new();
        fields::encode(&mut bytes, &format!("name-{sequence}"), &Value::Bool(true));
        let note = plain_note(0, 100, sequence);
        producer.write_note(
            0,
            &Note {
                fields: &bytes,
                ..note
            },
        );
        producer.frame(FIRST, 100);
        let _ = reader.try_pull(Duration::from_millis(100));
        let _ = producer
            .client
            .as_ref()
            .map(|client| client.set_nonblocking(true));
    }
    assert!(sequence > 200, "{sequence}");
}

#[test]
fn memory_that_is_taken_away_reads_as_zeros_and_ends_the_stream() {
    let _alone = alone("truncation");
    for notes in [false, true] {
        let (mut producer, reader) = pair("truncate", "");
        if notes {
            producer.write_header(StreamState::Running);
            producer.write_note(0, &plain_note(0, 3 * STRIDE, 1));
        }
        producer.write(FIRST, &vec![7; 3 * STRIDE as usize]);
        producer.announce();
        producer.frame(FIRST, 3 * STRIDE);
        let sample = reader.pull();
        let buffer = sample.buffer().unwrap();
        let map = buffer.map_readable().unwrap();
        assert!(map.iter().all(|byte| *byte == 7));
        producer.object.set_len(0).unwrap();
        assert!(map.iter().all(|byte| *byte == 0));
        drop(map);
        producer.frame(FIRST, 100);
        let text = reader.only_error();
        assert!(text.contains("taken memory away"), "{text}");
    }
}

const BUS: &str = "SHM_HOSTILE_BUS";

/// Not a test: it must die of a SIGBUS that is none of ours.
#[test]
fn bus_process() {
    let Ok(what) = std::env::var(BUS) else {
        return;
    };
    let _alone = alone("another SIGBUS");
    let (mut producer, reader) = pair("bus", "");
    producer.announce();
    producer.frame(FIRST, 100);
    reader.pull();
    if what == "sent" {
        // Twice: at the first one the handler of Rust's library, which was there before ours, only takes itself away.
        for _ in 0..2 {
            // SAFETY: it ends this process, as it is to.
            unsafe { libc::raise(libc::SIGBUS) };
        }
    } else {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/shm".to_owned() + &producer.name)
            .unwrap();
        // SAFETY: a mapping of its own, which is read beyond the file's end on purpose.
        unsafe {
            let base = rustix::mm::mmap(
                std::ptr::null_mut(),
                4096,
                rustix::mm::ProtFlags::READ,
                rustix::mm::MapFlags::SHARED,
                &file,
                0,
            );
            file.set_len(0).unwrap();
            base.unwrap().cast::<u8>().read_volatile();
        }
    }
    println!("it lives");
}

#[test]
fn a_sigbus_that_is_none_of_ours_still_ends_the_process() {
    let _alone = alone("another SIGBUS, from outside");
    for what in ["sent", "fault"] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["bus_process", "--exact", "--nocapture"])
            .env(BUS, what)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        // AddressSanitizer makes an exit of it.
        let (ended, failed) = (status.signal() == Some(libc::SIGBUS), Some(101));
        assert!(
            ended || (!status.success() && status.code() != failed),
            "{what}: {status}"
        );
    }
}

#[test]
fn half_a_message_and_a_flood_of_them_keep_nobody_from_null() {
    let _alone = alone("half a message");
    let null = |reader: ShmReader| {
        let before = Instant::now();
        reader.pipeline.set_state(gst::State::Null).unwrap();
        assert!(
            before.elapsed() < Duration::from_millis(100),
            "{:?}",
            before.elapsed()
        );
    };
    let (mut producer, reader) = pair("half", "");
    producer.raw(&message(1, 1, [LENGTH, 20])[..10]);
    std::thread::sleep(Duration::from_millis(20));
    null(reader);
    let (mut producer, reader) = pair("halfname", "");
    producer.raw(&message(1, 1, [LENGTH, 20]));
    producer.raw(b"/abc");
    std::thread::sleep(Duration::from_millis(20));
    null(reader);
    let (mut producer, reader) = pair("flood", "");
    let flood = message(2, 7, [0, 0]).repeat(100);
    let mut client = producer.client.take().unwrap();
    let flooding =
        std::thread::spawn(move || while std::io::Write::write_all(&mut client, &flood).is_ok() {});
    std::thread::sleep(Duration::from_millis(100));
    null(reader);
    flooding.join().unwrap();
}

#[test]
fn a_producer_that_reads_no_acks_gets_them_when_it_does() {
    let _alone = alone("acks");
    let (mut producer, reader) = pair("acks", "");
    producer.announce();
    // More than the socket takes of acks.
    const FRAMES: u64 = 2000;
    for frame in 0..FRAMES {
        producer.frame(frame, 1);
        let sample = reader.pull();
        assert_eq!(sample.buffer().unwrap().size(), 1);
    }
    wait_until("all have been let go of", Duration::from_secs(5), || {
        reader.stat("frames-outstanding") <= 1
    });
    let mut acked: Vec<u64> = (0..FRAMES - 1).map(|_| producer.ack()).collect();
    acked.sort_unstable();
    assert!(
        acked.windows(2).all(|two| two[0] < two[1]),
        "an ack came twice"
    );
}

#[test]
fn a_producer_that_sends_for_ever_and_reads_no_acks_is_parted_with() {
    let _alone = alone("no acks");
    // Frames without a byte are acked and skipped at once, so nothing downstream slows them.
    for size in [0, 1] {
        let (mut producer, reader) = pair("noacks", "");
        producer.announce();
        let frames = message(3, 1, [0, size]).repeat(100);
        let client = producer.client.as_ref().unwrap().try_clone().unwrap();
        let flooding = std::thread::spawn(move || {
            let mut client = client;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(5) {
                if std::io::Write::write_all(&mut client, &frames).is_err() {
                    return;
                }
            }
        });
        while size > 0 && reader.try_pull(Duration::from_millis(500)).is_some() {}
        let text = reader.only_error();
        assert!(text.contains("reads no acks"), "{text}");
        // The sink may have its last frame still, and with it the connection.
        drop((reader, producer));
        flooding.join().unwrap();
    }
}
