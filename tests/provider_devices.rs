//! `libcameraprovider-rs`: the cameras that are here, and those that come and go.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use common::{
    holdings,
    source::{TINY, alone},
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Spec, plug, unplug};

const SOON: Duration = Duration::from_secs(10);
const TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);
const CAMERA: &str = "simulated-hotplug";

fn spec(id: &str) -> Spec {
    Spec {
        id: id.to_owned(),
        interval: Duration::from_millis(5),
        ..Spec::default()
    }
}

fn provider() -> gst::DeviceProvider {
    gst::DeviceProviderFactory::by_name("libcameraprovider-rs").expect("it is registered")
}

fn id(device: &gst::Device) -> String {
    device
        .properties()
        .unwrap()
        .get("api.libcamera.id")
        .unwrap()
}

fn ids(provider: &gst::DeviceProvider) -> Vec<String> {
    provider.devices().iter().map(id).collect()
}

/// The next device that comes (true) or goes, and its id.
fn change(bus: &gst::Bus) -> (bool, String) {
    let kinds = [
        gst::MessageType::DeviceAdded,
        gst::MessageType::DeviceRemoved,
    ];
    let message = bus.timed_pop_filtered(TIMEOUT, &kinds).expect("a change");
    match message.view() {
        gst::MessageView::DeviceAdded(added) => (true, id(&added.device())),
        gst::MessageView::DeviceRemoved(removed) => (false, id(&removed.device())),
        _ => unreachable!(),
    }
}

#[test]
fn cameras_are_listed_with_what_people_and_programs_need() {
    let _alone = alone("list");
    for started in [false, true] {
        let provider = provider();
        if started {
            provider.start().unwrap();
        }
        assert!(provider.can_monitor());
        let devices = provider.devices();
        let tiny = devices.iter().find(|device| id(device) == TINY).unwrap();
        assert_eq!(tiny.display_name(), "Virtual Tiny Camera (back)");
        assert!(tiny.has_classes("Video/Source"));
        let properties = tiny.properties().unwrap();
        assert_eq!(properties.get::<&str>("device.api").unwrap(), "libcamera");
        assert_eq!(
            properties.get::<&str>("api.libcamera.Model").unwrap(),
            "Virtual Tiny Camera"
        );
        assert_eq!(
            properties.get::<&str>("api.libcamera.Location").unwrap(),
            "CameraLocationBack"
        );
        let defaults = devices.iter().filter(|device| {
            let properties = device.properties().unwrap();
            properties.get("is-default").unwrap()
        });
        assert_eq!(defaults.map(id).collect::<Vec<_>>(), ["Virtual0"]);
        // What crashes applications is a format without a frame rate.
        let caps = tiny.caps().unwrap();
        assert!(!caps.is_empty());
        for structure in caps.iter() {
            assert!(structure.has_field("framerate"), "{structure}");
        }
        if started {
            provider.stop();
        }
    }
}

#[test]
fn a_device_makes_an_element_of_its_camera() {
    let _alone = alone("element");
    plug(spec(CAMERA));
    let devices = provider().devices();
    let device = devices.iter().find(|device| id(device) == CAMERA).unwrap();
    assert_eq!(device.display_name(), "Simulated Camera");
    let element = device.create_element(Some("camera")).unwrap();
    assert_eq!(element.name(), "camera");
    assert_eq!(element.property::<String>("camera-name"), CAMERA);
    let tiny = devices.iter().find(|device| id(device) == TINY).unwrap();
    tiny.reconfigure_element(&element).unwrap();
    assert_eq!(element.property::<String>("camera-name"), TINY);
    let other = gst::ElementFactory::make("identity").build().unwrap();
    assert!(device.reconfigure_element(&other).is_err());
    unplug(CAMERA);
}

#[test]
fn cameras_that_come_and_go_are_told_while_others_stream() {
    let _alone = alone("hotplug");
    let provider = provider();
    let bus = provider.bus();
    provider.start().unwrap();
    while bus.pop().is_some() {}
    let mut baseline = None;
    for round in 0..100 {
        let script = plug(spec(CAMERA));
        assert_eq!(change(&bus), (true, CAMERA.to_owned()));
        let device = provider
            .devices()
            .into_iter()
            .find(|device| id(device) == CAMERA);
        let source = device.expect("it is listed").create_element(None).unwrap();
        let pipeline = gst::Pipeline::new();
        let sink = gst_app::AppSink::builder().sync(false).build();
        pipeline.add(&source).unwrap();
        pipeline.add(&sink).unwrap();
        source.link(&sink).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        sink.try_pull_sample(TIMEOUT).expect("a frame");
        script.vanish();
        unplug(CAMERA);
        assert_eq!(change(&bus), (false, CAMERA.to_owned()));
        assert!(!ids(&provider).contains(&CAMERA.to_owned()));
        let kinds = [gst::MessageType::Error];
        let error = pipeline.bus().unwrap().timed_pop_filtered(TIMEOUT, &kinds);
        assert!(error.is_some(), "the source says that its camera is gone");
        pipeline.set_state(gst::State::Null).unwrap();
        drop((sink, source, pipeline, error));
        if round == 10 {
            baseline = Some(holdings());
        }
    }
    let baseline = baseline.unwrap();
    wait_until("nothing is left behind", SOON, || {
        let (fds, threads, _) = holdings();
        fds <= baseline.0 && threads.len() <= baseline.1.len()
    });
    assert!(bus.pop().is_none(), "no other change");
    provider.stop();
}

#[test]
fn one_bad_camera_does_not_hide_the_others() {
    let _alone = alone("bad camera");
    let script = plug(spec(CAMERA));
    script.turn_bad();
    plug(spec("simulated-good"));
    let provider = provider();
    for started in [false, true] {
        if started {
            provider.start().unwrap();
        }
        let ids = ids(&provider);
        assert!(!ids.contains(&CAMERA.to_owned()), "{ids:?}");
        for good in ["simulated-good", TINY] {
            assert!(ids.contains(&good.to_owned()), "{ids:?}");
        }
    }
    provider.stop();
    unplug(CAMERA);
    unplug("simulated-good");
}

#[test]
fn it_starts_and_stops_as_often_as_one_likes() {
    let _alone = alone("restart");
    let provider = provider();
    let mut baseline = None;
    for round in 0..20 {
        provider.start().unwrap();
        // Counted: two users of one provider.
        provider.start().unwrap();
        let mut found = ids(&provider);
        found.sort();
        assert_eq!(found, ["Virtual0", TINY]);
        provider.stop();
        plug(spec(CAMERA));
        wait_until("it still follows", SOON, || {
            ids(&provider).contains(&CAMERA.to_owned())
        });
        provider.stop();
        unplug(CAMERA);
        if round == 2 {
            baseline = Some(holdings());
        }
    }
    let baseline = baseline.unwrap();
    wait_until("nothing is left behind", SOON, || {
        let (fds, threads, _) = holdings();
        fds <= baseline.0 && threads.len() <= baseline.1.len()
    });
}

/// As an application may, in the thread that tells it of a device.
#[test]
fn a_handler_may_stop_the_provider() {
    let _alone = alone("stop from a handler");
    for _ in 0..20 {
        let provider = provider();
        provider.start().unwrap();
        let (stopped, wait) = mpsc::channel();
        let weak = provider.downgrade();
        let stopped = Arc::new(std::sync::Mutex::new(Some(stopped)));
        provider.bus().set_sync_handler(move |_, message| {
            let first = || stopped.lock().unwrap().take();
            if message.type_() == gst::MessageType::DeviceAdded
                && let (Some(provider), Some(stopped)) = (weak.upgrade(), first())
            {
                provider.stop();
                let _ = stopped.send(());
            }
            gst::BusSyncReply::Drop
        });
        plug(spec(CAMERA));
        wait.recv_timeout(SOON).expect("it stops");
        unplug(CAMERA);
    }
}

#[test]
fn a_monitor_of_the_applications_sees_them() {
    let _alone = alone("device monitor");
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Video/Source"), None).unwrap();
    monitor.start().unwrap();
    let has = |wanted: &str| {
        let devices = monitor.devices();
        devices.iter().any(|device| {
            let properties = device.properties();
            properties.is_some_and(|properties| {
                properties.get::<String>("api.libcamera.id").as_deref() == Ok(wanted)
            })
        })
    };
    assert!(has(TINY));
    plug(spec(CAMERA));
    wait_until("it is there", SOON, || has(CAMERA));
    unplug(CAMERA);
    wait_until("it is gone", SOON, || !has(CAMERA));
    monitor.stop();
}
