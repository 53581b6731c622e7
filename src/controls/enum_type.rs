//! Enumerations that are known at run time only.

use super::names;
use crate::camera::ControlDefinition;
use glib::{gobject_ffi, translate::FromGlib};
use std::{ffi::CString, ptr};

fn c_text(text: &str) -> CString {
    let text: String = text.chars().filter(|letter| *letter != '\0').collect();
    CString::new(text).unwrap_or_default()
}

/// Types are never unregistered, and neither is what they point to.
fn for_ever(text: &str) -> *const std::ffi::c_char {
    c_text(text).into_raw()
}

/// The GType of a control's enumeration; the same one when it is asked for again.
pub fn register(definition: &ControlDefinition) -> glib::Type {
    let vendor = definition.vendor.as_deref().unwrap_or_default();
    let mut capital = vendor.to_owned();
    if let Some(first) = capital.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let name = format!("GstLibcameraRs{capital}{}", definition.name);
    if let Some(known) = glib::Type::from_name(&name) {
        return known;
    }
    let mut values: Vec<gobject_ffi::GEnumValue> = definition
        .enumerators
        .iter()
        .zip(names::nicks(definition))
        .map(|((value, name), nick)| gobject_ffi::GEnumValue {
            value: *value,
            value_name: for_ever(name),
            value_nick: for_ever(&nick),
        })
        .collect();
    values.push(gobject_ffi::GEnumValue {
        value: 0,
        value_name: ptr::null(),
        value_nick: ptr::null(),
    });
    let values: &'static mut [gobject_ffi::GEnumValue] = values.leak();
    // SAFETY: name and values live for ever, and the values end with an empty one.
    unsafe {
        let registered = gobject_ffi::g_enum_register_static(for_ever(&name), values.as_ptr());
        glib::Type::from_glib(registered)
    }
}

/// A property of such a type.
pub fn param_spec(
    definition: &ControlDefinition,
    name: &str,
    nick: &str,
    blurb: &str,
    flags: glib::ParamFlags,
) -> glib::ParamSpec {
    use glib::translate::{IntoGlib, from_glib_none};
    let enumeration = register(definition);
    let default = definition.enumerators.iter().map(|(value, _)| *value).min();
    let (name, nick, blurb) = (c_text(name), c_text(nick), c_text(blurb));
    // SAFETY: the type is an enumeration, and the default one of its values; the texts are copied.
    unsafe {
        from_glib_none(gobject_ffi::g_param_spec_enum(
            name.as_ptr(),
            nick.as_ptr(),
            blurb.as_ptr(),
            enumeration.into_glib(),
            default.unwrap_or_default(),
            flags.into_glib(),
        ))
    }
}

/// A value of such a type.
pub fn to_value(definition: &ControlDefinition, value: i32) -> glib::Value {
    let mut wrapped = glib::Value::from_type(register(definition));
    // SAFETY: the value is of an enumeration.
    unsafe {
        use glib::translate::ToGlibPtrMut;
        gobject_ffi::g_value_set_enum(wrapped.to_glib_none_mut().0, value);
    }
    wrapped
}

/// The number of a value of any enumeration.
pub fn from_value(value: &glib::Value) -> Option<i32> {
    use glib::translate::ToGlibPtr;
    // SAFETY: the type is checked before the value is read.
    unsafe {
        let raw = value.to_glib_none().0;
        let is_enum =
            gobject_ffi::g_type_check_value_holds(raw.cast_mut(), gobject_ffi::G_TYPE_ENUM);
        (is_enum != glib::ffi::GFALSE).then(|| gobject_ffi::g_value_get_enum(raw))
    }
}
