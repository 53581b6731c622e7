//! Caps as text that a stranger may have written, looked at before GStreamer parses it.
//!
//! GStreamer's parser makes a value of whatever type the text names, goes as deep as it is nested, and keeps every name for ever. So only text that
//! fixed caps need is let through: the types below, lists of one level, and names whose number the caller bounds.

use super::fields::is_name;
use super::note::MAX_CAPS;

/// As they are printed, and as people write them.
const TYPES: &[&str] = &[
    "int",
    "i",
    "uint",
    "u",
    "int64",
    "guint64",
    "gint64",
    "uint64",
    "float",
    "f",
    "double",
    "d",
    "boolean",
    "bool",
    "b",
    "string",
    "str",
    "s",
    "fraction",
    "bitmask",
    "buffer",
    "GstVideoMultiviewFlagsSet",
];
/// The features of memory that anybody can map, which is what frames are in once they are shared.
pub const FEATURES: &[&str] = &["memory:SystemMemory"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapsTextError {
    #[error("caps of {0} bytes, where {MAX_CAPS} are the limit")]
    TooLong(usize),
    #[error("caps with a character that does not belong there, at byte {0}")]
    Character(usize),
    #[error("caps with a value of a type that is not known here, at byte {0}")]
    Type(usize),
    #[error("caps with something that is no name, at byte {0}")]
    Name(usize),
}

/// The names in the text, its media type first, if it is no more than fixed caps need.
pub fn names(text: &str) -> Result<Vec<&str>, CapsTextError> {
    names_with(text, FEATURES)
}

/// The same for caps that may have one of these features.
pub fn names_with<'a>(text: &'a str, features: &[&str]) -> Result<Vec<&'a str>, CapsTextError> {
    if text.len() > MAX_CAPS {
        return Err(CapsTextError::TooLong(text.len()));
    }
    let mut names = Vec::new();
    // Where the part began that the next of `,;=(` ends.
    let mut begun = 0;
    let mut bytes = text.bytes().enumerate();
    let mut lists = 0;
    let part = |begun: usize, end: usize| text.get(begun..end).unwrap_or_default().trim();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                skip_string(&mut bytes).ok_or(CapsTextError::Character(at))?;
            }
            b'(' => {
                let end = bytes.find(|(_, byte)| *byte == b')');
                let (end, _) = end.ok_or(CapsTextError::Character(at))?;
                let inside = part(at + 1, end);
                let feature = names.is_empty();
                if feature {
                    names.push(name(part(begun, at), begun)?);
                }
                let known = match feature {
                    true => features.contains(&inside),
                    false => TYPES.contains(&inside),
                };
                if !known {
                    return Err(CapsTextError::Type(at));
                }
                begun = end + 1;
            }
            b'=' if lists == 0 => {
                names.push(name(part(begun, at), begun)?);
                begun = at + 1;
            }
            b',' if lists == 0 => {
                if names.is_empty() {
                    names.push(name(part(begun, at), begun)?);
                }
                begun = at + 1;
            }
            b'<' if lists == 0 => lists = 1,
            b'>' if lists == 1 => lists = 0,
            b',' => (),
            // Several structures, ranges and choices: none of them is fixed.
            b'<' | b'>' | b'=' | b';' | b'[' | b']' | b'{' | b'}' | b')' => {
                return Err(CapsTextError::Character(at));
            }
            b' '..=b'~' => (),
            _ => return Err(CapsTextError::Character(at)),
        }
    }
    if names.is_empty() {
        names.push(name(part(begun, text.len()), begun)?);
    }
    Ok(names)
}

fn name(name: &str, at: usize) -> Result<&str, CapsTextError> {
    if is_name(name) {
        Ok(name)
    } else {
        Err(CapsTextError::Name(at))
    }
}

/// To behind the closing quote; `None` if there is none, or something that is not to be printed.
fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) -> Option<()> {
    loop {
        match bytes.next()?.1 {
            b'"' => return Some(()),
            b'\\' => {
                bytes.next()?;
            }
            0..b' ' | 0x7f => return None,
            _ => (),
        }
    }
}
