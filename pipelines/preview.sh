#!/usr/bin/env bash
# The camera in a window.
#
#   pipelines/preview.sh            until Ctrl-C
#   SINK=fakesink FRAMES=60 pipelines/preview.sh
#
# You see the picture at 30 frames per second. Needs a screen (Wayland or X11); SINK names another sink than autovideosink.
set -euo pipefail
. "$(dirname "$0")/env.sh"
screen

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! video/x-raw,width=1280,height=720,framerate=30/1 ! \
    queue ! videoconvert ! $sink
