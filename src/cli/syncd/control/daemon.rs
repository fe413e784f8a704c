//! Where a daemon that runs is asked.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::ControlArgs;
use crate::cli::control::{ControlClient, ControlError, Program, SocketEnv, places};
use crate::config::{DaemonPaths, Env, default_state_dir};
use crate::control::{Answer, Command};

/// The daemon's control socket, and what is known of it where nobody answers there.
pub(super) struct DaemonClient {
    client: ControlClient,
    /// The daemon's, where it is known.
    state_dir: Option<PathBuf>,
}

impl DaemonClient {
    /// Looks where the daemon would serve its socket. A configuration that cannot be read keeps nobody from reaching a daemon
    /// that runs by the one before.
    pub(super) fn find(arguments: &ControlArgs) -> Self {
        let client = |places, hint| ControlClient::new(Program::Syncd, places, hint);
        if let Some(path) = &arguments.control_socket {
            return Self { client: client(vec![path.clone()], String::new()), state_dir: None };
        }
        let places = |configured: Option<&Path>, state_dir: Option<&Path>| {
            places(Program::Syncd, configured, state_dir, SocketEnv::of_process())
        };
        match arguments.daemon_paths() {
            Ok(DaemonPaths { control_socket, state_dir }) => {
                let places = places(control_socket.as_deref(), state_dir.as_deref());
                Self { client: client(places, String::new()), state_dir }
            }
            Err(error) => {
                let state_dir = arguments.state_dir.clone().or_else(|| default_state_dir(Env::of_process()).ok());
                let why = error.to_string();
                let why = why.lines().next().unwrap_or_default();
                let hint = format!("; what the configuration says of control_socket is not known: {why}");
                Self { client: client(places(None, state_dir.as_deref()), hint), state_dir }
            }
        }
    }

    /// Where the daemon keeps its state, as far as that is known.
    pub(super) fn state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// As [`ControlClient::ask`].
    pub(super) fn ask(&self, command: &Command, each: impl FnMut(Answer)) -> Result<(), ControlError> {
        self.client.ask(command, each)
    }

    /// As [`ControlClient::follow`].
    pub(super) fn follow(
        &self,
        command: &Command,
        patience: Option<Duration>,
        each: impl FnMut(Answer) -> ControlFlow<()>,
    ) -> Result<(), ControlError> {
        self.client.follow(command, patience, each)
    }
}
