#!/usr/bin/python3
"""Stills in full size while video is recorded.

    pipelines/still.py [DIRECTORY]      a still each second, five of them; into this directory if none is named
    EVERY=10 COUNT=-1 pipelines/still.py

You see DIRECTORY/video.avi, which misses no frame, and DIRECTORY/still0.jpg, still1.jpg, ..., with what the camera knew about each printed. The second pad is on
demand because its role is still-capture: it takes a picture when the action signal says so, and costs nothing in between. Needs a camera with two
streams; those of a Raspberry Pi have, as has libcamera's virtual one. USB cameras have one: tee it.
"""

import os
import sys
import time

import env
from env import Gst

directory = sys.argv[1] if len(sys.argv) > 1 else "."
every = float(os.environ.get("EVERY", "1"))
count = int(os.environ.get("COUNT", "5"))

pipeline = env.parse(
    "libcamerasrc-rs name=source pace=true src_0::stream-role=still-capture "
    "source.src ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue ! videoconvert ! jpegenc ! avimux ! "
    f"filesink async=false location={directory}/video.avi "
    "source.src_0 ! video/x-raw,width=1920,height=1080 ! videoconvert ! jpegenc quality=95 ! "
    f"multifilesink name=stills async=false location={directory}/still%d.jpg"
)
source = pipeline.get_by_name("source")
pad = source.get_static_pad("src_0")
asked, ended, due = 0, 0, time.monotonic() + every


def handle(message):
    global ended
    still = message.get_structure()
    if message.type == Gst.MessageType.ELEMENT and still.has_name("libcamerasrc-still"):
        ended += 1
        reason = still.get_string("reason")
        print(f"still {still.get_uint64('id')[1]}: {still.get_string('result')}{': ' + reason if reason else ''}", flush=True)


def tick():
    global asked, due
    if asked == ended and asked == count:
        pipeline.send_event(Gst.Event.new_eos())
        due = float("inf")
    if time.monotonic() >= due and asked != count:
        # 0 where none can be taken; the log says why.
        asked += source.emit("capture-still", pad, None) > 0
        due += every
    return False


env.messages(pipeline, handle, 0.05, tick)
