//! What both ends use: directories held open ([`spool_dir`]), files on their way in and out, flushing, locks, threads, and
//! the room there is.
//!
//! A filesystem may lack calls (`lacks`), may not answer (`answering`, `staging_queue`), and may hold what others have put
//! there (`open`).

pub(super) mod advice;
pub(super) mod answering;
pub(super) mod compare;
pub(super) mod durability;
pub(super) mod error;
pub(super) mod flush;
pub(super) mod ids;
pub(super) mod lacks;
pub(super) mod lock;
mod map;
pub(super) mod mark;
pub(super) mod on_conflict;
pub(super) mod open;
pub(super) mod setup;
pub(super) mod sink;
pub(super) mod source;
pub(super) mod space;
pub(super) mod spool_dir;
pub(super) mod staging_queue;
pub(super) mod temp_file;
pub(super) mod usage;
pub(super) mod whole_file;
pub(super) mod worker;
