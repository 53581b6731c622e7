#!/usr/bin/env bash
# Fuzzes, with libFuzzer and AddressSanitizer: client_bytes server_bytes fd_bytes memory typed, one after the other. Needs a nightly compiler; what
# cargo-fuzz does, without having to install it ('cargo fuzz run memory' works as well).
#
#   fuzz/run.sh                  two minutes each
#   SECONDS_EACH=600 fuzz/run.sh memory typed
#
# Prints how often each was run, and what it covers, in edges of the compiled code. What is found is left in fuzz/artifacts/TARGET, and is a
# failure. What is new and covers more goes into target/fuzz-corpus; 'fuzz/run.sh --minimise' takes a small corpus of it into fuzz/corpus, which
# tests/shm_fuzz.rs replays.
set -euo pipefail
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=$PWD/../target/fuzz
work=$PWD/../target/fuzz-corpus
minimise=no
[ "${1-}" != --minimise ] || { minimise=yes; shift; }
targets=("$@")
((${#targets[@]})) || targets=(client_bytes server_bytes fd_bytes memory typed)

export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1"
cargo +nightly build --release --bins --target "$host" --target-dir "$target_dir"

# GStreamer keeps what it has registered.
export ASAN_OPTIONS=detect_leaks=0
status=0
for target in "${targets[@]}"; do
    program=$target_dir/$host/release/$target
    mkdir -p "$work/$target" "corpus/$target" "artifacts/$target"
    if [ $minimise = yes ]; then
        small=$(mktemp -d)
        "$program" -merge=1 "$small" "corpus/$target" "$work/$target" 2>&1 | tail -n 1
        rm -rf "corpus/$target"
        mkdir "corpus/$target"
        find "$small" -type f -size -8k -exec mv -t "corpus/$target" {} +
        rm -rf "$small"
        continue
    fi
    echo "=== $target"
    "$program" -max_total_time="${SECONDS_EACH:-120}" -max_len=6000 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$work/$target" "corpus/$target" >"$work/$target.log" 2>&1 || status=1
    grep -E 'cov: ' "$work/$target.log" | tail -n 1
    grep -E 'number_of_executed_units|average_exec|SUMMARY|panicked' "$work/$target.log" || true
done
exit $status
