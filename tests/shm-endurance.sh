#!/usr/bin/env bash
# The long forms of the tests of shmsink-rs, about 40 minutes: the counts of the list of failure tests, 20 000 frames to each of four readers, ten
# minutes of 1080p60 with readers that come and go at random, and what the stock sink does in the same tests.
#
#   DURATION=86400 tests/shm-endurance.sh soak   one of them only (failures integrity soak peer), here for a day
set -euo pipefail
cd "$(dirname "$0")/.."
export G_DEBUG=fatal-criticals DURATION=${DURATION:-600}
run() { # PROGRAM VARIABLE=VALUE...
    echo "=== $1"
    env "${@:2}" cargo test --release --no-default-features --features harness --test "$1" -- --test-threads 1
}
for part in "${@:-failures integrity soak peer}"; do
    for name in $part; do
        case $name in
            failures) for program in shm_sink shm_stall shm_start shm_buffers shm_life shm_application shm_src shm_hostile shm_restart; do run $program ENDURANCE=full; done ;;
            integrity) run shm_integrity FRAMES=20000 ;;
            soak) run shm_soak ;;
            peer) run shm_peer PEER=shmsink ;;
            *) echo "shm-endurance: no part '$name'" >&2; exit 2 ;;
        esac
    done
done
