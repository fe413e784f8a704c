//! The works, as the processes do them whose instructions are counted.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use mio::net::TcpStream;
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::net::Net;
use tentacle_sync::proto::server::{self, Policy};
use tentacle_sync::proto::{Client, Command, Event, FileName, ListingParser, Server, Want};
use tentacle_sync::store::{Durability, Spool};
use tentacle_sync::testing::fake_server::{Authority, StockClients, stock_tls};
use tentacle_sync::tls::{ClientCertPolicy, Connector, Handshake, Received, Stream, TlsSettings, UnixTime, Verify};

use super::settings::{settings, site};
use super::tentacle_server::Make;
use crate::support::Result;

/// An agent's file, in bytes.
const FILE: usize = 2 * 1024;

/// A TLS record, in bytes.
const RECORD: usize = 16 * 1024;

/// The roles of the processes.
const LISTING: &str = "listing";
const SESSIONS: &str = "sessions";
const TLS: &str = "tls";
const STAGING: &str = "staging";
const COLLECTING: &str = "collecting";

#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A name of a listing.
    Listing,
    /// A file, asked for and given with `RECV`: both state machines, and nothing else.
    Sessions,
    /// A record, encrypted and sent, received and decrypted.
    Tls,
    /// A file, staged and removed.
    Staging,
    /// A file at a server of this make, from its listing to its deletion: the collector.
    Collecting { make: Make, tls: bool },
}

impl Work {
    /// Those that can be done here: without the stock server, collecting from ours alone.
    pub(crate) fn all() -> Vec<Self> {
        let collecting = Make::by_default().into_iter().flat_map(|make| [false, true].map(|tls| (make, tls)));
        let collecting = collecting.map(|(make, tls)| Self::Collecting { make, tls });
        [Self::Listing, Self::Sessions, Self::Tls, Self::Staging].into_iter().chain(collecting).collect()
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Listing => "names of a listing".to_owned(),
            Self::Sessions => "files, state machines".to_owned(),
            Self::Tls => "records of 16 KiB, TLS".to_owned(),
            Self::Staging => "files of 2 KiB, staging".to_owned(),
            Self::Collecting { make, tls } => {
                format!("files from {}, {}", make.name(), if tls { "TLS" } else { "plain" })
            }
        }
    }

    /// How often it is done, and twice that.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Listing => 20_000,
            Self::Sessions | Self::Collecting { .. } => 2_000,
            Self::Tls | Self::Staging => 500,
        }
    }

    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Listing => LISTING,
            Self::Sessions => SESSIONS,
            Self::Tls => TLS,
            Self::Staging => STAGING,
            Self::Collecting { .. } => COLLECTING,
        }
    }
}

/// Does the work of this role: so many, in a directory; and from where.
pub(crate) fn run(role: &OsStr, args: &[OsString]) -> Result<()> {
    let [count, dir, from @ ..] = args else { return Err("a work needs its count and its directory".into()) };
    let (count, dir) = (count.to_string_lossy().parse()?, Path::new(dir));
    match role.to_str() {
        Some(LISTING) => listing(count),
        Some(SESSIONS) => sessions(count),
        Some(TLS) => tls(count, dir),
        Some(STAGING) => staging(count, dir),
        Some(COLLECTING) => collecting(count, dir, from),
        _ => Err(format!("there is no work {}", role.to_string_lossy()).into()),
    }
}

fn listing(count: usize) -> Result<()> {
    let mut body = Vec::new();
    for number in 0..count {
        writeln!(body, "agent-{}.{}.data", number % 100, 1_700_000_000 + number)?;
    }
    let (mut parser, mut names) = (ListingParser::default(), 0);
    for piece in body.chunks(RECORD) {
        parser.feed(piece, |_| names += 1);
    }
    parser.finish(|_| names += 1);
    if names == count { Ok(()) } else { Err("names are missing".into()) }
}

fn sessions(count: usize) -> Result<()> {
    let policy =
        Policy { password: None, insecure: true, max_size: 1 << 20, extension: false, compression: false, clock: None };
    let (mut client, mut server) = (Client::new(), Server::new(Arc::new(policy)));
    let name: FileName = "agent-1.1700000000.data".parse()?;
    let mut received = 0;
    while received < count {
        match client.want() {
            Want::Command => client.command(&Command::Receive(name.clone()))?,
            Want::Decision => client.accept()?,
            Want::Body(left) => {
                client.body_transferred(left)?;
                server.body_transferred(left)?;
            }
            Want::Line => {}
            want => return Err(format!("the client wants {want:?}").into()),
        }
        while !client.transmit().is_empty() {
            let taken = server.handle_input(client.transmit())?;
            client.transmitted(taken);
        }
        while let Some(event) = server.poll_event() {
            if let server::Event::Asked { .. } = event {
                server.announce(FILE as u64)?;
            }
        }
        while !server.transmit().is_empty() {
            let taken = client.handle_input(server.transmit())?;
            server.transmitted(taken);
        }
        while let Some(event) = client.poll_event() {
            received += usize::from(matches!(event, Event::BodyComplete { .. }));
        }
    }
    Ok(())
}

fn tls(count: usize, dir: &Path) -> Result<()> {
    let authority = Authority::new("Bench CA")?;
    let acceptor = stock_tls(&authority.server(Ipv4Addr::LOCALHOST.into())?, StockClients::Anyone)?;
    let ca = dir.join("ca.pem");
    std::fs::write(&ca, authority.certificate_pem())?;
    let tls_settings =
        TlsSettings { ca: Some(ca), identity: None, verify: Verify::Chain, offer: ClientCertPolicy::Never };
    let connector = Connector::new(&tls_settings, UnixTime::now())?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true)?;
    }
    let mut reader = Stream::tls(TcpStream::from_std(ours), connector.connect("127.0.0.1", false)?, true);
    let mut writer = Stream::tls(TcpStream::from_std(theirs), acceptor.accept()?, true);
    while (reader.handshake()?, writer.handshake()?) != (Handshake::Done, Handshake::Done) {}
    let (record, mut scratch) = (vec![b'x'; RECORD], vec![0; RECORD]);
    for _ in 0..count {
        writer.write(&record)?;
        let mut left = RECORD;
        while left > 0 {
            writer.flush()?;
            if let Received::Bytes(bytes) = reader.read(left, &mut scratch, <[u8]>::len)? {
                left -= bytes;
            }
        }
    }
    Ok(())
}

fn staging(count: usize, dir: &Path) -> Result<()> {
    let spool = Spool::open(dir)?;
    for _ in 0..count {
        let mut temp = spool.stage(FILE as u64)?;
        temp.write(&[b'x'; FILE])?;
        drop(temp.finish()?);
    }
    Ok(())
}

fn collecting(count: usize, dir: &Path, from: &[OsString]) -> Result<()> {
    let [address, ca @ ..] = from else { return Err("a collector needs a server".into()) };
    let address: SocketAddr = address.to_string_lossy().parse()?;
    let site = site("bench", address, &dir.join("data_in"), ca.first().map(Path::new));
    let settings = settings(dir, Durability::Fsync, vec![site]);
    let moved = Rc::new(Cell::new(0));
    let observer = {
        let moved = Rc::clone(&moved);
        Box::new(move |report: &RoundReport| moved.set(moved.get() + report.tally.moved))
    };
    let collector = Collector::new(Net::new()?, &settings, Mode::Once, observer)?;
    collector.run(settings.shutdown_timeout, |_, _| false)?;
    if moved.get() == count { Ok(()) } else { Err(format!("{} of {count} files came", moved.get()).into()) }
}
