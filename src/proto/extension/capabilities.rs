//! What a server can do beyond stock's commands.

use std::fmt;

use super::super::size::{MAX_SIZE, parse_size};

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

/// Before what the server's clock shows.
const TIME: &[u8] = b"TIME=";

/// What a server says it can do.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    words: u8,
    time: Option<u64>,
}

impl Capabilities {
    /// All there are.
    pub fn all() -> Self {
        WORDS.iter().fold(Self::default(), |all, (capability, _)| all.with(*capability))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self { words: self.words | bit(capability), ..self }
    }

    /// These without one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self { words: self.words & !bit(capability), ..self }
    }

    /// Whether that is among them.
    pub fn has(self, capability: Capability) -> bool {
        self.words & bit(capability) != 0
    }

    /// With what the server's clock shows, in nanoseconds since 1970.
    #[must_use]
    pub fn at(self, time: Option<u64>) -> Self {
        Self { time: time.filter(|time| *time <= MAX_SIZE), ..self }
    }

    /// What the server's clock showed when it said so, in nanoseconds since 1970, if it said that.
    pub fn time(self) -> Option<u64> {
        self.time
    }

    fn with_word(self, word: &[u8]) -> Self {
        if let Some((capability, _)) = WORDS.iter().find(|(_, known)| known.as_bytes() == word) {
            return self.with(*capability);
        }
        match word.strip_prefix(TIME) {
            Some(digits) => self.at(parse_size(digits).ok()),
            None => self,
        }
    }

    /// Reads what follows `CAPS `. Words that are not known are ignored; of another version none is known.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.split(|&byte| byte == b' ');
        let version = words.next().filter(|version| !version.is_empty() && version.iter().all(u8::is_ascii_digit))?;
        if version != VERSION {
            return Some(Self::default());
        }
        Some(words.fold(Self::default(), Self::with_word))
    }
}

fn bit(capability: Capability) -> u8 {
    1 << capability as u8
}

/// As on the wire, behind `CAPS `.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1")?;
        WORDS.iter().filter(|(capability, _)| self.has(*capability)).try_for_each(|(_, word)| write!(f, " {word}"))?;
        self.time.map_or(Ok(()), |time| write!(f, " TIME={time}"))
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
        let timed = some.at(Some(1_700_000_000_123_456_789));
        assert_eq!(timed.to_string(), "1 GET BLAKE3 TIME=1700000000123456789");
        assert_eq!(Capabilities::parse(b"1 GET TIME=1700000000123456789 BLAKE3").unwrap(), timed);
        for untimed in ["TIME", "TIME=", "TIME=x", "TIME=-1", "TIME=+1", "TIME=9223372036854775808", "time=1"] {
            let parsed = Capabilities::parse(format!("1 GET BLAKE3 {untimed}").as_bytes()).unwrap();
            assert_eq!((parsed, parsed.time()), (some, None), "{untimed}");
        }
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
