#!/usr/bin/env bash
# Shares the camera by file descriptors: readers get the very memory that the camera has filled, and nothing is copied.
#
#   pipelines/share-fd.sh           until Ctrl-C; in other terminals: pipelines/follow.sh, or from GStreamer 1.24 on
#                                   gst-launch-1.0 unixfdsrc socket-path=... ! videoconvert ! autovideosink
#   SOCKET=/run/camera pipelines/share-fd.sh
#
# You see that the pipeline plays, and nothing else: it waits for nobody. Readers are told caps and times. They can write to what they get, so this is
# for programs that trust each other; the stock shmsrc cannot read it, and pipelines/share.sh is for all others. Needs a camera that delivers CAPS
# (env.sh) itself: a converter in between would be a copy.
set -euo pipefail
. "$(dirname "$0")/env.sh"

exec gst-launch-1.0 -e \
    libcamerasrc-rs io-mode=dmabuf-import pace=true num-buffers="$FRAMES" ! "$CAPS" ! shmsink-rs transport=fd socket-path="$SOCKET"
