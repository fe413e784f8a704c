//! What a server can do beyond stock's commands.

use std::fmt;

/// The version of the extension this is.
const VERSION: &[u8] = b"1";

/// One thing that a server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Commands of the extension may be sent ahead.
    Pipeline,
    /// `GET`.
    Get,
    /// `LIST`.
    List,
    /// `DROP`.
    Drop,
    /// `PUT`.
    Put,
    /// The hash of `DROP` and `PUT … IF`.
    Blake3,
    /// `DEFLATE`.
    Deflate,
}

const WORDS: [(Capability, &str); 7] = [
    (Capability::Pipeline, "PIPELINE"),
    (Capability::Get, "GET"),
    (Capability::List, "LIST"),
    (Capability::Drop, "DROP"),
    (Capability::Put, "PUT"),
    (Capability::Blake3, "BLAKE3"),
    (Capability::Deflate, "DEFLATE"),
];

/// What a server says it can do.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// All there are.
    pub fn all() -> Self {
        WORDS.iter().fold(Self::default(), |all, (capability, _)| all.with(*capability))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | bit(capability))
    }

    /// These without one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !bit(capability))
    }

    /// Whether that is among them.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & bit(capability) != 0
    }

    /// Reads what follows `CAPS `. Words that are not known are ignored; of another version none is known.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.split(|&byte| byte == b' ');
        let version = words.next().filter(|version| !version.is_empty() && version.iter().all(u8::is_ascii_digit))?;
        if version != VERSION {
            return Some(Self::default());
        }
        let known = |word: &[u8]| WORDS.iter().find(|(_, known)| known.as_bytes() == word).map(|(known, _)| *known);
        Some(words.filter_map(known).fold(Self::default(), Self::with))
    }
}

fn bit(capability: Capability) -> u8 {
    1 << capability as u8
}

/// As on the wire, behind `CAPS `.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1")?;
        WORDS.iter().filter(|(capability, _)| self.has(*capability)).try_for_each(|(_, word)| write!(f, " {word}"))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_known_are_ignored_and_so_is_another_version() {
        let some = Capabilities::default().with(Capability::Get).with(Capability::Blake3);
        assert_eq!(Capabilities::parse(b"1 GET GETS SHA512=x get BLAKE3"), Some(some));
        assert_eq!(some.to_string(), "1 GET BLAKE3");
        let all = Capabilities::all();
        assert_eq!(Capabilities::parse(all.to_string().as_bytes()), Some(all));
        assert!(!all.without(Capability::Put).has(Capability::Put));
        for none in ["1", "2 GET LIST", "10", "01 GET"] {
            assert_eq!(Capabilities::parse(none.as_bytes()), Some(Capabilities::default()), "{none}");
        }
        for garbage in ["", " 1", "one GET", "1GET"] {
            assert_eq!(Capabilities::parse(garbage.as_bytes()), None, "{garbage}");
        }
    }
}
