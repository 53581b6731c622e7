//! The safe layer over libcamera, on libcamera's own virtual cameras: what every backend does, and what only libcamera can go wrong with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
#[path = "common/watchdog.rs"]
mod watchdog;

use std::{
    process::Command,
    sync::mpsc::{Sender, channel},
};

use conformance::{ROLE, SOON, alone, configure, device, frames, one, started};
use gstlibcamerars::{
    backend::libcamera::{Libcamera, control_definitions},
    camera::{
        CameraError, CameraEvents, CameraSystem, Completion, FrameId, RequestId, Size,
        StreamConfig, StreamOffer,
    },
    sync::Arc,
};

const CAMERA: &str = "VirtualTiny";
/// libcamera 0.4 does not name its threads, and does not know this control either.
fn is_cameras(thread: &str) -> bool {
    let mut definitions = control_definitions().iter();
    thread == "CameraManager" || !definitions.any(|control| control.name == "ExposureTimeMode")
}

fn system() -> Box<dyn CameraSystem> {
    Box::new(Libcamera::new().unwrap())
}

#[test]
fn cameras_are_listed_with_their_models_the_first_one_first() {
    let _alone = alone("listing");
    let cameras = Libcamera::new().unwrap().cameras().unwrap();
    assert_eq!(cameras[0].id, "Virtual0");
    assert_eq!(cameras[0].model.as_deref(), Some("Virtual Camera"));
    assert!(cameras.iter().any(|camera| camera.id == CAMERA));
}

#[test]
fn a_camera_says_what_it_offers_and_what_it_would_make_of_a_wish() {
    let _alone = alone("offers");
    let device = Libcamera::new().unwrap().acquire("Virtual0").unwrap();
    let StreamOffer { default, formats } = device.offer(&[ROLE]).unwrap().remove(0);
    assert_eq!(default.size, Size::new(1920, 1080));
    assert_eq!(formats[0].format.to_string(), "NV12");
    assert!(
        device
            .frame_durations()
            .is_some_and(|(shortest, longest)| shortest < longest)
    );
    let odd = StreamConfig {
        size: Size::new(801, 601),
        ..default
    };
    let agreed = device
        .validate(&[ROLE], std::slice::from_ref(&odd))
        .unwrap()
        .remove(0);
    assert_ne!(agreed.size, odd.size);
    assert!(agreed.stride >= agreed.size.width);
}

#[test]
fn a_request_that_the_camera_has_cannot_be_queued_again() {
    let _alone = alone("queued twice");
    let (mut device, mut queue, completions) = started(2);
    let mut queued = 0;
    for round in 0..500 {
        let mut attempt =
            |same_frames| queue.queue(RequestId(0), &one(FrameId(0)), same_frames, None);
        // The second comes while the camera has the request, and is refused, or after its completion, and is fair.
        queued += u32::from(attempt(round > 0).is_ok());
        queued += u32::from(attempt(true).is_ok());
        completions.recv_timeout(SOON).unwrap();
        queued -= 1;
        while queued > 0 {
            completions.recv_timeout(SOON).unwrap();
            queued -= 1;
        }
    }
    device.stop();
    assert_eq!(
        completions.try_iter().count(),
        0,
        "a completion that nobody asked for"
    );
}

#[test]
fn the_manager_lives_as_long_as_anything_of_it() {
    let _alone = alone("manager");
    let system = Libcamera::new().unwrap();
    let device = system.acquire(CAMERA).unwrap();
    drop(system);
    assert!(device.offer(&[ROLE]).is_ok());
    drop(device);
    // Many threads that come and go at once: a second manager beside one that is still going away would abort the process.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert!(!Libcamera::new().unwrap().cameras().unwrap().is_empty());
                }
            });
        }
    });
}

#[test]
fn frames_are_exported_where_the_machine_has_memory_for_it() {
    let _alone = alone("export");
    let mut device = device();
    configure(&mut *device);
    let can = [
        "/dev/dma_heap/linux,cma",
        "/dev/dma_heap/reserved",
        "/dev/dma_heap/system",
        "/dev/udmabuf",
    ]
    .iter()
    .any(|device| {
        std::fs::File::options()
            .read(true)
            .write(true)
            .open(device)
            .is_ok()
    });
    match device.export_frames(0) {
        Ok(frames) => {
            assert!(can);
            assert!(frames.iter().all(|frame| frame.planes.len() == 2));
        }
        Err(CameraError::Allocation { .. }) => assert!(!can),
        Err(other) => panic!("{other}"),
    }
}

struct Panics(Sender<()>);

impl CameraEvents for Panics {
    fn completed(&self, _: Completion) {
        panic!("on purpose");
    }
    fn wants_metadata(&self) -> bool {
        false
    }
    fn reported(&self, _: &mut dyn FnMut(&mut gstlibcamerars::camera::Controls)) {}
    fn failed(&self, error: CameraError) {
        assert!(error.to_string().contains("panic"), "{error}");
        let _ = self.0.send(());
    }
}

#[test]
fn a_panic_in_a_callback_is_a_failure_of_the_camera() {
    let _alone = alone("panic");
    let mut device = device();
    let agreed = configure(&mut *device);
    device.import_frames(0, &frames(&agreed, 1)).unwrap();
    let (sender, gone) = channel();
    let mut queue = device
        .start(&conformance::starting(1), Arc::new(Panics(sender)))
        .unwrap();
    queue
        .queue(RequestId(0), &one(FrameId(0)), false, None)
        .unwrap();
    gone.recv_timeout(SOON).unwrap();
}

const FOREIGN: &str = "LIBCAMERA_LAYER_FOREIGN";

/// Not a test of its own: the next one runs it in a process that may abort.
#[test]
fn foreign_manager_process() {
    if std::env::var_os(FOREIGN).is_none() {
        return;
    }
    // SAFETY: a manager of somebody else's, who uses libcamera's API as meant.
    unsafe {
        let foreign = libcamera_sys::libcamera_camera_manager_create();
        assert!(matches!(Libcamera::new(), Err(CameraError::ForeignManager)));
        libcamera_sys::libcamera_camera_manager_destroy(foreign);
    }
    assert!(
        Libcamera::new().is_ok(),
        "usable as soon as the other one is gone"
    );
    println!("foreign manager: told apart");
}

#[test]
fn a_manager_of_somebody_else_is_an_error_and_no_abort() {
    let _alone = alone("foreign manager");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["foreign_manager_process", "--exact", "--nocapture"])
        .env(FOREIGN, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("told apart"),
        "{output:?}"
    );
}
