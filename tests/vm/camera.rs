use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::common::{source::Source, wait_until};
use gst::prelude::*;
use gstlibcamerars::{backend::libcamera::Libcamera, camera::CameraSystem};

/// Names target/vm of the checkout, in the machine.
pub const FOLDER: &str = "VM_JOBS";

/// What libcamera calls the camera at the first port: where the host controller is, where the camera is plugged in, what it is.
pub const ID: &str = r"\_SB_.SIM-1:1.0-1d6b:0102";

pub const SIZES: [(usize, usize); 3] = [(320, 240), (640, 480), (1280, 720)];

const SOON: Duration = Duration::from_secs(20);

/// The simulated USB camera (tests/vm/uvcsim.c), plugged in. Unplugged when dropped.
pub struct UsbCamera {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl UsbCamera {
    /// Returns when libcamera can see it.
    pub fn plugged() -> Self {
        let camera = Self::plugging();
        wait_until("the USB camera to be seen", SOON, is_seen);
        camera
    }

    /// Returns at once.
    pub fn plugging() -> Self {
        let program = PathBuf::from(std::env::var_os(FOLDER).unwrap()).join("uvcsim");
        let mut process = Command::new(program)
            .args(["0", "30"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        Self { process, lines }
    }

    pub fn unplug(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The value of a control that arrived last.
    pub fn control(&self, name: &str) -> Option<i32> {
        let prefix = format!("control {name} ");
        let lines = self.lines.lock().unwrap();
        let value = |line: &String| line.strip_prefix(&prefix)?.parse().ok();
        lines.iter().rev().find_map(value)
    }

    /// Controls travel with requests: frames are taken meanwhile, so that there are some.
    pub fn wait_for_control(&self, source: &Source, name: &str, value: i32) {
        wait_until(&format!("{name} {value} to arrive"), SOON, || {
            source
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(100));
            self.control(name) == Some(value)
        });
    }
}

impl Drop for UsbCamera {
    /// The next one may be plugged in at once: this returns when the kernel has let go of the port.
    fn drop(&mut self) {
        self.unplug();
        wait_until("the port to be free", SOON, is_port_free);
    }
}

/// Whether libcamera lists the camera. (There is a manager for the time of this call, unless the process has one.)
pub fn is_seen() -> bool {
    let cameras = Libcamera::new().unwrap().cameras().unwrap();
    cameras.iter().any(|camera| camera.id == ID)
}

fn is_port_free() -> bool {
    let status = "/sys/devices/platform/vhci_hcd.0/status";
    let status = std::fs::read_to_string(status).unwrap();
    // hub, port, state, ...; 4 is VDEV_ST_NULL.
    let first = status.lines().find(|line| line.contains(" 0000 "));
    first.is_some_and(|line| line.split_whitespace().nth(2) == Some("004"))
}

/// A pipeline from the USB camera to an appsink.
pub fn usb_source(rest: &str) -> Source {
    let source = Source::new(&format!("libcamerasrc-rs name=source {rest}"));
    source.element.set_property("camera-name", ID);
    source
}

/// As in uvcsim.c.
const BRIGHTNESS: i32 = 128;

/// Checks every byte of a frame of that size, and tells its number. `brightness` is the camera's own (128 if nobody has set it).
pub fn number(bytes: &[u8], width: usize, brightness: i32) -> u32 {
    let number = (0..32).filter(|bit| bytes[2 * bit] == 235);
    let number = number.fold(0u32, |number, bit| number | 1 << bit);
    let row = expected_row(number, width, brightness);
    for (y, line) in bytes.chunks(width * 2).enumerate() {
        // The number is written over the first one.
        let from = if y == 0 { 64 } else { 0 };
        assert_eq!(line[from..], row[from..], "line {y} of frame {number}");
    }
    number
}

fn expected_row(number: u32, width: usize, brightness: i32) -> Vec<u8> {
    let luma = |x: usize| {
        let bar = (x as u32).wrapping_add(number.wrapping_mul(4)) / 40 % 8;
        (bar as i32 * 28 + 16 + brightness - BRIGHTNESS).clamp(0, 255) as u8
    };
    let chroma = |x: usize| if x % 2 == 1 { 160 } else { 100 };
    (0..width).flat_map(|x| [luma(x), chroma(x)]).collect()
}

/// The same for a sample.
pub fn number_of(sample: &gst::Sample, brightness: i32) -> u32 {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    assert_eq!(info.format(), gst_video::VideoFormat::Yuy2);
    let map = sample.buffer().unwrap().map_readable().unwrap();
    assert_eq!(map.len(), (info.width() * info.height() * 2) as usize);
    number(&map, info.width() as usize, brightness)
}

/// Frames that follow each other. On a slow machine the kernel's driver drops some for want of a buffer; it counts them, and so do we.
#[derive(Default)]
pub struct Order {
    last: Option<(u32, u64)>,
    /// Frames that the driver has dropped.
    pub missing: u32,
}

impl Order {
    /// `offset` is the buffer's, the driver's count.
    pub fn next(&mut self, number: u32, offset: u64) {
        if let Some((last, last_offset)) = self.last.replace((number, offset)) {
            assert!(number > last, "frame {number} after frame {last}");
            let gap = u64::from(number - last);
            assert_eq!(offset - last_offset, gap, "a gap that nobody counted");
            self.missing += number - last - 1;
        }
    }
}

/// The next `count` frames, each whole, in order. How many the driver has dropped.
pub fn frames_in_order(source: &Source, count: u32) -> u32 {
    let mut order = Order::default();
    for _ in 0..count {
        let sample = source.pull().expect("a frame");
        order.next(
            number_of(&sample, BRIGHTNESS),
            sample.buffer().unwrap().offset(),
        );
    }
    order.missing
}
