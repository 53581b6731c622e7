//! What the camera knew about a frame: the GstCustomMeta that `libcamerasrc-rs` attaches, and the fields of a note.

use std::ffi::CStr;

use glib::value::ToSendValue;
use gst::meta::CustomMeta;

use crate::shm::fields::{self, Value};

/// Of the meta and of its structure. No tags: it goes along with copies, and through elements that change pixels.
pub const META: &CStr = c"libcamera";
pub const NAME: &str = match META.to_str() {
    Ok(name) => name,
    Err(_) => unreachable!(),
};

/// Before the first buffer; as often as one likes.
pub fn register() {
    if !CustomMeta::is_registered(NAME) {
        CustomMeta::register_simple(NAME);
    }
}

/// Writes the fields of a buffer's meta into `out`, none if there is no such meta. What is of no type that cameras' controls have is left out.
pub fn encode(buffer: &gst::BufferRef, out: &mut Vec<u8>) {
    out.clear();
    let Ok(meta) = CustomMeta::from_buffer(buffer, NAME) else {
        return;
    };
    for (name, value) in meta.structure().iter() {
        if let Some(value) = from_value(value) {
            fields::encode(out, name.as_str(), &value);
        }
    }
}

/// Attaches the meta with these fields to a buffer.
pub fn attach(buffer: &mut gst::BufferRef, fields: Vec<(&str, Value)>) {
    let Ok(mut meta) = CustomMeta::add(buffer, NAME) else {
        return;
    };
    let structure = meta.mut_structure();
    for (name, value) in fields {
        structure.set_value(name, to_value(value));
    }
}

/// The structure of a buffer's meta as text; `None` if there is no such meta.
pub fn as_text(buffer: &gst::BufferRef) -> Option<String> {
    let meta = CustomMeta::from_buffer(buffer, NAME).ok()?;
    Some(meta.structure().to_string())
}

/// Attaches the meta with a structure's fields, those of types that cameras' controls have.
pub fn attach_structure(buffer: &mut gst::BufferRef, structure: &gst::StructureRef) {
    let fields = structure.iter();
    let fields = fields.filter_map(|(name, value)| Some((name.as_str(), from_value(value)?)));
    attach(buffer, fields.collect());
}

fn from_value(value: &glib::Value) -> Option<Value> {
    Some(match value.type_() {
        glib::Type::BOOL => Value::Bool(value.get().ok()?),
        glib::Type::U8 => Value::Byte(value.get().ok()?),
        glib::Type::I32 => Value::Int(value.get().ok()?),
        glib::Type::U32 => Value::UInt(value.get().ok()?),
        glib::Type::I64 => Value::Int64(value.get().ok()?),
        glib::Type::F32 => Value::Float(value.get().ok()?),
        glib::Type::F64 => Value::Double(value.get().ok()?),
        // One that is not UTF-8 panics when it is read as text.
        glib::Type::STRING => {
            let text = value.get::<Option<std::path::PathBuf>>().ok()??;
            Value::Text(text.into_os_string().into_string().ok()?)
        }
        _ => {
            let list = value.get::<gst::Array>().ok()?;
            let values = list.iter().map(|value| from_value(value));
            Value::List(values.collect::<Option<_>>()?)
        }
    })
}

fn to_value(value: Value) -> glib::SendValue {
    match value {
        Value::Bool(value) => value.to_send_value(),
        Value::Byte(value) => value.to_send_value(),
        Value::Int(value) => value.to_send_value(),
        Value::UInt(value) => value.to_send_value(),
        Value::Int64(value) => value.to_send_value(),
        Value::Float(value) => value.to_send_value(),
        Value::Double(value) => value.to_send_value(),
        Value::Text(text) => text.to_send_value(),
        Value::List(values) => {
            gst::Array::from_values(values.into_iter().map(to_value)).to_send_value()
        }
    }
}
