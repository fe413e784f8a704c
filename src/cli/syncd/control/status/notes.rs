//! What is to be known of sites that do not fail.

use crate::cli::screen::wrapped;
use crate::control::{SiteAnswer, SiteState};
use crate::proto::{Count, quoted};

/// In lines, each of these after an empty one.
pub(super) fn notes(sites: &[SiteAnswer]) -> Vec<String> {
    let texts = [held_up(sites), left_there(sites), clocks(sites)];
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

/// More than this, in milliseconds, and times in the names of files and in what is measured mislead.
const CLOCKS_APART: u64 = 5_000;

/// Which sites' clocks are not ours.
fn clocks(sites: &[SiteAnswer]) -> Option<String> {
    let is_apart = |site: &&SiteAnswer| site.clock.is_some_and(|clock| clock.least_milliseconds() > CLOCKS_APART);
    let named = named(sites.iter().filter(is_apart))?;
    Some(format!(
        "clocks differ: {named}: files are published by the times in their names, and the console dates what was measured by \
         the agents' clocks: set the clock there (NTP), or here; `status SITE` says by how much"
    ))
}

/// The first, and how many more.
fn named<'a>(mut sites: impl Iterator<Item = &'a SiteAnswer>) -> Option<String> {
    let first = quoted(&sites.next()?.name).to_string();
    Some(match sites.count() {
        0 => first,
        more => format!("{first} and {}", Count(more, "more site")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::site;
    use super::*;
    use crate::control::ClockAnswer;

    #[test]
    fn clocks_that_are_apart_for_certain_are_told_of() {
        let with = |name, ahead_milliseconds, uncertainty_milliseconds| SiteAnswer {
            clock: Some(ClockAnswer { ahead_milliseconds, uncertainty_milliseconds, seen_seconds: 0 }),
            ..site(name)
        };
        let fine = [site("unknown"), with("near", 5_000, 0), with("far", -9_000, 4_000)];
        assert_eq!(clocks(&fine), None);
        let apart = [with("ahead", 5_002, 1), with("behind", -3_600_000, 300)];
        let text = clocks(&[&fine[..], &apart].concat()).unwrap();
        assert!(text.starts_with("clocks differ: ahead and 1 more site: ") && text.contains("NTP"), "{text}");
    }
}
