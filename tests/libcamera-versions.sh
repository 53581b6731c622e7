#!/usr/bin/env bash
# Builds and tests with the oldest libcamera that is supported and with the newest, in the Debian releases that have them, and so with their
# GStreamer and its stock shmsrc. Needs root, 2 GB and about 10 minutes for each release the first time.
#
#   tests/libcamera-versions.sh [SUITE...]     trixie (libcamera 0.4) and testing
#
# The last lines, one for each release, are what the README shows.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work="$root/target/userland"
log="$work/versions.log"
me=versions
mkdir -p "$work"
: >"$log"
# shellcheck source=pipelines/steps.sh
. "$root/pipelines/steps.sh"
# shellcheck source=tests/userland.sh
. "$root/tests/userland.sh"
((${#})) || set -- trixie testing

version_of() { in_userland pkg-config --modversion "$1"; }
# A test that printed SKIPPED is one of those that libtest calls passed.
counted() { # LOG
    awk '/^SKIPPED: / && !known[$2]++ { skipped++ }
         /^test result:/ { passed += $4; failed += $6; ignored += $8; split("", known) }
         END { print passed - skipped " passed, " failed + 0 " failed, " skipped + ignored " skipped" }' "$1"
}
programs=(--lib --test 'source_*' --test 'provider_*' --test 'libcamera_*' --test 'simulated_*' --test 'capture_*' --test 'shm_*')

rows=() status=0
for suite; do
    debian "$suite"
    step "building for Debian $suite (minutes, the first time)" cargo_in_userland test --release --no-run --features harness,simulated "${programs[@]}"
    say "testing there, the whole output in target/userland/$suite.log ..."
    export RUST_TEST_THREADS=1 G_DEBUG=fatal-criticals LIBCAMERA_LOG_LEVELS='*:ERROR' GST_REGISTRY=/tmp/registry
    cargo_in_userland test --release --no-fail-fast --features harness,simulated "${programs[@]}" -- --show-output >"$work/$suite.log" 2>&1 || status=1
    grep -E '^test .*(FAILED|ignored)|^SKIPPED' "$work/$suite.log"
    rows+=("Debian $suite: libcamera $(version_of libcamera), GStreamer $(version_of gstreamer-1.0): $(counted "$work/$suite.log")")
done
printf '%s\n' "${rows[@]}"
exit $status
