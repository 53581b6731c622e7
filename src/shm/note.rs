//! A frame's note: what the wire cannot say about it. It lies in the frame's slot, before the bytes that stock readers are told of
//! ([`note_offset`](super::layout::note_offset)). It is written before the frame is announced and stays as it is while anybody holds the frame, so
//! it needs no lock: a reader checks that it is the note of the frame that it was told of.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8, 16 | 8 each | the frame's offset and size |
//! | 24 | 8 | sequence |
//! | 32, 36 | 4 each | generation; flags of the buffer |
//! | 40 to 88 | 8 each | times, as [`Times`] has them; all ones: none |
//! | 96 | 4, 4 | number of planes; nothing |
//! | 104, 136 | 4 x 8, 4 x 4 | where planes begin in the frame; their strides |
//! | 152, 156 | 4 each | bytes of the caps; bytes of the fields |
//! | 160 | | the caps as text, then the [`fields`](super::fields) |

use super::layout::NOTE_SIZE;

const MAGIC: u64 = u64::from_ne_bytes(*b"camrsnot");
const FIXED: usize = 160;
const NONE: u64 = u64::MAX;
pub const MAX_PLANES: usize = 4;

/// Bytes that the caps' text may have.
pub const MAX_CAPS: usize = 2048;
/// Bytes that the fields may have.
pub const MAX_FIELDS: usize = NOTE_SIZE as usize - FIXED - MAX_CAPS;

/// In nanoseconds, but for the offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Running times of the producer's pipeline.
    pub pts: Option<u64>,
    pub dts: Option<u64>,
    pub duration: Option<u64>,
    /// CLOCK_MONOTONIC at the moment that `pts` means, or where that is not known, at which the frame was published.
    pub instant: Option<u64>,
    /// The buffer's offsets.
    pub offset: Option<u64>,
    pub offset_end: Option<u64>,
    /// When the camera's sensor saw it, in the time of its own clock.
    pub sensor: Option<u64>,
}

/// Where the planes of a picture lie in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planes {
    count: usize,
    offsets: [u64; MAX_PLANES],
    strides: [i32; MAX_PLANES],
}

impl Planes {
    /// Offset and stride of each; what is more than [`MAX_PLANES`] is left out.
    pub fn new(planes: impl Iterator<Item = (u64, i32)>) -> Self {
        let mut made = Self::default();
        let places = made.offsets.iter_mut().zip(&mut made.strides);
        for ((offset, stride), plane) in places.zip(planes) {
            (*offset, *stride) = plane;
            made.count += 1;
        }
        made
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, i32)> {
        let planes = self.offsets.iter().copied().zip(self.strides);
        planes.take(self.count)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    pub generation: u32,
    pub offset: u64,
    pub size: u64,
    /// Grows by one with every frame that the producer publishes.
    pub sequence: u64,
    pub flags: u32,
    pub times: Times,
    pub planes: Planes,
    /// Empty when there are none.
    pub caps: &'a str,
    pub fields: &'a [u8],
}

/// Why a note is none of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("a frame's note is that of another frame")]
    Foreign,
    #[error("a frame's note has impossible lengths")]
    Lengths,
    #[error("a frame's caps are no text")]
    Text,
}

/// How many bytes there are to the note that begins with these, as far as they say.
pub fn length_of(begin: &[u8]) -> usize {
    let lengths = begin.get(FIXED - 8..FIXED).unwrap_or_default();
    let lengths = lengths.chunks_exact(4).map(|bytes| {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        u32::from_ne_bytes(bytes) as usize
    });
    lengths
        .fold(FIXED, usize::saturating_add)
        .min(NOTE_SIZE as usize)
}

impl<'a> Note<'a> {
    /// Writes the note; the caps or the fields are left out when they are too long.
    pub fn encode(&self, mut out: &mut [u8]) {
        let caps = self.caps.as_bytes();
        let caps = if caps.len() <= MAX_CAPS { caps } else { &[] };
        let fields = self.fields;
        let fields = if fields.len() <= MAX_FIELDS {
            fields
        } else {
            &[]
        };
        let times = &self.times;
        put(&mut out, &MAGIC.to_ne_bytes());
        for word in [self.offset, self.size, self.sequence] {
            put(&mut out, &word.to_ne_bytes());
        }
        put(&mut out, &self.generation.to_ne_bytes());
        put(&mut out, &self.flags.to_ne_bytes());
        for time in [
            times.pts,
            times.dts,
            times.duration,
            times.instant,
            times.offset,
            times.offset_end,
            times.sensor,
        ] {
            put(&mut out, &time.unwrap_or(NONE).to_ne_bytes());
        }
        put(&mut out, &(self.planes.count as u32).to_ne_bytes());
        put(&mut out, &[0; 4]);
        for offset in self.planes.offsets {
            put(&mut out, &offset.to_ne_bytes());
        }
        for stride in self.planes.strides {
            put(&mut out, &stride.to_ne_bytes());
        }
        put(&mut out, &(caps.len() as u32).to_ne_bytes());
        put(&mut out, &(fields.len() as u32).to_ne_bytes());
        put(&mut out, caps);
        put(&mut out, fields);
    }

    /// The note that these bytes are, if it is that of the frame at `offset` of that area. Anybody may have written them.
    pub fn decode(
        bytes: &'a [u8],
        generation: u32,
        offset: u64,
        size: u64,
    ) -> Result<Self, NoteError> {
        let mut rest = bytes;
        let magic = word(&mut rest)?;
        let place = (word(&mut rest)?, word(&mut rest)?);
        let sequence = word(&mut rest)?;
        let area = u32::from_ne_bytes(take(&mut rest)?);
        if magic != MAGIC || place != (offset, size) || area != generation {
            return Err(NoteError::Foreign);
        }
        let flags = u32::from_ne_bytes(take(&mut rest)?);
        let mut time = || Ok(Some(word(&mut rest)?).filter(|time| *time != NONE));
        let times = Times {
            pts: time()?,
            dts: time()?,
            duration: time()?,
            instant: time()?,
            offset: time()?,
            offset_end: time()?,
            sensor: time()?,
        };
        let count = length(&mut rest)?;
        take::<4>(&mut rest)?;
        let mut planes = Planes {
            count,
            ..Planes::default()
        };
        for offset in &mut planes.offsets {
            *offset = word(&mut rest)?;
        }
        for stride in &mut planes.strides {
            *stride = i32::from_ne_bytes(take(&mut rest)?);
        }
        let (caps, fields) = (length(&mut rest)?, length(&mut rest)?);
        if count > MAX_PLANES || caps > MAX_CAPS || fields > MAX_FIELDS {
            return Err(NoteError::Lengths);
        }
        let (caps, rest) = rest.split_at_checked(caps).ok_or(NoteError::Lengths)?;
        Ok(Self {
            generation,
            offset,
            size,
            sequence,
            flags,
            times,
            planes,
            caps: std::str::from_utf8(caps).map_err(|_| NoteError::Text)?,
            fields: rest.get(..fields).ok_or(NoteError::Lengths)?,
        })
    }
}

/// As far as there is room.
fn put(out: &mut &mut [u8], bytes: &[u8]) {
    if let Some((to, rest)) = std::mem::take(out).split_at_mut_checked(bytes.len()) {
        to.copy_from_slice(bytes);
        *out = rest;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NoteError> {
    let (taken, after) = rest.split_first_chunk().ok_or(NoteError::Lengths)?;
    *rest = after;
    Ok(*taken)
}

fn word(rest: &mut &[u8]) -> Result<u64, NoteError> {
    Ok(u64::from_ne_bytes(take(rest)?))
}

fn length(rest: &mut &[u8]) -> Result<usize, NoteError> {
    Ok(u32::from_ne_bytes(take(rest)?) as usize)
}
