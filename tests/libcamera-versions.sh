#!/usr/bin/env bash
# Builds and tests the source with the oldest libcamera that is supported and with the newest, each in a checkout of its own below target/versions.
# Takes about 10 minutes each the first time. What is committed is what is tested.
#
#   tests/libcamera-versions.sh [VERSION...]     (0.4.0 and the newest)
#
# The end is a line for each version, as in the README.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
((${#})) || set -- 0.4.0 newest
revision=$(git rev-parse HEAD)
rows=() status=0
for version; do
    checkout="target/versions/$version"
    [ -d "$checkout" ] || git clone -q . "$checkout" || exit 1
    git -C "$checkout" fetch -q "$PWD" HEAD && git -C "$checkout" checkout -q "$revision" || exit 1
    arguments=(--private)
    [ "$version" = newest ] || arguments=(--libcamera "$version")
    (cd "$checkout" && pipelines/setup.sh "${arguments[@]}" && tests/run.sh source pipelines) |
        tee "target/versions/$version.log" | grep --line-buffered -E '^(setup|===|failed|skipped)|FAILED'
    found=$(PKG_CONFIG_PATH="$checkout/target/libcamera/lib/pkgconfig" pkg-config --modversion libcamera 2>/dev/null)
    result=$(tail -n 1 "target/versions/$version.log")
    [[ $result =~ ,\ 0\ failed, ]] || status=1
    rows+=("libcamera ${found:-$version (no build)}: $result")
done
printf '%s\n' "${rows[@]}"
exit $status
