//! The collector's configuration.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Result;

/// Sites with remote configuration, and a centre in one directory.
pub(crate) struct Configuration {
    dir: PathBuf,
    text: String,
}

impl Configuration {
    /// `interval` seconds from one comparison to the next.
    pub(crate) fn new(dir: &Path, interval: u32) -> Self {
        let [state, incoming] = ["state", "data_in"].map(|name| dir.join(name).to_string_lossy().into_owned());
        let text = format!(
            "[sync]\nstate_dir = {state:?}\nincoming_dir = {incoming:?}\nshutdown_timeout = 1\npublish = \"at-once\"\n\
             [defaults]\ninterval = 1\nremote_config = true\nremote_config_interval = {interval}\n"
        );
        Self { dir: dir.to_owned(), text }
    }

    /// Adds a site: in TLS where there is a CA.
    pub(crate) fn add(&mut self, number: usize, port: u16, ca: Option<&Path>) {
        let mut add = |text: std::fmt::Arguments<'_>| self.text.write_fmt(text).expect("a String takes all");
        add(format_args!("[[site]]\nname = \"s{number}\"\naddress = \"127.0.0.1\"\nport = {port}\n"));
        if let Some(ca) = ca {
            add(format_args!("tls = {{ ca = {:?} }}\n", ca.to_string_lossy()));
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How many of a site's agents are in step, as far as that is saved.
    pub(crate) fn in_step(&self, number: usize) -> Result<usize> {
        match fs::read_to_string(self.dir.join(format!("state/remote-config/s{number}"))) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            text => Ok(text?.lines().filter(|line| !line.starts_with(['#', '-'])).count()),
        }
    }
}
