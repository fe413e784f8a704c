//! The pairs of files that remote configuration is made of.

use std::fmt;
use std::sync::Arc;

use super::md5_text;
use crate::proto::{FileName, Md5Sum, Quoted};

/// What an agent fetches from its Tentacle server: a file, and beside it one that has the MD5 of its bytes, by which the
/// agent sees that they are new. No other files are ever touched: `conf/pandora_ha_hosts.conf` names the console's
/// database.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    kind: ItemKind,
    /// The files' names without what follows the last dot.
    stem: Arc<str>,
}

/// What the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// An agent's configuration, or a satellite server's. It goes both ways.
    Configuration,
    /// Files that an agent's configuration asks for (`file_collection`). It goes from the centre to sites alone.
    Collection,
}

/// Hexadecimal digits of an MD5.
const HEX: usize = 32;

impl Item {
    /// The configuration of which a site or the centre has the file `<32 hexadecimal digits>[.srv].md5`, or `.conf`.
    pub fn configuration(name: &[u8]) -> Option<Self> {
        let stem = name.strip_suffix(b".md5").or_else(|| name.strip_suffix(b".conf"))?;
        let hash = stem.strip_suffix(b".srv").unwrap_or(stem);
        let is_hash = hash.len() == HEX && hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let stem = std::str::from_utf8(stem).ok().filter(|_| is_hash)?;
        Some(Self { kind: ItemKind::Configuration, stem: stem.into() })
    }

    /// The configuration that is meant by its files' name without what follows the dot, or by its agent's name.
    pub fn named(name: &str) -> Self {
        let key = || md5_text(Md5Sum::of(name.as_bytes()).md5);
        Self::configuration(format!("{name}.conf").as_bytes())
            .unwrap_or_else(|| Self { kind: ItemKind::Configuration, stem: key().into() })
    }

    /// The collection of this name, unless no file may have it, or its `.md5` file would be a configuration's.
    pub fn collection(name: &str) -> Option<Self> {
        let is_usable =
            !name.is_empty() && !name.starts_with('.') && FileName::new(format!("{name}.zip").as_bytes()).is_ok();
        let is_configuration = Self::configuration(format!("{name}.md5").as_bytes()).is_some();
        (is_usable && !is_configuration).then(|| Self { kind: ItemKind::Collection, stem: name.into() })
    }

    /// What the file is for.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// The files' names without what follows the last dot.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The name of the file that has the content.
    pub fn content_name(&self) -> FileName {
        self.name(match self.kind {
            ItemKind::Configuration => "conf",
            ItemKind::Collection => "zip",
        })
    }

    /// The name of the file that has the content's MD5.
    pub fn md5_name(&self) -> FileName {
        self.name("md5")
    }

    fn name(&self, extension: &str) -> FileName {
        let name = format!("{}.{extension}", self.stem);
        FileName::new(name.as_bytes())
            .expect("checked with the longest extension when the item was made, or hexadecimal")
    }
}

/// As the name of the file that has the content.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content_name().fmt(f)
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted::of_bytes(self.content_name().as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn configurations_are_named_by_a_hash() {
        let item = |name: &str| Item::configuration(name.as_bytes());
        for (name, content) in
            [(format!("{K}.md5"), format!("{K}.conf")), (format!("{K}.srv.conf"), format!("{K}.srv.conf"))]
        {
            assert_eq!(item(&name).unwrap().content_name().as_bytes(), content.as_bytes());
        }
        assert_eq!(item(&format!("{K}.srv.md5")).unwrap().md5_name().as_bytes(), format!("{K}.srv.md5").as_bytes());
        let others = [
            "pandora_ha_hosts.conf".to_owned(),
            format!("{K}.zip"),
            format!("{K}0.md5"),
            format!("{}.md5", &K[1..]),
            format!("{}.md5", K.to_uppercase()),
            format!("{K}.srv.srv.md5"),
            format!("{K}.md5.md5"),
            ".md5".to_owned(),
        ];
        for name in others {
            assert_eq!(item(&name), None, "{name}");
        }
    }

    #[test]
    fn a_configuration_is_meant_by_its_key_or_by_its_agent() {
        for name in [K, &format!("{K}.srv")] {
            assert_eq!(Item::named(name).stem(), name);
        }
        assert_eq!(Item::named("").stem(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn a_collection_has_a_name_that_a_file_may_have() {
        let names = |name| Item::collection(name).map(|item| (item.content_name(), item.md5_name()));
        let name = |name: &str| name.parse::<FileName>().unwrap();
        assert_eq!(names("fc_2"), Some((name("fc_2.zip"), name("fc_2.md5"))));
        for bad in ["", "../fc_2", "a/b", ".hidden", "a;b", &"x".repeat(252), K, &format!("{K}.srv")] {
            assert_eq!(names(bad), None, "{bad:?}");
        }
    }
}
