//! The recordings of a stock server, replayed against ours with a store in memory behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::super::name::check_characters;
use super::super::{FileName, PasswordDigest, Secret};
use super::*;

/// Takes a clock: left to the tests of the whole server.
const TIMED: &str = "idle-times-out";

/// Stores what is in an archive, where the store in memory keeps the archive: what was sent is compared, the file not.
const UNPACKED: &str = "zsend-one";

#[derive(Debug, Deserialize)]
struct Recording {
    name: String,
    server_options: Vec<String>,
    directories: BTreeSet<String>,
    files_before: BTreeMap<String, String>,
    steps: Vec<Step>,
    files_after: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Step {
    client_closes: bool,
    send: String,
    recv: String,
    closed: bool,
}

impl Recording {
    fn load_all() -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/server");
        let load = |path: &Path| -> Self {
            let text = fs::read_to_string(path).unwrap();
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.to_string_lossy()))
        };
        let all = fs::read_dir(directory).unwrap().map(|entry| load(&entry.unwrap().path()));
        all.filter(|recording| recording.name != TIMED).collect()
    }

    /// What ours does otherwise, and means to.
    fn differ_on_purpose(mut self) -> Self {
        match self.name.as_str() {
            "zsend-corrupt" => {
                self.steps[1].recv = "ZSEND ERR\n".into();
                self.steps[2].recv = "LS SIZE 26\n".into();
                self.files_after.clear();
            }
            "line-over-1024-closes" => {
                self.steps[0].recv.clear();
                self.steps[0].closed = true;
            }
            "two-commands-in-one-write-close" => {
                self.steps[0].recv = "MV SIZE 4\nkeep".into();
                self.steps[0].closed = false;
                self.files_after.clear();
            }
            "recv-empty-file-closes" => self.steps[1].closed = false,
            _ => {}
        }
        self
    }

    fn caller(&self) -> Caller {
        // The extension changes none of it.
        let policy = Policy { extension: true, ..Policy::default() };
        let (mut policy, mut overwrite, mut filters) = (policy, false, Vec::new());
        let mut options = self.server_options.iter();
        while let Some(option) = options.next() {
            let mut value = || options.next().expect("the option has a value").clone();
            match option.as_str() {
                "-I" => policy.insecure = true,
                "-o" => overwrite = true,
                "-i" => filters = value().split(';').map(filter).collect(),
                "-m" => policy.max_size = value().parse().unwrap(),
                "-x" => policy.password = Some(PasswordDigest::of(&Secret::new(value().into()))),
                other => panic!("{}: option {other}", self.name),
            }
        }
        let files = self.files_before.iter().map(|(path, text)| (path.clone(), latin1(text))).collect();
        let store = Store { files, directories: self.directories.clone(), filters, overwrite };
        Caller { server: Server::new(Arc::new(policy)), store, ..Caller::default() }
    }

    /// What was otherwise than recorded, with the client's bytes in pieces of that size.
    fn differences(&self, piece: usize) -> Vec<String> {
        let mut caller = self.caller();
        let mut differences = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            if step.client_closes {
                caller.handle_eof();
                break;
            }
            let heard: Vec<u8> = latin1(&step.send).chunks(piece).flat_map(|bytes| caller.receive(bytes)).collect();
            if (lines(&heard), caller.is_closed()) != (lines(&latin1(&step.recv)), step.closed) {
                let heard = heard.escape_ascii();
                differences.push(format!("{} step {number}: \"{heard}\" closed={}", self.name, caller.is_closed()));
            }
        }
        caller.handle_eof();
        let after: BTreeMap<String, Vec<u8>> =
            self.files_after.iter().map(|(path, text)| (path.clone(), latin1(text))).collect();
        if caller.store.files != after && self.name != UNPACKED {
            differences.push(format!("{} files: {:?}", self.name, caller.store.files.keys()));
        }
        differences
    }
}

/// The extension a filter of the recordings stands for, and its directory.
fn filter(text: &str) -> (String, String) {
    let (pattern, directory) = text.split_once(':').unwrap();
    (pattern.strip_prefix(".*\\").expect("a filter by extension").into(), directory.into())
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).unwrap()).collect()
}

/// Sorted, for stock lists in no order; without an archive's size, which is its maker's.
fn lines(answer: &[u8]) -> Vec<Vec<u8>> {
    if answer.starts_with(b"ZRECV SIZE ") {
        return vec![b"ZRECV SIZE n\n".to_vec()];
    }
    let mut lines: Vec<_> = answer.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.iter().any(|line| line == b"..\n") {
        lines.sort();
    }
    lines
}

#[derive(Default)]
struct Store {
    files: BTreeMap<String, Vec<u8>>,
    directories: BTreeSet<String>,
    filters: Vec<(String, String)>,
    overwrite: bool,
}

impl Store {
    /// The directory a name or word leads to, with a slash behind it; the root's is empty.
    fn directory_of(&self, name: &str) -> String {
        let filter = self.filters.iter().find(|(extension, _)| name.contains(extension));
        filter.map_or_else(String::new, |(_, directory)| format!("{directory}/"))
    }

    fn path_of(&self, name: &FileName) -> String {
        let name = String::from_utf8(name.as_bytes().to_vec()).unwrap();
        self.directory_of(&name) + &name
    }

    fn list(&self, word: &str) -> Option<Vec<u8>> {
        let directory = self.directory_of(word);
        let is_root = directory.is_empty();
        if !is_root && !self.directories.contains(directory.trim_end_matches('/')) {
            return None;
        }
        let files = self.files.keys().filter_map(|path| path.strip_prefix(&directory));
        let files = files.filter(|name| check_characters(name.as_bytes()).is_ok());
        let directories = self.directories.iter().filter(|_| is_root).map(String::as_str);
        let names = [".", ".."].into_iter().chain(directories).chain(files);
        Some(names.flat_map(|name| [name.as_bytes(), b"\n"].concat()).collect())
    }
}

/// A server's caller, as simple as it can be.
struct Caller {
    server: Server,
    store: Store,
    input: Vec<u8>,
    /// Where the body that comes in is to go, and what came of it.
    incoming: (String, Vec<u8>),
    /// The file that is moved with the body that goes out, if it is, and what is left of the body.
    outgoing: (Option<String>, Vec<u8>),
    moved: Vec<String>,
    gave_up: bool,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            server: Server::new(Arc::default()),
            store: Store::default(),
            input: Vec::new(),
            incoming: Default::default(),
            outgoing: Default::default(),
            moved: Vec::new(),
            gave_up: false,
        }
    }
}

impl Caller {
    /// What the client gets for `bytes`.
    fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            let pending = self.server.transmit().len();
            said.extend_from_slice(self.server.transmit());
            self.server.transmitted(pending);
            while let Some(event) = self.server.poll_event() {
                self.handle(event);
            }
            if !self.server.transmit().is_empty() {
                continue;
            }
            match self.server.want() {
                Want::Body(n) if !self.input.is_empty() && !self.gave_up => {
                    let n = self.input.len().min(usize::try_from(n).unwrap());
                    self.incoming.1.extend(self.input.drain(..n));
                    self.server.body_transferred(n as u64).unwrap();
                }
                Want::Supply(n) => {
                    assert_eq!(n, self.outgoing.1.len() as u64);
                    said.append(&mut self.outgoing.1);
                    self.server.body_transferred(n).unwrap();
                }
                Want::Flush => {
                    self.server.body_flushed(!self.input.is_empty()).unwrap();
                }
                Want::Line => match self.server.handle_input(&self.input) {
                    Ok(0) | Err(_) => return said,
                    Ok(taken) => drop(self.input.drain(..taken)),
                },
                Want::Body(_) | Want::Decision | Want::Compression | Want::Closed => return said,
            }
        }
    }

    fn handle_eof(&mut self) {
        let _ = self.server.handle_eof(true);
        while let Some(event) = self.server.poll_event() {
            self.handle(event);
        }
    }

    fn is_closed(&self) -> bool {
        self.gave_up || self.server.want() == Want::Closed
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Offered { name, .. } => {
                let path = self.store.path_of(&name);
                if !self.store.overwrite && self.store.files.contains_key(&path) {
                    return self.server.refuse(Refusal::Exists).unwrap();
                }
                self.incoming = (path, Vec::new());
                self.server.accept().unwrap();
            }
            Event::BodyComplete { verb } => self.store(verb),
            Event::Asked { verb, name } => {
                let path = self.store.path_of(&name);
                match self.store.files.get(&path) {
                    Some(body) => {
                        self.server.announce(body.len() as u64).unwrap();
                        self.outgoing = ((verb == Verb::Mv).then_some(path), body.clone());
                    }
                    None => self.server.refuse(Refusal::Missing).unwrap(),
                }
            }
            Event::ListAsked { word } => match self.store.list(&String::from_utf8_lossy(word.as_bytes())) {
                Some(body) => {
                    self.server.announce(body.len() as u64).unwrap();
                    self.outgoing = (None, body);
                }
                None => self.server.refuse(Refusal::Unspecified).unwrap(),
            },
            Event::MovesConfirmed => self.moved.drain(..).for_each(|path| drop(self.store.files.remove(&path))),
            Event::PageAsked { .. } | Event::DropAsked { .. } | Event::PutOffered { .. } | Event::CompressionAsked => {
                unreachable!("stock has none")
            }
            Event::Accepted { .. } => self.moved.extend(self.outgoing.0.take()),
            Event::Declined { .. } | Event::Refused { .. } | Event::PasswordAccepted => {}
        }
    }

    fn store(&mut self, verb: Verb) {
        let (path, body) = std::mem::take(&mut self.incoming);
        let directory = path.split_once('/').map(|(directory, _)| directory);
        if directory.is_some_and(|directory| !self.store.directories.contains(directory)) {
            self.gave_up = true;
        } else if verb == Verb::Zsend && !body.starts_with(b"PK") {
            self.server.refuse(Refusal::BadArchive).unwrap();
        } else {
            self.store.files.insert(path, body);
            self.server.stored().unwrap();
        }
    }
}

#[test]
fn every_recording_of_a_stock_server_is_true_of_ours_in_any_pieces() {
    let recordings = Recording::load_all();
    assert!(recordings.len() > 50, "only {} recordings", recordings.len());
    let ours = recordings.into_iter().map(Recording::differ_on_purpose);
    let differences: Vec<String> =
        ours.flat_map(|ours| [usize::MAX, 1, 3].into_iter().flat_map(move |piece| ours.differences(piece))).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn ours_differs_from_stock_in_four_recordings_and_no_more() {
    let mut names: Vec<String> = Recording::load_all()
        .into_iter()
        .filter(|recording| !recording.differences(usize::MAX).is_empty())
        .map(|recording| recording.name)
        .collect();
    names.sort();
    let on_purpose =
        ["line-over-1024-closes", "recv-empty-file-closes", "two-commands-in-one-write-close", "zsend-corrupt"];
    assert_eq!(names, on_purpose);
}
