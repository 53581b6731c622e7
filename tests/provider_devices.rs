//! `libcameraprovider-rs`: the cameras that are here, and those that come and go.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use common::{
    holdings, holds_no_more_than,
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

/// The process's one; GStreamer makes no second.
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
        // The first of libcamera's; on a machine with cameras that is one of those.
        let default = |device: &&gst::Device| {
            let properties = device.properties().unwrap();
            properties.get("is-default").unwrap()
        };
        let defaults: Vec<String> = devices.iter().filter(default).map(id).collect();
        assert_eq!(defaults, [id(devices.iter().next().unwrap())]);
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
        holds_no_more_than(&baseline)
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
        assert!(ids(&provider).contains(&TINY.to_owned()));
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
        holds_no_more_than(&baseline)
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
        provider.bus().unset_sync_handler();
        unplug(CAMERA);
    }
}

/// Two cameras at once, and a handler that stops and starts the provider at the first: no camera is there twice, none is left when it goes.
#[test]
fn a_handler_may_start_the_provider_again() {
    let _alone = alone("restart from a handler");
    const OTHER: &str = "simulated-other";
    for _ in 0..20 {
        let provider = provider();
        provider.start().unwrap();
        let restarted = Arc::new(AtomicBool::new(false));
        let (weak, once) = (provider.downgrade(), restarted.clone());
        provider.bus().set_sync_handler(move |_, message| {
            if message.type_() == gst::MessageType::DeviceAdded
                && let Some(provider) = weak.upgrade()
                && !once.swap(true, Ordering::SeqCst)
            {
                provider.stop();
                provider.start().unwrap();
            }
            gst::BusSyncReply::Drop
        });
        plug(spec(CAMERA));
        plug(spec(OTHER));
        for camera in [CAMERA, OTHER] {
            wait_until("it is there", SOON, || {
                ids(&provider).contains(&camera.to_owned())
            });
        }
        assert!(restarted.load(Ordering::SeqCst));
        let count = |wanted: &str| ids(&provider).iter().filter(|id| *id == wanted).count();
        wait_until("each is there once", SOON, || {
            (count(CAMERA), count(OTHER)) == (1, 1)
        });
        unplug(CAMERA);
        unplug(OTHER);
        wait_until("both are gone", SOON, || {
            (count(CAMERA), count(OTHER)) == (0, 0)
        });
        provider.bus().unset_sync_handler();
        provider.stop();
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
    assert!(provider().hidden_providers().is_empty());
    let others = gst::DeviceProviderFactory::factories(gst::Rank::MARGINAL);
    let listed = monitor.providers();
    let of_cameras = |other: &&gst::DeviceProviderFactory| other.has_classes(Some("Video/Source"));
    for other in others.iter().filter(of_cameras) {
        let name = other.name();
        assert!(listed.contains(&name), "{name} is hidden");
    }
    plug(spec(CAMERA));
    wait_until("it is there", SOON, || has(CAMERA));
    unplug(CAMERA);
    wait_until("it is gone", SOON, || !has(CAMERA));
    monitor.stop();
}

const NO_CAMERAS: &str = "PROVIDER_WITHOUT_CAMERAS";

/// Not a test of its own: the next one runs it where libcamera has no handler to find a camera by.
#[test]
fn process_without_cameras() {
    if std::env::var_os(NO_CAMERAS).is_none() {
        return;
    }
    let _alone = alone("no cameras, inside");
    for _ in 0..3 {
        let provider = provider();
        provider.start().unwrap();
        assert!(provider.devices().is_empty());
        provider.stop();
    }
    println!("started without cameras");
}

#[test]
fn it_starts_and_stops_where_there_is_no_camera() {
    let _alone = alone("no cameras");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["process_without_cameras", "--exact", "--nocapture"])
        .env(NO_CAMERAS, "1")
        .env("LIBCAMERA_PIPELINES_MATCH_LIST", "none")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("started without cameras"),
        "{output:?}"
    );
}
