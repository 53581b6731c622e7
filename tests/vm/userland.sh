# shellcheck shell=bash
# Sourced by tests/vm.sh: what the machine runs. The host's own userland needs nothing; Debian's testing is made here, and the plugin is built in it.
: "${root:?}" "${work:?}" "${log:?}"
userland='' # the folder whose /usr and /etc the machine gets
registry='' # where GStreamer's list of its plugins is, there

# Of the host: what the tests were built with here.
host_userland() {
    userland=''
    registry="$work/registry"
    step "building the tests (minutes, the first time)" env -C "$root" \
        cargo test --release --no-run --features harness,simulated --test vm_jobs
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

testing_packages=(
    ca-certificates g++ gstreamer1.0-libcamera gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools
    kmod libcamera-dev libcamera-ipa libcamera-tools libclang-dev libgstreamer-plugins-base1.0-dev libgstreamer1.0-dev pkg-config udev
)

testing_userland() {
    userland="$work/testing"
    registry=/usr/share/gstreamer-1.0/vm.registry
    testing_system
    local cargo=${CARGO_HOME:-$HOME/.cargo} rustup=${RUSTUP_HOME:-$HOME/.rustup}
    step "fetching the crates" cargo fetch --locked --manifest-path "$root/Cargo.toml"
    step "building the tests for Debian's testing (minutes, the first time)" in_testing env -C "$root" PATH="$cargo/bin:/usr/bin:/usr/sbin" \
        CARGO_HOME="$cargo" RUSTUP_HOME="$rustup" RUSTUP_TOOLCHAIN="$(rustup_toolchain)" PKG_CONFIG=/usr/bin/pkg-config CARGO_NET_OFFLINE=true \
        cargo test --release --no-run --features harness,simulated --test vm_jobs --target-dir target/vm/build-testing
}

rustup_toolchain() { (cd "$root" && rustup show active-toolchain | cut -d ' ' -f 1); }

testing_system() {
    [ ! -f "$userland/.made" ] || return 0
    local new="$work/testing.new"
    install_packages debootstrap
    find_mirror
    as_root rm -rf "$new" "$userland"
    # An older debootstrap does not know the suite's name, and all suites are made alike.
    step "making a Debian testing (minutes)" as_root debootstrap --variant=minbase --keyring="${keyring:?}" testing "$new" "${mirror:?}" sid
    userland=$new
    step "installing ${#testing_packages[@]} packages there" in_testing env DEBIAN_FRONTEND=noninteractive \
        apt-get -o APT::Install-Recommends=0 -o Acquire::Languages=none install -y "${testing_packages[@]}"
    step "listing its plugins" in_testing env GST_REGISTRY="$registry" gst-inspect-1.0
    as_root install -D -m 644 "$root/pipelines/virtual.yaml" "$new/usr/share/libcamera/pipeline/virtual/virtual.yaml"
    as_root touch "$new/.made"
    userland="$work/testing"
    as_root mv "$new" "$userland"
}

# Runs a command there, with the checkout and Rust at their own paths. What is mounted for it is gone with it.
in_testing() {
    # shellcheck disable=SC2016 # the inner shell expands
    as_root unshare --mount bash -euc '
        userland=$1; shift
        mount -t proc proc "$userland/proc"
        mount --rbind /dev "$userland/dev"
        mount -t tmpfs tmp "$userland/tmp"
        cp /etc/resolv.conf "$userland/etc/resolv.conf" 2>/dev/null || true
        while [ "$1" != -- ]; do
            mkdir -p "$userland$1"
            mount --bind "$1" "$userland$1"
            shift
        done
        shift
        exec chroot "$userland" "$@"' \
        bash "$userland" "$root" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}" -- "$@"
}
