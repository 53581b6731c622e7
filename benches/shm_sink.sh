#!/usr/bin/env bash
# Measures shmsink-rs and the stock shmsink in turn; prints a row for each cell, and then what benches/shm_sink.md keeps. About 12 minutes.
#
#   FORMATS=HA benches/shm_sink.sh             these formats only: S 1600x1300 RGB at 20/s, H 1080p60 NV12, K 4K60 NV12, A 1 kB at 1000/s
#   DURATION=10 REPEATS=3 benches/shm_sink.sh  seconds of each cell (3), and how often each (1)
#   CELLS="4:0 4:1" benches/shm_sink.sh        these only: readers, and how many of them are stopped
#   ZERO_COPY=1 benches/shm_sink.sh            frames are written where the sink offers it; the time to write them is not in it
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target/tests
cargo bench --no-default-features --features harness --bench shm_sink | tee target/tests/shm_sink.rows
echo
awk -f benches/shm_sink.awk target/tests/shm_sink.rows
