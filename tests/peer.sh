# shellcheck shell=bash disable=SC2034
# Sourced where upstream's libcamerasrc runs beside ours, from the checkout's folder: builds both sides' libcamera if it is not built, sets the environment
# for it, and leaves in `preload` what must be preloaded.
#
# Both run with the same libcamera, whose virtual camera is repaired: since libcamera 0.6 it still walks a request's buffers after it has given the
# request back, so that an application that destroys requests, as upstream's element does, crashes for a reason that is not its own. And on a machine
# without /dev/udmabuf both get the stand-in of tests/fake_udmabuf.c, because upstream's cannot do without.
# PREPARED=1 takes what is below target/ as it is, as in a second work tree that shares it.
[ -n "${PREPARED-}" ] || pipelines/setup.sh --peer
prefix="$PWD/target/libcamera" work="$PWD/target/tests/repaired"
if [ ! -f "$work/built" ]; then
    echo "building a libcamera whose virtual camera is repaired (2 minutes) ..."
    rm -rf "$work"
    mkdir -p "$work"
    cp -r target/setup/source "$work/source"
    sed -i 's/for (const auto &\[stream, buffer\] : request->buffers())/const auto buffers = request->buffers(); for (const auto \&[stream, buffer] : buffers)/' \
        "$work/source/src/libcamera/pipeline/virtual/virtual.cpp"
    grep -q 'const auto buffers' "$work/source/src/libcamera/pipeline/virtual/virtual.cpp" || { echo "this libcamera's virtual camera looks otherwise"; exit 1; }
    (
        export PATH=/usr/bin:/bin GIT_DIR=/nonexistent
        meson setup "$work/build" "$work/source" --prefix="$prefix" --libdir=lib --sysconfdir="$prefix/etc" --buildtype=release -Dwerror=false \
            --wrap-mode=nodownload -Dpipelines=virtual -Dipas= -Dcam=disabled -Dgstreamer=disabled -Dtracing=disabled -Dpycamera=disabled \
            -Dqcam=disabled -Dlc-compliance=disabled -Dv4l2=disabled -Ddocumentation=disabled -Dtest=false
        DESTDIR="$work/stage" ninja -C "$work/build" install
    ) >"$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
    touch "$work/built"
fi
cc -O2 -fPIC -shared -o target/tests/fake_udmabuf.so tests/fake_udmabuf.c -ldl
preload=''
[ -e /dev/udmabuf ] || preload="$PWD/target/tests/fake_udmabuf.so"
# The prefix that it was built for is that of the checkout that built it.
library=$(dirname "$(find "$work/stage" -name libcamera.so)")
export LD_LIBRARY_PATH="$library"
export GST_PLUGIN_PATH="$PWD/target/plugins:$prefix/lib/gstreamer-1.0"
export LIBCAMERA_LOG_LEVELS='*:FATAL'
