//! `libcameraprovider-rs` tells of a USB camera that comes and goes, and its device streams.

use crate::{
    camera::{ID, Order, UsbCamera, number_of},
    common::scale,
    in_machine_for,
};
use gst::prelude::*;
use std::time::{Duration, Instant};

/// The next device of the USB camera that comes, or goes, and after how long.
fn change(bus: &gst::Bus, wanted: gst::MessageType) -> (gst::Device, Duration) {
    let begun = Instant::now();
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[wanted]);
    let device = match message.expect("a change").view() {
        gst::MessageView::DeviceAdded(added) => added.device(),
        gst::MessageView::DeviceRemoved(removed) => removed.device(),
        _ => unreachable!(),
    };
    let properties = device.properties().unwrap();
    assert_eq!(properties.get::<&str>("api.libcamera.id"), Ok(ID));
    (device, begun.elapsed())
}

#[test]
fn it_sees_the_camera_come_and_go_and_each_time_it_streams() {
    let Some(_alone) = in_machine_for(Duration::from_secs(200)) else {
        return;
    };
    let provider = gst::DeviceProviderFactory::by_name("libcameraprovider-rs").unwrap();
    provider.start().unwrap();
    let bus = provider.bus();
    // Those that are there already, the virtual ones.
    while bus.pop().is_some() {}
    let (mut slowest_add, mut slowest_remove) = (Duration::ZERO, Duration::ZERO);
    let rounds = scale(5, 20);
    for _ in 0..rounds {
        let mut camera = UsbCamera::plugging();
        let (device, took) = change(&bus, gst::MessageType::DeviceAdded);
        slowest_add = slowest_add.max(took);
        let pipeline = gst::Pipeline::new();
        let source = device.create_element(Some("source")).unwrap();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let elements = [&source, sink.upcast_ref()];
        pipeline.add_many(elements).unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("width", 320)
            .build();
        source.link_filtered(&sink, &caps).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut order = Order::default();
        for _ in 0..5 {
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(10));
            let sample = sample.expect("a frame");
            order.next(number_of(&sample, 128), sample.buffer().unwrap().offset());
        }
        camera.unplug();
        let (_, took) = change(&bus, gst::MessageType::DeviceRemoved);
        slowest_remove = slowest_remove.max(took);
        pipeline.set_state(gst::State::Null).unwrap();
    }
    provider.stop();
    println!(
        "NOTE: {rounds} times, told within {slowest_add:?} of plugging in and {slowest_remove:?} of unplugging"
    );
}
