//! `shmsrc-rs`: reads what `shmsink-rs` gives, with caps, times and metas; and what a stock `shmsink` gives, without.
//!
//! The first bytes tell how a producer talks: frames lie in [`areas`] of shared memory, or come as [`descriptors`] of their own.
//!
//! # Threads and locks
//!
//! | thread | does | may wait for |
//! |---|---|---|
//! | streaming | connects, receives, maps, pushes: `session.rs`, `stream.rs` | epoll over the connection and an eventfd, with a timeout while there is no connection; downstream |
//! | any | drops the last memory of a frame, which acks it: `connection.rs` | nothing |
//!
//! There is no thread of its own. No call to the producer waits for it: connecting, receiving and sending are non-blocking, and a producer that is
//! stopped leaves the streaming thread in epoll.
//!
//! Locks, each a leaf, no two ever held together, and nothing but plain data under them: the settings, the counters, the control (which is copied out),
//! the timebase, a connection's list of unsent acks, the area's name. The streaming thread takes the session out of its lock while it is at work.
//!
//! Two wake-ups, both of an eventfd that is in the epoll set ([`Waker`](crate::os::poll::Waker): publish, then wake; acknowledge, then look):
//!
//! - *unlock*, and a pause, store their flag, then wake. The streaming thread acknowledges, then reads the flags, then looks at the connection, then
//!   waits; it acknowledges only when it was the eventfd that ended the wait, which saves two system calls for each frame. In a pause it waits
//!   for the eventfd alone, so that what comes meanwhile neither wakes it nor is taken.
//! - *leaving for a pause*: GstBaseSrc has the thread leave, and takes that back late. So the element takes it back itself before it plays, and the thread
//!   leaves under the lock by which that is done, only while it is to (`control.rs`): it has left before, and is started again, or it stays.
//! - *an ack that the socket has no room for* goes back to the list, then wakes. The streaming thread acknowledges, then looks at the list, and watches
//!   for room while it is not empty ([`Unsent`](crate::shm::unsent::Unsent), which is model-checked). After NULL there is no streaming thread; then
//!   the next ack sends it, or the last frame's end closes the connection, which frees everything.
//!
//! # A frame's life
//!
//! A frame's memory is the producer's slot, or a file of his. It is acked when the last GstMemory that shares it is gone, in whatever thread, also after NULL: each frame
//! keeps its connection and its mapping. So at NULL the connection ends when nobody holds a frame of it any more; what waits on the socket then is
//! acked at once.
//!
//! GstBaseSrc has its thread leave `create` for a pause and starts it again for PLAYING, which is lost if the thread has not fallen asleep by then; see
//! `imp.rs`, `come_back`.

use crate::sync::LazyLock;
use glib::prelude::*;

mod areas;
mod caps;
mod connection;
mod control;
mod descriptors;
mod imp;
mod properties;
mod session;
mod settings;
mod stats;
mod stream;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "shmsrc-rs",
        gst::DebugColorFlags::empty(),
        Some("shared memory source"),
    )
});

glib::wrapper! {
    /// The element `shmsrc-rs`.
    pub struct ShmSrc(ObjectSubclass<imp::ShmSrc>) @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "shmsrc-rs",
        gst::Rank::NONE,
        ShmSrc::static_type(),
    )
}
