# shellcheck shell=bash
# Sourced by tests/vm.sh: what the machine runs. The host's own userland needs nothing; Debian's testing is made, and the plugin is built in it.
: "${root:?}" "${work:?}" "${log:?}"
# shellcheck source=tests/userland.sh
. "$root/tests/userland.sh"
userland='' # the folder whose /usr and /etc the machine gets
registry='' # where GStreamer's list of its plugins is, there

# Of the host: what the tests were built with here.
host_userland() {
    userland=''
    registry="$work/registry"
    step "building the tests (minutes, the first time)" env -C "$root" \
        cargo test --release --no-run --features harness,simulated --test vm_jobs
    if [[ " ${jobs[*]-} " == *" examples "* ]]; then
        step "building the example in Rust" env -C "$root" cargo build --release --features harness,simulated --lib --example camera
        # shellcheck disable=SC2046 # several flags
        step "building the example in C" cc -Wall -Wextra -Werror -o "$work/camera-c" "$root/examples/camera.c" $(pkg-config --cflags --libs gstreamer-1.0)
    fi
    # Reading all of GStreamer's plugins takes the machine a minute.
    step "listing GStreamer's plugins" env GST_REGISTRY="$registry" gst-inspect-1.0
}

# Where cargo has just said that the tests are.
executable() {
    local path
    path=$(sed -nE 's/^ *Executable tests\/vm\/main\.rs \((.*)\)$/\1/p' "$log" | tail -n 1)
    case $path in /*) echo "$path" ;; *) echo "$root/$path" ;; esac
}

# --- Debian's testing -----------------------------------------------------------------------------------------------------

testing_userland() {
    registry=/usr/share/gstreamer-1.0/vm.registry # below /usr, which the machine sees
    debian testing
    step "building the tests for Debian's testing (minutes, the first time)" cargo_in_userland test --release --no-run --features harness,simulated \
        --test vm_jobs
}
