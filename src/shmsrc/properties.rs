//! The element's properties as `gst-inspect-1.0` shows them. The names and types are the stock element's where it has them.

use crate::sync::LazyLock;
use gst::prelude::*;

use super::settings::Settings;

pub(super) static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("socket-path")
            .nick("Socket path")
            .blurb(
                "The socket of the sink to read from (shmsink-rs socket-path=..., or a stock shmsink's); at most 107 bytes, no default. Nothing else \
                 of the sink has to be in sight: shmsink-rs hands its memory over with the connection, so that a container needs the \
                 socket alone. A stock shmsink needs a common /dev/shm as well",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("is-live")
            .nick("Is live")
            .blurb(
                "true (default, unlike the stock shmsrc): frames come in PLAYING only, and a frame's timestamp is the moment that it had in the \
                 producer's pipeline, as running time of this one. false: frames come in PAUSED as well, and timestamps begin at 0 with the \
                 first",
            )
            .default_value(default.is_live)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("reconnect")
            .nick("Reconnect")
            .blurb(
                "What happens when there is no producer, or no longer one. true (default): a warning, and then it is waited for, looking every 10 \
                 ms at first and every 200 ms later; the first frame after that is marked DISCONT. false: an error, or EOS if the \
                 sink was stopped properly. In both cases the producer's EOS is EOS (of shmsink-rs; a stock shmsink does not tell)",
            )
            .default_value(default.reconnect)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("shm-area-name")
            .nick("Name of the shared memory area")
            .blurb("The shared memory that frames come from now, as the sink calls it. Nothing (default) while there is none")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Since the start: connected (boolean), connections (how often a producer was found), frames-received, bytes-received, \
                 frames-skipped (came during a pause and given back), frames-missed (published by shmsink-rs, but not sent here, because this \
                 reader held its window), frames-without-note (a stock sink's), frames-outstanding (received from the present connection and \
                 still in use), caps-changes, and latency (nanoseconds that were told the pipeline). All 0 in NULL",
            )
            .read_only()
            .build(),
    ]
});
