#!/usr/bin/env bash
# One picture of the camera, as a PNG file.
#
#   pipelines/picture.sh [FILE]     FILE is picture.png if it is not given
#
# You see the file after a second or two, 1280x720. It is the 30th frame: a real camera's first ones are dark while it finds its exposure.
# Needs a camera that has this size; libcamera's virtual camera (pipelines/setup.sh --private) has.
set -euo pipefail
. "$(dirname "$0")/env.sh"

gst-launch-1.0 -q \
    libcamerasrc-rs pace=true num-buffers=30 ! video/x-raw,width=1280,height=720,framerate=30/1 ! \
    videoconvert ! pngenc compression-level=1 ! multifilesink location="${1:-picture.png}"
echo "${1:-picture.png}"
