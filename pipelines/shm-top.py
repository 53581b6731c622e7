#!/usr/bin/python3
"""Who reads the shared camera, how many frames each gets, and who stalls.

    pipelines/shm-top.py                shares the camera as pipelines/share.sh does, and shows its readers, until Ctrl-C
    pipelines/shm-top.py "videotestsrc is-live=true ! shmsink-rs socket-path=/tmp/test"
    FRAMES=90 pipelines/shm-top.py      that many frames

You see a line per second of the sink, and one for each reader, which is marked when it holds all frames that it may (saturated) or has stopped
(stalled). Only the process that shares can tell, so it is this program that runs the pipeline: any that has a shmsink-rs. The numbers are those of
its property `stats`, which an application reads in the same way.
"""

import os
import sys
import time
import warnings

import env
from env import Gst

# Python has no other way to read an array in a structure than one that is called deprecated.
warnings.simplefilter("ignore", DeprecationWarning)

CAPS = os.environ.get("CAPS", "video/x-raw,format=NV12,width=1280,height=720,framerate=30/1")
SHARE = f"libcamerasrc-rs pace=true num-buffers={env.FRAMES} ! videoconvert ! {CAPS} ! shmsink-rs socket-path={env.SOCKET}"

pipeline = env.parse(sys.argv[1] if len(sys.argv) > 1 else SHARE)
elements = pipeline.iterate_elements()
sink = None
while sink is None:
    found, element = elements.next()
    if found != Gst.IteratorResult.OK:
        sys.exit("the pipeline has no shmsink-rs")
    if element.get_factory().get_name() == "shmsink-rs":
        sink = element


def number(structure, name):
    return next((value for known, value in (structure.get_uint64(name), structure.get_int(name), structure.get_uint(name)) if known), 0)


def readers(stats):
    # Copies: what the array gives out dies with it.
    _, clients = stats.get_array("clients")
    return [clients.get_nth(index).copy() for index in range(clients.n_values)] if clients else []


before, due = {}, time.monotonic() + 1


def show():
    """One table a second."""
    global before, due
    if time.monotonic() < due:
        return False
    due += 1
    stats = sink.props.stats
    now = {"": number(stats, "frames-in")}
    print(
        f"{time.strftime('%H:%M:%S')}  {now[''] - before.get('', 0)} frames/s, {number(stats, 'slots-free')} of {number(stats, 'slots-total')} slots free, "
        f"{number(stats, 'shm-bytes') / 2**20:.0f} MiB, dropped for all {number(stats, 'frames-dropped-no-slot')}, "
        f"copied {number(stats, 'copy-time-p50') / 1000:.0f} us"
    )
    for client in readers(stats):
        pid, fd, sent = number(client, "pid"), number(client, "fd"), number(client, "sent")
        now[fd] = sent
        print(
            f"    {pid:>8} {client.get_string('program') or '?':<16} {client.get_string('state'):<10}{sent - before.get(fd, 0):>4} frames/s, "
            f"missed {number(client, 'skipped')}, holds {number(client, 'outstanding')}, takes {number(client, 'ack-delay-p50') / 1e6:.1f} ms"
        )
    sys.stdout.flush()
    before = now
    return False


def handle(message):
    change = message.get_structure()
    if message.type == Gst.MessageType.ELEMENT and change.has_name("shmsink-rs-client"):
        print(f"{time.strftime('%H:%M:%S')}  {change.get_string('program')} (process {number(change, 'pid')}) is {change.get_string('change')}", flush=True)


env.messages(pipeline, handle, 0.1, show)
