#!/usr/bin/env bash
# Ten minutes each of three pipelines on the smallest virtual camera at full speed: behind a queue, without one, and three streams.
# SECONDS_EACH=60 tests/soak.sh takes a minute each.
set -euo pipefail
cd "$(dirname "$0")/.."
pipelines/setup.sh --private
export SOAK=${SECONDS_EACH:-600} G_DEBUG=fatal-criticals LIBCAMERA_LOG_LEVELS='*:FATAL'
exec cargo test --release --features harness,simulated --test source_stress full_speed -- --nocapture --test-threads 1
