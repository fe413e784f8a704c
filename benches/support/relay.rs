//! A long line between clients and a server, in a process of its own: it delays what it carries, and counts it.
//!
//! Each direction is late by half of the round-trip time; what a new connection carries first is late by a whole one more,
//! as if its handshake had gone that way. With a rate, each connection and direction has a sender's buffer of
//! [`BUFFERED`]. There is no loss, and no window that grows slowly. Acknowledgements come from the relay and not from
//! afar: what Nagle's algorithm costs over a distance does not show.
//!
//! What a client sends at a distance arrives at that distance: neither a relay that wakes late nor the handshake that it
//! imitates may bring two pieces together that were apart. So it runs before other processes where it may, and what is late
//! makes late what follows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::child_process::ChildProcess;
use crate::support::{Result, again, clock};

/// The role of a relay's process.
pub(crate) const ROLE: &str = "relay";

/// How long bytes may wait for a line with a rate before no more are read.
const BUFFERED: Duration = Duration::from_millis(100);

/// Pieces that are nearer than this to each other may come nearer still.
const APART: Duration = Duration::from_millis(1);

/// The most that is read at a time.
const BLOCK: usize = 64 * 1024;

const STACK: usize = 256 * 1024;

/// What a line is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    pub(crate) round_trip: Duration,
    /// Bytes per second in each direction of each connection; any number where there is none.
    pub(crate) rate: Option<u32>,
}

/// What a line has carried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    /// Connections that are open now.
    pub(crate) open: u64,
    /// Bytes to the server.
    pub(crate) up: u64,
    /// Bytes from the server.
    pub(crate) down: u64,
    /// How often a client spoke after its server, or first: in lock-step, the round trips.
    pub(crate) turns: u64,
    /// What that was for, where it is not encrypted and in lock-step: by verbs, and listings by what they ask for.
    pub(crate) commands: BTreeMap<String, OfCommand>,
}

/// What was carried for commands of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfCommand {
    pub(crate) count: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) turns: u64,
}

/// A line that is there until this is dropped.
pub(crate) struct Relay {
    process: ChildProcess,
    address: SocketAddr,
}

impl Relay {
    pub(crate) fn start(line: Line, server: SocketAddr) -> Result<Self> {
        let (round_trip, rate) = (line.round_trip.as_micros(), line.rate.unwrap_or(0));
        let args = [server.to_string(), round_trip.to_string(), rate.to_string()];
        let mut process = ChildProcess::start(again(ROLE)?.args(args))?;
        let address = process.answer()?.parse()?;
        Ok(Self { process, address })
    }

    /// Where its near end is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has carried so far.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        self.process.request("counts")?.parse()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, open, up, down, turns, commands } = self;
        write!(f, "{connections}\t{open}\t{up}\t{down}\t{turns}")?;
        commands
            .iter()
            .try_for_each(|(command, of)| write!(f, "\t{command}\t{}\t{}\t{}\t{}", of.count, of.up, of.down, of.turns))
    }
}

impl FromStr for Counts {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [connections, open, up, down, turns, commands @ ..] = &fields[..] else {
            return Err(format!("{line:?} are no counts").into());
        };
        let commands = commands.chunks_exact(5).map(|of| {
            let [count, up, down, turns] = [of[1].parse()?, of[2].parse()?, of[3].parse()?, of[4].parse()?];
            Ok((of[0].to_owned(), OfCommand { count, up, down, turns }))
        });
        Ok(Self {
            connections: connections.parse()?,
            open: open.parse()?,
            up: up.parse()?,
            down: down.parse()?,
            turns: turns.parse()?,
            commands: commands.collect::<Result<_>>()?,
        })
    }
}

/// The relay's process: prints where it listens, carries, and prints its counts after each line that it reads.
#[expect(clippy::print_stdout, reason = "answers go to the process that asks")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let [server, round_trip, rate] = &args[..] else { return Err("a relay needs its server and its line".into()) };
    let rate = Some(rate.parse()?).filter(|rate| *rate > 0);
    let (server, line) = (server.parse()?, Line { round_trip: Duration::from_micros(round_trip.parse()?), rate });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Not everybody may.
    let _ = rustix::process::setpriority_process(None, -10);
    println!("{}", listener.local_addr()?);
    let counts = Arc::new(Mutex::new(Counts::default()));
    spawn({
        let counts = Arc::clone(&counts);
        move || {
            for client in listener.incoming().flatten() {
                // A connection that fails is its ends' business.
                drop(carry(client, server, line, &counts));
            }
        }
    })?;
    for order in io::stdin().lines() {
        order?;
        println!("{}", lock(&counts));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One connection through the relay, as both directions count it.
struct Carried {
    counts: Arc<Mutex<Counts>>,
    /// Who spoke last, and the last command.
    last: Mutex<(Direction, String)>,
}

/// What was read at once.
struct Piece {
    came: Instant,
    due: Instant,
    bytes: Vec<u8>,
}

fn carry(client: TcpStream, server: SocketAddr, line: Line, counts: &Arc<Mutex<Counts>>) -> Result<()> {
    let established = clock() + line.round_trip;
    let server = TcpStream::connect(server)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    {
        let mut counts = lock(counts);
        counts.connections += 1;
        counts.open += 1;
    }
    let carried = Arc::new(Carried { counts: Arc::clone(counts), last: Mutex::new((Direction::Down, String::new())) });
    let ends = [(client.try_clone()?, server.try_clone()?, Direction::Up), (server, client, Direction::Down)];
    for (from, to, direction) in ends {
        let (sender, receiver) = channel();
        let carried = Arc::clone(&carried);
        spawn(move || take_in(&from, direction, line, established, &sender, &carried))?;
        spawn(move || give_out(to, &receiver))?;
    }
    Ok(())
}

/// Reads to the end, and says when each piece is to arrive.
fn take_in(
    mut from: &TcpStream,
    direction: Direction,
    line: Line,
    established: Instant,
    sender: &Sender<Piece>,
    carried: &Carried,
) {
    let mut block = vec![0; BLOCK];
    let mut departed = established;
    loop {
        // A reset is an end as well; so is the other side's.
        let count = from.read(&mut block).unwrap_or(0);
        // A stock server writes in small pieces, and waits for the acknowledgement of each.
        let _ = rustix::net::sockopt::set_tcp_quickack(from, true);
        let bytes = block[..count].to_vec();
        carried.count(direction, &bytes);
        let length = u32::try_from(count).expect("a block is small");
        let on_line = line.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * length / rate);
        let came = clock();
        departed = departed.max(came) + on_line;
        if sender.send(Piece { came, due: departed + line.round_trip / 2, bytes }).is_err() || count == 0 {
            break;
        }
        if line.rate.is_some() {
            thread::sleep(departed.saturating_duration_since(clock() + BUFFERED));
        }
    }
    if direction == Direction::Up {
        lock(&carried.counts).open -= 1;
    }
}

/// Writes each piece when it is due, and at nine tenths at least of its distance from the one before.
fn give_out(mut to: TcpStream, receiver: &Receiver<Piece>) {
    let mut last = None;
    for Piece { came, due, bytes } in receiver {
        let distance = last.map(|(before, _)| came.saturating_duration_since(before)).unwrap_or_default();
        let earliest = match last {
            Some((_, written)) if distance >= APART => due.max(written + distance * 9 / 10),
            _ => due,
        };
        thread::sleep(earliest.saturating_duration_since(clock()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
        last = Some((came, clock()));
    }
    // It may be gone already, which is as good.
    let _ = to.shutdown(Shutdown::Write);
}

impl Carried {
    fn count(&self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (mut last, mut counts) = (lock(&self.last), lock(&self.counts));
        let (length, is_turn) = (bytes.len() as u64, direction == Direction::Up && last.0 == Direction::Down);
        last.0 = direction;
        counts.turns += u64::from(is_turn);
        if direction == Direction::Up {
            counts.up += length;
            for command in bytes.split(|&byte| byte == b'\n').filter_map(command) {
                counts.commands.entry(command.clone()).or_default().count += 1;
                last.1 = command;
            }
        } else {
            counts.down += length;
        }
        if let Some(of) = counts.commands.get_mut(&last.1) {
            of.turns += u64::from(is_turn);
            *(if direction == Direction::Up { &mut of.up } else { &mut of.down }) += length;
        }
    }
}

/// Whether a server has the extension, which is asked once on a connection: no file.
pub(crate) const QUESTION: &str = "RECV <?caps>";

/// What a line of a client counts as, if it is a command. No piece that is read ends amid one.
fn command(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let (verb, rest) = line.split_once(" <").filter(|(verb, _)| verb.bytes().all(|byte| byte.is_ascii_uppercase()))?;
    let (word, _) = rest.split_once('>')?;
    Some(if matches!(verb, "LS" | "LIST") || line == QUESTION { format!("{verb} <{word}>") } else { verb.to_owned() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}
