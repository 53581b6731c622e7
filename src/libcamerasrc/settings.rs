//! The element's properties, their documentation and their defaults.

use super::{controls::CONTROLS, session::frames::IoMode};
use crate::controls::Property;
use crate::sync::LazyLock;
use gst::prelude::*;
use gst_video::VideoOrientationMethod;

#[derive(Clone, Debug)]
pub struct Settings {
    pub camera_name: Option<String>,
    pub pace: bool,
    /// Nanoseconds; 0 does not watch.
    pub stall_timeout: u64,
    pub all_streams: bool,
    pub sensor_config: Option<gst::Structure>,
    /// 0 leaves it to the camera and downstream.
    pub buffer_count: u32,
    pub frame_metadata: bool,
    pub state_messages: bool,
    pub io_mode: IoMode,
    pub video_direction: VideoOrientationMethod,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            camera_name: None,
            pace: false,
            stall_timeout: 5_000_000_000,
            all_streams: false,
            sensor_config: None,
            buffer_count: 0,
            frame_metadata: true,
            state_messages: false,
            io_mode: IoMode::Auto,
            video_direction: VideoOrientationMethod::Identity,
        }
    }
}

/// As downstream needs it.
pub const DEFAULT_COPY_THRESHOLD: i32 = -1;

pub static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let controls = CONTROLS.iter().map(Property::param_spec);
    own_properties().into_iter().chain(controls).collect()
});

/// More are not asked for, whatever downstream says.
pub const MOST_FRAMES: u32 = 32;

fn own_properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    vec![
        glib::ParamSpecString::builder("camera-name")
            .nick("Camera name")
            .blurb(
                "The camera to use: its id, as `cam -l` prints it in parentheses; its place in that list, from 0; its model (imx219); or a part of \
                 its id or model that no other camera has (046d:085c). Unset takes the first camera. A name that fits no camera, or several, is an \
                 error that lists them. Read when the element goes to READY, which takes the camera for this process alone",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("pace")
            .nick("Pace")
            .blurb(
                "Hold the negotiated frame rate (30/1 if downstream does not say) by queueing one request per frame interval, for cameras that \
                 deliver as fast as they are asked, such as libcamera's virtual ones. A camera that keeps its rate by itself does not need it",
            )
            .default_value(defaults.pace)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("frame-metadata")
            .nick("Frame metadata")
            .blurb(
                "Buffers carry what the camera knew about their frame, such as exposure time, gain and lens position: a GstCustomMeta named \
                 `libcamera`, whose structure has a field for each control that the camera reported, by the name and with the type of the property \
                 of that name (enumerations by their nick). It goes along with copies of the buffer. Read when the camera starts; default: true",
            )
            .default_value(defaults.frame_metadata)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("state-messages")
            .nick("State messages")
            .blurb(
                "Post an element message `libcamerasrc-state` when a state that the camera reports changes: its structure has a field for each one \
                 that did, by the name and with the value of the property (ae-state, af-state, af-pause-state, awb-locked, ...). The first frame \
                 tells all that the camera has. Read when the camera starts; default: false",
            )
            .default_value(defaults.state_messages)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("video-direction", defaults.video_direction)
            .nick("Video direction")
            .blurb(
                "How pictures are to lie, compared to the scene: upright (identity, default; auto and custom too), turned or mirrored. What the camera cannot \
                 do, for instance because of how it is mounted, is told by the tag `image-orientation`, which `videoflip video-direction=auto` and \
                 video sinks with `rotate-method=auto` follow. A change while the camera runs restarts it",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("stall-timeout")
            .nick("Stall timeout")
            .blurb(
                "Warn when the camera has requests and completes none for so long, in nanoseconds; 0 does not watch. The warning's details are \
                 a structure `libcamerasrc-stalled` with `stall-timeout`; there is one for each stall, and the stream goes on when the camera does. \
                 Choose several times the longest exposure; default: 5 s",
            )
            .default_value(defaults.stall_timeout)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("io-mode", defaults.io_mode)
            .nick("I/O mode")
            .blurb(
                "Whose memory the camera fills. auto: the pool or allocator that downstream offers (ALLOCATION query) where its buffers are behind file \
                 descriptors, lie as the camera's frames do and are as many as it works with, so that nothing is copied on the way; otherwise DMABUFs \
                 that the camera exports; where it cannot, anonymous memory. dmabuf: exported ones, or an error. dmabuf-import: downstream's, otherwise \
                 of a DMA heap or udmabuf, otherwise anonymous memory. Field `memory` of `stats` says which it is, `memory-refused` why downstream's \
                 is not. Read when the camera starts",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("all-streams")
            .nick("All streams")
            .blurb(
                "Every frame of the sensor goes to all pads or to none, for consumers that need sets of frames of one moment: a branch that \
                 holds all its frames then stops the others too. Otherwise such a branch is left out until it gives a frame back",
            )
            .default_value(defaults.all_streams)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("sensor-config")
            .nick("Sensor configuration")
            .blurb(
                "How the sensor itself is read out, whatever the streams are scaled to: `sensor/config,width=2328,height=1748,depth=10`. Besides \
                 those three: `bin-x`, `bin-y`; `x-odd-inc`, `x-even-inc`, `y-odd-inc`, `y-even-inc`; `analog-crop-x`, `-y`, `-width`, \
                 `-height`, each group complete or left out. One that libcamera refuses is an error; some of its handlers ignore it. Unset (default) leaves it to \
                 the camera. Read when the element goes to READY",
            )
            .mutable_ready()
            .build(),
        gst::ParamSpecArray::builder("sensor-modes")
            .element_spec(
                &glib::ParamSpecBoxed::builder::<gst::Structure>("mode")
                    .nick("Mode")
                    .blurb("A mode of the sensor")
                    .read_only()
                    .build(),
            )
            .nick("Sensor modes")
            .blurb(
                "How the sensor of the opened camera can be read out, the smallest first: structures that `sensor-config` takes (`width`, `height`, `depth`), \
                 with the raw `formats` by their DRM names, `min-framerate` and `max-framerate`. From READY on; empty for a camera that offers no raw \
                 frames, as those with a processor of their own. Frame rates are known when it is first read in READY, which configures the camera \
                 for each mode; not from a camera that streams",
            )
            .read_only()
            .build(),
        glib::ParamSpecUInt::builder("buffer-count")
            .nick("Buffer count")
            .blurb(
                "Frames to ask the camera for, for each stream; 0 (default) takes as many as the camera proposes, or as downstream says that it \
                 holds (ALLOCATION query) and two more. The camera may export another number; in memory of ours (io-mode) there are as many",
            )
            .maximum(MOST_FRAMES)
            .default_value(defaults.buffer_count)
            .mutable_ready()
            .build(),
        glib::ParamSpecInt::builder("copy-threshold")
            .nick("Copy threshold")
            .blurb(
                "A frame is copied, and goes back to the camera at once, when fewer frames than this would be left that are not downstream. 0 \
                 never copies: a consumer that holds all frames stops the stream until it gives one back. -1 (default) is 1 behind a consumer \
                 that says that it holds as many frames as there are (ALLOCATION query), as encoders do that look ahead, and 0 otherwise. The \
                 element message `libcamerasrc-starved` with the `pad`, once a second at most, tells that consumers have all frames",
            )
            .minimum(-1)
            .maximum(MOST_FRAMES as i32)
            .default_value(DEFAULT_COPY_THRESHOLD)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Totals since the camera was last started. Fields are uint64 where nothing else is said. Of all pads together: `captured` \
                 frames, `delivered` to a pad's thread, `dropped` (captured and not delivered), `missed` (the sensor's count had a gap), \
                 `damaged` (marked CORRUPTED), `cancelled` (given back unfilled). Of the camera: `requests-queued`, `-completed`, \
                 `-cancelled`, `-failed` (not taken by the camera), `-unknown`; `controls-set`, `controls-applied`. Of the task that \
                 queues requests: `wake-ups`, and `idle-wake-ups` that found nothing to do. `pads` is a structure with one for each pad that \
                 has a stream, by its name: `captured`, `delivered`, `dropped`, `missed`, `damaged`, `cancelled`, `left-out` (requests that \
                 went without this stream, because consumers held all its frames), `starved` (for how long they did, in nanoseconds); where \
                 its frames are now: `free`, `queued`, `outbox`, `downstream` (uint); from a frame's completion until its pad's thread has \
                 it, in nanoseconds: `latency-p50`, `latency-p99`, `latency-max`; buffers that went downstream as the camera filled them, `zero-copy`, and copies: \
                 `copied-layout` (the peer does not see how planes lie), `copied-scarce` (`copy-threshold`); `memory`: exported, downstream, dma-heap or \
                 memfd, and `memory-refused`, why it is not downstream's where that offers some",
            )
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("extra-controls")
            .nick("Extra controls")
            .blurb(
                "Controls by name, as their properties or libcamera call them: `controls,brightness=0.2,AeEnable=false`. Each is set as its \
                 property would be. Reads as all that were set",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("camera-controls")
            .nick("The camera's controls")
            .blurb(
                "The controls that the opened camera has (from READY on; empty before), each a structure by the name of its property, with \
                 `min`, `max`, `default`, and `values` where not all in between are possible. Any control may be set in every state: \
                 before the camera is started it is given to the start, afterwards to the next frame that is requested, and again to every \
                 later start. One that the camera lacks is ignored, with one warning; a value out of its range is replaced by the nearest, \
                 with a warning that tells the range",
            )
            .read_only()
            .build(),
    ]
}
