//! `config`: agents' configuration, at the centre and at sites.

use clap::Subcommand;

use super::Outcome;

/// The commands of the group.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {}

pub(super) fn run(command: ConfigCommand) -> Outcome {
    match command {}
}
