#!/usr/bin/python3
"""The shared camera in a browser.

    pipelines/share.sh                  in one terminal
    pipelines/browser.py                in another; then open http://localhost:8080
    PORT=9000 ADDRESS=0.0.0.0 pipelines/browser.py

You see a page with the camera, in any browser and in as many as you like; /picture.jpg is one picture. Each frame is encoded once, as JPEG; a browser that is slow
gets the newest and holds up nobody. Nobody looks: nothing is read from the camera. Only this machine sees it unless ADDRESS says otherwise,
and then everybody does who reaches the address: a web server in front of it can ask for passwords. Needs nothing but Python.
"""

import http.server
import os
import threading

import env
from env import Gst

PAGE = b"""<!doctype html><meta charset="utf-8"><title>Camera</title>
<style>body { margin: 0; background: #111 } img { display: block; margin: auto; max-width: 100%; max-height: 100vh }</style>
<img src="/camera" alt="the camera">
"""


class Camera:
    """The newest picture, for whoever waits for one. Plays while somebody does."""

    def __init__(self):
        self.pipeline = env.parse(
            f"shmsrc-rs socket-path={env.SOCKET} ! queue max-size-buffers=1 leaky=downstream ! videoconvert ! jpegenc ! "
            "appsink name=pictures max-buffers=1 drop=true sync=false emit-signals=true"
        )
        self.pipeline.get_by_name("pictures").connect("new-sample", self.keep)
        self.changed = threading.Condition()
        self.number, self.picture = 0, b""
        # Another lock: `keep` is waited for when the pipeline stops.
        self.playing, self.viewers = threading.Lock(), 0

    def keep(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        with self.changed:
            self.number, self.picture = self.number + 1, buffer.extract_dup(0, buffer.get_size())
            self.changed.notify_all()
        return Gst.FlowReturn.OK

    def pictures(self):
        number = self.number
        with self.playing:
            self.viewers += 1
            if self.viewers == 1:
                self.pipeline.set_state(Gst.State.PLAYING)
        try:
            while True:
                with self.changed:
                    if not self.changed.wait_for(lambda: self.number != number, timeout=10):
                        return
                    number, picture = self.number, self.picture
                yield picture
        finally:
            with self.playing:
                self.viewers -= 1
                if self.viewers == 0:
                    self.pipeline.set_state(Gst.State.NULL)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.answer("text/html", PAGE)
        elif self.path == "/picture.jpg":
            picture = next(camera.pictures(), None)
            if picture is None:
                self.send_error(503, "nobody shares a camera: start pipelines/share.sh")
            else:
                self.answer("image/jpeg", picture)
        elif self.path == "/camera":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            for picture in camera.pictures():
                self.wfile.write(b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture))
        else:
            self.send_error(404)

    def answer(self, kind, content):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # the page was closed

    def log_message(self, *_):
        pass


camera = Camera()
address = (os.environ.get("ADDRESS", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
server = http.server.ThreadingHTTPServer(address, Handler)
print(f"http://localhost:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
