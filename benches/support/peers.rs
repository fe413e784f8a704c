//! Tentacle peers in a process of their own, so that what is measured is ours alone.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use tentacle_sync::testing::fake_server::{
    AgentFiles, Authority, FakeServer, Fault, Setup, StockClients, WritePattern, stock_tls,
};

use crate::child_process::ChildProcess;
use crate::support::{Result, again};

/// The role that the other process is started with.
const ROLE: &str = "peers";

/// Agents that take turns at one site.
const AGENTS: usize = 100;

/// How long clients of the run before may take to be gone.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What peers are like.
#[derive(Clone, Copy)]
pub(crate) struct PeerConfig {
    pub(crate) count: usize,
    pub(crate) write: WritePattern,
    pub(crate) tls: bool,
}

/// Orders to peers; they answer with a number.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// So many files at each, as if they had never been collected.
    Fill(usize),
    /// The first so many hang after accept, from now on.
    Hang(usize),
    /// One more file at each, of its only agent, which has reported so often before.
    Report(usize),
    /// How many files are left, at all of them? As stock does, they delete a file only after its last byte is out.
    Count,
}

/// Peers that run until this is dropped.
pub(crate) struct Peers {
    process: ChildProcess,
    addresses: Vec<SocketAddr>,
    ca: Option<PathBuf>,
}

impl Peers {
    /// Starts them; what they need to leave behind goes to `place`.
    pub(crate) fn start(crew: PeerConfig, place: &Path) -> Result<Self> {
        let ca = crew.tls.then(|| place.join("ca.pem"));
        let write = match crew.write {
            WritePattern::Stock => "stock",
            WritePattern::Whole => "whole",
        };
        let mut process = ChildProcess::start(again(ROLE)?.args([&crew.count.to_string(), write]).args(&ca))?;
        let addresses = process.answer()?.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        Ok(Self { process, addresses, ca })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whom to trust, where they speak TLS.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Has them carry an order out.
    pub(crate) fn order(&mut self, order: Order) -> Result<usize> {
        Ok(self.process.request(order)?.parse()?)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fill(files) => write!(f, "fill {files}"),
            Self::Hang(peers) => write!(f, "hang {peers}"),
            Self::Report(before) => write!(f, "report {before}"),
            Self::Count => write!(f, "count 0"),
        }
    }
}

impl FromStr for Order {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Result<Self> {
        let (word, number) = line.split_once(' ').ok_or("an order is a word and a number")?;
        let number = number.parse()?;
        match word {
            "fill" => Ok(Self::Fill(number)),
            "hang" => Ok(Self::Hang(number)),
            "report" => Ok(Self::Report(number)),
            "count" => Ok(Self::Count),
            _ => Err(format!("{word:?} is no order").into()),
        }
    }
}

/// The other process: starts the peers, prints where they listen, and carries out orders until there are no more.
#[expect(clippy::print_stdout, reason = "answers go to the process that gives the orders")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let count: usize = args[0].to_string_lossy().parse()?;
    let write = if args[1] == "stock" { WritePattern::Stock } else { WritePattern::Whole };
    let tls = args.get(2).map(|ca| tls(Path::new(ca))).transpose()?;
    let start = |number: usize| {
        FakeServer::start(Setup { address: address(number), write, tls: tls.clone(), ..Setup::default() })
    };
    let peers: Vec<FakeServer> = (0..count).map(start).collect::<io::Result<_>>()?;
    let addresses: Vec<String> = peers.iter().map(|peer| peer.address().to_string()).collect();
    println!("{}", addresses.join(" "));
    for order in io::stdin().lines() {
        println!("{}", execute(order?.parse()?, &peers)?);
    }
    Ok(())
}

/// Each has an address of its own: one has not enough ports for thousands.
fn address(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low).into()
}

fn execute(order: Order, peers: &[FakeServer]) -> Result<usize> {
    match order {
        Order::Fill(files) => {
            for (number, peer) in peers.iter().enumerate() {
                // A session that still has a moved file to delete would delete the new one of its name.
                assert!(peer.wait_for(TIMEOUT, |tally| tally.open == 0), "peer {number} has clients");
                let fleet = AgentFiles { prefix: format!("s{number}-"), agents: AGENTS, seed: number as u64 };
                fleet.files(files).try_for_each(|(name, bytes)| peer.put(name, &bytes))?;
            }
            Ok(files * peers.len())
        }
        Order::Hang(hanging) => {
            for (number, peer) in peers.iter().enumerate() {
                let tricks = if number < hanging { vec![Fault::HangAfterAccept.always()] } else { Vec::new() };
                peer.set_mischief(tricks);
            }
            Ok(hanging)
        }
        Order::Report(before) => report(before, peers),
        Order::Count => {
            let count = || peers.iter().try_fold(0, |sum, peer| Ok(sum + peer.files()?.len()));
            for _ in 0..100 {
                if count()? == 0 {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            count()
        }
    }
}

fn report(before: usize, peers: &[FakeServer]) -> Result<usize> {
    let fleet = AgentFiles { prefix: "s".into(), agents: peers.len(), seed: 1 };
    for (peer, (name, bytes)) in peers.iter().zip(fleet.files((before + 1) * peers.len()).skip(before * peers.len())) {
        peer.put(name, &bytes)?;
    }
    Ok(peers.len())
}

fn tls(ca: &Path) -> Result<tentacle_sync::tls::Acceptor> {
    let authority = Authority::new("Bench CA")?;
    fs::write(ca, authority.certificate_pem())?;
    Ok(stock_tls(&authority.server(IpAddr::from([127, 0, 0, 1]))?, StockClients::Anyone)?)
}
