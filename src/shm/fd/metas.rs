//! What goes along with a frame, as GStreamer 1.24 and later write metas: records of 4 bytes length of the whole, 4 bytes length of the name, the name
//! with a NUL, 1 byte version, and what the meta has. All in little-endian order, whatever the machine's is.

use super::super::note::MAX_PLANES;

const VIDEO: &str = "GstVideoMeta";
const TIMESTAMP: &str = "GstReferenceTimestampMeta";

/// What is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meta {
    Video(Video),
    /// GstReferenceTimestampMeta.
    Timestamp {
        timestamp: u64,
        duration: Option<u64>,
        /// Caps that say which clock it is.
        reference: String,
    },
    /// A GstCustomMeta of that name: its structure as text.
    Custom {
        name: String,
        structure: String,
    },
}

/// GstVideoMeta.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Video {
    pub flags: i32,
    /// GStreamer's number of it.
    pub format: i32,
    pub width: u32,
    pub height: u32,
    /// Offset and stride of each.
    pub planes: Vec<(u64, i32)>,
    /// Top, bottom, left, right.
    pub padding: [u32; 4],
    pub stride_align: Vec<u32>,
}

/// Metas that are no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metas that are shorter than they say")]
pub struct BrokenMetas;

impl Meta {
    /// Appends its record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Meta::Video(video) => record(VIDEO, out, |out| video.encode(out)),
            Meta::Timestamp {
                timestamp,
                duration,
                reference,
            } => record(TIMESTAMP, out, |out| {
                out.extend_from_slice(&timestamp.to_le_bytes());
                out.extend_from_slice(&duration.unwrap_or(u64::MAX).to_le_bytes());
                text(reference, out);
            }),
            Meta::Custom { name, structure } => record(name, out, |out| text(structure, out)),
        }
    }

    /// Those of so many records that are known here; `custom` says which names are a GstCustomMeta's.
    pub fn decode(
        count: u16,
        mut bytes: &[u8],
        custom: impl Fn(&str) -> bool,
    ) -> Result<Vec<Self>, BrokenMetas> {
        let mut metas = Vec::new();
        for _ in 0..count {
            let (name, version, body) = take_record(&mut bytes).ok_or(BrokenMetas)?;
            // Another version has another form, which only GStreamer knows.
            if version != 0 {
                continue;
            }
            metas.extend(match name {
                VIDEO => Some(Meta::Video(Video::decode(body).ok_or(BrokenMetas)?)),
                TIMESTAMP => Some(decode_timestamp(body).ok_or(BrokenMetas)?),
                name if custom(name) => Some(Meta::Custom {
                    name: name.to_owned(),
                    structure: take_text(body).ok_or(BrokenMetas)?.to_owned(),
                }),
                _ => None,
            });
        }
        Ok(metas)
    }
}

impl Video {
    fn encode(&self, out: &mut Vec<u8>) {
        let planes = self.planes.get(..MAX_PLANES).unwrap_or(&self.planes);
        for word in [
            self.flags as u32,
            self.format as u32,
            self.width,
            self.height,
            planes.len() as u32,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for (offset, _) in planes {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        for (_, stride) in planes {
            out.extend_from_slice(&stride.to_le_bytes());
        }
        for padding in self.padding {
            out.extend_from_slice(&padding.to_le_bytes());
        }
        for plane in 0..planes.len() {
            let align = self.stride_align.get(plane).copied().unwrap_or(0);
            out.extend_from_slice(&align.to_le_bytes());
        }
    }

    fn decode(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let (flags, format) = (word(body)? as i32, word(body)? as i32);
        let (width, height) = (word(body)?, word(body)?);
        let count = word(body)? as usize;
        if count > MAX_PLANES {
            return None;
        }
        let offsets: Vec<u64> = (0..count).map(|_| long(body)).collect::<Option<_>>()?;
        let strides: Vec<u32> = (0..count).map(|_| word(body)).collect::<Option<_>>()?;
        let padding = [word(body)?, word(body)?, word(body)?, word(body)?];
        Some(Self {
            flags,
            format,
            width,
            height,
            planes: offsets
                .into_iter()
                .zip(strides.into_iter().map(|stride| stride as i32))
                .collect(),
            padding,
            stride_align: (0..count).map(|_| word(body)).collect::<Option<_>>()?,
        })
    }
}

fn decode_timestamp(mut body: &[u8]) -> Option<Meta> {
    let (timestamp, duration) = (long(&mut body)?, long(&mut body)?);
    Some(Meta::Timestamp {
        timestamp,
        duration: Some(duration).filter(|duration| *duration != u64::MAX),
        reference: take_text(body)?.to_owned(),
    })
}

fn record(name: &str, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    text(name, out);
    out.push(0);
    body(out);
    let total = (out.len() - begin) as u32;
    if let Some(place) = out.get_mut(begin..begin + 4) {
        place.copy_from_slice(&total.to_le_bytes());
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Name, version and the rest of the record that `bytes` begins with, and is advanced past.
fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<(&'a str, u8, &'a [u8])> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let (whole, rest) = bytes.split_at_checked(total)?;
    *bytes = rest;
    let mut whole = whole.get(4..)?;
    let length = word(&mut whole)? as usize;
    let (name, whole) = whole.split_at_checked(length)?;
    let ([_, version], body) = whole.split_first_chunk()?;
    Some((std::str::from_utf8(name).ok()?, *version, body))
}

fn take_text(body: &[u8]) -> Option<&str> {
    let end = body.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(body.get(..end)?).ok()
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (word, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*word))
}

fn long(rest: &mut &[u8]) -> Option<u64> {
    let (long, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*long))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Meta> {
        vec![
            Meta::Timestamp {
                timestamp: 22_859_069_655_070,
                duration: None,
                reference: "timestamp/x-system-monotonic".to_owned(),
            },
            Meta::Video(Video {
                format: 23,
                width: 640,
                height: 480,
                planes: vec![(0, 640), (307_200, 640)],
                stride_align: vec![0, 0],
                ..Video::default()
            }),
            Meta::Custom {
                name: "libcamera".to_owned(),
                structure: "libcamera, lens=(float)2;".to_owned(),
            },
        ]
    }

    fn encoded(metas: &[Meta]) -> Vec<u8> {
        let mut bytes = Vec::new();
        metas.iter().for_each(|meta| meta.encode(&mut bytes));
        bytes
    }

    #[test]
    fn metas_are_what_they_were() {
        let bytes = encoded(&all());
        let decoded = Meta::decode(3, &bytes, |name| name == "libcamera");
        assert_eq!(decoded, Ok(all()));
        // Of what is not known nothing is made.
        let decoded = Meta::decode(3, &bytes, |_| false).unwrap();
        assert_eq!(decoded, all()[..2]);
    }

    /// What GStreamer 1.28.8 has written for such metas.
    #[test]
    fn metas_are_written_as_gstreamer_writes_them() {
        let theirs = "50000000190000004773745265666572656e636554696d657374616d704d65746100001e08ba4aca140000ffffffffffffffff\
             74696d657374616d702f782d73797374656d2d6d6f6e6f746f6e6963005a0000000c000000477374566964656f4d65746100000000000017000000\
             80020000e001000002000000000000000000000000b0040000000000800200008002000000000000000000000000000000000000000000000000000\
             0";
        let ours: String = encoded(&all()[..2])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn metas_that_are_cut_are_refused() {
        let bytes = encoded(&all());
        for end in 0..bytes.len() {
            let cut = bytes.get(..end).unwrap();
            assert_eq!(Meta::decode(3, cut, |_| true), Err(BrokenMetas), "{end}");
        }
        // Five planes.
        let mut bytes = encoded(&all()[1..2]);
        let planes = bytes.len() - 36 - 2 * 16 + 16;
        bytes[planes] = 5;
        assert_eq!(Meta::decode(1, &bytes, |_| true), Err(BrokenMetas));
    }
}
