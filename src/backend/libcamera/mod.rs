//! A safe layer over `libcamera-sys`: everything of libcamera's that has a lifetime, a callback or a thread.
//!
//! The rules that make it safe, and where each is kept:
//! 1. One camera manager in a process, shared and counted; every handle holds it, and it goes last (`manager`).
//! 2. Requests and frame buffers hold their camera, so none outlives it (`request`, `frame_buffer`).
//! 3. Signals are connected once and never disconnected; requests are destroyed after `stop()` (`signals`, `hotplug`, `camera`, `request`).
//! 4. A callback runs in libcamera's thread: no panic leaves it, and no lock of this layer is held around it (`signals`).
//! 5. File descriptors given to libcamera are duplicated by it; ours stay ours (`frame_buffer`).
//! 6. A control's type and shape are checked before its bytes are read or written (`controls`, `control_value`).
//! 7. A request that could not be queued is not lost: its owner is told and keeps it. One that the camera has cannot be queued (`request`).
//!
//! Only `device` knows the traits of [`crate::camera`]'s floor; the rest could live in a crate of its own.

mod camera;
mod configuration;
mod control_table;
mod control_value;
mod controls;
mod device;
mod frame_buffer;
mod hotplug;
mod manager;
mod orientation;
mod request;
mod signals;

pub use control_table::definitions as control_definitions;
pub use device::Libcamera;
pub use manager::CameraManager;
