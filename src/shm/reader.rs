//! The state machine of a reader: a server's bytes in, what to do about them out. Nothing that comes in is trusted.
//!
//! What it keeps, whatever the server says (`fuzz/` looks for what breaks it, `tests/shm_fuzz.rs` replays what was found, `tests/shm_hostile.rs` says the known
//! things to a whole element):
//!
//! - A frame lies in an area that was announced, is mapped and was not closed, and not one byte of it beyond that area's end.
//! - An area's id means one area, and no more than [`MAX_AREAS`] are open.
//! - A note is that of its frame, and frames with notes have strictly growing sequence numbers.
//! - The first thing that is not so ends it.

use super::fd::wire::NotACommand;
use super::header::Header;
use super::layout::{self, NOTE_SIZE};
use super::note::{Note, NoteError};
use super::wire::{Heard, MessageParser, NotAMessage};

/// Areas that can be open at the same time. `shmsink-rs` has no more than 15 ([`layout::MAX_AREAS`]); the stock sink makes one for each change of its
/// `shm-size`.
pub const MAX_AREAS: usize = 18;
/// Bytes that can be mapped at the same time.
pub const MAX_MAPPED: u64 = 64 << 30;
/// GStreamer has lengths that are signed and of 32 bits.
pub const MAX_FRAME: u64 = i32::MAX as u64;

/// A frame that the server has told of, to be acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub generation: u32,
    pub offset: u64,
    pub size: u64,
    /// Where its note lies in the object; `None` when the server writes none.
    pub note_at: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Open and map it, then call [`Reader::handle_area`].
    Area {
        generation: u32,
        length: u64,
        name: String,
    },
    /// No more frames come from it.
    Closed {
        generation: u32,
    },
    Frame(Frame),
}

/// The server broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error(transparent)]
    Message(#[from] NotAMessage),
    #[error(transparent)]
    Command(#[from] NotACommand),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("a frame with more or fewer file descriptors than memories")]
    Descriptors,
    #[error("metas that are shorter than they say")]
    Metas,
    #[error("area {generation} a second time")]
    KnownArea { generation: u32 },
    #[error("area {generation} of no bytes")]
    EmptyArea { generation: u32 },
    #[error("a frame in area {generation}, which there is not")]
    UnknownArea { generation: u32 },
    #[error("more than {MAX_AREAS} areas, with those that frames are held of")]
    TooManyAreas,
    #[error("areas of more than {MAX_MAPPED} bytes, with those that frames are held of")]
    TooLargeAreas,
    #[error("a frame of {size} bytes, which are more than {MAX_FRAME}")]
    LargeFrame { size: u64 },
    #[error("a frame of {size} bytes at {offset} of an area of {length}")]
    Outside { offset: u64, size: u64, length: u64 },
    #[error("frame {sequence} after frame {last}")]
    Order { sequence: u64, last: u64 },
    #[error("it sends frames and reads no acks")]
    ReadsNoAcks,
}

#[derive(Debug, Clone)]
struct Area {
    generation: u32,
    length: u64,
    /// `None` until it is mapped.
    mapped: Option<Mapped>,
}

#[derive(Debug, Clone, Copy)]
struct Mapped {
    /// Bytes from one slot to the next; `None` when the server writes no notes.
    stride: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct Reader {
    parser: MessageParser,
    /// In the order of their announcement.
    areas: Vec<Area>,
    last_sequence: Option<u64>,
}

impl Reader {
    /// See [`MessageParser::wanted`].
    pub fn wanted(&self) -> usize {
        self.parser.wanted()
    }

    /// The next event of `bytes`, which is advanced past it; `None` when `bytes` is used up.
    pub fn handle_bytes(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Violation> {
        match self.parser.next(bytes)? {
            None => Ok(None),
            Some(Heard::NewArea {
                generation,
                length,
                name,
            }) => {
                self.announce(generation, length)?;
                Ok(Some(Event::Area {
                    generation,
                    length,
                    name,
                }))
            }
            Some(Heard::CloseArea { generation }) => {
                // The stock reader ignores one that it does not know, so a server may say it.
                self.areas.retain(|area| area.generation != generation);
                Ok(Some(Event::Closed { generation }))
            }
            Some(Heard::NewBuffer {
                generation,
                offset,
                size,
            }) => self.frame(generation, offset, size).map(Some),
        }
    }

    fn announce(&mut self, generation: u32, length: u64) -> Result<(), Violation> {
        if length == 0 {
            return Err(Violation::EmptyArea { generation });
        }
        if self.areas.iter().any(|area| area.generation == generation) {
            return Err(Violation::KnownArea { generation });
        }
        if self.areas.len() >= MAX_AREAS {
            return Err(Violation::TooManyAreas);
        }
        self.areas.push(Area {
            generation,
            length,
            mapped: None,
        });
        Ok(())
    }

    /// The area is mapped. `header` is what lies behind it, if anything does.
    pub fn handle_area(&mut self, generation: u32, header: Option<Header>) {
        let areas = self.areas.iter_mut();
        for area in areas.filter(|area| area.generation == generation) {
            let ours = header
                .filter(|header| header.generation == generation && header.length == area.length);
            area.mapped = Some(Mapped {
                stride: ours.map(|header| header.stride),
            });
        }
    }

    fn frame(&mut self, generation: u32, offset: u64, size: u64) -> Result<Event, Violation> {
        let mut areas = self.areas.iter();
        let found = areas.find_map(|area| {
            (area.generation == generation).then_some((area.length, area.mapped?))
        });
        let (length, mapped) = found.ok_or(Violation::UnknownArea { generation })?;
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(Violation::Outside {
                offset,
                size,
                length,
            });
        }
        if size > MAX_FRAME {
            return Err(Violation::LargeFrame { size });
        }
        let note_at = mapped
            .stride
            .map(|stride| layout::note_offset(offset, stride));
        if note_at.is_some_and(|at| at.saturating_add(NOTE_SIZE) > length) {
            return Err(NoteError::Foreign.into());
        }
        Ok(Event::Frame(Frame {
            generation,
            offset,
            size,
            note_at,
        }))
    }

    /// The frame's note, of these bytes that lie where it is to be; and how many frames the server has published since the one before that this
    /// reader did not get.
    pub fn handle_note<'a>(
        &mut self,
        frame: &Frame,
        bytes: &'a [u8],
    ) -> Result<(Note<'a>, u64), Violation> {
        let note = Note::decode(bytes, frame.generation, frame.offset, frame.size)?;
        let sequence = note.sequence;
        let missed = match self.last_sequence {
            None => 0,
            Some(last) if sequence > last => sequence - last - 1,
            Some(last) => return Err(Violation::Order { sequence, last }),
        };
        self.last_sequence = Some(sequence);
        Ok((note, missed))
    }
}
