//! A `libcamerasrc-rs` in this process, with what it delivers in the test's hands.

use std::{sync::Mutex, sync::MutexGuard, time::Duration};

use gst::prelude::*;

use super::watchdog::Watchdog;

/// The small virtual camera.
pub const TINY: &str = "VirtualTiny";

const SOON: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// One test at a time: cameras are exclusive, and tests look at the process's file descriptors and threads.
pub fn alone(what: &str) -> (MutexGuard<'static, ()>, Watchdog) {
    alone_for(what, Duration::from_secs(60))
}

/// The same for a test that takes longer than a minute.
pub fn alone_for(what: &str, limit: Duration) -> (MutexGuard<'static, ()>, Watchdog) {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(|poison| poison.into_inner());
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    (guard, Watchdog::new(what, limit))
}

/// Whether this is libcamera 0.4, whose virtual camera leaves the count of its frames and their status unset (so that a frame may come back cancelled
/// for ever, as its memory happened to be), takes any colour space and does not name its handler; says that a test is skipped then. That version does not know this control.
#[cfg(feature = "libcamera")]
pub fn skips_with_libcamera_0_4(test: &str) -> bool {
    let mut definitions = gstlibcamerars::backend::libcamera::control_definitions().iter();
    let is_newer = definitions.any(|control| control.name == "ExposureTimeMode");
    if !is_newer {
        println!(
            "SKIPPED: {test}: the virtual camera of libcamera 0.4 neither counts its frames, says their status, refuses colour spaces nor names its handler"
        );
    }
    !is_newer
}

/// A pipeline that ends in an `appsink` named `sink`; NULL when dropped.
pub struct Source {
    pub pipeline: gst::Pipeline,
    pub element: gst::Element,
    pub sink: gst_app::AppSink,
}

impl Source {
    /// `description` is the source (named `source`) and what comes behind it.
    pub fn new(description: &str) -> Self {
        let description = format!("{description} ! appsink name=sink sync=false");
        let pipeline = gst::parse::launch(&description)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let element = pipeline.by_name("source").unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast().unwrap();
        Self {
            pipeline,
            element,
            sink,
        }
    }

    pub fn playing(description: &str) -> Self {
        let source = Self::new(description);
        source.set_state(gst::State::Playing);
        source
    }

    pub fn set_state(&self, state: gst::State) {
        let changed = self.pipeline.set_state(state);
        if changed.and_then(|_| self.pipeline.state(SOON).0).is_err() {
            panic!("no {state:?}: {:?}", self.error());
        }
    }

    /// The next frame; `None` at the end.
    pub fn pull(&self) -> Option<gst::Sample> {
        match self.sink.try_pull_sample(SOON) {
            Some(sample) => Some(sample),
            None if self.sink.is_eos() => None,
            None => panic!("no frame and no end in {SOON}: {:?}", self.error()),
        }
    }

    /// Whether no frame comes for a while.
    pub fn is_silent(&self) -> bool {
        self.sink
            .try_pull_sample(gst::ClockTime::from_mseconds(200))
            .is_none()
    }

    /// How many frames come until the end. Each is dropped before the next: a camera has only a few.
    pub fn count(&self) -> usize {
        std::iter::from_fn(|| self.pull()).count()
    }

    /// The text of the first error on the bus, if there is one now.
    pub fn error(&self) -> Option<String> {
        let message = self
            .pipeline
            .bus()
            .unwrap()
            .pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }

    /// The text of the error that must come, and nothing but the end after it.
    pub fn only_error(&self) -> String {
        let bus = self.pipeline.bus().unwrap();
        let message = bus
            .timed_pop_filtered(SOON, &[gst::MessageType::Error])
            .expect("an error");
        let gst::MessageView::Error(error) = message.view() else {
            unreachable!()
        };
        let text = error.error().to_string();
        let _ = self.pipeline.set_state(gst::State::Null);
        assert_eq!(self.error(), None, "a second error after: {text}");
        text
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.element
            .property::<gst::Structure>("stats")
            .get(name)
            .unwrap()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The grey levels of a line of the test picture: it has eight bars.
pub fn levels(sample: &gst::Sample) -> usize {
    let buffer = sample.buffer().unwrap();
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    let mut levels = frame.plane_data(0).unwrap()[..info.width() as usize].to_vec();
    levels.sort_unstable();
    levels.dedup();
    levels.len()
}
