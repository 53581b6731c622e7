//! Commands: a header of two words in the host's byte order, type and length of what follows. File descriptors travel with the header.
//!
//! | type | from | what follows |
//! |---|---|---|
//! | 0 new frame | sink | 8 each: id, pts, dts, duration, offset, offset end; 4 flags; 1 kind of memory; 1 number of memories; 2 number of metas; for each memory 8 size, 8 offset in its file; the [metas](super::metas) |
//! | 1 release | reader | 8: the id |
//! | 2 caps | sink | the caps as text, with a NUL |
//! | 3 end | sink | nothing |
//! | "carm" stopped | `shmsink-rs` | nothing: it ends without the stream's being at its end |
//!
//! Other types are skipped by both sides. Times are in nanoseconds of CLOCK_MONOTONIC: the moments at which the sink would have shown the frame.

/// Of every command.
pub const HEADER_SIZE: usize = 8;
/// What may follow one, as far as a reader of ours is concerned. A sink of GStreamer's sends some hundred bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Memories of one frame: GStreamer's buffers have no more.
pub const MAX_PARTS: usize = 16;

const NEW_FRAME: u32 = 0;
const RELEASE: u32 = 1;
const CAPS: u32 = 2;
const END: u32 = 3;
/// Of ours: GStreamer skips it.
const STOPPED: u32 = u32::from_ne_bytes(*b"carm");

const FIXED: usize = 56;
const PART: usize = 16;
/// What stands for no time and no offset.
const NONE: u64 = u64::MAX;

/// What the file descriptors of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that can be mapped.
    Plain,
    DmaBuf,
}

/// Where a memory lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub size: u64,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// For its release.
    pub id: u64,
    pub pts: Option<u64>,
    pub dts: Option<u64>,
    pub duration: Option<u64>,
    pub offset: Option<u64>,
    pub offset_end: Option<u64>,
    pub flags: u32,
    pub kind: Kind,
    /// One for each file descriptor.
    pub parts: Vec<Part>,
}

impl Frame {
    /// Appends the command for it to `out`. `metas` are so many, encoded.
    pub fn encode(&self, count: u16, metas: &[u8], out: &mut Vec<u8>) {
        let parts = self.parts.get(..MAX_PARTS).unwrap_or(&self.parts);
        header(NEW_FRAME, FIXED + parts.len() * PART + metas.len(), out);
        let optional = [
            self.pts,
            self.dts,
            self.duration,
            self.offset,
            self.offset_end,
        ];
        out.extend_from_slice(&self.id.to_ne_bytes());
        for word in optional {
            out.extend_from_slice(&word.unwrap_or(NONE).to_ne_bytes());
        }
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.push(match self.kind {
            Kind::Plain => 0,
            Kind::DmaBuf => 1,
        });
        out.push(parts.len() as u8);
        out.extend_from_slice(&count.to_ne_bytes());
        for part in parts {
            out.extend_from_slice(&part.size.to_ne_bytes());
            out.extend_from_slice(&part.offset.to_ne_bytes());
        }
        out.extend_from_slice(metas);
    }
}

/// Appends the command for caps to `out`.
pub fn encode_caps(text: &str, out: &mut Vec<u8>) {
    header(CAPS, text.len() + 1, out);
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Appends the command for the end of the stream to `out`.
pub fn encode_end(out: &mut Vec<u8>) {
    header(END, 0, out);
}

/// Appends the command that the sink ends, but not the stream, to `out`.
pub fn encode_stopped(out: &mut Vec<u8>) {
    header(STOPPED, 0, out);
}

/// The command that a reader is done with a frame.
pub fn encode_release(id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_SIZE + 8);
    header(RELEASE, 8, &mut out);
    out.extend_from_slice(&id.to_ne_bytes());
    out
}

fn header(kind: u32, size: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_ne_bytes());
}

/// A reader said something that readers do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "command of type {kind} and {size} bytes, where only releases (type {RELEASE}, 8 bytes) are known"
)]
pub struct NotARelease {
    pub kind: u32,
    pub size: u32,
}

/// Takes releases out of a reader's bytes, however they are cut. Keeps no more than one of them, whatever lengths are claimed.
#[derive(Debug, Default, Clone)]
pub struct ReleaseParser {
    partial: [u8; HEADER_SIZE + 8],
    filled: usize,
    /// Bytes still to come of a command that is not known.
    skips: u32,
}

impl ReleaseParser {
    /// The id of the next released frame; `None` when `bytes`, which is advanced, is used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<u64>, NotARelease> {
        loop {
            let skipped = bytes.len().min(self.skips as usize);
            self.skips -= skipped as u32;
            *bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = if self.filled < HEADER_SIZE {
                HEADER_SIZE
            } else {
                self.partial.len()
            };
            let room = self
                .partial
                .get_mut(self.filled..wanted)
                .unwrap_or_default();
            let taken = room.len().min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            if let Some(room) = room.get_mut(..taken) {
                room.copy_from_slice(head);
            }
            *bytes = rest;
            self.filled += taken;
            if self.filled < wanted {
                return Ok(None);
            }
            if wanted > HEADER_SIZE {
                self.filled = 0;
                return Ok(Some(long(&self.partial, HEADER_SIZE)));
            }
            match (word(&self.partial, 0), word(&self.partial, 4)) {
                (RELEASE, 8) => (),
                (kind @ (NEW_FRAME | RELEASE | CAPS), size) => {
                    return Err(NotARelease { kind, size });
                }
                (kind, size) if size as usize > MAX_PAYLOAD => {
                    return Err(NotARelease { kind, size });
                }
                (_, size) => {
                    self.filled = 0;
                    self.skips = size;
                }
            }
        }
    }
}

/// What a sink has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Frame {
        frame: Frame,
        /// So many, in these bytes.
        metas: (u16, Vec<u8>),
    },
    Caps(String),
    End,
    Stopped,
    /// Something that there may be in later versions.
    Unknown,
}

/// A sink said something that sinks do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotACommand {
    #[error("a command of type {kind}, which is a reader's")]
    Kind { kind: u32 },
    #[error("a command of {size} bytes, where {MAX_PAYLOAD} are the limit")]
    TooLong { size: u32 },
    #[error("a frame's command of impossible lengths")]
    Lengths,
    #[error("a frame of a kind of memory ({kind}) that is not known")]
    Memory { kind: u8 },
    #[error("caps that are no text")]
    Text,
}

/// Takes commands out of a sink's bytes, however they are cut.
#[derive(Debug, Default, Clone)]
pub struct CommandParser {
    partial: Vec<u8>,
}

impl CommandParser {
    /// Whether a sink that begins with these bytes speaks this wire, and not that of the stock `shmsink`, which begins with an area.
    pub fn is_begin(header: [u8; HEADER_SIZE]) -> bool {
        match (word(&header, 0), word(&header, 4)) {
            (NEW_FRAME, size) => size as usize >= FIXED,
            (CAPS, size) => size > 0,
            (END | STOPPED, size) => size == 0,
            _ => false,
        }
    }

    /// Bytes that are missing of the next command, as far as it is known; never 0. To read no more than these keeps what comes along with a command
    /// apart from what comes with the next.
    pub fn wanted(&self) -> usize {
        let size = match self.partial.get(..HEADER_SIZE) {
            Some(header) => HEADER_SIZE + word(header, 4) as usize,
            None => HEADER_SIZE,
        };
        size.saturating_sub(self.partial.len()).max(1)
    }

    /// The next command of `bytes`, which is advanced past it; `None` when `bytes` is used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Heard>, NotACommand> {
        loop {
            let had_header = self.partial.len() >= HEADER_SIZE;
            let taken = if had_header && word(&self.partial, 4) == 0 {
                0
            } else {
                self.wanted().min(bytes.len())
            };
            let (head, rest) = bytes.split_at(taken);
            self.partial.extend_from_slice(head);
            *bytes = rest;
            if self.partial.len() < HEADER_SIZE {
                return Ok(None);
            }
            let size = word(&self.partial, 4);
            if size as usize > MAX_PAYLOAD {
                return Err(NotACommand::TooLong { size });
            }
            if self.partial.len() == HEADER_SIZE + size as usize {
                let heard = heard(&self.partial);
                self.partial.clear();
                return heard.map(Some);
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
    }
}

fn heard(command: &[u8]) -> Result<Heard, NotACommand> {
    let payload = command.get(HEADER_SIZE..).unwrap_or_default();
    match word(command, 0) {
        NEW_FRAME => frame(payload).ok_or(NotACommand::Lengths)?,
        CAPS => {
            let text = payload.split_last().filter(|(nul, _)| **nul == 0);
            let text = text.and_then(|(_, text)| std::str::from_utf8(text).ok());
            let text = text.filter(|text| !text.contains('\0'));
            Ok(Heard::Caps(text.ok_or(NotACommand::Text)?.to_owned()))
        }
        END => Ok(Heard::End),
        STOPPED => Ok(Heard::Stopped),
        kind @ RELEASE => Err(NotACommand::Kind { kind }),
        _ => Ok(Heard::Unknown),
    }
}

/// `None` when it is shorter than it says.
fn frame(payload: &[u8]) -> Option<Result<Heard, NotACommand>> {
    let fixed = payload.get(..FIXED)?;
    let optional = |at| Some(long(fixed, at)).filter(|word| *word != NONE);
    let kind = match fixed.get(52)? {
        0 => Kind::Plain,
        1 => Kind::DmaBuf,
        kind => return Some(Err(NotACommand::Memory { kind: *kind })),
    };
    let count = usize::from(*fixed.get(53)?);
    let metas = u16::from_ne_bytes(*fixed.get(54..)?.first_chunk()?);
    let (parts, rest) = payload.get(FIXED..)?.split_at_checked(count * PART)?;
    if count > MAX_PARTS {
        return None;
    }
    let parts = parts.chunks_exact(PART).map(|part| Part {
        size: long(part, 0),
        offset: long(part, 8),
    });
    let frame = Frame {
        id: long(fixed, 0),
        pts: optional(8),
        dts: optional(16),
        duration: optional(24),
        offset: optional(32),
        offset_end: optional(40),
        flags: word(fixed, 48),
        kind,
        parts: parts.collect(),
    };
    Some(Ok(Heard::Frame {
        frame,
        metas: (metas, rest.to_owned()),
    }))
}

/// The bytes are there; 0 stands for what cannot be missing then.
fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_frame() -> Frame {
        Frame {
            id: 0x1234_5678_9abc,
            pts: Some(1),
            dts: None,
            duration: Some(33),
            offset: Some(7),
            offset_end: None,
            flags: 0x40,
            kind: Kind::DmaBuf,
            parts: vec![
                Part {
                    size: 100,
                    offset: 0,
                },
                Part {
                    size: 50,
                    offset: 4096,
                },
            ],
        }
    }

    /// However it is cut, a sink's stream is the same commands.
    #[test]
    fn commands_come_out_of_any_pieces() {
        let mut bytes = Vec::new();
        encode_caps("video/x-raw", &mut bytes);
        a_frame().encode(2, b"metas", &mut bytes);
        encode_stopped(&mut bytes);
        header(99, 3, &mut bytes);
        bytes.extend_from_slice(b"new");
        encode_end(&mut bytes);
        let expected = [
            Heard::Caps("video/x-raw".to_owned()),
            Heard::Frame {
                frame: a_frame(),
                metas: (2, b"metas".to_vec()),
            },
            Heard::Stopped,
            Heard::Unknown,
            Heard::End,
        ];
        for piece in 1..bytes.len() {
            let mut parser = CommandParser::default();
            let mut all = Vec::new();
            for mut piece in bytes.chunks(piece) {
                while let Some(heard) = parser.next(&mut piece).unwrap() {
                    all.push(heard);
                }
                assert!(piece.is_empty());
            }
            assert_eq!(all, expected, "pieces of {piece}");
        }
        // As a reader reads that wants each command's descriptors apart.
        let (mut parser, mut rest, mut all) = (CommandParser::default(), &bytes[..], 0);
        while !rest.is_empty() {
            let (mut now, later) = rest.split_at(parser.wanted());
            all += usize::from(parser.next(&mut now).unwrap().is_some());
            assert!(now.is_empty());
            rest = later;
        }
        assert_eq!(all, expected.len());
    }

    #[test]
    fn releases_come_out_of_any_pieces_and_unknown_commands_are_skipped() {
        let mut bytes = encode_release(7);
        header(77, 5, &mut bytes);
        bytes.extend_from_slice(b"later");
        header(78, 0, &mut bytes);
        bytes.extend(encode_release(u64::MAX));
        for piece in 1..bytes.len() {
            let mut parser = ReleaseParser::default();
            let mut all = Vec::new();
            for mut piece in bytes.chunks(piece) {
                while let Some(id) = parser.next(&mut piece).unwrap() {
                    all.push(id);
                }
                assert!(piece.is_empty());
            }
            assert_eq!(all, [7, u64::MAX], "pieces of {piece}");
        }
    }

    #[test]
    fn what_a_reader_does_not_say_is_refused() {
        for (kind, size) in [
            (NEW_FRAME, 56),
            (CAPS, 1),
            (RELEASE, 7),
            (RELEASE, u32::MAX),
            (99, 65_537),
        ] {
            let mut bytes = Vec::new();
            header(kind, 0, &mut bytes);
            bytes[4..].copy_from_slice(&size.to_ne_bytes());
            let refused = ReleaseParser::default().next(&mut &bytes[..]);
            assert_eq!(refused, Err(NotARelease { kind, size }));
        }
    }

    #[test]
    fn what_a_sink_does_not_say_is_refused() {
        let said = |bytes: &[u8]| CommandParser::default().next(&mut &bytes[..]);
        let mut long = Vec::new();
        header(CAPS, MAX_PAYLOAD + 1, &mut long);
        let size = MAX_PAYLOAD as u32 + 1;
        assert_eq!(said(&long), Err(NotACommand::TooLong { size }));
        assert_eq!(
            said(&encode_release(1)),
            Err(NotACommand::Kind { kind: RELEASE })
        );
        let mut frame = Vec::new();
        a_frame().encode(0, b"", &mut frame);
        // One byte less than its memories take; a kind that there is not; more memories than there are.
        frame[4..8].copy_from_slice(&((FIXED + 2 * PART - 1) as u32).to_ne_bytes());
        assert_eq!(said(&frame[..frame.len() - 1]), Err(NotACommand::Lengths));
        let mut frame = Vec::new();
        a_frame().encode(0, b"", &mut frame);
        frame[HEADER_SIZE + 52] = 2;
        assert_eq!(said(&frame), Err(NotACommand::Memory { kind: 2 }));
        let mut caps = Vec::new();
        encode_caps("a\0b", &mut caps);
        assert_eq!(said(&caps), Err(NotACommand::Text));
    }
}
