#!/usr/bin/env bash
# Makes the pictures of the README: docs/frame.png, a frame of the virtual camera, and docs/demo.svg, what pipelines/demo.sh prints.
#
#   docs/pictures.sh                about half a minute
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT

"$here/../pipelines/picture.sh" "$private/frame.png" >/dev/null
gst-launch-1.0 -q filesrc location="$private/frame.png" ! pngdec ! videoconvert ! videoscale ! video/x-raw,width=640,height=360 ! \
    videoconvert ! pngenc compression-level=9 ! filesink location="$here/frame.png"

# The table and the verdict, as lines of text in a dark window.
"$here/../pipelines/demo.sh" | awk '/^seconds/ { on = 1 } on && !/^picture/ { sub(/ +$/, ""); print }' >"$private/table"
{
    lines=$(wc -l <"$private/table")
    echo "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 $((lines * 20 + 36))\" role=\"img\"><title>what pipelines/demo.sh prints</title>"
    echo '<style>text { font: 14px monospace; fill: #e6edf3; white-space: pre } .stopped { fill: #ff9a8d } .pass { fill: #7ee787 }</style>'
    echo '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>'
    awk '{ class = /STOPPED/ ? "stopped" : /^PASS/ ? "pass" : "line"; printf "<text xml:space=\"preserve\" x=\"18\" y=\"%d\" class=\"%s\">%s</text>\n", 30 + 20 * (NR - 1), class, $0 }' \
        "$private/table"
    echo '</svg>'
} >"$here/demo.svg"
