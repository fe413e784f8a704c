//! HTTP/1.1 (RFC 9112) as the status port speaks it: GET and HEAD, no bodies in requests, answers of a known length. Pure:
//! bytes in, bytes out.
//!
//! An [`Exchange`] is one connection: a [`Request`], its [`Response`], and the next. Who may ask for what is [`Access`].
//! What cannot be served is a [`Rejection`], which is answered as well.
//!
//! Bounds: a request has at most [`LARGEST_REQUEST`] bytes, and no more is held of what comes behind it.

mod access;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod rejection;
mod request;
mod response;

pub use access::{Access, Openness};
pub use exchange::{Exchange, Next};
pub use rejection::Rejection;
pub use request::{Method, Request};
pub use response::{Body, Content, Response};

/// The longest request with all its fields, in bytes.
pub const LARGEST_REQUEST: usize = 8 * 1024;
