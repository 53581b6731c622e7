#!/usr/bin/env bash
# Runs every pipeline of pipelines/ and every example of examples/, and looks at what came out. Prints one line per test as libtest does; tests/run.sh
# counts them. A pipeline or an example without a test here is a failure.
#
#   tests/pipelines.sh [TEST...]    all, or these
#
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
# shellcheck source=tests/cases.sh
. "$root/tests/cases.sh"
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

# How many frames come out of a pipeline.
frames_of() {
    within 60 gst-launch-1.0 -v "$@" ! fakesink silent=false 2>&1 | grep -c 'chain   \*\*\*'
}

has_frames() { # LEAST MOST PIPELINE...
    local frames least=$1 most=$2
    shift 2
    frames=$(frames_of "$@")
    ((frames >= least && frames <= most)) || { echo "$frames frames, not $least to $most: $*"; return 1; }
}

jpegs_in_avi() { # FILE FRAMES
    has_frames "$2" "$2" filesrc location="$1" ! avidemux ! jpegdec ! video/x-raw,width=1280,height=720,framerate=30/1
}

h264_in_mp4() { # FILE FRAMES
    has_frames "$2" "$2" filesrc location="$1" ! qtdemux ! h264parse ! openh264dec ! video/x-raw,width=1280,height=720
}

record() {
    FRAMES=60 within 60 "$pipelines/record.sh" "$private/recording.avi" && jpegs_in_avi "$private/recording.avi" 60
}

h264() {
    FRAMES=60 within 60 "$pipelines/h264.sh" "$private/recording.mp4" && h264_in_mp4 "$private/recording.mp4" 60
}

two_streams() {
    FRAMES=60 SINK="filesink async=false location=$private/small" within 60 "$pipelines/two-streams.sh" "$private/two.mp4" &&
        h264_in_mp4 "$private/two.mp4" 60 || return 1
    local size
    size=$(stat -c %s "$private/small")
    # RGB of 640x480; the end may come a frame earlier or later, and a frame that nobody has taken gives way to a newer one.
    ((size % 921600 == 0 && size >= 50 * 921600 && size <= 64 * 921600)) || { echo "the small stream has $size bytes"; return 1; }
}

raw() {
    # This camera has no raw stream, and the pipeline says so; what comes behind it is shown another source.
    if within 20 "$pipelines/raw.sh" "$private/raw" >"$private/refused" 2>&1; then return 1; fi
    grep -q "offers no stream for raw; choose another stream-role" "$private/refused" || { cat "$private/refused"; return 1; }
    SOURCE="videotestsrc num-buffers=3 ! video/x-bayer,format=rggb,width=1280,height=720" within 20 "$pipelines/raw.sh" "$private/raw" &&
        is_size "$private/raw" $((3 * 1280 * 720)) && is_picture "$private/raw.png"
}

mjpeg() {
    if within 20 "$pipelines/mjpeg.sh" "$private/mjpeg.avi" >"$private/refused" 2>&1; then return 1; fi
    grep -q "videoconvert ! jpegenc. behind the camera" "$private/refused" || { cat "$private/refused"; return 1; }
    SOURCE="videotestsrc num-buffers=20 ! video/x-raw,width=1280,height=720,framerate=30/1 ! jpegenc" \
        within 20 "$pipelines/mjpeg.sh" "$private/mjpeg.avi" && jpegs_in_avi "$private/mjpeg.avi" 20
}

timelapse() {
    # Every tenth of 90 frames.
    FRAMES=90 SPEED=10 within 30 "$pipelines/timelapse.sh" "$private/lapse.mkv" &&
        has_frames 8 11 filesrc location="$private/lapse.mkv" ! matroskademux ! jpegdec ! video/x-raw,width=1280,height=720
}

two_cameras() {
    FRAMES=30 SINK="filesink location=$private/both" within 30 "$pipelines/two-cameras.sh" && is_size "$private/both" $((30 * 460800)) || return 1
    # A line through both in the last frame (I420): the corner has a picture of its own, the rest the other camera's.
    local line=$((29 * 460800 + 400 * 640))
    for place in $line $((line + 480)); do
        [ "$(od -An -v -tu1 -w1 -j "$place" -N 160 "$private/both" | sort -u | wc -l)" -gt 2 ] || { echo "nothing to see at $place"; return 1; }
    done
}

still() {
    mkdir "$private/stills"
    COUNT=3 EVERY=0.3 within 30 "$pipelines/still.py" "$private/stills" >"$private/still.out" || return 1
    cat "$private/still.out"
    [ "$(grep -cE '^still [1-9][0-9]*: done$' "$private/still.out")" = 3 ] || return 1
    for index in 0 1 2; do
        has_frames 1 1 filesrc location="$private/stills/still$index.jpg" ! jpegparse ! jpegdec ! video/x-raw,width=1920,height=1080 || return 1
    done
    has_frames 20 200 filesrc location="$private/stills/video.avi" ! avidemux ! jpegdec ! video/x-raw,width=1280,height=720
}

bracket() {
    # This camera knows no exposure: it is told of the controls, says that it has none, and takes its pictures.
    mkdir "$private/brackets"
    EXPOSURES=500,2000 within 30 "$pipelines/bracket.py" "$private/brackets" >"$private/bracket.out" 2>&1 || { cat "$private/bracket.out"; return 1; }
    cat "$private/bracket.out"
    grep -q "this camera has no control 'exposure-time'" "$private/bracket.out" &&
        grep -q '^picture 0: ' "$private/bracket.out" && grep -q '^picture 1: ' "$private/bracket.out" || return 1
    for index in 0 1; do
        has_frames 1 1 filesrc location="$private/brackets/bracket$index.jpg" ! jpegparse ! jpegdec || return 1
    done
}

# Somebody watches while it streams.
stream() {
    local status=0 pid address="srt://127.0.0.1:$((20000 + RANDOM % 10000))"
    FRAMES=300 ADDRESS=$address within 40 "$pipelines/stream.sh" >"$private/stream.out" 2>&1 &
    pid=$!
    sleep 1
    within 10 gst-launch-1.0 -q srtsrc uri="$address" num-buffers=150 ! filesink location="$private/watched.ts" || status=1
    kill "$pid" 2>/dev/null
    wait "$pid"
    [ "$?" != 77 ] || { echo "SKIPPED: stream: $(cat "$private/stream.out")"; return 0; }
    [ "$status" = 0 ] || { cat "$private/stream.out"; return 1; }
    has_frames 10 300 filesrc location="$private/watched.ts" ! tsdemux ! h264parse ! openh264dec ! video/x-raw,width=1280,height=720
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

# Two seconds of the camera, five frames a second.
rates() {
    FRAMES=60 RATE=5/1 SINK="filesink location=$private/slow" within 30 "$pipelines/rates.sh" || return 1
    local size
    size=$(stat -c %s "$private/slow")
    ((size % frame == 0 && size >= 9 * frame && size <= 12 * frame)) || { echo "$((size / frame)) frames"; return 1; }
}

opencv() {
    FRAMES=10 within 30 "$pipelines/opencv.py" "$private/edges.png" >"$private/opencv.out" || return 1
    cat "$private/opencv.out"
    # Bars: bright, with few edges, and some.
    grep -qE '^1280x720: [1-9][0-9]*\.[0-9] of 255 bright, [0-9]+\.[0-9]+% edges$' "$private/opencv.out" &&
        ! grep -q ' 0\.00% edges' "$private/opencv.out" &&
        has_frames 1 1 filesrc location="$private/edges.png" ! pngdec ! video/x-raw,width=1280,height=720
}

browser() {
    local pid address status=0 deadline=$((SECONDS + 10))
    PORT=0 within 30 "$pipelines/browser.py" >"$private/browser.out" 2>&1 &
    pid=$!
    until address=$(grep -m1 -o 'http://localhost:[0-9]*' "$private/browser.out"); do
        ((SECONDS < deadline)) || { cat "$private/browser.out"; kill "$pid"; return 1; }
        sleep 0.1
    done
    # Twenty pictures of the page's stream, and one by itself: a browser reads as this does.
    within 20 /usr/bin/python3 - "$address" "$private" <<'READ' || status=1
import sys, urllib.request
address, directory = sys.argv[1:]
page = urllib.request.urlopen(address + "/").read().decode()
assert '<img src="/camera"' in page, page
camera = urllib.request.urlopen(address + "/camera")
assert camera.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture", camera.headers
seen = set()
for number in range(20):
    lines = [camera.readline().strip() for _ in range(4)]
    assert lines[0] == b"--picture" and lines[1] == b"Content-Type: image/jpeg" and lines[3] == b"", lines
    picture = camera.read(int(lines[2].split()[1]))
    assert picture[:2] == b"\xff\xd8" and picture[-2:] == b"\xff\xd9" and camera.readline() == b"\r\n"
    seen.add(picture)
assert len(seen) > 10, f"{len(seen)} different pictures of 20"
open(directory + "/page.jpg", "wb").write(urllib.request.urlopen(address + "/picture.jpg").read())
READ
    kill "$pid"
    wait "$pid"
    [ "$status" = 0 ] || { cat "$private/browser.out"; return 1; }
    has_frames 1 1 filesrc location="$private/page.jpg" ! jpegparse ! jpegdec ! video/x-raw,width=1280,height=720
}

# A reader is killed, and another one reads on.
supervise() {
    local pid first second deadline=$((SECONDS + 20))
    reader() { grep -o 'process [0-9]* reads' "$private/supervise.out" | sed -n "$1s/[^0-9]//gp"; }
    waits_for() { # COMMAND...
        until "$@"; do
            ((SECONDS < deadline)) || { cat "$private/supervise.out"; return 1; }
            sleep 0.1
        done
    }
    has_read() { [ "$(stat -c %s "$private/supervised" 2>/dev/null || echo 0)" -ge $((3 * frame)) ]; }
    SINK="filesink location=$private/supervised" setsid "$pipelines/supervise.sh" >"$private/supervise.out" 2>&1 &
    pid=$!
    waits_for has_read || { kill -KILL -- "-$pid"; return 1; }
    first=$(reader 1)
    kill -KILL "$first"
    if ! waits_for grep -q 'it has ended with status 137; again in 1 s' "$private/supervise.out" || ! rm "$private/supervised" || ! waits_for has_read; then
        kill -KILL -- "-$pid"
        return 1
    fi
    second=$(reader 2)
    cat "$private/supervise.out"
    kill -TERM "$pid"
    timeout 10 tail --pid="$pid" -f /dev/null || { echo "it does not end"; kill -KILL -- "-$pid"; return 1; }
    [ -n "$second" ] && [ "$second" != "$first" ] && ! kill -0 "$second" 2>/dev/null
}

shm_top() {
    local pid socket="$private/top"
    FRAMES=120 SOCKET="$socket" within 30 "$pipelines/shm-top.py" >"$private/top.out" 2>&1 &
    pid=$!
    FRAMES=75 SINK=fakesink SOCKET="$socket" within 30 "$pipelines/follow.sh" || { kill "$pid"; return 1; }
    wait "$pid" || { cat "$private/top.out"; return 1; }
    cat "$private/top.out"
    grep -qE '^[0-9:]{8}  (2[5-9]|3[0-5]) frames/s, [0-9]+ of 70 slots free, [0-9]+ MiB, dropped for all 0' "$private/top.out" &&
        grep -qE '^ +[0-9]+ gst-launch-1.0 +active +(2[5-9]|3[0-5]) frames/s, missed 0, holds [0-4], takes [0-9.]+ ms$' "$private/top.out" &&
        grep -q 'gst-launch-1.0 (process [0-9]*) is disconnected' "$private/top.out"
}

isolated() {
    if ! unshare --mount --net true 2>/dev/null && ! unshare --map-root-user --mount --net true 2>/dev/null; then
        echo "SKIPPED: isolated: no mount namespace for this user"
        return 0
    fi
    FRAMES=30 SINK="filesink location=$private/isolated" within 30 "$pipelines/isolated.sh" && is_size "$private/isolated" $((30 * frame))
}

# What arrives is looked at; that nothing is copied takes DMABUFs, and tests/vm/descriptors.rs shows it.
share_fd() {
    local socket="$private/fd" status=0 pid deadline=$((SECONDS + 20))
    FRAMES=300 SOCKET="$socket" within 40 "$pipelines/share-fd.sh" >"$private/fd.out" 2>&1 &
    pid=$!
    until [ -S "$socket" ]; do
        ((SECONDS < deadline)) || { cat "$private/fd.out"; return 1; }
        sleep 0.1
    done
    FRAMES=30 SOCKET="$socket" SINK="filesink location=$private/by-fd" within 30 "$pipelines/follow.sh" && is_size "$private/by-fd" $((30 * frame)) || status=1
    [ "$(od -An -v -tx1 -w3 -N 100000 "$private/by-fd" | sort -u | head -4 | wc -l)" -gt 2 ] || status=1
    kill "$pid"
    wait "$pid"
    return "$status"
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

# A program that shares a camera, is told things while it does, and says what happens. Here a camera is waited for that never comes; one that is unplugged
# comes back in tests/vm/examples.rs.
is_a_camera_program() { # COMMAND...
    local socket="$private/program" out="$private/program.out" status=0 pid
    export GST_PLUGIN_PATH="${PLUGIN_PATH-$root/target/plugins}" LIBCAMERA_LOG_LEVELS='*:FATAL'
    tells() { # PATTERN
        local deadline=$((SECONDS + 15))
        until grep -qE -- "$1" "$out"; do
            ((SECONDS < deadline)) || { echo "it does not say: $1"; cat "$out"; return 1; }
            sleep 0.1
        done
    }
    rm -f "$private/told" "$out"
    mkfifo "$private/told"
    # For reading and writing, which waits for nobody.
    exec 7<>"$private/told"
    # That error is the sink's, and no camera that is waited for.
    within 20 "$@" "$private/none/program" VirtualTiny <&7 >"$out" 2>&1
    [ "$?" = 1 ] && tells '^error: .*its directory does not exist' || status=1
    within 60 "$@" "$socket" VirtualTiny <&7 >"$out" 2>&1 &
    pid=$!
    tells '^camera Virtual0: Virtual Camera \(front\)$' && tells '^camera VirtualTiny: Virtual Tiny Camera \(back\)$' &&
        tells '^control frame-duration-limits: control, min=\(gint64\)[0-9]+, max=\(gint64\)1000000;$' &&
        tells "^VirtualTiny is shared at $socket$" && tells '^frame 0: libcamera, .*sensor-timestamp=\(gint64\)[0-9]' && tells '^frame 30: libcamera, ' &&
        GST_PLUGIN_PATH="$root/target/plugins" has_frames 15 15 shmsrc-rs socket-path="$socket" num-buffers=15 ! video/x-raw,width=64,height=64 &&
        echo brightness=0.5 >&7 && tells '^brightness is asked for$' && tells "^warning: this camera has no control 'brightness': it is ignored" &&
        printf 'contrast=1\nnonsense\n' >&7 && tells "^'nonsense' is no control: type CONTROL=VALUE$" &&
        echo draft-face-detect-mode=offf >&7 && tells "^'offf' is no value for draft-face-detect-mode: it is a Gst" &&
        echo draft-face-detect-mode=off >&7 && tells '^draft-face-detect-mode is asked for$' || status=1
    ! grep ' has come$' "$out" || { echo "that is no news"; status=1; }
    echo quit >&7
    exec 7>&-
    wait "$pid" || { echo "status $?"; status=1; }
    [ ! -e "$socket" ] || { echo "the socket is left"; status=1; }
    echo quit | within 20 "$@" "$socket" nobody >"$out" || status=1
    tells '^waiting for nobody$' || status=1
    return "$status"
}

camera_rs() {
    (cd "$root" && cargo build --release --example camera --target-dir target) || return 1
    # The plugin is in the program: GStreamer is told of none.
    PLUGIN_PATH='' is_a_camera_program "$root/target/release/examples/camera"
}

camera_c() {
    local flags
    flags=$(pkg-config --cflags --libs gstreamer-1.0) || return 1
    # shellcheck disable=SC2086 # several flags
    cc -Wall -Wextra -Werror "$root/examples/camera.c" -o "$private/camera-c" $flags && is_a_camera_program "$private/camera-c"
}

camera_py() {
    is_a_camera_program "$root/examples/camera.py"
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
    for file in "$pipelines"/*.sh "$pipelines"/*.py; do
        name=$(basename "${file%.*}")
        name=${name//-/_}
        case " env setup steps ${tests[*]} " in
            *" $name "*) ;;
            *) [ "$name" = read ] || { echo "pipelines/$name.sh has no test"; return 1; } ;;
        esac
    done
}

tests=(every_pipeline_has_a_test set_up_again_takes_no_time picture preview record h264 two_streams raw mjpeg timelapse two_cameras still bracket stream
    share read_shared follow isolated rates opencv browser supervise share_ends_on_ctrl_c share_fd survive shm_top
    every_example_has_a_test metadata_c metadata_py camera_rs camera_c camera_py demo demo_ends_on_a_signal_and_leaves_nothing)
# What is built is built before the limits of the tests begin to run.
(. "$pipelines/env.sh") || exit 1
wanted=("$@")
((${#wanted[@]})) || wanted=("${tests[@]}")
run_cases "${wanted[@]}"
