#!/usr/bin/env bash
# Shows the camera that pipelines/share.sh shares, with shmsrc-rs: nobody tells it the caps, and it need not be started second.
#
#   pipelines/follow.sh             until Ctrl-C, or until the sharing side's stream ends, which is EOS here
#   SINK=fakesink FRAMES=60 pipelines/follow.sh
#
# You see the camera as soon as it is shared, with the timestamps that its frames had there, and again after pipelines/share.sh was killed and
# started again; a warning says that it is waited for. Needs a screen unless SINK names a sink that does without.
set -euo pipefail
. "$(dirname "$0")/env.sh"
screen

# SINK may have properties of its own, so it is split into words.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    shmsrc-rs socket-path="$SOCKET" num-buffers="$FRAMES" ! queue ! videoconvert ! $sink
