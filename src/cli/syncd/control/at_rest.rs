//! The operator's word on agents' configuration where no daemon runs.

use super::super::{Outcome, SUCCESS, find_site};
use crate::collector::{AssignedAtRest, assign_at_rest, confirm_at_rest};
use crate::config::Settings;
use crate::obs::Output;
use crate::proto::{Count, quoted};

/// `config assign`.
pub(super) fn assign(settings: &Settings, site: &str, items: &[String]) -> Outcome {
    let AssignedAtRest { assigned, unknown } = assign_at_rest(settings, find_site(settings, site)?, items)?;
    let mut out = Output::default();
    for (item, before) in assigned {
        let before = before.map_or("no site".to_owned(), |before| quoted(&*before).to_string());
        out.line(format_args!("{} has {item} from now on, and {before} had it", quoted(site)));
    }
    out.finish()?;
    if unknown.is_empty() {
        return Ok(SUCCESS);
    }
    let names: Vec<String> = unknown.iter().map(|name| quoted(name).to_string()).collect();
    Err(format!("there is no configuration here of {}", names.join(", ")).into())
}

/// `config confirm-deletions`.
pub(super) fn confirm_deletions(settings: &Settings) -> Outcome {
    let mut out = Output::default();
    let confirmed = confirm_at_rest(settings)?;
    if confirmed.is_empty() {
        out.line("no deletion was held back");
    }
    for (incoming, items) in confirmed {
        out.line(format_args!("{}: {} let through", quoted(&incoming), Count(items.len(), "deletion")));
        for item in items {
            out.line(format_args!("  {item}"));
        }
    }
    out.finish()?;
    Ok(SUCCESS)
}
