#!/usr/bin/env bash
# Records five seconds of the camera as H.264 in an MP4 file.
#
#   pipelines/h264.sh [FILE]        FILE is recording.mp4 if it is not given
#   FRAMES=-1 pipelines/h264.sh     until Ctrl-C, which closes the file properly
#
# You see a file of 150 frames, 1280x720 at 30 frames per second, that any player opens. x264enc looks ahead: it holds dozens of frames before the
# first comes out, more than a camera has. It tells the source so, which gives it as many, or copies: nothing has to be put between them. On a
# board with an encoder of its own take that instead: `v4l2h264enc`. A file that is cut off (power, kill) cannot be played: matroskamux instead of
# mp4mux makes one that can.
set -euo pipefail
FRAMES=${FRAMES:-150}
. "$(dirname "$0")/env.sh"
need x264enc gstreamer1.0-plugins-ugly

gst-launch-1.0 -q -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! video/x-raw,width=1280,height=720,framerate=30/1 ! \
    x264enc ! h264parse ! mp4mux ! filesink location="${1:-recording.mp4}"
echo "${1:-recording.mp4}"
