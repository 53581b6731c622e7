#!/usr/bin/env bash
# Shares the camera with any number of programs, none of which can slow it down, or another one.
#
#   pipelines/share.sh              until Ctrl-C; in other terminals: pipelines/read.sh
#   SOCKET=/run/camera pipelines/share.sh
#
# You see that the pipeline plays, and nothing else: it waits for nobody. Needs a camera that has the size in CAPS (env.sh);
# videoconvert costs nothing if it has the format too.
set -euo pipefail
. "$(dirname "$0")/env.sh"

exec gst-launch-1.0 -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! videoconvert ! "$CAPS" ! shmsink-rs socket-path="$SOCKET"
