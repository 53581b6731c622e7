//! A `shmsrc-rs` in this process, with what it delivers in the test's hands.

use std::time::Duration;

use gst::prelude::*;

const SOON: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// NULL when dropped.
pub struct ShmReader {
    pub pipeline: gst::Pipeline,
    pub element: gst::Element,
    pub sink: gst_app::AppSink,
}

impl ShmReader {
    /// Reads at that path; `rest` is properties of `shmsrc-rs` and what comes behind it.
    pub fn new(path: &str, rest: &str) -> Self {
        let description = format!(
            "shmsrc-rs name=source socket-path={path} {rest} ! appsink name=sink sync=false async=false enable-last-sample=false"
        );
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

    pub fn playing(path: &str, rest: &str) -> Self {
        let reader = Self::new(path, rest);
        reader.pipeline.set_state(gst::State::Playing).unwrap();
        reader
    }

    /// The next frame, which must come.
    pub fn pull(&self) -> gst::Sample {
        self.sink
            .try_pull_sample(SOON)
            .unwrap_or_else(|| panic!("no frame: {:?}", self.error()))
    }

    pub fn try_pull(&self, timeout: Duration) -> Option<gst::Sample> {
        let timeout = gst::ClockTime::try_from(timeout).unwrap();
        self.sink.try_pull_sample(timeout)
    }

    /// No more frames; what has come is thrown away.
    pub fn wait_for_end(&self) {
        while !self.sink.is_eos() {
            let sample = self.sink.try_pull_sample(SOON);
            assert!(sample.is_some() || self.sink.is_eos(), "no end in {SOON}");
        }
    }

    /// The text of the next message of that kind, as far as one comes.
    pub fn message(&self, kind: gst::MessageType, timeout: gst::ClockTime) -> Option<String> {
        let bus = self.pipeline.bus().unwrap();
        // With no time the first of these looks at one message only.
        let message = match timeout {
            gst::ClockTime::ZERO => bus.pop_filtered(&[kind])?,
            timeout => bus.timed_pop_filtered(timeout, &[kind])?,
        };
        Some(match message.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            gst::MessageView::Warning(warning) => warning.error().to_string(),
            _ => String::new(),
        })
    }

    /// The text of an error that is there now.
    pub fn error(&self) -> Option<String> {
        self.message(gst::MessageType::Error, gst::ClockTime::ZERO)
    }

    /// The text of the error that must come.
    pub fn only_error(&self) -> String {
        let text = self
            .message(gst::MessageType::Error, SOON)
            .expect("an error");
        let _ = self.pipeline.set_state(gst::State::Null);
        assert_eq!(self.error(), None, "a second error after: {text}");
        text
    }

    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.element.property::<gst::Structure>("stats");
        stats.get(name).unwrap()
    }
}

impl Drop for ShmReader {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
