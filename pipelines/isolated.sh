#!/usr/bin/env bash
# The same as follow.sh in a sandbox: a mount namespace with an empty /dev/shm, no network, no process of others in sight. As in a container or
# a Flatpak, where the stock shmsrc cannot work.
#
#   pipelines/isolated.sh           until Ctrl-C
#   SINK=fakesink FRAMES=60 pipelines/isolated.sh
#
# You see the camera. Needs pipelines/share.sh running, unshare (util-linux), and for users other than root a kernel that lets them have user
# namespaces. With a container, the socket's directory is all that it has to be given: docker run -v /run/camera:/run/camera ...
set -euo pipefail
. "$(dirname "$0")/env.sh"

namespaces=(--mount --net --ipc --pid --fork --kill-child)
[ "$(id -u)" = 0 ] || namespaces+=(--map-root-user)

# Before the sandbox is closed everything is built; in it there is only what follows.
# shellcheck disable=SC2016 # the inner shell expands it
exec unshare "${namespaces[@]}" sh -c 'mount -t tmpfs -o size=64k tmpfs /dev/shm && mount -t proc proc /proc && exec "$@"' sh \
    "$(dirname "$0")/follow.sh"
