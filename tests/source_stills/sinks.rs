//! Sinks behind pads on demand, which get no frame until there is a still.

use std::time::Duration;

use gst::prelude::*;

use super::{
    CAMERA, Rig, SOON, TIMEOUT, camera,
    common::{source::alone, wait_until},
};

#[test]
fn sinks_behind_pads_on_demand_do_not_wait_for_a_still() {
    let _alone = alone("preroll");
    camera(Duration::from_millis(5));
    let rig = Rig::new(
        CAMERA,
        "source.src ! fakesink name=a sync=true source.src_0 ! fakesink name=b sync=true \
         source.src_1 ! queue ! fakesink name=c sync=true",
    );
    for pad in ["src", "src_1"] {
        let pad = rig.element.static_pad(pad).unwrap();
        pad.set_property_from_str("capture", "on-demand");
    }
    for _ in 0..3 {
        rig.play();
        let (success, state, _) = rig.pipeline.state(TIMEOUT);
        assert!(
            success.is_ok() && state == gst::State::Playing,
            "{success:?} {state:?}"
        );
        for sink in ["a", "b", "c"] {
            let state = rig.pipeline.by_name(sink).unwrap().state(TIMEOUT).1;
            assert_eq!(state, gst::State::Playing, "{sink}");
        }
        // A flush begins anew.
        assert!(rig.pipeline.send_event(gst::event::FlushStart::new()));
        assert!(rig.pipeline.send_event(gst::event::FlushStop::new(true)));
        rig.captured(None, None);
        wait_until("a still of both pads", SOON, || {
            ["a", "c"].iter().all(|sink| {
                let sink = rig.pipeline.by_name(sink).unwrap();
                sink.property::<Option<gst::Sample>>("last-sample")
                    .is_some()
            })
        });
        rig.no_error();
        rig.pipeline.set_state(gst::State::Ready).unwrap();
    }
}

#[test]
fn a_pause_does_not_leave_a_sink_without_a_sign() {
    let _alone = alone("stills and pauses");
    camera(Duration::from_millis(5));
    let rig = Rig::new(
        CAMERA,
        "source.src ! fakesink sync=true source.src_0 ! fakesink name=stills sync=true",
    );
    let pad = rig.element.static_pad("src_0").unwrap();
    pad.set_property_from_str("capture", "on-demand");
    for _ in 0..5 {
        rig.play();
        let (success, state, _) = rig.pipeline.state(TIMEOUT);
        assert!(
            success.is_ok() && state == gst::State::Playing,
            "{success:?} {state:?}"
        );
        rig.pipeline.set_state(gst::State::Paused).unwrap();
    }
    // A sink that comes in its place.
    rig.play();
    let (success, state, _) = rig.pipeline.state(TIMEOUT);
    assert!(
        success.is_ok() && state == gst::State::Playing,
        "{success:?} {state:?}"
    );
    let sink = rig.pipeline.by_name("stills").unwrap();
    pad.unlink(&sink.static_pad("sink").unwrap()).unwrap();
    // Or a thread of the pipeline's may yet bring it to playing.
    sink.set_locked_state(true);
    sink.set_state(gst::State::Null).unwrap();
    rig.pipeline.remove(&sink).unwrap();
    let other = gst::ElementFactory::make("fakesink")
        .property("sync", true)
        .build()
        .unwrap();
    rig.pipeline.add(&other).unwrap();
    other.sync_state_with_parent().unwrap();
    pad.link(&other.static_pad("sink").unwrap()).unwrap();
    wait_until("the new sink plays", SOON, || {
        other.current_state() == gst::State::Playing
    });
    rig.captured(Some("src_0"), None);
    assert_eq!(rig.outcomes(1)[0].get::<&str>("result").unwrap(), "done");
}
