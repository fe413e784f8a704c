//! One key of `tentacle-syncd`'s configuration is one entry of a table: what it means, its default, what its value looks
//! like, and where it counts. Reading, `import`, the known keys of each table and what a reload cannot take over follow.
//!
//! To add a key, write its entry among those of `[sync]` or of a `[[site]]` in `settings.rs`; `toml_conf/kinds.rs` has
//! the kinds. The tests then ask for what a person has to write beside it: a line in the shipped example, a word in the
//! manual page, and a value in `keys/tests.rs`; for a key that waits for a restart, the sentence about that in the
//! manual page. A key that a reload takes over at once needs code in the collector's `reload`.
//!
//! Not among the entries are a site's name and address, which have no default, and a proxy's keys, which are one value.

use toml::Table;

use super::toml_conf::Layers;

/// One key of the settings `S`, or the few that together give one of them.
pub(super) struct Key<S: 'static, N: 'static> {
    /// As files spell them.
    pub(super) names: fn() -> Vec<&'static str>,
    /// Takes over the file's value, if it has one.
    pub(super) read: fn(&mut Layers<'_, '_, '_>, &mut S),
    /// Writes the same value into a table, except secrets and what TOML cannot hold.
    pub(super) write: fn(&S, &mut Table),
    /// Whether both have the same value.
    pub(super) is_same: fn(&S, &S) -> bool,
    /// Where it counts.
    pub(super) note: N,
}

/// The names of all of `keys`.
pub(super) fn names<S, N>(keys: &'static [Key<S, N>]) -> impl Iterator<Item = &'static str> {
    keys.iter().flat_map(|key| (key.names)())
}

/// `settings` as a table.
pub(super) fn table<S, N>(keys: &'static [Key<S, N>], settings: &S) -> Table {
    let mut table = Table::new();
    for key in keys {
        (key.write)(settings, &mut table);
    }
    table
}

/// What a reload does with a key of `[sync]` that has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reload {
    AtOnce,
    /// A note that only a restart takes that over.
    AtRestart,
}

/// The tables in which a key of a site may stand. A reload takes over all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// `[[site]]` and `[defaults]`.
    Site,
    /// `[sync]` too.
    SiteAndSync,
}

/// The entry of a field, whose type has to be one that its kind reads.
macro_rules! key {
    ($settings:ty, $field:ident: $type:ty, $kind:expr, $note:expr) => {
        $crate::config::keys::Key {
            names: || $crate::config::toml_conf::Kind::<$type>::names($kind, stringify!($field)),
            read: |layers, settings: &mut $settings| {
                let said = $crate::config::toml_conf::Kind::<$type>::read($kind, layers, stringify!($field));
                if let Some(value) = said {
                    settings.$field = value;
                }
            },
            write: |settings, table| {
                $crate::config::toml_conf::Kind::<$type>::write($kind, &settings.$field, stringify!($field), table);
            },
            is_same: |one, other| one.$field == other.$field,
            note: $note,
        }
    };
}

/// A struct of settings, and the table of its keys: the fields that are read otherwise, and for each key
/// `name: type = default, kind, note;`.
macro_rules! keys {
    (
        $(#[$about:meta])*
        pub struct $settings:ident {
            $($(#[$about_field:meta])* $field:ident: $field_type:ty,)*
        }

        $(#[$about_table:meta])*
        static $table:ident: $note:ident = {
            $($(#[$about_key:meta])* $key:ident: $type:ty = $default:expr, $kind:expr, $where:ident;)*
        }
    ) => {
        $(#[$about])*
        pub struct $settings {
            $($(#[$about_field])* pub $field: $field_type,)*
            $($(#[$about_key])* pub $key: $type,)*
        }

        impl $settings {
            /// Defaults.
            fn built_in() -> Self {
                Self { $($field: <$field_type>::default(),)* $($key: $default,)* }
            }
        }

        $(#[$about_table])*
        pub(super) static $table: &[$crate::config::keys::Key<$settings, $note>] =
            &[$($crate::config::keys::key!($settings, $key: $type, $kind, $note::$where)),*];
    };
}

pub(super) use {key, keys};

#[cfg(test)]
mod tests;
