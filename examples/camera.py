#!/usr/bin/python3
"""A whole camera program in Python (Debian: python3-gi, gir1.2-gstreamer-1.0). The same in Rust: camera.rs, in C: camera.c.

    export GST_PLUGIN_PATH=$PWD/target/plugins    (of the checkout; not with the package)
    examples/camera.py SOCKET [CAMERA]

Lists the cameras, and tells of those that come and go. Prints what can be set at the first one, or at CAMERA (an id), with the range of each. Shares it
at SOCKET, for any number of shmsrc-rs and shmsrc. Prints what the camera knew about every thirtieth frame. A line on the standard input changes a control
while it streams: `brightness=0.5` (libcamera's virtual camera lacks it, and says so); `quit`, or the
input's end, ends it. When the camera is unplugged, waits until it is back.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, GObject, Gst


def camera_id(device):
    """The id, of a device that is a camera of libcamera's: other providers list cameras, too."""
    properties = device.get_properties()
    return properties.get_string("api.libcamera.id") if properties else None


class Program:
    def __init__(self, socket, wanted):
        self.socket, self.wanted = socket, wanted
        self.pipeline, self.frames, self.status, self.typed = None, 0, 0, b""
        # The camera, where it has come back and there still was a pipeline.
        self.back = None
        self.loop = GLib.MainLoop()
        self.monitor = Gst.DeviceMonitor()
        self.monitor.add_filter("Video/Source", None)
        self.monitor.get_bus().add_signal_watch()
        self.monitor.get_bus().connect("message", self.on_device)
        if not self.monitor.start():
            sys.exit("cameras cannot be listed: GST_DEBUG=2 shows why")
        # Those that are here are listed; what the monitor has told of them is not news.
        self.monitor.get_bus().set_flushing(True)
        self.monitor.get_bus().set_flushing(False)
        cameras = [device for device in self.monitor.get_devices() if camera_id(device)]
        for device in cameras:
            print(f"camera {camera_id(device)}: {device.get_display_name()}")
        chosen = [device for device in cameras if wanted in (None, camera_id(device))]
        if chosen:
            self.start(chosen[0])
        else:
            self.wait()
        GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, self.on_input)

    def wait(self):
        """Tries it at most once each time that it comes: one that is there and cannot be opened is not tried for ever."""
        back, self.back = self.back, None
        if back:
            self.start(back)
        else:
            print(f"waiting for {self.wanted or 'a camera'}", flush=True)

    def start(self, device):
        self.wanted = camera_id(device)
        self.pipeline = Gst.Pipeline()
        source = device.create_element("source")
        source.set_property("pace", True)
        # The queue gives sharing a thread of its own; the camera goes on whatever comes behind.
        share = Gst.parse_bin_from_description("capsfilter caps=video/x-raw,framerate=30/1 ! queue ! shmsink-rs name=sink", True)
        share.get_by_name("sink").set_property("socket-path", self.socket)
        self.pipeline.add(source)
        self.pipeline.add(share)
        source.link(share)
        source.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.on_frame)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self.on_message)
        # From READY on the camera is open and says what can be set.
        if self.pipeline.set_state(Gst.State.READY) != Gst.StateChangeReturn.FAILURE:
            controls = source.get_property("camera-controls")
            for index in range(controls.n_fields()):
                name = controls.nth_field_name(index)
                print(f"control {name}: {controls.get_value(name).to_string()}")
            if self.pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE:
                print(f"{self.wanted} is shared at {self.socket}", flush=True)
        # Otherwise an error is on the bus.

    def stop(self):
        if self.pipeline:
            self.pipeline.get_bus().remove_signal_watch()
            self.pipeline.set_state(Gst.State.NULL)
            self.pipeline = None

    def on_frame(self, _pad, info):
        """In the thread of the pad, for every frame: nothing here may take long."""
        meta = info.get_buffer().get_custom_meta("libcamera")
        if meta and self.frames % 30 == 0:
            print(f"frame {self.frames}: {meta.get_structure().to_string()}", flush=True)
        self.frames += 1
        return Gst.PadProbeReturn.OK

    def on_message(self, _bus, message):
        if message.type == Gst.MessageType.WARNING:
            print(f"warning: {message.parse_warning()[0].message}", flush=True)
        elif message.type == Gst.MessageType.ERROR:
            error, _ = message.parse_error()
            print(f"error: {error.message}", flush=True)
            self.stop()
            # Of the camera this says that it is gone: unplugged, or its driver has failed. Other errors do not end by themselves: of the sink it is
            # a directory that does not exist.
            if error.matches(Gst.ResourceError.quark(), Gst.ResourceError.NOT_FOUND) and message.src.get_name() == "source":
                self.wait()
            else:
                self.status = 1
                self.loop.quit()

    def on_device(self, _bus, message):
        if message.type == Gst.MessageType.DEVICE_ADDED:
            device = message.parse_device_added()
            if camera_id(device):
                print(f"camera {camera_id(device)} has come", flush=True)
                if self.wanted not in (None, camera_id(device)):
                    pass
                elif self.pipeline is None:
                    self.start(device)
                else:
                    self.back = device
        elif message.type == Gst.MessageType.DEVICE_REMOVED:
            gone = camera_id(message.parse_device_removed())
            if gone:
                print(f"camera {gone} has gone", flush=True)
                if gone == self.wanted:
                    self.back = None

    def on_input(self, fd, _condition):
        # Not `readline`, which keeps the second of two lines that come at once, and nobody would be told of it.
        typed = os.read(fd, 4096)
        *lines, self.typed = (self.typed + typed).split(b"\n")
        for line in lines:
            if line.strip() == b"quit":
                typed = b""
                break
            self.on_line(line.decode(errors="replace").strip())
        if not typed:
            self.loop.quit()
        return bool(typed)

    def on_line(self, line):
        name, _, text = line.partition("=")
        source = self.pipeline and self.pipeline.get_by_name("source")
        control = source and source.find_property(name)
        if not source:
            print("the camera is not there")
        elif not control or not control.flags & GObject.ParamFlags.WRITABLE:
            print(f"'{name}' is no control: type CONTROL=VALUE")
        else:
            # Lists are written <a,b>, and have their type from that.
            kind = "" if text.startswith("<") else f"({control.value_type.name})"
            try:
                Gst.Structure.from_string(f"control,value={kind}{text}")
            except TypeError:
                print(f"'{text}' is no value for {name}: it is a {control.value_type.name}", flush=True)
                return
            # Any state will do, and any thread. What the camera lacks or cannot do is a warning on the bus.
            Gst.util_set_object_arg(source, name, text)
            print(f"{name} is asked for")
        sys.stdout.flush()


def main():
    Gst.init(None)
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: camera.py SOCKET [CAMERA]")
    if not Gst.DeviceProviderFactory.find("libcameraprovider-rs"):
        sys.exit("GStreamer does not find the plugin: export GST_PLUGIN_PATH=.../target/plugins of the checkout, or install the package")
    program = Program(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    try:
        program.loop.run()
    except KeyboardInterrupt:
        pass
    program.stop()
    program.monitor.stop()
    return program.status


sys.exit(main())
