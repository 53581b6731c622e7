#!/usr/bin/env bash
# What gst-inspect-1.0 prints of libcamerasrc-rs, shmsink-rs and shmsrc-rs, and gst-device-monitor-1.0 of the virtual cameras, against what is checked in, for
# the pair of GStreamer and libcamera that it was made with. Other versions have other controls and another layout: there, every property of ours must
# be printed.
#
#   tests/inspect.sh             compares
#   tests/inspect.sh --update    writes what is printed now, and docs/elements/*.md of it; read the difference before it is committed
set -euo pipefail
cd "$(dirname "$0")/.."
export GST_PLUGIN_PATH="$PWD/target/plugins" G_DEBUG=fatal-warnings LIBCAMERA_LOG_LEVELS='*:ERROR'
GST_REGISTRY=$(mktemp)
export GST_REGISTRY
trap 'rm -f "$GST_REGISTRY"' EXIT

gstreamer=$(gst-inspect-1.0 --version | sed -n 's/^GStreamer //p' | cut -d. -f1,2)
libcamera=$(.cargo/pkg-config --modversion libcamera | cut -d. -f1,2)
status=0
for element in libcamerasrc-rs shmsink-rs shmsrc-rs; do
    golden="tests/golden/$element.gstreamer-$gstreamer.libcamera-$libcamera.txt"
    # Where the plugin lies is the machine's business, and lines end where GStreamer lets them end.
    printed=$(gst-inspect-1.0 "$element" | sed -e '/^  Filename /d' -e 's/ *$//')
    if [ "${1-}" = --update ]; then
        printf '%s\n' "$printed" >"$golden"
    elif [ -f "$golden" ]; then
        diff -u "$golden" <(printf '%s\n' "$printed") || status=1
    else
        echo "no golden text for GStreamer $gstreamer with libcamera $libcamera: looking for the properties of our own alone"
        known=$(grep -h '^  [a-z-]* *: ' tests/golden/"$element".* | grep -v '(control ' | sed 's/^  \([a-z-]*\).*/\1/' | sort -u)
        for name in $known; do
            grep -q "^  $name *:" <<<"$printed" || { echo "$element has no property $name"; status=1; }
        done
    fi
done

# Without other plugins, or their devices would be there as well; and only the cameras that every checkout has.
virtual_cameras() {
    GST_PLUGIN_SYSTEM_PATH='' gst-device-monitor-1.0 Video/Source |
        awk -v RS='Device found:\n' '/PipelineHandler = virtual/ { printf "Device found:\n%s", $0 }' | sed -e 's/ *$//' -e 's/\t/    /g'
}
golden="tests/golden/cameras.gstreamer-$gstreamer.libcamera-$libcamera.txt"
if [ "${1-}" = --update ]; then
    printed=$(virtual_cameras)
    printf '%s\n' "$printed" >"$golden"
elif [ -f "$golden" ]; then
    diff -u "$golden" <(printf '%s\n' "$(virtual_cameras)") || status=1
else
    virtual_cameras | grep -q 'camera-name=VirtualTiny' || { echo "gst-device-monitor-1.0 does not list the virtual cameras"; status=1; }
fi

# The pages of the elements are made of these texts.
if [ "${1-}" = --update ]; then docs/elements.sh; else docs/elements.sh --check || status=1; fi
exit $status
