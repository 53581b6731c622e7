//! Values of controls between GObject's types and ours.

use super::{enum_type, property::Property};
use crate::camera::{ControlDefinition, ControlKind, ControlValue, Rectangle, Scalar, Size};
use gst::prelude::*;
use std::path::PathBuf;

/// What a property of this control takes from `value`; `None` where that is of another type or length.
pub fn from_value(definition: &ControlDefinition, value: &glib::Value) -> Option<ControlValue> {
    if definition.kind == ControlKind::Text {
        return text(value).map(ControlValue::Text);
    }
    if !definition.is_list {
        return scalar(definition, value).map(ControlValue::One);
    }
    let elements = elements(value)?;
    let wrong = definition
        .length
        .is_some_and(|length| length != elements.len());
    if wrong {
        return None;
    }
    let scalars: Option<Vec<Scalar>> = elements
        .iter()
        .map(|element| scalar(definition, element))
        .collect();
    scalars.map(ControlValue::List)
}

fn elements(value: &glib::Value) -> Option<Vec<glib::Value>> {
    let copy = |value: &glib::SendValue| -> glib::Value { (**value).clone() };
    if let Ok(array) = value.get::<gst::Array>() {
        return Some(array.iter().map(copy).collect());
    }
    let list = value.get::<gst::List>().ok()?;
    Some(list.iter().map(copy).collect())
}

/// A number in whatever type it comes.
fn number<T>(value: &glib::Value) -> Option<T>
where
    T: glib::value::ValueType + for<'a> glib::value::FromValue<'a>,
{
    value.transform::<T>().ok()?.get::<T>().ok()
}

/// Text. What is not UTF-8 panics when it is read as such.
fn text(value: &glib::Value) -> Option<String> {
    let text = value.get::<Option<PathBuf>>().ok()??;
    text.into_os_string().into_string().ok()
}

/// A number that may not be negative, and not be more than `T` holds.
fn unsigned<T: TryFrom<i64>>(value: &glib::Value) -> Option<T> {
    T::try_from(number::<i64>(value)?).ok()
}

fn numbers(value: &glib::Value, count: usize) -> Option<Vec<i32>> {
    let numbers: Option<Vec<i32>> = elements(value)?.iter().map(number::<i32>).collect();
    numbers.filter(|numbers| numbers.len() == count)
}

fn scalar(definition: &ControlDefinition, value: &glib::Value) -> Option<Scalar> {
    Some(match definition.kind {
        ControlKind::Bool => Scalar::Bool(number(value)?),
        ControlKind::U8 => Scalar::U8(unsigned(value)?),
        ControlKind::U16 => Scalar::U16(unsigned(value)?),
        ControlKind::U32 => Scalar::U32(unsigned(value)?),
        ControlKind::I32 => Scalar::I32(enumerated(definition, value).or_else(|| number(value))?),
        ControlKind::I64 => Scalar::I64(number(value)?),
        ControlKind::F32 => Scalar::F32(number(value)?),
        ControlKind::Rectangle => match numbers(value, 4)?.as_slice() {
            [x, y, width, height] => Scalar::Rectangle(Rectangle {
                x: *x,
                y: *y,
                width: u32::try_from(*width).ok()?,
                height: u32::try_from(*height).ok()?,
            }),
            _ => return None,
        },
        ControlKind::Size => match numbers(value, 2)?.as_slice() {
            [width, height] => Scalar::Size(Size::new(
                u32::try_from(*width).ok()?,
                u32::try_from(*height).ok()?,
            )),
            _ => return None,
        },
        ControlKind::Point => match numbers(value, 2)?.as_slice() {
            [x, y] => Scalar::Point { x: *x, y: *y },
            _ => return None,
        },
        ControlKind::Text => return None,
    })
}

/// A value of an enumeration, by its number, its nick or libcamera's name.
fn enumerated(definition: &ControlDefinition, value: &glib::Value) -> Option<i32> {
    if let Some(number) = enum_type::from_value(value) {
        return Some(number);
    }
    let name = text(value)?;
    let nicks = super::names::nicks(definition);
    let found = definition
        .enumerators
        .iter()
        .zip(nicks)
        .find(|((_, long), nick)| *long == name || *nick == name);
    found.map(|((number, _), _)| *number)
}

/// A value in the shape of its definition. Cameras give one number as the limit or default of a whole list, and may report anything.
fn shaped(definition: &ControlDefinition, value: &ControlValue) -> Option<ControlValue> {
    let fits = |scalar: &Scalar| kind(*scalar) == definition.kind;
    match value {
        ControlValue::Text(_) => (definition.kind == ControlKind::Text).then(|| value.clone()),
        ControlValue::One(scalar) if !fits(scalar) => None,
        ControlValue::One(scalar) if definition.is_list => {
            Some(ControlValue::List(vec![
                *scalar;
                definition.length.unwrap_or(1)
            ]))
        }
        ControlValue::List(scalars) if !scalars.iter().all(fits) => None,
        ControlValue::List(scalars) if !definition.is_list => {
            scalars.first().map(|scalar| ControlValue::One(*scalar))
        }
        ControlValue::One(_) | ControlValue::List(_) => Some(value.clone()),
    }
}

fn kind(scalar: Scalar) -> ControlKind {
    match scalar {
        Scalar::Bool(_) => ControlKind::Bool,
        Scalar::U8(_) => ControlKind::U8,
        Scalar::U16(_) => ControlKind::U16,
        Scalar::U32(_) => ControlKind::U32,
        Scalar::I32(_) => ControlKind::I32,
        Scalar::I64(_) => ControlKind::I64,
        Scalar::F32(_) => ControlKind::F32,
        Scalar::Rectangle(_) => ControlKind::Rectangle,
        Scalar::Size(_) => ControlKind::Size,
        Scalar::Point { .. } => ControlKind::Point,
    }
}

/// The value of a property of this control, always of the property's type; the type's own default where there is none, or one that does not
/// fit.
pub fn to_value(definition: &ControlDefinition, value: Option<&ControlValue>) -> glib::Value {
    match &value.and_then(|value| shaped(definition, value)) {
        Some(ControlValue::Text(text)) => text.to_value(),
        Some(ControlValue::One(scalar)) => scalar_value(definition, *scalar),
        Some(ControlValue::List(scalars)) => list_value(scalars),
        None if definition.kind == ControlKind::Text => None::<String>.to_value(),
        None if definition.is_list => list_value(&[]),
        None => scalar_value(definition, zero(definition)),
    }
}

/// The value of something that has no definition, as a field of a structure.
pub fn plain_field(value: &ControlValue) -> glib::SendValue {
    match value {
        ControlValue::Text(text) => text.to_send_value(),
        ControlValue::One(scalar) => plain(*scalar),
        ControlValue::List(scalars) => {
            gst::Array::from_values(scalars.iter().map(|scalar| plain(*scalar))).to_send_value()
        }
    }
}

/// The value as a field of a structure: an enumeration's by its name.
pub fn to_field(property: &Property, value: &ControlValue) -> glib::SendValue {
    match (value, nick(property, value)) {
        (_, Some(nick)) => nick.to_send_value(),
        (ControlValue::One(Scalar::I32(number)), None) if !property.nicks.is_empty() => {
            number.to_string().to_send_value()
        }
        (value, None) => plain_field(value),
    }
}

/// The name of an enumeration's value, where it has one.
pub fn nick<'a>(property: &'a Property, value: &ControlValue) -> Option<&'a str> {
    let ControlValue::One(Scalar::I32(number)) = value else {
        return None;
    };
    let names = property.definition.enumerators.iter().zip(&property.nicks);
    let mut names = names.filter(|((value, _), _)| value == number);
    names.next().map(|(_, nick)| nick.as_str())
}

fn list_value(scalars: &[Scalar]) -> glib::Value {
    gst::Array::from_values(scalars.iter().map(|scalar| plain(*scalar))).to_value()
}

/// What a control is called 0: there is no camera to ask.
fn zero(definition: &ControlDefinition) -> Scalar {
    match definition.kind {
        ControlKind::Bool => Scalar::Bool(false),
        ControlKind::U8 => Scalar::U8(0),
        ControlKind::U16 => Scalar::U16(0),
        ControlKind::U32 => Scalar::U32(0),
        ControlKind::I32 | ControlKind::Text => {
            let least = definition.enumerators.iter().map(|(value, _)| *value).min();
            Scalar::I32(least.unwrap_or_default())
        }
        ControlKind::I64 => Scalar::I64(0),
        ControlKind::F32 => Scalar::F32(0.0),
        ControlKind::Rectangle => Scalar::Rectangle(Rectangle {
            x: 0,
            y: 0,
            width: 0,
            height: 0,
        }),
        ControlKind::Size => Scalar::Size(Size::new(0, 0)),
        ControlKind::Point => Scalar::Point { x: 0, y: 0 },
    }
}

fn scalar_value(definition: &ControlDefinition, scalar: Scalar) -> glib::Value {
    match scalar {
        Scalar::I32(value) if !definition.enumerators.is_empty() => {
            enum_type::to_value(definition, value)
        }
        scalar => plain(scalar).into(),
    }
}

/// A value of a type that GObject and GStreamer have anyway.
fn plain(scalar: Scalar) -> glib::SendValue {
    let integers = |integers: &[i32]| {
        let values = integers.iter().map(|integer| integer.to_send_value());
        gst::Array::from_values(values).to_send_value()
    };
    let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    match scalar {
        Scalar::Bool(value) => value.to_send_value(),
        Scalar::U8(value) => value.to_send_value(),
        Scalar::U16(value) => u32::from(value).to_send_value(),
        Scalar::U32(value) => value.to_send_value(),
        Scalar::I32(value) => value.to_send_value(),
        Scalar::I64(value) => value.to_send_value(),
        Scalar::F32(value) => value.to_send_value(),
        Scalar::Rectangle(value) => {
            integers(&[value.x, value.y, signed(value.width), signed(value.height)])
        }
        Scalar::Size(value) => integers(&[signed(value.width), signed(value.height)]),
        Scalar::Point { x, y } => integers(&[x, y]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::camera::ControlId;

    fn control(kind: ControlKind, is_list: bool, enumerators: &[&str]) -> ControlDefinition {
        gst::init().unwrap();
        let enumerators = (0..).zip(enumerators.iter().map(|name| (*name).to_owned()));
        ControlDefinition {
            id: ControlId(1),
            name: format!("Test{kind:?}{is_list}{}", enumerators.clone().count()),
            vendor: None,
            kind,
            is_list,
            length: None,
            is_input: true,
            is_output: true,
            enumerators: enumerators.collect(),
        }
    }

    fn parsed(
        definition: &ControlDefinition,
        value: impl Into<glib::Value>,
    ) -> Option<ControlValue> {
        from_value(definition, &value.into())
    }

    fn goes_round(definition: &ControlDefinition, value: ControlValue) {
        let there = to_value(definition, Some(&value));
        assert_eq!(from_value(definition, &there), Some(value));
    }

    #[test]
    fn values_go_there_and_back() {
        let rectangle = Scalar::Rectangle(Rectangle {
            x: -1,
            y: 2,
            width: 30,
            height: 40,
        });
        let scalars = [
            (ControlKind::Bool, Scalar::Bool(true)),
            (ControlKind::U8, Scalar::U8(200)),
            (ControlKind::U16, Scalar::U16(60_000)),
            (ControlKind::U32, Scalar::U32(70_000)),
            (ControlKind::I32, Scalar::I32(-7)),
            (ControlKind::I64, Scalar::I64(1 << 40)),
            (ControlKind::F32, Scalar::F32(0.25)),
            (ControlKind::Rectangle, rectangle),
            (ControlKind::Size, Scalar::Size(Size::new(3, 4))),
            (ControlKind::Point, Scalar::Point { x: -3, y: 4 }),
        ];
        for (kind, scalar) in scalars {
            goes_round(&control(kind, false, &[]), ControlValue::One(scalar));
            let list = control(kind, true, &[]);
            goes_round(&list, ControlValue::List(vec![scalar; 3]));
            goes_round(&list, ControlValue::List(vec![scalar]));
        }
        let text = ControlValue::Text("text".to_owned());
        goes_round(&control(ControlKind::Text, false, &[]), text);
    }

    #[test]
    fn numbers_come_in_any_type_and_enumerations_by_any_name() {
        let gain = control(ControlKind::F32, false, &[]);
        let two = Some(ControlValue::One(Scalar::F32(2.0)));
        assert_eq!(parsed(&gain, 2), two);
        assert_eq!(parsed(&gain, 2.0_f64), two);
        let small = control(ControlKind::U8, false, &[]);
        assert_eq!(parsed(&small, 300), None);
        assert_eq!(parsed(&small, -1), None);
        let mode = control(ControlKind::I32, false, &["ModeOff", "ModeOn"]);
        let on = Some(ControlValue::One(Scalar::I32(1)));
        assert_eq!(parsed(&mode, 1), on);
        assert_eq!(parsed(&mode, "on"), on);
        assert_eq!(parsed(&mode, "ModeOn"), on);
        assert_eq!(parsed(&mode, "other"), None);
        goes_round(&mode, ControlValue::One(Scalar::I32(1)));
    }

    #[test]
    fn a_list_of_another_length_is_refused() {
        let mut gains = control(ControlKind::F32, true, &[]);
        gains.length = Some(2);
        let list = |count| gst::Array::new(vec![1.0_f32; count]);
        assert!(parsed(&gains, list(2)).is_some());
        assert_eq!(parsed(&gains, list(3)), None);
        assert_eq!(parsed(&gains, 1.0_f32), None);
    }
}
