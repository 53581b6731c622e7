//! The camera's controls as the application has set them, and as the camera has reported them. The two never mix: what was reported is not sent.
//!
//! A value that is set goes three ways, and is never lost between them: it is remembered for each start of the camera; while the camera runs it
//! is also given to the driver, for the next request; and what the driver could not bring to the camera before a stop comes back. A start takes
//! what is remembered and makes its driver known in one step, so that a value which is set meanwhile is in the one or goes to the other.

use super::{
    imp::{CAT, LibcameraSrc},
    session::Session,
};
use crate::camera::{ControlId, ControlInfo, ControlValue, Controls, Scalar};
use crate::capture::loop_state::LoopState;
use crate::controls::{
    Checked, Property, check, from_value, nearest, nick, properties, to_field, to_value,
};
use crate::memory::custom_meta::write_over;
use crate::sync::{Arc, LazyLock, Mutex, Weak};
use gst::{prelude::*, subclass::prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A property for each control that the libcamera in use defines.
pub static CONTROLS: LazyLock<Vec<Property>> = LazyLock::new(|| properties(definitions()));

#[cfg(feature = "libcamera")]
fn definitions() -> &'static [crate::camera::ControlDefinition] {
    crate::backend::libcamera::control_definitions()
}

#[cfg(not(feature = "libcamera"))]
fn definitions() -> &'static [crate::camera::ControlDefinition] {
    &[]
}

/// Controls of which each value is an order, not a state: they are sent once, and not again at the next start.
const ORDERS: &[&str] = &["AfTrigger", "AePrecaptureTrigger"];

/// Setting them does something, which setting them back does not undo.
fn is_never_restored(property: &Property) -> bool {
    is_order(property.definition.id) || property.definition.name == "AfPause"
}

fn is_order(id: ControlId) -> bool {
    by_id(id).is_some_and(|property| ORDERS.contains(&property.definition.name.as_str()))
}

pub fn by_id(id: ControlId) -> Option<&'static Property> {
    static BY_ID: LazyLock<BTreeMap<ControlId, &Property>> = LazyLock::new(|| {
        let with_id = |property: &'static Property| (property.definition.id, property);
        CONTROLS.iter().map(with_id).collect()
    });
    BY_ID.get(&id).copied()
}

pub fn by_property_name(name: &str) -> Option<&'static Property> {
    CONTROLS.iter().find(|property| property.name == name)
}

/// By the property's name or libcamera's.
fn by_any_name(name: &str) -> Option<&'static Property> {
    by_property_name(name).or_else(|| {
        CONTROLS
            .iter()
            .find(|property| property.definition.name == name)
    })
}

/// Sets a field for each control, with the name and the type of its property. What it has of an earlier frame is written over: most fields have another
/// number, or the same name again.
// What is said to be used instead needs GStreamer 1.26.
#[expect(deprecated)]
pub fn write(controls: &Controls, structure: &mut gst::StructureRef) {
    for (id, value) in controls.iter() {
        let Some(property) = by_id(id) else { continue };
        let field = property.field;
        let is_written = match (value, nick(property, value)) {
            (_, Some(nick)) => {
                let before = structure.value_by_quark(field);
                before.is_ok_and(|before| before.get() == Ok(nick))
            }
            (ControlValue::One(number), None) => write_over(structure, field, *number),
            _ => false,
        };
        if !is_written {
            structure.set_value_by_quark(field, to_field(property, value));
        }
    }
}

#[derive(Debug, Default)]
struct State {
    wanted: Controls,
    /// Of the open camera.
    infos: Option<Vec<ControlInfo>>,
    /// They are those of the configuration that it runs with. Before, a camera may know its ranges only roughly.
    configured: bool,
    reported: Arc<Controls>,
    /// What is wrong with controls that were set before the camera was open.
    unsaid: BTreeSet<String>,
    /// Controls that this camera lacks, and somebody was told so.
    warned: BTreeSet<ControlId>,
    /// When somebody was last told of a value that is out of range.
    told: BTreeMap<ControlId, Instant>,
    running: Weak<LoopState>,
}

#[derive(Debug, Default)]
pub struct ControlState {
    /// A leaf lock: what comes out of it is done after it was left.
    state: Mutex<State>,
    /// Held by whoever sets a control until the driver has it as well, so that both have the same order. The element's camera lock is
    /// not taken with it.
    setting: Mutex<()>,
}

/// A value that is out of range is told once in so long: a controller may set one for every frame.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl ControlState {
    /// What the camera can be told, from READY on.
    pub fn set_infos(&self, infos: Option<Vec<ControlInfo>>) {
        let mut state = self.state.lock();
        state.infos = infos;
        state.configured = false;
        state.warned.clear();
        state.told.clear();
        state.reported = Arc::default();
    }

    /// The same in the configuration that it is about to be started with.
    pub fn set_configured(&self, infos: Vec<ControlInfo>) {
        let mut state = self.state.lock();
        state.infos = Some(infos);
        state.configured = true;
    }

    /// The camera does not run any more. Whoever sets a control meanwhile has told the driver when this returns.
    pub fn stop(&self) {
        self.state.lock().running = Weak::new();
        drop(self.setting.lock());
    }

    /// A frame has brought these values.
    pub fn report(&self, metadata: Arc<Controls>) {
        let before = std::mem::replace(&mut self.state.lock().reported, metadata);
        drop(before);
    }

    /// What the camera is to be started with; from now on `running` gets what is set.
    pub fn start(&self, running: &Arc<LoopState>) -> Controls {
        let mut state = self.state.lock();
        state.running = Arc::downgrade(running);
        let all = state.wanted.clone();
        for (id, _) in all.iter().filter(|(id, _)| is_order(*id)) {
            state.wanted.remove(id);
        }
        all.into_iter()
            .filter_map(|(id, value)| Some((id, state.fitting(id, value)?)))
            .collect()
    }

    /// What did not reach the camera before it was stopped.
    pub fn give_back(&self, left: Controls) {
        let mut state = self.state.lock();
        for (id, value) in left {
            if state.wanted.get(id).is_none() {
                state.wanted.set(id, value);
            }
        }
    }

    fn current(&self, id: ControlId) -> Option<ControlValue> {
        let state = self.state.lock();
        let reported = state.reported.get(id).or_else(|| state.wanted.get(id));
        let default = || state.info(id)?.default.clone();
        reported.cloned().or_else(default)
    }
}

impl State {
    /// What a control is while a session streams, as far as that is known: as it was set, as the session was started, or the camera's default.
    fn before(&self, property: &Property, session: &Session) -> Option<ControlValue> {
        let id = property.definition.id;
        let started = || {
            let duration = i64::try_from(session.frame_duration?).ok()?;
            let is_rate = property.definition.name == "FrameDurationLimits";
            is_rate.then(|| ControlValue::List(vec![Scalar::I64(duration); 2]))
        };
        let set = self.wanted.get(id).cloned();
        let default = || self.info(id)?.default.clone();
        let before = set.or_else(started).or_else(default)?;
        self.fitting(id, before)
    }

    fn info(&self, id: ControlId) -> Option<&ControlInfo> {
        self.infos.as_ref()?.iter().find(|info| info.id == id)
    }

    /// What the open camera makes of a value; `None` where it lacks the control.
    fn fitting(&self, id: ControlId, value: ControlValue) -> Option<ControlValue> {
        let info = self.info(id)?;
        Some(match check(info, &value) {
            Checked::Fits => value,
            Checked::Clamped(nearest) => nearest,
        })
    }

    /// What is to be said of a value that somebody sets.
    fn complaint(&mut self, property: &Property, value: &ControlValue) -> Option<String> {
        let (id, name) = (property.definition.id, &property.name);
        self.infos.as_ref()?;
        let Some(info) = self.info(id) else {
            let first = self.warned.insert(id);
            return first.then(|| {
                format!("this camera has no control '{name}': it is ignored; the property 'camera-controls' lists those that it has")
            });
        };
        let Checked::Clamped(nearest) = check(info, value) else {
            return None;
        };
        let told = self.told.get(&id);
        if !self.configured || told.is_some_and(|told| told.elapsed() < TOLD_AGAIN_AFTER) {
            return None;
        }
        let shown = |value: Option<&ControlValue>| -> String {
            value.map_or_else(|| "?".to_owned(), |value| text(property, value))
        };
        let range = if info.values.is_empty() {
            format!(
                "from {} to {}",
                shown(info.min.as_ref()),
                shown(info.max.as_ref())
            )
        } else {
            let values: Vec<String> = info
                .values
                .iter()
                .map(|value| text(property, value))
                .collect();
            format!("one of {}", values.join(", "))
        };
        let complaint = format!(
            "{name} = {} is out of this camera's range ({range}): {} is used",
            text(property, value),
            text(property, &nearest)
        );
        self.told.insert(id, Instant::now());
        Some(complaint)
    }
}

/// A value of somebody's, as gst-launch would have it.
fn shown(value: &glib::Value) -> String {
    let text = value.serialize();
    text.map_or_else(|_| format!("{value:?}"), |text| text.to_string())
}

fn text(property: &Property, value: &ControlValue) -> String {
    shown(&to_field(property, value))
}

impl LibcameraSrc {
    pub fn control(&self, property: &Property) -> glib::Value {
        let value = self.controls.current(property.definition.id);
        to_value(&property.definition, value.as_ref())
    }

    pub fn set_control(&self, property: &Property, value: &glib::Value) {
        let Some(value) = from_value(&property.definition, value) else {
            return self.warn_when_open(format!(
                "'{}' takes another type or number of values than {}; `gst-inspect-1.0 libcamerasrc-rs` shows which",
                property.name,
                shown(value)
            ));
        };
        let id = property.definition.id;
        let setting = self.controls.setting.lock();
        let mut state = self.controls.state.lock();
        let complaint = state.complaint(property, &value);
        let running = state.running.upgrade();
        let now = state
            .fitting(id, value.clone())
            .filter(|_| running.is_some());
        Arc::make_mut(&mut state.reported).remove(id);
        // An order that the running camera gets now is not given again at the next start.
        if now.is_none() || !is_order(id) {
            state.wanted.set(id, value);
        }
        drop(state);
        if let (Some(running), Some(now)) = (running, now) {
            running.set_controls([(id, now)].into_iter().collect());
        }
        drop(setting);
        if let Some(complaint) = complaint {
            self.warn(&complaint);
        }
    }

    /// Controls for one request alone, and what they are to be again afterwards.
    pub fn passing_controls(
        &self,
        structure: &gst::StructureRef,
        session: &Session,
    ) -> (Controls, Controls) {
        let (mut controls, mut restore) = (Controls::default(), Controls::default());
        let mut complaints = Vec::new();
        for (name, value) in structure.iter() {
            let property = by_any_name(name).filter(|property| property.definition.is_input);
            let value = property.and_then(|property| from_value(&property.definition, value));
            let (Some(property), Some(value)) = (property, value) else {
                complaints.push(format!(
                    "'{name}' is no control that can be set to that value for a still: it is left out"
                ));
                continue;
            };
            let id = property.definition.id;
            let mut state = self.controls.state.lock();
            complaints.extend(state.complaint(property, &value));
            if let Some(value) = state.fitting(id, value) {
                controls.set(id, value);
            }
            let before = state.before(property, session);
            drop(state);
            match before {
                _ if is_never_restored(property) => (),
                Some(before) => restore.set(id, before),
                None if controls.get(id).is_some() => complaints.push(format!(
                    "'{name}' stays as the still sets it: it was not set before, and the camera does not say what it is then"
                )),
                None => (),
            }
        }
        for complaint in complaints {
            self.warn(&complaint);
        }
        (controls, restore)
    }

    /// Any number of controls by name.
    pub fn set_extra_controls(&self, extra: &gst::StructureRef) {
        for (name, value) in extra.iter() {
            match by_any_name(name) {
                Some(property) if property.definition.is_input => {
                    self.set_control(property, value);
                }
                Some(_) => self.warn_when_open(format!(
                    "'{name}' in extra-controls can only be read: leave it out, and read it as a property"
                )),
                None => self.warn_when_open(format!(
                    "libcamera has no control '{name}' (in extra-controls): {}",
                    match nearest(name, CONTROLS.iter().map(|property| property.name.as_str())) {
                        Some(near) => format!("is '{near}' meant?"),
                        None => "`gst-inspect-1.0 libcamerasrc-rs` lists those that it has".to_owned(),
                    }
                )),
            }
        }
    }

    /// What is set before the element has a bus, as gst-launch does, can be told only later.
    fn warn_when_open(&self, text: String) {
        let mut state = self.controls.state.lock();
        if state.infos.is_none() {
            state.unsaid.insert(text);
            return;
        }
        drop(state);
        self.warn(&text);
    }

    /// Everything that was set, by the names of the properties.
    pub fn extra_controls(&self) -> gst::Structure {
        let wanted = self.controls.state.lock().wanted.clone();
        let mut structure = gst::Structure::new_empty("controls");
        write(&wanted, &mut structure);
        structure
    }

    /// What the open camera can be told.
    pub fn camera_controls(&self) -> gst::Structure {
        let infos = self.controls.state.lock().infos.clone().unwrap_or_default();
        let mut structure = gst::Structure::new_empty("camera-controls");
        for info in infos {
            let Some(property) = by_id(info.id) else {
                continue;
            };
            let mut control = gst::Structure::new_empty("control");
            let limits = [
                ("min", &info.min),
                ("max", &info.max),
                ("default", &info.default),
            ];
            for (limit_name, limit) in limits {
                if let Some(limit) = limit {
                    control.set_value(limit_name, to_field(property, limit));
                }
            }
            if !info.values.is_empty() {
                let values = info.values.iter().map(|value| to_field(property, value));
                control.set("values", gst::List::from_values(values));
            }
            structure.set(&property.name, control);
        }
        structure
    }

    /// A camera was opened, or started: what was set before, and it cannot do, is told now.
    pub fn check_controls(&self) {
        let mut state = self.controls.state.lock();
        let mut complaints: Vec<String> = std::mem::take(&mut state.unsaid).into_iter().collect();
        let wanted = state.wanted.clone();
        for (id, value) in wanted.iter() {
            complaints.extend(by_id(id).and_then(|property| state.complaint(property, value)));
        }
        drop(state);
        for complaint in complaints {
            self.warn(&complaint);
        }
    }

    pub fn warn_of_refusal(&self, id: ControlId) {
        let name = by_id(id).map_or("?", |property| property.name.as_str());
        self.warn(&format!(
            "the camera's driver refuses '{name}' as it was set, and streams on without it; it may want another control first: exposure-time, for \
             instance, exposure-time-mode=manual"
        ));
    }

    fn warn(&self, text: &str) {
        gst::warning!(CAT, imp = self, "{text}");
        gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}"));
    }
}
