//! How much of each site's is here and was not taken by the data server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::committer::Waiting;
use crate::mutex::lock;

/// Shared by the committer's thread, which keeps it, and the loop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Spooled(Arc<Mutex<Amounts>>);

#[derive(Debug, Default)]
struct Amounts {
    all: Waiting,
    sites: HashMap<Arc<str>, Waiting>,
}

/// A file that counts for its site.
#[derive(Clone, Debug)]
pub(in crate::store) struct Owned {
    pub(in crate::store) site: Arc<str>,
    pub(in crate::store) size: u64,
}

/// What is here of one site, and of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InSpool {
    /// That site's.
    pub site: Waiting,
    /// All sites', its own included.
    pub all: Waiting,
}

impl Spooled {
    /// What is here of `site`, and of all.
    pub(in crate::store) fn of(&self, site: &str) -> InSpool {
        let amounts = self.locked();
        InSpool { site: amounts.sites.get(site).copied().unwrap_or_default(), all: amounts.all }
    }

    /// A file has come.
    pub(in crate::store) fn add(&self, file: &Owned) {
        let amounts = &mut *self.locked();
        let site = amounts.sites.entry(Arc::clone(&file.site)).or_default();
        for sum in [&mut amounts.all, site] {
            sum.files += 1;
            sum.bytes += file.size;
        }
    }

    /// A file that was added is gone.
    pub(in crate::store) fn remove(&self, file: &Owned) {
        let amounts = &mut *self.locked();
        let Some(site) = amounts.sites.get_mut(&file.site) else { return };
        for sum in [&mut amounts.all, &mut *site] {
            sum.files -= 1;
            sum.bytes -= file.size;
        }
        if site.files == 0 {
            amounts.sites.remove(&file.site);
        }
    }

    /// Each change is whole before the lock is free.
    fn locked(&self) -> MutexGuard<'_, Amounts> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sites_files_are_counted_and_all_of_them() {
        let spooled = Spooled::default();
        let file = |site: &str, size| Owned { site: site.into(), size };
        for owned in [file("a", 3), file("a", 4), file("b", 5)] {
            spooled.add(&owned);
        }
        spooled.remove(&file("a", 3));
        let [one, two] = [1, 2].map(|files| move |bytes| Waiting { files, bytes });
        assert_eq!(spooled.of("a"), InSpool { site: one(4), all: two(9) });
        spooled.remove(&file("a", 4));
        assert_eq!(spooled.of("a"), InSpool { site: Waiting::default(), all: one(5) });
        assert_eq!(spooled.locked().sites.len(), 1, "who has nothing costs nothing");
    }
}
