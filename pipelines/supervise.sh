#!/usr/bin/env bash
# Keeps a program going that reads the shared camera: starts it again when it has died, or when it gets no frames any more.
#
#   pipelines/supervise.sh          supervises a reader of its own, until Ctrl-C
#   pipelines/supervise.sh COMMAND...
#
# You see when the reader starts, and how it ended. It is started again after a second, then after 2, 4, ... 30 seconds if it keeps dying at once. The
# sharing side notices nothing: what a dead reader held is free at once, and its place with it. `watchdog` makes an error of five seconds
# without a frame, so a reader that hangs dies as well; a program of yours should have one. Under systemd: Restart=always, and this is not needed.
set -euo pipefail
. "$(dirname "$0")/env.sh"

if (($#)); then
    command=("$@")
else
    need watchdog gstreamer1.0-plugins-bad
    screen
    read -ra sink <<<"$sink"
    command=(gst-launch-1.0 -q shmsrc-rs socket-path="$SOCKET" ! watchdog timeout=5000 ! queue ! videoconvert ! "${sink[@]}")
fi

reader=''
trap '[ -z "$reader" ] || kill -TERM "$reader" 2>/dev/null; wait; exit 0' INT TERM HUP
pause=1
while true; do
    began=$SECONDS status=0
    "${command[@]}" &
    reader=$!
    echo "supervise: process $reader reads"
    wait "$reader" || status=$?
    reader=''
    ((SECONDS - began < 10)) || pause=1
    echo "supervise: it has ended with status $status; again in $pause s"
    # In the background, or Ctrl-C would wait for its end.
    sleep "$pause" &
    wait $!
    pause=$((pause * 2 > 30 ? 30 : pause * 2))
done
