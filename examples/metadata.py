#!/usr/bin/python3
"""What the camera knew about each frame, in Python (Debian: python3-gi, gir1.2-gstreamer-1.0).

    examples/metadata.py ["PIPELINE"]

Prints a line for each buffer that reaches the sink: its number, when its exposure began, and everything else that the camera reported. The
pipeline's sink must be a fakesink named `sink`; elements between it and the camera keep what they are given.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

PIPELINE = "libcamerasrc-rs num-buffers=30 ! fakesink name=sink"


def print_frame(_sink, buffer, _pad, count):
    meta = buffer.get_custom_meta("libcamera")
    if meta is None:
        print(f"frame {count[0]}: no metadata (frame-metadata=false?)")
    else:
        metadata = meta.get_structure()
        _, exposed_at = metadata.get_int64("sensor-timestamp")
        print(f"frame {count[0]}: exposed at {exposed_at} ns: {metadata.to_string()}")
    count[0] += 1


def main():
    Gst.init(None)
    pipeline = Gst.parse_launch(sys.argv[1] if len(sys.argv) > 1 else PIPELINE)
    sink = pipeline.get_by_name("sink")
    sink.props.signal_handoffs = True
    sink.connect("handoff", print_frame, [0])
    pipeline.set_state(Gst.State.PLAYING)
    end = None
    try:
        while end is None:
            # Not for ever: Python hears of Ctrl-C between two waits.
            end = pipeline.get_bus().timed_pop_filtered(Gst.SECOND // 5, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    except KeyboardInterrupt:
        pass
    pipeline.set_state(Gst.State.NULL)
    if end and end.type == Gst.MessageType.ERROR:
        sys.exit(end.parse_error()[0].message)


main()
