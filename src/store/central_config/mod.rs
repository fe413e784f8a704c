//! Agents' configuration at the centre: the directories `conf`, `md5` and `collections` below an incoming directory, which the
//! console edits.
//!
//! A thread looks at them: at all of them at the start and every few minutes, and at what has changed as it hears of it. The
//! console writes a file's content first, in place and without a lock, and then its MD5: until both fit each other, the pair
//! counts as neither there nor gone.
//!
//! ```text
//! <incoming>/
//!     conf/<K>.conf                  an agent's configuration; K is the MD5 of the agent's name
//!     md5/<K>.md5                    its MD5, in 32 hexadecimal digits
//!     collections/<name>.zip         what a configuration asks for, with md5/<name>.md5
//!     conf/.<K>.conf.<number>.tentacle-sync, and in md5/: drafts of a pair from a site, on its way in
//! <state_dir>/
//!     remote-config/<site>           what was in step with that site, and what it owns
//!     remote-config-guard/<incoming> whether deletions are held back
//! ```

mod agent_conf;
mod central_files;
mod check;
mod directories;
mod files;
mod guard_file;
mod held;
mod in_step_file;
mod publish;
mod room;
mod scan;
mod state_file;
mod unfit;
mod view;
mod watch;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub use central_files::{CentralFiles, agent_of};
pub use check::{CentralFinding, check_pairs};
pub use files::{Fault, MAX_COLLECTION, MAX_CONFIGURATION};
pub use guard_file::GuardFile;
pub use in_step_file::InStepFile;
pub use unfit::{Unfit, UnfitPair};
pub use view::{CentralView, SeenCentre};
pub use work::Upload;

use view::SharedView;
use watch::{Watch, Watcher};
use work::{CentralWork, Order, warn_of};

use super::fs::error::{START_THREAD, StoreError};
use super::fs::worker::{Notify, Worker};
use crate::proto::Md5Sum;
use crate::sync::remote_config::{Guard, InStep, Item};

/// What was asked, and has been done.
#[derive(Debug)]
pub enum CentralCompletion {
    /// Of [`CentralConfig::read`].
    Read {
        /// The order's.
        ticket: u64,
        /// The content and its fingerprint, if it fits its MD5 by now.
        content: Option<(Arc<[u8]>, Md5Sum)>,
    },
    /// Of [`CentralConfig::publish`].
    Published {
        /// The order's.
        ticket: u64,
        /// Both files are there, durably, and [`CentralConfig::view`] has them; or neither.
        result: Result<(), StoreError>,
    },
    /// Of [`CentralConfig::confirm`].
    Confirmed {
        /// The order's.
        ticket: u64,
        /// Whether neither file is there.
        is_missing: bool,
    },
    /// Of [`CentralConfig::load`].
    Loaded {
        /// The order's.
        ticket: u64,
        /// What could be read.
        in_step: InStep,
    },
    /// Of [`CentralConfig::load_guard`].
    GuardLoaded {
        /// The order's.
        ticket: u64,
        /// What could be read.
        guard: Guard,
    },
}

impl CentralCompletion {
    /// The order's.
    pub fn ticket(&self) -> u64 {
        match self {
            Self::Read { ticket, .. }
            | Self::Published { ticket, .. }
            | Self::Confirmed { ticket, .. }
            | Self::Loaded { ticket, .. }
            | Self::GuardLoaded { ticket, .. } => *ticket,
        }
    }
}

/// The handle of the thread that looks after one incoming directory's agents' configuration. Its methods never wait for the
/// disk. Once it is dropped the thread ends what it was told, and then itself; nobody waits for that.
#[derive(Debug)]
pub struct CentralConfig {
    worker: Worker<CentralWork>,
    view: SharedView,
    watcher: Option<Watcher>,
}

impl CentralConfig {
    /// Starts the thread. `notify` is called, on that thread, whenever there are completions or another view.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(incoming: &Path, notify: Notify) -> Result<Self, StoreError> {
        let view = SharedView::new();
        let watch = Watch::new().inspect_err(|why| warn_of(incoming, *why)).ok();
        let waiting = watch.as_ref().map(Watch::waiting);
        let failed = StoreError::std(START_THREAD, incoming);
        let work = CentralWork::new(incoming.to_owned(), watch, view.clone());
        let worker = Worker::start(work, notify).map_err(failed)?;
        let orders = worker.orders();
        let tell = move || drop(orders.send(Order::Changed));
        let watcher = waiting.map(|waiting| waiting.start(tell)).transpose();
        let watcher = watcher.map_err(StoreError::std(START_THREAD, incoming))?;
        Ok(Self { worker, view, watcher })
    }

    /// What is known of the directories by now.
    pub fn view(&self) -> CentralView {
        self.view.get()
    }

    /// What is in the directories; `None` if that is not known, or not any more.
    pub fn seen(&self) -> Option<SeenCentre> {
        self.view.seen()
    }

    /// The items that have come, gone or become others in the directories since the last call. Where these were not to be
    /// seen for a while, all that are there have come.
    pub fn take_changed(&self) -> BTreeSet<Item> {
        self.view.take_changed()
    }

    /// Asks for an item's content as it is by then, in these [directories](SeenCentre::directories).
    pub fn read(&self, ticket: u64, item: Item, directories: u64) {
        self.worker
            .ask(Order::Read { ticket, item, directories }, || CentralCompletion::Read { ticket, content: None });
    }

    /// Has both files of an item published, or neither: it replaces none.
    pub fn publish(&self, ticket: u64, upload: Upload) {
        let stopped = || CentralCompletion::Published { ticket, result: Err(StoreError::Stopped) };
        self.worker.ask(Order::Publish { ticket, upload }, stopped);
    }

    /// Asks whether an item is still missing in these [directories](SeenCentre::directories).
    pub fn confirm(&self, ticket: u64, item: Item, directories: u64) {
        let stopped = || CentralCompletion::Confirmed { ticket, is_missing: false };
        self.worker.ask(Order::Confirm { ticket, item, directories }, stopped);
    }

    /// Asks for what was in step with a site. Nothing, if it cannot be read: that is logged.
    pub fn load(&self, ticket: u64, file: InStepFile) {
        let stopped = || CentralCompletion::Loaded { ticket, in_step: InStep::default() };
        self.worker.ask(Order::Load { ticket, file }, stopped);
    }

    /// Has what is in step with a site saved. A failure is logged.
    pub fn save(&self, file: InStepFile, in_step: InStep) {
        self.worker.tell(Order::Save { file, in_step });
    }

    /// Asks whether deletions were held back. If that cannot be read, they were not: that is logged.
    pub fn load_guard(&self, ticket: u64, file: GuardFile) {
        let stopped = || CentralCompletion::GuardLoaded { ticket, guard: Guard::default() };
        self.worker.ask(Order::LoadGuard { ticket, file }, stopped);
    }

    /// Has it saved whether deletions are held back. A failure is logged.
    pub fn save_guard(&self, file: GuardFile, guard: Guard) {
        self.worker.tell(Order::SaveGuard { file, guard });
    }

    /// What was completed since the last call, in order.
    pub fn completions(&self) -> Vec<CentralCompletion> {
        self.worker.completions()
    }

    /// How many orders were asked whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending()
    }

    /// Waits until the thread has done what it was told, and has ended.
    pub fn stop(self) {
        // It gives orders too.
        drop(self.watcher);
        self.worker.stop();
    }

    /// Has the thread panic.
    #[cfg(test)]
    pub fn panic(&self) {
        self.worker.tell(Order::Panic);
    }

    /// Whether the thread has not panicked. Once it has, what is pending stays so.
    pub fn is_alive(&self) -> bool {
        self.worker.is_alive()
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
