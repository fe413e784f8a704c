//! What a command's round has come to at one site, item by item.

use std::collections::BTreeMap;
use std::fmt;

use crate::collector::Reason;
use crate::proto::{Quoted, quoted};
use crate::sync::remote_config::{ConfigReport, EndedEarly, Item, Mode, Named};

/// What a round has come to at one site; of a dry run, what one that is none would have come to.
#[derive(Debug)]
pub struct ConfigOutcome {
    /// The site's name.
    pub site: String,
    /// As far as it went.
    pub report: ConfigReport,
    /// Why it ended before that.
    pub interruption: Option<Interruption>,
    /// Whether the site has `remote_config = true`: else, it may lack what that needs.
    pub(super) is_asked_for: bool,
    /// The agents whose configurations the items are, as far as those name them.
    pub(super) agents: BTreeMap<Item, Box<str>>,
    /// What does not fit at the centre, in words.
    pub(super) unfit: BTreeMap<Item, String>,
    pub(super) mode: Mode,
}

/// Why a round ended before its end.
#[derive(Debug)]
pub enum Interruption {
    /// By a signal.
    Stopped,
    /// It could not go on, or not even begin.
    Failed(Reason),
}

/// One item, what is done about it, and why.
#[derive(Debug)]
pub struct ItemLine<'a> {
    site: &'a str,
    item: &'a Item,
    agent: Option<&'a str>,
    /// One word.
    action: &'static str,
    reason: String,
}

impl ConfigOutcome {
    /// What the site's server lacks, where nobody has asked for it to be there.
    pub fn left_out(&self) -> Option<&EndedEarly> {
        self.report.ended.as_ref().filter(|lacks| !self.is_asked_for && lacks.is_unprepared())
    }

    /// How many items the site has not the same as the centre by now, as far as the round has come to them or should have.
    pub fn not_in_step(&self) -> usize {
        let ConfigReport { withheld, unfit, waiting, beyond, refused, unpublished, foreign, left, .. } = &self.report;
        let items = [withheld, unfit, waiting, beyond].map(|items| items.count).iter().sum::<usize>();
        items + refused.count + unpublished.count + foreign.count + left
    }

    /// What goes where: what is, or was, changed.
    pub fn changes(&self) -> Vec<ItemLine<'_>> {
        let pushed = self.report.pushed.first.iter();
        let pushed = pushed.map(|pushed| self.line(&pushed.item, "push", pushed.reason.to_string()));
        let taken_up = self.lines(&self.report.taken_up, "take-up", |_| "the centre does not have it".to_owned());
        let deleted = self.lines(&self.report.deleted, "delete", |_| "it was deleted at the centre".to_owned());
        pushed.chain(taken_up).chain(deleted).collect()
    }

    /// What is not the same, and is not changed.
    pub fn problems(&self) -> Vec<ItemLine<'_>> {
        let guard = self.report.guard.map(|guard| guard.to_string()).unwrap_or_default();
        let unfit = |item: &Item| self.unfit.get(item).cloned().unwrap_or_else(|| "its files do not fit".to_owned());
        let waiting = "at the site one of its files is missing, empty, too large or does not fit the other, or it changed \
                       meanwhile";
        let withheld = self.lines(&self.report.withheld, "keep", move |_| guard.clone());
        let unfit = self.lines(&self.report.unfit, "skip", unfit);
        let waiting = self.lines(&self.report.waiting, "wait", |_| waiting.to_owned());
        let beyond = "with it, the site would have more at the centre than remote_config_max_agents and \
                      remote_config_max_bytes let it";
        let beyond = self.lines(&self.report.beyond, "keep", |_| beyond.to_owned());
        let refused = self.report.refused.first.iter();
        let refused = refused.map(|(item, refusal)| self.line(item, "refused", refusal.to_string()));
        let unpublished = self.report.unpublished.first.iter();
        let unpublished = unpublished.map(|(item, error)| self.line(item, "unpublished", error.clone()));
        let foreign = self.report.foreign.first.iter();
        let foreign = foreign.map(|(item, owner)| self.line(item, "leave", owner.to_string()));
        withheld.chain(unfit).chain(waiting).chain(beyond).chain(refused).chain(unpublished).chain(foreign).collect()
    }

    fn lines<'a>(
        &'a self,
        items: &'a Named<Item>,
        action: &'static str,
        reason: impl Fn(&Item) -> String + 'a,
    ) -> impl Iterator<Item = ItemLine<'a>> + 'a {
        items.first.iter().map(move |item| self.line(item, action, reason(item)))
    }

    fn line<'a>(&'a self, item: &'a Item, action: &'static str, reason: String) -> ItemLine<'a> {
        ItemLine { site: &self.site, item, agent: self.agents.get(item).map(|agent| &**agent), action, reason }
    }
}

/// `site item action reason`.
impl fmt::Display for ItemLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, item, agent, action, reason } = self;
        write!(f, "{} {item} {action} {reason}", quoted(site))?;
        agent.map_or(Ok(()), |agent| write!(f, " (agent {})", Quoted::of_bytes(agent.as_bytes())))
    }
}

/// What has changed, or would, in numbers.
impl fmt::Display for ConfigOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigReport { in_step, pushed, taken_up, deleted, .. } = &self.report;
        let (pushed, taken_up, deleted) = (pushed.count, taken_up.count, deleted.count);
        match self.mode {
            Mode::Apply => {
                write!(f, "{pushed} pushed, {taken_up} taken up, {deleted} deleted, {in_step} in step before")?;
            }
            Mode::DryRun => {
                write!(f, "{pushed} to push, {taken_up} to take up, {deleted} to delete, {in_step} in step")?;
            }
        }
        match self.not_in_step() {
            0 => Ok(()),
            count => write!(f, ", {count} not in step"),
        }
    }
}
