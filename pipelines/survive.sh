#!/usr/bin/env bash
# A reader that survives its producer: the camera is shared, the sharing process is killed (SIGKILL) after every two seconds and started again, and
# one shmsrc-rs reads on.
#
#   pipelines/survive.sh            three restarts, about ten seconds
#   RESTARTS=10 SINK=fakesink pipelines/survive.sh
#
# You see the picture stop for a moment at each restart and go on, and at the end how long those moments were. Exit code 0 only if the reader has
# survived them all. SINK names another sink than fakesink.
set -euo pipefail
. "$(dirname "$0")/env.sh"

private=$(mktemp -d)
SOCKET=$private/socket
sharing='' reader=''
end() {
    for pid in $sharing $reader; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$private"
}
trap end EXIT

# A buffer's PTS is the running time of the reader, so a gap in time is a gap in PTS. The first buffer of a producer is marked as discontinuous.
# shellcheck disable=SC2086
gst-launch-1.0 -v shmsrc-rs socket-path="$SOCKET" ! identity silent=false ! ${SINK:-fakesink} >"$private/frames" 2>&1 &
reader=$!

for ((restart = 0; restart <= ${RESTARTS:-3}; restart++)); do
    gst-launch-1.0 -q libcamerasrc-rs pace=true ! videoconvert ! "$CAPS" ! shmsink-rs socket-path="$SOCKET" &
    sharing=$!
    sleep 2
    kill -KILL "$sharing"
    wait "$sharing" 2>/dev/null || true
    sharing=''
    echo "survive: the producer was killed"
    kill -0 "$reader" || { cat "$private/frames"; echo "survive: FAIL: the reader has ended" >&2; exit 1; }
done

# chain ******* (identity0:sink) (1382400 bytes, dts: none, pts: 0:00:01.234567890, ..., flags: 00004040 discont tag-memory ...
sed -nE 's/.*pts: ([0-9]+):([0-9]+):([0-9.]+),.*flags: (.*)/\1 \2 \3 \4/p' "$private/frames" | awk -v restarts="${RESTARTS:-3}" '
    { now = $1 * 3600 + $2 * 60 + $3 }
    NR > 1 && / discont/ { gaps++; if (now - last > longest) longest = now - last }
    { last = now }
    END {
        printf "survive: %d frames, %d restarts, the longest without a frame %.2f s (30 frames a second)\n", NR, gaps, longest
        exit !(gaps == restarts && NR > 30 * restarts)
    }'
