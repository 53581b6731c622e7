#!/usr/bin/env bash
# Two cameras at different rates in one picture: the second one in a corner of the first.
#
#   pipelines/two-cameras.sh        until Ctrl-C
#   FIRST=imx477 SECOND=ov5647 SECOND_RATE=5/1 pipelines/two-cameras.sh
#
# You see the first camera at 30 frames per second, and in its lower right corner the second one at 10. Each camera has its own rate and its own
# thread; the compositor takes the newest picture of each. FIRST and SECOND are camera-names: a model, or the place in the list of `cam -l` from 0.
# Needs two cameras, a screen unless SINK names a sink that does without, and as many frames (FRAMES) or Ctrl-C for an end.
set -euo pipefail
. "$(dirname "$0")/env.sh"
screen

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e compositor name=both background=black sink_1::xpos=480 sink_1::ypos=320 sink_1::width=160 sink_1::height=160 ! \
    video/x-raw,format=I420,width=640,height=480,framerate=30/1 ! identity eos-after="$((FRAMES < 0 ? FRAMES : FRAMES + 1))" ! videoconvert ! $sink \
    libcamerasrc-rs camera-name="${FIRST:-0}" pace=true ! video/x-raw,width=640,height=480,framerate=30/1 ! queue ! both.sink_0 \
    libcamerasrc-rs camera-name="${SECOND:-1}" pace=true ! video/x-raw,framerate="${SECOND_RATE:-10/1}" ! queue ! both.sink_1
