//! What is shown, and what keys do to it. Pure.

use super::super::status::{Order, details, problem};
use crate::control::{DaemonAnswer, SiteAnswer};

/// An answer of the daemon.
#[derive(Debug)]
pub(super) struct Seen {
    /// None of a program that says nothing of itself.
    pub(super) daemon: Option<DaemonAnswer>,
    pub(super) sites: Vec<SiteAnswer>,
}

/// What a person has pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Character(char),
    Erase,
    Enter,
    Escape,
    /// So many lines down, or up.
    Lines(isize),
    /// So many screens.
    Pages(isize),
    First,
    Last,
    /// ^C.
    Interrupt,
}

/// What is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// All sites.
    Table,
    /// All sites, and the filter is being typed.
    Filter,
    /// One of them, from this line on.
    Site { name: String, from: usize },
    /// It is over.
    Over,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) daemon: Option<DaemonAnswer>,
    /// In [`Self::order`].
    sites: Vec<SiteAnswer>,
    /// Why the last question had no answer.
    pub(super) failure: Option<String>,
    pub(super) order: Order,
    pub(super) filter: String,
    pub(super) page: Page,
    /// By name: it stays where it is as the order changes.
    selected: Option<String>,
    /// The screen: columns and lines.
    pub(super) size: (usize, usize),
}

/// Lines above the table, or above what is told of a site.
pub(super) const HEAD: usize = 3;

/// Lines of the selected site's problem below the table.
const PROBLEM: usize = 3;

/// The height from which on there is room for that.
const ROOMY: usize = 12;

impl Top {
    pub(super) fn new(seen: Seen, order: Order) -> Self {
        let mut top = Self {
            daemon: None,
            sites: Vec::new(),
            failure: None,
            order,
            filter: String::new(),
            page: Page::Table,
            selected: None,
            size: (80, 24),
        };
        top.saw(seen);
        top
    }

    pub(super) fn saw(&mut self, Seen { daemon, sites }: Seen) {
        (self.daemon, self.sites, self.failure) = (daemon, sites, None);
        self.order.sort(&mut self.sites);
    }

    /// There was no answer: what was seen last stays.
    pub(super) fn failed(&mut self, why: &str) {
        self.failure = Some(why.to_owned());
    }

    /// Lines between the head and the foot.
    pub(super) fn room(&self) -> usize {
        self.size.1.saturating_sub(HEAD + 1)
    }

    /// Lines of the selected site's problem.
    pub(super) fn below(&self) -> usize {
        if self.size.1 < ROOMY { 0 } else { PROBLEM }
    }

    /// Sites that fit on the screen, below the headings.
    pub(super) fn rows(&self) -> usize {
        self.room().saturating_sub(1 + self.below()).max(1)
    }

    pub(super) fn is_over(&self) -> bool {
        self.page == Page::Over
    }

    /// Those whose name or address has the filter in it, in order.
    pub(super) fn shown(&self) -> Vec<&SiteAnswer> {
        let filter = self.filter.to_lowercase();
        let fits = |text: &str| text.to_lowercase().contains(&filter);
        self.sites.iter().filter(|site| filter.is_empty() || fits(&site.name) || fits(&site.address)).collect()
    }

    /// Which of those that are shown is selected: the first where it is not among them any more.
    pub(super) fn selected(&self, shown: &[&SiteAnswer]) -> usize {
        let selected = self.selected.as_ref();
        selected.and_then(|name| shown.iter().position(|site| site.name == *name)).unwrap_or_default()
    }

    pub(super) fn site(&self, name: &str) -> Option<&SiteAnswer> {
        self.sites.iter().find(|site| site.name == name)
    }

    pub(super) fn press(&mut self, key: Key) {
        self.page = match (std::mem::replace(&mut self.page, Page::Over), key) {
            (_, Key::Interrupt) | (Page::Over | Page::Table | Page::Site { .. }, Key::Character('q')) => Page::Over,
            (Page::Filter, key) => self.edit_filter(key),
            (Page::Site { .. }, Key::Escape | Key::Enter) => Page::Table,
            (Page::Site { name, from }, key) => {
                let lines = self.site(&name).map_or(0, |site| told(site).len());
                let from = self.moved(from, key, lines.saturating_sub(self.room()) + 1);
                Page::Site { name, from }
            }
            (_, Key::Character('/')) => Page::Filter,
            (_, Key::Enter) => self.open(),
            (_, Key::Escape) => {
                self.filter.clear();
                Page::Table
            }
            (_, Key::Character('s')) => {
                self.order = self.order.next();
                self.order.sort(&mut self.sites);
                // The first is what an order is asked for.
                self.selected = None;
                Page::Table
            }
            (_, key) => {
                let shown = self.shown();
                let to = self.moved(self.selected(&shown), key, shown.len());
                self.selected = shown.get(to).map(|site| site.name.clone());
                Page::Table
            }
        };
    }

    fn edit_filter(&mut self, key: Key) -> Page {
        match key {
            Key::Enter => return Page::Table,
            Key::Escape => {
                self.filter.clear();
                return Page::Table;
            }
            Key::Erase => drop(self.filter.pop()),
            Key::Character(character) if !character.is_control() => self.filter.push(character),
            _ => {}
        }
        Page::Filter
    }

    fn open(&self) -> Page {
        let shown = self.shown();
        match shown.get(self.selected(&shown)) {
            Some(site) => Page::Site { name: site.name.clone(), from: 0 },
            None => Page::Table,
        }
    }

    /// Where a key leads from line `at` of `count`.
    fn moved(&self, at: usize, key: Key, count: usize) -> usize {
        let page = isize::try_from(self.rows()).unwrap_or(1);
        let to = match key {
            Key::Lines(lines) => at.saturating_add_signed(lines),
            Key::Pages(pages) => at.saturating_add_signed(pages.saturating_mul(page)),
            Key::Character('j') => at.saturating_add(1),
            Key::Character('k') => at.saturating_sub(1),
            Key::First => 0,
            Key::Last => count,
            _ => at,
        };
        to.min(count.saturating_sub(1))
    }
}

/// All that is told of one site.
pub(super) fn told(site: &SiteAnswer) -> Vec<String> {
    let mut lines = problem(site);
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(details(site));
    lines
}
