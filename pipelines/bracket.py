#!/usr/bin/python3
"""Exposure bracketing: the same picture with several exposures, in one go, while the preview runs on.

    pipelines/bracket.py [DIRECTORY]    into this directory if none is named
    EXPOSURES=500,2000,8000,32000 pipelines/bracket.py

You see DIRECTORY/bracket0.jpg, bracket1.jpg, ..., and for each the exposure (in microseconds) that the camera says it had, which is what counts: a sensor takes a
frame or two until a new exposure is there. Each picture's controls are for it alone, and afterwards they are what they were. Needs a camera with
exposure-time; one without it takes all pictures alike, and a warning says so. SINK names another preview than fakesink.
"""

import os
import sys

import env
from env import Gst

directory = sys.argv[1] if len(sys.argv) > 1 else "."
exposures = [int(exposure) for exposure in os.environ.get("EXPOSURES", "1000,4000,16000").split(",")]

pipeline = env.parse(
    "libcamerasrc-rs name=source pace=true src_0::stream-role=still-capture "
    f"source.src ! video/x-raw,framerate=30/1 ! queue ! videoconvert ! {os.environ.get('SINK', 'fakesink')} "
    "source.src_0 ! queue ! videoconvert ! jpegenc quality=95 ! "
    f"multifilesink name=stills async=false post-messages=true location={directory}/bracket%d.jpg"
)
source = pipeline.get_by_name("source")
pad = source.get_static_pad("src_0")
left = len(exposures)


def print_metadata(_pad, info):
    metadata = info.get_buffer().get_custom_meta("libcamera").get_structure()
    known, exposure = metadata.get_int("exposure-time")
    print(f"picture {metadata.get_uint('still-index')[1]}: {f'exposed for {exposure} us' if known else 'the camera does not say its exposure'}", flush=True)
    return Gst.PadProbeReturn.OK


def handle(message):
    global left
    structure = message.get_structure()
    if message.type == Gst.MessageType.STATE_CHANGED and message.src is pipeline and message.parse_state_changed()[1] == Gst.State.PLAYING:
        controls = "; ".join(f"controls,exposure-time-mode=manual,exposure-time={exposure}" for exposure in exposures)
        if source.emit("capture-still", pad, Gst.Caps.from_string(controls)) == 0:
            sys.exit("no picture can be taken: GST_DEBUG=libcamerasrc-rs:2 says why")
    elif message.type == Gst.MessageType.ELEMENT and structure.has_name("libcamerasrc-still") and structure.get_string("result") != "done":
        sys.exit(f"a picture failed: {structure.get_string('reason')}")
    elif message.type == Gst.MessageType.ELEMENT and structure.has_name("GstMultiFileSink"):
        left -= 1


pad.add_probe(Gst.PadProbeType.BUFFER, print_metadata)
env.messages(pipeline, handle, 0.05, lambda: left == 0)
