//! What the camera says of its own state, such as whether its autofocus has found something: a message when that changes.

use super::controls::{self, CONTROLS};
use crate::camera::{ControlId, ControlKind, Controls};
use crate::sync::{LazyLock, Mutex};
use std::collections::BTreeSet;

/// Controls that are only reported and have few values, but for one that differs from frame to frame by its nature.
static STATES: LazyLock<BTreeSet<ControlId>> = LazyLock::new(|| {
    let states = CONTROLS.iter().filter(|property| {
        let control = &property.definition;
        let few_values = !control.enumerators.is_empty() || control.kind == ControlKind::Bool;
        control.is_output && !control.is_input && few_values && control.name != "HdrChannel"
    });
    states.map(|property| property.definition.id).collect()
});

/// The states that were told last. Used by the camera's thread alone.
#[derive(Debug, Default)]
pub struct States(Mutex<Controls>);

impl States {
    /// Those of a frame that are others than before.
    pub fn news(&self, metadata: &Controls) -> Controls {
        let mut last = self.0.lock();
        let states = metadata.iter().filter(|(id, _)| STATES.contains(id));
        let news = states.filter(|(id, value)| last.get(*id) != Some(value));
        let news: Controls = news.map(|(id, value)| (id, value.clone())).collect();
        last.extend(news.clone());
        news
    }
}

pub fn message(source: &super::LibcameraSrc, news: &Controls) -> gst::Message {
    let mut details = gst::Structure::new_empty("libcamerasrc-state");
    controls::write(news, &mut details);
    gst::message::Element::builder(details).src(source).build()
}
