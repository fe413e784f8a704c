//! The site's end: the storage of `tentacle_server`. Its directories, the thread that stores and removes, archives, and the
//! quota.
//!
//! What is done to the disk, in which order, stands in `store_group`.

pub(super) mod archive;
pub(super) mod background;
pub(super) mod fair_queue;
pub(super) mod lister;
mod quota;
pub(super) mod storage_dir;
pub(super) mod storage_disk;
pub(super) mod store_group;
pub(super) mod store_worker;
