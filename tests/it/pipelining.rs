//! Stock servers that are sent commands ahead of their answers, from afar.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tentacle_sync::testing::fake_server::{AgentFiles, Fault, Files, Verb};

use crate::backlog::now;
use crate::daemon::Sandbox;
use crate::site::{Access, Kind, Site, site_config};
use crate::stock::start_stock;
use crate::support::{Certificates, LOOPBACK, fill, scratch};

/// How long what comes through the relay takes, one way.
const WAY: Duration = Duration::from_millis(30);

/// Carries connections to a server, and holds up what it carries.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    /// The most pieces that a client has sent with nothing coming back in between.
    pub(crate) most_ahead: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let (address, most_ahead) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let most = Arc::clone(&most_ahead);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let (ahead, most) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
                let sent = Arc::clone(&ahead);
                carry(client.try_clone().unwrap(), server.try_clone().unwrap(), move || {
                    let count = sent.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(count, Ordering::SeqCst);
                });
                carry(server, client, move || ahead.store(0, Ordering::SeqCst));
            }
        });
        Self { address, most_ahead }
    }
}

/// Carries what comes, piece by piece, each as late as the others.
fn carry(mut from: TcpStream, mut to: TcpStream, note: impl Fn() + Send + 'static) {
    to.set_nodelay(true).unwrap();
    let (pieces, held) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut block = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut block) {
            note();
            pieces.send((now() + WAY, block[..count].to_vec())).map_err(io::Error::other)?;
        }
        Ok::<(), io::Error>(())
    });
    thread::spawn(move || {
        for (due, piece) in held {
            thread::sleep(due.saturating_duration_since(now()));
            to.write_all(&piece)?;
        }
        to.shutdown(Shutdown::Write)
    });
}

/// What an agent writes over and over under one name, each by a rename, and each of the same size.
fn rewrite(storage: &Path, beside: &Path, name: &str, is_over: &AtomicBool) -> Vec<Vec<u8>> {
    let mut versions = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let version = format!("<agent_data>{:08}</agent_data>\n", versions.len());
        fs::write(beside.join(name), &version).unwrap();
        fs::rename(beside.join(name), storage.join(name)).unwrap();
        versions.push(version.into_bytes());
        thread::sleep(Duration::from_millis(15));
    }
    versions
}

/// Collects from a stock server from afar, of whose files some are none, one is empty, and one comes again and again.
fn collect_from_stock(access: Access) {
    let certificates = Certificates::new();
    let (storage, beside) = (scratch(), scratch());
    let mut files = fill(storage.path(), &AgentFiles { prefix: "web".into(), agents: 7, seed: 1 }, 150);
    let tls = access == Access::Tls;
    let options = crate::server_process::Options::usual();
    let options = if tls { options.tls(&certificates) } else { options };
    // What is no file is listed, and refused as if it were not there.
    let names: Vec<_> = files.keys().cloned().collect();
    for name in names.iter().step_by(40) {
        files.remove(name);
        fs::remove_file(storage.path().join(name)).unwrap();
        fs::create_dir(storage.path().join(name)).unwrap();
    }
    let empty = names[10].clone();
    fs::write(storage.path().join(&empty), b"").unwrap();
    files.insert(empty, Vec::new());
    let Some(server) = start_stock(&options, storage.path()) else { return };
    let relay = Relay::start(server.address());
    let sandbox = Sandbox::with_sites([site_config("far", relay.address, &access.lines(&certificates))]);
    let is_over = AtomicBool::new(false);
    let versions = thread::scope(|scope| {
        let agent = scope.spawn(|| rewrite(storage.path(), beside.path(), "nas.123456.data", &is_over));
        let outcome = sandbox.run("once", &["--log-level", "debug"]);
        is_over.store(true, Ordering::SeqCst);
        outcome.assert_code(0);
        agent.join().unwrap()
    });
    // What was written last is there yet, or here.
    sandbox.once().assert_code(0);
    assert!(relay.most_ahead.load(Ordering::SeqCst) > 2, "each command waits for the answer to the one before");
    let left: Vec<_> = fs::read_dir(storage.path()).unwrap().map(Result::unwrap).collect();
    assert!(left.iter().all(|entry| entry.path().is_dir()), "{left:?}");
    let (rewritten, published): (Files, Files) =
        sandbox.spool().into_iter().partition(|(name, _)| name.to_string_lossy().contains("nas"));
    crate::daemon::assert_same(&published, &files);
    assert!(rewritten.values().any(|bytes| bytes == versions.last().unwrap()), "the last version");
    for bytes in rewritten.values() {
        assert_eq!(versions.iter().filter(|version| *version == bytes).count(), 1, "{bytes:?} is none of them");
        assert_eq!(rewritten.values().filter(|other| *other == bytes).count(), 1, "{bytes:?} came twice");
    }
}

#[test]
fn a_far_stock_server_is_asked_ahead_over_tls() {
    collect_from_stock(Access::Tls);
}

#[test]
fn a_far_stock_server_is_asked_ahead_in_plain() {
    collect_from_stock(Access::Plain);
}

/// A site over TLS that behaves as stock does, but for this.
fn collect_with(fault: tentacle_sync::testing::fake_server::FaultRule) -> (Sandbox, Site) {
    let certificates = Certificates::new();
    let site = Site::behind(Access::Tls, Kind::FakeServer, 100, &certificates).unwrap();
    site.peer().set_mischief(vec![fault]);
    let sandbox = Sandbox::with_sites([site.config(&Access::Tls.lines(&certificates))]);
    sandbox.once().assert_code(0);
    (sandbox, site)
}

#[test]
fn what_a_site_refuses_in_the_middle_costs_a_connection_and_no_file() {
    for (verb, fault) in [(Verb::Recv, Fault::Close), (Verb::Mv, Fault::Close), (Verb::Mv, Fault::Reset)] {
        let (sandbox, site) = collect_with(fault.clone().at(verb).after(40).once());
        site.assert_emptied();
        sandbox.assert_holds(&site.files);
    }
}

#[test]
fn a_body_that_is_cut_in_the_middle_costs_a_connection_and_no_file() {
    for verb in [Verb::Recv, Verb::Mv] {
        for fault in [Fault::CutBody { after: 10 }, Fault::ResetBody { after: 10 }] {
            let (sandbox, site) = collect_with(fault.clone().at(verb).after(40).once());
            site.assert_emptied();
            sandbox.assert_holds(&site.files);
        }
    }
}

#[test]
fn a_file_that_is_another_one_when_it_is_deleted_is_kept_beside_the_first() {
    let other = b"<agent_data>another, and longer</agent_data>\n".to_vec();
    let between = Fault::OverwriteBetween(other.clone());
    let certificates = Certificates::new();
    let mut site = Site::behind(Access::Tls, Kind::FakeServer, 50, &certificates).unwrap();
    for number in 0..3 {
        site.add(format!("same.{}.data", 1_600_000_000 + number), vec![b'x'; other.len()]);
    }
    site.peer().set_mischief(vec![between.at(Verb::Mv).once()]);
    let sandbox = Sandbox::with_sites([site.config(&Access::Tls.lines(&certificates))]);
    sandbox.once().assert_code(0);
    site.assert_emptied();
    assert!(sandbox.spool().values().any(|bytes| *bytes == other), "the only copy");
    assert_eq!(sandbox.spool().len(), site.files.len() + 1);
}
