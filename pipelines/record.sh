#!/usr/bin/env bash
# Records five seconds of the camera as Motion JPEG in an AVI file.
#
#   pipelines/record.sh [FILE]      FILE is recording.avi if it is not given
#   FRAMES=-1 pipelines/record.sh   until Ctrl-C, which closes the file properly
#
# You see a file of 150 frames, 1280x720 at 30 frames per second, that any player opens. Needs a camera that has this size.
set -euo pipefail
FRAMES=${FRAMES:-150}
. "$(dirname "$0")/env.sh"

gst-launch-1.0 -q -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! video/x-raw,width=1280,height=720,framerate=30/1 ! \
    queue ! videoconvert ! jpegenc ! avimux ! filesink location="${1:-recording.avi}"
echo "${1:-recording.avi}"
