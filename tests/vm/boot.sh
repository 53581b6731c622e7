# shellcheck shell=bash
# Sourced by tests/vm.sh: starts the machine, and shows what happens in it.
: "${root:?}" "${work:?}" "${log:?}" # and `userland`, of userland.sh

# Emulated in software, so that it is the same everywhere. What it is to see is shared read-only, but for target/vm/out.
machine() { # SECONDS
    local tags=(usr etc checkout out) folders=("${userland?}/usr" "$userland/etc" "$root" "$work/out") shares=() index read_only=on
    for index in "${!tags[@]}"; do
        [ "${tags[index]}" != out ] || read_only=off
        shares+=(
            -fsdev "local,id=${tags[index]},path=${folders[index]},security_model=none,multidevs=remap,readonly=$read_only"
            -device "virtio-9p-pci,fsdev=${tags[index]},mount_tag=${tags[index]}"
        )
    done
    nice -n 5 timeout --kill-after=5 "$1" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2G \
        -nodefaults -no-user-config -display none -serial "file:$work/out/console" -no-reboot \
        -kernel "$work/kernel/vmlinux" -initrd "$work/initramfs" "${shares[@]}" \
        -append "console=ttyS0 quiet panic=-1 checkout=$root" </dev/null >>"$log" 2>&1
}

shown=0 # lines of the machine's log
show_news() {
    local lines count
    count=$(wc -l <"$work/out/log") # a line that has no end yet is for the next time
    mapfile -t lines < <(head -n "$count" "$work/out/log" | tail -n "+$((shown + 1))" | grep -aE '^(test .* \.\.\. (ok|FAILED|ignored)|SKIPPED: |NOTE: |machine: )' || true)
    shown=$count
    ((${#lines[@]} == 0)) || printf '%s\n' "${lines[@]}"
}

# Runs the jobs in the machine. Returns when it has powered off, or after so many seconds.
run_machine() {
    local told=$SECONDS begun=$SECONDS status=0
    rm -f "$work"/out/{log,console,dmesg} "$work"/out/*.err
    : >"$work/out/log"
    set -m
    machine "$1" &
    running=$!
    set +m
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.5
        show_news
        if ((SECONDS - told >= 10)); then
            told=$SECONDS
            say "$((SECONDS - begun)) s: $(grep -a '^machine: ' "$work/out/log" | tail -n 1)"
        fi
    done
    wait "$running" || status=$?
    running=''
    show_news
    if ! grep -q '^machine: .*powering off' "$work/out/log"; then
        tail -n 30 "$work/out/console" "$log"
        ((status != 124)) || say "it had not ended after $1 s"
        echo "test the_machine_powers_off ... FAILED" | tee -a "$work/out/log"
    fi
}
