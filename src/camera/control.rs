//! Controls: what a camera can be told, and what it tells of each frame.

use std::collections::BTreeMap;

/// A control by its number, which libcamera keeps stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rectangle {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
}

/// One value, or one element of a list of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    I32(i32),
    I64(i64),
    F32(f32),
    Rectangle(Rectangle),
    Size(super::Size),
    Point { x: i32, y: i32 },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ControlValue {
    One(Scalar),
    /// All of one kind. A list of one is not the same as one value.
    List(Vec<Scalar>),
    Text(String),
}

/// Values of controls, one for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controls(BTreeMap<ControlId, ControlValue>);

impl Controls {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn set(&mut self, id: ControlId, value: ControlValue) {
        self.0.insert(id, value);
    }

    pub fn get(&self, id: ControlId) -> Option<&ControlValue> {
        self.0.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ControlId, &ControlValue)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }
}

impl FromIterator<(ControlId, ControlValue)> for Controls {
    fn from_iter<I: IntoIterator<Item = (ControlId, ControlValue)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Extend<(ControlId, ControlValue)> for Controls {
    fn extend<I: IntoIterator<Item = (ControlId, ControlValue)>>(&mut self, values: I) {
        self.0.extend(values);
    }
}

impl IntoIterator for Controls {
    type Item = (ControlId, ControlValue);
    type IntoIter = std::collections::btree_map::IntoIter<ControlId, ControlValue>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
