//! The element's pads. GstBaseSrc serves `src` with its own thread; each `src_%u` has a task of ours ([`task`]).

mod imp;
pub mod task;

use super::session::{PadStream, frames::PeerMemory};
use crate::camera::{Orientation, StreamRole};
use crate::capture::outlet::Outlet;
use crate::capture::stream::OutboxPolicy;
use crate::sync::{Mutex, MutexGuard, atomic::Ordering};
use crate::video::repack::Repack;
use glib::subclass::prelude::*;

glib::wrapper! {
    /// A stream of the camera.
    pub struct LibcameraSrcPad(ObjectSubclass<imp::LibcameraSrcPad>)
        @extends gst::Pad, gst::Object;
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLibcameraRsStreamRole")]
pub enum Role {
    #[enum_value(name = "Frames as the sensor gives them, unprocessed", nick = "raw")]
    Raw,
    #[enum_value(
        name = "Single pictures of the highest quality",
        nick = "still-capture"
    )]
    StillCapture,
    #[default]
    #[enum_value(name = "Video that is stored or sent", nick = "video-recording")]
    VideoRecording,
    #[enum_value(name = "Video that is looked at", nick = "view-finder")]
    ViewFinder,
}

impl From<Role> for StreamRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Raw => Self::Raw,
            Role::StillCapture => Self::StillCapture,
            Role::VideoRecording => Self::VideoRecording,
            Role::ViewFinder => Self::ViewFinder,
        }
    }
}

/// What becomes of frames that downstream does not take in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLibcameraRsOutbox")]
pub enum Outbox {
    #[default]
    #[enum_value(
        name = "They wait, in order, until the camera has none left",
        nick = "queue"
    )]
    Queue,
    #[enum_value(
        name = "Only the newest waits, older ones go back to the camera",
        nick = "latest"
    )]
    Latest,
}

impl From<Outbox> for OutboxPolicy {
    fn from(outbox: Outbox) -> Self {
        match outbox {
            Outbox::Queue => Self::Queue,
            Outbox::Latest => Self::Latest,
        }
    }
}

/// When a frame is taken for the pad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLibcameraRsCapture")]
pub enum Capture {
    #[default]
    #[enum_value(
        name = "On demand for a still-capture pad beside others, otherwise all the time",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "All the time", nick = "continuous")]
    Continuous,
    #[enum_value(
        name = "When the signal capture-still asks for one",
        nick = "on-demand"
    )]
    OnDemand,
}

/// Where the pad's own thread has come to.
#[derive(Debug, Default)]
pub struct Progress {
    /// STREAM_START was sent.
    pub begun: bool,
    /// The session whose caps were sent, by its number.
    pub announced: Option<u64>,
    /// SEGMENT was sent since the last flush.
    pub segment: bool,
    /// What its peer was told to do with pictures.
    pub told_to_do: Orientation,
    /// The sequence number that follows the last buffer's.
    pub next_sequence: Option<u32>,
    /// For a peer that needs copies.
    pub repack: Option<Repack>,
    /// Downstream has said that it holds as many frames as there are.
    pub holds_all: bool,
    /// For frames that are copied because the camera has too few left.
    pub relief: Option<Repack>,
}

impl LibcameraSrcPad {
    pub fn outlet(&self) -> &Outlet<PadStream> {
        &self.imp().outlet
    }

    pub fn role(&self) -> StreamRole {
        self.imp().settings.lock().role.into()
    }

    pub fn capture(&self) -> Capture {
        self.imp().settings.lock().capture
    }

    pub fn outbox(&self) -> OutboxPolicy {
        self.imp().settings.lock().outbox.into()
    }

    /// Frames that the camera is to have so that downstream can hold as many as it needs; 0 where it has not said.
    pub fn frames_needed(&self) -> u32 {
        self.imp().frames_needed.load(Ordering::Relaxed)
    }

    pub fn set_frames_needed(&self, frames: u32) {
        self.imp().frames_needed.store(frames, Ordering::Relaxed);
    }

    /// The peer is to be told that there is nothing yet, where frames come on demand.
    pub fn set_gap_due(&self) {
        self.imp().gap_due.store(true, Ordering::Relaxed);
    }

    pub fn take_gap_due(&self) -> bool {
        self.imp().gap_due.swap(false, Ordering::Relaxed)
    }

    /// Memory that the peer has for frames, where it has said so.
    pub fn peer_memory(&self) -> Option<PeerMemory> {
        self.imp().peer_memory.lock().clone()
    }

    pub fn set_peer_memory(&self, memory: Option<PeerMemory>) {
        let before = std::mem::replace(&mut *self.imp().peer_memory.lock(), memory);
        drop(before);
    }

    /// The next buffer is to have a tag before it.
    pub fn set_tag_due(&self) {
        self.imp().tag_due.store(true, Ordering::Relaxed);
    }

    pub fn take_tag_due(&self) -> bool {
        let due = &self.imp().tag_due;
        due.load(Ordering::Relaxed) && due.swap(false, Ordering::Relaxed)
    }

    /// Taken by the pad's own thread for every frame, and by others only while that thread is stopped.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        let progress: &Mutex<Progress> = &self.imp().progress;
        progress.lock()
    }
}
