//! How frames go round: camera, outbox, downstream, camera. Pure: no I/O, no GStreamer, time is an argument.

pub mod clock_distance;
pub mod clock_map;
pub mod control_queue;
pub mod driver;
pub mod loop_state;
pub mod outlet;
pub mod queueing;
pub mod stall;
pub mod stills;
pub mod stream;
pub mod task_gate;
