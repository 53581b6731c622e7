#!/usr/bin/env bash
# Streams the camera over the network by SRT, for any number of viewers.
#
#   pipelines/stream.sh             until Ctrl-C; watch with: ffplay srt://HOST:8888, vlc srt://HOST:8888, or
#                                   gst-play-1.0 srt://HOST:8888
#   ADDRESS=srt://:9999 pipelines/stream.sh
#
# You see the camera on the other machine, half a second later. Nobody waits for viewers: they come and go. SRT because a stock GStreamer has all
# of it; RTSP wants a server beside it (rtspclientsink, gstreamer1.0-rtsp, to mediamtx, for example), and WebRTC a signalling server. Everybody
# who reaches the address sees the camera: add `passphrase=` (10 letters or more) on both sides where that matters.
set -euo pipefail
. "$(dirname "$0")/env.sh"
need srtsink gstreamer1.0-plugins-bad
need x264enc gstreamer1.0-plugins-ugly

exec gst-launch-1.0 -e \
    libcamerasrc-rs pace=true num-buffers="$FRAMES" ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue ! videoconvert ! \
    x264enc tune=zerolatency speed-preset=veryfast key-int-max=30 ! video/x-h264,profile=main ! h264parse config-interval=-1 ! \
    mpegtsmux alignment=7 ! srtsink uri="${ADDRESS:-srt://:8888}?mode=listener" wait-for-connection=false
