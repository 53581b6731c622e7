#!/usr/bin/env bash
# Builds a Debian package of the plugin for this release of Debian or Ubuntu: target/package/gstreamer1.0-libcamera-rs_VERSION_ARCHITECTURE.deb.
#
#   packaging/deb.sh                prints where the package is
#   sudo apt-get install ./target/package/gstreamer1.0-libcamera-rs_*.deb
#   sudo apt-get remove gstreamer1.0-libcamera-rs
#
# What it depends on is found by dpkg-shlibdeps in what was built. Where the system's libcamera is one that the bindings support (0.4 to 0.7), the
# package depends on that, and cameras get what the distribution knows of them. Where it is older (Debian 12), no package could be depended upon: this one
# carries a libcamera of its own, at /usr/lib/gstreamer1.0-libcamera-rs, built by pipelines/setup.sh --package, for USB cameras and the simple
# pipelines. It never uses the libcamera of a checkout. A script instead of cargo-deb, because that knows of neither case.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
package=gstreamer1.0-libcamera-rs
place="$root/target/package"
carried=/usr/lib/$package

command -v dpkg-shlibdeps >/dev/null || { echo "deb: dpkg-shlibdeps is missing: install the package dpkg-dev" >&2; exit 1; }
mkdir -p "$place"
# Without the checkout's libcamera, which .cargo/pkg-config would prefer.
export PKG_CONFIG=pkg-config
link=()
"$root/pipelines/setup.sh" --package >&2
if ! pkg-config --exists 'libcamera >= 0.4' 'libcamera < 0.8'; then
    # What is to live at $carried is here for the moment.
    mkdir -p "$place/pkgconfig"
    for file in "$place"/libcamera/lib/pkgconfig/*.pc; do
        sed "s#$carried#$place/libcamera#g" "$file" >"$place/pkgconfig/$(basename "$file")"
    done
    export PKG_CONFIG_PATH="$place/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
    link=(-C "link-arg=-Wl,-rpath,$carried/lib")
fi

# In a folder of its own: it is another build than the one that pipelines use. The folder matters: cargo reads .cargo/ from where it is started.
(cd "$root" && cargo rustc --release --lib --crate-type cdylib --features capi --target-dir target/package/cargo -- "${link[@]}") >&2

stage="$place/stage"
architecture=$(dpkg --print-architecture)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
plugins=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/gstreamer-1.0
rm -rf "$stage"
install -D -m 644 "$place/cargo/release/libgstlibcamerars.so" "$stage/$plugins/libgstlibcamerars.so"
strip --strip-unneeded "$stage/$plugins/libgstlibcamerars.so"
if ((${#link[@]})); then
    mkdir -p "$stage$carried"
    cp -a "$place/libcamera/lib" "$place/libcamera/share" "$stage$carried/"
    [ ! -d "$place/libcamera/libexec" ] || cp -a "$place/libcamera/libexec" "$stage$carried/"
    # What only a build needs, and the cameras that only tests have.
    rm -rf "$stage$carried/lib/pkgconfig" "$stage$carried/share/libcamera/pipeline"
fi
documents="$stage/usr/share/doc/$package"
mkdir -p "$documents"
cp "$root/README.md" "$root/TROUBLESHOOTING.md" "$root/SECURITY.md" "$documents/"
gzip -9n <"$root/CHANGELOG.md" >"$documents/changelog.gz"
{
    echo "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/" | sed 's/^/Format: /'
    printf '\nFiles: *\nCopyright: The authors of gst-plugin-libcamera-rs\nLicense: MPL-2.0\n'
    ((${#link[@]} == 0)) || printf '\nFiles: %s/*\nCopyright: The authors of libcamera\nLicense: LGPL-2.1-or-later\n' "${carried#/}"
    printf '\nLicense: MPL-2.0\n See /usr/share/common-licenses/MPL-2.0\n'
    ((${#link[@]} == 0)) || printf '\nLicense: LGPL-2.1-or-later\n See /usr/share/common-licenses/LGPL-2.1\n'
} >"$documents/copyright"

# dpkg-shlibdeps wants to see the folder of a source package.
mkdir -p "$place/shlibs/debian"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$package" "$package" >"$place/shlibs/debian/control"
mapfile -t binaries < <(find "$stage/usr/lib" -type f \( -name '*.so*' -o -perm -100 \) -exec sh -c 'head -c4 "$1" | grep -q ELF' sh {} \; -print)
# libcamera links some libraries of a build that its package does not need: they are no reason to worry.
depends=$(cd "$place/shlibs" && dpkg-shlibdeps -O --ignore-missing-info -l"$stage$carried/lib" -x"$package" "${binaries[@]}" 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb: dpkg-shlibdeps found nothing that the plugin depends on" >&2; exit 1; }

mkdir -p "$stage/DEBIAN"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: $package
Version: $version
Architecture: $architecture
Maintainer: The authors of gst-plugin-libcamera-rs <noreply@localhost>
Section: video
Priority: optional
Installed-Size: $(du -sk "$stage/usr" | cut -f1)
Depends: $depends
Recommends: gstreamer1.0-plugins-base, gstreamer1.0-tools
Description: GStreamer elements for local camera capture: libcamerasrc-rs, shmsink-rs and shmsrc-rs
 A camera source on libcamera that never stalls, a sink that shares its frames with any number of programs by shared memory and
 waits for none of them, and a reader for it.
CONTROL
deb="$place/${package}_${version}_$architecture.deb"
dpkg-deb --root-owner-group --build "$stage" "$deb" >&2
echo "$deb"
