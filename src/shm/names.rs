//! Names that strangers have used. GStreamer keeps every name of a field for as long as the process lives, so nobody may make up new ones for ever.

use std::collections::HashSet;

/// Cameras have some 60 controls, caps some 20 fields.
pub const MAX_NAMES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_NAMES} different names of fields")]
pub struct TooManyNames;

#[derive(Debug, Clone, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// These may be used.
    pub fn admit<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), TooManyNames> {
        for name in names {
            if self.0.contains(name) {
                continue;
            }
            if self.0.len() >= MAX_NAMES {
                return Err(TooManyNames);
            }
            self.0.insert(name.to_owned());
        }
        Ok(())
    }
}
