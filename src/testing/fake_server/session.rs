//! One client's session, as stock holds it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::command::{Command, Verb, is_forbidden};
use super::faults::Fault;
use super::setup::WritePattern;
use super::shared::Shared;
use super::stream::{self, Stream};
use crate::testing::archive::stock_archive;

/// What one read takes at most, in bytes.
const READ_BLOCK: usize = 46_080;

/// Beyond this many bytes stock waits no longer for a line's end.
const LINE_LIMIT: usize = 1_024;

/// How much of a file `RECV` writes at a time, in bytes.
const SEND_BLOCK: usize = 1_024;

/// The session is over: stock gives no reasons.
#[derive(Debug)]
pub(super) struct Closed;

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// How stock cuts a body into writes.
#[derive(Clone, Copy)]
enum Cut {
    Blocks,
    Lines,
    Nowhere,
}

/// What is left to do after the faults in place of an answer.
enum Rest {
    Everything,
    Nothing,
}

pub(super) struct Session<'a> {
    shared: &'a Shared,
    connection: u64,
    stream: Stream<'a>,
    block: Vec<u8>,
}

impl<'a> Session<'a> {
    pub(super) fn new(shared: &'a Shared, connection: u64, stream: Stream<'a>) -> Self {
        Self { shared, connection, stream, block: vec![0; READ_BLOCK] }
    }

    /// Serves commands until one side has had enough.
    pub(super) fn run(mut self) -> Result<(), Closed> {
        if let Some(password) = &self.shared.setup.password {
            self.authenticate(&password_digest(password.expose()))?;
        }
        loop {
            let line = self.read_line()?;
            let command = Command::parse(&line).ok_or(Closed)?;
            let faults = self.shared.note(self.connection, &command);
            if let Rest::Everything = self.inject_reply(command.verb(), &faults)? {
                self.execute(command, &faults)?;
            }
            if faults.contains(&Fault::CloseAfter) {
                return Err(Closed);
            }
        }
    }

    fn authenticate(&mut self, expected: &str) -> Result<(), Closed> {
        let line = self.read_line()?;
        let command = Command::parse(&line).ok_or(Closed)?;
        let faults = self.shared.note(self.connection, &command);
        match command {
            Command::Pass { digest } if digest == expected.as_bytes() => {
                match self.inject_reply(Verb::Pass, &faults)? {
                    Rest::Everything => self.send_line("PASS OK"),
                    Rest::Nothing => Ok(()),
                }
            }
            _ => Err(Closed),
        }
    }

    fn execute(&mut self, command: Command<'_>, faults: &[Fault]) -> Result<(), Closed> {
        match command {
            Command::Send { name, size, .. } => self.take_file(command.verb(), name, size),
            Command::Recv { zip: true, .. } if !self.shared.setup.packs => Err(Closed),
            Command::Recv { zip, name } => self.give_file(zip, name, faults),
            Command::Ls { word } if self.shared.setup.insecure => self.give_listing(word, faults),
            Command::Mv { name } if self.shared.setup.insecure => self.move_file(name, faults),
            Command::Pass { .. } | Command::Ls { .. } | Command::Mv { .. } | Command::Quit => Err(Closed),
        }
    }

    fn take_file(&mut self, verb: Verb, name: &[u8], size: u64) -> Result<(), Closed> {
        let setup = &self.shared.setup;
        let path = self.path_of(name);
        if is_forbidden(name) {
            return self.send_line(&format!("{verb} ERR (invalid file name)"));
        }
        if size == 0 || size > setup.max_size {
            return self.send_line(&format!("{verb} ERR (file is too big)"));
        }
        if !setup.overwrite && self.shared.store.size(&path).is_some() {
            return self.send_line(&format!("{verb} ERR (file already exists)"));
        }
        self.send_line(&format!("{verb} OK"))?;
        let body = self.read_body(size)?;
        // Stock stores what is no archive as it came; archives are not supported here.
        if verb == Verb::Zsend && body.starts_with(b"PK") {
            return Err(Closed);
        }
        self.shared.store.write(&path, &body)?;
        self.send_line(&format!("{verb} OK"))
    }

    fn give_file(&mut self, zip: bool, name: &[u8], faults: &[Fault]) -> Result<(), Closed> {
        let verb = if zip { Verb::Zrecv } else { Verb::Recv };
        if is_forbidden(name) {
            return self.send_line(&format!("{verb} ERR (file has an invalid file name)"));
        }
        let path = self.path_of(name);
        let Some(size) = self.shared.store.size(&path) else {
            return self.send_line(&format!("{verb} ERR (file does not exist)"));
        };
        if zip {
            return self.give_archive(name, &path, faults);
        }
        if !self.offer(verb, size, faults)? {
            return Ok(());
        }
        self.tamper(&path, faults)?;
        let body = self.shared.store.read(&path)?;
        if body.is_empty() {
            return Err(Closed);
        }
        self.write_body(&body, Cut::Blocks, faults)
    }

    /// The archive is made before its size is announced.
    fn give_archive(&mut self, name: &[u8], path: &Path, faults: &[Fault]) -> Result<(), Closed> {
        let archive = stock_archive(name, &self.shared.store.read(path)?)?;
        if !self.offer(Verb::Zrecv, archive.len() as u64, faults)? {
            return Ok(());
        }
        self.tamper(path, faults)?;
        self.write_body(&archive, Cut::Nowhere, faults)
    }

    /// The file goes once its last write has returned, whether or not the client got it.
    fn move_file(&mut self, name: &[u8], faults: &[Fault]) -> Result<(), Closed> {
        let path = self.path_of(name);
        let size = if is_forbidden(name) { None } else { self.shared.store.size(&path) };
        let Some(size) = size else { return self.send_line("MV ERR") };
        if !self.offer(Verb::Mv, size, faults)? {
            return Ok(());
        }
        self.tamper(&path, faults)?;
        let body = self.shared.store.read(&path)?;
        self.write_body(&body, Cut::Lines, faults)?;
        if !faults.contains(&Fault::KeepMoved) {
            self.shared.store.remove(&path)?;
        }
        Ok(())
    }

    fn give_listing(&mut self, word: &[u8], faults: &[Fault]) -> Result<(), Closed> {
        let directory = self.directory_of(word);
        let names = if is_forbidden(word) { None } else { self.shared.store.list(directory).ok() };
        let Some(names) = names else { return self.send_line("LS ERR") };
        let mut body = Vec::new();
        for name in names.iter().map(|name| name.as_bytes()).filter(|name| !is_forbidden(name)) {
            body.extend_from_slice(name);
            body.push(b'\n');
        }
        if !self.offer(Verb::Ls, body.len() as u64, faults)? {
            return Ok(());
        }
        self.write_body(&body, Cut::Nowhere, faults)
    }

    /// Announces a body; whether the client accepts it.
    fn offer(&mut self, verb: Verb, size: u64, faults: &[Fault]) -> Result<bool, Closed> {
        let lie = faults.iter().find_map(|fault| match fault {
            Fault::WrongSize(lie) => Some(lie.about(size)),
            _ => None,
        });
        let size = lie.unwrap_or_else(|| size.to_string());
        self.send_line(&format!("{verb} SIZE {size}"))?;
        Ok(self.read_line()? == format!("{verb} OK").as_bytes())
    }

    /// What may happen to a file between the announcement of its size and its opening.
    fn tamper(&self, path: &Path, faults: &[Fault]) -> io::Result<()> {
        for fault in faults {
            match fault {
                Fault::OverwriteBetween(bytes) => self.shared.store.write(path, bytes)?,
                Fault::VanishBetween => self.shared.store.remove(path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_body(&mut self, body: &[u8], cut: Cut, faults: &[Fault]) -> Result<(), Closed> {
        for fault in faults {
            let head = |after: &usize| &body[..body.len().min(*after)];
            match fault {
                Fault::StallBody { after } => {
                    self.stream.write_all(head(after))?;
                    return Err(stream::drain(self.stream.socket()));
                }
                Fault::CutBody { after } => {
                    self.stream.write_all(head(after))?;
                    return Err(Closed);
                }
                Fault::ResetBody { after } => {
                    self.stream.write_all(head(after))?;
                    return Err(stream::reset(self.stream.socket()));
                }
                Fault::DamageBody { at } => {
                    let mut damaged = body.to_vec();
                    damaged.iter_mut().skip(*at).take(1).for_each(|byte| *byte ^= 1);
                    return Ok(self.stream.write_all(&damaged)?);
                }
                Fault::DripBody { bytes, every } => {
                    for drop in body.chunks((*bytes).max(1)) {
                        self.stream.write_all(drop)?;
                        self.shared.pause(*every)?;
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        match (self.shared.setup.write, cut) {
            (WritePattern::Stock, Cut::Blocks) => self.write_each(body.chunks(SEND_BLOCK)),
            (WritePattern::Stock, Cut::Lines) => self.write_each(body.split_inclusive(|&byte| byte == b'\n')),
            _ => Ok(self.stream.write_all(body)?),
        }
    }

    fn write_each<'b>(&mut self, pieces: impl Iterator<Item = &'b [u8]>) -> Result<(), Closed> {
        for piece in pieces {
            self.stream.write_all(piece)?;
        }
        Ok(())
    }

    /// Plays the faults that come before an answer or in place of it.
    fn inject_reply(&mut self, verb: Verb, faults: &[Fault]) -> Result<Rest, Closed> {
        for fault in faults {
            match fault {
                Fault::Slow(pause) => self.shared.pause(*pause)?,
                Fault::Hang => return Err(stream::drain(self.stream.socket())),
                Fault::Close => return Err(Closed),
                Fault::Reset => return Err(stream::reset(self.stream.socket())),
                Fault::Garbage(count) => {
                    let garbage: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(*count).collect();
                    self.stream.write_all(&garbage)?;
                    return Ok(Rest::Nothing);
                }
                Fault::Refuse => {
                    self.send_line(&format!("{verb} ERR"))?;
                    return Ok(Rest::Nothing);
                }
                _ => {}
            }
        }
        Ok(Rest::Everything)
    }

    fn send_line(&mut self, line: &str) -> Result<(), Closed> {
        Ok(self.stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// A command is all that one read brought, or several until one ended with a newline.
    fn read_line(&mut self) -> Result<Vec<u8>, Closed> {
        let mut line = Vec::new();
        loop {
            let count = self.stream.read(&mut self.block)?;
            if count == 0 {
                return Err(Closed);
            }
            line.extend_from_slice(&self.block[..count]);
            if line.pop_if(|last| *last == b'\n').is_some() {
                return Ok(line);
            }
            if line.len() > LINE_LIMIT {
                return Err(Closed);
            }
        }
    }

    fn read_body(&mut self, size: u64) -> Result<Vec<u8>, Closed> {
        let mut body = Vec::new();
        loop {
            let left = usize::try_from(size - body.len() as u64).unwrap_or(READ_BLOCK).min(READ_BLOCK);
            if left == 0 {
                return Ok(body);
            }
            let count = self.stream.read(&mut self.block[..left])?;
            if count == 0 {
                return Err(Closed);
            }
            body.extend_from_slice(&self.block[..count]);
        }
    }

    fn directory_of(&self, name: &[u8]) -> &'a Path {
        let contains = |part: &[u8]| part.is_empty() || name.windows(part.len()).any(|window| window == part);
        let filter = self.shared.setup.filters.iter().find(|filter| contains(filter.contains.as_bytes()));
        Path::new(filter.map_or("", |filter| &filter.directory))
    }

    fn path_of(&self, name: &[u8]) -> PathBuf {
        self.directory_of(name).join(std::ffi::OsStr::from_bytes(name))
    }
}

fn password_digest(password: &[u8]) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(Md5::digest(password)).into()))
}
