//! Certificates, and the settings that go with them. Their keys are fresh, their lengths are not: what the network does to
//! them follows from the seed.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use tempfile::TempDir;

use crate::tls::test_pki::{Identity, StockClients, stock_tls};
use crate::tls::{
    Acceptor, AcceptorSettings, ClientAuth, ClientCertPolicy, IdentitySettings, Suites, TlsSettings, UnixTime, Verify,
    Versions,
};

/// Whether a site's server looks at its clients' certificates. Stock's then turns ours down, and ours demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientCerts {
    None,
    Clients,
}

/// What makes TLS, at either end.
pub(super) struct Pki {
    anonymous: TlsSettings,
    identified: TlsSettings,
    lax_stock: Acceptor,
    strict_stock: Acceptor,
    lax_ours: Acceptor,
    strict_ours: Acceptor,
    impostor: Acceptor,
    /// Where the settings' files are.
    _files: TempDir,
}

impl Pki {
    pub(super) fn new() -> Self {
        let files = tempfile::tempdir().expect("a directory can be made");
        let authority = authority();
        let file = |name: &str, pem: &str| {
            let path = files.path().join(name);
            fs::write(&path, pem).expect("a file can be written");
            path
        };
        let identity = |name: &str| {
            let Identity { certificate_pem, key_pem } = issue(&authority, name);
            let (cert, key) = (file(&format!("{name}.pem"), &certificate_pem), file(&format!("{name}.key"), &key_pem));
            IdentitySettings { cert, key, passphrase: None }
        };
        let ca = file("ca.pem", &authority.pem());
        let client = |identity| TlsSettings {
            ca: Some(ca.clone()),
            identity,
            verify: Verify::Chain,
            offer: ClientCertPolicy::Auto,
        };
        let stock = |identity: Identity, clients| stock_tls(&identity, clients).expect("they are sound");
        let server = identity("server");
        Self {
            anonymous: client(None),
            identified: client(Some(identity("client"))),
            lax_stock: stock(issue(&authority, "stock"), StockClients::Anyone),
            strict_stock: stock(issue(&authority, "stock"), StockClients::AnyoneOrWellKnown),
            lax_ours: ours(&server, ClientAuth::NotAsked),
            strict_ours: ours(&server, ClientAuth::Required { ca: ca.clone() }),
            impostor: stock(issue(&self::authority(), "stock"), StockClients::Anyone),
            _files: files,
        }
    }

    /// The collector's settings for a site.
    pub(super) fn settings(&self, scrutiny: ClientCerts) -> TlsSettings {
        match scrutiny {
            ClientCerts::None => self.anonymous.clone(),
            ClientCerts::Clients => self.identified.clone(),
        }
    }

    pub(super) fn stock(&self, scrutiny: ClientCerts) -> Acceptor {
        match scrutiny {
            ClientCerts::None => self.lax_stock.clone(),
            ClientCerts::Clients => self.strict_stock.clone(),
        }
    }

    pub(super) fn ours(&self, scrutiny: ClientCerts) -> Acceptor {
        match scrutiny {
            ClientCerts::None => self.lax_ours.clone(),
            ClientCerts::Clients => self.strict_ours.clone(),
        }
    }

    /// One whose certificate is of an authority that nobody trusts.
    pub(super) fn impostor(&self) -> Acceptor {
        self.impostor.clone()
    }
}

fn ours(identity: &IdentitySettings, clients: ClientAuth) -> Acceptor {
    let (versions, suites) = (Versions::Both, Suites::default());
    let settings = AcceptorSettings { identity: identity.clone(), clients, versions, suites };
    Acceptor::new(&settings, UnixTime::now()).expect("they are sound")
}

/// Ed25519's keys and signatures are always of one length.
fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("keys can be made")
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(1));
    params
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named("The sites' authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, key()).expect("certificates can be made")
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let mut params = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = key();
    let certificate = params.signed_by(&key, authority).expect("certificates can be made");
    Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
}
