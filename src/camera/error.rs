//! What can go wrong with a camera, in the words of the person in front of it.

use super::format::{PixelFormat, Size};

#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// There is a camera, but not this one.
    #[error(
        "there is no camera named '{wanted}'; the cameras here are: {}. One whose /dev/media* and /dev/video* this user may not open is not among \
         them (group 'video')",
        list(.known)
    )]
    Unknown { wanted: String, known: Vec<String> },
    #[error(
        "'{wanted}' may mean several cameras: {}; give more of the id", list(.matching)
    )]
    Ambiguous {
        wanted: String,
        matching: Vec<String>,
    },
    #[error(
        "no camera was found; check that one is plugged in, that this user may open /dev/media* and /dev/video* (group 'video'), \
         and what `cam -l` lists"
    )]
    NoCamera,
    #[error(
        "camera '{camera}' is in use by another program or element; stop that one first (`fuser /dev/media* /dev/video*` names it)"
    )]
    Busy { camera: String },
    #[error(
        "camera '{camera}' is gone (unplugged, or its driver has failed); plug it in and start again"
    )]
    Gone { camera: String },
    /// libcamera allows one camera manager in a process, and aborts on a second one.
    #[error(
        "another component of this process already uses libcamera (upstream's libcamerasrc or its device provider?); libcamera allows \
         one user in a process. Run it in a process of its own, or keep it away with \
         GST_PLUGIN_FEATURE_RANK=libcamerasrc:NONE,libcameraprovider:NONE"
    )]
    ForeignManager,
    #[error(
        "camera '{camera}' offers no stream for {role}; choose another stream-role of the pad: view-finder, video-recording, still-capture or raw"
    )]
    NoStream { camera: String, role: String },
    #[error("camera '{camera}' cannot deliver {format} at {size}{}", alternatives(.sizes))]
    SizeAdjusted {
        camera: String,
        format: PixelFormat,
        size: Size,
        sizes: Vec<Size>,
    },
    /// Its rates depend on the size, and are known only when that is configured.
    #[error(
        "camera '{camera}' cannot deliver {wanted} frames per second at {size}: it delivers {slowest} to {fastest} there; ask for such a rate, \
         for another size, or for a faster mode of the sensor (sensor-config)"
    )]
    FrameRate {
        camera: String,
        size: Size,
        wanted: String,
        slowest: String,
        fastest: String,
    },
    #[error(
        "camera '{camera}' cannot read its sensor out as sensor-config asks; its modes: {} (the property sensor-modes lists them from READY on, without \
         a sensor-config)", list(.modes)
    )]
    SensorConfig { camera: String, modes: Vec<String> },
    /// A frame cannot be exported: no allocator for shareable memory on this machine.
    #[error(
        "camera '{camera}' cannot allocate frames ({reason}); it needs one of /dev/dma_heap/linux,cma, /dev/dma_heap/reserved, \
         /dev/dma_heap/system or /dev/udmabuf, readable and writable by this user"
    )]
    Allocation { camera: String, reason: String },
    #[error(
        "the camera gives every frame back unfilled; its driver fails (see `dmesg`), or it cannot write to the memory it was given: on a machine \
         without /dev/dma_heap/* and /dev/udmabuf that is no DMABUF, which most cameras need"
    )]
    AllCancelled,
    /// Nobody can say with caps how its raw frames lie.
    #[error(
        "camera '{camera}' has raw frames with lines of {stride} bytes at {size}, which {format} caps cannot say ({implied}); ask for another width"
    )]
    RawLines {
        camera: String,
        size: Size,
        format: &'static str,
        stride: u32,
        implied: u32,
    },
    #[error(
        "camera '{camera}': {call} failed: {reason}; see libcamera's log (LIBCAMERA_LOG_LEVELS='*:INFO') and `dmesg`, and start again"
    )]
    Call {
        camera: String,
        call: &'static str,
        reason: std::io::Error,
    },
    /// Not the camera's fault, but ours.
    #[error(
        "{thread} has panicked; what the program has printed as its errors says where. Start again, and please report this"
    )]
    Panicked { thread: &'static str },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn alternatives(sizes: &[Size]) -> String {
    if sizes.is_empty() {
        return String::new();
    }
    let sizes: Vec<String> = sizes.iter().map(Size::to_string).collect();
    format!(
        "; sizes that it can deliver: {}. Ask for one of these, and put videoscale behind it for another",
        sizes.join(", ")
    )
}
