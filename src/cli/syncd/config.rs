//! `config`: agents' configuration, at the centre and at sites.

mod diff;
mod unified;

use clap::Subcommand;

use super::args::Common;
use super::control::ControlArgs;
use super::{Outcome, control};

const ASSIGN_EXAMPLES: &str = "\
Examples:
  tentacle-syncd config assign plant-7 web01 0123456789abcdef0123456789abcdef
      Two agents' configurations are those of agents at plant-7.
  tentacle-syncd config assign --all plant-7
      All that plant-7 has and that belongs to no site.";

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
    /// Have agents' configuration belong to a site, whatever site it belonged to: what is here goes there.
    #[command(after_help = ASSIGN_EXAMPLES)]
    Assign {
        #[command(flatten)]
        control: ControlArgs,
        /// All that the site listed in its last round and that belongs to no site.
        #[arg(long, conflicts_with = "items", required_unless_present = "items")]
        all: bool,
        /// The site's name.
        site: String,
        /// Configurations that are here, each by its key (32 hexadecimal digits, perhaps with .srv) or by its agent's name.
        #[arg(value_name = "KEY|AGENT")]
        items: Vec<String>,
    },
    /// Let the deletions through that are held back because so much is missing here (reason=remote-config-guard).
    ConfirmDeletions {
        #[command(flatten)]
        control: ControlArgs,
    },
}

pub(super) fn run(command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Diff { common, site, item } => diff::run(&common, &site, item.as_deref()),
        ConfigCommand::Assign { control, all, site, items } => {
            control::assign(&control, &site, (!all).then_some(&items[..]))
        }
        ConfigCommand::ConfirmDeletions { control } => control::confirm_deletions(&control),
    }
}
