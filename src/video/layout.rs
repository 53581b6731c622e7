//! Where the planes of a frame lie.

use super::format::Media;
use crate::camera::{FrameLayout, StreamConfig};
use gst_video::{VideoFormat, VideoFormatInfo};

/// The lines of each plane, and the bytes from one line to the next when the first plane's are `stride`.
fn planes(format: VideoFormat, height: u32, stride: u32) -> Vec<(u32, u32)> {
    let info = VideoFormatInfo::from_format(format);
    (0..info.n_planes())
        .map(|plane| {
            let component = (0..info.n_components())
                .find(|component| info.plane().get(*component as usize) == Some(&plane))
                .unwrap_or_default();
            let lines = info.scale_height(component as u8, height);
            (lines, info.extrapolate_stride(plane, stride))
        })
        .collect()
}

/// Offset and length of each plane in memory that we make for a camera to fill: one plane behind the other.
pub fn packed_planes(format: Option<VideoFormat>, agreed: &StreamConfig) -> Vec<(u32, u32)> {
    let Some(format) = format else {
        return vec![(0, agreed.frame_size)];
    };
    let mut offset = 0;
    planes(format, agreed.size.height, agreed.stride)
        .into_iter()
        .map(|(lines, stride)| {
            let plane = (offset, lines * stride);
            offset += lines * stride;
            plane
        })
        .collect()
}

/// Offset and stride of each of the format's planes in a buffer whose memory planes begin at `starts`. Cameras give one memory plane for each
/// plane of the format, or one for all of them.
pub fn video_planes(
    format: VideoFormat,
    agreed: &StreamConfig,
    frame: &FrameLayout,
    starts: &[usize],
) -> (Vec<usize>, Vec<i32>) {
    let planes = planes(format, agreed.size.height, agreed.stride);
    let strides = planes.iter().map(|(_, stride)| *stride as i32).collect();
    if frame.planes.len() == planes.len() {
        return (starts.to_vec(), strides);
    }
    let mut next = starts.first().copied().unwrap_or_default();
    let offsets = planes
        .iter()
        .map(|(lines, stride)| {
            let offset = next;
            next += *lines as usize * *stride as usize;
            offset
        })
        .collect();
    (offsets, strides)
}

/// Bytes from the begin of a buffer to the end of its last plane.
pub fn frame_end(format: VideoFormat, agreed: &StreamConfig, offsets: &[usize]) -> usize {
    let planes = planes(format, agreed.size.height, agreed.stride);
    let end = |((lines, stride), offset): (&(u32, u32), &usize)| {
        offset + *lines as usize * *stride as usize
    };
    planes
        .iter()
        .zip(offsets)
        .map(end)
        .max()
        .unwrap_or_default()
}

/// Bytes that a camera has written when all of a frame is there; of lines, less what may be padding behind the last.
pub fn whole_frame(media: Media, agreed: &StreamConfig) -> u32 {
    let planes = match media {
        Media::Raw(format) | Media::Drm(_, format) => {
            planes(format, agreed.size.height, agreed.stride)
        }
        Media::Bayer(_) => vec![(agreed.size.height, agreed.stride)],
        Media::Jpeg => return 1,
    };
    let all: u32 = planes.iter().map(|(lines, stride)| lines * stride).sum();
    all - planes.last().map_or(0, |(_, stride)| *stride)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{PixelFormat, Plane, Size};
    use crate::sync::Arc;

    fn agreed(stride: u32) -> StreamConfig {
        StreamConfig {
            format: PixelFormat::new(b"NV12"),
            size: Size::new(100, 50),
            stride,
            frame_size: stride * 75,
            buffer_count: 4,
            color_space: None,
        }
    }

    fn frame(planes: &[(u32, u32)]) -> FrameLayout {
        let fd = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let plane = |(offset, length): &(u32, u32)| Plane {
            fd: Arc::clone(&fd),
            offset: *offset,
            length: *length,
        };
        FrameLayout {
            planes: planes.iter().map(plane).collect(),
        }
    }

    #[test]
    fn planes_of_ours_are_packed_with_the_cameras_stride() {
        assert_eq!(
            packed_planes(Some(VideoFormat::Nv12), &agreed(128)),
            [(0, 6400), (6400, 3200)]
        );
        assert_eq!(
            packed_planes(Some(VideoFormat::I420), &agreed(128)),
            [(0, 6400), (6400, 1600), (8000, 1600)]
        );
        assert_eq!(packed_planes(None, &agreed(128)), [(0, 9600)]);
    }

    #[test]
    fn a_frame_ends_with_its_last_plane() {
        assert_eq!(
            frame_end(VideoFormat::Nv12, &agreed(128), &[0, 8192]),
            8192 + 3200
        );
        assert_eq!(frame_end(VideoFormat::Yuy2, &agreed(200), &[0]), 10_000);
    }

    #[test]
    fn a_frame_is_whole_when_its_last_line_was_begun() {
        let whole = |media, stride| whole_frame(media, &agreed(stride));
        assert_eq!(whole(Media::Raw(VideoFormat::Nv12), 128), 6400 + 3200 - 128);
        assert_eq!(whole(Media::Raw(VideoFormat::Yuy2), 200), 49 * 200);
        assert_eq!(whole(Media::Bayer("rggb"), 100), 49 * 100);
        assert_eq!(whole(Media::Jpeg, 0), 1, "not empty");
    }

    #[test]
    fn the_cameras_own_offsets_are_kept() {
        let frame = frame(&[(0, 6400), (8192, 3200)]);
        assert_eq!(
            video_planes(VideoFormat::Nv12, &agreed(128), &frame, &[0, 8192]),
            (vec![0, 8192], vec![128, 128])
        );
    }

    #[test]
    fn planes_in_one_memory_follow_each_other() {
        let frame = frame(&[(4096, 9600)]);
        assert_eq!(
            video_planes(VideoFormat::Nv12, &agreed(128), &frame, &[4096]),
            (vec![4096, 4096 + 6400], vec![128, 128])
        );
    }
}
