#!/usr/bin/env bash
# The whole in 15 seconds: one process shares a camera by shared memory, three stock shmsrc readers in processes of their own read it, and one
# of them is stopped (SIGSTOP) after a second and continued after ten.
#
#   pipelines/demo.sh               sets up what is missing, then takes about 20 seconds
#   KEEP=1 pipelines/demo.sh        goes on until Ctrl-C
#
# You see a row per second with what was captured and what each reader got, and at the end, in one line, whether every healthy reader got
# every frame. Exit code 0 only if so. One received frame is saved as target/demo.png. Needs nothing: where there is no camera, libcamera's
# virtual camera is used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

"$here/setup.sh"
. "$here/env.sh"

private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
# The program ends by itself on Ctrl-C, and takes its readers with it.
trap : INT TERM HUP

demonstrate() {
    local limit=120
    [ "${KEEP-}" != 1 ] || limit=0
    timeout --foreground --kill-after=60 "$limit" "$root/target/release/examples/demo" "$private" "$root/target/demo.png"
}

status=0
demonstrate || status=$?
if [ "$status" = 3 ] && [ ! -f "$root/target/libcamera/.built" ]; then
    echo "demo: going on with a virtual camera"
    "$here/setup.sh" --private
    build_plugin
    status=0
    demonstrate || status=$?
fi
[ "$status" != 124 ] || echo "demo: FAIL: it did not end in time" >&2
exit "$status"
