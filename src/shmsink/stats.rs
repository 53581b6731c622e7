//! The `stats` property.

use std::time::Duration;

use crate::shm::snapshot::ClientSnapshot;
use crate::shm::snapshot::Snapshot;

pub(super) fn structure(snapshot: &Snapshot) -> gst::Structure {
    let clients = gst::Array::new(snapshot.clients.iter().map(client));
    gst::Structure::builder("application/x-shmsink-rs-stats")
        .field("slots-total", snapshot.slots_total as u64)
        .field("slots-reserved", snapshot.slots_reserved as u64)
        .field("slots-free", snapshot.slots_free as u64)
        .field("shm-bytes", snapshot.shm_bytes)
        .field("generation", snapshot.generation)
        .field("areas-retired", snapshot.areas_retired as u64)
        .field("frames-in", snapshot.counters.frames_in())
        .field("frames-published", snapshot.counters.published)
        .field("frames-dropped-no-slot", snapshot.counters.dropped_no_slot)
        .field("frames-without-client", snapshot.counters.without_client)
        .field("frames-empty", snapshot.counters.empty)
        .field("bytes-published", snapshot.counters.bytes)
        .field("clients", clients)
        .build()
}

fn client(client: &ClientSnapshot) -> gst::Structure {
    let state = if client.saturated {
        "saturated"
    } else {
        "active"
    };
    gst::Structure::builder("client")
        .field("fd", client.peer.fd)
        .field("pid", client.peer.pid)
        .field("state", state)
        .field("sent", client.sent)
        .field("skipped", client.skipped)
        .field("acked", client.acked)
        .field("outstanding", client.outstanding as u64)
        .field("max-outstanding", client.max_outstanding as u64)
        .field("ack-delay-max", nanoseconds(client.ack_delay_max))
        .field("oldest-outstanding-age", nanoseconds(client.oldest_age))
        .build()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
