//! The streaming thread's work on either transport.

use super::{
    Transport,
    fd::stream::FdStream,
    settings::Settings,
    shared::Shared,
    stream::{PublishError, Published, Stream},
};
use crate::notes::clock::Timebase;
use crate::shm::layout::UPSTREAM;

/// What a frame's moment depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// What running times are of.
    pub timebase: Option<&'a Timebase>,
    /// How much later than that a frame is to be shown.
    pub latency: gst::ClockTime,
    /// When upstream has no more frames to spare, readers get copies.
    pub copies_scarce: bool,
}

#[derive(Debug)]
pub(super) enum Streaming {
    Shm(Box<Stream>),
    Fd(Box<FdStream>),
}

impl Streaming {
    pub fn new(settings: &Settings) -> Self {
        match settings.transport {
            Transport::Shm => Self::Shm(Box::new(Stream::new(settings))),
            Transport::Fd => Self::Fd(Box::new(FdStream::new(settings.area_size()))),
        }
    }

    pub fn set_caps(&mut self, caps: &gst::Caps) {
        match self {
            Self::Shm(stream) => stream.set_caps(caps),
            Self::Fd(stream) => stream.set_caps(caps),
        }
    }

    pub fn set_segment(&mut self, segment: &gst::Segment) {
        match self {
            Self::Shm(stream) => stream.set_segment(segment),
            Self::Fd(stream) => stream.set_segment(segment),
        }
    }

    /// EOS has come, and readers were told. A frame after this means that the stream goes on.
    pub fn end(&mut self) {
        match self {
            Self::Shm(stream) => stream.end(),
            Self::Fd(stream) => stream.end(),
        }
    }

    pub fn has_ended(&self) -> bool {
        match self {
            Self::Shm(stream) => stream.has_ended(),
            Self::Fd(stream) => stream.has_ended(),
        }
    }

    /// Sees to it that readers can be told how the stream ends.
    pub fn prepare_end(&mut self, shared: &Shared) {
        if let Self::Shm(stream) = self {
            stream.prepare_end(shared);
        }
    }

    /// Upstream can write its frames where readers look at them.
    pub fn prepare_slots(&mut self, shared: &Shared, size: u64) {
        if let Self::Shm(stream) = self {
            shared.lock().server.set_upstream(UPSTREAM);
            stream.prepare(shared, size);
        }
    }

    /// Upstream is to ask again what it is offered; said once.
    pub fn take_has_slots_again(&mut self) -> bool {
        match self {
            Self::Shm(stream) => stream.take_has_slots_again(),
            Self::Fd(_) => false,
        }
    }

    /// Upstream was asked for so many frames beyond those that it needs itself.
    pub fn set_spare(&mut self, spare: usize) {
        if let Self::Fd(stream) = self {
            stream.set_spare(spare);
        }
    }

    pub fn publish(
        &mut self,
        shared: &Shared,
        buffer: &gst::Buffer,
        context: Context<'_>,
    ) -> Result<Published, PublishError> {
        match self {
            Self::Shm(stream) => stream.publish(shared, buffer, context.timebase),
            Self::Fd(stream) => stream.publish(shared, buffer, context),
        }
    }
}
