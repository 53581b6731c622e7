"""Imported by the pipelines in Python: shows the plugin to GStreamer, and names what several of them share, as env.sh does for the others."""

import os
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
plugins = root / "target" / "plugins"
if plugins.exists():
    os.environ["GST_PLUGIN_PATH"] = f"{plugins}:{os.environ.get('GST_PLUGIN_PATH', '')}".rstrip(":")
os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:FATAL")

try:
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
except (ImportError, ValueError) as error:
    sys.exit(f"{error}: install the packages python3-gi and gir1.2-gstreamer-1.0, or run pipelines/setup.sh")

Gst.init(None)
if Gst.ElementFactory.find("libcamerasrc-rs") is None:
    sys.exit("GStreamer finds no libcamerasrc-rs: run pipelines/setup.sh and `cargo build --release`, or install the package")

SOCKET = os.environ.get("SOCKET") or os.path.join(os.environ.get("XDG_RUNTIME_DIR") or "/tmp", "camera.sock")
# How many frames; -1 goes on until Ctrl-C.
FRAMES = int(os.environ.get("FRAMES", "-1"))


def parse(description):
    """A pipeline, as gst-launch-1.0 reads it."""
    try:
        return Gst.parse_launch(description)
    except gi.repository.GLib.Error as error:
        sys.exit(error.message)


def messages(pipeline, handle=lambda message: None, every=0.2, tick=lambda: False, end=lambda: None):
    """Runs it until its end, Ctrl-C, or until `tick` says so; an error ends the program with its text. `handle` gets the other messages. `end` is called
    at its end, when what has come last can still be taken: in NULL it is gone."""
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    try:
        while not tick():
            message = bus.timed_pop(int(every * Gst.SECOND))
            if message is None:
                continue
            if message.type == Gst.MessageType.EOS:
                end()
                break
            if message.type == Gst.MessageType.ERROR:
                sys.exit(message.parse_error()[0].message)
            if message.type == Gst.MessageType.WARNING:
                print(f"warning: {message.parse_warning()[0].message}", file=sys.stderr)
            handle(message)
    except KeyboardInterrupt:
        # What is recorded is closed properly.
        pipeline.send_event(Gst.Event.new_eos())
        bus.timed_pop_filtered(5 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    finally:
        pipeline.set_state(Gst.State.NULL)
