//! How a file leaves its site.

/// How a file leaves the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Fetched, made durable and published before it is deleted at the site.
    #[default]
    Safe,
    /// One `MV` a file: the site deletes while it sends, so a connection that dies at the wrong moment loses the file.
    Move,
}
