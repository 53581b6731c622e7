# shellcheck shell=bash
# Sourced by tests/vm.sh: a kernel that boots, and an initial file system that mounts the userland.
: "${work:?}" "${here:?}"

# Long-term supported, with the drivers that are asked for: uvcvideo, vhci-hcd, dma-heap and udmabuf.
KERNEL_SUITE=trixie
modules=(9p 9pnet_virtio vhci-hcd uvcvideo)

kernel() {
    fetch_kernel
    initramfs
}

# In a folder of its own that is moved to its place when it is complete.
fetch_kernel() {
    [ ! -d "$work/kernel" ] || return 0
    local version new="$work/kernel.new"
    apt_for_suite deb "$KERNEL_SUITE"
    step "reading the package list of $KERNEL_SUITE" env APT_CONFIG="$work/apt/apt.conf" apt-get update
    version=$(APT_CONFIG="$work/apt/apt.conf" apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: linux-image-\([0-9].*\)/\1/p' | head -n 1)
    [ -n "$version" ] || die "$KERNEL_SUITE has no linux-image-amd64"
    rm -rf "$new"
    mkdir -p "$new/packages" "$new/files"
    step "fetching Linux $version (110 MB)" env -C "$new/packages" APT_CONFIG="$work/apt/apt.conf" apt-get download "linux-image-$version"
    step "unpacking it" dpkg-deb -x "$new"/packages/*.deb "$new/files"
    uncompressed_kernel "$new/files/boot/vmlinuz-$version" "$new/vmlinux" || die "Linux $version is compressed in an unknown way"
    take_modules "$new" "$version"
    rm -rf "$new/packages" "$new/files"
    mv "$new" "$work/kernel"
}

# QEMU enters an uncompressed kernel directly. Emulating its decompressor takes seconds.
uncompressed_kernel() { # FROM TO
    local offset
    while read -r offset; do
        # Something else may follow the kernel, which zstd complains about.
        tail -c "+$((offset + 1))" "$1" | zstd -dcq >"$2" 2>/dev/null || true
        [ "$(head -c 4 "$2")" != $'\x7fELF' ] || return 0
    done < <(LC_ALL=C grep -abo -P '\x28\xb5\x2f\xfd' "$1" | LC_ALL=C cut -d : -f 1)
    return 1
}

# The modules that are needed, and `order`, in which they are to be loaded.
take_modules() { # FOLDER VERSION
    local module file
    mkdir -p "$1/modules"
    step "listing the modules" depmod -b "$1/files/usr" "$2"
    for module in "${modules[@]}"; do
        modprobe -d "$1/files/usr" -S "$2" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
        xz -dc "$file" >"$1/modules/$(basename "$file" .xz)"
        basename "$file" .xz >>"$1/modules/order"
    done
}

# busybox, the modules, and tests/vm/init. It takes no time to make.
initramfs() {
    local tree="$work/initramfs.d"
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,new}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    cp "$here/init" "$tree/init"
    cp -r "$work/kernel/modules" "$tree/modules"
    (cd "$tree" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/initramfs"
    rm -rf "$tree"
}
