//! Names of files, as they travel and as they may be stored.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Quoted;

/// The longest file name Linux filesystems take, in bytes (`NAME_MAX`).
pub(super) const MAX_NAME: usize = 255;

/// Characters stock refuses in a name, and leaves out of its listings.
const FORBIDDEN: &[u8] = b"?[]/\\=+<>:;',*~";

/// The directory that a collector of ours has in each incoming directory.
pub(crate) const COLLECTOR_STAGING: &str = ".tentacle-sync";

/// What begins the name of the empty directory beside it, by which a collector finds an incoming directory in a
/// listing; 32 hexadecimal digits follow. The data server does not look at it, and no command may carry its name.
pub(crate) const COLLECTOR_MARK: &str = ".tentacle-sync-";

/// The directory that our server has in each of its directories.
pub(crate) const SERVER_STAGING: &str = ".tentacle-server";

/// A file name that is safe to send to a Tentacle server and to store in one directory.
///
/// Names are bytes: stock passes on what the agent chose, in whatever encoding. Clones share them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<[u8]>);

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
        _ if is_reserved(bytes) => Err(NameError::Reserved),
        _ => check_characters(bytes).and_then(|()| check_length(bytes)),
    }
}

/// Whether some filesystem may take `name` for a staging directory's: filesystems that fold case also fold U+017F, and skip
/// what does not show; others skip dots and blanks at the end.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    // A quick way out for nearly all names.
    if !name.first().is_some_and(|&byte| byte == b'.' || !byte.is_ascii()) || name.len() > MAX_NAME {
        return false;
    }
    let folded: String = String::from_utf8_lossy(name)
        .chars()
        .map(|char| if char == '\u{17f}' { 's' } else { char.to_ascii_lowercase() })
        .filter(char::is_ascii)
        .collect();
    let folded = folded.trim_end_matches(['.', ' ']);
    folded == COLLECTOR_STAGING || folded == SERVER_STAGING || folded.starts_with(COLLECTOR_MARK)
}

/// Whether `name` is that of a mark.
pub(crate) fn is_collector_mark(name: &[u8]) -> bool {
    let id = name.strip_prefix(COLLECTOR_MARK.as_bytes());
    id.is_some_and(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
}

pub(super) fn check_length(bytes: &[u8]) -> Result<(), NameError> {
    if bytes.len() > MAX_NAME { Err(NameError::TooLong(bytes.len())) } else { Ok(()) }
}

pub(super) fn check_characters(bytes: &[u8]) -> Result<(), NameError> {
    match bytes.iter().find(|&&byte| !IS_USABLE[usize::from(byte)]) {
        None => Ok(()),
        Some(&byte) if byte.is_ascii_control() => Err(NameError::Control(byte)),
        Some(&byte) => Err(NameError::Forbidden(byte)),
    }
}

/// By byte, so that a long listing is checked fast.
static IS_USABLE: [bool; 256] = {
    let (mut table, mut byte) = ([true; 256], 0_u8);
    loop {
        table[byte as usize] = !byte.is_ascii_control();
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let mut at = 0;
    while at < FORBIDDEN.len() {
        table[FORBIDDEN[at] as usize] = false;
        at += 1;
    }
    table
};

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

/// A name as a client may put it to a server, which alone judges it: a stock server's characters are configurable. Any
/// bytes that fit into a line.
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
    /// A directory's in which our programs keep what is not whole yet.
    #[error("the name is that of a directory of tentacle-syncd or tentacle_server")]
    Reserved,
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
    /// Whether the name is refused as such: stock refuses characters, and stumbles over the other names later.
    pub(super) fn is_refused(self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::Control(_) | Self::Reserved)
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
    fn staging_directories_names_are_reserved_however_a_filesystem_may_read_them() {
        for name in [
            ".tentacle-sync",
            ".tentacle-server",
            ".Tentacle-SYNC",
            ".TENTACLE-SERVER",
            ".tentacle-\u{17f}ync",
            ".tenta\u{ad}cle-sync\u{200b}",
            ".tentacle-sync.",
            ".tentacle-server. .",
            ".tentacle-sync-0123456789abcdef0123456789abcdef",
            ".Tentacle-Sync-0",
        ] {
            assert_eq!(FileName::new(name.as_bytes()), Err(NameError::Reserved), "{name}");
        }
        for name in ["tentacle-sync", ".tentacle-syncd", ".tentacle-sync.1.data", "..tentacle-sync", ".tentacle"] {
            assert!(FileName::new(name.as_bytes()).is_ok(), "{name}");
        }
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
