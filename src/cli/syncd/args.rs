//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::super::limits;
use super::config::{self as agent_config, ConfigCommand};
use super::control::{ControlArgs, SiteCommand, SkippedCommand, TopArgs};
#[cfg(feature = "demo")]
use super::demo;
use super::user::{UserError, refuse_root};
use super::{FAILURE, Outcome, Problem, check, control, exit_code, import, once, probe, run};
use crate::config::{self, ConfigError, LoadOptions, Settings, files_of, read_when_written, refuse_cut_off};
use crate::obs::{self, LogFormat, LogTarget};
use crate::proto::quoted;
use crate::sync::remote_config::Mode as RoundMode;

const EXAMPLES: &str = "\
Examples:
  tentacle-syncd run --config /etc/pandora/pandora_server.conf
      Collect as the Pandora FMS Sync Server would, by its own settings.
  tentacle-syncd probe plant-7
      What happens between here and the site plant-7, step by step.
  tentacle-syncd import /etc/pandora/pandora_server.conf > tentacle-syncd.toml
      Move to the richer configuration.
  tentacle-syncd status
      What each site is at, the worst first, and what is wrong with it.
  tentacle-syncd reload
      Take the configuration over, and see what came of it.

Exit status: 0 all went well; 1 something did not; 2 the command line or the
configuration cannot be used; 3 it cannot be begun now, and another try may succeed.";

const STATUS_EXAMPLES: &str = "\
Examples:
  tentacle-syncd status
      All sites, and what is wrong with the worst ten.
  tentacle-syncd status plant-7
      One site, and what is wrong with it.
  tentacle-syncd status --json | jq -r '.sites[] | select(.is_failing) | .name'
      The names of sites that fail, for scripts.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  tentacle-syncd import /etc/pandora/pandora_server.conf > tentacle-syncd.toml
      Move to our own format.
  tentacle-syncd import --output /etc/tentacle-sync/sites.d/ships.toml ships.csv
      Add the sites of a list; `check` and `reload` come next.";

/// Collects Pandora FMS agent data from isolated networks, opening every connection from here.
#[derive(Debug, Parser)]
#[command(name = "tentacle-syncd", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect from all sites until stopped (SIGTERM, SIGINT); SIGHUP reloads configuration and certificates.
    Run(Collecting),
    /// One round of all sites, or of those named: their data, and then agents' configuration where `remote_config` is on. Exit
    /// status 1 if any of them failed, left files behind, or has a configuration or collection afterwards that is not the same
    /// as at the centre.
    Once {
        #[command(flatten)]
        collecting: Collecting,
        /// Do not end before all that was collected is published, each agent's next file when the data server has taken
        /// the one before it.
        #[arg(long)]
        wait: bool,
        /// Only agents' configuration: no data is touched, and all that is believed to be the same is compared.
        #[arg(long, conflicts_with = "wait")]
        config_only: bool,
        /// Print what would go where, and why, a line for each configuration and collection (site, file, action, reason), and
        /// change nothing at either end; works beside a daemon.
        #[arg(long, requires = "config_only")]
        dry_run: bool,
        /// Print lines of JSON, as the manual page describes them.
        #[arg(long)]
        json: bool,
        /// Sites by name; all enabled ones where none is named.
        sites: Vec<String>,
    },
    /// Check configuration, certificates and their dates, directories and rights; connects to nothing.
    Check {
        #[command(flatten)]
        common: Common,
        /// Read the configuration only; look at no certificate and no directory.
        #[arg(long)]
        syntax_only: bool,
        /// Test as this user [default, as root: the owner of the state directory, or of an incoming directory]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// The pandora_server.conf of the data server that takes the files [default: --config, if it is one; else
        /// /etc/pandora/pandora_server.conf, if it is there]
        #[arg(long, value_name = "FILE", conflicts_with = "syntax_only")]
        pandora_conf: Option<PathBuf>,
        /// Print one line of JSON, as the manual page describes it.
        #[arg(long)]
        json: bool,
    },
    /// Try one site step by step: resolve, connect, TLS, password, listing; fetches and deletes nothing.
    Probe {
        #[command(flatten)]
        common: Common,
        /// The site's name.
        site: String,
    },
    /// Ask the daemon that runs what its sites are at, the worst first; exit status 1 if any of them fails, 3 if there is no
    /// daemon.
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        #[command(flatten)]
        control: ControlArgs,
        /// Print one line of JSON, as the manual page describes it.
        #[arg(long)]
        json: bool,
        /// Which site comes first.
        #[arg(long, value_enum, default_value_t)]
        sort: control::Order,
        /// Sites by name; all where none is named.
        sites: Vec<String>,
    },
    /// Show what `status` prints, anew each second, with keys to sort, to filter and to look at a site.
    Top(TopArgs),
    /// Have the daemon that runs read its configuration again, and print what came of it; exit status 1 if it was refused, in
    /// whole or for a site.
    Reload {
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Have the daemon that runs begin the next round of these sites now.
    SyncNow {
        #[command(flatten)]
        control: ControlArgs,
        /// Sites by name.
        #[arg(required = true)]
        sites: Vec<String>,
    },
    /// Have the daemon that runs begin no more rounds of these sites, until they are resumed or it is started anew.
    Pause {
        #[command(flatten)]
        control: ControlArgs,
        /// Sites by name.
        #[arg(required = true)]
        sites: Vec<String>,
    },
    /// Have the daemon that runs collect from paused sites again.
    Resume {
        #[command(flatten)]
        control: ControlArgs,
        /// Sites by name.
        #[arg(required = true)]
        sites: Vec<String>,
    },
    /// Files that are left at sites, as the daemon that runs knows them.
    Skipped {
        #[command(subcommand)]
        command: SkippedCommand,
    },
    /// Print what happens in the daemon that runs, as it does: a line of JSON for each round that ends, each failure and
    /// recovery, each site paused or resumed, each reload.
    Watch {
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Agents' configuration (`remote_config`), at the centre and at sites.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print TOML: the configuration that does what a pandora_server.conf asks for, or the sites of a list, to be included.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// Write it to this file, whole or not at all, and keep what is there.
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Replace the file that is there.
        #[arg(long, requires = "output")]
        force: bool,
        /// The pandora_server.conf; or the list, *.csv, whose first line names its columns: name,address,port,group.
        file: PathBuf,
    },
    /// Collect from three made-up sites inside this process: a TLS one, a slow one, one that hangs.
    #[cfg(feature = "demo")]
    Demo {
        /// Agent files at each of the sites that work.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        files: u32,
    },
}

#[derive(Debug, Args)]
pub(super) struct Collecting {
    #[command(flatten)]
    pub(super) common: Common,
    /// Collect as root though the state directory or an incoming directory is another user's: what root makes there, that user
    /// may not be able to use.
    #[arg(long)]
    allow_root: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// TOML or pandora_server.conf [default: /etc/tentacle-sync/tentacle-syncd.toml, then /etc/pandora/pandora_server.conf]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the journal is kept [default: $STATE_DIRECTORY; else /var/lib/tentacle-sync, if this user may write there; else
    /// $XDG_STATE_HOME/tentacle-sync, or ~/.local/state/tentacle-sync]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where the files of all sites land, instead of what is configured.
    #[arg(long, value_name = "DIR")]
    incoming_dir: Option<PathBuf>,
    /// How much to log, on standard error.
    #[arg(long, value_enum, default_value_t)]
    log_level: Level,
    /// Lines for people, or a line of JSON each, as the manual page describes it.
    #[arg(long, value_enum, default_value_t)]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

pub(super) fn usual_path(named: Option<&Path>) -> &Path {
    // Where there is none at all, the error names the place it belongs.
    match named {
        Some(path) => path,
        None => config::default_path().unwrap_or(Path::new(config::DEFAULT_PATHS[0])),
    }
}

impl Common {
    /// The configuration's file: the one that is named, else the first of the usual ones that is there.
    pub(super) fn path(&self) -> &Path {
        usual_path(self.config.as_deref())
    }

    /// Reads the configuration in `path`.
    pub(super) fn load(&self, path: &Path) -> Result<Settings, ConfigError> {
        let options = LoadOptions {
            state_dir: self.state_dir.clone(),
            incoming_dir: self.incoming_dir.clone(),
            ..LoadOptions::default()
        };
        config::load(path, &options)
    }

    /// Reads it while a daemon runs by `current`: what is being written is waited for, and what may have been cut off refused.
    pub(super) fn load_again(&self, path: &Path, current: &Settings) -> Result<Settings, Problem> {
        let read = || -> Result<Settings, Problem> {
            let settings = self.load(path)?;
            // A file that always was without an end is not refused.
            settings.new_files(current).try_for_each(|file| refuse_cut_off(file, false))?;
            Ok(settings)
        };
        let settings = read_when_written(|| files_of(path), read, Settings::pem_files)?;
        let lost = settings.unprotected(current);
        if !lost.is_empty() {
            let (path, lost) = (quoted(path), lost.join(", "));
            let why = "that protects connections, so only a restart takes it away";
            return Err(format!("{path}: no {lost} any more: {why}").into());
        }
        Ok(settings)
    }

    /// Reads the configuration in `path`, sets up the log, and logs the warnings.
    pub(super) fn start(&self, path: &Path) -> Result<(Settings, LogTarget), Problem> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        let log = obs::start_log(self.log_level.filter(), Level::default().filter(), format)?;
        log.write_in_background(FAILURE);
        let settings = self.load(path)?;
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        Ok((settings, log))
    }
}

impl Collecting {
    /// Refuses to collect as root into another user's directories, unless that is asked for.
    pub(super) fn check_user(&self, settings: &Settings) -> Result<(), UserError> {
        if self.allow_root { Ok(()) } else { refuse_root(settings) }
    }
}

impl Level {
    fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
            Self::Trace => log::LevelFilter::Trace,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let code = exit_code(dispatch(Cli::parse().command));
    obs::finish_log();
    code
}

fn dispatch(command: Command) -> Outcome {
    limits::outlive_file_size_limit()?;
    match command {
        Command::Run(collecting) => run::run(&collecting),
        Command::Once { collecting, config_only: true, dry_run, json, sites, .. } => {
            once::configure(&collecting, &sites, if dry_run { RoundMode::DryRun } else { RoundMode::Apply }, json)
        }
        Command::Once { collecting, wait, json, sites, .. } => once::run(&collecting, &sites, wait, json),
        Command::Check { common, syntax_only, user, pandora_conf, json } => {
            let (user, pandora_conf) = (user.as_deref(), pandora_conf.as_deref());
            check::run(&common, &check::Scope { syntax_only, user, pandora_conf }, json)
        }
        Command::Probe { common, site } => probe::run(&common, &site),
        Command::Config { command } => agent_config::run(command),
        Command::Import { output, force, file } => {
            let destination = match &output {
                Some(path) => import::Destination::File { path, replace: force },
                None => import::Destination::StandardOutput,
            };
            import::run(&file, &destination)
        }
        Command::Status { control, json, sort, sites } => control::status(&control, &sites, json, sort),
        Command::Top(arguments) => control::top(&arguments),
        Command::Reload { control } => control::reload(&control),
        Command::SyncNow { control, sites } => control::with_sites(&control, SiteCommand::SyncNow, &sites),
        Command::Pause { control, sites } => control::with_sites(&control, SiteCommand::Pause, &sites),
        Command::Resume { control, sites } => control::with_sites(&control, SiteCommand::Resume, &sites),
        Command::Skipped { command } => control::skipped(command),
        Command::Watch { control } => control::watch(&control),
        #[cfg(feature = "demo")]
        Command::Demo { files } => demo::run(files),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    const MANUAL: &str = include_str!("../../../config/tentacle-syncd.8");

    /// Whether the page has an item for it.
    fn has_item(kind: &str, name: &str) -> bool {
        let mut items = MANUAL.lines().filter_map(|line| line.strip_prefix(".It "));
        items.any(|item| item.starts_with(kind) && item.split(' ').any(|word| word == name))
    }

    /// All that do something: those that have commands of their own are named with them.
    fn commands() -> Vec<clap::Command> {
        let program = Cli::command();
        let is_whole = |command: &&clap::Command| !command.has_subcommands();
        let below = program.get_subcommands().flat_map(clap::Command::get_subcommands);
        below.chain(program.get_subcommands().filter(is_whole)).cloned().collect()
    }

    #[test]
    fn the_manual_page_has_every_command_and_option() {
        for command in commands() {
            assert!(has_item("Cm", command.get_name()), "{}", command.get_name());
            let options = command.get_arguments().filter(|argument| !argument.is_positional());
            for option in options {
                let long = format!("-{}", option.get_long().unwrap());
                assert!(has_item("Fl", &long), "{long}");
                if let Some(short) = option.get_short() {
                    assert!(has_item("Fl", &short.to_string()), "-{short}");
                }
            }
        }
        for built_in in ["-help", "-version"] {
            assert!(has_item("Fl", built_in), "{built_in}");
        }
    }

    #[cfg(feature = "demo")]
    #[test]
    fn the_manual_page_has_no_option_of_its_own() {
        let commands = commands();
        let known: Vec<String> = commands
            .iter()
            .flat_map(|command| command.get_arguments().filter_map(|argument| argument.get_long()))
            .map(|long| format!("-{long}"))
            .collect();
        let items = MANUAL.lines().filter_map(|line| line.strip_prefix(".It Fl "));
        for word in items.flat_map(|item| item.split(' ')).filter(|word| word.len() > 1 && word.starts_with('-')) {
            assert!(["-help", "-version"].contains(&word) || known.iter().any(|long| long == word), "{word}");
        }
    }
}
