#!/usr/bin/env bash
# The sanitizers of the compiler, some minutes each from nothing:
#
#   tests/sanitizers.sh thread     ThreadSanitizer on the capture loop and the simulated camera. Without GStreamer: its locks are not built for
#                                  ThreadSanitizer, and everything that they order would look like a race.
#   tests/sanitizers.sh address    AddressSanitizer on the life cycle of the elements: cameras of libcamera and simulated ones, a sink and its readers;
#                                  LeakSanitizer on a sink that starts, streams and stops
set -euo pipefail
cd "$(dirname "$0")/.."
pipelines/setup.sh --private
# The stable compiler has the sanitizers behind this.
export RUSTC_BOOTSTRAP=1 RUST_TEST_THREADS=1 LIBCAMERA_LOG_LEVELS='*:FATAL' G_DEBUG=fatal-criticals
target=$(rustc -vV | sed -n 's/^host: //p')

run() { # DIRECTORY CARGO-ARGUMENTS...
    local dir=$1
    shift
    cargo test --target "$target" --target-dir "target/$dir" "$@"
}

case ${1-} in
    thread)
        export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp history_size=4 halt_on_error=1"
        RUSTFLAGS='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer' \
            run tsan --no-default-features --features simulated --test capture_threads --test simulated_camera
        ;;
    address)
        # GStreamer and libcamera keep what they have registered until the process ends; leaks of ours are counted by the tests themselves.
        export ASAN_OPTIONS=detect_leaks=0
        RUSTFLAGS=-Zsanitizer=address \
            run asan --features harness,simulated --test source_life --test source_pads --test source_faults --test source_stream \
            --test shm_sink --test shm_stall --test shm_buffers --test shm_life --test shm_src --test shm_hostile --test shm_restart
        # One that ends with all that it has let go of; what GStreamer keeps is named.
        ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp" SHM_LEAKS=1 RUSTFLAGS=-Zsanitizer=address \
            run asan --features harness,simulated --test shm_life -- leaking_process --exact --nocapture
        ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
