#!/usr/bin/env bash
# Makes docs/elements/*.md of what gst-inspect-1.0 prints (tests/golden, which tests/inspect.sh compares with the elements themselves) and of what a
# program cannot know: docs/elements/*.in.md, with examples, metas and messages.
#
#   docs/elements.sh             writes the pages
#   docs/elements.sh --check     says where they are not what would be written
set -euo pipefail
cd "$(dirname "$0")/.."

properties() { # FILE KIND: a table of the element's own properties, of the pads', or of controls
    awk -v kind="$2" '
        function cell(text) { gsub(/\|/, "\\|", text); return text }
        function out() {
            if (name == "" || name ~ /^(name|parent|typefind|blocksize)$/) { name = ""; return }
            control = what ~ /\(control /
            if ((kind == "pad") == inpad && (kind == "control") == control) {
                sub(/ \(control [A-Za-z0-9]+; camera-controls tells the opened camera.s range\)/, "", what)
                values = values == "" ? "" : ": " values
                printf "| `%s` | %s | %s%s%s | %s |\n", name, cell(what), type, values, (fallback == "" ? "" : ", default " fallback), access
            }
            name = ""
        }
        function begin(line) {
            out()
            name = line; sub(/^ +/, "", name); sub(/ *:.*/, "", name)
            what = line; sub(/^[^:]*: */, "", what)
            values = type = fallback = access = ""
        }
        /^    Pad Properties:/ { out(); inpad = 1; pads = 1; next }
        /^Element Properties:/ { out(); inpad = 0; elements = 1; next }
        /^Element (Signals|Actions):/ || /^  (SRC|SINK) template:/ { out(); if (inpad) exit_pads = 1; inpad = 0; next }
        inpad && !exit_pads && /^      [a-z][a-z0-9-]* *: / { begin($0); next }
        elements && /^  [a-z][a-z0-9-]* *: / { begin($0); next }
        name == "" { next }
        /^ +flags: / {
            access = ($0 ~ /writable/) ? ($0 ~ /changeable only in NULL/ ? "set before PAUSED" : "set at any time") : "read only"
            next
        }
        /Default: / {
            fallback = $0; sub(/.*Default: */, "", fallback); sub(/ *$/, "", fallback)
            if (fallback ~ /^[0-9]+, "/) sub(/^[0-9]+, /, "", fallback)
            gsub(/"/, "`", fallback)
            if (fallback == "null" || fallback ~ /^`< .*>`$/) fallback = ""
        }
        /^ +(Integer|Unsigned Integer|Integer64|Unsigned Integer64|Float|Double)\. Range: / {
            type = $0; sub(/^ +/, "", type); sub(/ *Default:.*/, "", type); gsub(/ +/, " ", type)
            gsub(/Range: (-3.402823e\+38 - 3.402823e\+38|-2147483648 - 2147483647|0 - 4294967295|0 - 18446744073709551615|-9223372036854775808 - 9223372036854775807) ?/, "", type)
            sub(/\. *$/, "", type); sub(/\. Range:/, "", type); type = tolower(type)
        }
        /^ +Boolean\./ { type = "boolean" }
        /^ +String\./ { type = "string" }
        /^ +Enum "/ { type = "enumeration" }
        /^ +\(-?[0-9]+\): / {
            value = $0; sub(/^ +\(-?[0-9]+\): /, "", value); sub(/ .*/, "", value)
            values = values (values == "" ? "" : ", ") "`" value "`"
        }
        /^ +Boxed pointer of type "/ { type = $0; sub(/.*type "Gst/, "", type); sub(/".*/, "", type); type = tolower(type) }
        /^ +GstValueArray of GValues of type "/ { type = $0; sub(/.*of type "/, "", type); sub(/".*/, "", type); type = "array of " type }
        END { out() }' "$1"
}

signals() { # FILE
    awk '/^Element Signals:/ { kind = "signal" } /^Element Actions:/ { kind = "action" }
        kind && /^  "/ { name = $1; gsub(/"/, "", name); result = $3; text = "" }
        kind && name != "" {
            line = $0; while (match(line, /[A-Za-z0-9]+\*? arg[0-9]+/)) { text = text (text == "" ? "" : ", ") substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH) }
            if ($0 ~ /\);/) { gsub(/ arg[0-9]+/, "", text); printf "| `%s` | %s | `%s` | `%s` |\n", name, kind, text, result; name = "" }
        }' "$1"
}

# shellcheck disable=SC2016 # the quotes are Markdown's
page() { # ELEMENT
    local element=$1 golden table libcamera head='| property | what it is | type | when |\n|---|---|---|---|\n'
    golden=$(find tests/golden -name "$element.*" | sort -V | tail -1)
    libcamera=${golden##*.libcamera-}
    echo "<!-- Made by docs/elements.sh of docs/elements/$element.in.md and ${golden#tests/}: change those. -->"
    cat "docs/elements/$element.in.md"
    printf '\n## Properties\n\n%b' "$head"
    properties "$golden" element
    table=$(properties "$golden" pad)
    [ -z "$table" ] || printf '\n## Properties of each pad\n\nIn `gst-launch-1.0`: `src::stream-role=raw`, `src_0::outbox=latest`.\n\n%b%s\n' "$head" "$table"
    table=$(signals "$golden")
    [ -z "$table" ] || printf '\n## Signals\n\n| signal | kind | arguments | returns |\n|---|---|---|---|\n%s\n' "$table"
    table=$(properties "$golden" control)
    [ -z "$table" ] || printf '\n## Controls\n\nThose of libcamera %s. What a camera has of them, and in which range, its property `camera-controls` says from READY on.\n\n%b%s\n' "${libcamera%.txt}" "$head" "$table"
}

status=0
for source in docs/elements/*.in.md; do
    element=$(basename "$source" .in.md)
    if [ "${1-}" = --check ]; then
        page "$element" | diff -u "docs/elements/$element.md" - || { echo "docs/elements/$element.md is not current: run docs/elements.sh"; status=1; }
    else
        page "$element" >"docs/elements/$element.md"
    fi
done
exit $status
