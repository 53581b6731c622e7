#!/usr/bin/env bash
# Timelapse: what takes an hour is over in a minute.
#
#   pipelines/timelapse.sh [FILE]   until Ctrl-C; FILE is timelapse.mkv if it is not given
#   SPEED=600 pipelines/timelapse.sh
#
# You see a film of 30 frames per second that runs SPEED times as fast as the world (60 if nothing is said). The camera goes on at its own
# rate in between, so exposure and white balance stay right, and videorate keeps every SPEED-th frame. Matroska, because what has been filmed
# can be watched at any time, also after a power cut.
set -euo pipefail
. "$(dirname "$0")/env.sh"

gst-launch-1.0 -q -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! video/x-raw,width=1280,height=720,framerate=30/1 ! \
    videorate rate="${SPEED:-60}" ! video/x-raw,framerate=30/1 ! queue ! videoconvert ! jpegenc quality=95 ! matroskamux ! \
    filesink location="${1:-timelapse.mkv}"
echo "${1:-timelapse.mkv}"
