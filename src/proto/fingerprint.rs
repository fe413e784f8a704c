//! What makes two copies of a file the same file.

use std::fmt;

use md5::{Digest, Md5};

/// Size and MD5 of a file's bytes.
///
/// It distinguishes measurements, as stock's own `.md5` files do; it is no defence against forgery, and none is needed:
/// whoever can write at a site can write anything there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// MD5 of those bytes.
    pub md5: [u8; 16],
}

impl Fingerprint {
    /// The fingerprint of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut running = Fingerprinter::default();
        running.update(bytes);
        running.finish()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, md5 ", self.size)?;
        self.md5.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes a file's bytes as they come and ends in its [`Fingerprint`].
#[derive(Clone, Default)]
pub struct Fingerprinter {
    size: u64,
    md5: Md5,
}

impl Fingerprinter {
    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
    }

    /// How many bytes have been seen.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The fingerprint of all that was seen.
    pub fn finish(self) -> Fingerprint {
        Fingerprint { size: self.size, md5: self.md5.finalize().into() }
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprinter({} bytes)", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_or_whole_make_one_fingerprint() {
        let mut pieces = Fingerprinter::default();
        pieces.update(b"hello ");
        pieces.update(b"");
        pieces.update(b"world");
        assert_eq!(pieces.size(), 11);
        assert_eq!(pieces.finish(), Fingerprint::of(b"hello world"));
        assert_eq!(format!("{:?}", Fingerprint::of(b"")), "0 bytes, md5 d41d8cd98f00b204e9800998ecf8427e");
    }
}
