//! One value, from the command line or from the file.

use super::error::Place;
use super::key::Key;
use crate::proto::Secret;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawOption {
    pub(super) key: Key,
    /// Any of them may be a password, so none shows in a debug print.
    value: Secret,
    pub(super) place: Place,
}

impl RawOption {
    pub(super) fn new(key: Key, value: &[u8], place: Place) -> Self {
        Self { key, value: Secret::new(value.to_vec()), place }
    }

    /// The value, as bytes.
    pub(super) fn value(&self) -> &[u8] {
        self.value.expose()
    }

    /// What a message begins with after the place: nothing for an option, whose place is its name.
    pub(super) fn about(&self) -> String {
        match &self.place {
            Place::Option(_) => String::new(),
            Place::File(_) | Place::Line(..) => format!("{}: ", self.key.name()),
        }
    }
}
