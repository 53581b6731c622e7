# shellcheck shell=bash
# Sourced by the pipelines: builds the plugin if it is not built, shows it to GStreamer, and names what several pipelines share.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# One call for the plugin and the demonstration: cargo compiles the dependencies apart for each.
build_plugin() {
    local log="$root/target/build.log"
    mkdir -p "$root/target"
    [ -f "$root/target/release/libgstlibcamerars.so" ] || echo "building the plugin, once (about two minutes) ..." >&2
    # Warnings are for who works on the sources. The folder matters: cargo reads .cargo/ from where it is started.
    (cd "$root" && cargo build --release --lib --example demo --target-dir target) 2>"$log" || { cat "$log" >&2; exit 1; }
}
build_plugin

# As the set-up does, which may not have been needed.
mkdir -p "$root/target/plugins"
ln -sfn ../release/libgstlibcamerars.so "$root/target/plugins/libgstlibcamerars.so"
export GST_PLUGIN_PATH="$root/target/plugins${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}"
export LIBCAMERA_LOG_LEVELS="${LIBCAMERA_LOG_LEVELS-*:FATAL}"

# Where the shared camera's socket is, and what its frames are: the wire carries no caps, so both sides are given them.
export SOCKET="${SOCKET:-${XDG_RUNTIME_DIR:-/tmp}/camera.sock}"
export CAPS="${CAPS:-video/x-raw,format=NV12,width=1280,height=720,framerate=30/1}"
# How many frames; -1 goes on until Ctrl-C.
export FRAMES="${FRAMES:--1}"

# Ends a pipeline that cannot work here, with what is to be installed. Status 77 tells tests so.
need() { # ELEMENT PACKAGE
    gst-inspect-1.0 --exists "$1" && return 0
    echo "$(basename "$0"): the element $1 is missing: install the package $2" >&2
    exit 77
}

# What shows pictures: SINK, or the usual one, which crashes on some machines without a screen instead of saying so.
screen() {
    if [ -z "${SINK-}${DISPLAY-}${WAYLAND_DISPLAY-}" ]; then
        echo "$(basename "$0"): there is no screen here (DISPLAY and WAYLAND_DISPLAY are empty). Without one: SINK=fakesink FRAMES=60 $0" >&2
        exit 1
    fi
    # shellcheck disable=SC2034 # for who has sourced this
    sink=${SINK:-autovideosink}
}
