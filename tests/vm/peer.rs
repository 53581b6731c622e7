//! Upstream's `libcamerasrc` and ours through the same things that happen to a USB camera. What upstream's does is told; what ours does is asserted.
//! Needs upstream's element: the userland of Debian's testing has it.

use crate::{camera::UsbCamera, child::Process, in_machine_for, test_name};
use std::time::{Duration, Instant};

const ELEMENTS: [&str; 2] = ["libcamerasrc", "libcamerasrc-rs"];

/// The test's lock, if both elements are there.
fn both() -> Option<impl Sized> {
    let alone = in_machine_for(Duration::from_secs(150))?;
    if gst::ElementFactory::find("libcamerasrc").is_none() {
        println!(
            "SKIPPED: {}: this userland has no libcamerasrc",
            test_name()
        );
        return None;
    }
    Some(alone)
}

fn started(element: &str, width: u32, height: u32) -> Process {
    let mut process = Process::new(&format!(
        "{element} name=source ! video/x-raw,format=YUY2,width={width},height={height} ! appsink name=sink sync=false"
    ));
    process.tell("state playing");
    process
}

fn tell(element: &str, what: &str, result: &str) {
    println!("NOTE: {what}: {element}: {result}");
}

#[test]
fn every_size_streams() {
    let Some(_alone) = both() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    for element in ELEMENTS {
        for (width, height) in [(320, 240), (640, 480), (1280, 720)] {
            let result = started(element, width, height).frames(30);
            let text = match &result {
                Ok(memory) => format!("30 frames in order, DMABUFs of {memory}"),
                Err(other) => other.clone(),
            };
            tell(element, &format!("{width}x{height}"), &text);
            assert!(result.is_ok() || element == ELEMENTS[0], "{text}");
        }
    }
}

#[test]
fn unplugged_while_it_streams() {
    let Some(_alone) = both() else {
        return;
    };
    for element in ELEMENTS {
        let mut camera = UsbCamera::plugged();
        let mut process = started(element, 320, 240);
        let begun = process.frames(10);
        camera.unplug();
        let since = Instant::now();
        let told = process.line(&["error", "eos"], 5);
        let told = match (told, process.crash()) {
            (_, Some(status)) => format!("crashes ({status})"),
            (Some(told), None) => format!("{told:.60} after {} ms", since.elapsed().as_millis()),
            (None, None) => "silence for 5 s".to_owned(),
        };
        let null = process.does("state null", 5);
        let null = match process.crash() {
            Some(status) => format!("crashes ({status})"),
            None if null => "works".to_owned(),
            None => "hangs".to_owned(),
        };
        drop(camera);
        let _camera = UsbCamera::plugged();
        process.tell("state playing");
        let again = process.frames(5);
        tell(
            element,
            "unplugged",
            &format!("{told}; NULL {null}; plugged in again: {again:?}"),
        );
        if element == ELEMENTS[1] {
            assert!(begun.is_ok(), "{begun:?}");
            assert!(
                told.contains("is gone") && null == "works",
                "{told}, {null}"
            );
            assert!(again.is_ok(), "{again:?}");
        }
    }
}

#[test]
fn stopped_at_the_moment_of_unplugging() {
    let Some(_alone) = both() else {
        return;
    };
    for element in ELEMENTS {
        let (mut crashes, mut hangs) = (0, 0);
        for round in 0..10 {
            let mut camera = UsbCamera::plugged();
            let mut process = started(element, 320, 240);
            let begun = process.frames(3);
            assert!(begun.is_ok() || element == ELEMENTS[0], "{begun:?}");
            camera.unplug();
            std::thread::sleep(Duration::from_millis(round * 3));
            if !process.does("state null", 5) {
                match process.crash() {
                    Some(_) => crashes += 1,
                    None => hangs += 1,
                }
            }
        }
        tell(
            element,
            "stopped as it is unplugged",
            &format!("of 10, {crashes} crash and {hangs} hang"),
        );
        assert!(crashes + hangs == 0 || element == ELEMENTS[0]);
    }
}

#[test]
fn a_control_while_it_streams() {
    let Some(_alone) = both() else {
        return;
    };
    for element in ELEMENTS {
        let camera = UsbCamera::plugged();
        let mut process = started(element, 320, 240);
        let _ = process.frames(5);
        process.tell("set brightness 0.5");
        let deadline = Instant::now() + Duration::from_secs(5);
        while camera.control("brightness") != Some(192) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let arrived = camera.control("brightness");
        tell(
            element,
            "brightness while it streams",
            &format!("arrived: {arrived:?}"),
        );
        assert!(arrived == Some(192) || element == ELEMENTS[0]);
    }
}
