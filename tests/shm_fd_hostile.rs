//! `shmsrc-rs` and producers on the wire of file descriptors that mean no good: whatever they say, send or take away, the stream ends with an error,
//! and nothing else does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::{
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use common::{
    fd_wire::{caps_command, command, frame_command, frame_file, send},
    frames::Generator,
    rig::{alone, socket},
    source_rs::ShmReader,
    wait_until,
};
use gstlibcamerars::shm::{
    fd::metas::{Meta, Video},
    fields::{self, Value},
};
use rustix::fs::SealFlags;

const SIZE: usize = 50_000;

struct Producer {
    path: String,
    stream: UnixStream,
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Producer {
    /// And its reader, connected.
    fn pair(name: &str, rest: &str) -> (Self, ShmReader) {
        let path = socket(name);
        let listener = UnixListener::bind(&path).unwrap();
        let reader = ShmReader::playing(&path, rest);
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        (Self { path, stream }, reader)
    }

    fn say(&self, bytes: &[u8]) {
        send(&self.stream, bytes, &[]);
    }

    fn frame(&self, id: u64, fd: &OwnedFd) {
        let bytes = frame_command(id, 0, &[(SIZE as u64, 0)], (0, b""));
        send(&self.stream, &bytes, &[fd.as_fd()]);
    }

    fn frame_with(&self, id: u64, fd: &OwnedFd, metas: &[Meta]) {
        let mut bytes = Vec::new();
        metas.iter().for_each(|meta| meta.encode(&mut bytes));
        let metas = (metas.len() as u16, &bytes[..]);
        let bytes = frame_command(id, 0, &[(SIZE as u64, 0)], metas);
        send(&self.stream, &bytes, &[fd.as_fd()]);
    }

    fn released(&mut self) -> u64 {
        let mut bytes = [0; 16];
        self.stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..8], command(1, &[0; 8])[..8]);
        u64::from_ne_bytes(bytes[8..].try_into().unwrap())
    }
}

/// Has the producer do it, and gives the text of the reader's error.
fn after(say: impl FnOnce(&Producer)) -> String {
    let (producer, reader) = Producer::pair("fdbad", "");
    say(&producer);
    reader.only_error()
}

#[test]
fn commands_that_are_none_end_the_stream() {
    let _alone = alone("commands that are none");
    let begin = caps_command("application/x-test");
    let long = |size: u32| {
        let mut bytes = command(2, b"");
        bytes[4..].copy_from_slice(&size.to_ne_bytes());
        bytes
    };
    for (bytes, expected) in [
        (command(1, &[0; 8]), "type 1"),
        (long(65537), "65537 bytes"),
        (long(u32::MAX), "4294967295 bytes"),
        (command(2, b"no end"), "no text"),
        (command(2, b""), "no text"),
        (command(2, b"\xff\xfe\0"), "no text"),
        (command(0, &[0; 55]), "impossible lengths"),
        (frame_command(1, 2, &[], (0, b"")), "kind of memory (2)"),
        (
            frame_command(1, 0, &[(10, 0)], (0, b"")),
            "file descriptors",
        ),
        (
            frame_command(1, 0, &[(1, 0); 17], (0, b"")),
            "impossible lengths",
        ),
    ] {
        let text = after(|producer| {
            producer.say(&begin);
            producer.say(&bytes);
        });
        assert!(text.contains(expected), "{text}, not {expected}");
    }
}

#[test]
fn memory_that_is_none_ends_the_stream() {
    let _alone = alone("memory that is none");
    let zero = std::fs::File::open("/dev/zero").unwrap().into();
    let disk = std::fs::File::open(std::env::current_exe().unwrap())
        .unwrap()
        .into();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let small = frame_file(100, 0);
    let whole = frame_file(SIZE, 0);
    let one = [(SIZE as u64, 0)];
    let huge = [(u64::MAX, u64::MAX)];
    let large = [(1 << 31, 0)];
    type Parts<'a> = &'a [(u64, u64)];
    let cases: [(u8, Parts<'_>, Vec<&OwnedFd>, &str); 9] = [
        (0, &one, vec![&zero], "no file"),
        (0, &one, vec![&disk], "no memory"),
        (0, &one, vec![&pipe], "no file"),
        (0, &one, vec![&small], "shared memory of 100"),
        (0, &huge, vec![&whole], "more than"),
        (0, &large, vec![&whole], "more than"),
        (1, &one, vec![&whole], "no DMABUF"),
        (0, &one, vec![&whole, &whole], "file descriptors"),
        (0, &[], vec![&whole], "file descriptors"),
    ];
    for (kind, parts, fds, expected) in cases {
        let text = after(|producer| {
            producer.say(&caps_command("application/x-test"));
            let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
            let bytes = frame_command(1, kind, parts, (0, b""));
            send(&producer.stream, &bytes, &fds);
        });
        assert!(text.contains(expected), "{text}, not {expected}");
    }
    // Descriptors without an end, with bytes that make no command.
    let text = after(|producer| {
        let fds = [whole.as_fd(); 16];
        send(&producer.stream, &[2, 0, 0, 0], &fds);
        send(&producer.stream, &[9, 0, 0, 0], &fds);
    });
    assert!(text.contains("file descriptors"), "{text}");
}

#[test]
fn metas_and_caps_that_lie_end_the_stream() {
    let _alone = alone("metas and caps that lie");
    let nv12 = "video/x-raw,format=NV12,width=64,height=48,framerate=30/1";
    let whole = frame_file(SIZE, 0);
    let encoded = |meta: Meta| {
        let mut bytes = Vec::new();
        meta.encode(&mut bytes);
        bytes
    };
    let planes = |planes: Vec<(u64, i32)>| {
        encoded(Meta::Video(Video {
            format: 23,
            width: 64,
            height: 48,
            planes,
            ..Video::default()
        }))
    };
    let ours = |fields: &[u8]| {
        encoded(Meta::Ours {
            sequence: 1,
            fields: fields.to_owned(),
        })
    };
    for (caps, metas, expected) in [
        (nv12, (1, planes(vec![(0, 64), (u64::MAX, 64)])), "planes"),
        (nv12, (1, planes(vec![(0, 64), (3072, -64)])), "planes"),
        (nv12, (1, planes(vec![(0, 64), (49_000, 64)])), "planes"),
        (nv12, (2, planes(vec![(0, 64), (3072, 64)])), "shorter"),
        (nv12, (1, b"\xff\xff\xff\xff".to_vec()), "shorter"),
        (nv12, (1, ours(b"\xff")), "fields are broken"),
        (
            "video/x-raw,format=NV12,width=640,height=480,framerate=30/1",
            (0, vec![]),
            "460800",
        ),
        (
            "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=64,height=48",
            (0, vec![]),
            "DMABUF",
        ),
        (
            "video/x-raw(memory:GLMemory),format=NV12,width=64,height=48",
            (0, vec![]),
            "type",
        ),
        ("video/x-raw,format={NV12,I420}", (0, vec![]), "character"),
    ] {
        let text = after(|producer| {
            producer.say(&caps_command(caps));
            let bytes = frame_command(1, 0, &[(SIZE as u64, 0)], (metas.0, &metas.1));
            send(&producer.stream, &bytes, &[whole.as_fd()]);
        });
        assert!(text.contains(expected), "{text}, not {expected}");
    }
}

/// Every name that GStreamer is told it keeps for ever.
#[test]
fn names_without_an_end_end_the_stream() {
    let _alone = alone("names without an end");
    let (producer, reader) = Producer::pair("fdnames", "");
    let whole = frame_file(SIZE, 0);
    producer.say(&caps_command("application/x-test"));
    for number in 0..300 {
        let mut told = Vec::new();
        fields::encode(&mut told, &format!("name{number}"), &Value::Int(1));
        let meta = Meta::Ours {
            sequence: number,
            fields: told,
        };
        producer.frame_with(number, &whole, &[meta]);
        let _ = reader.try_pull(Duration::from_millis(if number < 200 { 1000 } else { 100 }));
    }
    let text = reader.only_error();
    assert!(text.contains("names"), "{text}");
}

/// What another sink says of its frames as text, and times that are none.
#[test]
fn metas_that_mean_nothing_are_left_out() {
    let _alone = alone("metas that mean nothing");
    let (producer, reader) = Producer::pair("fdtexts", "");
    let whole = frame_file(SIZE, 0);
    producer.say(&caps_command("application/x-test"));
    let long = format!("libcamera, a=(string){}", "x".repeat(5000));
    let texts = [
        "libcamera, a=(GstCaps)x",
        "libcamera, a=(structure)[x]",
        "libcamera, a=(int)<<1,2>,<3,4>>",
        "=",
        "",
        long.as_str(),
        "libcamera, lens-position=(float)2;",
    ];
    let mut attached = 0;
    for (number, text) in (0..).zip(texts) {
        let text = Meta::Custom {
            name: "libcamera".to_owned(),
            structure: text.to_owned(),
        };
        let never = Meta::Timestamp {
            timestamp: u64::MAX,
            duration: None,
            reference: "timestamp/x-system-monotonic".to_owned(),
        };
        producer.frame_with(number, &whole, &[text, never]);
        let sample = reader.pull();
        let buffer = sample.buffer().unwrap();
        assert!(buffer.meta::<gst::ReferenceTimestampMeta>().is_none());
        attached += usize::from(gst::meta::CustomMeta::from_buffer(buffer, "libcamera").is_ok());
    }
    assert_eq!(attached, 1, "that of the last");
    assert_eq!(reader.error(), None);
}

/// The memory of a frame that somebody looks at is taken away.
#[test]
fn memory_that_is_taken_away_is_zeros_and_no_end_of_the_process() {
    let _alone = alone("taken away");
    let (producer, reader) = Producer::pair("fdshrunk", "");
    let (first, second) = (frame_file(SIZE, 1), frame_file(SIZE, 2));
    producer.say(&caps_command("application/x-test"));
    producer.frame(1, &first);
    let sample = reader.pull();
    rustix::fs::ftruncate(&first, 0).unwrap();
    {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        assert!(map.iter().all(|byte| *byte == 0));
    }
    drop(sample);
    producer.frame(2, &second);
    let text = reader.only_error();
    assert!(text.contains("taken memory away"), "{text}");
}

/// What a well-behaved producer, such as GStreamer's, does: each frame comes whole, is released once, and a file is mapped once.
#[test]
fn frames_in_the_same_files_are_mapped_once() {
    let _alone = alone("mapped once");
    let (mut producer, reader) = Producer::pair("fdmapped", "");
    let files: Vec<_> = (0..3).map(|_| frame_file(SIZE, 0)).collect();
    for file in &files {
        rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK).unwrap();
    }
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter(|line| line.contains("memfd:test"))
            .count()
    };
    // Before it knows its caps, GStreamer's says this; here in pieces.
    for piece in caps_command("NULL").chunks(3) {
        producer.say(piece);
        std::thread::sleep(Duration::from_millis(2));
    }
    producer.say(&caps_command("application/x-test"));
    for counter in 0..300u64 {
        let file = &files[(counter % 3) as usize];
        rustix::io::pwrite(file, &Generator::new(SIZE).frame(counter), 0).unwrap();
        producer.frame(counter, file);
        let sample = reader.pull();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        assert_eq!(Generator::new(SIZE).check(&map), Some(counter));
        drop(map);
        assert_eq!(sample.caps().unwrap().to_string(), "application/x-test");
        assert!(mapped() <= 3, "{} mappings", mapped());
        drop(sample);
        // The sink of the test keeps the last.
        if let Some(before) = counter.checked_sub(1) {
            assert_eq!(producer.released(), before);
        }
    }
    // Without a memory there is nothing to push, and it is given back.
    producer.say(&frame_command(900, 0, &[], (0, b"")));
    assert_eq!(producer.released(), 900);
    producer.say(&command(3, b""));
    reader.wait_for_end();
    drop(reader);
    wait_until("nothing is mapped", Duration::from_secs(5), || {
        mapped() == 0
    });
}
