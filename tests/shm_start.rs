//! Starting, failing to start, stopping and being killed: what `shmsink-rs` says, and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use common::{
    areas_of, holdings, holds_no_more_than,
    rig::{Rig, alone, element, error_of, socket},
    wait_until,
};
use gst::prelude::*;

const SOON: Duration = Duration::from_secs(10);
const PRODUCER: &str = "SHM_PRODUCER";

/// Not a test: what this program does when it is started as a reader.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// Not a test: what this program does when it is started as a producer, with a mask that takes all rights away.
#[test]
fn producer_process() {
    let Ok(path) = std::env::var(PRODUCER) else {
        return;
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let (sink, _bus) = element(Some(&path), &[]);
    let mut harness = gst_check::Harness::with_element(&sink, Some("sink"), None);
    harness.set_src_caps_str("application/x-test");
    harness.play();
    harness
        .push(gst::Buffer::from_mut_slice(vec![1; 1000]))
        .unwrap();
    println!("\nserving");
    let _ = std::io::stdin().read(&mut [0]);
    drop(harness);
    std::process::exit(0);
}

/// A producer in a process of its own that serves at `path`; killed when dropped.
struct Producer {
    child: Child,
    path: String,
}

impl Producer {
    fn new(path: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "producer_process",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PRODUCER, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let serving = out
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "serving");
        assert!(serving, "the producer did not start");
        Self {
            child,
            path: path.to_owned(),
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it could not remove, unless somebody else has taken over.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(format!("{}.lock", self.path));
        for area in areas_of(self.pid()) {
            let _ = fs::remove_file(format!("/dev/shm/{area}"));
        }
    }
}

/// The text of the error with which a sink at that path does not start.
fn start_error(path: Option<&str>) -> String {
    let (sink, bus) = element(path, &[]);
    assert!(sink.set_state(gst::State::Ready).is_err());
    let text = error_of(&bus);
    sink.set_state(gst::State::Null).unwrap();
    text
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn t15_every_bad_path_has_its_own_error_and_stays_as_it_was() {
    let _alone = alone("bad paths");
    assert_says(&start_error(None), &["no socket path", "Set socket-path"]);
    assert_says(
        &start_error(Some("")),
        &["no socket path", "Set socket-path"],
    );
    let long = format!("/tmp/{}", "x".repeat(103));
    assert_says(&start_error(Some(&long)), &["108 bytes", "107", "shorter"]);
    let missing = socket("missing") + "/deeper/socket";
    assert_says(
        &start_error(Some(&missing)),
        &[&missing, "directory does not exist", "Create"],
    );

    let path = socket("occupied");
    fs::create_dir(&path).unwrap();
    assert_says(
        &start_error(Some(&path)),
        &[&path, "a directory", "Remove it"],
    );
    fs::remove_dir(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    assert_says(
        &start_error(Some(&path)),
        &[&path, "a regular file", "Remove it"],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let link = socket("link");
    symlink(&path, &link).unwrap();
    assert_says(
        &start_error(Some(&link)),
        &[&link, "a symbolic link", "Remove it"],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&link).unwrap();
    fs::remove_file(&path).unwrap();

    assert_says(
        &start_error(Some("/proc/socket")),
        &["/proc/socket", "hoose"],
    );
    for path in [path, link] {
        assert!(!Path::new(&(path + ".lock")).exists());
    }
}

#[test]
fn a_path_that_is_not_utf8_is_a_warning_and_no_crash() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let _alone = alone("not UTF-8");
    let (sink, bus) = element(Some("/tmp/before"), &[]);
    let odd = Path::new(OsStr::from_bytes(b"/tmp/odd\xff"));
    sink.set_property("socket-path", odd);
    let message = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = message.view() else {
        unreachable!()
    };
    let text = warning.error().to_string();
    assert_says(&text, &["socket-path", "/tmp/odd", "UTF-8", "Choose"]);
    // Not at the path before, which is not what was asked for.
    assert_eq!(sink.property::<Option<String>>("socket-path"), None);
    assert!(sink.set_state(gst::State::Ready).is_err());
    assert_says(&error_of(&bus), &["no socket path"]);
    sink.set_state(gst::State::Null).unwrap();
}

#[test]
fn the_longest_path_that_fits_serves() {
    let _alone = alone("the longest path");
    let mut path = format!("/tmp/{}.", std::process::id());
    while path.len() < 107 {
        path.push('x');
    }
    let (sink, _bus) = element(Some(&path), &[]);
    sink.set_state(gst::State::Ready).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    sink.set_state(gst::State::Null).unwrap();
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_path_in_use_is_left_alone() {
    let _alone = alone("a path in use");
    let mut rig = Rig::new("inuse", 1000, &[]);
    let path = rig.path.clone();
    let mut reader = rig.reader();
    for round in 0..20 {
        let text = start_error(Some(&path));
        assert_says(
            &text,
            &[&path, &format!("process {}", std::process::id()), "Stop it"],
        );
        rig.push(round);
        assert_eq!(reader.counter(), round);
    }
    assert_eq!(rig.num_clients(), 1);
    rig.assert_no_error();
    rig.stop();

    let producer = Producer::new(&path);
    let text = start_error(Some(&path));
    assert_says(&text, &[&format!("process {}", producer.pid())]);
}

#[test]
fn a_stock_sink_in_use_is_left_alone_too() {
    let _alone = alone("a stock sink in use");
    let path = socket("stock");
    let stock = gst::ElementFactory::make("shmsink")
        .property("socket-path", &path)
        .property("wait-for-connection", false)
        .property("sync", false)
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    let mut harness = gst_check::Harness::with_element(&stock, Some("sink"), None);
    stock.set_bus(Some(&bus));
    harness.set_src_caps_str("application/x-test");
    harness.play();
    for _ in 0..5 {
        let text = start_error(Some(&path));
        assert_says(&text, &[&path, &format!("process {}", std::process::id())]);
    }
    harness
        .push(gst::Buffer::from_mut_slice(vec![1; 1000]))
        .unwrap();
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    drop(harness);
}

#[test]
fn t14_what_a_killed_producer_leaves_is_taken_over() {
    let _alone = alone("a killed producer");
    let path = socket("stale");
    for _ in 0..common::scale(3, 100) {
        let mut producer = Producer::new(&path);
        producer.kill();
        assert!(Path::new(&path).exists());
        assert_eq!(areas_of(producer.pid()).len(), 1);
        let other = Producer::new(&socket("alive"));
        let mut rig = Rig::new("stale", 1000, &[]);
        assert_eq!(rig.path, path);
        assert_eq!(areas_of(producer.pid()), [""; 0], "the dead one's memory");
        assert_eq!(areas_of(other.pid()).len(), 1, "the living one's memory");
        let mut reader = rig.reader();
        rig.push(1);
        assert_eq!(reader.counter(), 1);
        rig.stop();
        assert!(!Path::new(&path).exists());
        assert!(!Path::new(&format!("{path}.lock")).exists());
    }
    // Somebody else's dead socket is as good.
    drop(UnixListener::bind(&path).unwrap());
    let (sink, _bus) = element(Some(&path), &[]);
    sink.set_state(gst::State::Ready).unwrap();
    sink.set_state(gst::State::Null).unwrap();
}

#[test]
fn t14_of_many_that_start_at_once_one_serves() {
    let _alone = alone("a race");
    let path = socket("race");
    for _ in 0..20 {
        drop(UnixListener::bind(&path).unwrap());
        let starters: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                thread::spawn(move || {
                    let (sink, _bus) = element(Some(&path), &[]);
                    let started = sink.set_state(gst::State::Ready).is_ok();
                    (sink, started)
                })
            })
            .collect();
        let sinks: Vec<_> = starters
            .into_iter()
            .map(|starter| starter.join().unwrap())
            .collect();
        assert_eq!(sinks.iter().filter(|(_, started)| *started).count(), 1);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
        for (sink, _) in sinks {
            sink.set_state(gst::State::Null).unwrap();
        }
        assert!(!Path::new(&path).exists());
    }
}

#[test]
fn t18_rights_are_what_was_asked_whatever_the_umask() {
    let _alone = alone("rights");
    let path = socket("rights");
    let producer = Producer::new(&path);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    let areas = areas_of(producer.pid());
    assert_eq!(areas.len(), 1);
    assert_eq!(mode(&format!("/dev/shm/{}", areas[0])), 0o440);
    drop(producer);

    let mut rig = Rig::new("rights", 1000, &[("perms", "438")]);
    rig.push(0);
    assert_eq!(mode(&rig.path), 0o666);
    assert_eq!(
        mode(&format!("/dev/shm/{}", areas_of(std::process::id())[0])),
        0o444
    );
}

#[test]
fn a_stream_that_waits_for_a_reader_may_be_told_not_to() {
    let _alone = alone("wait-for-connection");
    let mut rig = Rig::new("waits", 1000, &[("wait-for-connection", "true")]);
    let sink = rig.element.clone();
    let (sender, receiver) = std::sync::mpsc::channel();
    let stream = thread::spawn(move || {
        for _ in 0..2 {
            let pushed = rig.try_push(gst::Buffer::from_mut_slice(vec![0; 1000]));
            sender.send(pushed).unwrap();
        }
    });
    assert!(receiver.recv_timeout(Duration::from_millis(300)).is_err());
    sink.set_property("wait-for-connection", false);
    let pushed = [0, 1].map(|_| receiver.recv_timeout(SOON));
    // Lets the thread end, too, if that did not.
    sink.set_state(gst::State::Null).unwrap();
    stream.join().unwrap();
    assert_eq!(pushed, [Ok(Ok(gst::FlowSuccess::Ok)); 2]);
}

#[test]
fn a_bound_that_is_too_small_is_an_error_with_the_numbers() {
    let _alone = alone("shm-size");
    let mut rig = Rig::new("bound", 1000, &[("shm-size", "67108864")]);
    rig.set_caps("video/x-raw,format=NV12,width=1920,height=1080,framerate=30/1");
    let frame = gst::Buffer::from_mut_slice(vec![0; 3_110_400]);
    assert_eq!(rig.try_push(frame.clone()), Err(gst::FlowError::Error));
    // 66 slots of 3 110 400 bytes and up to 61 440 more, in steps of 64 KiB.
    let needed = 66 * 49 * 65536u64;
    assert_says(
        &error_of(&rig.bus),
        &[
            "3110400",
            "67108864",
            &needed.to_string(),
            "shm-size",
            "max-clients",
        ],
    );
    assert_eq!(areas_of(std::process::id()), [""; 0]);
    rig.stop();

    // What it says is needed is enough.
    let needed = needed.to_string();
    let mut rig = Rig::new("bound", 1000, &[("shm-size", &needed)]);
    rig.set_caps("video/x-raw,format=NV12,width=1920,height=1080,framerate=30/1");
    rig.push_buffer(frame);
    rig.assert_no_error();
}

#[test]
fn t16_a_small_dev_shm_is_an_error_and_no_crash() {
    let _alone = alone("/dev/shm");
    let stat = rustix::fs::statvfs("/dev/shm").unwrap();
    let total = stat.f_blocks * stat.f_frsize;
    // 64 slots of 1 GiB for each client, and as many clients as it takes. The caps alone say so: no such buffer is needed.
    const WIDTH: u64 = 32_000;
    const FRAME: u64 = 1 << 30;
    let clients = (total / (64 * FRAME) + 1) as usize;
    let mut rig = Rig::new(
        "devshm",
        1000,
        &[("client-window", "64"), ("max-clients", "256")],
    );
    let _clients: Vec<_> = (0..clients).map(|_| rig.raw_client()).collect();
    let (width, height) = (WIDTH, FRAME.div_ceil(WIDTH));
    rig.set_caps(&format!(
        "video/x-raw,format=GRAY8,width={width},height={height},framerate=30/1"
    ));
    let frame = gst::Buffer::from_mut_slice(vec![0; 1000]);
    assert_eq!(rig.try_push(frame), Err(gst::FlowError::Error));
    assert_says(
        &error_of(&rig.bus),
        &[
            "/dev/shm",
            &total.to_string(),
            "--shm-size",
            "client-window",
        ],
    );
    assert_eq!(areas_of(std::process::id()), [""; 0]);
    rig.stop();
}

#[test]
fn nothing_is_left_after_null() {
    let _alone = alone("nothing is left");
    // Whatever GStreamer keeps for itself is there after the first round.
    let mut baseline = None;
    for round in 0..100u64 {
        let mut rig = Rig::new("left", 1000, &[]);
        let client = rig.raw_client();
        rig.push(round);
        if round % 10 == 0 {
            let mut reader = rig.reader();
            rig.push(round);
            assert_eq!(reader.counter(), round);
        }
        let path = rig.path.clone();
        rig.stop();
        drop(client);
        assert!(!Path::new(&path).exists());
        assert!(!Path::new(&format!("{path}.lock")).exists());
        match &baseline {
            None => {
                wait_until("the reader's pipe is closed", SOON, || {
                    let before = holdings();
                    thread::sleep(Duration::from_millis(20));
                    holdings() == before
                });
                baseline = Some(holdings());
            }
            Some(baseline) => {
                wait_until("nothing is left", SOON, || holds_no_more_than(baseline));
            }
        }
    }
}

#[test]
fn one_element_starts_and_stops_a_hundred_times() {
    let _alone = alone("a hundred starts");
    let path = socket("hundred");
    let (sink, bus) = element(Some(&path), &[]);
    for _ in 0..100 {
        sink.set_state(gst::State::Playing).unwrap();
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        sink.set_state(gst::State::Null).unwrap();
        drop(client);
        assert!(!Path::new(&path).exists());
    }
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    // A socket that is not its own any more is not removed.
    sink.set_state(gst::State::Ready).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    sink.set_state(gst::State::Null).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    drop(other);
    fs::remove_file(&path).unwrap();
}

#[test]
fn t27_children_of_the_process_inherit_nothing() {
    let _alone = alone("close-on-exec");
    let open = || -> Vec<String> {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
            .into_iter()
            // Not the one that the list was read from.
            .filter(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).is_ok())
            .collect()
    };
    let path = socket("exec");
    let (sink, _bus) = element(Some(&path), &[]);
    // GStreamer's own are its own affair: those of a bus are inherited.
    let before = open();
    let mut harness = gst_check::Harness::with_element(&sink, Some("sink"), None);
    harness.set_src_caps_str("application/x-test");
    harness.play();
    let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    wait_until("a client", SOON, || {
        sink.property::<u32>("num-clients") == 1
    });
    harness
        .push(gst::Buffer::from_mut_slice(vec![0; 1000]))
        .unwrap();
    let mut checked = 0;
    for fd in open() {
        let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else {
            continue;
        };
        if before.contains(&fd) {
            continue;
        }
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap()
            .trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        let what = fs::read_link(format!("/proc/self/fd/{fd}"));
        assert_ne!(flags & 0o2000000, 0, "fd {fd} {what:?}");
        checked += 1;
    }
    // Listener, lock, epoll, eventfd, area, connection, and the test's own end.
    assert!(checked >= 7, "{checked}");
    drop(client);
}

#[test]
fn t17_no_file_descriptor_for_a_client_is_not_the_end() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let _alone = alone("no file descriptors");
    let mut rig = Rig::new("emfile", 1000, &[]);
    let mut reader = rig.reader();
    rig.push(0);
    assert_eq!(reader.counter(), 0);
    // The client's own end, to be connected when there is no other left.
    let client = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let address = rustix::net::SocketAddrUnix::new(&rig.path).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(100.max(fs::read_dir("/proc/self/fd").unwrap().count() as u64 * 2)),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let hoard: Vec<_> = std::iter::from_fn(|| rustix::io::dup(&client).ok()).collect();
    rustix::net::connect(&client, &address).unwrap();
    for counter in 1..100 {
        rig.push(counter);
        assert_eq!(reader.counter(), counter);
    }
    assert_eq!(rig.num_clients(), 1);
    drop(hoard);
    setrlimit(Resource::Nofile, limit).unwrap();
    rig.wait_for_clients(2);
    rig.assert_no_error();
}

#[test]
fn names_and_defaults_are_the_stock_elements_where_it_has_them() {
    let _alone = alone("names");
    let ours = gst::ElementFactory::make("shmsink-rs").build().unwrap();
    let stock = gst::ElementFactory::make("shmsink").build().unwrap();
    for property in stock.list_properties() {
        // C code passes values through varargs, which know no types.
        let same = ours.find_property(property.name());
        assert_eq!(
            same.map(|same| same.value_type()),
            Some(property.value_type()),
            "{property:?}"
        );
    }
    for name in ["wait-for-connection", "sync", "async", "enable-last-sample"] {
        assert!(stock.property::<bool>(name), "{name}");
        assert!(!ours.property::<bool>(name), "{name}");
    }
    for property in ours.list_properties() {
        if property.owner_type() == ours.type_() {
            assert!(
                property.blurb().is_some_and(|blurb| blurb.len() > 30),
                "{property:?}"
            );
            assert!(property.nick().len() > 3, "{property:?}");
        }
    }
    // Read without being started.
    let stats = ours.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("frames-in").unwrap(), 0);
}
