//! The element's properties and signals as `gst-inspect-1.0` shows them. The names and types are the stock element's where it has them.

use crate::sync::LazyLock;
use glib::subclass::{Signal, prelude::*};
use gst::prelude::*;

use super::{imp::ShmSink, settings::Settings};

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
                 slots of one frame, rounded up to 64 KiB, and 4 more if the element before the sink writes into them; slots get their memory \
                 when clients come. Any other value is a hard limit: if (2 + client-window * max-clients) slots do not fit, the stream ends with \
                 an error that says how much is needed; what is left over is lent to readers that hold more than their window. Set while \
                 running it takes effect with the next frame. 32 bits as in the stock shmsink; only 0 allows 4 GiB and more",
            )
            .default_value(default.shm_size)
            .mutable_playing()
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
                 holds this many gets no further frame until it gives one back (see leaky), unless shm-size leaves slots to lend. A reader that keeps K frames for good \
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
        glib::ParamSpecEnum::builder_with_default("leaky", default.leaky)
            .nick("Leaky")
            .blurb(
                "What a reader gets when it gives a frame back after frames have passed it by: with mailbox (default) the newest frame at once, \
                 which costs one slot for all such readers together; with skip only the frames that come after that",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("transport", default.transport)
            .nick("Transport")
            .blurb(
                "How frames travel. shm (default): in one area of shared memory, into which each is copied once, unless the element before the sink \
                 writes it there; for shmsrc and shmsrc-rs. fd: as file descriptors of the memory that they are in, such as a camera's DMABUFs, \
                 not copied at all, with caps, timestamps and metas; for unixfdsrc (GStreamer 1.24) and shmsrc-rs. Readers may have 2 * \
                 client-window frames of the element before the sink, which is asked for so many more than it needs itself; when they \
                 have these, and for memory that is behind no file descriptor or that a reader could shorten, they get copies (with leaky=skip \
                 only for the latter; other frames are dropped). shm-size is then the limit of these copies' memory. Readers can write to \
                 what they get: use it among programs that trust each other",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("stall-timeout")
            .nick("Stall timeout")
            .blurb(
                "How long frames pass a reader by, without its giving one back, until it counts as stalled (client-stalled), in nanoseconds; 0: \
                 never. Default 2000000000 = 2 s. It costs the others nothing and goes on when it can",
            )
            .default_value(default.stall_timeout)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("evict-after")
            .nick("Evict after")
            .blurb(
                "How long frames pass a reader by, without its giving one back, until it is disconnected (client-evicted), in nanoseconds. 0 \
                 (default): never, as a reader that is stopped costs nothing but the slots that it holds. What it holds is not overwritten \
                 until its process ends or frames go to another area",
            )
            .default_value(default.evict_after)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("eos-drain-timeout")
            .nick("EOS drain timeout")
            .blurb(
                "How long EOS waits at most until readers have taken the last frames from their sockets, in nanoseconds; stalled readers are not \
                 waited for, and a flush or a change of state ends it. 0: not at all. At most an hour. Default 200000000 = 0.2 s",
            )
            .maximum(3_600_000_000_000)
            .default_value(default.eos_drain_timeout)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("allow-uids")
            .nick("Allowed users")
            .blurb(
                "Numbers of users whose processes may connect, such as 1000,1001. Nothing (default) in this and in allow-gids: whoever perms lets. \
                 The memory that frames lie in stays readable for whoever perms lets: they are to be no wider than these lists need. \
                 Otherwise a process must be in either list, as the kernel knew it when it connected, or is disconnected at once. What is no \
                 list of numbers is an error at the start",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("allow-gids")
            .nick("Allowed groups")
            .blurb(
                "Numbers of groups whose processes may connect, as allow-uids. A process's own group counts, not its supplementary ones. Default: \
                 nothing",
            )
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
                "What became of the frames, since the start: slots-total, slots-reserved (with memory), slots-free, slots-upstream (with the \
                 element before the sink), slots-lent (beyond windows) and slots-quarantined (with evicted readers) of the current area, \
                 shm-bytes (memory of all areas), generation, areas-retired, frames-in = frames-published + frames-dropped-no-slot + \
                 frames-without-client + frames-empty, frames-published = frames-copied + frames-zero-copy, frames-copied-scarce (of these, because readers \
                 had as many frames of the element before the sink as they may) and frames-held-upstreams (how many they have), both of \
                 transport=fd, bytes-published, clients-refused, \
                 clients-evicted; push-time and copy-time, each -p50, -p99 and -max, in nanoseconds, to within a quarter; and clients, an \
                 array with, for each: fd, pid (0 if it cannot be seen from here), uid, program, state (active; saturated while it holds its \
                 window; stalled; evicted while it still holds frames), connected-for, sent, skipped, acked, outstanding, max-outstanding, \
                 ack-delay-p50, -p99 and -max, oldest-outstanding-age; all times in nanoseconds. Without values in NULL",
            )
            .read_only()
            .build(),
    ]
});

/// Each of the first five has one argument, the sink's file descriptor of the connection, which stays open and the same until
/// `client-disconnected` has been handled. They are emitted on the sink's own thread with no lock held, in the order of what happened; a handler
/// may take its time and may set the element to NULL.
pub(super) static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
    let told = |name| {
        Signal::builder(name)
            .param_types([i32::static_type()])
            .build()
    };
    vec![
        // A reader has connected.
        told("client-connected"),
        // A reader is gone.
        told("client-disconnected"),
        // Frames have been passing a reader by for stall-timeout.
        told("client-stalled"),
        // A stalled reader has given a frame back.
        told("client-resumed"),
        // A reader was parted with; client-disconnected follows.
        told("client-evicted"),
        // Parts with the reader of that file descriptor. Returns whether there is one.
        Signal::builder("evict-client")
            .param_types([i32::static_type()])
            .return_type::<bool>()
            .action()
            .class_handler(|values| {
                let sink = values.first()?.get::<super::ShmSink>().ok()?;
                let fd = values.get(1)?.get::<i32>().ok()?;
                Some(ShmSink::from_obj(&sink).evict_client(fd).to_value())
            })
            .build(),
    ]
});
