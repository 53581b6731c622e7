//! Frames: where their pixels are, and what the camera said when it had filled one.

use crate::sync::Arc;
use std::os::fd::OwnedFd;

/// What sensors' timestamps count, as a buffer's reference timestamp names it.
pub const SENSOR_CLOCK: &str = "timestamp/x-system-monotonic";

/// A frame of the current set, by its place in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameId(pub u32);

/// A request of the current set. A completion names it; order means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

/// One plane of a frame. Planes of one frame often share their file descriptor.
#[derive(Clone, Debug)]
pub struct Plane {
    pub fd: Arc<OwnedFd>,
    pub offset: u32,
    pub length: u32,
}

#[derive(Clone, Debug)]
pub struct FrameLayout {
    pub planes: Vec<Plane>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameStatus {
    Success,
    /// The frame's content may be damaged.
    Error,
    /// The camera gave the frame back unfilled.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionStatus {
    Complete,
    Cancelled,
}

/// Streams that a camera may have at once.
pub const MAX_STREAMS: usize = 4;

/// What a request carries: a frame for each stream, by the stream's place, and nothing for a stream that it leaves out.
pub type FrameSet = [Option<FrameId>; MAX_STREAMS];

/// What became of one stream's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedFrame {
    pub frame: FrameId,
    pub status: FrameStatus,
    /// The sensor's own count of frames; a gap is a frame that was never delivered.
    pub sequence: u32,
    /// Bytes that the camera wrote, where it says so.
    pub bytes_used: Option<u32>,
}

/// A request that the camera has finished with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub request: RequestId,
    pub status: CompletionStatus,
    /// When the exposure began, in nanoseconds of CLOCK_BOOTTIME or CLOCK_MONOTONIC.
    pub sensor_timestamp: Option<u64>,
    pub frames: [Option<CompletedFrame>; MAX_STREAMS],
}
