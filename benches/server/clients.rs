//! Clients, in a process of their own, so that what is measured is the server alone.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tentacle_sync::double::Fleet;

use super::connection::{Door, Place};
use super::crowd;
use super::lone::Lone;
use crate::support::{Result, again, clock};

/// What the other process is told to be.
pub(crate) const ROLE: &str = "clients";

/// The name of the file that [`Deed::Receive`] asks for.
pub(crate) const LARGE: &str = "large.bin";

/// Agents that take turns.
const AGENTS: usize = 100;

/// What a dripping client has announced: more than it will ever send.
const DRIPPED: u64 = 10_000;

/// From one of its bytes to the next.
const DRIP: Duration = Duration::from_secs(1);

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// So many clients send so many files, in lock-step.
    Send { clients: usize, files: usize },
    /// One client sends so many files as stock's client does.
    SendAsStock { files: usize },
    /// One client lists the files and moves each of them out.
    Move,
    /// One client receives [`LARGE`].
    Receive,
    /// So many clients send one file each, and stay.
    Stay { clients: usize },
    /// So many clients drip a byte a second.
    Drip { clients: usize },
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) seconds: f64,
    /// Files, or bytes of [`LARGE`].
    pub(crate) count: f64,
}

impl Done {
    pub(crate) fn per_second(self) -> f64 {
        self.count / self.seconds
    }
}

/// The agents' files, the same each time.
pub(crate) fn files(count: usize) -> impl Iterator<Item = crowd::File> {
    Fleet { prefix: "agent-".into(), agents: AGENTS, seed: 1 }.files(count)
}

/// Has clients do it, and leave.
pub(crate) fn have(deed: Deed, place: &Place) -> Result<Done> {
    Ok(Clients::start(deed, place)?.done)
}

/// Clients that have done what they were told; their connections stay until this is dropped.
pub(crate) struct Clients {
    process: Child,
    pub(crate) done: Done,
}

impl Clients {
    pub(crate) fn start(deed: Deed, place: &Place) -> Result<Self> {
        let mut command = again(ROLE)?;
        command.args(deed.words()).arg(place.address.to_string()).args(&place.ca);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("the clients' pipe is missing")?).read_line(&mut line)?;
        let figures: Vec<f64> = line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [seconds, count] = figures[..] else { return Err("the clients have failed".into()) };
        Ok(Self { process, done: Done { seconds, count } })
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // They leave when their standard input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Deed {
    fn words(self) -> [String; 3] {
        let (word, clients, files) = match self {
            Self::Send { clients, files } => ("send", clients, files),
            Self::SendAsStock { files } => ("send-as-stock", 1, files),
            Self::Move => ("move", 1, 0),
            Self::Receive => ("receive", 1, 0),
            Self::Stay { clients } => ("stay", clients, clients),
            Self::Drip { clients } => ("drip", clients, 0),
        };
        [word.into(), clients.to_string(), files.to_string()]
    }

    fn told([word, clients, files]: [&str; 3]) -> Result<Self> {
        let (clients, files) = (clients.parse()?, files.parse()?);
        match word {
            "send" => Ok(Self::Send { clients, files }),
            "send-as-stock" => Ok(Self::SendAsStock { files }),
            "move" => Ok(Self::Move),
            "receive" => Ok(Self::Receive),
            "stay" => Ok(Self::Stay { clients }),
            "drip" => Ok(Self::Drip { clients }),
            _ => Err(format!("{word:?} is nothing that clients do").into()),
        }
    }
}

/// What the other process does.
#[expect(clippy::print_stdout, reason = "the answer goes to the process that asked")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let [deed @ .., address] = &args[..4] else { return Err("clients need to know what to do, and where".into()) };
    let deed: Vec<&str> = deed.iter().filter_map(|word| word.to_str()).collect();
    let deed = Deed::told(deed.try_into().map_err(|_| "what clients do is three words")?)?;
    let address = address.to_str().ok_or("an address is text")?.parse()?;
    let place = Place { address, ca: args.get(4).map(PathBuf::from) };
    raise_descriptor_limit()?;
    // The connections stay with what is returned.
    let (seconds, count, _staying) = act(deed, &place)?;
    println!("{seconds} {count}");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn act(deed: Deed, place: &Place) -> Result<(f64, u64, Vec<Lone>)> {
    let door = Door::to(place)?;
    let mut staying = Vec::new();
    let mut start = clock();
    let count = match deed {
        Deed::Send { clients, files } => {
            let files: Vec<_> = self::files(files).collect();
            return Ok((crowd::send(place, clients, &files)?.as_secs_f64(), files.len() as u64, staying));
        }
        Deed::SendAsStock { files } => {
            let mut client = Lone::new(door.open_as_stock()?);
            start = clock();
            self::files(files).try_for_each(|file| client.send_as_stock(&file))?;
            files as u64
        }
        Deed::Move => Lone::new(door.open()?).move_all()?,
        Deed::Receive => Lone::new(door.open()?).receive(LARGE)?,
        Deed::Stay { clients } => {
            for file in files(clients) {
                let mut client = Lone::new(door.open()?);
                client.send(&file)?;
                staying.push(client);
            }
            clients as u64
        }
        Deed::Drip { clients } => {
            let mut dripping = Vec::new();
            for number in 0..clients {
                let mut client = Lone::new(door.open()?);
                client.begin(&format!("dripping-{number}.data"), DRIPPED)?;
                dripping.push(client);
            }
            thread::spawn(move || drip(dripping));
            clients as u64
        }
    };
    Ok((start.elapsed().as_secs_f64(), count, staying))
}

/// Until the process ends. A client that the server has left is quiet from then on.
fn drip(mut clients: Vec<Lone>) {
    loop {
        clients.retain_mut(|client| client.drip().is_ok());
        thread::sleep(DRIP);
    }
}

/// A thousand connections are more than the usual limit.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
