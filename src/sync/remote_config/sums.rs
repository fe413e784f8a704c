//! What a site's file was seen to be.

use crate::proto::extension::{ContentHash, ContentHasher};
use crate::proto::{Md5Hasher, Md5Sum};

/// What the bytes of a site's file come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// What they are compared with the centre's by.
    pub md5: Md5Sum,
    /// What proves to a server of ours which file is meant.
    pub hash: ContentHash,
}

impl Sums {
    /// Those of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { md5: Md5Sum::of(bytes), hash: ContentHash::of(bytes) }
    }
}

/// Takes a file's bytes as they come and ends in their [`Sums`].
#[derive(Clone, Debug, Default)]
pub struct SumsHasher {
    md5: Md5Hasher,
    hash: ContentHasher,
}

impl SumsHasher {
    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.hash.update(bytes);
    }

    /// Those of all that was seen.
    pub fn finish(self) -> Sums {
        Sums { md5: self.md5.finish(), hash: self.hash.finish() }
    }
}
