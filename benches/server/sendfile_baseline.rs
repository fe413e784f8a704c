//! The least that a server can do to give a file away: a loop around `sendfile`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::fs::sendfile;

use super::tentacle_server::ServerAddress;
use crate::support::{Result, again};

/// The role that the other process is started with.
pub(crate) const ROLE: &str = "bare";

/// A process that gives one file to whoever asks; dropping it kills it.
pub(crate) struct SendfileServer {
    process: Child,
    pub(crate) address: ServerAddress,
}

impl SendfileServer {
    pub(crate) fn start(file: &Path) -> Result<Self> {
        let mut process = again(ROLE)?.arg(file).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("the pipe is missing")?).read_line(&mut line)?;
        Ok(Self { process, address: ServerAddress { tcp: line.trim_end().parse()?, ca: None } })
    }
}

impl Drop for SendfileServer {
    fn drop(&mut self) {
        // It has nothing to lose, and no error can be reported from here.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// What the other process does, until it is killed.
#[expect(clippy::print_stdout, reason = "the answer goes to the process that asked")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let file = File::open(&args[0])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    for client in listener.incoming() {
        give(&file, &client?)?;
    }
    Ok(())
}

/// Speaks just enough of the protocol for our client.
fn give(file: &File, mut client: &TcpStream) -> Result<()> {
    let (mut lines, size, mut offset) = (BufReader::new(client), file.metadata()?.len(), 0);
    lines.read_line(&mut String::new())?;
    client.write_all(format!("RECV SIZE {size}\n").as_bytes())?;
    lines.read_line(&mut String::new())?;
    while offset < size {
        let left = usize::try_from(size - offset)?;
        if sendfile(client, file, Some(&mut offset), left)? == 0 {
            return Err("the file has become shorter".into());
        }
    }
    Ok(())
}
