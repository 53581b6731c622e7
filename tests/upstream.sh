#!/usr/bin/env bash
# Builds upstream's libcamerasrc beside our libcamera, and runs both elements through the faults that libcamera's virtual camera can show. Prints a
# table. The first time takes some minutes. tests/peer.sh says on what terms.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/peer.sh
. tests/peer.sh
cargo build --release --lib
cargo build --release --features harness --example upstream_faults
export GST_REGISTRY="$PWD/target/tests/upstream.registry"
[ -z "$preload" ] || export LD_PRELOAD="$preload"

# Both providers in one process list every camera, one after the other: libcamera has one camera manager.
listed=$(timeout 60 gst-device-monitor-1.0 Video/Source)
of() { grep -c "gst-launch-1.0 $1 camera-name=" <<<"$listed" || true; }
if [ "$(of libcamerasrc)" -lt 2 ] || [ "$(of libcamerasrc)" != "$(of libcamerasrc-rs)" ]; then
    echo "upstream: one gst-device-monitor-1.0 with both providers lists $(of libcamerasrc) and $(of libcamerasrc-rs) cameras"
    exit 1
fi
echo "both providers in one gst-device-monitor-1.0: $(of libcamerasrc) cameras each"

target/release/examples/upstream_faults
