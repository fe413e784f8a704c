//! `config`: agents' configuration, at the centre and at sites.

mod diff;
mod unified;

use clap::Subcommand;

use super::Outcome;
use super::args::Common;

/// The commands of the group.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show in what an agent's configuration at its site differs from the one at the centre; changes nothing, and works beside
    /// a daemon. Exit status as of diff(1): 0 the same, 1 different, 2 trouble.
    Diff {
        #[command(flatten)]
        common: Common,
        /// The site's name.
        site: String,
        /// The agent's name, or the name of its files: the 32 hexadecimal digits of the MD5 of that, perhaps with .srv; all
        /// configurations and collections of the site that differ where none is given.
        #[arg(value_name = "KEY|AGENT")]
        item: Option<String>,
    },
}

pub(super) fn run(command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Diff { common, site, item } => diff::run(&common, &site, item.as_deref()),
    }
}
