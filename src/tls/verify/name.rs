//! `chain+name`: signed by the CA, and for the site's address.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::PeerPolicy;
use crate::tls::authorities::{Authorities, limits_names};
use crate::tls::certificate_problem::{CertificateProblem, Misnaming, UnsupportedShape};
use crate::tls::dn::Name;
use crate::tls::extensions::AlternativeName;
use crate::tls::x509::Certificate;

/// The chain, and the name: an alternative name, or the common name of a certificate without any alternative names.
#[derive(Debug)]
pub(in crate::tls) struct ChainAndName(pub(in crate::tls) Authorities);

impl PeerPolicy for ChainAndName {
    fn accept(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        self.0.verify(leaf, intermediates, now)?;
        let certificate = Certificate::parse(leaf).map_err(|_| CertificateProblem::Malformed)?;
        if certificate.has_alternative_names().map_err(|_| CertificateProblem::Malformed)? {
            check_alternative_names(leaf, &certificate, host)
        } else if self.0.limits_names() || intermediates.iter().any(limits_names) {
            Err(CertificateProblem::UnsupportedShape(UnsupportedShape::CommonNameUnderConstraints))
        } else {
            check_common_name(&certificate, host)
        }
    }
}

fn check_alternative_names(
    leaf: &CertificateDer<'_>,
    certificate: &Certificate<'_>,
    host: &ServerName<'_>,
) -> Result<(), CertificateProblem> {
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateProblem::Malformed)?;
    match leaf.verify_is_valid_for_subject_name(host) {
        Ok(()) => Ok(()),
        Err(webpki::Error::CertNotValidForName(_)) => Err(mismatch(certificate, host)),
        Err(error) => Err(CertificateProblem::Other(error.to_string())),
    }
}

fn mismatch(certificate: &Certificate<'_>, host: &ServerName<'_>) -> CertificateProblem {
    let wanted = host.to_str().into_owned();
    let names = certificate.alternative_names().unwrap_or_default();
    let text = |name: &AlternativeName| name.text.clone();
    let of_hosts: Vec<String> = names.iter().filter(|name| name.is_of_a_host).map(text).collect();
    if of_hosts.is_empty() {
        let found = names.iter().map(text).collect();
        return CertificateProblem::NameMismatch { wanted, found, misnaming: Some(Misnaming::OtherKinds) };
    }
    // Where it is there as an address, it matches.
    let as_name = matches!(host, ServerName::IpAddress(_)) && of_hosts.contains(&wanted);
    let misnaming = as_name.then_some(Misnaming::AddressAsDnsName);
    CertificateProblem::NameMismatch { wanted, found: of_hosts, misnaming }
}

/// Names equal but for case; addresses equal as addresses. No wildcards: those are for alternative names.
fn check_common_name(certificate: &Certificate<'_>, host: &ServerName<'_>) -> Result<(), CertificateProblem> {
    let subject = Name::parse(certificate.subject).map_err(|_| CertificateProblem::Malformed)?;
    let common_name = subject.common_name();
    let matches = common_name.is_some_and(|common_name| match host {
        ServerName::DnsName(name) => name.as_ref().eq_ignore_ascii_case(common_name),
        ServerName::IpAddress(address) => common_name.parse() == Ok(IpAddr::from(*address)),
        _ => false,
    });
    if matches {
        return Ok(());
    }
    let misnaming = common_name.filter(|name| name.contains('*')).map(|_| Misnaming::WildcardInCommonName);
    let found = common_name.map(str::to_owned).into_iter().collect();
    Err(CertificateProblem::NameMismatch { wanted: host.to_str().into_owned(), found, misnaming })
}
