//! Size and MD5 of a file, as `.md5` files and the journals of old have it.

use std::fmt;

use md5::{Digest, Md5};

/// Size and MD5 of a file's bytes. It is no defence against forgery.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Md5Sum {
    /// Bytes.
    pub size: u64,
    /// MD5 of those bytes.
    pub md5: [u8; 16],
}

impl Md5Sum {
    /// That of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut running = Md5Hasher::default();
        running.update(bytes);
        running.finish()
    }
}

impl fmt::Debug for Md5Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, md5 ", self.size)?;
        self.md5.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes a file's bytes as they come and ends in their [`Md5Sum`].
#[derive(Clone, Default)]
pub struct Md5Hasher {
    size: u64,
    md5: Md5,
}

impl Md5Hasher {
    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
    }

    /// How many bytes have been seen.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// That of all that was seen.
    pub fn finish(self) -> Md5Sum {
        Md5Sum { size: self.size, md5: self.md5.finalize().into() }
    }
}

impl fmt::Debug for Md5Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Md5Hasher({} bytes)", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_or_whole_make_one_sum() {
        let mut pieces = Md5Hasher::default();
        pieces.update(b"hello ");
        pieces.update(b"");
        pieces.update(b"world");
        assert_eq!(pieces.size(), 11);
        assert_eq!(pieces.finish(), Md5Sum::of(b"hello world"));
        assert_eq!(format!("{:?}", Md5Sum::of(b"")), "0 bytes, md5 d41d8cd98f00b204e9800998ecf8427e");
    }
}
