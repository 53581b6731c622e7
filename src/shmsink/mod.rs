//! `shmsink-rs`: gives frames to any number of `shmsrc-rs` and stock `shmsrc` in other processes, and waits for none of them.
//!
//! `transport=fd` sends descriptors of frames instead of places in shared memory: [`fd`]. Everything else is the same.
//!
//! # Threads and locks
//!
//! | thread | does | may block on |
//! |---|---|---|
//! | streaming | claim a slot, copy the frame into it, publish it, wake the control thread: `stream.rs`, `fd/stream.rs` | a client only with `wait-for-connection`, and then only the first one; at EOS clients that read, for `eos-drain-timeout`; the reaper when /dev/shm is full at a change of size |
//! | control ("shm server") | owns every socket; accepts, reads acks, sends, watches for stalls, gives slots memory: `control` | epoll |
//! | notifier ("shm signals") | emits signals, posts the server's error: `notifier.rs` | the application's handlers |
//! | reaper ("shm memory"), now and then | frees memory that nobody needs: `crate::os::reaper` | nothing |
//! | any | takes a slot to write into, drops the last memory of one: `pool.rs` | nothing |
//!
//! Locks, each a leaf: `Shared::state`, under which nothing is called but the pure state machine of `crate::shm`; `Shared::kept`, a list of buffers, which are made and
//! looked at under it, and dropped when it was left; an area's list of lent bytes; the reaper's queue. No two are ever held together. No system call, no copy, no log line, no signal and no GStreamer
//! happens with one held. The GstObject lock is taken only by changes of state, to ask for clock and base time. The properties' and the time base's locks are held to copy them.
//!
//! The wake protocol: the streaming thread publishes under the lock, unlocks, *then* writes the eventfd; the control thread empties the
//! eventfd, *then* looks at the state under the lock. A frame published before the look is sent by it, a later one wakes again.
//!
//! A frame's note ([`crate::shm::note`]) is written by the streaming thread between the claim of a slot and its publication, while nobody else has the
//! slot, and stays as it is until nobody has. The header's state is one word, written before the sockets are closed, which is what makes readers look at it.
//!
//! A signal handler may do what it likes, setting the element to NULL included, and take as long as it likes: it runs on the notifier's thread,
//! which nobody waits for. Only newcomers do, when it is far behind. Signals come in the order of what happened, and may come after NULL.

use crate::sync::LazyLock;
use glib::prelude::*;

mod control;
mod fd;
mod frame;
mod imp;
mod notifier;
mod pool;
mod properties;
mod qos;
mod session;
mod settings;
mod shared;
mod stats;
mod stream;
mod streaming;

use settings::{Leaky, Transport};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "shmsink-rs",
        gst::DebugColorFlags::empty(),
        Some("shared memory sink that never waits for a reader"),
    )
});

glib::wrapper! {
    /// The element `shmsink-rs`.
    pub struct ShmSink(ObjectSubclass<imp::ShmSink>) @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "shmsink-rs",
        gst::Rank::NONE,
        ShmSink::static_type(),
    )
}
