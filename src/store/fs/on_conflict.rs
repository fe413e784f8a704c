//! What becomes of a file whose name is taken.

/// What becomes of a file whose name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It is not stored: [`StoreError::Exists`](super::error::StoreError::Exists).
    Refuse,
    /// It replaces the file of that name; never a directory. Of a link, it replaces the link.
    Replace,
}
