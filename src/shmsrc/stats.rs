//! The `stats` property.

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub connected: bool,
    pub connections: u64,
    pub received: u64,
    pub bytes: u64,
    pub skipped: u64,
    pub missed: u64,
    pub without_note: u64,
    pub caps_changes: u64,
    pub latency: u64,
}

pub(super) fn structure(counters: &Counters, outstanding: u64) -> gst::Structure {
    gst::Structure::builder("stats")
        .field("connected", counters.connected)
        .field("connections", counters.connections)
        .field("frames-received", counters.received)
        .field("bytes-received", counters.bytes)
        .field("frames-skipped", counters.skipped)
        .field("frames-missed", counters.missed)
        .field("frames-without-note", counters.without_note)
        .field("frames-outstanding", outstanding)
        .field("caps-changes", counters.caps_changes)
        .field("latency", counters.latency)
        .build()
}
