#!/usr/bin/env bash
# Two streams of one camera: it is recorded in one size, and a second stream has the size and format that a neural network takes.
#
#   pipelines/two-streams.sh [FILE] until Ctrl-C; FILE is recording.mp4 if it is not given
#   FRAMES=60 SINK="filesink async=false location=frames.rgb" pipelines/two-streams.sh
#
# You see a file of 1280x720, and the small frames (640x480, RGB) wherever SINK takes them; a program would have `appsink name=frames` there. Each pad
# has a thread of its own, so a slow network misses frames, and the recording none; with outbox=latest what it gets is new. The camera scales where it
# can do that. `async=false` because otherwise the small frames wait for the recording's first, which takes an encoder that looks ahead half a second.
set -euo pipefail
. "$(dirname "$0")/env.sh"
need x264enc gstreamer1.0-plugins-ugly

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
gst-launch-1.0 -q -e libcamerasrc-rs name=source pace=true num-buffers="$FRAMES" src_0::outbox=latest \
    source.src ! video/x-raw,width=1280,height=720,framerate=30/1 ! x264enc speed-preset=veryfast ! h264parse ! mp4mux ! \
    filesink location="${1:-recording.mp4}" \
    source.src_0 ! video/x-raw,width=640,height=480 ! videoconvert ! video/x-raw,format=RGB ! ${SINK:-fakesink async=false}
echo "${1:-recording.mp4}"
