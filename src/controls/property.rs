//! A property for each control.

use super::{documentation, enum_type, names};
use crate::camera::{ControlDefinition, ControlKind};
use glib::prelude::*;

#[derive(Clone, Debug)]
pub struct Property {
    pub name: String,
    /// The name, as structures have it.
    pub field: glib::Quark,
    /// Those of an enumeration's values.
    pub nicks: Vec<String>,
    pub definition: ControlDefinition,
}

/// Controls that libcamera defines as reported only, and that some of its cameras take all the same.
const ALSO_INPUTS: &[&str] = &["ColourTemperature", "ScalerCrops"];

/// A property for each of these controls, in their order.
pub fn properties(definitions: &[ControlDefinition]) -> Vec<Property> {
    definitions
        .iter()
        .map(|definition| (names::property_name(definition), definition))
        .map(|(name, definition)| Property {
            field: glib::Quark::from_str(&name),
            nicks: names::nicks(definition),
            name,
            definition: ControlDefinition {
                is_input: definition.is_input || ALSO_INPUTS.contains(&definition.name.as_str()),
                ..definition.clone()
            },
        })
        .collect()
}

impl Property {
    pub fn param_spec(&self) -> glib::ParamSpec {
        let definition = &self.definition;
        let flags = if definition.is_input {
            glib::ParamFlags::READWRITE | gst::PARAM_FLAG_CONTROLLABLE
        } else {
            glib::ParamFlags::READABLE
        };
        let (name, blurb) = (self.name.as_str(), documentation::blurb(definition));
        let nick = definition.name.as_str();
        if definition.kind == ControlKind::Text {
            return glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(&blurb)
                .flags(flags)
                .build();
        }
        if !definition.is_list {
            return element(definition, name, nick, &blurb, flags);
        }
        let of = element(
            definition,
            "element",
            "Element",
            "One value of the list",
            flags,
        );
        gst::ParamSpecArray::builder(name)
            .nick(nick)
            .blurb(&blurb)
            .element_spec(&of)
            .flags(flags)
            .build()
    }
}

fn element(
    definition: &ControlDefinition,
    name: &str,
    nick: &str,
    blurb: &str,
    flags: glib::ParamFlags,
) -> glib::ParamSpec {
    if !definition.enumerators.is_empty() {
        return enum_type::param_spec(definition, name, nick, blurb, flags);
    }
    macro_rules! spec {
        ($type:ident) => {
            glib::$type::builder(name)
                .nick(nick)
                .blurb(blurb)
                .flags(flags)
                .build()
        };
    }
    match definition.kind {
        ControlKind::Bool => spec!(ParamSpecBoolean),
        ControlKind::U8 => spec!(ParamSpecUChar),
        ControlKind::U16 | ControlKind::U32 => spec!(ParamSpecUInt),
        ControlKind::I32 => spec!(ParamSpecInt),
        ControlKind::I64 => spec!(ParamSpecInt64),
        // A float's smallest value is not what GObject takes for it by itself.
        ControlKind::F32 => glib::ParamSpecFloat::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(f32::MIN)
            .maximum(f32::MAX)
            .flags(flags)
            .build(),
        ControlKind::Text => spec!(ParamSpecString),
        ControlKind::Rectangle | ControlKind::Size | ControlKind::Point => {
            let integer = glib::ParamSpecInt::builder("number")
                .nick("Number")
                .blurb("One of the numbers")
                .flags(flags)
                .build();
            gst::ParamSpecArray::builder(name)
                .nick(nick)
                .blurb(blurb)
                .element_spec(&integer)
                .flags(flags)
                .build()
        }
    }
}
