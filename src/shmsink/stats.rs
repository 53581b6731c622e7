//! The `stats` property.

use std::time::Duration;

use super::fd::table::Passed;
use super::shared::Times;
use crate::histogram::Histogram;
use crate::shm::snapshot::ClientSnapshot;
use crate::shm::snapshot::ClientState;
use crate::shm::snapshot::Snapshot;

pub(super) fn structure(snapshot: &Snapshot, times: &Times, passed: Passed) -> gst::Structure {
    let clients = gst::Array::new(snapshot.clients.iter().map(client));
    let counters = &snapshot.counters;
    gst::Structure::builder("application/x-shmsink-rs-stats")
        .field("slots-total", snapshot.slots_total as u64)
        .field("slots-reserved", snapshot.slots_reserved as u64)
        .field("slots-free", snapshot.slots_free as u64)
        .field("slots-upstream", snapshot.slots_upstream as u64)
        .field("slots-lent", snapshot.slots_lent as u64)
        .field("slots-quarantined", snapshot.slots_quarantined as u64)
        .field("shm-bytes", snapshot.shm_bytes)
        .field("generation", snapshot.generation)
        .field("areas-retired", snapshot.areas_retired as u64)
        .field("frames-in", counters.frames_in())
        .field("frames-published", counters.published)
        .field("frames-dropped-no-slot", counters.dropped_no_slot)
        .field("frames-without-client", counters.without_client)
        .field("frames-empty", counters.empty)
        .field("frames-zero-copy", counters.zero_copy)
        .field("frames-copied", counters.published - counters.zero_copy)
        .field("frames-copied-scarce", passed.copied_scarce)
        .field("frames-held-upstreams", passed.originals as u64)
        .field("bytes-published", counters.bytes)
        .field("clients-refused", counters.clients_refused)
        .field("clients-evicted", counters.clients_evicted)
        .field("push-time-p50", nanoseconds(times.push.quantile(500)))
        .field("push-time-p99", nanoseconds(times.push.quantile(990)))
        .field("push-time-max", nanoseconds(times.push.max()))
        .field("copy-time-p50", nanoseconds(times.copy.quantile(500)))
        .field("copy-time-p99", nanoseconds(times.copy.quantile(990)))
        .field("copy-time-max", nanoseconds(times.copy.max()))
        .field("clients", clients)
        .build()
}

fn client(client: &ClientSnapshot) -> gst::Structure {
    let state = match client.state {
        ClientState::Active => "active",
        ClientState::Saturated => "saturated",
        ClientState::Stalled => "stalled",
        ClientState::Evicted => "evicted",
    };
    let quantile = |histogram: &Histogram, per_mille| nanoseconds(histogram.quantile(per_mille));
    gst::Structure::builder("client")
        .field("fd", client.peer.fd)
        .field("pid", client.peer.pid)
        .field("uid", client.peer.uid)
        .field("program", &client.peer.program)
        .field("state", state)
        .field("connected-for", nanoseconds(client.connected_for))
        .field("sent", client.sent)
        .field("skipped", client.skipped)
        .field("acked", client.acked)
        .field("outstanding", client.outstanding as u64)
        .field("max-outstanding", client.max_outstanding as u64)
        .field("ack-delay-p50", quantile(&client.ack_delays, 500))
        .field("ack-delay-p99", quantile(&client.ack_delays, 990))
        .field("ack-delay-max", nanoseconds(client.ack_delays.max()))
        .field("oldest-outstanding-age", nanoseconds(client.oldest_age))
        .build()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
