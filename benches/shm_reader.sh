#!/usr/bin/env bash
# What reading costs: user and system time of a frame, of the stock shmsrc and of shmsrc-rs, each alone with one shmsink-rs. Prints a row for each
# kind of frame. About three minutes.
#
#   REPEATS=5 FRAMES=2000 benches/shm_reader.sh
#
# Each reader is a gst-launch-1.0 of its own that ends in a fakesink; what starting and stopping it takes is measured with few frames and taken off.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# Before the pipelines' own, which goes on for ever.
frames=${FRAMES:-1000} repeats=${REPEATS:-3} few=20
. "$here/../pipelines/env.sh"

private=$(mktemp -d)
producer=''
end() {
    [ -z "$producer" ] || kill -KILL "$producer" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$private"
}
trap end EXIT

# Seconds of a process for so many frames, into a file.
reader() { # FILE ELEMENT FRAMES
    local TIMEFORMAT='%U %S'
    { time gst-launch-1.0 -q "$2" socket-path="$private/socket" num-buffers="$3" ! fakesink sync=false >/dev/null 2>&1; } 2>>"$1"
}

# One after the other: of two at the same time the first to be done pays for waking the producer.
both() { # FRAMES NAME
    reader "$private/ours.$2" shmsrc-rs "$1"
    reader "$private/stock.$2" shmsrc "$1"
}

median() { # FILE: of the sums
    awk '{ print $1 + $2 }' "$1" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

echo "| frames | stock shmsrc, µs | shmsrc-rs, µs | ratio |"
echo "|---|---|---|---|"
for kind in "1 kB at 400/s|video/x-raw,format=GRAY8,width=32,height=32,framerate=400/1" \
    "3.1 MB at 60/s|video/x-raw,format=NV12,width=1920,height=1080,framerate=60/1"; do
    rm -f "$private"/ours.* "$private"/stock.*
    gst-launch-1.0 -q videotestsrc is-live=true pattern=black ! "${kind#*|}" ! shmsink-rs socket-path="$private/socket" max-clients=4 &
    producer=$!
    until [ -S "$private/socket" ]; do sleep 0.1; done
    sleep 1
    for ((repeat = 0; repeat < repeats; repeat++)); do
        both "$few" few
        both "$frames" many
    done
    kill -KILL "$producer"
    wait "$producer" 2>/dev/null || true
    producer=''
    awk -v name="${kind%%|*}" -v frames=$((frames - few)) \
        -v stock="$(median "$private/stock.many")" -v stock_few="$(median "$private/stock.few")" \
        -v ours="$(median "$private/ours.many")" -v ours_few="$(median "$private/ours.few")" 'BEGIN {
            stock = (stock - stock_few) / frames * 1e6; ours = (ours - ours_few) / frames * 1e6
            printf "| %s | %.1f | %.1f | %.2f |\n", name, stock, ours, ours / stock }'
done
