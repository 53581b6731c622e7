//! What is known of a frame: as GStreamer's buffer has it, and as the note beside a shared frame has it ([`crate::shm::note`]).
//!
//! - [`writer`]: from a buffer to its note, for the sink.
//! - [`stamp`]: from a note to a buffer, for the reader. What a note says is a stranger's claim there.
//! - [`moments`]: the times of a buffer. [`metas`]: the metas that the other wire has.
//! - [`fields`]: what the camera knew about the frame.
//! - [`clock`]: from a pipeline's clock to the machine's and back. The machine's is the same in both processes, so a frame's moment goes from one
//!   pipeline to another, whatever clocks and beginnings these have.

pub mod clock;
pub mod fields;
pub mod metas;
pub mod moments;
pub mod stamp;
pub mod writer;

use gst_video::video_frame::VideoBufferExt;

use crate::sync::LazyLock;

/// Flags that go along: all of buffers and of video but `TAG_MEMORY`, which is about the memory that the buffer had.
const FLAGS: u32 = 0x1fff_fff0 & !(1 << 14);

/// The time base of sensors' times, as [`GstReferenceTimestampMeta`](gst::ReferenceTimestampMeta) has it from `libcamerasrc-rs`.
static SENSOR_CLOCK: LazyLock<gst::Caps> =
    LazyLock::new(|| gst::Caps::new_empty_simple(crate::camera::SENSOR_CLOCK));

/// The flags of a buffer that go along.
pub fn flags_of(buffer: &gst::BufferRef) -> u32 {
    (buffer.flags().bits() | buffer.video_flags().bits()) & FLAGS
}
