#!/usr/bin/python3
"""The shared camera in Python, as arrays for OpenCV, or for anything else that takes numpy's.

    pipelines/share.sh                  in one terminal
    pipelines/opencv.py [FILE]          in another; needs python3-numpy, and python3-opencv (or pip's) for the edges
    FRAMES=30 pipelines/opencv.py

You see how bright each frame is and how many edges it has, and the last one in FILE, edges.png if it is not given. cv2.VideoCapture would read a pipeline, too, but
only where OpenCV was built with GStreamer, and pip's is not: an appsink works with all of them. Without OpenCV, numpy's gradient stands in. The
array is the shared memory itself, nothing is copied into it: use it before the next one is taken, and write to a copy. The producer
waits for nobody: with max-buffers=1 drop=true a slow program gets the newest.
"""

import sys

import env
from env import Gst

try:
    import numpy
except ImportError:
    sys.exit("numpy is missing: install the package python3-numpy, or python3-opencv, which brings it")
try:
    import cv2
except ImportError:
    cv2 = None


def edges_of(grey):
    if cv2:
        return cv2.Canny(grey, 50, 150)
    # `int16`, because the difference of two bytes is none.
    down, right = numpy.gradient(grey.astype(numpy.int16))
    return ((abs(down) + abs(right)) > 40).astype(numpy.uint8) * 255


pipeline = env.parse(
    f"shmsrc-rs socket-path={env.SOCKET} num-buffers={env.FRAMES} ! video/x-raw,format=NV12 ! "
    "appsink name=frames max-buffers=1 drop=true sync=false"
)
frames = pipeline.get_by_name("frames")
edges = None


def frame(mapped, caps):
    """The grey plane of an NV12 frame: its first `height` lines. Lines may be longer than pictures are wide; here they are multiples of four."""
    width, height = caps.get_int("width")[1], caps.get_int("height")[1]
    stride = (width + 3) // 4 * 4
    return numpy.frombuffer(mapped.data, numpy.uint8, stride * height).reshape(height, stride)[:, :width]


def take():
    """One frame, when there is one."""
    global edges
    sample = frames.emit("try-pull-sample", 0)
    if sample is None:
        return False
    buffer = sample.get_buffer()
    mapped_well, mapped = buffer.map(Gst.MapFlags.READ)
    if mapped_well:
        grey = frame(mapped, sample.get_caps().get_structure(0))
        edges = edges_of(grey)
        print(f"{grey.shape[1]}x{grey.shape[0]}: {grey.mean():.1f} of 255 bright, {(edges > 0).mean():.2%} edges", flush=True)
        del grey
        buffer.unmap(mapped)
    return False


env.messages(pipeline, every=0.01, tick=take, end=take)
if edges is None:
    sys.exit("no frame came")
name = sys.argv[1] if len(sys.argv) > 1 else "edges.png"
height, width = edges.shape
if cv2:
    cv2.imwrite(name, edges)
else:
    writer = env.parse(
        f"appsrc name=picture num-buffers=1 format=time caps=video/x-raw,format=GRAY8,width={width},height={height},framerate=1/1 ! "
        f"videoconvert ! pngenc ! filesink location={name}"
    )
    stride = (width + 3) // 4 * 4
    padded = numpy.zeros((height, stride), numpy.uint8)
    padded[:, :width] = edges
    picture = Gst.Buffer.new_wrapped(padded.tobytes())
    picture.pts = 0
    writer.get_by_name("picture").emit("push-buffer", picture)
    env.messages(writer)
print(name)
