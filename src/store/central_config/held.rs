//! The collections that sites are being sent: each is read once and held once, however many sites it goes to, and all of them
//! together have a bound.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::directories::Directory;
use super::files::{Fault, Known, look_at_bytes};
use crate::budget;
use crate::proto::Md5Sum;
use crate::sync::remote_config::Item;

/// A content, and its fingerprint.
pub(super) type Bytes = (Arc<[u8]>, Md5Sum);

type WeakBytes = (Weak<[u8]>, Md5Sum);

/// What is held by somebody.
#[derive(Debug)]
pub(super) struct Held {
    /// The most bytes.
    most: u64,
    contents: BTreeMap<Item, Known<WeakBytes>>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self { most: budget::COLLECTIONS, contents: BTreeMap::new() }
    }

    /// The item's content as it is now, if it is there.
    pub(super) fn read(&mut self, directory: &Directory, item: &Item) -> Option<Result<Bytes, Fault>> {
        self.contents.retain(|_, known| known.found.as_ref().is_ok_and(|(content, _)| content.strong_count() > 0));
        let before = self.contents.get(item).and_then(Known::held);
        let same = before.as_ref().and_then(|known| known.found.clone().ok());
        let used: u64 =
            self.contents.values().filter_map(|known| known.found.as_ref().ok()).map(|(_, of)| of.size).sum();
        let known = look_at_bytes(directory, item, before, self.most.saturating_sub(used))?;
        let known = match (&known.found, same) {
            // It may change once more within one tick of its filesystem's clock, so it is read again, and is the same.
            (Ok((_, fingerprint)), Some(same)) if same.1 == *fingerprint => known.with(same),
            _ => known,
        };
        self.contents.insert(item.clone(), known.weak());
        Some(known.found)
    }
}

impl Known<WeakBytes> {
    /// The same, if somebody holds it.
    fn held(&self) -> Option<Known<Bytes>> {
        let (content, fingerprint) = self.found.as_ref().ok()?;
        let content = content.upgrade()?;
        Some(self.with((content, *fingerprint)))
    }
}

impl Known<Bytes> {
    fn weak(&self) -> Known<WeakBytes> {
        let found = self.found.as_ref().map(|(content, fingerprint)| (Arc::downgrade(content), *fingerprint));
        self.with_found(found.map_err(Clone::clone))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Incoming;
    use super::*;

    fn read(held: &mut Held, incoming: &Incoming, item: &Item) -> Result<Bytes, Fault> {
        held.read(incoming.open().content(item).unwrap(), item).unwrap()
    }

    #[test]
    fn what_several_are_sent_is_held_once_and_together_it_has_a_bound() {
        let (incoming, mut held) = (Incoming::new(), Held { most: 10, ..Held::new() });
        let [one, other] = ["fc_1", "fc_2"].map(|name| Item::collection(name).unwrap());
        incoming.write_content(&one, b"123456");
        incoming.write_content(&other, b"12345");
        let first = read(&mut held, &incoming, &one).unwrap();
        assert_eq!(first.1, Md5Sum::of(b"123456"));
        assert!(Arc::ptr_eq(&first.0, &read(&mut held, &incoming, &one).unwrap().0));
        assert_eq!(read(&mut held, &incoming, &other), Err(Fault::NoMemory));
        incoming.write_content(&one, b"6543");
        let edited = read(&mut held, &incoming, &one).unwrap();
        assert_eq!((&*edited.0, &*first.0), (b"6543".as_slice(), b"123456".as_slice()));
        drop((first, edited));
        let (content, _) = read(&mut held, &incoming, &other).unwrap();
        assert_eq!(&*content, b"12345");
        assert_eq!(held.contents.len(), 1);
    }
}
