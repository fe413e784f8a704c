//! What the commands for a daemon that runs have on their command lines.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::usual_path;
use super::status::Order;
use crate::config::{self, ConfigError, DaemonPaths, LoadOptions, Settings};

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(in crate::cli::syncd) struct ControlArgs {
    /// The daemon's configuration, for where its control socket is [default: as of `run`]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's --state-dir, if it was given one
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// The daemon's control socket [default: control_socket of the configuration; else control.sock in $RUNTIME_DIRECTORY, in
    /// /run/tentacle-sync, or in the state directory]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["config", "state_dir"])]
    pub(super) control_socket: Option<PathBuf>,
}

impl ControlArgs {
    /// Reads the daemon's configuration.
    pub(super) fn load(&self) -> Result<Settings, ConfigError> {
        config::load(usual_path(self.config.as_deref()), &self.options())
    }

    /// Reads of it only where the daemon is reached.
    pub(super) fn daemon_paths(&self) -> Result<DaemonPaths, ConfigError> {
        config::load_daemon_paths(usual_path(self.config.as_deref()), &self.options())
    }

    fn options(&self) -> LoadOptions {
        LoadOptions { state_dir: self.state_dir.clone(), ..LoadOptions::default() }
    }
}

/// What `top` shows, and how often.
#[derive(Debug, Args)]
pub(in crate::cli::syncd) struct TopArgs {
    #[command(flatten)]
    pub(super) control: ControlArgs,
    /// From one question to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) interval: u64,
    /// Which site comes first.
    #[arg(long, value_enum, default_value_t)]
    pub(super) sort: Order,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli::syncd) enum SkippedCommand {
    /// Print their names, and why each is left.
    Ls {
        #[command(flatten)]
        control: ControlArgs,
        /// Sites by name; all where none is named.
        sites: Vec<String>,
    },
    /// Have the daemon ask a site for them again, now.
    Retry {
        #[command(flatten)]
        control: ControlArgs,
        /// The site's name.
        site: String,
        /// The file's name; all of them where none is named.
        name: Option<String>,
    },
}
