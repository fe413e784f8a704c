//! The password as it goes over the wire.

use std::fmt;

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::Secret;

/// Hex digits in a digest.
const HEX: usize = 32;

/// What `PASS` carries: `hex(md5(md5(password)))`, the inner digest as raw bytes.
///
/// Without TLS whoever reads it can log in with it, so it is treated as the password is: never shown, wiped when
/// dropped.
#[derive(Clone, Eq)]
pub struct PasswordDigest(Zeroizing<[u8; HEX]>);

impl PasswordDigest {
    /// The digest of a password.
    pub fn of(password: &Secret) -> Self {
        let digest = Md5::digest(Md5::digest(password.expose()));
        let mut hex = Zeroizing::new([0; HEX]);
        for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
        Self(hex)
    }

    /// Takes 32 lower-case hex digits, as they stand in a `PASS` command.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let digits: [u8; HEX] = hex.try_into().ok()?;
        digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then(|| Self(Zeroizing::new(digits)))
    }

    /// The 32 hex digits: for the wire alone.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Takes the same time wherever the difference is, so that a client cannot guess its way along.
impl PartialEq for PasswordDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0xf)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(password: &str) -> PasswordDigest {
        PasswordDigest::of(&Secret::new(password.into()))
    }

    #[test]
    fn the_digest_is_the_one_stock_accepts() {
        assert_eq!(digest("s3cret").expose(), b"703b089710823916d4bb7ff2deff4d8f");
    }

    #[test]
    fn a_digest_read_back_is_the_same_and_another_is_not() {
        let read = PasswordDigest::from_hex(b"703b089710823916d4bb7ff2deff4d8f").unwrap();
        assert_eq!(read, digest("s3cret"));
        assert_ne!(read, digest("S3cret"));
    }

    #[test]
    fn only_32_lower_case_hex_digits_are_a_digest() {
        for text in ["", "703b", "703B089710823916D4BB7FF2DEFF4D8F", "703b089710823916d4bb7ff2deff4d8g"] {
            assert_eq!(PasswordDigest::from_hex(text.as_bytes()), None, "{text}");
        }
        assert_eq!(PasswordDigest::from_hex(&[b'0'; 33]), None);
    }

    #[test]
    fn a_digest_is_never_shown() {
        assert_eq!(format!("{:?}", digest("s3cret")), "***");
    }
}
