#!/usr/bin/env bash
# Builds upstream's libcamerasrc beside our libcamera, and runs both elements through the faults that libcamera's virtual camera can show. Prints a
# table. The first time takes some minutes.
#
# Both run with the same libcamera, whose virtual camera is repaired: since libcamera 0.6 it still walks a request's buffers after it has given the
# request back, so that an application that destroys requests, as upstream's element does, crashes for a reason that is not its own. And on a machine
# without /dev/udmabuf both get the stand-in of tests/fake_udmabuf.c, because upstream's cannot do without.
set -euo pipefail
cd "$(dirname "$0")/.."
pipelines/setup.sh --peer
prefix="$PWD/target/libcamera" work="$PWD/target/tests/repaired"
if [ ! -f "$work/built" ]; then
    echo "upstream: building a libcamera whose virtual camera is repaired (2 minutes) ..."
    rm -rf "$work"
    mkdir -p "$work"
    cp -r target/setup/source "$work/source"
    sed -i 's/for (const auto &\[stream, buffer\] : request->buffers())/const auto buffers = request->buffers(); for (const auto \&[stream, buffer] : buffers)/' \
        "$work/source/src/libcamera/pipeline/virtual/virtual.cpp"
    grep -q 'const auto buffers' "$work/source/src/libcamera/pipeline/virtual/virtual.cpp" || { echo "upstream: this libcamera's virtual camera looks otherwise"; exit 1; }
    (
        export PATH=/usr/bin:/bin GIT_DIR=/nonexistent
        meson setup "$work/build" "$work/source" --prefix="$prefix" --libdir=lib --sysconfdir="$prefix/etc" --buildtype=release -Dwerror=false \
            --wrap-mode=nodownload -Dpipelines=virtual -Dipas= -Dcam=disabled -Dgstreamer=disabled -Dtracing=disabled -Dpycamera=disabled \
            -Dqcam=disabled -Dlc-compliance=disabled -Dv4l2=disabled -Ddocumentation=disabled -Dtest=false
        DESTDIR="$work/stage" ninja -C "$work/build" install
    ) >"$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
    touch "$work/built"
fi
cargo build --release --lib
cargo build --release --features harness --example upstream_faults
cc -O2 -fPIC -shared -o target/tests/fake_udmabuf.so tests/fake_udmabuf.c -ldl
[ -e /dev/udmabuf ] || export LD_PRELOAD="$PWD/target/tests/fake_udmabuf.so"
export LD_LIBRARY_PATH="$work/stage$prefix/lib"
export GST_PLUGIN_PATH="$PWD/target/plugins:$prefix/lib/gstreamer-1.0" GST_REGISTRY="$PWD/target/tests/upstream.registry"
export LIBCAMERA_LOG_LEVELS='*:FATAL'

# Both providers in one process list every camera, one after the other: libcamera has one camera manager.
listed=$(timeout 60 gst-device-monitor-1.0 Video/Source)
of() { grep -c "gst-launch-1.0 $1 camera-name=" <<<"$listed" || true; }
if [ "$(of libcamerasrc)" -lt 2 ] || [ "$(of libcamerasrc)" != "$(of libcamerasrc-rs)" ]; then
    echo "upstream: one gst-device-monitor-1.0 with both providers lists $(of libcamerasrc) and $(of libcamerasrc-rs) cameras"
    exit 1
fi
echo "both providers in one gst-device-monitor-1.0: $(of libcamerasrc) cameras each"

target/release/examples/upstream_faults
