#!/usr/bin/env bash
# Records a USB camera's own Motion JPEG, as it is: no decoder, no encoder, hardly any work. The large sizes of most USB cameras exist only so.
#
#   pipelines/mjpeg.sh [FILE]       FILE is recording.avi if it is not given; five seconds
#   FRAMES=-1 pipelines/mjpeg.sh    until Ctrl-C
#
# You see a file of 1280x720 that any player opens. Needs a camera with JPEG in that size: the error says what yours has, and one without
# any is for pipelines/record.sh, which encodes. SOURCE names another source than the camera.
set -euo pipefail
FRAMES=${FRAMES:-150}
. "$(dirname "$0")/env.sh"

# shellcheck disable=SC2086 # several words
gst-launch-1.0 -q -e ${SOURCE:-libcamerasrc-rs num-buffers="$FRAMES"} ! image/jpeg,width=1280,height=720 ! \
    queue ! jpegparse ! avimux ! filesink location="${1:-recording.avi}"
echo "${1:-recording.avi}"
