//! What the data server reads from its `pandora_server.conf`, as far as it decides what becomes of published files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::error::{ConfigError, Diagnostics};
use super::line::Token;
use super::{Entries, leading_number};
use crate::config::defaults;

/// What the code of the data server takes where the file has no `max_queue_files`.
const MAX_QUEUE_FILES: u64 = 500;

/// How a data server treats the files in its incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataServerConf {
    /// The file that has it.
    pub path: PathBuf,
    /// `incomingdir`: where it looks for files.
    pub incoming_dir: PathBuf,
    /// The line of `incomingdir`; `None` where the file has none, and the default is in force.
    pub incoming_dir_line: Option<usize>,
    /// `dataserver_smart_queue`: whether it takes the newest file of an agent first.
    pub smart_queue: bool,
    /// `max_queue_files`: how many waiting files it looks at, in whichever order the directory has them.
    pub max_queue_files: u64,
    /// `use_xml_timestamp`: whether data has the time in the file, or the file's own (its mtime).
    pub use_xml_timestamp: bool,
    /// Where `syncserver` is on and has addresses: its line.
    pub sync_server_line: Option<usize>,
    /// Lines of these that the data server reads otherwise than they look, with file and line.
    pub warnings: Vec<String>,
}

/// Reads a whole `pandora_server.conf`.
pub(in crate::config) fn read(bytes: &[u8], path: &Path) -> Result<DataServerConf, ConfigError> {
    let entries = Entries::collect(bytes);
    let mut report = Diagnostics::default();
    entries.warn_of_slips(&mut report, |token| token.is_of_data_server() || token == Token::IncomingDir);
    let incoming_dir = entries.value(Token::IncomingDir);
    let number = |token, default| match entries.value(token) {
        // As the data server takes it: what is no number is 0.
        Some((_, value)) => leading_number(value).unwrap_or(0),
        None => default,
    };
    let sync_server = entries.value(Token::Server).filter(|_| entries.is_on(Token::Server));
    Ok(DataServerConf {
        path: path.to_owned(),
        incoming_dir: incoming_dir
            .map_or_else(|| defaults::INCOMING_DIR.into(), |(_, value)| Path::new(OsStr::from_bytes(value)).to_owned()),
        incoming_dir_line: incoming_dir.map(|(line, _)| line),
        smart_queue: number(Token::SmartQueue, 0) != 0,
        max_queue_files: number(Token::MaxQueueFiles, MAX_QUEUE_FILES),
        use_xml_timestamp: number(Token::UseXmlTimestamp, 1) != 0,
        sync_server_line: sync_server.filter(|_| entries.value(Token::Address).is_some()).map(|(line, _)| line),
        warnings: report.finish(&[path])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DataServerConf {
        super::read(text.as_bytes(), Path::new("/etc/p.conf")).unwrap()
    }

    #[test]
    fn the_last_line_of_each_token_counts_and_comments_do_not() {
        let conf = read(
            "# dataserver_smart_queue 0\ndataserver_smart_queue 0\nDATASERVER_SMART_QUEUE 1\nmax_queue_files 5000\n\
             use_xml_timestamp 0\nincomingdir /in\nsyncserver 1\nsync_address 10.0.0.1\n",
        );
        let expected = DataServerConf {
            path: "/etc/p.conf".into(),
            incoming_dir: "/in".into(),
            incoming_dir_line: Some(6),
            smart_queue: true,
            max_queue_files: 5_000,
            use_xml_timestamp: false,
            sync_server_line: Some(7),
            warnings: Vec::new(),
        };
        assert_eq!(conf, expected);
    }

    #[test]
    fn what_is_not_said_is_as_the_data_servers_code_has_it() {
        let conf = read("syncserver 1\n");
        assert_eq!(conf.incoming_dir, Path::new("/var/spool/pandora/data_in"));
        assert!(!conf.smart_queue && conf.use_xml_timestamp);
        assert_eq!((conf.max_queue_files, conf.incoming_dir_line, conf.sync_server_line), (500, None, None));
    }

    #[test]
    fn a_line_that_the_data_server_ignores_is_warned_of() {
        let conf = read("dataserver_smart_queue  1\n");
        assert!(!conf.smart_queue);
        let warning = "/etc/p.conf:1: dataserver_smart_queue: Pandora FMS ignores this line";
        assert!(matches!(conf.warnings.as_slice(), [one] if one.starts_with(warning)), "{:?}", conf.warnings);
    }
}
