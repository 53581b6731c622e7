#!/usr/bin/env bash
# The Debian package: built, looked at, installed, used as somebody would who has installed it and knows nothing else, and removed. What it finds on
# the machine it leaves as it was. Prints one line per test as libtest does; tests/run.sh counts them.
# shellcheck disable=SC2317 # the tests are called by their names
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
package=gstreamer1.0-libcamera-rs
private=$(mktemp -d)
ours=no
clean_up() {
    [ "$ours" = no ] || dpkg --purge "$package" >/dev/null 2>&1
    rm -rf "$private"
}
trap clean_up EXIT
# shellcheck source=tests/cases.sh
. "$root/tests/cases.sh"
deb=''

# Nothing of this environment: no GST_PLUGIN_PATH, no registry, no libcamera of a checkout.
as_a_user() {
    timeout --kill-after=5 60 env -i PATH=/usr/bin:/bin HOME="$private" XDG_RUNTIME_DIR="$private" "$@"
}

it_is_built() {
    deb=$("$root/packaging/deb.sh") && [ -f "$deb" ] && echo "$deb"
}

it_has_what_it_says_and_names_no_checkout() {
    local files file
    files=$(dpkg-deb --fsys-tarfile "$deb" | tar -t)
    grep -qE '^./usr/lib/[^/]+/gstreamer-1.0/libgstlibcamerars.so$' <<<"$files" || { echo "$files"; return 1; }
    grep -qx "./usr/share/doc/$package/copyright" <<<"$files" || return 1
    ! grep -qE 'pkgconfig|/include/|virtual\.yaml' <<<"$files" || { echo "not for users: $files"; return 1; }
    dpkg-deb --field "$deb"
    dpkg-deb --field "$deb" Depends | grep -qE 'libgstreamer1\.0-0 .*libgstreamer-plugins-base1\.0-0|libgstreamer-plugins-base1\.0-0 .*libgstreamer1\.0-0' || return 1
    dpkg-deb -x "$deb" "$private/unpacked"
    while read -r file; do
        # Where a library is looked for. Text that libcamera logs may name the folder that it was built in.
        ! readelf -d "$file" 2>/dev/null | grep -E 'RUNPATH|RPATH' | grep -vE '\[/usr/lib/[a-z0-9.-]+/lib\]' || { echo "$file"; return 1; }
    done < <(find "$private/unpacked/usr/lib" -name '*.so*' -type f)
    ! find "$private/unpacked" -perm -o+w ! -type l | grep . || return 1
}

it_installs() {
    ours=yes
    DEBIAN_FRONTEND=noninteractive dpkg --install "$deb"
}

gstreamer_finds_it_without_being_told() {
    local element
    for element in libcamerasrc-rs shmsink-rs shmsrc-rs; do
        as_a_user gst-inspect-1.0 "$element" >"$private/inspected" 2>&1 || { head -30 "$private/inspected"; return 1; }
        grep -qE "^  Filename +(/usr)?/lib/[^/]+/gstreamer-1.0/libgstlibcamerars.so$" "$private/inspected" || { head -30 "$private/inspected"; return 1; }
        ! grep -qE 'WARNING|CRITICAL' "$private/inspected" || { head -30 "$private/inspected"; return 1; }
    done
}

without_a_camera_it_says_so() {
    # Of a machine that has one: there, nothing is to be said.
    if as_a_user gst-device-monitor-1.0 Video/Source 2>/dev/null | grep -q 'device.api = libcamera'; then
        echo "SKIPPED: without_a_camera_it_says_so: this machine has a camera"
        return 0
    fi
    ! as_a_user gst-launch-1.0 libcamerasrc-rs ! fakesink >"$private/launched" 2>&1 || return 1
    cat "$private/launched"
    grep -q 'no camera was found; check that one is plugged in' "$private/launched"
}

it_shares_frames() {
    local pid
    as_a_user gst-launch-1.0 -q videotestsrc is-live=true num-buffers=150 ! video/x-raw,width=320,height=240,format=RGB,framerate=30/1 ! \
        shmsink-rs socket-path="$private/socket" &
    pid=$!
    as_a_user gst-launch-1.0 -q shmsrc-rs socket-path="$private/socket" num-buffers=20 ! filesink location="$private/frames"
    wait "$pid" || return 1
    [ "$(stat -c %s "$private/frames")" = $((20 * 320 * 240 * 3)) ]
}

it_is_removed_and_nothing_is_left() {
    dpkg --remove "$package" || return 1
    ours=no
    ! as_a_user gst-inspect-1.0 libcamerasrc-rs >/dev/null 2>&1 && [ ! -e "/usr/lib/$package" ] && [ ! -e "/usr/share/doc/$package" ] &&
        ! compgen -G '/usr/lib/*/gstreamer-1.0/libgstlibcamerars.so'
}

installed=(it_installs gstreamer_finds_it_without_being_told without_a_camera_it_says_so it_shares_frames it_is_removed_and_nothing_is_left)
skip_installed() { # REASON
    printf "SKIPPED: %s: $1\n" "${installed[@]}"
    installed=()
}

if dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
    skip_installed "$package is installed on this machine already, and stays as it is"
elif [ "$(id -u)" != 0 ]; then
    skip_installed "only root may install packages"
fi
run_cases it_is_built && run_cases it_has_what_it_says_and_names_no_checkout "${installed[@]}"
