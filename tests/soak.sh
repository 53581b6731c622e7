#!/usr/bin/env bash
# Ten minutes of three pipelines on the smallest virtual camera at full speed, each in a process of its own, all at once: behind a queue, without
# one, and three streams.
#
#   SECONDS_EACH=60 tests/soak.sh     for a minute
set -euo pipefail
cd "$(dirname "$0")/.."
pipelines/setup.sh --private
export SOAK=${SECONDS_EACH:-600} G_DEBUG=fatal-criticals LIBCAMERA_LOG_LEVELS='*:FATAL'
program=$(cargo test --release --features harness,simulated --test source_stress --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
running=()
for test in full_speed_behind_a_queue full_speed_without_a_queue full_speed_of_three_streams; do
    "$program" --exact --nocapture "$test" &
    running+=($!)
done
status=0
for pid in "${running[@]}"; do
    wait "$pid" || status=1
done
exit $status
