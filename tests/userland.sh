# shellcheck shell=bash
# Sourced: another release of Debian below target/userland/, with what the build needs, and commands that run in it. Needs root and 2 GB each.
: "${root:?}"

userland_packages=(
    ca-certificates g++ gstreamer1.0-libcamera gstreamer1.0-plugins-bad gstreamer1.0-plugins-base gstreamer1.0-plugins-base-apps
    gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-tools kmod libcamera-dev libcamera-ipa libcamera-tools libclang-dev
    libgstreamer-plugins-base1.0-dev libgstreamer1.0-dev pkg-config udev
)

# Makes the release if it is not there; `userland` is where it is.
debian() { # SUITE
    userland="$root/target/userland/$1"
    [ ! -f "$userland/.made" ] || return 0
    local made=$userland
    install_packages debootstrap
    find_mirror
    as_root rm -rf "$made.new" "$made"
    mkdir -p "$root/target/userland"
    # An older debootstrap does not know the suite's name, and all suites are made alike.
    # shellcheck disable=SC2154 # find_mirror has set both
    step "making a Debian $1 (minutes)" as_root debootstrap --variant=minbase --keyring="$keyring" "$1" "$made.new" "$mirror" sid
    userland="$made.new"
    step "installing ${#userland_packages[@]} packages there" in_userland env DEBIAN_FRONTEND=noninteractive \
        apt-get -o APT::Install-Recommends=0 -o Acquire::Languages=none install -y "${userland_packages[@]}"
    step "listing its plugins" in_userland env GST_REGISTRY=/usr/share/gstreamer-1.0/vm.registry gst-inspect-1.0
    as_root install -D -m 644 "$root/pipelines/virtual.yaml" "$made.new/usr/share/libcamera/pipeline/virtual/virtual.yaml"
    as_root touch "$made.new/.made"
    userland=$made
    as_root mv "$made.new" "$made"
}

# Runs a command there, with the checkout and Rust at their own paths. What is mounted for it is gone with it.
in_userland() {
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

# cargo, with the release's own GStreamer and libcamera. What it builds goes to the release's own folder.
cargo_in_userland() { # SUBCOMMAND ARGUMENTS...
    local cargo=${CARGO_HOME:-$HOME/.cargo} rustup=${RUSTUP_HOME:-$HOME/.rustup}
    (cd "$root" && cargo fetch --locked)
    in_userland env -C "$root" PATH="$cargo/bin:/usr/bin:/usr/sbin" CARGO_HOME="$cargo" RUSTUP_HOME="$rustup" \
        RUSTUP_TOOLCHAIN="$(cd "$root" && rustup show active-toolchain | cut -d ' ' -f 1)" PKG_CONFIG=/usr/bin/pkg-config CARGO_NET_OFFLINE=true \
        CARGO_TARGET_DIR="$root/target/userland/build-$(basename "$userland")" cargo "$@"
}
