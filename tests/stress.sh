#!/usr/bin/env bash
# The long form of tests/source_stress.rs, some minutes: 60 000 starts and stops of the capture task's gate, 2 000 of the source, 1 000 flushes,
# 500 ends. Two seconds without progress are a hang.
set -euo pipefail
cd "$(dirname "$0")/.."
pipelines/setup.sh --private
export STRESS=full G_DEBUG=fatal-criticals LIBCAMERA_LOG_LEVELS='*:FATAL'
exec cargo test --release --features harness,simulated --test source_stress -- --nocapture --test-threads 1
