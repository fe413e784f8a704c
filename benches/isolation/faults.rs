//! Ways in which a site is bad that an imitation of a stock server can play.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with};
use tentacle_sync::testing::fake_server::{Fault, FaultRule, Verb, WrongSize};

/// Files listed by a bad site that are asked for.
const WANTED: usize = 3;

/// Names listed by a site whose listing has no end.
const ENDLESS: usize = 10_000;

/// What is announced beyond what is sent: within what a client takes, and more than it will ever get.
const MORE: WrongSize = WrongSize::Over(30 << 20);

/// From one drop to the next.
const DRIP: Duration = Duration::from_millis(50);

/// What a bad site does.
#[derive(Clone, Debug)]
pub(crate) enum BadSite {
    /// Refuses connections.
    Refuse,
    /// Answers to no attempt to connect.
    Swallow,
    /// Plays tricks on those who connect, with so many names to list.
    Fault { faults: Vec<FaultRule>, names: Names },
}

/// What a bad site lists.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names {
    /// A few files, to be collected.
    Wanted,
    /// Many names that are no agents' files.
    Many,
}

impl BadSite {
    /// One of each kind.
    pub(crate) fn kinds() -> Vec<Self> {
        let trick = |faults| Self::Fault { faults, names: Names::Wanted };
        let one = |faults| trick(vec![faults]);
        let drip = Fault::DripBody { bytes: 1, every: DRIP };
        vec![
            Self::Refuse,
            Self::Swallow,
            one(Fault::HangAfterAccept.always()),
            one(Fault::HangInTls.always()),
            one(Fault::PlainWhereTls.always()),
            one(Fault::Hang.at(Verb::Ls)),
            one(Fault::StallBody { after: 10 }.at(Verb::Ls)),
            one(Fault::Hang.at(Verb::Recv)),
            one(Fault::StallBody { after: 100 }.at(Verb::Recv)),
            one(Fault::Hang.at(Verb::Mv)),
            one(Fault::StallBody { after: 100 }.at(Verb::Mv)),
            one(drip.clone().at(Verb::Ls)),
            one(drip.at(Verb::Recv)),
            one(Fault::Garbage(4096).at(Verb::Ls)),
            one(Fault::Garbage(4096).at(Verb::Recv)),
            one(Fault::WrongSize(MORE).at(Verb::Recv)),
            one(Fault::WrongSize(WrongSize::Under(100)).at(Verb::Recv)),
            one(Fault::WrongSize(WrongSize::Literally("18446744073709551616")).at(Verb::Recv)),
            one(Fault::ResetBody { after: 100 }.at(Verb::Recv)),
            Self::Fault { faults: endless_listing(), names: Names::Many },
        ]
    }
}

/// It comes for as long as the client's patience lasts.
fn endless_listing() -> Vec<FaultRule> {
    let drip = Fault::DripBody { bytes: 4096, every: DRIP };
    vec![Fault::WrongSize(MORE).at(Verb::Ls), drip.at(Verb::Ls)]
}

impl Names {
    /// Files' names.
    pub(crate) fn iter(self) -> Box<dyn Iterator<Item = String>> {
        match self {
            Self::Wanted => Box::new((0..WANTED).map(|number| format!("bad.170000000{number}.data"))),
            Self::Many => Box::new((0..ENDLESS).map(|number| format!("no-agents-file.{number}.txt"))),
        }
    }
}

/// A listener that has all the connections it can take, and accepts none: further ones get no answer.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _queue: Vec<OwnedFd>,
}

impl BlackHole {
    pub(crate) fn open() -> io::Result<Self> {
        let listener = bound()?;
        listen(&listener, 0)?;
        let address = SocketAddr::try_from(getsockname(&listener)?)?;
        let mut queue = vec![listener];
        for _ in 0..4 {
            let waiting = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            // The first are taken into the queue, the others stay on their way.
            let _ = connect(&waiting, &address);
            queue.push(waiting);
        }
        Ok(Self { address, _queue: queue })
    }
}

/// A port at which nobody listens, and nobody can.
pub(crate) struct DeadPort {
    pub(crate) address: SocketAddr,
    _socket: OwnedFd,
}

impl DeadPort {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = bound()?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { address, _socket: socket })
    }
}

fn bound() -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket)
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
}
