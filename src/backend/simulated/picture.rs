//! The test picture: eight grey bars, and the frame's number in the first bytes of its last line.

use crate::camera::{FrameLayout, StreamConfig};
use std::{fs::File, io, os::unix::fs::FileExt};

const BARS: u32 = 8;

/// A frame's memory, open for writing: a file and the plane's offset in it, for each plane.
#[derive(Debug)]
pub struct Canvas(Vec<(File, u64)>);

impl Canvas {
    pub fn new(layout: &FrameLayout) -> io::Result<Self> {
        let open = |plane: &crate::camera::Plane| {
            Ok((File::from(plane.fd.try_clone()?), u64::from(plane.offset)))
        };
        layout
            .planes
            .iter()
            .map(open)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Paints frame number `sequence` in NV12.
    pub fn paint(&self, config: &StreamConfig, sequence: u32) -> io::Result<()> {
        let (width, height, stride) = (config.size.width, config.size.height, config.stride);
        let [(luma, luma_offset), (chroma, chroma_offset)] = self.0.as_slice() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // Padding is white, so that a consumer that takes it for pixels is found out.
        let mut line = vec![255; stride as usize];
        for (column, level) in (0..width).zip(&mut line) {
            *level = (16 + column * BARS / width * 28) as u8;
        }
        let mut picture = line.repeat(height as usize);
        let last_line = picture.len() - line.len();
        if let Some(stamp) = picture.get_mut(last_line..last_line + 4) {
            stamp.copy_from_slice(&sequence.to_le_bytes());
        }
        luma.write_all_at(&picture, *luma_offset)?;
        chroma.write_all_at(&vec![128; (stride * height / 2) as usize], *chroma_offset)
    }
}
