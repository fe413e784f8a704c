//! Clients that others wrote, against our server: Debian's `tentacle_client`, and the one that
//! `STOCK_TENTACLE_CLIENT` names.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, thread};

use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{AgentFiles, Files};

use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::{Certificates, fill, scratch};

/// Set where Debian's client has to be there.
const REQUIRED: &str = "CI_REQUIRES_DEBIAN_CLIENT";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Named,
    Debian,
}

impl Whose {
    fn program(self) -> Option<OsString> {
        let (program, absent) = match self {
            Self::Named => (env::var_os("STOCK_TENTACLE_CLIENT"), "STOCK_TENTACLE_CLIENT names no client"),
            Self::Debian => (on_path("tentacle_client"), "tentacle_client (package pandorafms-agent) is not installed"),
        };
        if program.is_none() {
            assert!(self != Self::Debian || env::var_os(REQUIRED).is_none(), "{absent}");
            let test = thread::current();
            writeln!(io::stderr(), "{} SKIPPED: {absent}", test.name().unwrap_or("a test")).unwrap();
        }
        program
    }
}

fn on_path(name: &str) -> Option<OsString> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file()).map(PathBuf::into)
}

/// Debian's client writes a number of `IO::Socket::SSL`'s as a string, which was all the same to it in 2012. Clients
/// are run with this module in place.
const NUMBERS: &str = r"
package Numbers;
use IO::Socket::SSL;
my $start = \&IO::Socket::SSL::start_SSL;
no warnings 'redefine';
*IO::Socket::SSL::start_SSL = sub {
    my ($class, $socket, %options) = @_;
    for (grep { defined } $options{SSL_verify_mode}) { $_ = oct if /^0x/ }
    $start->($class, $socket, %options);
};
1;
";

/// A client, and a server with doors for it.
struct Pair {
    program: OsString,
    server: Buffer,
    directory: TempDir,
    certificates: Certificates,
    modules: TempDir,
}

impl Pair {
    fn new(whose: Whose, options: impl FnOnce(&Certificates) -> Options) -> Option<Self> {
        let program = whose.program()?;
        let certificates = Certificates::new();
        let server = Buffer::with(options(&certificates), "idle_timeout 10s\n");
        Some(Self { program, server, directory: scratch(), certificates, modules: scratch() })
    }

    /// Runs the client in its directory.
    fn run(&self, arguments: &[&str], files: &Files) -> Output {
        let address = self.server.address();
        let mut command = Command::new(&self.program);
        command.arg("-a").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string()).arg("-t").arg("5");
        fs::write(self.modules.path().join("Numbers.pm"), NUMBERS).unwrap();
        command.env("PERL5LIB", self.modules.path()).env("PERL5OPT", "-MNumbers");
        // The system's authorities, to OpenSSL: without `-f`, Debian's client checks our certificate against them.
        command.env("SSL_CERT_FILE", self.certificates.path("ca.pem"));
        let arguments = arguments.iter().map(|&argument| match argument {
            "ca.pem" | "client.pem" | "client.key" => self.certificates.path(argument).into_os_string(),
            _ => argument.into(),
        });
        command.args(arguments).args(files.keys()).current_dir(self.directory.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    #[track_caller]
    fn assert_works(&self, arguments: &[&str], files: &Files) {
        let output = self.run(arguments, files);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.server.log());
    }

    #[track_caller]
    fn assert_refused(&self, arguments: &[&str], files: &Files) {
        let output = self.run(arguments, files);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}\n{}", self.server.log());
    }

    fn fill(&self, count: usize) -> Files {
        fill(self.directory.path(), &AgentFiles { prefix: "agent".into(), agents: count, seed: 3 }, count)
    }
}

/// Sends some files and gets one, through a door with these options.
fn sends_and_gets(whose: Whose, options: impl FnOnce(&Certificates) -> Options, arguments: &[&str]) {
    let Some(pair) = Pair::new(whose, options) else { return };
    let files = pair.fill(5);
    pair.assert_works(arguments, &files);
    assert_eq!(pair.server.files(), files);
    let (name, body) = files.first_key_value().unwrap();
    fs::remove_file(pair.directory.path().join(name)).unwrap();
    let arguments = [arguments, &["-g"]].concat();
    pair.assert_works(&arguments, &[(name.clone(), body.clone())].into());
    assert_eq!(&fs::read(pair.directory.path().join(name)).unwrap(), body);
}

fn one(name: &str, body: &[u8], directory: &Path) -> Files {
    fs::write(directory.join(name), body).unwrap();
    [(name.into(), body.to_vec())].into()
}

fn is_refused_what_stock_refuses(whose: Whose) {
    let options = Options::default().arg("-m").arg("100").password("s3cret");
    let Some(pair) = Pair::new(whose, |_| options) else { return };
    let files = one("a.1.data", b"first", pair.directory.path());
    pair.assert_refused(&[], &files);
    pair.assert_refused(&["-x", "wrong"], &files);
    assert_eq!(pair.server.files(), Files::new());
    pair.assert_works(&["-x", "s3cret"], &files);
    one("a.1.data", b"second", pair.directory.path());
    pair.assert_refused(&["-x", "s3cret"], &files);
    let big = one("b.1.data", &[b'x'; 101], pair.directory.path());
    pair.assert_refused(&["-x", "s3cret"], &big);
    pair.assert_refused(&["-x", "s3cret", "-g"], &[("nothing.1.data".into(), vec![])].into());
    assert_eq!(pair.server.files(), files);
}

fn is_refused_without_its_certificate(whose: Whose) {
    let options = |certificates: &Certificates| Options::usual().tls(certificates).client_certificate(certificates);
    let Some(pair) = Pair::new(whose, options) else { return };
    let files = pair.fill(1);
    pair.assert_refused(&["-c"], &files);
    pair.assert_refused(&[], &files);
    assert_eq!(pair.server.files(), Files::new());
}

fn sends_a_body_of_many_blocks(whose: Whose) {
    let Some(pair) = Pair::new(whose, |_| Options::usual()) else { return };
    let body: Vec<u8> = (0..1_500_000_u32).map(|number| number.to_le_bytes()[usize::from(number % 7 == 0)]).collect();
    let files = one("large.1.data", &body, pair.directory.path());
    pair.assert_works(&[], &files);
    assert!(pair.server.files() == files);
    fs::remove_file(pair.directory.path().join("large.1.data")).unwrap();
    pair.assert_works(&["-g"], &files);
    assert!(fs::read(pair.directory.path().join("large.1.data")).unwrap() == body);
}

macro_rules! with_both {
    ($($named:ident, $debian:ident: $run:expr;)*) => {
        $(
            #[test] fn $named() { $run(Whose::Named); }
            #[test] fn $debian() { $run(Whose::Debian); }
        )*
    };
}

with_both! {
    the_named_client_sends_and_gets, debians_client_sends_and_gets:
        |whose| sends_and_gets(whose, |_| Options::usual(), &[]);
    the_named_client_knows_the_password, debians_client_knows_the_password:
        |whose| sends_and_gets(whose, |_| Options::usual().password("s3cret"), &["-x", "s3cret"]);
    the_named_client_speaks_tls, debians_client_speaks_tls:
        |whose| sends_and_gets(whose, |certificates| Options::usual().tls(certificates), &["-c"]);
    the_named_client_checks_our_certificate_and_shows_its_own, debians_client_checks_our_certificate_and_shows_its_own:
        |whose| sends_and_gets(
            whose,
            |certificates| Options::usual().tls(certificates).client_certificate(certificates),
            &["-f", "ca.pem", "-e", "client.pem", "-k", "client.key"],
        );
    the_named_client_is_refused_what_stock_refuses, debians_client_is_refused_what_stock_refuses:
        is_refused_what_stock_refuses;
    the_named_client_is_refused_without_its_certificate, debians_client_is_refused_without_its_certificate:
        is_refused_without_its_certificate;
    the_named_client_sends_a_body_of_many_blocks, debians_client_sends_a_body_of_many_blocks:
        sends_a_body_of_many_blocks;
}
