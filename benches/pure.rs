//! The logic that runs for every frame, by itself: no camera, no thread, no memory of frames.
//!
//!     cargo bench --no-default-features --features benches --bench pure

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

criterion_group!(pure, driver, slots, wire);
criterion_main!(pure);
