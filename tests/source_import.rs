//! The camera fills memory of downstream's: what fits is taken, what does not is said, and all of it goes back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/offer.rs"]
mod offer;

use std::{collections::HashSet, sync::Arc};

use common::source::{Source, TINY, alone, levels};
use gst::prelude::*;
use gstlibcamerars::backend::simulated::{Script, Spec, plug};
use offer::{FileAllocator, GOOD, Offer, files, inode, offered};

const CAMERA: &str = "simulated-import";

fn simulated() -> Arc<Script> {
    plug(Spec {
        id: CAMERA.to_owned(),
        ..Spec::default()
    })
}

fn of_pad(source: &Source) -> gst::Structure {
    let stats: gst::Structure = source.element.property("stats");
    let pads: gst::Structure = stats.get("pads").unwrap();
    pads.get("src").unwrap()
}

/// The files that the frames of a stream came in.
fn seen(source: &Source, frames: usize) -> HashSet<u64> {
    (0..frames)
        .map(|_| {
            let sample = source.pull().unwrap();
            assert!(levels(&sample) >= 8, "a picture of eight bars");
            let memory = sample.buffer().unwrap().peek_memory(0);
            let memory = memory.downcast_memory_ref::<gst_allocators::FdMemory>();
            inode(memory.unwrap().fd())
        })
        .collect()
}

#[test]
fn the_camera_fills_buffers_of_the_pool_that_downstream_offers() {
    let _alone = alone("import from a pool");
    let script = simulated();
    let before = files();
    for (camera, pool) in [(TINY, true), (CAMERA, true), (TINY, false), (CAMERA, false)] {
        let (source, allocator) = offered(camera, "", Offer { pool, ..GOOD });
        for _ in 0..5 {
            source.set_state(gst::State::Playing);
            let inodes = seen(&source, 50);
            let made = allocator.made();
            assert!(
                inodes.len() > 1 && inodes.is_subset(&made),
                "{inodes:?} of {made:?}"
            );
            let pad = of_pad(&source);
            assert_eq!(pad.get::<&str>("memory").unwrap(), "downstream");
            assert!(!pad.has_field("memory-refused"));
            assert_eq!(pad.get::<u64>("copied-layout").unwrap(), 0);
            assert_eq!(pad.get::<u64>("copied-scarce").unwrap(), 0);
            let zero_copy = pad.get::<u64>("zero-copy").unwrap();
            assert!(zero_copy >= 50, "{camera}, pool {pool}: {pad}");
            // In READY an appsink keeps what nobody has taken.
            source.set_state(gst::State::Null);
        }
        assert_eq!(source.error(), None);
        drop(source);
        drop(allocator);
        assert_eq!(
            files(),
            before,
            "every buffer went back, and its pool was freed"
        );
    }
    // Ten starts, each with a second configuration for the memory.
    assert_eq!(script.configurations(), 20);
}

#[test]
fn what_is_kept_beyond_the_end_stays_whole() {
    let _alone = alone("imported and kept");
    let (source, allocator) = offered(TINY, "num-buffers=3", GOOD);
    source.set_state(gst::State::Playing);
    let kept: Vec<gst::Sample> = std::iter::from_fn(|| source.pull()).collect();
    assert_eq!(kept.len(), 3);
    drop((source, allocator));
    assert!(kept.iter().all(|sample| levels(sample) >= 8));
    drop(kept);
    assert_eq!(files(), 0);
}

#[test]
fn memory_that_does_not_fit_is_said_and_left_alone() {
    let _alone = alone("unfit memory");
    simulated();
    for (offer, why) in [
        (
            Offer { max: 2, ..GOOD },
            "has 2 buffers to give at once, and the camera works with 4",
        ),
        (
            Offer {
                padding: 64,
                ..GOOD
            },
            "lie otherwise",
        ),
        (
            Offer {
                ordinary: true,
                ..GOOD
            },
            "ordinary memory",
        ),
    ] {
        for camera in [TINY, CAMERA] {
            let (source, _allocator) = offered(camera, "", offer);
            source.set_state(gst::State::Playing);
            seen(&source, 20);
            let pad = of_pad(&source);
            assert_ne!(pad.get::<&str>("memory").unwrap(), "downstream");
            let refused: &str = pad.get("memory-refused").unwrap();
            assert!(refused.contains(why), "{refused}");
            assert_eq!(source.error(), None);
        }
    }
    assert_eq!(files(), 0);
}

/// Some drivers look at the memory only when they are to begin with it.
#[test]
fn a_camera_that_does_not_start_with_downstreams_memory_starts_with_its_own() {
    left_alone("start failed", |script| script.refuse_start_after(1));
}

/// And some only when they are to fill it.
#[test]
fn a_camera_that_fills_nothing_of_downstreams_memory_starts_with_its_own() {
    left_alone("unfilled", |script| script.fill_nothing_after(1));
}

/// `refuse` has the camera refuse the second start: it begins with memory of ours, until downstream has said what it has.
fn left_alone(why: &str, refuse: fn(&Script)) {
    let _alone = alone(why);
    let script = simulated();
    for mode in ["auto", "dmabuf-import"] {
        let (source, allocator) = offered(CAMERA, &format!("io-mode={mode}"), GOOD);
        refuse(&script);
        source.set_state(gst::State::Playing);
        let seen = seen(&source, 50);
        assert!(!seen.is_empty());
        let pad = of_pad(&source);
        assert_ne!(pad.get::<&str>("memory").unwrap(), "downstream");
        let refused: &str = pad.get("memory-refused").unwrap();
        assert!(refused.contains(why), "{refused}");
        assert_eq!(source.error(), None);
        // It is left at that while the camera is open, whatever else has it configured anew.
        source.set_state(gst::State::Ready);
        source.set_state(gst::State::Playing);
        assert!(self::seen(&source, 50).is_disjoint(&allocator.made()));
        // Opened anew, it is tried again.
        source.set_state(gst::State::Null);
        source.set_state(gst::State::Playing);
        assert!(!self::seen(&source, 50).is_disjoint(&allocator.made()));
        assert_eq!(source.error(), None);
    }
    assert_eq!(files(), 0);
}

#[test]
fn io_mode_says_whose_memory_it_may_be() {
    let _alone = alone("io-mode");
    simulated();
    // Without a peer that offers memory, and on a machine without a heap, ours.
    let source = Source::playing(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} io-mode=dmabuf-import num-buffers=20"
    ));
    let memory = of_pad(&source).get::<String>("memory").unwrap();
    assert!(["memfd", "dma-heap"].contains(&memory.as_str()), "{memory}");
    assert_eq!(source.count(), 20);
    drop(source);
    // The simulated camera exports nothing.
    let (source, _allocator) = offered(CAMERA, "io-mode=dmabuf", GOOD);
    let _ = source.pipeline.set_state(gst::State::Playing);
    let text = source.only_error();
    assert!(text.contains("cannot allocate frames"), "{text}");
    drop(source);
    let (source, allocator) = offered(CAMERA, "io-mode=dmabuf-import", GOOD);
    source.set_state(gst::State::Playing);
    let made = |allocator: &FileAllocator| allocator.made();
    assert!(seen(&source, 20).is_subset(&made(&allocator)));
}

#[test]
fn memory_follows_the_caps() {
    let _alone = alone("import and caps");
    simulated();
    let (source, allocator) = offered(
        CAMERA,
        "! capsfilter name=filter caps=video/x-raw,width=64",
        GOOD,
    );
    source.set_state(gst::State::Playing);
    let filter = source.pipeline.by_name("filter").unwrap();
    for round in 0..20 {
        let wanted = [64, 320, 640][round % 3];
        filter.set_property_from_str("caps", &format!("video/x-raw,width={wanted}"));
        let width = |sample: &gst::Sample| {
            let structure = sample.caps().unwrap().structure(0).unwrap();
            structure.get::<i32>("width").unwrap()
        };
        while width(&source.pull().unwrap()) != wanted {}
        common::wait_until("its memory", std::time::Duration::from_secs(10), || {
            seen(&source, 5).is_subset(&allocator.made())
        });
    }
    assert_eq!(source.error(), None);
    drop((source, allocator));
    assert_eq!(files(), 0);
}

/// As some encoders have it: their pool is offered while nobody works with it.
#[test]
fn a_pool_that_is_offered_only_while_it_rests_costs_one_restart() {
    let _alone = alone("a pool that rests");
    let script = simulated();
    let source = Source::new(&format!("libcamerasrc-rs name=source camera-name={CAMERA}"));
    let allocator: FileAllocator = glib::Object::new();
    let pool = gst_video::VideoBufferPool::new();
    let pad = source.sink.static_pad("sink").unwrap();
    let memory = allocator.clone();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::QueryViewMut::Allocation(query)) =
            info.query_mut().map(|query| query.view_mut())
        else {
            return gst::PadProbeReturn::Ok;
        };
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        if !pool.is_active() {
            let caps = query.get().0.unwrap().to_owned();
            let size = gst_video::VideoInfo::from_caps(&caps).unwrap().size() as u32;
            let mut config = pool.config();
            config.set_params(Some(&caps), size, 0, 0);
            config.set_allocator(Some(&memory), None);
            pool.set_config(config).unwrap();
            query.add_allocation_pool(Some(&pool), size, 0, 0);
        }
        gst::PadProbeReturn::Handled
    });
    source.set_state(gst::State::Playing);
    seen(&source, 300);
    assert_eq!(script.configurations(), 2);
    assert!(seen(&source, 20).is_subset(&allocator.made()));
    // Another peer, with no memory at all, is not given this one's.
    let element_pad = source.element.static_pad("src").unwrap();
    // Without a frame that finds no peer.
    let (blocked, wait) = std::sync::mpsc::channel();
    let probe = element_pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, move |_, _| {
        let _ = blocked.send(());
        gst::PadProbeReturn::Ok
    });
    wait.recv().unwrap();
    element_pad.unlink(&pad).unwrap();
    let other = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .build()
        .unwrap();
    source.pipeline.add(&other).unwrap();
    other.sync_state_with_parent().unwrap();
    element_pad
        .link(&other.static_pad("sink").unwrap())
        .unwrap();
    element_pad.remove_probe(probe.unwrap());
    common::wait_until(
        "memory of its own",
        std::time::Duration::from_secs(10),
        || {
            let stats: gst::Structure = source.element.property("stats");
            let pads = stats.get::<gst::Structure>("pads");
            let pad = pads.and_then(|pads| pads.get::<gst::Structure>("src"));
            pad.is_ok_and(|pad| pad.get::<&str>("memory") == Ok("memfd"))
        },
    );
}
