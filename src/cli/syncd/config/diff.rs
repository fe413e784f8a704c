//! `config diff`: what an agent has at its site, and what the centre has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use log::Level;

use super::super::args::Common;
use super::super::{FAILURE, Outcome, PROGRAM, SUCCESS, find_site};
use super::unified::hunks;
use crate::collector::{Compared, compare_configuration};
use crate::net::Net;
use crate::obs::{Output, OutputError, complain};
use crate::proto::{Quoted, quoted};
use crate::store::{CentralFiles, UnfitPair, agent_of};
use crate::sync::remote_config::{AtSite, Item, ItemKind};

/// Both sides have the same.
const SAME: u8 = SUCCESS;

/// They do not.
const DIFFERENT: u8 = FAILURE;

/// They cannot be compared.
const TROUBLE: u8 = 2;

/// What stands for a file that is not there.
const NO_FILE: &str = "/dev/null";

/// How long which lines of two files differ may be looked for.
const DIFF_TIME: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, site: &str, item: Option<&str>) -> Outcome {
    let outcome = diff(common, site, item);
    outcome.or_else(|problem| {
        if !problem.downcast_ref().is_some_and(OutputError::is_closed) {
            complain(Level::Error, format_args!("{PROGRAM}: {problem}"));
        }
        Ok(TROUBLE)
    })
}

fn diff(common: &Common, name: &str, item: Option<&str>) -> Outcome {
    let (settings, _) = common.start(common.path())?;
    let site = find_site(&settings, name)?;
    let item = item.map(Item::named);
    let Compared { centre, at_site, now } = compare_configuration(Net::new()?, &settings, site, item)?;
    let mut shown = Shown {
        site: name,
        centre: &centre,
        unfit: centre.unfit().into_iter().map(|pair| (pair.item.clone(), pair)).collect(),
        out: Output::default(),
        deadline: now + DIFF_TIME,
        status: SAME,
    };
    for found in &at_site {
        shown.show(found);
    }
    shown.out.finish()?;
    Ok(shown.status)
}

/// What is printed.
struct Shown<'a> {
    site: &'a str,
    centre: &'a CentralFiles,
    /// What does not fit at the centre.
    unfit: BTreeMap<Item, UnfitPair>,
    out: Output,
    deadline: Instant,
    status: u8,
}

impl Shown<'_> {
    fn show(&mut self, found: &AtSite) {
        match found.item.kind() {
            ItemKind::Configuration => self.show_configuration(found),
            ItemKind::Collection => self.different(&format!("Binary files {} differ", self.sides(found, ""))),
        }
        if let Some(pair) = self.unfit.get(&found.item).map(ToString::to_string) {
            self.different(&pair);
        }
    }

    fn show_configuration(&mut self, found: &AtSite) {
        let path = self.centre.path(&found.item);
        let content = match self.centre.content(&found.item) {
            Ok(Ok(content)) => content,
            Ok(Err(fault)) => return self.trouble(&format!("{} {fault}", quoted(&path))),
            Err(error) => return self.trouble(&error.to_string()),
        };
        let (old, new) = (found.content.as_deref(), content.as_deref());
        let agent = new.and_then(agent_of).or_else(|| old.and_then(agent_of));
        let agent = agent.map(|agent| format!(" (agent {})", Quoted::of_bytes(agent.as_bytes()))).unwrap_or_default();
        match (old, new) {
            (None, None) => {
                let (site, item) = (quoted(self.site), &found.item);
                self.trouble(&format!(
                    "neither the site {site} nor the centre has {item}, or it is empty or too large there"
                ));
            }
            _ if old == new => self.compare_md5(found, &agent),
            _ if [old, new].into_iter().flatten().any(|content| content.contains(&b'\0')) => {
                self.different(&format!("Binary files {} differ", self.sides(found, &agent)));
            }
            _ => {
                let site = old.map_or(NO_FILE.to_owned(), |_| format!("{}:{}{agent}", quoted(self.site), found.item));
                let centre = new.map_or(NO_FILE.to_owned(), |_| quoted(&path).to_string());
                self.different(&format!("--- {site}\n+++ {centre}"));
                self.out.file(&hunks(old.unwrap_or_default(), new.unwrap_or_default(), self.deadline));
            }
        }
    }

    /// The content is the same on both sides.
    fn compare_md5(&mut self, found: &AtSite, agent: &str) {
        if found.md5 != found.fingerprint.map(|content| content.md5) {
            let (site, item, md5) = (quoted(self.site), &found.item, found.item.md5_name());
            self.different(&format!("{site}:{item}{agent}: the content is the same, and {md5} there does not fit it"));
        }
    }

    fn sides(&self, found: &AtSite, agent: &str) -> String {
        let path = self.centre.path(&found.item);
        format!("{}:{}{agent} and {}", quoted(self.site), found.item, quoted(&path))
    }

    fn different(&mut self, text: &str) {
        self.status = self.status.max(DIFFERENT);
        self.out.line(text);
    }

    fn trouble(&mut self, text: &str) {
        self.status = TROUBLE;
        complain(Level::Error, format_args!("{PROGRAM}: {text}"));
    }
}
