#!/usr/bin/env bash
# Reads the camera that pipelines/share.sh shares, with GStreamer's own shmsrc, and shows it in a window.
#
#   pipelines/read.sh               until Ctrl-C, or until the sharing side ends ("Control socket has closed")
#   SINK=fakesink FRAMES=60 pipelines/read.sh
#
# You see the camera. Start as many as you like; stop one with Ctrl-Z, and the others go on. Needs pipelines/share.sh running with the same
# SOCKET and CAPS (other CAPS are not noticed: the picture is wrong), and a screen unless SINK names a sink that does without.
set -euo pipefail
. "$(dirname "$0")/env.sh"
screen
if [ ! -S "$SOCKET" ]; then
    echo "read.sh: nobody shares at $SOCKET: start pipelines/share.sh first, or use pipelines/follow.sh, which waits" >&2
    exit 1
fi

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    shmsrc socket-path="$SOCKET" is-live=true do-timestamp=true num-buffers="$FRAMES" ! "$CAPS" ! \
    queue ! videoconvert ! $sink
