//! Controls as properties: names, types and values between libcamera's vocabulary and GStreamer's.

mod documentation;
mod enum_type;
mod limits;
mod names;
mod property;
mod value;

pub use limits::{Checked, check};
pub use names::nearest;
pub use property::{Property, properties};
pub use value::{from_value, nick, plain_field, to_field, to_value};
