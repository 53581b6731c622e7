#!/usr/bin/env bash
# Who copies memory between camera and reader, with callgrind: the callers of memcpy in the process that owns the camera, in instructions for each frame.
# libcamera's virtual camera at 640x480 NV12, one stock shmsrc that reads. What the camera paints its picture with is there in both.
#
#   benches/copies.sh            half a minute; needs valgrind
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --lib
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
export GST_PLUGIN_PATH="$PWD/target/plugins" GST_REGISTRY="$work/registry" LIBCAMERA_LOG_LEVELS='*:FATAL'
gst-inspect-1.0 shmsink-rs >/dev/null
frames=150

reader() {
    until [ -e "$work/done" ]; do
        gst-launch-1.0 -q shmsrc socket-path="$work/socket" ! fakesink sync=false >/dev/null 2>&1 || sleep 0.1
    done
}

profile() { # NAME ELEMENTS...
    local name=$1 reading
    shift
    rm -f "$work/done"
    reader &
    reading=$!
    valgrind -q --tool=callgrind --callgrind-out-file="$work/$name" gst-launch-1.0 -q libcamerasrc-rs num-buffers=$frames ! \
        video/x-raw,format=NV12,width=640,height=480 ! "$@" ! shmsink-rs wait-for-connection=true socket-path="$work/socket" >&2
    touch "$work/done"
    wait "$reading"
    echo "$name: instructions of memcpy for each of $frames frames"
    callgrind_annotate --tree=caller --inclusive=yes --threshold=100 "$work/$name" | tr -d , | awk -v frames=$frames '
        / < / { if ($1 > 100 * frames) callers[++n] = $0; next }
        /\*  .*memcpy/ { for (i = 1; i <= n; i++) print callers[i] }
        { n = 0 }' | sort -rn | awk -v frames=$frames '{ cost = $1; sub(/^.* < [^:]*:/, ""); sub(/ \[.*/, ""); printf "%8d  %s\n", cost / frames, $0 }'
}

profile no-copy identity
profile one-copy identity drop-allocation=true # the camera is not offered the sink's memory
