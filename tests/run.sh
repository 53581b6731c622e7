#!/usr/bin/env bash
# All tests, from nothing: set-up, builds and lints, every test program, every pipeline, and what people do wrong with them.
#
#   tests/run.sh                    everything
#   tests/run.sh shm pipelines      these groups only: builds pure loom source shm pipelines vm other
#   REQUIRE=all tests/run.sh        a skip is a failure, except for the names in .ci/may-skip
#   LIMIT=600 tests/run.sh          seconds that a test program may take before it is called hung and killed (300)
#
# The last line is 'N passed, N failed, N skipped', after the failures and the reason for each skip. Exit code 0 only if nothing failed.
#
# How tests are counted: a test program prints one line per test as libtest does, 'test NAME ... ok', '... FAILED' or '... ignored, REASON';
# programs with harness = false do the same. A test that cannot run here prints 'SKIPPED: NAME: REASON', where NAME is as libtest prints it, with its
# modules, and counts as skipped even if libtest calls it ok. A program that prints no such line, or ends badly without a failed test, is a failure of
# its own. The programs are those of Cargo.toml; the beginning of a name says the group: source_, provider_, libcamera_, simulated_ and capture_, shm_,
# loom_; vm_ runs in a virtual machine (tests/vm.sh); floors, shm_server, shm_flow and driver_ are 'pure' (no GStreamer); the unit tests of the library
# belong to 'source'.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
LIMIT=${LIMIT:-300}
out="$root/target/tests"
features=harness,simulated
begun=$SECONDS
mkdir -p "$out"

known_groups=(builds pure loom source shm pipelines vm other)
groups=("$@")
((${#groups[@]})) || groups=("${known_groups[@]}")
for group in "${groups[@]}"; do
    [[ " ${known_groups[*]} " == *" $group "* ]] || { echo "run: no group '$group'; there are: ${known_groups[*]}" >&2; exit 2; }
done

passed=() failed=() skipped=() reasons=()

# --- running with a watchdog ----------------------------------------------------------------------------------------------

running=''
kill_group() {
    [ -z "$running" ] || kill -KILL -- "-$running" 2>/dev/null
    running=''
}
trap 'kill_group; exit 130' INT TERM HUP

show_stacks() { # of every process of the group, when gdb is there
    local pid
    for pid in $(pgrep -g "$1"); do
        echo "  hung: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
        command -v gdb >/dev/null || continue
        timeout 30 gdb -p "$pid" -batch -ex 'thread apply all bt 25' 2>/dev/null | grep -E '^(Thread|#)' | cut -c1-160
    done
}

# Runs a command in a process group of its own; its output goes to target/tests/LABEL.out and .err. Status 124: it hung, and is dead now.
guarded() {
    local limit=$1 label=$2 deadline status
    shift 2
    # Through a shell, so that it may be an exported function.
    setsid bash -c '"$@"' bash "$@" >"$out/$label.out" 2>"$out/$label.err" </dev/null &
    running=$!
    deadline=$((SECONDS + limit))
    while kill -0 "$running" 2>/dev/null; do
        if ((SECONDS >= deadline)); then
            echo "HUNG: $label has not ended in $limit s"
            show_stacks "$running"
            kill_group
            wait 2>/dev/null
            return 124
        fi
        sleep 0.1
    done
    wait "$running"
    status=$?
    kill_group # what it left behind
    return $status
}

show_end() {
    tail -n 40 "$out/$1.out" "$out/$1.err" | cut -c1-240 | sed 's/^/    /'
}

# --- counting -------------------------------------------------------------------------------------------------------------

record() { # GROUP NAME ok|FAILED|skipped [REASON]
    local name="$1: $2"
    case $3 in
        ok) passed+=("$name") ;;
        FAILED) failed+=("$name") ;;
        skipped) skipped+=("$2"); reasons+=("${4:-no reason given}") ;;
    esac
    echo "test $name ... $3${4:+ ($4)}"
}

# One command that is one test.
check() { # GROUP NAME COMMAND...
    local group=$1 name=$2 at=$SECONDS
    shift 2
    if guarded 900 "$group-$name" "$@"; then
        record "$group" "$name" ok
    else
        show_end "$group-$name"
        record "$group" "$name" FAILED
    fi
    ((SECONDS - at < 20)) || echo "  $((SECONDS - at)) s"
}

# Runs a test program and counts its lines.
program() { # GROUP LABEL COMMAND...
    local group=$1 label=$2 status=0 at=$SECONDS line name lines=0 bad=0
    shift 2
    local -A why=()
    echo "--- $label"
    guarded "$LIMIT" "$label" "$@" || status=$?
    while IFS= read -r line; do
        if [[ $line =~ ^SKIPPED:\ ([^:]+(::[^:]+)*):\ (.*)$ ]]; then why[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]}; fi
    done < <(cat "$out/$label.out" "$out/$label.err")
    while IFS= read -r line; do
        if [[ $line =~ ^test\ (.+)\ \.\.\.\ (ok|FAILED|ignored)(,\ (.*))?$ ]]; then
            name=${BASH_REMATCH[1]% - should panic}
            lines=$((lines + 1))
            if [ -n "${why[$name]-}" ]; then
                continue
            fi
            case ${BASH_REMATCH[2]} in
                ok) record "$group" "$label: $name" ok ;;
                FAILED) record "$group" "$label: $name" FAILED; bad=$((bad + 1)) ;;
                ignored) record "$group" "$name" skipped "${BASH_REMATCH[4]:-ignored}" ;;
            esac
        fi
    done <"$out/$label.out"
    for name in "${!why[@]}"; do
        lines=$((lines + 1))
        record "$group" "$name" skipped "${why[$name]}"
    done
    if ((status == 124)); then
        record "$group" "$label: hung" FAILED
    elif ((status != 0 && bad == 0)); then
        record "$group" "$label: ended with status $status and no failed test" FAILED
    elif ((lines == 0)); then
        record "$group" "$label: no test was run" FAILED
    fi
    ((status == 0)) || show_end "$label"
    echo "--- $label: $lines tests, $((SECONDS - at)) s"
}

# --- the test programs of Cargo.toml --------------------------------------------------------------------------------------

test_targets() { # NAME HARNESS, one per line
    awk '/^\[/ { if (name) print name, harness; name = ""; harness = "true"; inside = /^\[\[test\]\]/ }
         inside && /^name *=/ { gsub(/.*= *"|".*/, ""); name = $0 }
         inside && /^harness *=/ { harness = ($0 ~ /false/) ? "false" : "true" }
         END { if (name) print name, harness }' Cargo.toml
}

group_of() {
    case $1 in
        floors | shm_server | shm_flow | driver_*) echo pure ;;
        loom_*) echo loom ;;
        lib | provider_* | source_* | libcamera_* | simulated_* | capture_*) echo source ;;
        shm_*) echo shm ;;
        vm_*) echo vm ;;
        *) echo other ;;
    esac
}

declare -A executable=()

# Builds test programs and remembers where cargo says they are.
build_tests() { # LABEL CARGO-ARGUMENTS...
    local label=$1 name path
    shift
    check builds "$label" cargo test --release --no-run "$@"
    while read -r name path; do
        executable[$name]=$path
    done < <(sed -nE 's/^ *Executable (unittests )?(tests|src)\/([a-z0-9_]+)(\/main)?\.rs \((.*)\)$/\3 \5/p' "$out/builds-$label.err")
}

run_group() { # GROUP
    local name harness arguments
    while read -r name harness; do
        [ "$(group_of "$name")" = "$1" ] || continue
        if [ -z "${executable[$name]-}" ]; then
            record "$1" "$name: was not built" FAILED
            continue
        fi
        arguments=()
        [ "$harness" = false ] || arguments=(--show-output)
        program "$1" "$name" "${executable[$name]}" "${arguments[@]}"
    done < <(echo lib true; test_targets)
}

# --- groups ---------------------------------------------------------------------------------------------------------------

run_path_is() { # yes|no FILE: whether the plugin names the private libcamera
    local found=no
    readelf -d "$2" | grep -E 'RUNPATH|RPATH' | grep -qF "$root/target/libcamera/lib" && found=yes
    readelf -d "$2" | grep -E 'RUNPATH|RPATH'
    [ "$found" = "$1" ] && { [ "$1" = yes ] || ! readelf -d "$2" | grep -qE 'RUNPATH|RPATH'; }
}

inspects() { # ELEMENT, without a warning
    G_DEBUG=fatal-warnings gst-inspect-1.0 "$1" >/dev/null
}

# Cargo keeps one libgstlibcamerars.so for all features, and takes another feature's for fresh.
forget_plugin() {
    rm -f target/release/libgstlibcamerars.so target/release/deps/libgstlibcamerars.so
}

group_builds() {
    check builds fmt cargo fmt --check
    check builds clippy cargo clippy --all-targets -- -D warnings
    check builds clippy-pure cargo clippy --all-targets --no-default-features -- -D warnings
    check builds clippy-no-libcamera cargo clippy --all-targets --no-default-features --features harness -- -D warnings
    check builds clippy-tests cargo clippy --all-targets --features $features -- -D warnings
    check builds clippy-benches cargo clippy --bench pure --no-default-features --features benches,plugin -- -D warnings
    check builds check-pure cargo check --no-default-features
    check builds documentation env RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
    if command -v shellcheck >/dev/null; then
        check builds shell shellcheck -x -P pipelines pipelines/*.sh tests/*.sh tests/vm/*.sh packaging/*.sh docs/*.sh benches/*.sh fuzz/*.sh .cargo/pkg-config .cargo/rustc .ci/run
    else
        record builds shell skipped "shellcheck is not installed"
    fi
    forget_plugin
    check builds release-installed cargo build --release --lib --example demo --features capi
    check builds installed-plugin-has-no-run-path run_path_is no target/release/libgstlibcamerars.so
    forget_plugin
    check builds release cargo build --release --lib --example demo --example camera
    check builds development-plugin-has-run-path run_path_is yes target/release/libgstlibcamerars.so
    check builds inspect-libcamerasrc-rs inspects libcamerasrc-rs
    check builds inspect-shmsink-rs inspects shmsink-rs
    check builds inspect-shmsrc-rs inspects shmsrc-rs
    check builds inspect-as-checked-in tests/inspect.sh
    # It builds a libcamera, where the system's is too old.
    LIMIT=1800 program builds package tests/package.sh
}
export -f run_path_is inspects
export root

wanted() { [[ " programs ${groups[*]} " == *" $1 "* ]]; }

timed() { # GROUP COMMAND...
    local group=$1 at=$SECONDS
    shift
    wanted "$group" || return 0
    echo "=== $group"
    "$@"
    seconds+=("$group $((SECONDS - at)) s")
    echo "=== $group: $((SECONDS - at)) s"
}
seconds=()

echo "=== set-up"
at=$SECONDS
pipelines/setup.sh --private || { echo "run: the set-up failed, nothing can be tested"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
seconds+=("set-up $((SECONDS - at)) s")
record set-up set-up ok

export GST_PLUGIN_PATH="$root/target/plugins" GST_REGISTRY="$out/registry.bin"
export RUST_TEST_THREADS=1 # as .cargo/config.toml has it
export LIBCAMERA_LOG_LEVELS='*:ERROR' G_DEBUG=fatal-warnings CARGO_MANIFEST_DIR="$root" RUST_BACKTRACE=1
rm -f "$GST_REGISTRY"

group_pure() {
    build_tests test-programs-pure --no-default-features
    run_group pure
}

group_loom() {
    RUSTFLAGS="${RUSTFLAGS-} --cfg loom" build_tests test-programs-loom --no-default-features --target-dir target/loom --test 'loom_*'
    run_group loom
}

timed pure group_pure
timed loom group_loom
if wanted source || wanted shm || wanted other; then
    timed programs build_tests test-programs --features $features
fi
timed source run_group source
timed shm run_group shm
timed other run_group other
timed builds group_builds
group_pipelines() {
    program pipelines pipelines tests/pipelines.sh
    program pipelines mistakes tests/mistakes.sh
}
timed pipelines group_pipelines

# It fetches a kernel, and builds what is missing of its own.
group_vm() { LIMIT=900 ENDURANCE='' program vm vm tests/vm.sh; }
timed vm group_vm

# --- the end --------------------------------------------------------------------------------------------------------------

echo "=== seconds: $(printf '%s, ' "${seconds[@]}")all $((SECONDS - begun)) s"
for index in "${!skipped[@]}"; do
    echo "skipped: ${skipped[index]}: ${reasons[index]}"
    if [ "${REQUIRE-}" = all ] && ! grep -qxF -- "${skipped[index]}" .ci/may-skip; then
        failed+=("${skipped[index]}: skipped, and not in .ci/may-skip")
        unset "skipped[index]"
    fi
done
((${#failed[@]} == 0)) || printf 'failed: %s\n' "${failed[@]}"
echo "${#passed[@]} passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
((${#failed[@]} == 0 && ${#passed[@]} > 0))
