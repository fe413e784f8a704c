//! Large files over TLS from our server, against the least that a program can do with rustls: receive and write.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tentacle_sync::store::Durability;

use super::fresh_dir::fresh_dir;
use super::settings::{settings, site};
use super::tentacle_server::{BenchDir, Make, Server, ServerAddress, hand_over};
use crate::support::{Result, clock, median};

/// What is received before it is written.
const PIECE: usize = 256 * 1024;

/// Files, and how many bytes each of them has.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) files: usize,
    pub(crate) size: usize,
    pub(crate) runs: usize,
}

/// Prints what both come to; the bare loop's time as a part of the collector's.
#[expect(clippy::print_stdout, reason = "the table is the point")]
pub(crate) fn large(load: Load, place: &Path) -> Result<f64> {
    let dir = BenchDir::new("collect-large-", place)?;
    let total = load.files * load.size;
    println!("\n{} files of {} MiB from our server over TLS, flushed.", load.files, load.size >> 20);
    println!("{:>22} {:>9} {:>9}", "", "seconds", "MB/s");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..load.runs {
        let storage = dir.storage()?;
        let names = fill(&storage, load)?;
        let server = Server::start(Make::Ours(Durability::Fsync), true, &storage, &dir, &[])?;
        let (near, spool) = fresh_dir(dir.path())?;
        bare.push(receive(server.address(), &names, &spool)?.as_secs_f64());
        fs::remove_dir_all(near)?;
        let (near, spool) = fresh_dir(dir.path())?;
        ours.push(collect(server.address(), load, &near, &spool)?.as_secs_f64());
        fs::remove_dir_all(near)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
    let rate = |seconds: f64| total as f64 / seconds / 1e6;
    for (name, times) in [("receive and write", &bare), ("collector", &ours)] {
        let seconds = median(times.iter().copied());
        println!("{name:>22} {seconds:>9.2} {:>9.0}", rate(seconds));
    }
    Ok(median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours)))
}

fn fill(storage: &Path, load: Load) -> Result<Vec<String>> {
    let mut bytes = vec![0; load.size];
    let names: Vec<String> = (0..load.files).map(|number| format!("large-{number}.1700000000.data")).collect();
    for name in &names {
        fastrand::fill(&mut bytes);
        let path = storage.join(name);
        fs::write(&path, &bytes)?;
        hand_over(&path)?;
    }
    rustix::fs::sync();
    Ok(names)
}

/// Asks for all files ahead, as the collector does, and writes what comes.
fn receive(address: &ServerAddress, names: &[String], spool: &Path) -> Result<Duration> {
    let start = clock();
    let mut roots = RootCertStore::empty();
    let ca: PathBuf = address.ca.clone().ok_or("the server speaks TLS")?;
    for certificate in rustls_pemfile::certs(&mut fs::read(ca)?.as_slice()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from(address.tcp.ip().to_string())?)?;
    let mut stream = StreamOwned::new(session, TcpStream::connect(address.tcp)?);
    for name in names {
        stream.write_all(format!("GET <{name}>\n").as_bytes())?;
    }
    stream.flush()?;
    let mut piece = vec![0; PIECE];
    for name in names {
        let mut left = announced(&mut stream)?;
        let mut file = File::create(spool.join(name))?;
        while left > 0 {
            let most = left.min(PIECE);
            stream.read_exact(&mut piece[..most])?;
            file.write_all(&piece[..most])?;
            left -= most;
        }
    }
    rustix::fs::syncfs(File::open(spool)?)?;
    Ok(start.elapsed())
}

/// The size in the line `GET SIZE size MTIME mtime`.
fn announced(stream: &mut impl Read) -> Result<usize> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    let line = String::from_utf8(line)?;
    Ok(line.split_whitespace().nth(2).ok_or_else(|| format!("the server answers {line:?}"))?.parse()?)
}

fn collect(address: &ServerAddress, load: Load, near: &Path, spool: &Path) -> Result<Duration> {
    let mut site = site("large", address.tcp, spool, address.ca.as_deref());
    site.max_file_size = load.size as u64;
    let settings = settings(near, Durability::Fsync, vec![site]);
    let start = clock();
    let moved = super::run(&settings)?;
    let took = start.elapsed();
    assert_eq!(moved.0, load.files, "files gone from the site");
    Ok(took)
}
