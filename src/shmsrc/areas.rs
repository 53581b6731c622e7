//! Frames in areas of shared memory, as `shmsink-rs` and the stock `shmsink` have them.

use std::os::fd::OwnedFd;

use super::{
    CAT,
    connection::{Bytes, Connection, Held},
    session::{self, Fault, Heard},
};
use crate::os::mapping::{MapError, Mapping, Object};
use crate::shm::header::{Header, StreamState};
use crate::shm::layout::{HEADER_SIZE, NOTE_SIZE};
use crate::shm::note::{self, Note};
use crate::shm::reader::{Event, Frame, MAX_AREAS, MAX_MAPPED, Reader, Violation};
use crate::shm::wire::Ack;
use crate::sync::{Arc, Weak};

/// A frame to push.
#[derive(Debug)]
pub(super) struct Delivery {
    pub frame: Frame,
    pub bytes: Bytes,
    /// It can be asked for, until the next.
    pub has_note: bool,
}

/// Bytes of a note that are copied at once: all of most notes.
const MOST_OF_A_NOTE: usize = 512;

/// The note of the last frame, out of the producer's reach.
#[derive(Debug, Default)]
struct NoteCopy(Vec<u8>);

impl NoteCopy {
    /// False when there is no memory any more.
    fn read(&mut self, area: &Mapping, at: u64) -> bool {
        let Self(bytes) = self;
        for size in [MOST_OF_A_NOTE, NOTE_SIZE as usize] {
            bytes.resize(size, 0);
            if area.copy_out(at, bytes).is_none() {
                return false;
            }
            if note::length_of(bytes) <= size {
                break;
            }
        }
        true
    }
}

/// What was announced on a connection.
#[derive(Debug, Default)]
pub(super) struct Areas {
    reader: Reader,
    /// By generation, in the order of their announcement.
    areas: Vec<(u32, Arc<Mapping>)>,
    /// All that may be mapped: what is announced, and what frames that somebody still has are in.
    mapped: Vec<Weak<Mapping>>,
    /// What came along with the message that is not whole yet.
    fd: Option<OwnedFd>,
    note: NoteCopy,
}

impl Areas {
    pub fn wanted(&self) -> usize {
        self.reader.wanted()
    }

    pub fn is_broken(&self) -> bool {
        self.areas.iter().any(|(_, area)| area.is_broken())
    }

    /// What the newest header says of the stream.
    pub fn state(&self) -> Option<StreamState> {
        let (_, area) = self.areas.last()?;
        header_of(area).map(|header| header.state)
    }

    /// The note of the last delivery, and how many frames were published since the one before that did not come here.
    pub fn note(&mut self, frame: &Frame) -> Result<(Note<'_>, u64), Violation> {
        self.reader.handle_note(frame, &self.note.0)
    }

    pub fn handle(
        &mut self,
        bytes: &mut &[u8],
        mut fds: Vec<OwnedFd>,
        connection: &Arc<Connection>,
        is_wanted: bool,
    ) -> Result<Heard, Fault> {
        // It comes with the first byte of the message that it belongs to, which may not be whole yet.
        self.fd = fds.pop().or(self.fd.take());
        match self.reader.handle_bytes(bytes)? {
            None => Ok(Heard::Nothing),
            Some(Event::Area {
                generation,
                length,
                name,
            }) => {
                check_room(&mut self.mapped, length)?;
                self.map(generation, length, &name).map_err(Fault::Map)?;
                gst::info!(CAT, "Area {generation}: {name}, {length} bytes");
                Ok(Heard::Area(name))
            }
            Some(Event::Closed { generation }) => {
                self.areas.retain(|(known, _)| *known != generation);
                Ok(Heard::Nothing)
            }
            Some(Event::Frame(frame)) => self.frame(frame, connection, is_wanted),
        }
    }

    fn frame(
        &mut self,
        frame: Frame,
        connection: &Arc<Connection>,
        is_wanted: bool,
    ) -> Result<Heard, Fault> {
        gst::log!(
            CAT,
            "Frame at {} of area {}",
            frame.offset,
            frame.generation
        );
        let ack = Ack {
            offset: frame.offset,
        };
        let held = Arc::new(Held::new(connection, ack.encode(frame.generation)));
        // Neither a stale frame nor one without a byte is of use to anybody.
        if !is_wanted || frame.size == 0 {
            return Ok(Heard::Unwanted);
        }
        let mut areas = self.areas.iter();
        let area = areas.find(|(generation, _)| *generation == frame.generation);
        // The reader has checked both.
        let part = area.and_then(|(_, area)| Some((area, area.part(frame.offset, frame.size)?)));
        let Some((area, part)) = part else {
            return Ok(Heard::Nothing);
        };
        if let Some(at) = frame.note_at
            && !self.note.read(area, at)
        {
            return Err(Fault::Truncated);
        }
        Ok(Heard::Frame(session::Delivery::InArea(Delivery {
            has_note: frame.note_at.is_some(),
            frame,
            bytes: Bytes::new(part, &held),
        })))
    }

    /// Maps an area that was announced: what came along with the announcement, or what has that name.
    fn map(&mut self, generation: u32, length: u64, name: &str) -> Result<(), MapError> {
        let object = match self.fd.take() {
            Some(fd) => Object::received(fd)?,
            None => Object::open(name)?,
        };
        let area = object.map(length)?;
        self.reader.handle_area(generation, header_of(&area));
        self.mapped.push(Arc::downgrade(&area));
        self.areas.push((generation, area));
        Ok(())
    }
}

/// Whether another area of that length can be mapped.
fn check_room(mapped: &mut Vec<Weak<Mapping>>, length: u64) -> Result<(), Violation> {
    let mut all = length;
    mapped.retain(|area| {
        let area = area.upgrade();
        all = all.saturating_add(area.as_ref().map_or(0, |area| area.length()));
        area.is_some()
    });
    if mapped.len() >= MAX_AREAS {
        return Err(Violation::TooManyAreas);
    }
    if all > MAX_MAPPED {
        return Err(Violation::TooLargeAreas);
    }
    Ok(())
}

/// The header behind an area; `None` where a stock sink has made it.
fn header_of(area: &Mapping) -> Option<Header> {
    let mut bytes = [0; HEADER_SIZE as usize];
    let read = area.object().read_at(0, &mut bytes).ok()?;
    Header::decode(bytes.get(..read)?)
}
