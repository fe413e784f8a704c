//! Our server as operators run it: a configuration file, a log, a storage directory.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::Files;

use crate::daemon::wait_until;
use crate::mount::Mount;
use crate::server_process::{Options, ServerProcess, hand_over_to_server, stored_in};
use crate::support::{Client, TIMEOUT, scratch};

/// Our server, and what belongs to it.
pub(crate) struct Buffer {
    server: ServerProcess,
    home: TempDir,
    options: Options,
}

impl Buffer {
    /// As the buffer of an isolated network, with these lines in its file.
    pub(crate) fn start(keys: &str) -> Self {
        Self::with(Options::usual(), keys)
    }

    /// With these options, and these lines in its file.
    pub(crate) fn with(options: Options, keys: &str) -> Self {
        Self::prepared(options, keys, |_| {})
    }

    /// As the buffer of an isolated network, with its storage on this filesystem.
    pub(crate) fn on(mount: &Mount) -> Self {
        Self::prepared(Options::usual(), "", |storage| drop(mount.host(storage)))
    }

    /// With what `prepare` puts into the storage directory first.
    pub(crate) fn prepared(options: Options, keys: &str, prepare: impl FnOnce(&Path)) -> Self {
        let home = scratch();
        let storage = home.path().join("storage");
        for name in ["conf", "md5", "collections"] {
            fs::create_dir_all(storage.join(name)).unwrap();
        }
        prepare(&storage);
        let config = home.path().join("tentacle_server.conf");
        fs::write(&config, keys).unwrap();
        hand_over_to_server(home.path());
        let options = options.arg("-F").arg(config).arg("-l").arg(home.path().join("log")).arg("-V");
        Self { server: ServerProcess::ours(&options, &storage), home, options }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn process(&mut self) -> &mut ServerProcess {
        &mut self.server
    }

    pub(crate) fn storage(&self) -> PathBuf {
        self.server.storage().to_owned()
    }

    /// What is stored, by its path below the storage directory.
    pub(crate) fn files(&self) -> Files {
        stored_in(self.server.storage())
    }

    /// Puts a file there behind the server's back, as an agent on the same machine does.
    pub(crate) fn put(&self, name: &str, body: impl AsRef<[u8]>) {
        let path = self.server.storage().join(name);
        fs::write(&path, body).unwrap();
        hand_over_to_server(&path);
    }

    pub(crate) fn holds(&self, name: &str) -> bool {
        self.server.storage().join(name).symlink_metadata().is_ok()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Waits for a line of the log that has all of these in it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, parts: &[&str]) {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        wait_until(&format!("{parts:?} in the log"), || self.log().lines().any(has).then_some(()));
    }

    /// Writes other lines into the file and has it read, whether it is good or not.
    pub(crate) fn reload(&self, keys: &str) {
        fs::write(self.home.path().join("tentacle_server.conf"), keys).unwrap();
        self.hang_up();
    }

    /// Has certificates and configuration read again.
    pub(crate) fn hang_up(&self) {
        let reloads = || self.log().lines().filter(|line| line.contains("reloaded")).count();
        let before = reloads();
        self.server.signal(Signal::HUP);
        wait_until("the reload", || (reloads() > before).then_some(()));
    }

    /// Kills it, and leaves things as they are then.
    pub(crate) fn kill(&mut self) {
        self.server.signal(Signal::KILL);
        self.server.wait();
    }

    /// Starts it again on what it left.
    pub(crate) fn restart(&mut self) {
        self.server = ServerProcess::ours(&self.options, &self.storage());
    }
}

impl Client {
    /// Sends a file and fails unless it is stored.
    #[track_caller]
    pub(crate) fn store(&mut self, name: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.ask(&format!("SEND <{name}> SIZE {}", body.len()), "SEND OK");
        self.send(body);
        self.expect("SEND OK\n");
    }

    /// Asks for a file or a listing; the answer's size.
    #[track_caller]
    pub(crate) fn announced(&mut self, verb: &str, name: &str) -> usize {
        self.send(format!("{verb} <{name}>\n"));
        let answer = self.line();
        let size = answer.strip_prefix(verb).and_then(|rest| rest.strip_prefix(" SIZE "));
        size.and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("{verb} <{name}>: {answer:?}"))
    }

    /// Asks for a file or a listing and takes it.
    #[track_caller]
    pub(crate) fn take(&mut self, verb: &str, name: &str) -> Vec<u8> {
        let size = self.announced(verb, name);
        self.send(format!("{verb} OK\n"));
        let (body, _) = self.receive(size, TIMEOUT);
        assert_eq!(body.len(), size);
        body
    }

    /// The names a listing has, but for directories every storage has.
    #[track_caller]
    pub(crate) fn names(&mut self, word: &str) -> BTreeSet<String> {
        let listing = String::from_utf8(self.take("LS", word)).unwrap();
        let directories = [".", "..", "conf", "md5", "collections"];
        listing.lines().filter(|name| !directories.contains(name)).map(str::to_owned).collect()
    }

    /// A line from the server, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let (byte, closed) = self.receive(1, TIMEOUT);
            match byte.as_slice() {
                [b'\n'] => break,
                [byte] if !closed => line.push(*byte),
                _ => break,
            }
        }
        String::from_utf8(line).unwrap()
    }

    /// What the server says it can do, but for the time, which it says as well.
    #[track_caller]
    pub(crate) fn capabilities(&mut self) -> String {
        self.send("RECV <?caps>\n");
        timeless(&self.line())
    }

    /// Ends the client's direction of the connection, without close_notify.
    pub(crate) fn end_direction(&self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }
}

/// A line with what a server can do, without the time, which is its last word.
#[track_caller]
pub(crate) fn timeless(line: &str) -> String {
    let (words, time) = line.split_once(" TIME=").unwrap_or_else(|| panic!("no time in {line:?}"));
    assert!(time.len() == 19 && time.bytes().all(|byte| byte.is_ascii_digit()), "{line:?}");
    words.to_owned()
}
