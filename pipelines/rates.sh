#!/usr/bin/env bash
# One shared camera, readers at different rates: a recorder gets every frame, a detector five in a second. The camera is none the slower for it.
#
#   pipelines/share.sh              in one terminal
#   pipelines/rates.sh              in another: reads at five frames per second
#   RATE=1/2 SINK=fakesink FRAMES=60 pipelines/rates.sh
#
# You see the camera at RATE. `drop-only` hands frames on and makes none up, so a reader that takes long for each loses nothing but what it has no time
# for; what is not taken goes straight back to the producer. FRAMES counts those of the camera.
set -euo pipefail
. "$(dirname "$0")/env.sh"
screen

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    shmsrc-rs socket-path="$SOCKET" num-buffers="$FRAMES" ! videorate drop-only=true ! video/x-raw,framerate="${RATE:-5/1}" ! \
    queue ! videoconvert ! $sink
