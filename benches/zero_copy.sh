#!/usr/bin/env bash
# What a frame costs from the camera to a reader in another process: processor time of the process that owns the camera, for each frame, user and system.
# libcamera's virtual camera as fast as it goes, one stock shmsrc that reads; upstream's libcamerasrc ! shmsink and ours, interleaved, medians of ROUNDS.
#
#   benches/zero_copy.sh            a minute or two; ROUNDS=5
#
# Upstream's plugin and a libcamera that does not crash it come from tests/upstream.sh, which has to be run once before; without it only ours is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-5}
cargo build --release --lib
cc -O2 -fPIC -shared -o target/tests/fake_udmabuf.so tests/fake_udmabuf.c -ldl
prefix="$PWD/target/libcamera" repaired="$PWD/target/tests/repaired"
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
export GST_PLUGIN_PATH="$PWD/target/plugins" GST_REGISTRY="$work/registry" LIBCAMERA_LOG_LEVELS='*:FATAL'
sides=(zero-copy one-copy)
if [ -f "$repaired/built" ]; then
    export LD_LIBRARY_PATH="$repaired/stage$prefix/lib" GST_PLUGIN_PATH="$GST_PLUGIN_PATH:$prefix/lib/gstreamer-1.0"
    sides+=(upstream)
fi
gst-inspect-1.0 shmsink-rs >/dev/null

reader() { # FRAMES: ends after so many, or with the sink
    until gst-launch-1.0 -q shmsrc socket-path="$work/socket" num-buffers="$1" ! fakesink sync=false; do
        [ ! -e "$work/done" ] || return 0
    done >/dev/null 2>&1
}

# Milliseconds of processor time of the process that owns the camera, for so many frames. The same frames on every side; only where they lie differs.
ours() { # FRAMES CAPS ELEMENTS...
    local TIMEFORMAT='%U %S' reading frames=$1 caps=$2
    shift 2
    rm -f "$work/done"
    reader -1 &
    reading=$!
    { time timeout 60 gst-launch-1.0 -q libcamerasrc-rs num-buffers="$frames" ! "$caps" ! "$@" ! shmsink-rs wait-for-connection=true \
        socket-path="$work/socket" >"$work/said" 2>&1; } 2>"$work/time" || { cat "$work/said" >&2; exit 1; }
    touch "$work/done"
    wait "$reading"
    awk '{ print int(($1 + $2) * 1000) }' "$work/time"
}

# The stock sink waits for its reader, and so has given it every frame that it was given. The end of the stream hangs; the process is killed instead.
upstream() { # FRAMES CAPS
    local preload='' producing
    [ -e /dev/udmabuf ] || preload="$PWD/target/tests/fake_udmabuf.so" # it cannot do without DMABUFs
    rm -f "$work/done"
    LD_PRELOAD=$preload gst-launch-1.0 -q libcamerasrc ! "$2" ! identity ! shmsink wait-for-connection=true sync=false shm-size=$((64 << 20)) \
        socket-path="$work/socket" >"$work/said" 2>&1 &
    producing=$!
    timeout 60 bash -c "$(declare -f reader); work=$work reader $1" || { cat "$work/said" >&2; exit 1; }
    awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / tick) }' "/proc/$producing/stat"
    kill -KILL "$producing"
    wait "$producing" 2>/dev/null || true
    rm -f "$work/socket"
}

milliseconds() { # SIDE FRAMES CAPS
    case $1 in
        zero-copy) ours "$2" "$3" identity ;;
        one-copy) ours "$2" "$3" identity drop-allocation=true ;; # the camera is not offered the sink's memory
        upstream) upstream "$2" "$3" ;;
    esac
}

few=200 many=1200
machine="$(nproc) cores, $(gst-inspect-1.0 --version | sed -n 2p), libcamera $(PKG_CONFIG_PATH=target/libcamera/lib/pkgconfig pkg-config --modversion libcamera)"
echo "$machine; microseconds of processor time for each frame, median of $ROUNDS"
echo "| NV12 | $(printf '%s | ' "${sides[@]}")"
echo "|---|$(printf -- '---|%.0s' "${sides[@]}")"
for size in 1280x720 1920x1080; do
    caps="video/x-raw,format=NV12,width=${size%x*},height=${size#*x}"
    for ((round = 0; round < ROUNDS; round++)); do
        for side in "${sides[@]}"; do
            a=$(milliseconds "$side" $few "$caps") b=$(milliseconds "$side" $many "$caps")
            echo "$(((b - a) * 1000 / (many - few)))" >>"$work/$side.$size"
        done
    done
    row="| $size |"
    for side in "${sides[@]}"; do
        row+=" $(sort -n "$work/$side.$size" | sed -n "$(((ROUNDS + 1) / 2))p") |"
    done
    echo "$row"
done
