//! What the property `stats` tells; `settings` documents it.

use super::session::Session;
use crate::capture::loop_state::StreamReport;
use crate::capture::stream::Counters;
use std::time::Duration;

pub fn structure(session: Option<&Session>) -> gst::Structure {
    let Some(session) = session else {
        return gst::Structure::new_empty("libcamerasrc-stats");
    };
    let state = session.state();
    let reports: Vec<StreamReport> = (0..session.streams.len())
        .map(|index| state.report(index))
        .collect();
    let sum = |counter: fn(&Counters) -> u64| -> u64 {
        reports.iter().map(|report| counter(&report.counters)).sum()
    };
    let (requests, controls) = state.request_counters();
    let (rounds, idle) = state.rounds();
    let mut pads = gst::Structure::builder("pads");
    let named = session.plan.streams.iter().zip(&session.streams);
    for ((planned, stream), report) in named.zip(&reports) {
        let hand_over = stream.hand_over.lock().clone();
        let counters = &report.counters;
        let pad = gst::Structure::builder("pad")
            .field("captured", counters.captured)
            .field("delivered", counters.delivered)
            .field("dropped", counters.dropped)
            .field("missed", counters.missed)
            .field("damaged", counters.damaged)
            .field("cancelled", counters.cancelled)
            .field("left-out", counters.left_out)
            .field("starved", counters.starved)
            .field("free", report.free as u32)
            .field("queued", report.queued as u32)
            .field("outbox", report.outbox as u32)
            .field("downstream", report.downstream as u32)
            .field("latency-p50", nanoseconds(hand_over.quantile(500)))
            .field("latency-p99", nanoseconds(hand_over.quantile(990)))
            .field("latency-max", nanoseconds(hand_over.max()));
        pads = pads.field(planned.pad.as_str(), pad.build());
    }
    gst::Structure::builder("libcamerasrc-stats")
        .field("captured", sum(|counters| counters.captured))
        .field("delivered", sum(|counters| counters.delivered))
        .field("dropped", sum(|counters| counters.dropped))
        .field("missed", sum(|counters| counters.missed))
        .field("damaged", sum(|counters| counters.damaged))
        .field("cancelled", sum(|counters| counters.cancelled))
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

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
