//! The camera fills memory that others have made: DMABUFs of a heap of ours, and those of a pool of downstream's.

use crate::{
    camera::{Order, UsbCamera, number, usb_source},
    common::{
        holdings,
        source::{Source, levels},
        wait_until,
    },
    exported::{Exported, mapped},
    in_machine,
    offer::{GOOD, Offer, inode, offered},
};
use gst::prelude::*;
use std::{path::Path, time::Duration};

const VIRTUAL: &str = "libcamerasrc-rs name=source camera-name=Virtual0 io-mode=dmabuf-import ! video/x-raw,format=NV12,width=640,height=480";

fn memory(source: &Source) -> String {
    let stats: gst::Structure = source.element.property("stats");
    let pads: gst::Structure = stats.get("pads").unwrap();
    let pad: gst::Structure = pads.get("src").unwrap();
    pad.get("memory").unwrap()
}

/// Files that are open once threads and drivers have let go of theirs.
fn settled(before: usize) {
    wait_until("every file to be closed", Duration::from_secs(10), || {
        holdings().0 <= before
    });
}

#[test]
fn dmabufs_of_a_heap_of_ours_are_filled() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let mut before = 0;
    for round in 0..5 {
        let source = Source::playing(VIRTUAL);
        assert_eq!(memory(&source), "dma-heap");
        for _ in 0..30 {
            let sample = source.pull().unwrap();
            assert!(levels(&sample) >= 8);
            let frame = Exported::of(sample.buffer().unwrap());
            assert_eq!(frame.exporter(), "system");
            assert!(frame.bytes() == mapped(sample.buffer().unwrap()));
        }
        drop(source);
        let source = usb_source("io-mode=dmabuf-import ! video/x-raw,width=640,height=480");
        source.set_state(gst::State::Playing);
        let mut order = Order::default();
        for _ in 0..30 {
            let sample = source.pull().unwrap();
            let buffer = sample.buffer().unwrap();
            let frame = Exported::of(buffer);
            assert_eq!(
                frame.exporter(),
                "system",
                "the driver writes to the heap's memory"
            );
            order.next(number(&mapped(buffer), 640, 128), buffer.offset());
        }
        assert_eq!(memory(&source), "dma-heap");
        assert_eq!(source.error(), None);
        drop(source);
        if round == 0 {
            before = holdings().0;
        }
    }
    settled(before);
}

#[test]
fn dmabufs_of_downstreams_pool_are_filled() {
    let Some(_alone) = in_machine() else {
        return;
    };
    assert!(Path::new("/dev/dma_heap/system").exists());
    let mut before = 0;
    for round in 0..5 {
        for pool in [true, false] {
            let offer = Offer {
                pool,
                dmabufs: true,
                ..GOOD
            };
            let (source, allocator) = offered("Virtual0", "! video/x-raw,width=640", offer);
            source.set_state(gst::State::Playing);
            for _ in 0..30 {
                let sample = source.pull().unwrap();
                assert!(levels(&sample) >= 8);
                let frame = Exported::of(sample.buffer().unwrap());
                assert!(
                    allocator.made().contains(&inode(frame.fd)),
                    "its own memory"
                );
            }
            assert_eq!(memory(&source), "downstream");
            assert_eq!(source.error(), None);
        }
        if round == 0 {
            before = holdings().0;
        }
    }
    settled(before);
}

/// Its frames are of another length than the pool's for these caps where the driver pads them; it does not, and writes there.
#[test]
fn a_usb_camera_fills_downstreams_pool() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    let offer = Offer {
        dmabufs: true,
        ..GOOD
    };
    let (source, allocator) = offered("Virtual0", "! video/x-raw,width=640,height=480", offer);
    source
        .element
        .set_property("camera-name", crate::camera::ID);
    source.set_state(gst::State::Playing);
    let mut order = Order::default();
    for _ in 0..60 {
        let sample = source.pull().unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = Exported::of(buffer);
        assert!(
            allocator.made().contains(&inode(frame.fd)),
            "its own memory"
        );
        order.next(number(&mapped(buffer), 640, 128), buffer.offset());
    }
    assert_eq!(memory(&source), "downstream");
    assert_eq!(source.error(), None);
}

/// A driver writes to DMABUFs and to nothing else: memory without a name, such as unixfdsink offers, is left alone and said.
#[test]
fn what_is_no_dmabuf_is_left_alone_by_a_driver() {
    let Some(_alone) = in_machine() else {
        return;
    };
    let _camera = UsbCamera::plugged();
    for pool in [true, false] {
        let offer = Offer { pool, ..GOOD };
        let (source, _allocator) = offered("Virtual0", "! video/x-raw,width=640,height=480", offer);
        let camera = crate::camera::ID;
        source.element.set_property("camera-name", camera);
        source.set_state(gst::State::Playing);
        let mut order = Order::default();
        for _ in 0..30 {
            let sample = source.pull().unwrap();
            let buffer = sample.buffer().unwrap();
            order.next(number(&mapped(buffer), 640, 128), buffer.offset());
        }
        assert_ne!(memory(&source), "downstream");
        let stats: gst::Structure = source.element.property("stats");
        let pads: gst::Structure = stats.get("pads").unwrap();
        let pad: gst::Structure = pads.get("src").unwrap();
        let refused: &str = pad.get("memory-refused").unwrap();
        assert!(refused.contains("no DMABUF"), "{refused}");
        assert_eq!(source.error(), None);
    }
}
