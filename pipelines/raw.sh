#!/usr/bin/env bash
# What the sensor saw: raw Bayer frames, unprocessed.
#
#   pipelines/raw.sh [FILE]         FILE is raw.bayer if it is not given
#   FRAMES=10 pipelines/raw.sh      more than one
#
# You see FILE with the sensor's values, one frame behind the other, and FILE.png, the first of them with colours interpolated and nothing else done to
# it: dark, and green. Needs a camera with a raw stream in a format that GStreamer knows (8 bits, and from GStreamer 1.24 on 10 to 16): those on
# CSI, no USB cameras. SOURCE names another source than the camera.
set -euo pipefail
FRAMES=${FRAMES:-1}
. "$(dirname "$0")/env.sh"
need bayer2rgb gstreamer1.0-plugins-bad

# shellcheck disable=SC2086 # several words
gst-launch-1.0 -q -e ${SOURCE:-libcamerasrc-rs src::stream-role=raw num-buffers="$FRAMES"} ! tee name=raw \
    raw. ! queue ! filesink location="${1:-raw.bayer}" \
    raw. ! queue ! bayer2rgb ! videoconvert ! pngenc snapshot=true ! filesink location="${1:-raw.bayer}.png"
echo "${1:-raw.bayer} ${1:-raw.bayer}.png"
