//! What a run does: all files, one after the other, over one connection.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::connection::Connection;
use super::console::Console;
use super::incoming::Incoming;
use super::outgoing::{self, Outgoing};
use super::reason::Reason;
use super::route::Route;
use crate::config::client::{ClientSettings, Direction};
use crate::net::Net;
use crate::proto::{Command, Event, PasswordDigest, RawName, Request, shown};

/// Transfers the files.
pub(crate) fn run(settings: &ClientSettings, console: Console) -> Result<(), Reason> {
    let mut route = Route::new(settings, console)?;
    let mut net = Net::new()?;
    // A signal is an error like another: what is half done is cleaned up.
    net.take_signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let mut transfer = Transfer { settings, console, files: Files::Named };
    loop {
        let connection = Connection::open(&mut net, &route, settings, console);
        match connection.and_then(|connection| transfer.run(connection)) {
            Ok(()) => return Ok(()),
            Err(reason) => route = route.fallback(reason, console)?,
        }
    }
}

struct Transfer<'a> {
    settings: &'a ClientSettings,
    console: Console,
    files: Files,
}

/// The files still to be transferred.
enum Files {
    /// Those of the command line; nobody has looked at them.
    Named,
    Listed(VecDeque<PathBuf>),
}

impl Transfer<'_> {
    fn run(&mut self, mut connection: Connection<'_>) -> Result<(), Reason> {
        self.log_in(&mut connection)?;
        self.list()?;
        while let Some(path) = self.next() {
            let outcome = match self.settings.direction {
                Direction::Get => self.get(&mut connection, &path),
                Direction::Send => self.send(&mut connection, &path),
            };
            if let Err(reason) = outcome {
                if self.settings.direction == Direction::Send && matches!(reason, Reason::Responded { .. }) {
                    connection.quit();
                }
                return Err(reason);
            }
            self.done();
        }
        connection.quit();
        Ok(())
    }

    fn log_in(&self, connection: &mut Connection<'_>) -> Result<(), Reason> {
        let Some(password) = &self.settings.password else { return Ok(()) };
        connection.command(&Command::Pass(PasswordDigest::of(password)))?;
        match connection.reply()? {
            Event::PasswordAccepted => Ok(()),
            _ => Err(Reason::AuthenticationFailed),
        }
    }

    /// Looks at the files, once: where one is missing none is sent.
    fn list(&mut self) -> Result<(), Reason> {
        if let Files::Named = self.files {
            let named = &self.settings.files;
            self.files = Files::Listed(match self.settings.direction {
                Direction::Send => outgoing::list(named)?,
                Direction::Get => named.iter().cloned().collect(),
            });
        }
        Ok(())
    }

    /// The next file. It stays the next one until it is [`done`](Self::done), for a connection can fail on the way.
    fn next(&self) -> Option<PathBuf> {
        match &self.files {
            Files::Listed(files) => files.front().cloned(),
            Files::Named => None,
        }
    }

    fn done(&mut self) {
        if let Files::Listed(files) = &mut self.files {
            files.pop_front();
        }
    }

    fn send(&self, connection: &mut Connection<'_>, path: &Path) -> Result<(), Reason> {
        let zip = self.settings.zip;
        let outgoing = Outgoing::open(path)?;
        let Outgoing { name, file, size } = if zip { outgoing.pack()? } else { outgoing };
        let request = Request::Send { name, zip, size };
        connection.request(&request)?;
        let (verb, name) = (request.verb(), shown(path.file_name().unwrap_or_default()));
        let compressed = if zip { " (compressed)" } else { "" };
        self.console.log(format_args!("Request to send file '{name}' size {size}b{compressed}"));
        connection.answer()?;
        self.console.log(format_args!("Server responded {verb} OK"));
        let mut progress = self.console.progress(name, size);
        if !connection.supply(&file, |count, now| progress.advance(count, now))? {
            return Err(Reason::Shortened(path.to_owned()));
        }
        connection.answer()?;
        drop(progress);
        self.console.log("File sent");
        Ok(())
    }

    fn get(&self, connection: &mut Connection<'_>, path: &Path) -> Result<(), Reason> {
        let zip = self.settings.zip;
        let name = RawName::new(path.as_os_str().as_encoded_bytes())
            .map_err(|error| Reason::Name { path: path.to_owned(), error })?;
        connection.request(&Request::Receive { name, zip })?;
        let size = connection.announcement()?;
        if size == 0 {
            return Err(Reason::Empty(path.to_owned()));
        }
        let mut incoming = Incoming::create(path)?;
        let mut progress = self.console.progress(shown(path), size);
        if zip {
            let mut archive = temporary()?;
            connection.take_body(|bytes, now| {
                progress.advance(bytes.len() as u64, now);
                archive.write_all(bytes).map_err(Reason::Temporary)
            })?;
            incoming.unpack(archive, size)?;
        } else {
            connection.take_body(|bytes, now| {
                progress.advance(bytes.len() as u64, now);
                incoming.write(bytes)
            })?;
        }
        if incoming.is_empty()? {
            return Err(Reason::Empty(path.to_owned()));
        }
        incoming.keep()?;
        drop(progress);
        let compressed = if zip { "compressed " } else { "" };
        self.console.log(format_args!("Received {compressed}file '{}'", shown(path)));
        Ok(())
    }
}

fn temporary() -> Result<File, Reason> {
    tempfile::tempfile().map_err(Reason::Temporary)
}
