//! Sites that are reachable through an HTTP proxy only.

use tentacle_sync::testing::fake_server::{Setup, WritePattern};

use crate::daemon::Sandbox;
use crate::site::{Access, Kind, Site};
use crate::support::{Certificates, Proxy};

#[test]
fn a_proxy_leads_to_the_site() {
    let proxy = Proxy::start("sync", "p@ss:word");
    let site = Site::fake("site", 60, Setup { write: WritePattern::Whole, ..Setup::default() });
    let url = format!("proxy = \"http://sync:p%40ss%3Aword@{}\"", proxy.address());
    let sandbox = Sandbox::with_sites([site.config(&url)]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    assert!(proxy.asked_for(site.address()));
    assert_eq!(proxy.tunnels(), site.peer().tally().accepted, "nothing goes around the proxy");
}

#[test]
fn tls_goes_through_the_proxy_as_it_is() {
    let (proxy, certificates) = (Proxy::start("sync", "secret"), Certificates::new());
    let site = Site::behind(Access::TlsWithClientCertificate, Kind::FakeServer, 10, &certificates).unwrap();
    let sandbox = Sandbox::new();
    let password = sandbox.write("proxy.password", "secret\n");
    let (host, port) = (proxy.address().ip(), proxy.address().port());
    let table =
        format!("proxy = {{ host = \"{host}\", port = {port}, user = \"sync\", password_file = {password:?} }}");
    let lines = format!("{}\n{table}", Access::TlsWithClientCertificate.lines(&certificates));
    sandbox.configure("", [site.config(&lines)]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    assert!(proxy.tunnels() > 0);
}

#[test]
fn a_wrong_password_at_the_proxy_is_called_that() {
    let proxy = Proxy::start("sync", "secret");
    let site = Site::fake("site", 5, Setup::default());
    for credentials in ["sync:wrong@", ""] {
        let url = format!("proxy = \"http://{credentials}{}\"", proxy.address());
        let sandbox = Sandbox::with_sites([site.config(&url)]);
        let outcome = sandbox.once();
        outcome.assert_code(1).assert_says(&["site: failed: ", "407", "check the proxy's user and password"]);
        assert!(!outcome.to_string().contains("wrong"), "no secrets: {outcome}");
        site.assert_untouched();
    }
}

#[test]
fn a_proxy_that_is_none_or_cannot_reach_the_site_says_so() {
    let proxy = Proxy::start("sync", "secret");
    let site = Site::fake("site", 5, Setup::default());
    // A Tentacle server answers CONNECT with a close.
    let sandbox = Sandbox::with_sites([site.config(&format!("proxy = \"http://{}\"", site.address()))]);
    sandbox.once().assert_code(1).assert_says(&["site: failed: ", "proxy"]);
    site.assert_untouched();
    let gone = Site::fake("gone", 0, Setup::default());
    let lines = gone.config(&format!("proxy = \"http://sync:secret@{}\"", proxy.address()));
    drop(gone);
    Sandbox::with_sites([lines]).once().assert_code(1).assert_says(&[
        "gone: failed: ",
        "502",
        "can it reach the site?",
    ]);
}
