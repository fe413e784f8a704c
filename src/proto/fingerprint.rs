//! What makes two copies of a file the same file.

use std::fmt;

use super::Md5Sum;
use super::extension::{ContentHash, ContentHasher};

/// Size and hash of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    hash: Hash,
}

/// What the bytes hash to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hash {
    Blake3(ContentHash),
    /// As journals of format 1 have it.
    Md5([u8; 16]),
}

impl Fingerprint {
    /// The fingerprint of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::new(bytes.len() as u64, ContentHash::of(bytes))
    }

    /// That of a file of which these are known.
    pub fn new(size: u64, hash: ContentHash) -> Self {
        Self { size, hash: Hash::Blake3(hash) }
    }

    /// That of a file of which only these are known. It is equal to no other.
    pub fn of_md5(sum: Md5Sum) -> Self {
        Self { size: sum.size, hash: Hash::Md5(sum.md5) }
    }

    /// What the bytes hash to, unless only [`md5`](Self::md5) is known.
    pub fn content_hash(&self) -> Option<ContentHash> {
        match self.hash {
            Hash::Blake3(hash) => Some(hash),
            Hash::Md5(_) => None,
        }
    }

    /// Writes what the bytes hash to: 64 hexadecimal digits of BLAKE3, or 32 of MD5 where that is all that is known.
    pub fn write_hash(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hash {
            Hash::Blake3(hash) => fmt::Display::fmt(&hash, f),
            Hash::Md5(md5) => md5.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }

    /// Size and MD5, where those are all that is known.
    pub fn md5(&self) -> Option<Md5Sum> {
        match self.hash {
            Hash::Blake3(_) => None,
            Hash::Md5(md5) => Some(Md5Sum { size: self.size, md5 }),
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hash {
            Hash::Blake3(hash) => write!(f, "{} bytes, blake3 {hash}", self.size),
            Hash::Md5(md5) => write!(f, "{:?}", Md5Sum { size: self.size, md5 }),
        }
    }
}

/// Takes a file's bytes as they come and ends in its [`Fingerprint`].
#[derive(Clone, Default)]
pub struct Fingerprinter {
    size: u64,
    hasher: ContentHasher,
}

impl Fingerprinter {
    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// How many bytes have been seen.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The fingerprint of all that was seen.
    pub fn finish(&self) -> Fingerprint {
        Fingerprint::new(self.size, self.hasher.finish())
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
        assert_eq!(pieces.finish().content_hash(), Some(ContentHash::of(b"hello world")));
        assert_ne!(Fingerprint::of_md5(Md5Sum::of(b"")), Fingerprint::of(b""));
        assert_eq!(Fingerprint::of_md5(Md5Sum::of(b"a")).md5(), Some(Md5Sum::of(b"a")));
    }
}
