//! Certificates that end soon: reported once each, however many sites they are used for, and by a probe before it is
//! too late.

use std::fs;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{Identity, Setup, StockClients, stock_tls};
use tentacle_sync::tls::UnixTime;

use crate::daemon::Sandbox;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::site::{Site, site_config};
use crate::support::scratch;

const DAY: u64 = 86_400;

/// An authority and what it issued; the days are those they still count.
struct Pki {
    directory: TempDir,
    server: Identity,
}

impl Pki {
    fn new(authority: u64, server: u64, client: u64) -> Self {
        let mut params = params("CA", authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str, days| {
            let key = KeyPair::generate().unwrap();
            let certificate = self::params(name, days).signed_by(&key, &issuer).unwrap();
            Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
        };
        let (server, client) = (issue("site", server), issue("collector", client));
        let directory = scratch();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        for (name, identity) in [("server.pem", &server), ("client.pem", &client)] {
            let both = format!("{}{}", identity.certificate_pem, identity.key_pem);
            fs::write(directory.path().join(name), both).unwrap();
        }
        Self { directory, server }
    }

    fn site(&self, name: &str) -> Site {
        let tls = Some(stock_tls(&self.server, StockClients::Anyone).unwrap());
        Site::fake(name, 2, Setup { tls, idle: Duration::from_secs(1), ..Setup::default() })
    }

    /// Our server, with a client's certificate demanded.
    fn server(&self) -> Buffer {
        let [ca, server] = ["ca.pem", "server.pem"].map(|name| self.directory.path().join(name));
        Buffer::with(Options::usual().arg("-e").arg(&server).arg("-k").arg(&server).arg("-f").arg(ca), "")
    }

    fn lines(&self, more: &str) -> String {
        let [ca, client] = ["ca.pem", "client.pem"].map(|name| self.directory.path().join(name));
        format!("tls = {{ ca = {ca:?}, cert = {client:?}, key = {client:?}{more} }}")
    }
}

fn params(name: &str, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    // Half a day more, for the time the test takes.
    let end = UnixTime::now().as_secs() + days * DAY + DAY / 2;
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
    params
}

fn count(log: &str, parts: &[&str]) -> usize {
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
fn each_certificate_that_ends_soon_is_told_of_once_for_all_sites() {
    let pki = Pki::new(20, 3, 10);
    let sites = ["a", "b", "c"].map(|name| pki.site(name));
    // Other settings, the same files.
    let settings = ["", ", offer_client_cert = true", ", offer_client_cert = false"];
    let sandbox = Sandbox::with_sites(sites.iter().zip(settings).map(|(site, more)| site.config(&pki.lines(more))));
    let outcome = sandbox.once();
    outcome.assert_code(0);
    let log = &outcome.stderr;
    for (parts, level) in [
        (["ca.pem: ", "\"CN=CA\" expires in 20 days"], "WARN"),
        (["client.pem: ", "\"CN=collector\" expires in 10 days"], "WARN"),
        (["reason=certificate ", "\"CN=site\" expires in 3 days"], "ERROR"),
    ] {
        assert_eq!(count(log, &parts), 1, "{outcome}");
        assert_eq!(count(log, &[&parts[..], &[level]].concat()), 1, "{outcome}");
    }
    let checked = sandbox.run("check", &[]);
    assert_eq!(count(&checked.stdout, &["CN=CA"]), 1, "{checked}");
}

#[test]
fn a_probe_says_how_long_both_certificates_still_count() {
    for (server, client, end) in [
        (2, 100, Some("it works now, but the site's certificate expires in 2 days, on ")),
        (100, 1, Some("it works now, but our certificate \"CN=collector\" expires in 1 day, on ")),
        (100, 100, None),
    ] {
        let pki = Pki::new(100, server, client);
        let site = pki.site("site");
        let sandbox = Sandbox::with_sites([site.config(&pki.lines(""))]);
        let outcome = sandbox.run("probe", &["site"]);
        let days = |days| format!("{days} day{} left", if days == 1 { "" } else { "s" });
        outcome.assert_code(0).assert_says(&["  valid ", &days(server)]);
        outcome.assert_says(&["our certificate: CN=collector", &days(client)]);
        match end {
            Some(end) => outcome.assert_says(&[end]),
            None => outcome.assert_says(&["all well"]),
        };
        assert_eq!(outcome.stdout.contains("all well"), end.is_none(), "{outcome}");
    }
}

#[test]
fn a_server_tells_of_its_own_certificate_and_of_its_clients_once() {
    let pki = Pki::new(100, 20, 3);
    let server = pki.server();
    for name in ["first", "second"] {
        let sandbox = Sandbox::with_sites([site_config(name, server.address(), &pki.lines(""))]);
        sandbox.once().assert_code(0);
    }
    let (ours, theirs) = (["server.pem: ", "\"CN=site\" expires in 20 days"], ["\"CN=collector\" expires in 3 days"]);
    server.wait_for_line(&theirs);
    let log = server.log();
    assert_eq!(count(&log, &ours), 1, "{log}");
    assert_eq!(count(&log, &[&theirs[..], &["peer=127.0.0.1", "reason=certificate"]].concat()), 1, "{log}");
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning_of_check_and_no_problem() {
    let pki = Pki::new(20, 3, 0);
    let sandbox = Sandbox::with_sites([pki.site("site").config(&pki.lines(""))]);
    let outcome = sandbox.run("check", &[]);
    outcome.assert_code(0).assert_says(&["warning", "ca.pem", "20 days left: expires in 20 days"]);
    outcome.assert_says(&["warning", "client.pem", "0 days left: expires in less than a day"]);
    outcome.assert_says(&["0 problems, "]);
}
