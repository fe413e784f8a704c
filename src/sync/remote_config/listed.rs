//! What a site lists.

use std::collections::BTreeSet;

use super::Item;

/// Which items a site has, from its `LS <.md5>`. Takes the names as they come; those of no item are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    items: BTreeSet<Item>,
    has_md5: bool,
    has_others: bool,
}

impl Listed {
    /// Takes note of a listed name.
    pub fn saw(&mut self, name: &[u8]) {
        let Some(stem) = name.strip_suffix(b".md5") else {
            self.has_others |= matches!(name, b"conf" | b"md5" | b"collections") || name.ends_with(b".data");
            return;
        };
        self.has_md5 = true;
        let collection = || std::str::from_utf8(stem).ok().and_then(Item::collection);
        self.items.extend(Item::configuration(name).or_else(collection));
    }

    /// Whether there is a `.md5` file, of whatever name.
    pub fn has_md5(&self) -> bool {
        self.has_md5
    }

    /// The items of which the site has the `.md5` file. Whatever is no configuration's name may be a collection's.
    pub(super) fn items(&self) -> &BTreeSet<Item> {
        &self.items
    }

    /// Whether the site has shown its root in place of the directory that `.md5` files go to: its server lacks the filters.
    /// Where agents' files lie in the root for want of filters, that works as well.
    pub(super) fn is_root(&self) -> bool {
        self.has_others && !self.has_md5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &str = "0123456789abcdef0123456789abcdef";

    fn listed(names: &[&[u8]]) -> Listed {
        let mut listed = Listed::default();
        for name in names {
            listed.saw(name);
        }
        listed
    }

    #[test]
    fn items_are_told_from_what_is_none() {
        let (md5, server, conf) = (format!("{K}.md5"), format!("{K}.srv.md5"), format!("{K}.conf"));
        let names = [
            md5.as_bytes(),
            server.as_bytes(),
            b"fc_2.md5",
            b".",
            b"..",
            conf.as_bytes(),
            b"../x.md5",
            b"\xff.md5",
            b".md5",
        ];
        let configuration = |name: &str| Item::configuration(name.as_bytes()).unwrap();
        let expected = [configuration(&md5), configuration(&server), Item::collection("fc_2").unwrap()];
        assert_eq!(*listed(&names).items(), BTreeSet::from(expected));
    }

    #[test]
    fn a_root_has_other_names_and_no_md5() {
        for root in [&[b".".as_slice(), b"conf"] as &[&[u8]], &[b"md5"], &[b"collections"], &[b"web01.1700000000.data"]]
        {
            assert!(listed(root).is_root(), "{root:?}");
        }
        for other in [&[b".".as_slice(), b".."] as &[&[u8]], &[], &[b"web01.1.data", b"x.md5"], &[b"lost+found"]] {
            assert!(!listed(other).is_root(), "{other:?}");
        }
    }
}
