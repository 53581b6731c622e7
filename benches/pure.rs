//! The logic that runs for every frame, and that of a negotiation, by itself: no camera, no thread, no memory of frames.
//!
//!     cargo bench --no-default-features --features benches --bench pure           without GStreamer, and so without caps
//!     cargo bench --no-default-features --features benches,plugin --bench pure

#![allow(clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gstlibcamerars::{
    camera::{CompletedFrame, Completion, CompletionStatus, FrameStatus},
    capture::{
        clock_map::Timing,
        driver::{Action, Driver, Policy},
        stream::Delivery,
    },
    shm::{
        layout::{Layout, Limits},
        slots::Slots,
        wire::{Ack, AckParser},
    },
};
use std::hint::black_box;

const TIMING: Timing = Timing {
    pipeline: Some(0),
    age: 0,
};

/// A frame's whole round: queued, completed, taken, given back.
fn round(driver: &mut Driver, streams: usize, sequence: u32) {
    let Some(Action::Queue {
        request, frames, ..
    }) = driver.poll_action()
    else {
        unreachable!()
    };
    let completed = |frame| CompletedFrame {
        frame,
        status: FrameStatus::Success,
        sequence,
        bytes_used: None,
    };
    let completion = Completion {
        request,
        status: CompletionStatus::Complete,
        sensor_timestamp: Some(1),
        frames: frames.map(|frame| frame.map(completed)),
    };
    driver.handle_completed(&completion, TIMING, 1);
    for stream in 0..streams {
        if let Some(Delivery::Frame(captured)) = driver.poll_delivery(stream) {
            driver.handle_returned(stream, captured.frame);
        }
    }
}

fn driver(criterion: &mut Criterion) {
    for streams in [1, 4] {
        let mut driver = Driver::new(&vec![4; streams], Policy::default());
        let mut sequence = 0;
        criterion.bench_function(&format!("a frame's round, {streams} streams"), |bencher| {
            bencher.iter(|| {
                round(&mut driver, streams, sequence);
                sequence = sequence.wrapping_add(1);
            });
        });
    }
}

fn slots(criterion: &mut Criterion) {
    let limits = Limits {
        window: 4,
        max_clients: 32,
        area_size: None,
        upstream: 0,
    };
    let layout = Layout::new(1, 0, 3_110_400, &limits).unwrap();
    let count = layout.slots;
    let mut slots = Slots::new(layout, "/bench", count);
    criterion.bench_function("a slot claimed, held and let go", |bencher| {
        bencher.iter(|| {
            let slot = slots.claim().unwrap();
            slots.hold(slot);
            slots.unpin(slot);
            black_box(slots.let_go(slot))
        });
    });
}

fn wire(criterion: &mut Criterion) {
    let bytes: Vec<u8> = (0..64)
        .flat_map(|frame| {
            Ack {
                offset: frame << 16,
            }
            .encode(1)
        })
        .collect();
    criterion.bench_function("64 acks parsed", |bencher| {
        bencher.iter_batched(
            AckParser::default,
            |mut parser| {
                let mut rest = bytes.as_slice();
                while let Some(ack) = parser.next(&mut rest).unwrap() {
                    black_box(ack);
                }
            },
            BatchSize::SmallInput,
        );
    });
}

/// What a camera with 4 formats of 20 sizes offers, and what is chosen for a peer that has something to ask.
#[cfg(feature = "plugin")]
fn caps(criterion: &mut Criterion) {
    use gstlibcamerars::{
        camera::{PixelFormat, Size, StreamConfig, StreamFormat},
        video::caps::Offer,
    };
    gst::init().unwrap();
    let formats = [b"NV12", b"YUYV", b"YU12", b"RG24"].map(|fourcc| StreamFormat {
        format: PixelFormat::new(fourcc),
        sizes: (1..=20).map(|n| Size::new(160 * n, 120 * n)).collect(),
        range: None,
    });
    let offer = Offer {
        default: StreamConfig {
            format: PixelFormat::new(b"NV12"),
            size: Size::new(1280, 960),
            stride: 1280,
            frame_size: 0,
            buffer_count: 4,
            color_space: None,
        },
        formats: formats.into(),
        durations: Some((8333, 1_000_000)),
        limits: Some((8333, 1_000_000)),
        dmabuf: false,
        paced: false,
        rate: None,
    };
    let peer: gst::Caps = "video/x-raw,format={RGB,NV12},width=[320,1920],framerate=30/1"
        .parse()
        .unwrap();
    criterion.bench_function("what is offered, as caps", |bencher| {
        bencher.iter(|| black_box(offer.caps()));
    });
    criterion.bench_function("what a peer may choose", |bencher| {
        bencher.iter(|| black_box(offer.choices(&peer)));
    });
}

#[cfg(not(feature = "plugin"))]
fn caps(_: &mut Criterion) {}

criterion_group!(pure, driver, slots, wire, caps);
criterion_main!(pure);
