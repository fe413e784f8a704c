//! The identities of staging areas and of the files in them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use arrayvec::ArrayString;

use super::setup::random;

/// A staging area's random identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct SpoolId(pub(in crate::store) u128);

impl SpoolId {
    /// Unlike any other.
    pub(in crate::store) fn random() -> Self {
        Self(u128::from(random()) << 64 | u128::from(random()))
    }
}

/// A staged file: the random number of the [`Spool`](crate::store::Spool) value that made it, and a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StageId {
    pub(in crate::store) session: u64,
    pub(in crate::store) number: u64,
}

impl StageId {
    /// The staged file's name.
    pub(in crate::store) fn file_name(self) -> ArrayString<LONGEST> {
        let mut name = ArrayString::new();
        write!(name, "{self}").expect("the longest has as many bytes");
        name
    }
}

/// Bytes of the longest name of a staged file.
const LONGEST: usize = "0123456789abcdef-18446744073709551615".len();

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SpoolId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        hex(text, 32).map(Self).ok_or(Malformed)
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.session, self.number)
    }
}

impl FromStr for StageId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (session, number) = text.split_once('-').ok_or(Malformed)?;
        let session = hex(session, 16).and_then(|value| u64::try_from(value).ok()).ok_or(Malformed)?;
        let number = number.parse().map_err(|_| Malformed)?;
        let id = Self { session, number };
        // One spelling each: a file called `…-007` is none of ours.
        if id.file_name().as_str() == text { Ok(id) } else { Err(Malformed) }
    }
}

/// Not an identity of ours.
#[derive(Debug)]
pub(crate) struct Malformed;

/// A number of so many hexadecimal digits, neither more nor fewer.
pub(in crate::store) fn hex(text: &str, digits: usize) -> Option<u128> {
    let well_formed = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    well_formed.then(|| u128::from_str_radix(text, 16).ok())?
}
