#!/usr/bin/env bash
# What frame-metadata costs: instructions for each frame of the whole process, without it and with it, from the smallest virtual camera to a fakesink.
# They are counted by callgrind (package valgrind), which gives the same numbers in every run within a per cent. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "frame_metadata: needs valgrind (Debian: apt-get install valgrind)" >&2; exit 1; }
cargo build --release --lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GST_PLUGIN_PATH="$PWD/target/plugins" GST_REGISTRY="$work/registry" LIBCAMERA_LOG_LEVELS='*:FATAL'
gst-inspect-1.0 libcamerasrc-rs >/dev/null

instructions() { # FRAMES true|false
    valgrind --tool=callgrind --callgrind-out-file="$work/out" gst-launch-1.0 -q libcamerasrc-rs camera-name=VirtualTiny pace=true \
        num-buffers="$1" frame-metadata="$2" ! video/x-raw,framerate=100/1 ! fakesink sync=false >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
    awk '/^summary:|^totals:/ { print $2; exit }' "$work/out"
}

# The difference of two runs leaves out what the start and the stop take.
per_frame() { # true|false
    local few many
    few=$(instructions 200 "$1") many=$(instructions 1200 "$1")
    echo $(((many - few) / 1000))
}

without=$(per_frame false)
with=$(per_frame true)
libcamera=$(PKG_CONFIG_PATH=target/libcamera/lib/pkgconfig pkg-config --modversion libcamera)
echo "libcamera $libcamera, $(gst-inspect-1.0 --version | sed -n 2p), $(uname -m); one field, sensor-timestamp"
echo "frame-metadata=false: $without instructions per frame"
echo "frame-metadata=true:  $with instructions per frame"
