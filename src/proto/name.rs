//! Names of files, as they travel and as they may be stored.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::Quoted;

/// The longest file name Linux filesystems take, in bytes (`NAME_MAX`).
pub(super) const MAX_NAME: usize = 255;

/// Characters stock refuses in a name, and leaves out of its listings.
const FORBIDDEN: &[u8] = b"?[]/\\=+<>:;',*~";

/// A file name that is safe to send to a Tentacle server and to store in one directory.
///
/// Names are bytes: stock passes on what the agent chose, in whatever encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<[u8]>);

impl FileName {
    /// Checks `bytes` against the protocol's rules and ours.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// A name that has passed [`check`] before.
    pub(super) fn from_checked(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether `bytes` may be a [`FileName`].
pub(super) fn check(bytes: &[u8]) -> Result<(), NameError> {
    match bytes {
        b"" => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ => check_characters(bytes).and_then(|()| check_length(bytes)),
    }
}

pub(super) fn check_length(bytes: &[u8]) -> Result<(), NameError> {
    if bytes.len() > MAX_NAME { Err(NameError::TooLong(bytes.len())) } else { Ok(()) }
}

pub(super) fn check_characters(bytes: &[u8]) -> Result<(), NameError> {
    bytes.iter().try_for_each(|&byte| match byte {
        _ if byte.is_ascii_control() => Err(NameError::Control(byte)),
        _ if FORBIDDEN.contains(&byte) => Err(NameError::Forbidden(byte)),
        _ => Ok(()),
    })
}

/// A name is found by its bytes.
impl Borrow<[u8]> for FileName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name.as_bytes())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted::of_bytes(&self.0).fmt(f)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// A name as a client may put it to a server, which alone judges it: stock servers can be told which characters they
/// take. Any bytes that fit into a line.
#[derive(Clone, PartialEq, Eq)]
pub struct RawName(Box<[u8]>);

impl RawName {
    /// Takes all but what would end the line.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.contains(&b'\n') { Err(NameError::Control(b'\n')) } else { Ok(Self(bytes.into())) }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted::of_bytes(&self.0).fmt(f)
    }
}

impl fmt::Debug for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// Why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("the name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("the name is a directory's")]
    Dots,
    /// More than 255 bytes; the length.
    #[error("the name has {0} bytes; {MAX_NAME} are allowed")]
    TooLong(usize),
    /// A character with a meaning to a shell, a path or the protocol.
    #[error("the name holds the forbidden character {:?}", char::from(*.0))]
    Forbidden(u8),
    /// A control character.
    #[error("the name holds the control character 0x{0:02x}")]
    Control(u8),
}

impl NameError {
    /// Whether a character is at fault: stock refuses those, and stumbles over the other names later.
    pub(super) fn is_of_a_character(self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::Control(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["web01.1700000000.data", "odd name.data", ".hidden", "caf\u{e9}.data"] {
            assert_eq!(FileName::new(name.as_bytes()).unwrap().as_bytes(), name.as_bytes());
        }
        assert!(FileName::new(&[0xff, 0xfe]).is_ok());
        assert!(FileName::new(&[b'a'; MAX_NAME]).is_ok());
    }

    #[test]
    fn what_could_leave_the_directory_or_the_line_is_refused() {
        assert_eq!(FileName::new(b""), Err(NameError::Empty));
        assert_eq!(FileName::new(b"."), Err(NameError::Dots));
        assert_eq!(FileName::new(b".."), Err(NameError::Dots));
        assert_eq!(FileName::new(b"../x"), Err(NameError::Forbidden(b'/')));
        assert_eq!(FileName::new(b"a\nb"), Err(NameError::Control(b'\n')));
        assert_eq!(FileName::new(b"a\0b"), Err(NameError::Control(0)));
        assert_eq!(FileName::new(&[b'a'; 256]), Err(NameError::TooLong(256)));
        assert_eq!(FileName::new(&[b'?'; 256]), Err(NameError::Forbidden(b'?')));
        for &byte in FORBIDDEN {
            assert_eq!(FileName::new(&[b'a', byte]), Err(NameError::Forbidden(byte)));
        }
    }
}
