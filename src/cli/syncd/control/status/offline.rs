//! Of a daemon that does not run: what its state directory shows.

use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::super::super::{Outcome, Problem};
use super::NAME;
use crate::cli::control::ControlError;
use crate::cli::screen::{bytes, cut, duration, number};
use crate::control::{Amount, VERSION, to_json};
use crate::obs::Output;
use crate::proto::quoted;
use crate::store::{LeftBehind, LeftOfSite};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    /// None runs.
    daemon: Option<()>,
    sites: &'a [OfSite<'a>],
}

/// What is known of a site.
#[derive(Serialize)]
struct OfSite<'a> {
    name: &'a str,
    /// Committed, and to be published by the next start.
    unpublished: Amount,
    /// Committed, and perhaps still at the site.
    held: Amount,
}

/// Prints what the journal in `state_dir` has of `sites`, or of all; then the error, `why` the daemon does not answer.
pub(super) fn offline(why: ControlError, state_dir: &Path, sites: &[String], json: bool) -> Outcome {
    let left = match LeftBehind::read(state_dir) {
        Ok(Some(left)) => left,
        Ok(None) => return Err(why.into()),
        Err(error) => return Err(format!("{why}\nand its state is not known: {error}").into()),
    };
    let is_meant = |name: &String| sites.is_empty() || sites.contains(name);
    let found: Vec<OfSite<'_>> = left
        .sites
        .iter()
        .filter(|(name, _)| is_meant(name))
        .map(|(name, LeftOfSite { unpublished, held })| OfSite {
            name,
            unpublished: (*unpublished).into(),
            held: (*held).into(),
        })
        .collect();
    let mut out = Output::default();
    if json {
        out.file(&(to_json(&Report { version: VERSION, daemon: None, sites: &found }) + "\n"));
    } else {
        for line in lines(&found, state_dir, age(left.written)) {
            out.line(line);
        }
    }
    out.finish()?;
    Err(Problem::from(why))
}

#[expect(clippy::disallowed_methods, reason = "a command has no loop that reads the clock")]
fn age(written: SystemTime) -> u64 {
    SystemTime::now().duration_since(written).unwrap_or_default().as_secs()
}

fn lines(sites: &[OfSite<'_>], state_dir: &Path, age: u64) -> Vec<String> {
    let mut lines = vec![
        format!("tentacle-syncd is not running: what {} shows, written {} ago", quoted(state_dir), duration(age)),
        String::new(),
    ];
    if sites.is_empty() {
        lines.push("all that was collected is published, and gone at its site".to_owned());
        return lines;
    }
    lines.push(format!("{:NAME$} {:>11} {:>10} {:>11} {:>10}", "SITE", "UNPUBLISHED", "SIZE", "STILL THERE", "SIZE"));
    lines.extend(sites.iter().map(|OfSite { name, unpublished, held }| {
        let name = cut(&quoted(name).to_string(), NAME);
        let [(here, size), (there, size_there)] =
            [unpublished, held].map(|amount| (number(amount.files), bytes(amount.bytes)));
        format!("{name:NAME$} {here:>11} {size:>10} {there:>11} {size_there:>10}")
    }));
    lines.push(String::new());
    lines.push("The next start publishes the former, and asks the sites to delete the latter.".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::screen::WIDTH;

    #[test]
    fn what_is_left_is_a_line_for_each_site() {
        let amount = |files, bytes| Amount { files, bytes };
        let name = "n\u{1b}".repeat(100);
        let sites = [
            OfSite { name: "plant-7", unpublished: amount(12, 3000), held: amount(0, 0) },
            OfSite { name: &name, unpublished: amount(u64::MAX, u64::MAX), held: amount(u64::MAX, u64::MAX) },
        ];
        let lines = lines(&sites, Path::new("/state"), 180);
        assert_eq!(lines[0], "tentacle-syncd is not running: what /state shows, written 3m ago");
        assert_eq!(lines[3], "plant-7                         12     3000 B           0        0 B");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH && !line.contains('\u{1b}')), "{lines:#?}");
        assert!(super::lines(&[], Path::new("/state"), 1)[2].contains("all that was collected"));
    }
}
