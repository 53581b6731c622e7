#!/usr/bin/env bash
# Runs every pipeline of pipelines/ and every example of examples/, and looks at what came out. Prints one line per test as libtest does; tests/run.sh
# counts them. A pipeline or an example without a test here is a failure.
# shellcheck disable=SC2317 # the tests are called by their names
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
pipelines="$root/pipelines"
private=$(mktemp -d)
sharing=''
clean_up() {
    [ -z "$sharing" ] || kill -TERM "$sharing" 2>/dev/null
    rm -rf "$private"
}
trap clean_up EXIT
export SOCKET="$private/camera"
frame=$((1280 * 720 * 3 / 2)) # bytes of one NV12 frame of CAPS

within() { timeout --kill-after=5 "$@"; }

is_size() { # FILE BYTES
    local size
    size=$(stat -c %s "$1") || return 1
    [ "$size" = "$2" ] || { echo "$1 has $size bytes, not $2"; return 1; }
}

is_picture() { # FILE: a PNG of 1280x720 that decodes to more than one colour
    local width height
    read -r width height < <(od -An -tu4 --endian=big -j16 -N8 "$1")
    [ "$width $height" = "1280 720" ] || { echo "$1 is $width x $height"; return 1; }
    within 30 gst-launch-1.0 -q filesrc location="$1" ! pngdec ! videoconvert ! video/x-raw,format=RGB ! filesink location="$private/rgb" &&
        is_size "$private/rgb" $((1280 * 720 * 3)) &&
        [ "$(od -An -v -tx1 -w3 "$private/rgb" | sort -u | head -4 | wc -l)" -gt 2 ]
}

picture() {
    within 60 "$pipelines/picture.sh" "$private/picture.png" && is_picture "$private/picture.png"
}

preview() {
    FRAMES=30 SINK="filesink location=$private/shown" within 60 "$pipelines/preview.sh" && is_size "$private/shown" $((30 * frame))
}

record() {
    local frames
    FRAMES=60 within 60 "$pipelines/record.sh" "$private/recording.avi" || return 1
    frames=$(within 60 gst-launch-1.0 -v filesrc location="$private/recording.avi" ! avidemux ! jpegdec ! \
        video/x-raw,width=1280,height=720,framerate=30/1 ! fakesink silent=false | grep -c 'chain   \*\*\*')
    [ "$frames" = 60 ] || { echo "the recording has $frames frames, not 60"; return 1; }
}

# share.sh goes on until Ctrl-C, which is what ends it here.
share() {
    # A shell starts its background processes deaf to SIGINT.
    env --default-signal=INT "$pipelines/share.sh" >"$private/share.out" 2>&1 &
    sharing=$!
    local deadline=$((SECONDS + 30))
    until [ -S "$SOCKET" ]; do
        if ((SECONDS >= deadline)) || ! kill -0 "$sharing"; then
            cat "$private/share.out"
            return 1
        fi
        sleep 0.1
    done
}

read_shared() {
    FRAMES=30 SINK="filesink location=$private/read" within 30 "$pipelines/read.sh" && is_size "$private/read" $((30 * frame))
}

follow() {
    FRAMES=30 SINK="filesink location=$private/followed" within 30 "$pipelines/follow.sh" && is_size "$private/followed" $((30 * frame))
}

isolated() {
    if ! unshare --mount --net true 2>/dev/null && ! unshare --map-root-user --mount --net true 2>/dev/null; then
        echo "SKIPPED: isolated: no mount namespace for this user"
        return 0
    fi
    FRAMES=30 SINK="filesink location=$private/isolated" within 30 "$pipelines/isolated.sh" && is_size "$private/isolated" $((30 * frame))
}

survive() {
    RESTARTS=2 within 60 "$pipelines/survive.sh"
}

share_ends_on_ctrl_c() {
    local status=0 pid=$sharing
    sharing=''
    kill -INT "$pid"
    timeout 20 tail --pid="$pid" -f /dev/null || { echo "it does not end"; kill -KILL "$pid"; return 1; }
    wait "$pid" || status=$?
    cat "$private/share.out"
    [ "$status" = 0 ] || { echo "status $status"; return 1; }
    [ ! -e "$SOCKET" ] || { echo "the socket is left"; return 1; }
}

demo() {
    within 300 "$pipelines/demo.sh" | tee "$private/demo.out"
    [ "${PIPESTATUS[0]}" = 0 ] && grep -q '^PASS: every healthy reader got every one of [1-9]' "$private/demo.out" &&
        is_picture "$root/target/demo.png"
}

demo_ends_on_a_signal_and_leaves_nothing() {
    local directory="$private/demo" status=0 deadline=$((SECONDS + 60)) pid
    mkdir "$directory"
    KEEP=1 TMPDIR="$directory" setsid "$pipelines/demo.sh" >"$private/kept.out" 2>&1 &
    pid=$!
    until grep -q ' 3  .*STOPPED' "$private/kept.out"; do
        ((SECONDS < deadline)) || { cat "$private/kept.out"; kill -KILL -- "-$pid"; return 1; }
        sleep 0.1
    done
    kill -TERM -- "-$pid"
    deadline=$((SECONDS + 15))
    while kill -0 "$pid" 2>/dev/null; do
        ((SECONDS < deadline)) || { echo "it does not end"; kill -KILL -- "-$pid"; return 1; }
        sleep 0.1
    done
    wait "$pid" || status=$?
    cat "$private/kept.out"
    echo "status $status"
    [ -z "$(ls -A "$directory")" ] || { echo "files are left: $(ls -A "$directory")"; return 1; }
    ! pgrep -f "socket-path=$directory" || { echo "readers are left"; return 1; }
    grep -q '^PASS' "$private/kept.out"
}

# Each line tells of a frame, and when it was exposed, which is later than the one before.
tells_of_frames() { # COMMAND...
    export GST_PLUGIN_PATH="$root/target/plugins" LIBCAMERA_LOG_LEVELS='*:FATAL'
    local number at last=0 frames=0
    within 60 "$@" "libcamerasrc-rs camera-name=VirtualTiny num-buffers=30 ! tee ! queue ! videoconvert ! video/x-raw,format=RGB ! \
        fakesink name=sink" >"$private/told" || return 1
    cat "$private/told"
    while read -r _ number _ _ at _; do
        [ "$number" = "$frames:" ] && ((at > last)) || return 1
        last=$at frames=$((frames + 1))
    done <"$private/told"
    [ "$frames" = 30 ] && [ "$(grep -c 'libcamera, .*sensor-timestamp=(gint64)' "$private/told")" = 30 ]
}

metadata_c() {
    local flags
    flags=$(pkg-config --cflags --libs gstreamer-1.0) || return 1
    # shellcheck disable=SC2086 # several flags
    cc -Wall -Wextra -Werror "$root/examples/metadata.c" -Wno-unused-parameter -o "$private/metadata" $flags && tells_of_frames "$private/metadata"
}

metadata_py() {
    tells_of_frames "$root/examples/metadata.py"
}

every_example_has_a_test() {
    local file name
    for file in "$root"/examples/*; do
        name=$(basename "$file")
        [[ " ${tests[*]} " == *" ${name/./_} "* ]] || { echo "examples/$name has no test"; return 1; }
    done
}

set_up_again_takes_no_time() {
    local at=$SECONDS
    "$pipelines/setup.sh" --private && ((SECONDS - at < 10))
}

every_pipeline_has_a_test() {
    local file name
    for file in "$pipelines"/*.sh; do
        name=$(basename "$file" .sh)
        case " env setup steps ${tests[*]} " in
            *" $name "*) ;;
            *) [ "$name" = read ] || { echo "pipelines/$name.sh has no test"; return 1; } ;;
        esac
    done
}

tests=(every_pipeline_has_a_test set_up_again_takes_no_time picture preview record share read_shared follow isolated share_ends_on_ctrl_c survive
    every_example_has_a_test metadata_c metadata_py demo demo_ends_on_a_signal_and_leaves_nothing)
bad=0
for test in "${tests[@]}"; do
    if "$test" >"$private/output" 2>&1; then
        grep '^SKIPPED: ' "$private/output"
        echo "test $test ... ok"
    else
        cat "$private/output" >&2
        echo "test $test ... FAILED"
        bad=$((bad + 1))
    fi
done
exit $((bad > 0))
