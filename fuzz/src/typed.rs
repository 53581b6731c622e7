//! Caps and structures that a user can type, through the elements that take them. A line each: caps, extra-controls, sensor-config, allow-uids.

use std::sync::OnceLock;

use gst::prelude::*;

struct Elements {
    source: gst::Element,
    sink: gst::Element,
}

fn elements() -> &'static Elements {
    static ELEMENTS: OnceLock<Elements> = OnceLock::new();
    ELEMENTS.get_or_init(|| {
        gst::init().unwrap();
        // GStreamer's parsers complain of much that is typed as of a programmer's mistake.
        gst::glib::log_set_always_fatal(gst::glib::LogLevels::LEVEL_ERROR);
        gstlibcamerars::plugin_register_static().unwrap();
        gstlibcamerars::backend::simulated::plug(gstlibcamerars::backend::simulated::Spec {
            id: "fuzzed".to_owned(),
            ..Default::default()
        });
        let source = gst::ElementFactory::make("libcamerasrc-rs").property("camera-name", "fuzzed");
        let path = std::env::temp_dir().join(format!("fuzz.{}", std::process::id()));
        let sink =
            gst::ElementFactory::make("shmsink-rs").property("socket-path", path.to_str().unwrap());
        Elements {
            source: source.build().unwrap(),
            sink: sink.build().unwrap(),
        }
    })
}

/// What `shmsrc-rs` does with caps that a producer tells.
fn told(text: &str) {
    if gstlibcamerars::shm::caps_text::names(text).is_err() {
        return;
    }
    let Ok(caps) = text.parse::<gst::Caps>() else {
        return;
    };
    if caps.size() == 1 && caps.is_fixed() {
        let _ = gst_video::VideoInfo::from_caps(&caps);
        let takes = "video/x-raw,format={RGB,NV12},width=[1,4000];audio/x-raw;image/jpeg,a=<1,2>";
        let takes: gst::Caps = takes.parse().unwrap();
        takes.can_intersect(&caps);
    }
}

pub fn typed(data: &[u8]) {
    let Elements { source, sink } = elements();
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains('\0') {
        return;
    }
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let caps = line();
    told(caps);
    if let Ok(caps) = caps.parse::<gst::Caps>() {
        let pad = source.static_pad("src").unwrap();
        // Not asked whether it is a subset: GStreamer 1.22 crashes on that with a list of mixed types in it.
        pad.query_caps(Some(&caps));
        if caps.is_fixed() {
            pad.query_accept_caps(&caps);
            sink.set_state(gst::State::Paused).unwrap();
            let pad = sink.static_pad("sink").unwrap();
            pad.send_event(gst::event::StreamStart::new("fuzz"));
            pad.send_event(gst::event::Caps::new(&caps));
        }
    }
    if let Ok(controls) = line().parse::<gst::Structure>() {
        source.set_property("extra-controls", &controls);
        source.property::<Option<gst::Structure>>("extra-controls");
    }
    if let Ok(config) = line().parse::<gst::Structure>() {
        source.set_property("sensor-config", &config);
        // It may be refused; the element goes back to where it was.
        let _ = source.set_state(gst::State::Ready);
        source.set_state(gst::State::Null).unwrap();
        source.set_property("sensor-config", None::<gst::Structure>);
    }
    let list = line();
    if !list.is_empty() {
        sink.set_state(gst::State::Null).unwrap();
        sink.set_property("allow-uids", list);
        let _ = sink.set_state(gst::State::Paused);
        sink.set_state(gst::State::Null).unwrap();
        sink.set_property("allow-uids", None::<String>);
    }
}
