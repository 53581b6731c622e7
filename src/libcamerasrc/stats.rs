//! What the property `stats` tells; `settings` documents it.

use super::session::Session;
use crate::capture::loop_state::StreamReport;
use crate::capture::stream::Counters;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Counter = (&'static str, fn(&Counters) -> u64);

/// Of each pad, and of all together.
const COUNTERS: [Counter; 6] = [
    ("captured", |counters| counters.captured),
    ("delivered", |counters| counters.delivered),
    ("dropped", |counters| counters.dropped),
    ("missed", |counters| counters.missed),
    ("damaged", |counters| counters.damaged),
    ("cancelled", |counters| counters.cancelled),
];

pub fn structure(session: Option<&Session>) -> gst::Structure {
    let Some(session) = session else {
        return gst::Structure::new_empty("libcamerasrc-stats");
    };
    let state = session.state();
    let reports: Vec<StreamReport> = (0..session.streams.len())
        .map(|index| state.report(index))
        .collect();
    let (requests, controls) = state.request_counters();
    let (rounds, idle) = state.rounds();
    let mut pads = gst::Structure::builder("pads");
    let named = session.plan.streams.iter().zip(&session.streams);
    for ((planned, stream), report) in named.zip(&reports) {
        let hand_over = stream.hand_over.lock().clone();
        let counters = &report.counters;
        let mut pad = gst::Structure::builder("pad");
        for (name, counter) in COUNTERS {
            pad = pad.field(name, counter(counters));
        }
        let pad = pad
            .field("left-out", counters.left_out)
            .field("starved", counters.starved)
            .field("free", report.free as u32)
            .field("queued", report.queued as u32)
            .field("outbox", report.outbox as u32)
            .field("downstream", report.downstream as u32)
            .field("latency-p50", nanoseconds(hand_over.quantile(500)))
            .field("latency-p99", nanoseconds(hand_over.quantile(990)))
            .field("latency-max", nanoseconds(hand_over.max()))
            .field("zero-copy", count(&stream.copies.none))
            .field("copied-layout", count(&stream.copies.layout))
            .field("copied-scarce", count(&stream.copies.scarce))
            .field("memory", stream.origin.nick())
            .field_if_some("memory-refused", stream.refusal());
        pads = pads.field(planned.pad.as_str(), pad.build());
    }
    let mut stats = gst::Structure::builder("libcamerasrc-stats");
    for (name, counter) in COUNTERS {
        let of_all = reports.iter().map(|report| counter(&report.counters));
        stats = stats.field(name, of_all.sum::<u64>());
    }
    stats
        .field("requests-queued", requests.queued)
        .field("requests-completed", requests.completed)
        .field("requests-cancelled", requests.cancelled)
        .field("requests-failed", requests.failed)
        .field("requests-unknown", requests.unknown)
        .field("controls-set", controls.set)
        .field("controls-applied", controls.applied)
        .field("wake-ups", rounds)
        .field("idle-wake-ups", idle)
        .field("pads", pads.build())
        .build()
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
