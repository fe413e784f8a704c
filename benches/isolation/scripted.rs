//! Bad sites that take little of the processors: what they send is made once, and not encrypted.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes of most files.
const BODY: usize = 2_000;

/// Bytes of files that are compared with each other.
const VARIANT: usize = 60_000;

/// Bodies are XML whose end is visible: a reader need not wait for more.
const BEGINNING: &str = "<agent_data>";
const END: &str = "</agent_data>\n";

/// Digits that make a body differ from all others of its size. They stand near its end: who compares has to read it all.
const DIGITS: usize = 16;

/// Bytes of a long name.
const LONG_NAME: usize = 250;

/// Commands that [`Script::LongNames`] answers on a connection before it closes, so that the next listing comes soon.
const COMMANDS: usize = 200;

/// Long names that are written at a time.
const BLOCK: usize = 256;

/// What a site does.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Gives and deletes its files as it should, and lists other names before them.
    Honest { others: Arc<[u8]>, files: BTreeSet<Vec<u8>> },
    /// Refuses each file that it lists.
    Withheld(Arc<[u8]>),
    /// So many long names, others in each listing. It gives the files, and deletes none.
    LongNames(usize),
    /// So many files, which have other bytes whenever they are asked for.
    Variants(usize),
    /// So many files, others in each listing, whose names begin with this. Every other one is refused. Where it `gives` the
    /// rest, it sends other bytes when it is to delete them; else it refuses them for another reason.
    Alternating { prefix: String, count: usize, gives: bool },
}

#[derive(Debug)]
struct Site {
    script: Mutex<Script>,
    body: Arc<[u8]>,
    listings: AtomicU64,
    answers: AtomicU64,
}

/// What a site answers where it is asked for a file.
enum Answer {
    Refused(&'static str),
    /// Its beginning and its end.
    Given(Arc<[u8]>, String),
}

struct Connection {
    reader: BufReader<TcpStream>,
    line: Vec<u8>,
}

/// Names, one a line.
pub(crate) fn listing(names: impl Iterator<Item = String>) -> Vec<u8> {
    names.flat_map(|name| (name + "\n").into_bytes()).collect()
}

/// Serves on loopback from now on, until the process ends; where.
pub(crate) fn serve(script: Script) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let length = if matches!(script, Script::Variants(_)) { VARIANT } else { BODY };
    let body = format!("{BEGINNING:b<0$}", length - DIGITS - END.len()).into_bytes().into();
    let [listings, answers] = [0, 0].map(AtomicU64::new);
    let site = Arc::new(Site { script: Mutex::new(script), body, listings, answers });
    spawn(move || {
        for socket in listener.incoming().flatten() {
            let site = Arc::clone(&site);
            // Without a thread for it the connection is dropped. How it ends is the client's business.
            drop(spawn(move || drop(site.serve(socket))));
        }
    })?;
    Ok(address)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(128 << 10).spawn(work).map(drop)
}

impl Site {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut connection = Connection { reader: BufReader::new(socket), line: Vec::new() };
        let mut commands = 0;
        while connection.read_line()? && commands < self.most_commands() {
            commands += 1;
            let line = connection.line.clone();
            let name_after = |verb: &[u8]| line.strip_prefix(verb)?.strip_prefix(b" <")?.strip_suffix(b">");
            if line == b"LS <>" {
                self.give_listing(&mut connection)?;
            } else if let Some(name) = name_after(b"RECV") {
                connection.give("RECV", self.received(name))?;
            } else if let Some(name) = name_after(b"MV") {
                if connection.give("MV", self.moved(name))? {
                    self.delete(name);
                }
            } else {
                break;
            }
        }
        Ok(())
    }

    fn most_commands(&self) -> usize {
        if matches!(*self.script(), Script::LongNames(_)) { COMMANDS } else { usize::MAX }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_listing(&self, connection: &mut Connection) -> io::Result<()> {
        let round = self.listings.fetch_add(1, Ordering::Relaxed);
        let (shared, own): (Arc<[u8]>, Vec<u8>) = match &*self.script() {
            Script::Honest { others, files } => {
                (Arc::clone(others), files.iter().flat_map(|name| [name, &b"\n"[..]].concat()).collect())
            }
            Script::Withheld(names) => (Arc::clone(names), Vec::new()),
            Script::Variants(count) => {
                (Arc::from([]), listing((0..*count).map(|number| format!("variants-{number}.1700000000.data"))))
            }
            Script::Alternating { prefix, count, .. } => {
                let name = |number| format!("{prefix}-{round}-{number}.1700000000.data");
                (Arc::from([]), listing((0..*count).map(name)))
            }
            Script::LongNames(count) => {
                let count = *count;
                return connection.give_long_names(round, count);
            }
        };
        if connection.offer("LS", (shared.len() + own.len()) as u64)? {
            connection.write(&shared)?;
            connection.write(&own)?;
        }
        Ok(())
    }

    fn received(&self, name: &[u8]) -> Answer {
        let nth = self.answers.fetch_add(1, Ordering::Relaxed);
        match &*self.script() {
            Script::Honest { files, .. } if files.contains(name) => self.body(0),
            Script::LongNames(_) => self.body(0),
            Script::Variants(_) => self.body(nth),
            Script::Alternating { gives, .. } if nth.is_multiple_of(2) => {
                if *gives {
                    self.body(0)
                } else {
                    Answer::Refused(" (not now)")
                }
            }
            Script::Honest { .. } | Script::Withheld(_) | Script::Alternating { .. } => Answer::Refused(""),
        }
    }

    fn moved(&self, name: &[u8]) -> Answer {
        let nth = self.answers.fetch_add(1, Ordering::Relaxed);
        match &*self.script() {
            Script::Honest { files, .. } if files.contains(name) => self.body(0),
            Script::Variants(_) | Script::Alternating { .. } => self.body(1 + nth),
            Script::Honest { .. } | Script::Withheld(_) | Script::LongNames(_) => Answer::Refused(""),
        }
    }

    fn body(&self, number: u64) -> Answer {
        Answer::Given(Arc::clone(&self.body), format!("{number:0DIGITS$}{END}"))
    }

    fn delete(&self, name: &[u8]) {
        if let Script::Honest { files, .. } = &mut *self.script() {
            files.remove(name);
        }
    }
}

impl Connection {
    /// Reads a line without its end; `false` where there is none any more.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line)?;
        Ok(self.line.pop() == Some(b'\n'))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Announces a body; whether the client wants it.
    fn offer(&mut self, verb: &str, size: u64) -> io::Result<bool> {
        self.write(format!("{verb} SIZE {size}\n").as_bytes())?;
        Ok(self.read_line()? && self.line == format!("{verb} OK").as_bytes())
    }

    /// Gives a file, or refuses it; whether it has gone out.
    fn give(&mut self, verb: &str, answer: Answer) -> io::Result<bool> {
        match answer {
            Answer::Refused(why) => {
                self.write(format!("{verb} ERR{why}\n").as_bytes())?;
                Ok(false)
            }
            Answer::Given(head, tail) => {
                let is_wanted = self.offer(verb, (head.len() + tail.len()) as u64)?;
                if is_wanted {
                    self.write(&[&*head, tail.as_bytes()].concat())?;
                }
                Ok(is_wanted)
            }
        }
    }

    fn give_long_names(&mut self, round: u64, count: usize) -> io::Result<()> {
        if !self.offer("LS", (count * (LONG_NAME + 1)) as u64)? {
            return Ok(());
        }
        let serial = ".1700000000.data\n";
        let filler = "x".repeat(LONG_NAME + 1 - 20 - serial.len()) + serial;
        let mut block = Vec::with_capacity(BLOCK * (LONG_NAME + 1));
        for first in (0..count).step_by(BLOCK) {
            block.clear();
            for number in first..count.min(first + BLOCK) {
                write!(block, "{round:010}{number:010}")?;
                block.extend_from_slice(filler.as_bytes());
            }
            self.write(&block)?;
        }
        Ok(())
    }
}
