//! The configuration that a case is collected by.
#![expect(clippy::unnecessary_debug_formatting, reason = "TOML quotes as Rust does")]

use std::fmt::Write as _;
use std::path::Path;

/// Sites, and what holds for all of them.
pub(crate) struct Configuration(String);

impl Configuration {
    /// Files are published as soon as they are committed; or, where so many may wait for that at most, as by default, when
    /// the data server has taken the agent's one before.
    pub(crate) fn new(dir: &Path, max_spool: Option<usize>) -> Self {
        let [state, incoming] = ["state", "data_in"].map(|name| dir.join(name));
        let publish = match max_spool {
            None => "publish = \"at-once\"".to_owned(),
            Some(files) => format!("max_spool_files = {files}"),
        };
        Self(format!(
            "[sync]\nstate_dir = {state:?}\nincoming_dir = {incoming:?}\nshutdown_timeout = 1\n{publish}\n\
             [defaults]\ninterval = 1\ntimeout = 2\n"
        ))
    }

    /// Adds a site: in TLS where there is a CA, and into `incoming` where there is one for it.
    pub(crate) fn add(&mut self, name: &str, address: (&str, u16), ca: Option<&Path>, incoming: Option<&Path>) {
        let Self(text) = self;
        let (host, port) = address;
        let mut write = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).expect("a String takes all");
        write(format_args!("[[site]]\nname = {name:?}\naddress = {host:?}\nport = {port}\n"));
        if let Some(ca) = ca {
            write(format_args!("tls = {{ ca = {ca:?} }}\n"));
        }
        if let Some(incoming) = incoming {
            write(format_args!("incoming_dir = {incoming:?}\n"));
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
