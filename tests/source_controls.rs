//! The camera's controls as properties: every value reaches the camera, and only what the application has set.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    source::{Source, TINY, alone},
    wait_until,
};
use gst::prelude::*;
use gstlibcamerars::{
    backend::{
        libcamera::control_definitions,
        simulated::{Script, Spec, plug},
    },
    camera::{ControlId, ControlInfo, ControlValue, Rectangle, Scalar},
};

const SOON: Duration = Duration::from_secs(10);
const CAMERA: &str = "simulated-controls";

fn id(name: &str) -> ControlId {
    let definition = control_definitions()
        .iter()
        .find(|definition| definition.name == name);
    definition.unwrap().id
}

fn one(scalar: Scalar) -> ControlValue {
    ControlValue::One(scalar)
}

fn info(name: &str, min: Scalar, max: Scalar, default: Scalar) -> ControlInfo {
    ControlInfo {
        id: id(name),
        min: Some(one(min)),
        max: Some(one(max)),
        default: Some(one(default)),
        values: Vec::new(),
    }
}

/// A camera with a few controls of every kind.
fn camera() -> Arc<Script> {
    let rectangle = |width, height| {
        Scalar::Rectangle(Rectangle {
            x: 0,
            y: 0,
            width,
            height,
        })
    };
    let mut modes = info("AwbMode", Scalar::I32(0), Scalar::I32(7), Scalar::I32(0));
    modes.values = [0, 4, 5].map(|mode| one(Scalar::I32(mode))).into();
    let controls = vec![
        info(
            "AeEnable",
            Scalar::Bool(false),
            Scalar::Bool(true),
            Scalar::Bool(true),
        ),
        info(
            "Brightness",
            Scalar::F32(-1.0),
            Scalar::F32(1.0),
            Scalar::F32(0.0),
        ),
        info(
            "ExposureTime",
            Scalar::I32(10),
            Scalar::I32(100_000),
            Scalar::I32(20_000),
        ),
        info(
            "ColourGains",
            Scalar::F32(0.0),
            Scalar::F32(32.0),
            Scalar::F32(1.0),
        ),
        info("AfTrigger", Scalar::I32(0), Scalar::I32(1), Scalar::I32(0)),
        info(
            "ScalerCrop",
            rectangle(64, 64),
            rectangle(1920, 1080),
            rectangle(1920, 1080),
        ),
        info(
            "AfWindows",
            rectangle(0, 0),
            rectangle(1920, 1080),
            rectangle(0, 0),
        ),
        modes,
    ];
    plug(Spec {
        id: CAMERA.to_owned(),
        interval: Duration::from_millis(2),
        controls,
        ..Spec::default()
    })
}

fn source(rest: &str) -> Source {
    Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={CAMERA} {rest}"
    ))
}

fn told(script: &Script, name: &str) -> Vec<ControlValue> {
    let id = id(name);
    let told = script.told().into_iter();
    told.filter(|(told, _)| *told == id)
        .map(|(_, value)| value)
        .collect()
}

/// Plays, and takes frames until the camera was told so often.
fn until_told(source: &Source, script: &Script, name: &str, times: usize) {
    wait_until("a control at the camera", SOON, || {
        source
            .sink
            .try_pull_sample(gst::ClockTime::from_mseconds(2));
        told(script, name).len() >= times
    });
}

fn warnings(source: &Source) -> Vec<String> {
    let bus = source.pipeline.bus().unwrap();
    let mut texts = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Warning]) {
        if let gst::MessageView::Warning(warning) = message.view() {
            texts.push(warning.error().to_string());
        }
    }
    texts
}

#[test]
fn every_control_of_libcamera_is_a_property() {
    let _alone = alone("properties");
    let element = gst::ElementFactory::make("libcamerasrc-rs")
        .build()
        .unwrap();
    // Those that upstream's element has, with its types.
    let upstream = [
        ("ae-enable", "gboolean"),
        (
            "ae-metering-mode",
            "enum: centre-weighted spot matrix custom",
        ),
        (
            "ae-constraint-mode",
            "enum: normal highlight shadows custom",
        ),
        ("ae-exposure-mode", "enum: normal short long custom"),
        ("exposure-value", "gfloat"),
        ("exposure-time", "gint"),
        ("exposure-time-mode", "enum: auto manual"),
        ("analogue-gain", "gfloat"),
        ("analogue-gain-mode", "enum: auto manual"),
        ("ae-flicker-period", "gint"),
        ("brightness", "gfloat"),
        ("contrast", "gfloat"),
        ("awb-enable", "gboolean"),
        (
            "awb-mode",
            "enum: auto incandescent tungsten fluorescent indoor daylight cloudy custom",
        ),
        ("colour-gains", "GstValueArray"),
        ("saturation", "gfloat"),
        ("sharpness", "gfloat"),
        ("colour-correction-matrix", "GstValueArray"),
        ("scaler-crop", "GstValueArray"),
        ("digital-gain", "gfloat"),
        ("af-mode", "enum: manual auto continuous"),
        ("af-range", "enum: normal macro full"),
        ("af-speed", "enum: normal fast"),
        ("af-metering", "enum: auto windows"),
        ("af-windows", "GstValueArray"),
        ("lens-position", "gfloat"),
        ("gamma", "gfloat"),
    ];
    for (name, kind) in upstream {
        let Some(spec) = element.find_property(name) else {
            // libcamera 0.4 does not have them.
            let since_0_5 = ["exposure-time-mode", "analogue-gain-mode"].contains(&name);
            let is_defined = |name: &str| control_definitions().iter().any(|it| it.name == name);
            assert!(since_0_5 && !is_defined("ExposureTimeMode"), "no {name}");
            continue;
        };
        let found = match glib::EnumClass::with_type(spec.value_type()) {
            Some(class) => {
                let nicks: Vec<&str> = class.values().iter().map(|value| value.nick()).collect();
                format!("enum: {}", nicks.join(" "))
            }
            None => spec.value_type().name().to_owned(),
        };
        // Newer versions of libcamera add values behind those that upstream has today.
        assert!(found.starts_with(kind), "{name}: {found}, not {kind}");
        assert!(
            spec.flags()
                .contains(glib::ParamFlags::READWRITE | gst::PARAM_FLAG_CONTROLLABLE)
        );
    }
    // Those that it leaves out, and those that are only reported.
    for name in [
        "af-trigger",
        "af-pause",
        "ae-flicker-mode",
        "frame-duration-limits",
        "hdr-mode",
    ] {
        let spec = element
            .find_property(name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert!(spec.flags().contains(glib::ParamFlags::WRITABLE), "{name}");
    }
    for name in ["sensor-temperature", "frame-duration", "af-state", "lux"] {
        let spec = element
            .find_property(name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert!(!spec.flags().contains(glib::ParamFlags::WRITABLE), "{name}");
    }
    for definition in control_definitions() {
        let found = element
            .list_properties()
            .iter()
            .any(|spec| spec.nick() == definition.name);
        assert!(found, "no property for {}", definition.name);
    }
}

#[test]
fn two_hundred_changes_while_frames_flow_all_reach_the_camera() {
    let _alone = alone("changes");
    let script = camera();
    let source = source("");
    source.set_state(gst::State::Playing);
    for change in 1..=200 {
        source.element.set_property("exposure-time", 1000 + change);
        until_told(&source, &script, "ExposureTime", change as usize);
    }
    let expected: Vec<ControlValue> = (1..=200)
        .map(|change| one(Scalar::I32(1000 + change)))
        .collect();
    assert_eq!(told(&script, "ExposureTime"), expected);
    wait_until("the camera's word for it", SOON, || {
        source.sink.try_pull_sample(gst::ClockTime::ZERO);
        source.counter("controls-applied") == 200
    });
    assert_eq!(source.counter("controls-set"), 200);
    assert_eq!(warnings(&source), Vec::<String>::new());
}

/// The same on libcamera, whose virtual camera has the frame duration.
#[test]
fn two_hundred_changes_reach_libcamera() {
    let _alone = alone("changes, libcamera");
    let source = Source::playing(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    for change in 1..=200_i64 {
        let limits = gst::Array::new([33_333, 33_333 + change]);
        source.element.set_property("frame-duration-limits", limits);
        wait_until("the camera's word for it", SOON, || {
            source
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(1));
            source.counter("controls-applied") == change as u64
        });
    }
    assert_eq!(source.error(), None);
}

#[test]
fn what_is_set_before_the_start_is_there_from_the_first_frame_and_at_every_start() {
    let _alone = alone("before the start");
    let script = camera();
    let source =
        source("brightness=0.5 awb-mode=indoor colour-gains=<1.5,2.5> ! capsfilter name=size");
    let indoor = one(Scalar::I32(4));
    for start in 1..=3 {
        source.set_state(gst::State::Playing);
        source.pull().unwrap();
        assert_eq!(
            told(&script, "Brightness"),
            vec![one(Scalar::F32(0.5)); start]
        );
        assert_eq!(told(&script, "AwbMode"), vec![indoor.clone(); start]);
        let gains = ControlValue::List(vec![Scalar::F32(1.5), Scalar::F32(2.5)]);
        assert_eq!(told(&script, "ColourGains"), vec![gains; start]);
        source.set_state([gst::State::Null, gst::State::Ready][start % 2]);
    }
    // A new configuration is a start as well.
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    let before = told(&script, "Brightness").len();
    let caps = gst::Caps::builder("video/x-raw").field("width", 64).build();
    source
        .pipeline
        .by_name("size")
        .unwrap()
        .set_property("caps", &caps);
    until_told(&source, &script, "Brightness", before + 1);
}

#[test]
fn what_the_camera_reports_is_never_sent_back() {
    let _alone = alone("metadata");
    let script = camera();
    let source = source("");
    source.set_state(gst::State::Playing);
    source.element.set_property("exposure-time", 5000);
    until_told(&source, &script, "ExposureTime", 1);
    // The simulated camera reports all that it was told: so does this one, which nobody has set.
    let reported: gstlibcamerars::camera::Controls = [(id("AeEnable"), one(Scalar::Bool(false)))]
        .into_iter()
        .collect();
    script.pretend(&reported);
    wait_until("a report", SOON, || {
        source
            .sink
            .try_pull_sample(gst::ClockTime::from_mseconds(2));
        !source.element.property::<bool>("ae-enable")
    });
    let before = told(&script, "AeEnable").len();
    for _ in 0..2 {
        source.set_state(gst::State::Null);
        source.set_state(gst::State::Playing);
        source.pull().unwrap();
    }
    assert_eq!(told(&script, "AeEnable").len(), before);
    assert_eq!(
        told(&script, "ExposureTime").len(),
        3,
        "once, and at two starts"
    );
}

#[test]
fn values_out_of_range_are_clamped_and_controls_that_are_not_there_are_told_of_once() {
    let _alone = alone("range");
    let script = camera();
    let source = source("contrast=2 brightness=7");
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    let texts = warnings(&source);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts
            .iter()
            .any(|text| text.contains("no control 'contrast'")),
        "{texts:?}"
    );
    assert!(
        texts
            .iter()
            .any(|text| text.contains("from -1 to 1") && text.contains("brightness")),
        "{texts:?}"
    );
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    assert_eq!(told(&script, "Brightness"), [one(Scalar::F32(1.0))]);
    source.element.set_property("contrast", 3.0_f32);
    assert_eq!(warnings(&source), Vec::<String>::new(), "once");
    source.element.set_property_from_str("awb-mode", "tungsten");
    let texts = warnings(&source);
    assert!(
        texts[0].contains("one of auto, indoor, daylight"),
        "{texts:?}"
    );
    until_told(&source, &script, "AwbMode", 1);
    assert_eq!(source.error(), None);
}

#[test]
fn lists_and_rectangles_have_their_shape_and_one_of_the_wrong_shape_is_refused() {
    let _alone = alone("lists");
    let script = camera();
    let source = source("scaler-crop=<10,20,640,480>");
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    let crop = Rectangle {
        x: 10,
        y: 20,
        width: 640,
        height: 480,
    };
    assert_eq!(told(&script, "ScalerCrop"), [one(Scalar::Rectangle(crop))]);
    let read: gst::Array = source.element.property("scaler-crop");
    let read: Vec<i32> = read.iter().map(|number| number.get().unwrap()).collect();
    assert_eq!(read, [10, 20, 640, 480]);
    // A list of one is a list.
    let window = gst::Array::new([gst::Array::new([1, 2, 3, 4])]);
    source.element.set_property("af-windows", window);
    until_told(&source, &script, "AfWindows", 1);
    let rectangle = Scalar::Rectangle(Rectangle {
        x: 1,
        y: 2,
        width: 3,
        height: 4,
    });
    assert_eq!(
        told(&script, "AfWindows"),
        [ControlValue::List(vec![rectangle])]
    );
    let windows: gst::Array = source.element.property("af-windows");
    assert_eq!(windows.len(), 1);
    source
        .element
        .set_property("colour-gains", gst::Array::new([1.0_f32]));
    assert!(warnings(&source)[0].contains("colour-gains"));
    assert!(told(&script, "ColourGains").is_empty());
}

#[test]
fn an_order_is_given_each_time_it_is_set_and_never_again() {
    let _alone = alone("orders");
    let script = camera();
    let source = source("");
    source.set_state(gst::State::Playing);
    for times in 1..=3 {
        source.element.set_property_from_str("af-trigger", "start");
        until_told(&source, &script, "AfTrigger", times);
        wait_until("the camera's word for it", SOON, || {
            source
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(2));
            source.counter("controls-applied") == times as u64
        });
    }
    source.set_state(gst::State::Null);
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    assert_eq!(told(&script, "AfTrigger").len(), 3);
}

#[test]
fn extra_controls_set_by_any_name() {
    let _alone = alone("extra controls");
    let script = camera();
    let source = source("extra-controls=controls,ExposureTime=4000,brightness=0.25");
    let more = "controls,AwbMode=(string)daylight,Nope=1,Lux=3";
    source.element.set_property_from_str("extra-controls", more);
    source.set_state(gst::State::Playing);
    source.pull().unwrap();
    assert_eq!(told(&script, "ExposureTime"), [one(Scalar::I32(4000))]);
    assert_eq!(told(&script, "Brightness"), [one(Scalar::F32(0.25))]);
    assert_eq!(told(&script, "AwbMode"), [one(Scalar::I32(5))]);
    let texts = warnings(&source);
    assert!(
        texts.iter().any(|text| text.contains("'Nope'")),
        "{texts:?}"
    );
    assert!(texts.iter().any(|text| text.contains("'Lux'")), "{texts:?}");
    let all: gst::Structure = source.element.property("extra-controls");
    assert_eq!(all.get::<i32>("exposure-time").unwrap(), 4000);
}

#[test]
fn the_opened_camera_says_what_it_can_be_told() {
    let _alone = alone("camera-controls");
    camera();
    let source = source("");
    let controls = || source.element.property::<gst::Structure>("camera-controls");
    assert_eq!(controls().n_fields(), 0);
    source.pipeline.set_state(gst::State::Ready).unwrap();
    let brightness: gst::Structure = controls().get("brightness").unwrap();
    assert_eq!(brightness.get::<f32>("min").unwrap(), -1.0);
    assert_eq!(brightness.get::<f32>("max").unwrap(), 1.0);
    assert_eq!(brightness.get::<f32>("default").unwrap(), 0.0);
    let modes: gst::Structure = controls().get("awb-mode").unwrap();
    let values: gst::List = modes.get("values").unwrap();
    let values: Vec<&str> = values.iter().map(|value| value.get().unwrap()).collect();
    assert_eq!(values, ["auto", "indoor", "daylight"]);
    let exposure: i32 = source.element.property("exposure-time");
    assert_eq!(
        exposure, 20_000,
        "the camera's default, as long as nobody knows better"
    );
}

/// C reads a property into a value of the type that it asked for.
#[test]
fn every_property_reads_as_its_own_type_in_every_state() {
    let _alone = alone("types");
    camera();
    let source = source("");
    for state in [gst::State::Null, gst::State::Ready, gst::State::Playing] {
        source.pipeline.set_state(state).unwrap();
        for spec in source.element.list_properties() {
            let value = source.element.property_value(spec.name());
            assert_eq!(
                value.type_(),
                spec.value_type(),
                "{} in {state:?}",
                spec.name()
            );
        }
    }
    let gains: gst::Array = source.element.property("colour-gains");
    assert_eq!(gains.len(), 2, "the camera's default for both");
}

#[test]
fn a_controller_moves_a_control() {
    let _alone = alone("GstController");
    let script = camera();
    let source = source("");
    let moving = gst_controller_source();
    let binding = control_binding(&source.element, "brightness", &moving);
    source.element.add_control_binding(&binding).unwrap();
    source.set_state(gst::State::Playing);
    wait_until("another brightness", SOON, || {
        source
            .sink
            .try_pull_sample(gst::ClockTime::from_mseconds(2));
        let mut values = told(&script, "Brightness");
        values.dedup();
        values.len() > 10
    });
}

/// From 0 to 1 in ten seconds. The controller library has no crate among ours: its objects are made by their type's name.
fn gst_controller_source() -> gst::ControlSource {
    let library = std::ffi::CString::new("libgstcontroller-1.0.so.0").unwrap();
    // SAFETY: a library of GStreamer's, which stays loaded; the function takes nothing and gives an object of its own.
    unsafe {
        let library = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        assert!(!library.is_null(), "libgstcontroller-1.0");
        let new = libc::dlsym(library, c"gst_interpolation_control_source_new".as_ptr());
        let new: extern "C" fn() -> *mut gst::ffi::GstControlSource = std::mem::transmute(new);
        let set = libc::dlsym(library, c"gst_timed_value_control_source_set".as_ptr());
        let set: extern "C" fn(*mut gst::ffi::GstControlSource, u64, f64) -> i32 =
            std::mem::transmute(set);
        let source: gst::ControlSource = glib::translate::from_glib_none(new());
        source.set_property_from_str("mode", "linear");
        let raw = glib::translate::ToGlibPtr::to_glib_none(&source).0;
        for (time, value) in [(0, 0.0), (10_000_000_000, 1.0)] {
            assert_eq!(set(raw, time, value), 1);
        }
        source
    }
}

fn control_binding(
    element: &gst::Element,
    property: &str,
    source: &gst::ControlSource,
) -> gst::ControlBinding {
    // SAFETY: as above; object, name and source live for the call.
    unsafe {
        let new = libc::dlsym(
            libc::RTLD_DEFAULT,
            c"gst_direct_control_binding_new_absolute".as_ptr(),
        );
        let new: extern "C" fn(
            *mut gst::ffi::GstObject,
            *const std::ffi::c_char,
            *mut gst::ffi::GstControlSource,
        ) -> *mut gst::ffi::GstControlBinding = std::mem::transmute(new);
        let object: &gst::Object = element.upcast_ref();
        let property = std::ffi::CString::new(property).unwrap();
        let object = glib::translate::ToGlibPtr::to_glib_none(object).0;
        let source = glib::translate::ToGlibPtr::to_glib_none(source).0;
        glib::translate::from_glib_none(new(object, property.as_ptr(), source))
    }
}
