//! Frames as file descriptors, as `shmsink-rs transport=fd` and GStreamer's `unixfdsink` have them.
//!
//! Memory that is none of a device's is mapped once and kept for as long as its producer uses it, because to map it anew costs more than to read most
//! of a frame.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    connection::{Bytes, Connection, Held},
    session::{self, Fault, Heard},
};
use crate::memory::companion;
use crate::notes::fields;
use crate::os::dmabuf;
use crate::os::mapping::{MapError, Mapping, Object};
use crate::shm::fd::metas::{BrokenMetas, Meta};
use crate::shm::fd::wire::{self, CommandParser, Frame, Kind, Part};
use crate::shm::reader::{MAX_FRAME, MAX_MAPPED, Violation};
use crate::sync::{Arc, Weak};

/// Files that are kept mapped: a producer works with some ten.
const MOST_KEPT: usize = 64;
/// With those that frames are held in which somebody has.
const MOST_MAPPED: usize = 256;

/// A frame to push.
#[derive(Debug)]
pub(super) struct Delivery {
    pub frame: Frame,
    pub metas: Vec<Meta>,
    pub memories: Vec<gst::Memory>,
    /// Empty when there are none.
    pub caps: Arc<str>,
}

impl Delivery {
    pub fn size(&self) -> u64 {
        self.frame.parts.iter().map(|part| part.size).sum()
    }
}

/// What was heard on a connection.
#[derive(Debug)]
pub(super) struct Descriptors {
    parser: CommandParser,
    /// What came along with the command that is not whole yet.
    fds: Vec<OwnedFd>,
    caps: Arc<str>,
    /// Oldest first.
    kept: VecDeque<Arc<Mapping>>,
    /// All that may be mapped.
    mapped: Vec<Weak<Mapping>>,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self {
            parser: CommandParser::default(),
            fds: Vec::new(),
            caps: "".into(),
            kept: VecDeque::new(),
            mapped: Vec::new(),
        }
    }
}

impl Descriptors {
    pub fn wanted(&self) -> usize {
        self.parser.wanted()
    }

    pub fn is_broken(&self) -> bool {
        self.kept.iter().any(|mapping| mapping.is_broken())
    }

    pub fn handle(
        &mut self,
        bytes: &mut &[u8],
        fds: Vec<OwnedFd>,
        connection: &Arc<Connection>,
        is_wanted: bool,
    ) -> Result<Heard, Fault> {
        self.fds.extend(fds);
        // No command has more.
        if self.fds.len() > wire::MAX_PARTS {
            return Err(Violation::Descriptors.into());
        }
        let heard = self.parser.next(bytes)?;
        let Some(heard) = heard else {
            return Ok(Heard::Nothing);
        };
        let fds = std::mem::take(&mut self.fds);
        match heard {
            wire::Heard::Caps(text) => {
                // What GStreamer's sink says before it knows its caps.
                let text = if text == "NULL" { "" } else { &text };
                if *self.caps != *text {
                    self.caps = text.into();
                    self.kept.clear();
                }
                Ok(Heard::Nothing)
            }
            wire::Heard::End => Ok(Heard::End),
            wire::Heard::Unknown => Ok(Heard::Nothing),
            wire::Heard::Frame { frame, metas } => {
                let held = Arc::new(Held::new(connection, wire::encode_release(frame.id)));
                if fds.len() != frame.parts.len() {
                    return Err(Violation::Descriptors.into());
                }
                // Neither a stale frame nor one without a byte is of use to anybody.
                if !is_wanted || frame.parts.iter().all(|part| part.size == 0) {
                    return Ok(Heard::Unwanted);
                }
                let is_ours = |name: &str| name == fields::NAME;
                let metas = Meta::decode(metas.0, &metas.1, is_ours)
                    .map_err(|BrokenMetas| Violation::Metas)?;
                let memories = self.memories(&frame, fds, &held)?;
                Ok(Heard::Frame(session::Delivery::ByDescriptors(Delivery {
                    frame,
                    metas,
                    memories,
                    caps: self.caps.clone(),
                })))
            }
        }
    }

    fn memories(
        &mut self,
        frame: &Frame,
        fds: Vec<OwnedFd>,
        held: &Arc<Held>,
    ) -> Result<Vec<gst::Memory>, Fault> {
        let sizes = frame.parts.iter().map(|part| part.size);
        let size = sizes.fold(0, u64::saturating_add);
        if size > MAX_FRAME {
            return Err(Violation::LargeFrame { size }.into());
        }
        let parts = frame.parts.iter().zip(fds);
        parts
            .map(|(part, fd)| match frame.kind {
                Kind::DmaBuf => device_memory(part, fd, held),
                Kind::Plain => self.mapped_memory(part, fd, held),
            })
            .collect()
    }

    fn mapped_memory(
        &mut self,
        part: &Part,
        fd: OwnedFd,
        held: &Arc<Held>,
    ) -> Result<gst::Memory, Fault> {
        let object = Object::received(fd).map_err(Fault::Map)?;
        let file = object
            .identity()
            .map_err(|error| Fault::Map(error.into()))?;
        let known = self
            .kept
            .iter()
            .find(|mapping| mapping.object().is(file))
            .and_then(|mapping| mapping.part(part.offset, part.size));
        if let Some(known) = known {
            return Ok(gst::Memory::from_slice(Bytes::new(known, held)));
        }
        let end = part.offset.saturating_add(part.size);
        self.check_room(end)?;
        let mapping = object.map(end).map_err(Fault::Map)?;
        let bytes = mapping.part(part.offset, part.size);
        let bytes = bytes.ok_or(Fault::Truncated)?;
        // One that was shorter is of no use any more.
        self.kept.retain(|kept| !kept.object().is(file));
        if self.kept.len() >= MOST_KEPT {
            self.kept.pop_front();
        }
        self.mapped.push(Arc::downgrade(&mapping));
        self.kept.push_back(mapping);
        Ok(gst::Memory::from_slice(Bytes::new(bytes, held)))
    }

    /// Whether so many bytes more can be mapped.
    fn check_room(&mut self, length: u64) -> Result<(), Violation> {
        let mut all = length;
        self.mapped.retain(|mapping| {
            let mapping = mapping.upgrade();
            all = all.saturating_add(mapping.as_ref().map_or(0, |mapping| mapping.length()));
            mapping.is_some()
        });
        if self.mapped.len() >= MOST_MAPPED || all > MAX_MAPPED {
            return Err(Violation::TooLargeAreas);
        }
        Ok(())
    }
}

/// A DMABUF, which nobody can make shorter.
fn device_memory(part: &Part, fd: OwnedFd, held: &Arc<Held>) -> Result<gst::Memory, Fault> {
    let there = dmabuf::size_of(fd.as_fd()).ok_or(Fault::Map(MapError::Kind("no DMABUF")))?;
    let end = part.offset.saturating_add(part.size);
    if end > there {
        return Err(Fault::Map(MapError::TooSmall { asked: end, there }));
    }
    let memory = companion::dmabuf(fd, part.offset as usize, part.size as usize, held.clone());
    memory.map_err(|error| Fault::Map(std::io::Error::other(error).into()))
}
