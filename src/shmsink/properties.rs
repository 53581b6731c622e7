//! The element's properties and signals as `gst-inspect-1.0` shows them. The names and types are the stock element's where it has them.

use crate::sync::LazyLock;
use glib::subclass::Signal;
use gst::prelude::*;

use super::settings::Settings;

pub(super) static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("socket-path")
            .nick("Socket path")
            .blurb(
                "Where the socket is made that readers connect to (shmsrc socket-path=...); at most 107 bytes, no default. It is removed at \
                 NULL. A socket left by a killed process is replaced; one that is in use, or anything else at this path, is an error, and no \
                 other path is tried. <socket-path>.lock beside it guards against two sinks",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("perms")
            .nick("Permissions")
            .blurb(
                "Who may connect, as the mode of the socket, independent of the umask. Default 432 = 0660: owner and group. Connecting takes the \
                 right to write, so the 0640 of the stock shmsink keeps the group out. The shared memory can be read by whoever may connect, and \
                 written by nobody. Takes effect at the next start",
            )
            .maximum(0o7777)
            .default_value(default.perms)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("shm-size")
            .nick("Shared memory size")
            .blurb(
                "Limit of the shared memory area in bytes. 0 (default): the area is as large as the frames need, (2 + client-window * max-clients) \
                 slots of one frame, rounded up to 64 KiB; slots get their memory when clients come. Any other value is a hard limit: if that \
                 many slots do not fit, the stream ends with an error that says how much is needed. 32 bits as in the stock shmsink; only 0 \
                 allows 4 GiB and more",
            )
            .default_value(default.shm_size)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("wait-for-connection")
            .nick("Wait for a connection")
            .blurb(
                "Whether the stream waits until the first reader has connected. false (default, unlike the stock shmsink): frames that nobody is \
                 there to read are dropped without being copied. Once a reader was there, or this was set to false while \
                 running, the stream does not wait again until the next start",
            )
            .default_value(default.wait_for_connection)
            .mutable_playing()
            .build(),
        glib::ParamSpecInt64::builder("buffer-time")
            .nick("Buffer time")
            .blurb("Does nothing, like in the stock shmsink; accepted so that command lines keep working. Nanoseconds; default -1")
            .minimum(-1)
            .default_value(default.buffer_time)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("client-window")
            .nick("Client window")
            .blurb(
                "How many frames each reader may hold at the same time, 2 to 64, default 4. Guaranteed to each, whatever others do; a reader that \
                 holds this many gets no further frame until it gives one back, and then the newest. A reader that keeps K frames for good \
                 needs K + 1 or more (most sinks keep 1). More costs more shared memory",
            )
            .minimum(2)
            .maximum(64)
            .default_value(default.client_window)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-clients")
            .nick("Maximum clients")
            .blurb(
                "How many readers there may be at the same time, 1 to 256, default 16. Others are disconnected at once. Limits what shared memory \
                 readers can cost",
            )
            .minimum(1)
            .maximum(256)
            .default_value(default.max_clients)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("num-clients")
            .nick("Number of clients")
            .blurb("How many readers are connected; 0 in NULL. Notified")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "What became of the frames, since the start: slots-total, slots-reserved (with memory) and slots-free of the current area, \
                 shm-bytes (memory of all areas), generation, areas-retired, frames-in = frames-published + frames-dropped-no-slot + \
                 frames-without-client + frames-empty, bytes-published; and clients, an array with, for each: fd, pid (0 if it cannot be seen \
                 from here), state (active, or saturated while it holds its whole window), sent, skipped, acked, outstanding, max-outstanding, \
                 ack-delay-max and oldest-outstanding-age in nanoseconds. Without values in NULL",
            )
            .read_only()
            .build(),
    ]
});

pub(super) static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
    vec![
        // A reader has connected. Argument: the sink's file descriptor of the connection, valid during the handler. Emitted on the sink's own
        // thread with no lock held; the handler may set the element to NULL.
        Signal::builder("client-connected")
            .param_types([i32::static_type()])
            .build(),
        // A reader is gone. Argument as above, the same number as when it connected and still open during the handler.
        Signal::builder("client-disconnected")
            .param_types([i32::static_type()])
            .build(),
    ]
});
