//! `chain+name`: signed by the CA, and for the site's address.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::Policy;
use crate::tls::authorities::{Authorities, limits_names};
use crate::tls::certificate_problem::{CertificateProblem, UnsupportedShape};
use crate::tls::dn::Name;
use crate::tls::summary::Sha256;
use crate::tls::x509::Certificate;

/// The chain, and the name: an alternative name, or the common name of a certificate without any alternative names.
#[derive(Debug)]
pub(in crate::tls) struct ChainAndName(pub(in crate::tls) Authorities);

impl Policy for ChainAndName {
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
            check_alternative_names(leaf, host)
        } else if self.0.limits_names() || intermediates.iter().any(limits_names) {
            let shape = UnsupportedShape::CommonNameUnderConstraints;
            Err(CertificateProblem::UnsupportedShape { shape, sha256: Sha256::of(leaf) })
        } else {
            check_common_name(&certificate, host)
        }
    }
}

fn check_alternative_names(leaf: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), CertificateProblem> {
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateProblem::Malformed)?;
    match leaf.verify_is_valid_for_subject_name(host) {
        Ok(()) => Ok(()),
        Err(webpki::Error::CertNotValidForName(context)) => {
            let found = context.presented.iter().map(|name| plain(name).to_owned()).collect();
            Err(CertificateProblem::NameMismatch { wanted: host.to_str().into_owned(), found })
        }
        Err(error) => Err(CertificateProblem::Other(error.to_string())),
    }
}

/// webpki shows a name as its kind and, in parentheses, the name, perhaps quoted.
fn plain(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_kind, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
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
    let found = common_name.map(str::to_owned).into_iter().collect();
    Err(CertificateProblem::NameMismatch { wanted: host.to_str().into_owned(), found })
}
