//! Orientations in GStreamer's words: `video-direction`, and the tag that tells who shows a picture how to turn it.

use crate::camera::Orientation;
use gst_video::VideoOrientationMethod as Method;

/// What pictures are to look like. Automatic is upright, and so is what only an application can do.
pub fn wanted(method: Method) -> Orientation {
    match method {
        Method::_90r => Orientation::new(1, false),
        Method::_180 => Orientation::new(2, false),
        Method::_90l => Orientation::new(3, false),
        Method::Horiz => Orientation::new(0, true),
        Method::Vert => Orientation::new(2, true),
        Method::UlLr => Orientation::new(1, true),
        Method::UrLl => Orientation::new(3, true),
        _ => Orientation::UPRIGHT,
    }
}

/// The value of the tag `image-orientation`, for pictures with which this is to be done. Tags mirror first and turn then.
pub fn tag(to_do: Orientation) -> &'static str {
    match (to_do.mirrored, to_do.quarters) {
        (false, 1) => "rotate-90",
        (false, 2) => "rotate-180",
        (false, 3) => "rotate-270",
        (false, _) => "rotate-0",
        (true, 1) => "flip-rotate-270",
        (true, 2) => "flip-rotate-180",
        (true, 3) => "flip-rotate-90",
        (true, _) => "flip-rotate-0",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn gstreamer_reads_the_tag_as_the_direction_of_that_name() {
        gst::init().unwrap();
        let methods = [
            Method::Identity,
            Method::_90r,
            Method::_180,
            Method::_90l,
            Method::Horiz,
            Method::Vert,
            Method::UlLr,
            Method::UrLl,
        ];
        for method in methods {
            let mut tags = gst::TagList::new();
            let text = tag(wanted(method));
            let tag = tags.get_mut().unwrap();
            tag.add::<gst::tags::ImageOrientation>(&text, gst::TagMergeMode::Append);
            assert_eq!(Method::from_tag(&tags), Some(method), "{text}");
        }
    }
}
