//! What `once --json` prints: a line for each site, for each site's configuration, and one at the end.

use serde::Serialize;

use crate::collector::{ConfigOutcome, Interruption, ItemLine, NotTaken};
use crate::control::{Amount, to_json};
use crate::store::Waiting;

/// The version of these lines.
const VERSION: u32 = 1;

/// A line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    /// What a site's rounds have come to.
    Site {
        name: &'a str,
        outcome: SiteOutcome,
        collected: Amount,
        /// Files that the last round had not come to.
        left: u64,
        not_taken: NotTakenCounts,
        /// Why the last round broke off, where it did.
        reason: Option<&'a str>,
        message: Option<String>,
    },
    /// What a site's round for agents' configuration has come to.
    Configuration {
        name: &'a str,
        outcome: ConfigurationOutcome,
        message: Option<String>,
        pushed: usize,
        taken_up: usize,
        deleted: usize,
        in_step: usize,
        not_in_step: usize,
        /// What was changed, or would be: a line for each of the first.
        changes: Vec<String>,
        /// What is not the same, and was not changed: a line for each of the first.
        problems: Vec<String>,
    },
    /// All is told.
    End {
        /// Whether all went well: exit status 0.
        is_complete: bool,
        /// What is safe here and not published yet; none where no data was touched.
        unpublished: Option<Amount>,
    },
}

/// How the rounds of a site ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SiteOutcome {
    Done,
    Failed,
    /// Files are left there that no further round would have come to.
    Stalled,
    /// There was more to be done.
    Unfinished,
}

/// How the round for a site's configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ConfigurationOutcome {
    Done,
    /// The site's server lacks what it needs, and nobody has asked for it.
    LeftOut,
    Failed,
    Unfinished,
}

#[derive(Serialize)]
pub(super) struct NotTakenCounts {
    too_large: u64,
    bad_name: u64,
    not_given: u64,
}

impl From<NotTaken> for NotTakenCounts {
    fn from(NotTaken { too_large, bad_name, not_given }: NotTaken) -> Self {
        Self { too_large, bad_name, not_given }
    }
}

impl<'a> Line<'a> {
    pub(super) fn end(is_complete: bool, unpublished: Option<Waiting>) -> Self {
        Self::End { is_complete, unpublished: unpublished.map(Amount::from) }
    }

    pub(super) fn configuration(of: &'a ConfigOutcome) -> Self {
        let (outcome, message) = match (of.left_out(), &of.interruption, &of.report.ended) {
            (Some(lacks), ..) => (ConfigurationOutcome::LeftOut, Some(lacks.to_string())),
            (None, Some(Interruption::Failed(reason)), _) => (ConfigurationOutcome::Failed, Some(reason.to_string())),
            (None, Some(Interruption::Stopped), _) => (ConfigurationOutcome::Unfinished, None),
            (None, None, Some(ended)) => (ConfigurationOutcome::Failed, Some(ended.to_string())),
            (None, None, None) => (ConfigurationOutcome::Done, None),
        };
        let texts = |lines: Vec<ItemLine<'_>>| lines.iter().map(ItemLine::to_string).collect();
        let report = &of.report;
        Self::Configuration {
            name: &of.site,
            outcome,
            message,
            pushed: report.pushed.count,
            taken_up: report.taken_up.count,
            deleted: report.deleted.count,
            in_step: report.in_step,
            not_in_step: of.not_in_step(),
            changes: texts(of.changes()),
            problems: texts(of.problems()),
        }
    }

    /// As it is printed, with its end.
    pub(super) fn print(&self) -> String {
        #[derive(Serialize)]
        struct Versioned<'a> {
            version: u32,
            #[serde(flatten)]
            line: &'a Line<'a>,
        }
        to_json(&Versioned { version: VERSION, line: self }) + "\n"
    }
}
