//! What can be asked.

use serde::{Deserialize, Serialize};

use super::{LARGEST_REQUEST, VERSION};

/// One line from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The protocol's version that the client speaks.
    version: u32,
    command: Command,
}

/// What the daemon is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Say what is known of the daemon and of sites: one `daemon`, then one `site` for each. Of a server at a site: one
    /// `server`.
    Status {
        /// Of these, or of all where none is named.
        #[serde(default)]
        sites: Vec<String>,
    },
    /// Read the configuration again, as at SIGHUP: one `reloaded`, or an `error` with why not.
    Reload {},
    /// Begin the next round of these sites now: one `done` for each.
    SyncNow {
        /// By name.
        sites: Vec<String>,
    },
    /// Begin no more rounds of these sites: one `done` for each.
    Pause {
        /// By name.
        sites: Vec<String>,
    },
    /// Collect from these sites again: one `done` for each.
    Resume {
        /// By name.
        sites: Vec<String>,
    },
    /// Have agents' configuration belong to a site: one `done` for each that did not before, and an `error` where the centre
    /// has one of them not.
    ConfigAssign {
        /// By name.
        site: String,
        /// Which configuration.
        items: ItemsToAssign,
    },
    /// Let the deletions through that are held back because so much is missing: one `done` for each incoming directory.
    ConfigConfirmDeletions {},
    /// Say which files are left at sites: one `not-taken` for each site.
    Skipped {
        /// Of these, or of all where none is named.
        #[serde(default)]
        sites: Vec<String>,
    },
    /// Ask for files again that are left at a site, in a round that begins now: one `done`.
    RetrySkipped {
        /// Its name.
        site: String,
        /// The file, or all where none is named.
        #[serde(default)]
        name: Option<String>,
    },
    /// Say what happens from now on, one `event` for each, for as long as the client reads.
    Watch {},
}

/// Which configuration is to belong to a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemsToAssign {
    /// All that the site listed in its last round and that belongs to no site.
    Unclaimed,
    /// By key, which is 32 hexadecimal digits and perhaps `.srv`, or by the agent's name.
    Named(Vec<String>),
}

/// Why a line is no request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It has no end.
    #[error("a request has at most {LARGEST_REQUEST} bytes, and this one more")]
    TooLong,
    /// Another protocol's.
    #[error(
        "this program speaks version {VERSION} of the control protocol, and the request is of version {0}: ask it with the program \
         of its version"
    )]
    Version(u64),
    /// It cannot be read.
    #[error(
        "expected one line such as {{\"version\":{VERSION},\"command\":{{\"status\":{{\"sites\":[]}}}}}}, and found other \
         text: {0}"
    )]
    Malformed(String),
}

/// What each version's requests have.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Request {
    /// Reads a request's line, without its end.
    ///
    /// # Errors
    /// It is none; with what was expected.
    pub fn parse(line: &[u8]) -> Result<Command, RequestError> {
        if line.len() > LARGEST_REQUEST {
            return Err(RequestError::TooLong);
        }
        let malformed = |error: serde_json::Error| RequestError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
        if version != u64::from(VERSION) {
            return Err(RequestError::Version(version));
        }
        let Self { command, .. } = serde_json::from_slice(line).map_err(malformed)?;
        Ok(command)
    }
}

impl Command {
    /// As a request's line, with its end.
    pub fn to_line(&self) -> String {
        super::to_json(&Request { version: VERSION, command: self.clone() }) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back() {
        let sites = || vec!["plant-7".to_owned(), "a\u{1b}b".to_owned()];
        for command in [
            Command::Status { sites: Vec::new() },
            Command::Status { sites: sites() },
            Command::Reload {},
            Command::SyncNow { sites: sites() },
            Command::Pause { sites: sites() },
            Command::Resume { sites: sites() },
            Command::ConfigAssign { site: "plant-7".to_owned(), items: ItemsToAssign::Unclaimed },
            Command::ConfigAssign { site: "plant-7".to_owned(), items: ItemsToAssign::Named(sites()) },
            Command::ConfigConfirmDeletions {},
            Command::Skipped { sites: sites() },
            Command::RetrySkipped { site: "a".to_owned(), name: Some("b".to_owned()) },
            Command::Watch {},
        ] {
            let line = command.to_line();
            assert_eq!(Request::parse(line.trim_end_matches('\n').as_bytes()), Ok(command));
        }
        let short = br#"{"version":1,"command":{"status":{}}}"#;
        assert_eq!(Request::parse(short), Ok(Command::Status { sites: Vec::new() }));
    }

    #[track_caller]
    fn refused(line: &str, words: &[&str]) {
        let error = Request::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn what_is_no_request_is_answered_with_what_was_expected() {
        refused("", &["expected one line such as {\"version\":1,\"command\":{\"status\":{\"sites\":[]}}}"]);
        refused("GET / HTTP/1.1", &["expected one line"]);
        refused("\u{0}\u{ff}", &["expected one line"]);
        refused(r#"{"command":{"status":{}}}"#, &["missing field `version`"]);
        refused(
            r#"{"version":1,"command":{"stop":{}}}"#,
            &["unknown variant `stop`", "`status`", "`reload`", "`pause`"],
        );
        refused(r#"{"version":1,"command":{"status":{"site":["a"]}}}"#, &["unknown field `site`", "`sites`"]);
        refused(r#"{"version":1,"command":{"pause":{}}}"#, &["missing field `sites`"]);
        refused(r#"{"version":2,"news":true}"#, &["version 1", "version 2"]);
        refused(&format!(r#"{{"version":1{}"#, " ".repeat(LARGEST_REQUEST)), &["65536"]);
        // As deep as it goes.
        refused(&"[".repeat(LARGEST_REQUEST), &["expected one line"]);
    }
}
