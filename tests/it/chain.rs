//! The whole chain with a program we did not write: Debian's agent in an isolated network, our server there, and our
//! collector outside, which is the only one to open connections between the two.
//!
//! ```text
//!  network namespace: the site                                            |  where the test runs: the centre
//!  pandora_agent ── its tentacle_client, or ours ──► tentacle_server ◄────┼── tentacle-syncd ──► incoming directory
//! ```
//!
//! Out of the site only packets from the server's port are let through: its answers. That needs no packet filter, which
//! not every kernel has: a routing rule does it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;
use tentacle_sync::testing::fake_server::files_below;

use crate::daemon::{Sandbox, wait_until};
use crate::server_process::stored_in;
use crate::site::site_config;
use crate::support::{Certificates, scratch};

/// Set where the test must not be skipped.
const REQUIRED: &str = "CHAIN_TEST_REQUIRED";

/// What Debian's pandorafms-agent installs.
const AGENT: &str = "/usr/sbin/pandora_agent";
const ITS_CLIENT: &str = "/usr/bin/tentacle_client";

/// The agent asks for no other port here; the routing rule names it.
const PORT: u16 = 41121;

/// Where the two ends are: two addresses of the networks for benchmarks (RFC 2544), which nobody routes, of this test's own
/// should it run more than once on a machine.
fn addresses() -> [Ipv4Addr; 2] {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + std::process::id() % 0x8000 * 4;
    [first + 1, first + 2].map(Ipv4Addr::from)
}

fn centre_address() -> Ipv4Addr {
    addresses()[0]
}

fn site_address() -> Ipv4Addr {
    addresses()[1]
}

/// A network of its own, whose way out is shut. Dropping it removes it.
struct Isolated {
    name: String,
}

impl Isolated {
    /// `Err` with the reason where this is not permitted.
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        let isolated = Self { name: format!("tentacle-{id}") };
        let (name, outside, inside) = (&isolated.name, format!("tsc{id}"), format!("tss{id}"));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", &inside, "netns", name])?;
        ip(&["address", "add", &format!("{}/30", centre_address()), "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&["-n", name, "address", "add", &format!("{}/30", site_address()), "dev", &inside])?;
        ip(&["-n", name, "link", "set", &inside, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        let (port, centre) = (PORT.to_string(), centre_address().to_string());
        ip(&["-n", name, "rule", "add", "pref", "1", "ipproto", "tcp", "sport", &port, "lookup", "main"])?;
        ip(&["-n", name, "rule", "add", "pref", "2", "iif", "lo", "to", &centre, "prohibit"])?;
        Ok(isolated)
    }

    /// A program inside.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        // The link goes with it.
        drop(ip(&["netns", "delete", &self.name]));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// A program in the background; dropping it kills it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The site's network, or `None`, after printing why.
fn isolated() -> Option<Isolated> {
    let site = if Path::new(AGENT).exists() { Isolated::new() } else { Err(format!("there is no {AGENT}")) };
    match site {
        Ok(site) => Some(site),
        Err(reason) => {
            assert!(env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, but {reason}");
            // Not `eprintln!`, which is shown only when a test fails.
            writeln!(io::stderr(), "the chain SKIPPED: {reason}").unwrap();
            None
        }
    }
}

/// What the agent works with: its configuration, and a `tentacle_client` on its PATH that keeps a copy of what it sends.
struct Agent {
    home: TempDir,
}

impl Agent {
    fn new(name: &str, client: &Path, tls: &str) -> Self {
        let agent = Self { home: scratch() };
        for directory in ["out", "written", "bin"] {
            fs::create_dir(agent.path(directory)).unwrap();
        }
        let site = site_address();
        let conf = format!(
            "server_ip {site}\nserver_port {PORT}\nserver_path /nowhere\nserver_opts {tls}\ntransfer_mode tentacle\n\
             temporal {}\nlogfile {}\ninterval 300\nagent_name {name}\nremote_config 0\n\
             module_begin\nmodule_name Processes\nmodule_type generic_data\nmodule_exec ls -d /proc/[0-9]* | wc -l\n\
             module_description <&> are escaped\nmodule_end\n",
            agent.path("out").to_string_lossy(),
            agent.path("agent.log").to_string_lossy()
        );
        fs::write(agent.path("pandora_agent.conf"), conf).unwrap();
        // The file is the last argument.
        let script = format!(
            "#!/bin/sh\nfor file; do :; done\ncp \"$file\" '{}'\nexec '{}' \"$@\"\n",
            agent.path("written").to_string_lossy(),
            client.to_string_lossy()
        );
        fs::write(agent.path("bin/tentacle_client"), script).unwrap();
        fs::set_permissions(agent.path("bin/tentacle_client"), fs::Permissions::from_mode(0o755)).unwrap();
        agent
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Lets it gather and send once, to this storage.
    fn run(&self, site: &Isolated, storage: &Path, ca: &Path) {
        let path = format!("{}:{}", self.path("bin").to_string_lossy(), env::var("PATH").unwrap_or_default());
        let mut command = site.command(AGENT);
        command.arg(self.home.path()).env("PATH", path);
        // Its client takes -c alone (its -e is broken), and then believes the authorities of OpenSSL.
        command.env("SSL_CERT_FILE", ca).stdout(Stdio::null()).stderr(Stdio::null());
        let _agent = Running(command.spawn().unwrap());
        wait_until("the agent's data in the storage", || {
            let written = files_below(&self.path("written")).unwrap();
            let stored = stored_in(storage);
            (!written.is_empty() && written.keys().all(|name| stored.contains_key(name))).then_some(())
        });
    }
}

/// Fails unless every element ends where it should. Enough to recognize half a file.
#[track_caller]
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        let (end, skipped) = match rest {
            _ if rest.starts_with("<![CDATA[") => ("]]>", true),
            _ if rest.starts_with("<?") => ("?>", true),
            _ => (">", false),
        };
        let length = rest.find(end).unwrap_or_else(|| panic!("no {end} in {xml}"));
        let tag = &rest[1..length];
        rest = &rest[length + end.len()..];
        if skipped || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None => open.extend(tag.split_ascii_whitespace().next()),
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "{xml}");
    assert!(xml.starts_with("<?xml") && xml.contains("<agent_data"), "{xml}");
}

#[track_caller]
fn assert_no_way_out(site: &Isolated) {
    let listener = TcpListener::bind((centre_address(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let Output { status, stderr, .. } = site
        .command(env!("CARGO_BIN_EXE_tentacle_client"))
        .args(["-a", &centre_address().to_string(), "-p", &port, "-g"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Permission denied") || said.contains("unreachable"), "{said}");
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// The server, once it listens.
fn serve(site: &Isolated, storage: &Path, certificates: &Path) -> Running {
    let mut command = site.command(env!("CARGO_BIN_EXE_tentacle_server"));
    command.args(["-I", "-o", "--allow-root", "-p", &PORT.to_string()]).arg("-s").arg(storage);
    command.arg("-e").arg(certificates.join("site.pem")).arg("-k").arg(certificates.join("site.key"));
    let server = Running(command.spawn().unwrap());
    let address = SocketAddr::new(IpAddr::V4(site_address()), PORT);
    wait_until("the server", || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok());
    server
}

#[test]
fn what_a_real_agent_gathers_arrives_as_it_was_written() {
    let Some(site) = isolated() else { return };
    let (storage, certificates) = (scratch(), Certificates::new());
    let identity = certificates.authority.server(IpAddr::V4(site_address())).unwrap();
    fs::write(certificates.path("site.pem"), &identity.certificate_pem).unwrap();
    fs::write(certificates.path("site.key"), &identity.key_pem).unwrap();
    let _server = serve(&site, storage.path(), certificates.path("ca.pem").parent().unwrap());
    assert_no_way_out(&site);
    let ca = certificates.path("ca.pem");
    let tls = format!("tls = {{ ca = {ca:?}, verify = \"chain+name\" }}");
    let address = SocketAddr::new(IpAddr::V4(site_address()), PORT);
    let ours = Path::new(env!("CARGO_BIN_EXE_tentacle_client"));
    let checking = format!("-c -f {}", ca.to_string_lossy());
    for (name, client, options) in [("with-its-own", Path::new(ITS_CLIENT), "-c"), ("with-ours", ours, &checking)] {
        let agent = Agent::new(name, client, options);
        agent.run(&site, storage.path(), &ca);
        let sandbox = Sandbox::with_sites([site_config("site", address, &tls)]);
        sandbox.once().assert_code(0);
        let written = files_below(&agent.path("written")).unwrap();
        sandbox.assert_holds(&written);
        wait_until("the storage to be empty", || stored_in(storage.path()).is_empty().then_some(()));
        for (path, bytes) in &written {
            assert!(path.to_str().unwrap().starts_with(name), "{}", path.to_string_lossy());
            assert_well_formed(std::str::from_utf8(bytes).unwrap());
        }
    }
    assert_no_way_out(&site);
}
