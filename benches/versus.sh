#!/usr/bin/env bash
# libcamerasrc-rs and upstream's libcamerasrc, shmsink-rs and the stock shmsink, in turn on the same frames. Prints tables, and leaves them with the
# figures (CSV), the plots (SVG) and the machine's description in a folder. About eight minutes when everything is built; the first time builds a
# libcamera as well.
#
#   benches/versus.sh [FOLDER]                     target/versus by default
#   REPEATS=9 WINDOW=5 benches/versus.sh           how often each, and seconds of each steady window (3, 2)
#   PARTS="paced free" benches/versus.sh           of: wake paced single free counted branches instructions sink
#   CONDITIONS="640x480@30 1920x1080@60" ...       paced cameras: size and frames per second; painted ones end in 'p'
#
# What is measured how: benches/versus.md. It needs python3, and strace and valgrind for the rows of futexes and instructions.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/versus}
repeats=${REPEATS:-3} window=${WINDOW:-2}
parts=${PARTS:-wake paced single free counted branches instructions sink}
conditions=${CONDITIONS:-640x480@30 640x480@60 640x480@120 1280x720@60 1920x1080@60 1920x1080@30p}
begun=$SECONDS
mkdir -p "$folder" target/tests
folder=$(cd "$folder" && pwd)

# shellcheck source=tests/peer.sh
. tests/peer.sh
export GST_REGISTRY="$PWD/target/tests/versus.registry"
echo "versus: building ..." >&2
cargo build --release --quiet --lib
cargo build --release --quiet --example versus
if [[ " $parts " == *" sink "* ]]; then
    cargo bench --quiet --no-run --features harness --bench shm_sink
    # The plugin with that feature is not the one that is installed.
    rm -f target/release/libgstlibcamerars.so target/release/deps/libgstlibcamerars.so
    cargo build --release --quiet --lib
fi
for name in camera allocations; do
    cc -O2 -Wall -Wextra -fPIC -shared -o "target/tests/versus-$name.so" "benches/versus/$name.c" -ldl
done
# The registry is written once, and by neither side.
for element in libcamerasrc libcamerasrc-rs shmsink-rs; do LD_PRELOAD=$preload gst-inspect-1.0 $element >/dev/null; done
camera="$preload $PWD/target/tests/versus-camera.so"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
figures="$folder/figures.csv"
echo "part,condition,side,repeat,figure,value" >"$figures"

# --- one run --------------------------------------------------------------------------------------------------------------

# Adds a line for each figure that a run prints. A run that fails or hangs is said, and has no figures.
run() { # PART CONDITION SIDE REPEAT COMMAND...
    local key="$1,$2,$3,$4" name value
    shift 4
    if ! "$@" >"$work/said" 2>"$work/complained"; then
        echo "versus: no figures of $key:" >&2
        tail -n 3 "$work/complained" >&2
        echo "$key,failed,1" >>"$figures"
        return 0
    fi
    while read -r name value; do echo "$key,$name,$value" >>"$figures"; done <"$work/said"
}

program=target/release/examples/versus

# The camera as it is for all sides: paced or not, painted or not, with what else is to be preloaded.
with_camera() { # RATE PAINT LIBRARIES COMMAND...
    local rate=$1 paint=$2 libraries=$3
    shift 3
    timeout -k 5 120 env LD_PRELOAD="$camera $libraries" VERSUS_RATE="$rate" VERSUS_PAINT="$paint" "$@"
}

# Who is first changes from one repetition to the next.
in_turn() { # REPEAT SIDE...
    local by=$(($1 % ($# - 1)))
    shift
    local all=("$@")
    echo "${all[@]:by}" "${all[@]:0:by}"
}

progress() { printf '\rversus: %4d s  %-60s' $((SECONDS - begun)) "$*" >&2; }

# --- parts ----------------------------------------------------------------------------------------------------------------

# No element's: what this machine takes to wake a thread.
wake() {
    progress "waking a thread"
    [ "$(nproc)" = 1 ] || run wake none machine 1 "$program" wake
}

paced() {
    local repeat condition side size rate paint
    for ((repeat = 1; repeat <= repeats; repeat++)); do
        for condition in $conditions; do
            size=${condition%@*} rate=${condition#*@} paint=0
            [[ $rate != *p ]] || { rate=${rate%p} paint=1; }
            for side in $(in_turn "$repeat" libcamerasrc-rs libcamerasrc cam); do
                progress "paced $condition $side, $repeat of $repeats"
                if [ "$side" = cam ]; then
                    run paced "$condition" cam "$repeat" with_camera "$rate" $paint '' \
                        "$program" cam "$prefix/bin/cam" Virtual0 "${size%x*}" "${size#*x}" "$window"
                else
                    run paced "$condition" "$side" "$repeat" with_camera "$rate" $paint '' \
                        "$program" stream "$side" Virtual0 "${size%x*}" "${size#*x}" "$window" latency
                fi
            done
        done
    done
}

# Everything on one processor: what a wake-up of a processor that sleeps takes is in no figure, and what the elements do is. More repetitions, because
# the differences are small.
single() {
    local repeat side condition=640x480@60
    for ((repeat = 1; repeat <= 3 * repeats; repeat++)); do
        for side in $(in_turn "$repeat" libcamerasrc-rs without-metadata libcamerasrc); do
            progress "on one processor $condition $side, $repeat of $((3 * repeats))"
            run single "$condition" "$side" "$repeat" with_camera 60 0 '' taskset -c 0 "$program" stream \
                "${side/without-metadata/libcamerasrc-rs frame-metadata=false}" Virtual0 640 480 "$window" latency
        done
    done
}

free() {
    local repeat side
    for ((repeat = 1; repeat <= repeats; repeat++)); do
        for side in $(in_turn "$repeat" libcamerasrc-rs libcamerasrc); do
            progress "free-running $side, $repeat of $repeats"
            run free 64x64 "$side" "$repeat" with_camera 0 1 '' "$program" stream "$side" VirtualTiny 64 64 "$window" latency
        done
    done
}

# Counts, which one run tells.
counted() {
    local condition side size rate
    for condition in 640x480@60 1280x720@60 1920x1080@60 64x64@0; do
        size=${condition%@*} rate=${condition#*@}
        for side in libcamerasrc-rs libcamerasrc; do
            progress "allocations and futexes $condition $side"
            name=Virtual0
            [ "$rate" != 0 ] || name=VirtualTiny
            run allocations "$condition" "$side" 1 with_camera "$rate" 0 "$PWD/target/tests/versus-allocations.so" \
                "$program" stream "$side" "$name" "${size%x*}" "${size#*x}" 1 allocations
            if [ "$rate" != 0 ] && command -v strace >/dev/null; then
                run futex "$condition" "$side" 1 with_camera "$rate" 0 '' \
                    "$program" stream "$side" "$name" "${size%x*}" "${size#*x}" 1 futex
            fi
        done
    done
}

branches() {
    local side
    for side in libcamerasrc-rs libcamerasrc; do
        progress "a slow branch beside two others, $side"
        run branches 640x480@60 "$side" 1 with_camera 60 0 '' "$program" branches "$side" Virtual0 640 480 4
    done
}

# The difference of two runs leaves out what the start takes.
instructions() {
    local side frames
    command -v valgrind >/dev/null || { echo "versus: no valgrind, so no instructions" >&2; return 0; }
    for side in libcamerasrc-rs libcamerasrc; do
        for frames in 100 500; do
            progress "instructions, $side"
            with_camera 100 0 '' valgrind --tool=callgrind --callgrind-out-file="$work/$side.$frames" \
                "$program" frames "$side" VirtualTiny 64 64 $frames >"$work/said" 2>&1 || { tail -3 "$work/said" >&2; return 0; }
        done
        python3 benches/versus/instructions.py "$work/$side.100" "$work/$side.500" 400 >"$work/instructions"
        run instructions 64x64 "$side" 1 cat "$work/instructions"
    done
}

sink() {
    progress "the sinks (benches/shm_sink.sh has all cells)"
    FORMATS=HA CELLS="0:0 1:0 4:0 32:0 4:1" DURATION=$window REPEATS=1 cargo bench --quiet --features harness --bench shm_sink >"$folder/sink.md"
}

for part in $parts; do $part; done
progress "done"
echo >&2

{
    echo "date $(date -u +%Y-%m-%d)"
    echo "cores $(nproc)"
    echo "processor $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
    echo "virtual $(grep -qw hypervisor /proc/cpuinfo && echo yes || echo no)"
    echo "kernel $(uname -sr | sed 's/-.*//')"
    echo "gstreamer $(gst-inspect-1.0 --version | sed -n 's/^GStreamer //p')"
    echo "libcamera $(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --modversion libcamera)"
    echo "load $(cut -d' ' -f1-3 /proc/loadavg)"
    echo "repeats $repeats"
    echo "window $window"
} >"$folder/machine.txt"
python3 benches/versus/report.py "$folder"
