//! The wire of the stock `shmsink` and `shmsrc`: fixed structs in the host's byte order and C layout, one of them followed by a name. A word is as
//! long as a pointer, so that a message is 24 bytes on a machine of 64 bits.
//!
//! | size | field | sent as |
//! |---|---|---|
//! | 4 | type | 1 new area, 2 close area, 3 new buffer, 4 ack |
//! | 4 | area id | the generation, from 1 |
//! | a word | new area: length; new buffer, ack: offset | |
//! | a word | new area: 4 bytes name length with its NUL, the rest nothing; new buffer: size | |
//!
//! A reader of 32 bits has 16-byte structs and cannot talk to a server of 64 bits; that is a limit of the stock wire.

const WORD: usize = size_of::<usize>();

/// Bytes of every message without the name.
pub const MESSAGE_SIZE: usize = 8 + 2 * WORD;

/// Where a new area's message has the length of its name.
pub const NAME_SIZE_AT: usize = 8 + WORD;

const NEW_AREA: u32 = 1;
const CLOSE_AREA: u32 = 2;
const NEW_BUFFER: u32 = 3;
const ACK_BUFFER: u32 = 4;

/// What a server says. The reader takes each with one non-blocking read and gives up on a partial one, so each is sent whole, in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Map `length` bytes of the POSIX shared memory object `name` (which starts with its slash).
    NewArea {
        generation: u32,
        length: u64,
        name: &'a str,
    },
    /// No more frames will come from that area.
    CloseArea { generation: u32 },
    /// A frame lies at these bytes of that area; to be acked with its offset.
    NewBuffer {
        generation: u32,
        offset: u64,
        size: u64,
    },
}

impl Message<'_> {
    /// Appends the message's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Message::NewArea {
                generation,
                length,
                name,
            } => {
                let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
                header(out, NEW_AREA, generation, length);
                out.extend_from_slice(&name_size.to_ne_bytes());
                out.extend_from_slice(&[0; WORD - 4]);
                out.extend_from_slice(name.as_bytes());
                out.push(0);
            }
            Message::CloseArea { generation } => {
                header(out, CLOSE_AREA, generation, 0);
                out.extend_from_slice(&[0; WORD]);
            }
            Message::NewBuffer {
                generation,
                offset,
                size,
            } => {
                header(out, NEW_BUFFER, generation, offset);
                word(out, size);
            }
        }
    }
}

fn header(out: &mut Vec<u8>, kind: u32, generation: u32, value: u64) {
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&generation.to_ne_bytes());
    word(out, value);
}

/// What is sent was mapped by this process, so it fits.
fn word(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&(value as usize).to_ne_bytes());
}

/// A client is done with the frame at `offset`. The area id that comes along is not looked at: readers up to 1.28.6 send the newest area's id
/// whatever area the frame was in, so offsets are unique across generations instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub offset: u64,
}

/// A client said something that is no ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message of type {kind} where only acks (type {ACK_BUFFER}) are known")]
pub struct NotAnAck {
    pub kind: u32,
}

/// Takes acks out of a byte stream, however it is cut.
#[derive(Debug, Default, Clone)]
pub struct AckParser {
    partial: [u8; MESSAGE_SIZE],
    filled: usize,
}

impl AckParser {
    /// The next ack of `bytes`, which is advanced past it; `None` when `bytes` is used up. What is left of a partial ack is kept.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Ack>, NotAnAck> {
        let (_, room) = self.partial.split_at_mut(self.filled);
        let taken = room.len().min(bytes.len());
        let (head, rest) = bytes.split_at(taken);
        room[..taken].copy_from_slice(head);
        *bytes = rest;
        self.filled += taken;
        if self.filled < MESSAGE_SIZE {
            return Ok(None);
        }
        self.filled = 0;
        let mut kind = [0; 4];
        kind.copy_from_slice(&self.partial[..4]);
        let kind = u32::from_ne_bytes(kind);
        if kind != ACK_BUFFER {
            return Err(NotAnAck { kind });
        }
        let mut offset = [0; WORD];
        offset.copy_from_slice(&self.partial[8..8 + WORD]);
        Ok(Some(Ack {
            offset: usize::from_ne_bytes(offset) as u64,
        }))
    }
}

impl Ack {
    /// The ack of a frame of that area, as a reader sends it.
    pub fn encode(&self, generation: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(MESSAGE_SIZE);
        header(&mut out, ACK_BUFFER, generation, self.offset);
        word(&mut out, 0);
        out
    }
}

/// Bytes that a name may have, with its NUL: what the system takes for one, and the slash.
pub const MAX_NAME: usize = 256;

/// What a server has said, as [`Message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    NewArea {
        generation: u32,
        length: u64,
        name: String,
    },
    CloseArea {
        generation: u32,
    },
    NewBuffer {
        generation: u32,
        offset: u64,
        size: u64,
    },
}

/// A server said something that is none of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAMessage {
    #[error("a message of type {kind}, which is not known")]
    Kind { kind: u32 },
    #[error("a name of {size} bytes, where 3 to {MAX_NAME} are possible")]
    NameSize { size: u32 },
    #[error("a name that is none of a shared memory object")]
    Name,
}

/// Takes messages out of a byte stream, however it is cut.
#[derive(Debug, Default, Clone)]
pub struct MessageParser {
    /// Of a message that is not whole yet.
    partial: Vec<u8>,
}

impl MessageParser {
    /// Bytes that are missing of the next message, as far as it is known; never 0. To read no more than these keeps what comes along with a message
    /// apart from what comes with the next.
    pub fn wanted(&self) -> usize {
        let name = name_size(&self.partial).unwrap_or(0) as usize;
        (MESSAGE_SIZE + name)
            .saturating_sub(self.partial.len())
            .max(1)
    }

    /// The next message of `bytes`, which is advanced past it; `None` when `bytes` is used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Heard>, NotAMessage> {
        loop {
            let taken = self.wanted().min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            self.partial.extend_from_slice(head);
            *bytes = rest;
            if let Some(size) = name_size(&self.partial)
                && !(3..=MAX_NAME).contains(&(size as usize))
            {
                return Err(NotAMessage::NameSize { size });
            }
            let whole = MESSAGE_SIZE + name_size(&self.partial).unwrap_or(0) as usize;
            if self.partial.len() >= whole {
                break;
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
        let heard = heard(&self.partial);
        self.partial.clear();
        heard.map(Some)
    }
}

/// Of a new area's message whose fixed part is there.
fn name_size(message: &[u8]) -> Option<u32> {
    let fixed = message.get(..MESSAGE_SIZE)?;
    (number(fixed, 0) == NEW_AREA).then(|| number(fixed, NAME_SIZE_AT))
}

fn heard(message: &[u8]) -> Result<Heard, NotAMessage> {
    let generation = number(message, 4);
    match number(message, 0) {
        NEW_AREA => {
            let name = message.get(MESSAGE_SIZE..).and_then(<[u8]>::split_last);
            let (nul, name) = name.ok_or(NotAMessage::Name)?;
            let name = std::str::from_utf8(name).map_err(|_| NotAMessage::Name)?;
            let rest = name
                .strip_prefix('/')
                .filter(|rest| *nul == 0 && !rest.contains(['/', '\0']));
            match rest {
                Some("" | "." | "..") | None => Err(NotAMessage::Name),
                Some(_) => Ok(Heard::NewArea {
                    generation,
                    length: long(message, 8),
                    name: name.to_owned(),
                }),
            }
        }
        CLOSE_AREA => Ok(Heard::CloseArea { generation }),
        NEW_BUFFER => Ok(Heard::NewBuffer {
            generation,
            offset: long(message, 8),
            size: long(message, 8 + WORD),
        }),
        kind => Err(NotAMessage::Kind { kind }),
    }
}

/// The message is whole; 0 stands for what cannot be missing then.
fn number(message: &[u8], at: usize) -> u32 {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn long(message: &[u8], at: usize) -> u64 {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| usize::from_ne_bytes(*bytes) as u64)
}
