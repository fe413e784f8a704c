//! The operator's word on agents' configuration where no daemon runs.

use super::super::{Outcome, SUCCESS, find_site};
use crate::cli::control::{ControlError, Program};
use crate::collector::{AssignedAtRest, ConfirmedDeletions, assign_at_rest, confirm_at_rest};
use crate::config::Settings;
use crate::control::ErrorReason;
use crate::obs::Output;
use crate::proto::quoted;

/// `config assign`.
pub(super) fn assign(settings: &Settings, name: &str, items: &[String]) -> Outcome {
    let site = find_site(settings, name)?;
    if !site.enabled || site.remote_config == Some(false) {
        return refuse(format!("site {} has enabled = false or remote_config = false", quoted(name)));
    }
    let AssignedAtRest { assigned, unknown } = assign_at_rest(settings, site, items)?;
    let mut out = Output::default();
    for reassigned in assigned {
        out.line(format_args!("{} {reassigned}", quoted(name)));
    }
    out.finish()?;
    if unknown.is_empty() {
        return Ok(SUCCESS);
    }
    let names: Vec<String> = unknown.iter().map(|name| quoted(name).to_string()).collect();
    refuse(format!("there is no configuration here of {}", names.join(", ")))
}

/// As the daemon does.
fn refuse(problem: String) -> Outcome {
    Err(ControlError::Refused { program: Program::Syncd, reason: ErrorReason::Name, problems: vec![problem] }.into())
}

/// `config confirm-deletions`.
pub(super) fn confirm_deletions(settings: &Settings) -> Outcome {
    let mut out = Output::default();
    for line in ConfirmedDeletions::lines(&confirm_at_rest(settings)?) {
        out.line(line);
    }
    out.finish()?;
    Ok(SUCCESS)
}
