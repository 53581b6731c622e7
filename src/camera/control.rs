//! Controls: what a camera can be told, and what it tells of each frame.

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

/// What kind of scalar a control's value is, or is a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlKind {
    Bool,
    U8,
    U16,
    U32,
    I32,
    I64,
    F32,
    Rectangle,
    Size,
    Point,
    Text,
}

/// How a control is defined, whatever the camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlDefinition {
    pub id: ControlId,
    /// As libcamera spells it: `AeEnable`.
    pub name: String,
    /// Who has defined it, where that is not libcamera for all cameras: `rpi`, `draft`.
    pub vendor: Option<String>,
    pub kind: ControlKind,
    pub is_list: bool,
    /// How many elements a list has, where that is fixed.
    pub length: Option<usize>,
    /// It can be set.
    pub is_input: bool,
    /// It is reported for frames.
    pub is_output: bool,
    /// The values of an enumeration, with their names: `AwbAuto`.
    pub enumerators: Vec<(i32, String)>,
}

/// A control that a camera has, and what it can be set to.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlInfo {
    pub id: ControlId,
    pub min: Option<ControlValue>,
    pub max: Option<ControlValue>,
    pub default: Option<ControlValue>,
    /// The only values there are, where not all between the smallest and the largest are.
    pub values: Vec<ControlValue>,
}

/// Values of controls, one for each, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Controls(Vec<(ControlId, ControlValue)>);

impl Controls {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, id: ControlId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(other, _)| *other)
    }

    pub fn set(&mut self, id: ControlId, value: ControlValue) {
        match self.place(id) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (id, value)),
        }
    }

    pub fn get(&self, id: ControlId) -> Option<&ControlValue> {
        let place = self.place(id).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, id: ControlId) -> Option<&mut ControlValue> {
        let place = self.place(id).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    pub fn remove(&mut self, id: ControlId) -> Option<ControlValue> {
        let place = self.place(id).ok()?;
        Some(self.0.remove(place).1)
    }

    /// Empty, with the memory that it has.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (ControlId, &ControlValue)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }
}

impl FromIterator<(ControlId, ControlValue)> for Controls {
    fn from_iter<I: IntoIterator<Item = (ControlId, ControlValue)>>(values: I) -> Self {
        let mut controls = Self::default();
        controls.extend(values);
        controls
    }
}

impl Extend<(ControlId, ControlValue)> for Controls {
    fn extend<I: IntoIterator<Item = (ControlId, ControlValue)>>(&mut self, values: I) {
        for (id, value) in values {
            self.set(id, value);
        }
    }
}

impl IntoIterator for Controls {
    type Item = (ControlId, ControlValue);
    type IntoIter = std::vec::IntoIter<(ControlId, ControlValue)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
