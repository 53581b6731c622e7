#!/usr/bin/env bash
# Installs what the build and the pipelines need. Run it as often as you like: it does only what is missing.
#
#   pipelines/setup.sh              GStreamer, its development files, and a libcamera that the bindings support (0.4 to 0.7):
#                                   the system's, otherwise one built below target/libcamera
#   pipelines/setup.sh --private    that build also where the system has libcamera (virtual cameras can be configured there only)
#   pipelines/setup.sh --peer       and upstream's libcamerasrc beside it, for comparisons
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
prefix="$root/target/libcamera"
work="$root/target/setup"
log="$work/setup.log"
private=no peer=no
for argument; do
    case $argument in
        --private) private=yes ;;
        --peer) private=yes peer=yes ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "setup: unknown argument '$argument'; see pipelines/setup.sh --help" >&2; exit 2 ;;
    esac
done
mkdir -p "$work"
: >"$log"
started=$SECONDS

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command with its output in the log; says every few seconds how far it is, and shows the log's end when it fails.
step() {
    local label=$1 begun=$SECONDS shown=$SECONDS pid
    shift
    say "$label ..."
    "$@" >>"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS - shown >= 5)); then
            shown=$SECONDS
            say "$label: $((SECONDS - begun)) s $(tail -c 400 "$log" | tr '\r' '\n' | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -1)"
        fi
    done
    wait "$pid" || { tail -25 "$log" >&2; die "$label failed; the whole log is $log"; }
}

supported() { # a libcamera version that the bindings support
    local minor
    [[ $1 =~ ^0\.([0-9]+) ]] || return 1
    minor=${BASH_REMATCH[1]}
    ((minor >= 4 && minor <= 7))
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

packages=(
    pkg-config g++ libclang-dev
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
)
# What building libcamera itself takes.
libcamera_packages=(
    dpkg-dev patch xz-utils ninja-build meson openssl python3-jinja2 python3-ply python3-yaml
    libevent-dev libgnutls28-dev libudev-dev libyaml-dev libyuv-dev
)

# --- packages -------------------------------------------------------------------------------------------------------------

missing_packages() {
    local name
    for name; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        die "these packages are missing, and this user may not install them. Run: sudo apt-get install ${missing[*]}"
    fi
    step "reading the package lists" as_root apt-get update
    step "installing ${#missing[@]} packages (${missing[*]})" \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

other_distribution() {
    cat >&2 <<END
setup: this is not Debian or Ubuntu; install these packages, then build with 'cargo build --release':
  Fedora  gcc-c++ clang-devel pkgconf-pkg-config gstreamer1-devel gstreamer1-plugins-base-devel gstreamer1-plugins-base-tools
          gstreamer1-plugins-good gstreamer1-plugins-bad-free libcamera-devel libcamera-tools
  Arch    gcc clang pkgconf gstreamer gst-plugins-base gst-plugins-good gst-plugins-bad libcamera libcamera-tools
  others  ${packages[*]} (Debian's names) and libcamera's development files, 0.4 to 0.7
END
    exit 1
}

# --- a libcamera of our own -----------------------------------------------------------------------------------------------

# Writes an apt configuration that knows only the source packages of one suite, from the mirror that this machine uses, and touches nothing of the machine's.
apt_for_suite() {
    local suite=$1 distribution keyring mirror
    # shellcheck source=/dev/null
    distribution=$(. /etc/os-release && echo "$ID")
    keyring=/usr/share/keyrings/$distribution-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
        awk -v origin="$distribution" 'tolower($2) == origin && $1 !~ /security/ { print $1; exit }')
    [ -n "$mirror" ] || die "no $distribution mirror in this machine's apt sources; add one and run 'apt-get update'"
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    echo "deb-src [signed-by=$keyring] $mirror $suite main" >"$work/apt/sources.list"
    cat >"$work/apt/apt.conf" <<END
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
END
}

source_versions() { # of libcamera in the suite, newest first
    APT_CONFIG="$work/apt/apt.conf" apt-cache showsrc libcamera 2>/dev/null | sed -n 's/^Version: //p' | sort -rV
}

download_source() {
    local suite version suites=(unstable testing stable)
    grep -q '^ID=ubuntu' /etc/os-release && suites=(devel)
    for suite in "${suites[@]}"; do
        apt_for_suite "$suite"
        step "looking for libcamera's source in $suite" env APT_CONFIG="$work/apt/apt.conf" apt-get update
        while read -r version; do
            supported "$version" || continue
            rm -rf "$work/source" "$work/download"
            mkdir -p "$work/download"
            step "fetching libcamera $version" sh -c \
                "cd '$work/download' && APT_CONFIG='$work/apt/apt.conf' apt-get source --download-only libcamera=$version"
            step "unpacking libcamera $version" dpkg-source --no-check -x "$work"/download/*.dsc "$work/source"
            echo "$version" >"$work/source/.version-of-suite"
            return 0
        done < <(source_versions)
    done
    die "no suite of this machine's mirror has a libcamera from 0.4 to 0.7; install one and set PKG_CONFIG_PATH to it"
}

# meson's options differ between versions: only those that this source knows are given.
meson_options() {
    local option file
    file=$(ls "$work"/source/meson.options "$work"/source/meson_options.txt 2>/dev/null | head -1)
    for option in pipelines=virtual,uvcvideo,vimc,simple ipas=simple,vimc cam=enabled udev=enabled \
        gstreamer="$([ $peer = yes ] && echo enabled || echo disabled)" \
        softisp-gpu=disabled tracing=disabled libdw=disabled libunwind=disabled pycamera=disabled qcam=disabled \
        lc-compliance=disabled v4l2=disabled documentation=disabled doc_werror=false android=disabled test=false \
        cam-output-kms=disabled cam-output-sdl2=disabled cam-jpeg=disabled apps-output-dng=disabled; do
        grep -q "option('${option%%=*}'" "$file" && echo "-D$option"
    done
    return 0
}

build_libcamera() {
    local options
    # Debian's meson needs Debian's python and its modules.
    local -x PATH=/usr/bin:/bin
    mapfile -t options < <(meson_options)
    rm -rf "$work/build"
    step "configuring libcamera" meson setup "$work/build" "$work/source" --prefix="$prefix" --libdir=lib \
        --sysconfdir="$prefix/etc" --buildtype=release -Dwerror=false --wrap-mode=nodownload "${options[@]}"
    step "building libcamera (about 2 minutes)" ninja -C "$work/build"
    step "installing libcamera below target/" ninja -C "$work/build" install
}

private_libcamera() {
    # The prefix is compiled in: a checkout that has moved needs its build again.
    local stamp="$prefix/.built" wanted
    wanted="$prefix peer=$peer"
    if ! grep -qsxF -e "$wanted" -e "$prefix peer=yes" "$stamp"; then
        install_packages "${libcamera_packages[@]}"
        [ -f "$work/source/.version-of-suite" ] || download_source
        build_libcamera
        echo "$wanted" >"$stamp"
        rm -rf "$work/build"
    fi
    install -D -m 644 "$root/pipelines/virtual.yaml" "$prefix/share/libcamera/pipeline/virtual/virtual.yaml"
    say "libcamera $(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --modversion libcamera) below target/, with virtual cameras"
}

libcamera() {
    local candidate
    if [ $private = no ] && [ ! -f "$prefix/.built" ]; then
        candidate=$(apt-cache policy libcamera-dev 2>/dev/null | awk '/Candidate:/ { print $2 }')
        if supported "$(pkg-config --modversion libcamera 2>/dev/null)"; then
            say "libcamera $(pkg-config --modversion libcamera) of this system"
            return
        elif supported "$candidate"; then
            install_packages libcamera-dev libcamera-ipa libcamera-tools
            return
        fi
    fi
    private_libcamera
}

# --- the whole ------------------------------------------------------------------------------------------------------------

command -v cargo >/dev/null || die "Rust is missing: install 1.92 or newer with rustup, then run this again"
command -v apt-get >/dev/null || other_distribution
install_packages "${packages[@]}"
libcamera
say "ready after $((SECONDS - started)) s"
