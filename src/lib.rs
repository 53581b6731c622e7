//! GStreamer elements for local camera capture on Linux.
//!
//! - `libcamerasrc-rs`: a camera source on libcamera that never stalls and never hangs.
//! - `shmsink-rs`: a shared-memory sink that never waits for a reader, read by the stock `shmsrc`.
//! - `shmsrc-rs`: its companion reader, with caps, timestamps and metas.
//! - `libcameraprovider-rs`: a device provider that tells of cameras that come and go.
//!
//! # In an application
//!
//! As a plugin it needs nothing but to be found (`GST_PLUGIN_PATH`, or the package). Linked into a program it needs one call after `gst::init()`, and is then
//! there whether or not it is installed:
//!
//! ```no_run
//! use gst::prelude::*;
//!
//! gst::init()?;
//! gstlibcamerars::plugin_register_static()?;
//! let pipeline = gst::parse::launch("libcamerasrc-rs name=camera ! videoconvert ! appsink name=frames")?;
//! pipeline.set_state(gst::State::Playing)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/camera.rs` is a whole program. Of a crate of one's own, `Cargo.toml`:
//!
//! ```toml
//! [package]
//! edition = "2024"        # or resolver = "3": dependencies that the compiler can build are taken then
//!
//! [dependencies]
//! gst = { package = "gstreamer", version = "0.25" }
//! gst-plugin-libcamera-rs = { path = "..." }        # the library is called gstlibcamerars
//! ```
//!
//! Where the checkout has built its own libcamera (`pipelines/setup.sh` does that where the system's is too old), such a crate finds it by
//! `PKG_CONFIG=CHECKOUT/.cargo/pkg-config` when it is built, and by `LD_LIBRARY_PATH=CHECKOUT/target/libcamera/lib` when it runs.
//!
//! What an embedder should know:
//!
//! - **Everything goes through GStreamer**: properties, signals, messages, metas. They are documented by `gst-inspect-1.0` and in `docs/elements/`. The Rust items of
//!   this crate are for its own parts and its tests, and change with any version; [`plugin_register_static`] stays.
//! - **One user of libcamera in a process.** libcamera aborts on a second one: keep upstream's plugin out (`GST_PLUGIN_FEATURE_RANK`). Any number of
//!   `libcamerasrc-rs` share one.
//! - **Errors are messages on the bus**, each with a text for people that says what to do. `gst::ResourceError::NotFound` of the camera's element is a camera that is
//!   not there (any more): wait for `libcameraprovider-rs` to tell that it has come, unless it has told so while the pipeline was still there, and start again.
//!   Look at the message's source: of `shmsink-rs` the same code is a directory that does not exist.
//! - **NULL waits for neither downstream nor readers**, whatever they do. It takes what libcamera takes to stop the camera: a frame or two, and up to a second for one
//!   that was unplugged just now. Samples may be kept beyond it.
//! - **A frame is the camera's again** when its last memory is dropped. Who keeps frames keeps the camera waiting (or asks for more: `buffer-count`).
//! - **`shmsrc-rs` installs a handler for SIGBUS**, which passes on what is not its own. A program that installs one later passes on what it does not know.
//! - **Features**: `plugin` (the elements, default), `libcamera` (default; without it the elements build where there is no libcamera). `simulated` and `harness` are for tests.
//!
//! # Architecture
//!
//! Drawn: `docs/architecture.md`.
//!
//! ## Floors
//!
//! The modules are a ladder of floors; a file uses only lower floors, or its own folder (`tests/floors.rs` checks it):
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 6 | this file | the plugin's entry |
//! | 5 | `libcamerasrc`, `shmsink`, `shmsrc`, `deviceprovider` | GObject faces |
//! | 4 | `video`, `controls`, `memory`, `notes` | our vocabulary and GStreamer's |
//! | 3 | `backend`, `os` | cameras and system calls |
//! | 2 | `capture`, `shm` | pure state machines |
//! | 1 | `camera`, `histogram` | vocabulary: what a camera is; how long things took |
//! | 0 | `sync` | threads |
//!
//! GStreamer may be named on floors 4 to 6 only; `--no-default-features` builds the rest.
//!
//! ## Threads, and what each may wait for
//!
//! | thread | owner | does | may wait for |
//! |---|---|---|---|
//! | camera | libcamera | completion: one step of the driver under one leaf lock, the frame goes into the outbox; wakes the capture task if something can be queued | nothing |
//! | capture task | a GstTask of ours | pauses first, queues what can be queued, sleeps if nothing is left | its own pause |
//! | clock | GstSystemClock | a tick of paced requests, wakes the capture task | nothing |
//! | pad `src` | GstBaseSrc | negotiates for all pads; takes the next frame from its outbox and pushes it | its outlet and outbox, downstream |
//! | each pad `src_%u` | a pad task of ours | CAPS, SEGMENT and ALLOCATION of its own; takes the next frame from its outbox and pushes it | its outlet and outbox, downstream |
//! | any | downstream | drops the last memory of a frame: the frame is free, the capture task is woken | nothing |
//! | camera hotplug | `libcameraprovider-rs` | makes devices of the cameras that libcamera has told of | libcamera |
//! | shm server | `shmsink-rs` | epoll over listener, readers, their processes and an eventfd; all sending and receiving; memory for slots | epoll |
//! | shm signals | `shmsink-rs` | emits its signals, posts its messages; nobody joins it | the application |
//! | pad of `shmsrc-rs` | GstBaseSrc | connects, takes frames from its producer and pushes them | epoll, downstream |
//! | shm memory | the process | gives shared memory back; lives only as long as there is some | nothing |
//!
//! The wake protocol between them is written down and implemented in [`capture::task_gate`], who wakes whom in [`capture::loop_state`], how a pad's
//! thread notices what else there is in [`capture::outlet`].
//!
//! ## Locks
//!
//! No lock of ours is held while anything comes out at the application, nor while one thread of ours waits for another. In the order in which a
//! thread takes them:
//!
//! 1. who sets a control, until the driver has it as well; the next one is never taken with it, so who stops the camera, with that, may wait for it;
//! 2. the element's camera lock, held while libcamera opens, configures, starts or stops the camera, and while a session's objects are made. The one exception to
//!    the rule: downstream's pool or allocator is asked for its memory under it, and must not ask the element for `sensor-modes` then;
//! 3. the lock of the requests ([`capture::queueing`]), held while one is queued; pads' threads only try it, and who stops the task takes it last;
//! 4. libcamera's locks of ours ([`backend`]): a camera's runs (start, stop, queueing a request), the manager's. Callbacks take neither;
//! 5. the element's streaming lock, its settings and offer locks; a pad's progress, which its own thread holds while it copies a frame;
//! 6. leaf locks, one at a time: a pad's outlet, the loop state, the controls, the pool, a frame's memories, a camera's receiver, the pipeline
//!    clock, who watches for cameras; of `shmsink-rs` its state, its list of kept memories, an area's list of lent bytes, the queue of memory to give back.
//!
//! ## Decisions that were measured
//!
//! *Who hands a frame to the outbox: the completion callback.* The other shape, in which the callback only notes the completion and the capture
//! task runs the driver's step, was built and compared: libcamera's virtual camera at 64x64, free running, 100 000 frames to a `fakesink`, five
//! runs of each in turn on a busy machine with two cores (medians; libcamera 0.7.2, GStreamer 1.22, release build):
//!
//! | | by the callback | by the capture task |
//! |---|---|---|
//! | frames per second | 16 654 | 17 104 |
//! | completion to push, p50 / p99 | 8.6 / 66 µs | 23.7 / 130 µs |
//! | context switches per frame, whole process | 4.1 | 5.0 |
//! | CPU per frame, whole process | 75 µs | 63 µs |
//!
//! The rate is the camera's own and the same within the noise. The callback saves a thread hop, which is a third of the latency; the CPU time that
//! it costs more is the pad's thread waking for every single frame instead of for several at once.

pub mod histogram;
pub mod sync;

pub mod camera;

pub mod capture;
pub mod shm;

// What is model-checked stands below: these two talk to the world.
#[cfg(not(loom))]
pub mod backend;
#[cfg(not(loom))]
pub mod os;

#[cfg(feature = "plugin")]
mod controls;
#[cfg(feature = "plugin")]
mod memory;
#[cfg(feature = "plugin")]
mod notes;
#[cfg(all(feature = "plugin", not(feature = "benches")))]
mod video;
/// For benches/pure.rs to measure.
#[cfg(all(feature = "plugin", feature = "benches"))]
pub mod video;

/// `libcamerasrc-rs` beside upstream's `libcamerasrc`.
#[cfg(feature = "plugin")]
pub mod upstream {
    #![doc = include_str!("libcamerasrc/upstream.md")]
}

#[cfg(feature = "plugin")]
mod deviceprovider;
#[cfg(feature = "plugin")]
mod libcamerasrc;
#[cfg(feature = "plugin")]
mod shmsink;
#[cfg(feature = "plugin")]
mod shmsrc;

#[cfg(feature = "plugin")]
mod plugin {
    fn init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::libcamerasrc::register(plugin)?;
        crate::shmsink::register(plugin)?;
        crate::shmsrc::register(plugin)?;
        crate::deviceprovider::register(plugin)
    }

    gst::plugin_define!(
        libcamerars,
        env!("CARGO_PKG_DESCRIPTION"),
        init,
        env!("CARGO_PKG_VERSION"),
        "MPL-2.0",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://gstreamer.freedesktop.org/"
    );
}

#[cfg(feature = "plugin")]
pub use plugin::plugin_register_static;
