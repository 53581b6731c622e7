#!/usr/bin/env bash
# Installs what the build and the pipelines need. Run it as often as you like: it does only what is missing.
#
#   pipelines/setup.sh              GStreamer, its development files, and a libcamera that the bindings support (0.4 to 0.7):
#                                   the system's, otherwise one built below target/libcamera
#   pipelines/setup.sh --private    that build also where the system has libcamera (virtual cameras can be configured there only)
#   pipelines/setup.sh --peer       and upstream's libcamerasrc beside it, for comparisons
#   pipelines/setup.sh --package    the system's, otherwise one for a Debian package to carry (packaging/deb.sh asks for it)
#
# An interrupted or failed run leaves nothing half-finished behind: run it again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
prefix="$root/target/libcamera"
work="$root/target/setup"
log="$work/setup.log"
# Where a package's own libcamera will live; it looks for its parts there.
packaged=/usr/lib/gstreamer1.0-libcamera-rs
private=no peer=no package=no
for argument; do
    case $argument in
        --private) private=yes ;;
        --peer) private=yes peer=yes ;;
        --package) package=yes ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "setup: unknown argument '$argument'; see pipelines/setup.sh --help" >&2; exit 2 ;;
    esac
done
started=$SECONDS

me=setup
# shellcheck source=pipelines/steps.sh
. "$root/pipelines/steps.sh"

supported() { # a libcamera version that the bindings support
    local minor
    [[ ${1-} =~ ^(0:)?0\.([0-9]+) ]] || return 1
    minor=${BASH_REMATCH[2]}
    ((minor >= 4 && minor <= 7))
}

packages=(
    pkg-config g++ libclang-dev
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-ugly gstreamer1.0-plugins-base-apps # x264enc, gst-device-monitor-1.0
    python3-gi gir1.2-gstreamer-1.0 python3-numpy # examples and pipelines in Python
)
# What building libcamera itself takes.
libcamera_packages=(
    dpkg-dev patch xz-utils ninja-build meson openssl python3-jinja2 python3-ply python3-yaml
    libevent-dev libgnutls28-dev libudev-dev libyaml-dev libyuv-dev
)

other_distribution() {
    cat >&2 <<END
setup: this is not Debian or Ubuntu; install these packages, then build with 'cargo build --release':
  Fedora  gcc-c++ clang-devel pkgconf-pkg-config gstreamer1-devel gstreamer1-plugins-base-devel gstreamer1-plugins-base-tools
          gstreamer1-plugins-good gstreamer1-plugins-bad-free gstreamer1-plugins-ugly libcamera-devel libcamera-tools
  Arch    gcc clang pkgconf gstreamer gst-plugins-base gst-plugins-good gst-plugins-bad gst-plugins-ugly libcamera libcamera-tools
  others  ${packages[*]} (Debian's names) and libcamera's development files, 0.4 to 0.7
END
    exit 1
}

# --- a libcamera of our own -----------------------------------------------------------------------------------------------

source_versions() { # of libcamera in the suite, newest first
    APT_CONFIG="$work/apt/apt.conf" apt-cache showsrc libcamera 2>/dev/null | sed -n 's/^Version: //p' | sort -rV
}

# The source is complete when it is at its place: it is unpacked beside it and moved there.
download_source() {
    local suite version suites=(unstable testing stable)
    grep -q '^ID=ubuntu' /etc/os-release && suites=(devel)
    for suite in "${suites[@]}"; do
        apt_for_suite deb-src "$suite"
        step "looking for libcamera's source in $suite" env APT_CONFIG="$work/apt/apt.conf" apt-get update
        while read -r version; do
            supported "$version" || continue
            rm -rf "$work/source" "$work/unpacked" "$work/download"
            mkdir -p "$work/download"
            step "fetching libcamera $version" env -C "$work/download" APT_CONFIG="$work/apt/apt.conf" \
                apt-get source --download-only "libcamera=$version"
            step "unpacking libcamera $version" dpkg-source --no-check -x "$work"/download/*.dsc "$work/unpacked"
            mv "$work/unpacked" "$work/source"
            return 0
        done < <(source_versions)
    done
    die "no suite of this machine's mirror has a libcamera from 0.4 to 0.7; install one and set PKG_CONFIG_PATH to it"
}

# meson's options differ between versions: only those that this source knows are given.
meson_options() {
    local option file="$work/source/meson_options.txt"
    [ -f "$file" ] || file="$work/source/meson.options"
    for option in pipelines=virtual,uvcvideo,vimc,simple ipas=simple,vimc cam=enabled udev=enabled \
        gstreamer="$([ $peer = yes ] && echo enabled || echo disabled)" \
        softisp-gpu=disabled tracing=disabled libdw=disabled libunwind=disabled pycamera=disabled qcam=disabled \
        lc-compliance=disabled v4l2=disabled documentation=disabled doc_werror=false android=disabled test=false \
        cam-output-kms=disabled cam-output-sdl2=disabled cam-jpeg=disabled apps-output-dng=disabled; do
        ! grep -q "option('${option%%=*}'" "$file" || echo "-D$option"
    done
}

build_libcamera() { # PREFIX PLACE: what is to live at PREFIX is put at PLACE
    local options prefix=$1 place=$2
    # Debian's meson needs Debian's python and its modules.
    local -x PATH=/usr/bin:/bin
    # libcamera would take its version from the git repository that it finds: ours.
    local -x GIT_DIR=/nonexistent
    # `cam` finds its library without LD_LIBRARY_PATH.
    local -x LDFLAGS="-Wl,-rpath,$prefix/lib"
    mapfile -t options < <(meson_options)
    rm -rf "$work/build" "$work/stage"
    step "configuring libcamera" meson setup "$work/build" "$work/source" --prefix="$prefix" --libdir=lib \
        --sysconfdir="$prefix/etc" --buildtype=release -Dwerror=false --wrap-mode=nodownload "${options[@]}"
    step "building libcamera (about 2 minutes)" ninja -C "$work/build"
    step "installing libcamera below target/" env DESTDIR="$work/stage" ninja -C "$work/build" install
    install -D -m 644 "$root/pipelines/virtual.yaml" "$work/stage$prefix/share/libcamera/pipeline/virtual/virtual.yaml"
    # Other builds see the whole of it or nothing.
    echo "$prefix peer=$peer" >"$work/stage$prefix/.built"
    rm -rf "$place"
    mkdir -p "$(dirname "$place")"
    mv "$work/stage$prefix" "$place"
    rm -rf "$work/build" "$work/stage"
}

# Cargo does not see that another libcamera has come under the bindings.
forget_bindings_to_another_libcamera() {
    local target=${CARGO_TARGET_DIR:-$root/target}
    rm -rf "$target"/*/build/libcamera-sys-* "$target"/*/.fingerprint/libcamera-sys-*
}

libcamera_to_package() {
    local place="$root/target/package/libcamera"
    if ! grep -qsxF "$packaged peer=no" "$place/.built"; then
        install_packages "${libcamera_packages[@]}"
        [ -f "$work/source/meson.build" ] || download_source
        build_libcamera "$packaged" "$place"
    fi
    say "libcamera for a package, at target/package/libcamera"
}

private_libcamera() {
    # The prefix is compiled in: a checkout that has moved needs its build again.
    if ! grep -qsxF -e "$prefix peer=$peer" -e "$prefix peer=yes" "$prefix/.built"; then
        case $root in
            *[!a-zA-Z0-9/._+@~-]*) die "libcamera cannot be built in '$root': move the checkout to a path of plain letters, digits and -_.+@~" ;;
        esac
        install_packages "${libcamera_packages[@]}"
        [ -f "$work/source/meson.build" ] || download_source
        build_libcamera "$prefix" "$prefix"
        forget_bindings_to_another_libcamera
    fi
    install -D -m 644 "$root/pipelines/virtual.yaml" "$prefix/share/libcamera/pipeline/virtual/virtual.yaml"
    say "libcamera $(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --modversion libcamera) below target/, with virtual cameras"
}

version_on_offer() { # of the distribution's libcamera-dev
    apt-cache policy libcamera-dev 2>/dev/null | awk '/Candidate:/ { print $2 }'
}

# Whether it is one that the bindings support. Where the distribution has such a one it is installed.
has_system_libcamera() {
    local installed
    installed=$(pkg-config --modversion libcamera 2>/dev/null) || installed=''
    if ! supported "$installed"; then
        [ -n "$(version_on_offer)" ] || read_package_lists
        supported "$(version_on_offer)" || return 1
        install_packages libcamera-dev libcamera-ipa libcamera-tools
        installed=$(pkg-config --modversion libcamera)
    fi
    say "libcamera $installed of this system"
}

libcamera() {
    # Once there is a private build, the builds use it: it stays, and is kept up.
    if [ $private = yes ] || [ -f "$prefix/.built" ]; then
        private_libcamera
    else
        has_system_libcamera || private_libcamera
    fi
}

# --- the whole ------------------------------------------------------------------------------------------------------------

command -v cargo >/dev/null || die "Rust is missing: install 1.92 or newer with rustup, then run this again"
command -v apt-get >/dev/null || other_distribution
mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
: >"$log"
install_packages "${packages[@]}"
if [ $package = no ]; then libcamera; else has_system_libcamera || libcamera_to_package; fi
# Where GStreamer is to look for a release build. Not target/release itself: it would look into everything below it.
mkdir -p "$root/target/plugins"
ln -sfn ../release/libgstlibcamerars.so "$root/target/plugins/libgstlibcamerars.so"
say "ready after $((SECONDS - started)) s"
