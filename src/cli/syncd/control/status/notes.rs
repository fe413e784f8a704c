//! What is to be known of sites that do not fail.

use crate::cli::screen::wrapped;
use crate::control::{SiteAnswer, SiteState};
use crate::proto::{Count, quoted};

/// In lines, each of these after an empty one.
pub(super) fn notes(sites: &[SiteAnswer]) -> Vec<String> {
    let texts = [held_up(sites), left_there(sites)];
    texts.iter().flatten().flat_map(|text| std::iter::once(String::new()).chain(wrapped(text, ""))).collect()
}

/// Which sites are held up with files here, and by what.
fn held_up(sites: &[SiteAnswer]) -> Option<String> {
    let are_held_up = |site: &&SiteAnswer| site.state == SiteState::HeldUp && site.here.files > 0;
    let named = named(sites.iter().filter(are_held_up))?;
    Some(format!(
        "held up: {named}: no more is collected until the data server has taken some of what is here (max_spool_files, \
         max_spool_bytes): is it running?"
    ))
}

/// Which sites have files that are not taken, and what lists them.
fn left_there(sites: &[SiteAnswer]) -> Option<String> {
    let named = named(sites.iter().filter(|site| !site.not_taken.is_empty()))?;
    Some(format!("files are left at {named}, and not taken: `tentacle-syncd skipped ls` says why"))
}

/// The first, and how many more.
fn named<'a>(mut sites: impl Iterator<Item = &'a SiteAnswer>) -> Option<String> {
    let first = quoted(&sites.next()?.name).to_string();
    Some(match sites.count() {
        0 => first,
        more => format!("{first} and {}", Count(more, "more site")),
    })
}
