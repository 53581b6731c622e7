//! One measurement of benches/versus.sh: an element, or libcamera's `cam`, in a process of its own. Prints `name value` lines.
//!
//!     versus stream ELEMENT CAMERA WIDTH HEIGHT SECONDS [latency|allocations|futex]
//!     versus branches ELEMENT CAMERA WIDTH HEIGHT SECONDS
//!     versus frames ELEMENT CAMERA WIDTH HEIGHT FRAMES
//!     versus cam PROGRAM CAMERA WIDTH HEIGHT SECONDS
//!     versus wake
//!
//! The element is loaded as a plugin, like any other; nothing of ours is linked to this program.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod preloaded;
mod process;
mod stream;
mod wake;

use std::{
    env,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Before the steady window begins.
pub const WARM: Duration = Duration::from_millis(700);

/// What all measurements are told.
pub struct Frames {
    pub camera: String,
    pub width: u32,
    pub height: u32,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments == ["wake"] {
        return wake::measure();
    }
    let [kind, subject, camera, width, height, amount, rest @ ..] = arguments.as_slice() else {
        eprintln!("versus: KIND SUBJECT CAMERA WIDTH HEIGHT SECONDS|FRAMES [MORE]");
        std::process::exit(2);
    };
    let frames = Frames {
        camera: camera.clone(),
        width: width.parse().unwrap(),
        height: height.parse().unwrap(),
    };
    let seconds = || Duration::from_secs_f64(amount.parse().unwrap());
    match kind.as_str() {
        "stream" => stream::steady(
            subject,
            &frames,
            seconds(),
            rest.first().map(String::as_str),
        ),
        "branches" => stream::branches(subject, &frames, seconds()),
        "frames" => stream::count(subject, &frames, amount.parse().unwrap()),
        "cam" => cam(subject, &frames, seconds()),
        other => panic!("no measurement {other}"),
    }
}

pub fn say(name: &str, value: impl std::fmt::Display) {
    println!("{name} {value}");
}

/// The floor: libcamera's own program, which writes a line for each frame to /dev/null and does nothing else. How many there were is known only when the
/// camera is paced.
fn cam(program: &str, frames: &Frames, window: Duration) {
    let size = format!("width={},height={}", frames.width, frames.height);
    let mut cam = Command::new(program)
        .args(["-c", &frames.camera, "-s", &size, "-C"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(WARM);
    let before = process::Usage::of(cam.id());
    thread::sleep(window);
    let used = process::Usage::of(cam.id()).since(&before);
    assert!(cam.try_wait().unwrap().is_none(), "cam has ended");
    cam.kill().unwrap();
    cam.wait().unwrap();
    let rate: f64 = env::var("VERSUS_RATE").unwrap().parse().unwrap();
    used.say(rate * used.seconds);
}
