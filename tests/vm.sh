#!/usr/bin/env bash
# The plugin on real kernel drivers and true DMABUFs, in a virtual machine: a USB camera on uvcvideo that can be unplugged, dma-heap, udmabuf.
#
#   tests/vm.sh                     all jobs but soak
#   tests/vm.sh uvc shm             these jobs only: dmabuf import memory streams uvc unplug provider two shm descriptors examples drm unixfd peer soak
#   ENDURANCE= tests/vm.sh          the short form, which tests/run.sh takes: some things are done 10 times instead of 50
#   USERLAND=testing tests/vm.sh    with GStreamer and libcamera of Debian's testing, which is made below target/userland/ (2 GB), instead of this machine's
#   LIBCAMERA_LOG_LEVELS, GST_DEBUG reach the tests
#
# Needs neither a camera nor KVM nor a network in the machine: QEMU emulates it, and it runs this machine's own programs and libraries, which it sees
# read-only. QEMU and the like are installed by apt-get (as root or through sudo); the kernel is fetched from Debian and unpacked below target/vm/.
# Each job is a module of tests/vm/main.rs. Prints a line for each test and a summary, as tests/run.sh does; logs are in target/vm/out/. Where the
# machine cannot be had, that is one skip with its reason.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
here="$root/tests/vm"
work="$root/target/vm"
log="$work/vm.log"
me=vm
started=$SECONDS

mkdir -p "$work/out"
# shellcheck source=pipelines/steps.sh
. "$root/pipelines/steps.sh"
# shellcheck source=tests/vm/kernel.sh
. "$here/kernel.sh"
# shellcheck source=tests/vm/userland.sh
. "$here/userland.sh"
# shellcheck source=tests/vm/boot.sh
. "$here/boot.sh"

known_jobs=(dmabuf import memory streams uvc unplug provider two shm descriptors examples drm unixfd peer soak)
packages=(qemu-system-x86 udev kmod busybox-static cpio zstd xz-utils gcc libc6-dev)
# Seconds for each job, and for the soak.
job_limit=300
soak_limit=420

choose_jobs() {
    local job
    jobs=("$@")
    if (($# == 0)); then
        jobs=(dmabuf import memory streams uvc unplug provider two shm descriptors)
        # The host's userland may lack what these need, and has what the examples were built with.
        if [ "${USERLAND-host}" = host ]; then jobs+=(examples); else jobs+=(drm unixfd peer); fi
    fi
    for job in "${jobs[@]}"; do
        [[ " ${known_jobs[*]} " == *" $job "* ]] || { echo "vm: no job '$job'; there are: ${known_jobs[*]}" >&2; exit 2; }
    done
}

skip() {
    echo "SKIPPED: vm: $*"
    exit 0
}

prepare() {
    command -v apt-get >/dev/null || skip "it takes its kernel and QEMU from Debian packages, and there is no apt-get"
    [ "$(uname -m)" = x86_64 ] || skip "the machine is an x86_64, which is too slow to emulate here"
    "$root/pipelines/setup.sh" --private
    (install_packages "${packages[@]}") || skip "QEMU cannot be installed, see above"
    (kernel) || skip "its kernel cannot be made, see above"
    step "building the simulated camera" cc -O2 -Wall -Wextra -Werror -o "$work/uvcsim" "$here/uvcsim.c"
    case ${USERLAND-host} in
        host) host_userland ;;
        testing) testing_userland ;;
        *) die "no userland '$USERLAND'; there are: host testing" ;;
    esac
    program=$(executable)
}

# What tests/vm/guest.sh reads.
settings() {
    local limit=$job_limit
    [[ " ${jobs[*]} " != *" soak "* ]] || limit=$soak_limit
    printf 'jobs=(%s)\nprogram=%q\nlimit=%q\n' "${jobs[*]}" "$program" "$limit"
    printf 'export %q\n' VM_JOBS="$work" CARGO_MANIFEST_DIR="$root" RUST_BACKTRACE=1 ENDURANCE="${ENDURANCE-full}" \
        LIBCAMERA_LOG_LEVELS="${LIBCAMERA_LOG_LEVELS-*:WARN}" LIBCAMERA_LOG_NO_COLOR=1 \
        GST_REGISTRY="$registry" GST_REGISTRY_UPDATE=no G_DEBUG=fatal-criticals GST_DEBUG="${GST_DEBUG-1}" GST_DEBUG_NO_COLOR=1
}

results() { grep -aE "^test .* \.\.\. $1" "$work/out/log" || true; }
count() { grep -c . <<<"$1" || true; }

summary() {
    local failures skips passed failed skipped
    failures=$(results FAILED)
    if [ -n "$failures" ]; then
        grep -avE '^(test |machine: |running |NOTE: |$)' "$work/out/log" | tail -n 40
        tail -qn 10 "$work"/out/*.err
        printf '%s\n' "$failures" | sed 's/^test /failed: /'
    fi
    skips=$(grep -a '^SKIPPED: ' "$work/out/log" || true)
    failed=$(count "$failures") skipped=$(count "$skips")
    passed=$(($(count "$(results ok)") - skipped)) # libtest calls them ok
    ((failed > 0 || passed > 0)) || failed=1 # the machine has not come as far
    say "$((SECONDS - started)) s"
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
}

main() {
    choose_jobs "$@"
    exec 9>"$work/lock"
    flock -n 9 || { say "waiting for another run of this checkout"; flock 9; }
    : >"$log"
    prepare
    settings >"$work/out/settings"
    say "ready after $((SECONDS - started)) s"
    run_machine "$((60 + job_limit * ${#jobs[@]}))"
    summary
}

main "$@"
exit
