//! An area's header: its first 64 bytes, which are in no frame, so that stock readers never look at them.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | version |
//! | 12 | 4 | generation |
//! | 16 | 8 | bytes from one slot to the next |
//! | 24 | 8 | bytes of the area |
//! | 32 | 4 | what became of the stream, the only part that changes |
//!
//! Numbers are in the host's byte order, as on the wire. A reader looks at it when an area is announced, and once more when the connection ends.

use super::layout::{self, HEADER_SIZE};

const MAGIC: u64 = u64::from_ne_bytes(*b"camrsshm");
/// Of header and notes. A reader takes an area of another version for a stock sink's.
const VERSION: u32 = 1;
/// Where the stream's state lies.
pub const STATE_AT: u64 = 32;

/// What became of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamState {
    #[default]
    Running,
    /// It has come to its end.
    Ended,
    /// The sink was stopped before the stream's end.
    Stopped,
}

impl StreamState {
    /// What is written at [`STATE_AT`].
    pub fn encode(self) -> [u8; 4] {
        let number: u32 = match self {
            Self::Running => 0,
            Self::Ended => 1,
            Self::Stopped => 2,
        };
        number.to_ne_bytes()
    }

    fn decode(bytes: [u8; 4]) -> Self {
        match u32::from_ne_bytes(bytes) {
            1 => Self::Ended,
            2 => Self::Stopped,
            _ => Self::Running,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub generation: u32,
    pub stride: u64,
    pub length: u64,
    pub state: StreamState,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_SIZE as usize);
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&VERSION.to_ne_bytes());
        out.extend_from_slice(&self.generation.to_ne_bytes());
        out.extend_from_slice(&self.stride.to_ne_bytes());
        out.extend_from_slice(&self.length.to_ne_bytes());
        out.extend_from_slice(&self.state.encode());
        out
    }

    /// The header that these bytes, which anybody may have written, are; `None` when it is none of this version, or none of such an area.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (stride, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (state, _) = rest.split_first_chunk()?;
        let header = Self {
            generation: u32::from_ne_bytes(*generation),
            stride: u64::from_ne_bytes(*stride),
            length: u64::from_ne_bytes(*length),
            state: StreamState::decode(*state),
        };
        let known = u64::from_ne_bytes(*magic) == MAGIC && u32::from_ne_bytes(*version) == VERSION;
        let possible = layout::is_stride(header.stride)
            && header.length > 0
            && header.length.is_multiple_of(header.stride);
        (known && possible).then_some(header)
    }
}
