#!/usr/bin/env bash
# Mistakes that people make at the command line, and what they are told. Each answer has to say what is wrong and what to do, in the first line that
# gst-launch-1.0 prints of it. Where the words are GStreamer's own, TROUBLESHOOTING.md has to have them, with the remedy.
#
#   tests/mistakes.sh [NAME...]     all, or these; with SHOW=1 each answer is printed
#
# Prints one line per mistake as libtest does; tests/run.sh counts them.
# shellcheck disable=SC2317 # the tests are called by their names
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export GST_PLUGIN_PATH="$root/target/plugins" LIBCAMERA_LOG_LEVELS='*:FATAL'
# A warning of GLib's is what some of these are about.
unset G_DEBUG
private=$(mktemp -d)
running=''
clean_up() {
    if [ -n "$running" ]; then
        kill -KILL "$running"
        wait "$running"
    fi 2>/dev/null
    rm -rf "$private"
}
trap clean_up EXIT
# shellcheck source=tests/cases.sh
. "$root/tests/cases.sh"
socket="$private/camera"
small=video/x-raw,format=NV12,width=640,height=480,framerate=30/1
answer="$private/answer"
: >"$answer"

# What a command prints in LIMIT seconds, without colours. It has to end by itself, unless the test says that it waits.
LIMIT=20
told_by() {
    timeout --kill-after=5 "$LIMIT" "$@" >"$private/raw" 2>&1 </dev/null
    ended=$?
    sed 's/\x1b\[[0-9;]*m//g' "$private/raw" >"$answer"
    [ "$ended" = 0 ]
}
launch() { told_by gst-launch-1.0 "$@"; }
# Ends by itself, and not well.
refused() {
    if launch "$@"; then echo "it is not refused"; return 1; fi
    case $ended in
        124 | 137) echo "it does not end"; return 1 ;;
    esac
}

# The first complaint has to have all of these words.
says() {
    local line words status=0
    line=$(grep -m1 -E '^(ERROR|WARNING): ' "$answer") || { echo "nobody complains"; status=1; }
    for words; do
        [[ $line == *"$words"* ]] || { echo "not said: $words"; status=1; }
    done
    # The base classes have a way of telling of a failure once more that says nothing.
    if grep -E '^ERROR: from ' "$answer" | grep -oE '^[^:]*:[^:]*:[^:]*:' | sort | uniq -d | grep .; then echo "said more than once"; status=1; fi
    return "$status"
}

# GStreamer's or GLib's own words; the page knows what to do.
page_knows() {
    grep -qF -- "$1" "$answer" || { echo "not printed: $1"; return 1; }
    grep -qF -- "${2-$1}" "$root/TROUBLESHOOTING.md" || { echo "TROUBLESHOOTING.md does not have: ${2-$1}"; return 1; }
}

# --- the source -----------------------------------------------------------------------------------------------------------

a_camera_that_is_not_there() {
    refused libcamerasrc-rs camera-name=imx477 ! fakesink &&
        says "there is no camera named 'imx477'" "the cameras here are: Virtual0 (Virtual Camera), VirtualTiny (Virtual Tiny Camera)" "group 'video'"
}
a_name_that_fits_two_cameras() {
    refused libcamerasrc-rs camera-name=Virtual ! fakesink &&
        says "'Virtual' may mean several cameras: Virtual0 (Virtual Camera), VirtualTiny" "give more of the id"
}
no_camera_at_all_or_no_right_to_it() {
    LIBCAMERA_PIPELINES_MATCH_LIST=none refused libcamerasrc-rs ! fakesink &&
        says "no camera was found" "check that one is plugged in, that this user may open /dev/media* and /dev/video* (group 'video')" "cam -l"
}
one_camera_twice() {
    refused libcamerasrc-rs ! fakesink libcamerasrc-rs ! fakesink &&
        says "camera 'Virtual0' is in use by another program or element" "stop that one first" "fuser"
}
a_size_that_the_camera_lacks() {
    refused libcamerasrc-rs ! video/x-raw,width=800,height=600 ! fakesink &&
        says "cannot deliver NV12 at 800x600" "sizes that it can deliver: 640x480, 1280x720, 1920x1080" "Ask for one of these, and put videoscale behind it"
}
a_rate_that_the_camera_lacks() {
    refused libcamerasrc-rs ! video/x-raw,width=1920,height=1080,framerate=500/1 ! fakesink &&
        says "cannot deliver 500 frames per second at 1920x1080" "it delivers 1 to 120 there; ask for such a rate"
}
a_format_that_the_camera_lacks() {
    refused libcamerasrc-rs ! video/x-raw,format=RGB ! fakesink &&
        says "it delivers NV12 at 640x480 to 1920x1080, 1 to 120 frames per second" "Put videoconvert behind the camera" &&
        grep -qF 'downstream asks for video/x-raw, format=(string)RGB for src' "$answer"
}
jpeg_of_a_camera_without_it() {
    refused libcamerasrc-rs ! image/jpeg ! fakesink &&
        says "the camera cannot deliver what downstream asks for" "Put \`videoconvert ! jpegenc\` behind the camera"
}
video_that_nobody_encodes() {
    refused libcamerasrc-rs ! h264parse ! fakesink &&
        page_knows 'could not link libcamerasrcrs0 to h264parse0'
}
bayer_without_the_role() {
    refused libcamerasrc-rs ! video/x-bayer ! fakesink &&
        says "the camera cannot deliver what downstream asks for" "stream-role=raw"
}
a_colorimetry_that_the_camera_lacks() {
    refused libcamerasrc-rs ! video/x-raw,colorimetry=bt2020 ! fakesink &&
        says "downstream of src refuses the camera's video/x-raw" "it asks for video/x-raw, colorimetry=(string)bt2020" "Ask for less, or put a converter"
}
a_role_that_the_camera_lacks() {
    refused libcamerasrc-rs src::stream-role=raw ! fakesink &&
        says "camera 'Virtual0' offers no stream for raw" "choose another stream-role of the pad: view-finder, video-recording, still-capture"
}
a_role_of_the_element() {
    refused libcamerasrc-rs stream-role=raw ! fakesink &&
        page_knows 'no property "stream-role" in element "libcamerasrc-rs"'
}
more_pads_than_streams() {
    refused libcamerasrc-rs name=s s.src ! fakesink s.src_0 ! fakesink s.src_1 ! fakesink s.src_2 ! fakesink s.src_3 ! fakesink &&
        says "5 pads are linked; a camera has 4 streams at most" "Put a tee behind one of the pads"
}
two_rates_of_one_camera() {
    refused libcamerasrc-rs name=s s.src ! video/x-raw,framerate=30/1 ! fakesink s.src_0 ! video/x-raw,framerate=15/1 ! fakesink &&
        says "the streams of one camera have one frame rate, and downstream asks for several" "put videorate behind all but one of the pads"
}
one_pad_linked_twice() {
    refused libcamerasrc-rs name=source source.src ! fakesink source.src ! fakesink &&
        page_knows 'could not link source to fakesink1'
}
# Not a mistake: it is how tee is used.
pads_without_names() {
    launch libcamerasrc-rs name=source num-buffers=5 source. ! fakesink source. ! fakesink || { cat "$answer"; return 1; }
    grep -q '^Got EOS' "$answer"
}
nothing_is_linked() {
    refused libcamerasrc-rs &&
        says "no pad of the camera is linked: link one, as in \`libcamerasrc-rs ! videoconvert ! autovideosink\`" && ! grep -q 'Internal data stream' "$answer"
}
no_heap_for_dmabufs() {
    if [ -n "$(compgen -G '/dev/dma_heap/*')" ] || [ -e /dev/udmabuf ]; then
        echo "SKIPPED: no_heap_for_dmabufs: this machine has one"
        return 0
    fi
    refused libcamerasrc-rs io-mode=dmabuf ! fakesink &&
        says "camera 'Virtual0' cannot allocate frames" "it needs one of /dev/dma_heap/linux,cma, /dev/dma_heap/reserved, /dev/dma_heap/system or /dev/udmabuf"
}
dmabuf_caps_in_an_old_gstreamer() {
    if [ "$(printf '%s\n' 1.24 "$(gst-inspect-1.0 --version | sed -n 's/^GStreamer //p')" | sort -V | head -1)" = 1.24 ]; then
        echo "SKIPPED: dmabuf_caps_in_an_old_gstreamer: this one has them"
        return 0
    fi
    refused libcamerasrc-rs ! 'video/x-raw(memory:DMABuf)' ! fakesink &&
        page_knows "can't handle caps video/x-raw(memory:DMABuf)"
}
a_misspelt_property() {
    refused libcamerasrc-rs brigthness=0.5 ! fakesink &&
        page_knows 'no property "brigthness" in element "libcamerasrc-rs"'
}
a_value_that_is_none() {
    refused libcamerasrc-rs io-mode=mmap ! fakesink &&
        page_knows 'could not set property "io-mode" in element "libcamerasrc-rs" to "mmap"'
}
a_structure_without_a_name() {
    refused libcamerasrc-rs extra-controls=brightness=0.5 ! fakesink &&
        page_knows 'could not set property "extra-controls" in element "libcamerasrc-rs" to "brightness=0.5"'
}
a_misspelt_control() {
    launch libcamerasrc-rs extra-controls=controls,brigthness=0.5 num-buffers=3 ! fakesink
    says "libcamera has no control 'brigthness' (in extra-controls)" "is 'brightness' meant?"
}
a_control_of_another_type() {
    launch libcamerasrc-rs extra-controls=controls,frame-duration-limits=fast num-buffers=3 ! fakesink
    says "'frame-duration-limits' takes another type or number of values than fast" "\`gst-inspect-1.0 libcamerasrc-rs\` shows which"
}
a_control_of_no_camera() {
    launch libcamerasrc-rs extra-controls=controls,volume=11 num-buffers=3 ! fakesink
    says "libcamera has no control 'volume' (in extra-controls)" "\`gst-inspect-1.0 libcamerasrc-rs\` lists those that it has"
}
a_control_that_the_camera_lacks() {
    launch libcamerasrc-rs brightness=0.5 num-buffers=3 ! fakesink
    says "this camera has no control 'brightness': it is ignored" "the property 'camera-controls' lists those that it has"
}
half_a_sensor_config() {
    refused libcamerasrc-rs sensor-config=sensor/config,width=1332 ! fakesink &&
        says "sensor-config: height is missing" "width, height, depth go together"
}

# --- sharing --------------------------------------------------------------------------------------------------------------

no_sink_at() { # PATH PROPERTY...
    local path=$1
    shift
    refused videotestsrc num-buffers=3 ! "$small" ! shmsink-rs socket-path="$path" "$@"
}
no_socket_path() {
    refused videotestsrc num-buffers=3 ! shmsink-rs &&
        says "no socket path" "Set socket-path to where the socket is to be made"
}
a_directory_that_is_missing() {
    no_sink_at "$private/none/camera" &&
        says "its directory does not exist" "Create the directory or choose another socket-path"
}
a_path_that_is_too_long() {
    no_sink_at "$private/$(printf 'x%.0s' {1..120})" &&
        says "is too long: a socket address has room for 107" "Choose a shorter socket-path"
}
a_path_that_is_a_file() {
    touch "$private/file"
    no_sink_at "$private/file" &&
        says "is a regular file, not a socket, and is left alone" "Remove it or choose another socket-path"
}
a_path_in_use() {
    no_sink_at "$socket" &&
        says "is in use by process $running" "Stop it or choose another socket-path"
}
too_little_shm_size() {
    no_sink_at "$private/other" shm-size=1000000 &&
        says "need 34603008 bytes of shared memory" "but shm-size is 1000000" "Set shm-size to 34603008 or more or to 0 (automatic)"
}
too_little_dev_shm() {
    if ! unshare --mount true 2>/dev/null; then
        echo "SKIPPED: too_little_dev_shm: no mount namespace for this user"
        return 0
    fi
    # shellcheck disable=SC2016 # the inner shell expands it
    told_by unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"' sh \
        gst-launch-1.0 videotestsrc num-buffers=3 ! "$small" ! shmsink-rs socket-path="$private/other"
    says "cannot reserve" "/dev/shm has 1048576 of 1048576 bytes free" "Make it larger (docker run --shm-size=...," "or lower client-window, max-clients"
}
users_by_name() {
    no_sink_at "$private/other" allow-uids=alice &&
        says "allow-uids is \"alice\", which is no list of numbers" "Set it to such as 1000,1001"
}
a_value_out_of_range() {
    launch videotestsrc num-buffers=3 ! "$small" ! shmsink-rs socket-path="$private/other" client-window=1 &&
        page_knows "of type 'guint' is invalid or out of range for property 'client-window'"
}

# --- reading --------------------------------------------------------------------------------------------------------------

a_reader_without_a_path() {
    refused shmsrc-rs ! fakesink &&
        says "no socket path" "Set socket-path to that of the sink"
}
a_reader_whose_producer_is_not_there() {
    # It waits for it, and says so.
    LIMIT=2 launch shmsrc-rs socket-path="$private/nobody" ! fakesink
    [ "$ended" = 124 ] || { echo "it does not wait"; return 1; }
    says "Waiting for a producer: cannot connect to \"$private/nobody\": No such file or directory" "Start the producer (shmsink-rs socket-path=...)"
}
a_reader_that_is_not_to_wait() {
    refused shmsrc-rs socket-path="$private/nobody" reconnect=false ! fakesink &&
        says "cannot connect to \"$private/nobody\"" "Start the producer (shmsink-rs socket-path=...) first, or wait for it: reconnect=true"
}
a_reader_of_a_file() {
    refused shmsrc-rs socket-path="$root/README.md" reconnect=false ! fakesink &&
        says "there is no socket at \"$root/README.md\", but something else" "Choose another socket-path for the producer and this reader"
}
a_reader_with_other_caps() {
    refused shmsrc-rs socket-path="$socket" ! video/x-raw,format=RGB ! fakesink &&
        says "The producer's frames are video/x-raw, format=(string)NV12, width=(int)64" "but downstream takes video/x-raw, format=(string)RGB" \
            "Change either side's caps, or put videoconvert and videoscale in between"
}
a_stock_reader_without_caps() {
    refused shmsrc socket-path="$socket" ! videoconvert ! fakesink &&
        page_knows 'streaming stopped, reason not-negotiated (-4)'
}
a_stock_reader_of_a_dead_socket() {
    refused shmsrc socket-path="$private/nobody" ! fakesink &&
        page_knows "Could not open socket $private/nobody: 2 No such file or directory" 'Could not open socket /tmp/camera: 2 No such file or directory'
}

# --- the plugin -----------------------------------------------------------------------------------------------------------

a_plugin_that_gstreamer_does_not_find() {
    GST_PLUGIN_PATH='' GST_PLUGIN_SYSTEM_PATH=/nonexistent GST_REGISTRY="$private/registry" refused libcamerasrc-rs ! fakesink &&
        page_knows 'no element "libcamerasrc-rs"'
}

mistakes=(a_camera_that_is_not_there a_name_that_fits_two_cameras no_camera_at_all_or_no_right_to_it one_camera_twice a_size_that_the_camera_lacks
    a_rate_that_the_camera_lacks a_format_that_the_camera_lacks jpeg_of_a_camera_without_it video_that_nobody_encodes bayer_without_the_role
    a_colorimetry_that_the_camera_lacks a_role_that_the_camera_lacks a_role_of_the_element more_pads_than_streams two_rates_of_one_camera
    one_pad_linked_twice pads_without_names nothing_is_linked no_heap_for_dmabufs dmabuf_caps_in_an_old_gstreamer a_misspelt_property
    a_value_that_is_none a_structure_without_a_name a_misspelt_control a_control_of_another_type a_control_of_no_camera a_control_that_the_camera_lacks half_a_sensor_config
    no_socket_path a_directory_that_is_missing a_path_that_is_too_long a_path_that_is_a_file a_path_in_use too_little_shm_size too_little_dev_shm
    users_by_name a_value_out_of_range a_reader_without_a_path a_reader_whose_producer_is_not_there a_reader_that_is_not_to_wait a_reader_of_a_file
    a_reader_with_other_caps a_stock_reader_without_caps a_stock_reader_of_a_dead_socket a_plugin_that_gstreamer_does_not_find)

# shellcheck source=pipelines/env.sh
(. "$root/pipelines/env.sh") || exit 1
gst-launch-1.0 libcamerasrc-rs camera-name=VirtualTiny pace=true ! video/x-raw,framerate=30/1 ! shmsink-rs socket-path="$socket" \
    >"$private/shared" 2>&1 </dev/null &
running=$!
deadline=$((SECONDS + 20))
until [ -S "$socket" ]; do
    if ((SECONDS >= deadline)) || ! kill -0 "$running"; then
        cat "$private/shared" >&2
        echo "mistakes: nothing is shared" >&2
        exit 1
    fi
    sleep 0.1
done

after_case() { # ok|FAILED
    if [ "$1" = FAILED ]; then
        cat "$answer" >&2
    elif [ -n "${SHOW-}" ]; then
        grep -E '^(ERROR|WARNING): |no property|could not' "$answer"
    fi
    : >"$answer"
}

wanted=("$@")
((${#wanted[@]})) || wanted=("${mistakes[@]}")
run_cases "${wanted[@]}"
