//! The copies that are left: for a peer that does not know GstVideoMeta, of frames whose lines or planes lie otherwise than caps imply; and of
//! frames that the camera needs back.

use gst::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

/// Copies frames into the layout that their caps imply.
#[derive(Debug)]
pub struct Repack {
    info: VideoInfo,
    pool: gst::BufferPool,
}

impl Repack {
    /// `None` where the planes lie as the caps imply.
    pub fn new(
        caps: &gst::Caps,
        offsets: &[usize],
        strides: &[i32],
    ) -> Result<Option<Self>, glib::BoolError> {
        let info = VideoInfo::from_caps(caps)?;
        if info.offset() == offsets && info.stride() == strides {
            return Ok(None);
        }
        Self::for_caps(caps).map(Some)
    }

    /// An error for caps of anything but raw video.
    pub fn for_caps(caps: &gst::Caps) -> Result<Self, glib::BoolError> {
        let info = VideoInfo::from_caps(caps)?;
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        let size =
            u32::try_from(info.size()).map_err(|_| glib::bool_error!("a frame above 4 GiB"))?;
        config.set_params(Some(caps), size, 0, 0);
        pool.set_config(config)?;
        pool.set_active(true)?;
        Ok(Self { info, pool })
    }

    pub fn repack(&self, buffer: &gst::BufferRef) -> Result<gst::Buffer, gst::FlowError> {
        let mut copy = self.pool.acquire_buffer(None)?;
        let target = copy.get_mut().ok_or(gst::FlowError::Error)?;
        let metadata = gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS;
        buffer
            .copy_into(target, metadata, ..)
            .map_err(|_| gst::FlowError::Error)?;
        if let Some(meta) = buffer.meta::<gst::ReferenceTimestampMeta>() {
            let (time, duration) = (meta.timestamp(), meta.duration());
            let reference = meta.reference().to_owned();
            gst::ReferenceTimestampMeta::add(target, &reference, time, duration);
        }
        let from = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info)
            .map_err(|_| gst::FlowError::Error)?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(target, &self.info)
            .map_err(|_| gst::FlowError::Error)?;
        from.copy(&mut to).map_err(|_| gst::FlowError::Error)?;
        drop(to);
        Ok(copy)
    }
}

impl Drop for Repack {
    fn drop(&mut self) {
        // Buffers that are downstream hold the pool; an inactive one frees them when they come back.
        let _ = self.pool.set_active(false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};

    fn caps() -> gst::Caps {
        VideoInfo::builder(VideoFormat::Nv12, 8, 4)
            .build()
            .unwrap()
            .to_caps()
            .unwrap()
    }

    #[test]
    fn padding_is_left_out_and_nothing_else() {
        gst::init().unwrap();
        // Lines of 8 bytes, 12 apart; 3 bytes between the planes. The padding is 0xff.
        let (offsets, strides) = ([0, 4 * 12 + 3], [12, 12]);
        let mut pixels = vec![0xff_u8; 4 * 12 + 3 + 2 * 12];
        let mut expected = Vec::new();
        for (line, start) in (0..4)
            .map(|line| line * 12)
            .chain((0..2).map(|line| 51 + line * 12))
            .enumerate()
        {
            for column in 0..8 {
                pixels[start + column] = (line * 8 + column) as u8;
                expected.push((line * 8 + column) as u8);
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(pixels);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(gst::ClockTime::from_seconds(7));
        VideoMeta::add_full(
            writable,
            VideoFrameFlags::empty(),
            VideoFormat::Nv12,
            8,
            4,
            &offsets,
            &strides,
        )
        .unwrap();

        let repack = Repack::new(&caps(), &offsets, &strides).unwrap().unwrap();
        let copy = repack.repack(&buffer).unwrap();
        assert_eq!(copy.map_readable().unwrap().as_slice(), expected);
        assert_eq!(copy.pts(), Some(gst::ClockTime::from_seconds(7)));
    }

    #[test]
    fn planes_that_lie_as_the_caps_imply_are_not_copied() {
        gst::init().unwrap();
        assert!(Repack::new(&caps(), &[0, 32], &[8, 8]).unwrap().is_none());
    }
}
