//! A `shmsink-rs` in this process, fed by the test, and everything that is to be asked of it.

use std::{
    os::unix::net::UnixStream,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{
    frames::Generator,
    reader::{Reader, ReaderOptions},
    wait_until,
    watchdog::Watchdog,
};

/// No push may take longer, on the slowest machine that tests run on. What the sink is not to wait for takes forever.
pub const PUSH_LIMIT: Duration = Duration::from_millis(500);

/// Arguments that make libtest run the reader of a test program, which is a test there.
pub const READER_TEST: &[&str] = &[
    "reader_process",
    "--exact",
    "--nocapture",
    "--test-threads=1",
];

/// One test at a time, because they look at the process's file descriptors and threads; and none for longer than a minute, or twenty with
/// ENDURANCE=full.
pub fn alone(what: &str) -> (MutexGuard<'static, ()>, Watchdog) {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(|poison| poison.into_inner());
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    (
        guard,
        Watchdog::new(what, Duration::from_secs(super::scale(60, 1200))),
    )
}

/// A path that no other test has.
pub fn socket(name: &str) -> String {
    // A checkout's own directory may be too deep for a socket.
    let path = std::env::temp_dir().join(format!("shm-{name}.{}", std::process::id()));
    path.to_str().unwrap().to_owned()
}

/// A sink at that path with these properties, in NULL, and its bus.
pub fn element(path: Option<&str>, properties: &[(&str, &str)]) -> (gst::Element, gst::Bus) {
    let element = gst::ElementFactory::make("shmsink-rs")
        .property("socket-path", path)
        .build()
        .unwrap();
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    (element, bus)
}

/// The text of the error that the bus holds.
pub fn error_of(bus: &gst::Bus) -> String {
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(5), &[gst::MessageType::Error])
        .expect("an error message");
    match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        _ => unreachable!(),
    }
}

pub struct Rig {
    pub element: gst::Element,
    pub bus: gst::Bus,
    pub path: String,
    harness: gst_check::Harness,
    generator: Generator,
}

impl Rig {
    /// Playing, for frames of `size` bytes without any caps that say so.
    pub fn new(name: &str, size: usize, properties: &[(&str, &str)]) -> Self {
        let path = socket(name);
        let (element, bus) = element(Some(&path), properties);
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), None);
        element.set_bus(Some(&bus));
        harness.set_src_caps_str("application/x-test");
        harness.play();
        Self {
            element,
            bus,
            path,
            harness,
            generator: Generator::new(size),
        }
    }

    pub fn set_caps(&mut self, caps: &str) {
        self.harness.set_src_caps_str(caps);
    }

    /// Pushes, and checks that it came back soon.
    pub fn push_buffer(&mut self, buffer: gst::Buffer) {
        let before = Instant::now();
        let pushed = self.harness.push(buffer);
        let took = before.elapsed();
        assert!(took < PUSH_LIMIT, "a push took {took:?}");
        pushed.unwrap();
    }

    pub fn try_push(&mut self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.harness.push(buffer)
    }

    /// Pushes frames, each when the readers have had the one before, so that no reader is ever behind.
    pub fn in_step(&mut self, readers: &mut [Reader], counters: std::ops::Range<u64>) {
        for counter in counters {
            self.push(counter);
            for reader in &mut *readers {
                let seen = reader.try_counter(Duration::from_secs(20));
                let client = || self.client(reader.pid());
                assert_eq!(seen, Some(counter), "the sink says: {:?}", client());
            }
        }
    }

    pub fn push(&mut self, counter: u64) {
        let frame = self.generator.frame(counter);
        self.push_buffer(gst::Buffer::from_mut_slice(frame));
    }

    pub fn push_event(&mut self, event: gst::Event) -> bool {
        self.harness.push_event(event)
    }

    /// A connected stock reader that reports each frame of the generator's by counter.
    pub fn reader(&self) -> Reader {
        self.reader_with(&ReaderOptions {
            size: Some(self.generator.size()),
            ..ReaderOptions::default()
        })
    }

    pub fn reader_with(&self, options: &ReaderOptions<'_>) -> Reader {
        let mut reader = Reader::spawn(
            &self.path,
            &ReaderOptions {
                arguments: READER_TEST,
                ..*options
            },
        );
        wait_until("the reader connects", Duration::from_secs(20), || {
            self.client(reader.pid()).is_some()
        });
        reader.line("ready");
        reader
    }

    /// A client without any manners, already taken on.
    pub fn raw_client(&self) -> UnixStream {
        let before = self.num_clients();
        let client = UnixStream::connect(&self.path).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        self.wait_for_clients(before + 1);
        client
    }

    pub fn num_clients(&self) -> u32 {
        self.element.property("num-clients")
    }

    pub fn wait_for_clients(&self, count: u32) {
        wait_until(&format!("{count} clients"), Duration::from_secs(10), || {
            self.num_clients() == count
        });
    }

    /// A number of the `stats`.
    pub fn stat(&self, name: &str) -> u64 {
        self.element
            .property::<gst::Structure>("stats")
            .get(name)
            .unwrap()
    }

    /// What `stats` says about that process.
    pub fn client(&self, pid: u32) -> Option<gst::Structure> {
        let stats = self.element.property::<gst::Structure>("stats");
        let clients = stats.get::<gst::Array>("clients").unwrap();
        clients
            .iter()
            .map(|client| client.get::<gst::Structure>().unwrap())
            .find(|client| client.get::<i32>("pid").unwrap() == pid as i32)
    }

    /// A number of what `stats` says about that process.
    pub fn client_stat(&self, pid: u32, name: &str) -> u64 {
        self.client(pid).expect("connected").get(name).unwrap()
    }

    pub fn assert_no_error(&self) {
        let error = self.bus.pop_filtered(&[gst::MessageType::Error]);
        assert!(error.is_none(), "{error:?}");
    }

    /// To NULL, which nobody may delay.
    pub fn stop(self) -> Duration {
        let before = Instant::now();
        self.element.set_state(gst::State::Null).unwrap();
        before.elapsed()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.element.set_state(gst::State::Null).unwrap();
        // Messages that nobody has taken keep their sender, and the sender keeps the bus.
        self.bus.set_flushing(true);
    }
}
