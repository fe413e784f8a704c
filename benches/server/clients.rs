//! Clients, in a process of their own, so that what is measured is the server alone.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tentacle_sync::testing::fake_server::AgentFiles;

use super::blocking_client::BlockingClient;
use super::concurrent_clients;
use super::connection::Connector;
use super::tentacle_server::ServerAddress;
use crate::support::{Result, again, clock};

/// The role that the other process is started with.
pub(crate) const ROLE: &str = "clients";

/// The name of the file that [`Op::Receive`] asks for.
pub(crate) const LARGE: &str = "large.bin";

/// The line that clients print before they begin.
const READY: &str = "ready";

/// Agents that take turns.
const AGENTS: usize = 100;

/// What a dripping client has announced: more than it will ever send.
const DRIPPED: u64 = 10_000;

/// From one of its bytes to the next.
const DRIP: Duration = Duration::from_secs(1);

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// So many clients send so many files, in lock-step.
    Send { clients: usize, files: usize },
    /// So many clients send so many files, with a connection for each.
    SendAndLeave { clients: usize, files: usize },
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
pub(crate) fn files(count: usize) -> impl Iterator<Item = concurrent_clients::File> {
    AgentFiles { prefix: "agent-".into(), agents: AGENTS, seed: 1 }.files(count)
}

/// Has clients do it, and leave.
pub(crate) fn have(op: Op, address: &ServerAddress) -> Result<Done> {
    Clients::ready(op, address)?.run()
}

/// Clients, whose connections stay until this is dropped.
pub(crate) struct Clients {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Clients {
    /// Clients that are about to do it, on connections that are open where the deed is not to open them.
    pub(crate) fn ready(op: Op, address: &ServerAddress) -> Result<Self> {
        let mut command = again(ROLE)?;
        command.args(op.words()).arg(address.tcp.to_string()).args(&address.ca);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the clients' pipe is missing".into());
        };
        let mut clients = Self { process, orders, answers: BufReader::new(answers) };
        match clients.answer()?.as_str() {
            READY => Ok(clients),
            other => Err(format!("clients are not ready: {other:?}").into()),
        }
    }

    /// Has them do it.
    pub(crate) fn run(&mut self) -> Result<Done> {
        self.orders.as_mut().ok_or("these clients take no orders")?.write_all(b"go\n")?;
        let line = self.answer()?;
        let figures: Vec<f64> = line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [seconds, count] = figures[..] else { return Err("the clients have failed".into()) };
        Ok(Done { seconds, count })
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // They leave when their standard input ends.
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

impl Op {
    /// How many files it leaves with the server, where that is what it is about.
    pub(crate) fn files(self) -> Option<usize> {
        match self {
            Self::Send { files, .. } | Self::SendAndLeave { files, .. } | Self::SendAsStock { files } => Some(files),
            Self::Move | Self::Receive | Self::Stay { .. } | Self::Drip { .. } => None,
        }
    }

    fn words(self) -> [String; 3] {
        let (word, clients, files) = match self {
            Self::Send { clients, files } => ("send", clients, files),
            Self::SendAndLeave { clients, files } => ("send-and-leave", clients, files),
            Self::SendAsStock { files } => ("send-as-stock", 1, files),
            Self::Move => ("move", 1, 0),
            Self::Receive => ("receive", 1, 0),
            Self::Stay { clients } => ("stay", clients, clients),
            Self::Drip { clients } => ("drip", clients, 0),
        };
        [word.into(), clients.to_string(), files.to_string()]
    }

    fn from_args([word, clients, files]: [&str; 3]) -> Result<Self> {
        let (clients, files) = (clients.parse()?, files.parse()?);
        match word {
            "send" => Ok(Self::Send { clients, files }),
            "send-and-leave" => Ok(Self::SendAndLeave { clients, files }),
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
    let Some([op @ .., address]) = args.get(..4) else { return Err("clients need to know what to do".into()) };
    let op: Vec<&str> = op.iter().filter_map(|word| word.to_str()).collect();
    let op = Op::from_args(op.try_into().map_err(|_| "what clients do is three words")?)?;
    let address = address.to_str().ok_or("an address is text")?.parse()?;
    let address = ServerAddress { tcp: address, ca: args.get(4).map(PathBuf::from) };
    raise_descriptor_limit()?;
    let mut staying = Vec::new();
    let (took, count) = act(op, &address, &mut staying)?;
    println!("{} {count}", took.as_secs_f64());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Reports that all is ready, and waits for the other process.
#[expect(clippy::print_stdout, reason = "it listens there")]
fn ready() -> Result<()> {
    println!("{READY}");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Does it; how long it took, and how many files or bytes it was. Connections may be left that are to stay.
fn act(op: Op, address: &ServerAddress, staying: &mut Vec<BlockingClient>) -> Result<(Duration, u64)> {
    let connector = Connector::to(address)?;
    match op {
        Op::Send { clients, files } => {
            let files: Vec<_> = self::files(files).collect();
            Ok((concurrent_clients::send(address, clients, &files, ready)?, files.len() as u64))
        }
        Op::SendAndLeave { clients, files } => {
            let files: Vec<_> = self::files(files).collect();
            timed(|| send_and_leave(&connector, clients, &files))
        }
        Op::SendAsStock { files } => {
            let mut client = BlockingClient::new(connector.open_as_stock()?);
            timed(|| {
                self::files(files).try_for_each(|file| client.send_as_stock(&file))?;
                Ok(files as u64)
            })
        }
        Op::Move => {
            let mut client = BlockingClient::new(connector.open()?);
            timed(|| client.move_all())
        }
        Op::Receive => {
            let mut client = BlockingClient::new(connector.open()?);
            timed(|| client.receive(LARGE))
        }
        Op::Stay { clients } => timed(|| {
            for file in files(clients) {
                let mut client = BlockingClient::new(connector.open()?);
                client.send(&file)?;
                staying.push(client);
            }
            Ok(clients as u64)
        }),
        Op::Drip { clients } => timed(|| {
            let mut dripping = Vec::new();
            for number in 0..clients {
                let mut client = BlockingClient::new(connector.open()?);
                client.begin(&format!("dripping-{number}.data"), DRIPPED)?;
                dripping.push(client);
            }
            thread::spawn(move || drip(dripping));
            Ok(clients as u64)
        }),
    }
}

fn timed(op: impl FnOnce() -> Result<u64>) -> Result<(Duration, u64)> {
    ready()?;
    let start = clock();
    let count = op()?;
    Ok((start.elapsed(), count))
}

fn send_and_leave(connector: &Connector, clients: usize, files: &[concurrent_clients::File]) -> Result<u64> {
    let send = |file| -> Result<()> {
        let mut client = BlockingClient::new(connector.open()?);
        client.send(file)?;
        client.quit()
    };
    let share =
        |number| files.iter().skip(number).step_by(clients).try_for_each(send).map_err(|error| error.to_string());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|number| scope.spawn(move || share(number))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a client has panicked")?.map_err(Into::into))
    })
    .map(|()| files.len() as u64)
}

/// Until the process ends. A client that the server has left is quiet from then on.
fn drip(mut clients: Vec<BlockingClient>) {
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
