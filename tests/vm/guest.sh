#!/bin/bash
# What the machine does once its userland is there: device files, then the jobs, one after the other. The host reads target/vm/out/log meanwhile.
out="$1/target/vm/out"
export PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8
# shellcheck source=/dev/null
. "$out/settings" # made by tests/vm.sh
: "${jobs:?}" "${program:?}" "${limit:?}"
cd "$1" || exit 1

say() {
    echo "machine: $(cut -d' ' -f1 /proc/uptime) s: $*" | tee -a "$out/log"
}

# libcamera names a USB camera after the host controller's node in the firmware, and ours has none: /sys is given one that it finds further up.
firmware_node() {
    local folder
    mkdir -p /run/sys
    mount --rbind /sys /run/sys
    mount -t tmpfs sys /sys
    for folder in /run/sys/*/; do
        folder=$(basename "$folder")
        mkdir "/sys/$folder"
        mount --rbind "/run/sys/$folder" "/sys/$folder"
    done
    mkdir /sys/firmware_node
    echo '\_SB_.SIM' >/sys/firmware_node/path
}

# libcamera learns of devices through udev.
device_files() {
    local udevd=/usr/lib/systemd/systemd-udevd
    [ -x $udevd ] || udevd=/lib/systemd/systemd-udevd
    $udevd --daemon
    udevadm trigger --subsystem-match=media --subsystem-match=video4linux --subsystem-match=misc --subsystem-match=dma_heap
    udevadm settle -t 20
}

dmesg -n 1
mount -t debugfs debugfs /run/sys/kernel/debug 2>/dev/null
firmware_node
device_files
say "up"
for job in "${jobs[@]}"; do
    say "job $job"
    timeout --kill-after=5 "$limit" "$program" "$job::" --test-threads=1 --show-output >>"$out/log" 2>"$out/$job.err"
    status=$?
    # A test that hung, or ended the process, has no line of its own.
    ((status == 0 || status == 101)) || echo "test $job::ended_with_status_$status ... FAILED" >>"$out/log"
    say "job $job: ended with status $status"
done
dmesg >"$out/dmesg"
say "powering off"
sync
echo o >/proc/sysrq-trigger
sleep 30
