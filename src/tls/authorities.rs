//! The certificates of a CA file, and what they vouch for.

use std::borrow::Cow;
use std::path::Path;

use rustls::pki_types::{CertificateDer, Der, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::certificate_problem::{CertificateProblem, UnknownExtension, UnsupportedShape, Weakness, Whose};
use super::dn;
use super::oids::{extension_name, signature_name};
use super::pem;
use super::report::{CertificateReport, Report, Role};
use super::setup::{FileProblem, SetupError};
use super::summary::{Sha256, is_authority};
use super::v1;
use super::x509::{Certificate, Purpose, Validity, Version, contents, rsa_bits};

/// The signature algorithms the provider checks certificates with.
pub(super) type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// The least size of an RSA key that ring takes, in bits.
pub(super) const LEAST_RSA_BITS: usize = 2048;

/// One certificate that may vouch for others.
#[derive(Debug)]
pub(super) struct Authority {
    /// The whole encoding.
    pub(super) der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    validity: Validity,
}

/// A CA file's content: whom to believe, and which self-signed certificates to take as they are.
#[derive(Debug)]
pub(super) struct Authorities {
    listed: Vec<CertificateDer<'static>>,
    vouching: Vec<Authority>,
    anchors: Vec<TrustAnchor<'static>>,
    purpose: Purpose,
    algorithms: Algorithms,
}

impl Authorities {
    /// Reads a CA file whose certificates are to vouch for peers of this purpose, and reports on it as of `now`.
    pub(super) fn load(
        path: &Path,
        purpose: Purpose,
        algorithms: Algorithms,
        now: UnixTime,
    ) -> Result<(Self, Report), SetupError> {
        let listed = pem::certificates(path)?;
        let vouching = vouching(&listed).map_err(|problem| SetupError::file(path, problem))?;
        let certificates = CertificateReport::all(path, Role::Trusted, &listed.ders, algorithms, now);
        if !certificates.iter().any(|entry| entry.certificate.authority || entry.certificate.self_signed) {
            return Err(SetupError::file(path, FileProblem::NoAuthority));
        }
        let anchors = vouching.iter().map(|authority| authority.anchor.clone()).collect();
        let authorities = Self { listed: listed.ders, vouching, anchors, purpose, algorithms };
        Ok((authorities, Report { certificates, remarks: listed.remarks }))
    }

    /// Whether `leaf` may be believed at `now`; its name is another matter.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let presented = Presented::parse(leaf, intermediates)?;
        if presented.certificate.is_self_issued() && self.listed.iter().any(|listed| listed == leaf) {
            return presented.check_alone(self.purpose, now);
        }
        match presented.certificate.version {
            Version::V1 => self.verify_v1(&presented, now),
            Version::V2 => Err(CertificateProblem::UnsupportedShape(UnsupportedShape::Version2)),
            Version::V3 => self.verify_v3(&presented, now),
        }
    }

    /// Exactly one hop: a version 1 certificate counts directly under a listed authority, and never vouches itself.
    fn verify_v1(&self, presented: &Presented<'_>, now: UnixTime) -> Result<(), CertificateProblem> {
        let leaf = v1::Leaf::parse(presented.leaf).map_err(|_| CertificateProblem::Malformed)?;
        check_dates(presented.certificate.validity, Whose::Leaf, now)?;
        let mut verdict = presented.unknown_issuer();
        for authority in self.named(presented.certificate.issuer) {
            match leaf.signed_by(&authority.certificate()?, self.algorithms) {
                Ok(()) => match check_dates(authority.validity, Whose::Authority, now) {
                    Ok(()) => return Ok(()),
                    Err(problem) => verdict = problem,
                },
                Err(problem) => verdict = problem,
            }
        }
        Err(verdict)
    }

    /// Version 3 is webpki's, to which only the authorities' own dates are added.
    fn verify_v3(&self, presented: &Presented<'_>, now: UnixTime) -> Result<(), CertificateProblem> {
        let end_entity = EndEntityCert::try_from(presented.leaf).map_err(|error| match error {
            webpki::Error::UnsupportedCriticalExtension => presented.unknown_extension(),
            other => plain_problem(&other, self.purpose),
        })?;
        let anchors = self.anchors_for(presented);
        let in_date = |path: &VerifiedPath<'_>| self.check_anchor_dates(path.anchor(), now);
        let verified = end_entity.verify_for_usage(
            self.algorithms,
            &anchors,
            presented.intermediates,
            now,
            self.purpose.key_usage(),
            None,
            Some(&in_date),
        );
        let validity = presented.certificate.validity;
        verified.map(drop).map_err(|error| match error {
            webpki::Error::CaUsedAsEndEntity => self.authority_as_leaf(presented),
            // The version is that of a certificate sent along; the leaf's was looked at before.
            webpki::Error::UnknownIssuer | webpki::Error::UnsupportedCertVersion => presented.unknown_issuer(),
            webpki::Error::InvalidSignatureForPublicKey => self.bad_signature(presented),
            webpki::Error::CertExpired { not_after, .. } => {
                CertificateProblem::Expired { whose: Whose::leaf_if(not_after == validity.not_after), not_after }
            }
            webpki::Error::CertNotValidYet { not_before, .. } => {
                CertificateProblem::NotYetValid { whose: Whose::leaf_if(not_before == validity.not_before), not_before }
            }
            webpki::Error::UnsupportedCriticalExtension => presented.unknown_extension(),
            other => plain_problem(&other, self.purpose),
        })
    }

    /// webpki finds an issuer by the bytes of its name. Where a certificate spells a listed authority's otherwise, that
    /// authority is there under this spelling, too: it is its key that counts.
    fn anchors_for(&self, presented: &Presented<'_>) -> Cow<'_, [TrustAnchor<'static>]> {
        let mut anchors = Cow::Borrowed(self.anchors.as_slice());
        for der in std::iter::once(presented.leaf).chain(presented.intermediates) {
            let Ok(certificate) = Certificate::parse(der) else { continue };
            let Ok(issuer) = contents(certificate.issuer) else { continue };
            for authority in self.named(certificate.issuer) {
                let anchor = TrustAnchor { subject: Der::from_slice(issuer), ..authority.anchor.clone() };
                if !anchors.contains(&anchor) {
                    anchors.to_mut().push(anchor.to_owned());
                }
            }
        }
        anchors
    }

    /// Whom they are, each name in its whole encoding.
    pub(super) fn subjects(&self) -> Vec<Vec<u8>> {
        let subject = |der| Certificate::parse(der).ok().map(|certificate| certificate.subject.to_vec());
        self.listed.iter().filter_map(|der| subject(der)).collect()
    }

    /// Whether some authority may vouch for certain names only.
    pub(super) fn limits_names(&self) -> bool {
        self.listed.iter().any(limits_names)
    }

    /// webpki takes an anchor whatever its dates; OpenSSL does not, and nobody expects an expired authority to count.
    /// The same key may be listed twice, renewed: one in date is enough.
    fn check_anchor_dates(&self, anchor: &TrustAnchor<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let mut latest = Err(webpki::Error::UnknownIssuer);
        for authority in self.vouching.iter().filter(|authority| authority.is(anchor)) {
            let Validity { not_before, not_after } = authority.validity;
            if authority.validity.covers(now) {
                return Ok(());
            }
            latest = Err(if now < not_before {
                webpki::Error::CertNotValidYet { time: now, not_before }
            } else {
                webpki::Error::CertExpired { time: now, not_after }
            });
        }
        latest
    }

    fn named<'s>(&'s self, issuer: &'s [u8]) -> impl Iterator<Item = &'s Authority> {
        self.vouching.iter().filter(move |authority| {
            Certificate::parse(&authority.der).is_ok_and(|certificate| dn::is_same(certificate.subject, issuer))
        })
    }

    fn authority_as_leaf(&self, presented: &Presented<'_>) -> CertificateProblem {
        let issuer = presented.certificate.issuer;
        let known = self.named(issuer).next().is_some() || presented.came_with_issuer();
        if known && !presented.certificate.is_self_issued() {
            CertificateProblem::UnsupportedShape(UnsupportedShape::AuthorityAsLeaf)
        } else {
            presented.unknown_issuer()
        }
    }

    fn bad_signature(&self, presented: &Presented<'_>) -> CertificateProblem {
        if presented.certificate.is_self_issued() {
            return presented.unknown_issuer();
        }
        let weak = self.named(presented.certificate.issuer).find_map(|authority| {
            let authority = authority.certificate().ok()?;
            weak_key(authority.public_key)
        });
        weak.unwrap_or_else(|| CertificateProblem::BadSignature { issuer: presented.certificate.issuer_text() })
    }
}

/// Those of a CA file's certificates that may vouch for others. All have to be readable: one that is not would be
/// missing without notice.
fn vouching(listed: &pem::Certificates) -> Result<Vec<Authority>, FileProblem> {
    let mut vouching = Vec::new();
    for (index, der) in listed.ders.iter().enumerate() {
        let certificate = match Certificate::parse(der) {
            Ok(certificate) => certificate,
            Err(error) if Certificate::key_of(der).is_ok() => return Err(listed.odd(index, error.to_string())),
            Err(_) => return Err(listed.bad(index)),
        };
        if is_authority(&certificate) {
            let anchor = webpki::anchor_from_trusted_cert(der).map_err(|error| listed.odd(index, error.to_string()))?;
            vouching.push(Authority { der: der.clone(), anchor: anchor.to_owned(), validity: certificate.validity });
        }
    }
    Ok(vouching)
}

/// What a peer showed.
struct Presented<'a> {
    leaf: &'a CertificateDer<'a>,
    certificate: Certificate<'a>,
    intermediates: &'a [CertificateDer<'a>],
}

impl<'a> Presented<'a> {
    fn parse(
        leaf: &'a CertificateDer<'a>,
        intermediates: &'a [CertificateDer<'a>],
    ) -> Result<Self, CertificateProblem> {
        let certificate = Certificate::parse(leaf).map_err(|_| {
            Certificate::irregularity(leaf).map_or(CertificateProblem::Malformed, CertificateProblem::Irregular)
        })?;
        Ok(Self { leaf, certificate, intermediates })
    }

    /// A self-signed certificate proves nothing about itself: it counts because it is in the CA file, byte for byte.
    /// What is left to check is that it is for this use, now.
    fn check_alone(&self, purpose: Purpose, now: UnixTime) -> Result<(), CertificateProblem> {
        check_dates(self.certificate.validity, Whose::Leaf, now)?;
        if self.certificate.version != Version::V3 {
            return Ok(());
        }
        EndEntityCert::try_from(self.leaf).map_err(|error| match error {
            webpki::Error::UnsupportedCriticalExtension => self.unknown_extension(),
            other => plain_problem(&other, purpose),
        })?;
        let allowed = self.certificate.allows(purpose).map_err(|_| CertificateProblem::Malformed)?;
        if allowed { Ok(()) } else { Err(CertificateProblem::WrongPurpose(purpose)) }
    }

    fn unknown_issuer(&self) -> CertificateProblem {
        if self.certificate.is_self_issued() {
            return CertificateProblem::SelfSignedUnlisted { sha256: Sha256::of(self.leaf) };
        }
        if self.certificate.version == Version::V1 && self.came_with_issuer() {
            return CertificateProblem::UnsupportedShape(UnsupportedShape::Version1UnderIntermediate);
        }
        CertificateProblem::UnknownIssuer { issuer: self.certificate.issuer_text() }
    }

    fn unknown_extension(&self) -> CertificateProblem {
        CertificateProblem::UnknownCriticalExtension(match self.certificate.misunderstood() {
            Some(id) => UnknownExtension::OfLeaf(extension_name(id)),
            None => UnknownExtension::OfAuthority,
        })
    }

    /// By name only: enough to choose the words of a refusal.
    fn came_with_issuer(&self) -> bool {
        let issuer = self.certificate.issuer;
        self.intermediates
            .iter()
            .any(|der| Certificate::parse(der).is_ok_and(|other| dn::is_same(other.subject, issuer)))
    }
}

impl Purpose {
    fn key_usage(self) -> KeyUsage {
        match self {
            Self::Server => KeyUsage::server_auth(),
            Self::Client => KeyUsage::client_auth(),
        }
    }
}

impl Authority {
    /// Whether it is this anchor, under whichever spelling of its name.
    fn is(&self, anchor: &TrustAnchor<'_>) -> bool {
        let TrustAnchor { subject, subject_public_key_info, name_constraints, .. } = &self.anchor;
        *subject_public_key_info == anchor.subject_public_key_info
            && *name_constraints == anchor.name_constraints
            && dn::is_same_inside(subject, &anchor.subject)
    }

    fn certificate(&self) -> Result<Certificate<'_>, CertificateProblem> {
        Certificate::parse(&self.der).map_err(|_| CertificateProblem::Malformed)
    }
}

/// Whether a certificate limits the names its holder may vouch for.
pub(super) fn limits_names(der: &CertificateDer<'_>) -> bool {
    Certificate::parse(der).and_then(|certificate| certificate.limits_names()).unwrap_or(false)
}

/// Whether `validity` covers `now`.
pub(super) fn check_dates(validity: Validity, whose: Whose, now: UnixTime) -> Result<(), CertificateProblem> {
    let Validity { not_before, not_after } = validity;
    if now < not_before {
        Err(CertificateProblem::NotYetValid { whose, not_before })
    } else if now > not_after {
        Err(CertificateProblem::Expired { whose, not_after })
    } else {
        Ok(())
    }
}

/// The problem with an RSA key that is too short, whose signatures ring would only call wrong.
pub(super) fn weak_key(public_key: &[u8]) -> Option<CertificateProblem> {
    let bits = rsa_bits(public_key).filter(|&bits| bits < LEAST_RSA_BITS)?;
    Some(CertificateProblem::Weak(Weakness::ShortRsaKey(bits)))
}

/// The problems that need no knowledge of the chain.
fn plain_problem(error: &webpki::Error, purpose: Purpose) -> CertificateProblem {
    use webpki::Error;
    match error {
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => CertificateProblem::Malformed,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateProblem::WrongPurpose(purpose),
        Error::NameConstraintViolation | Error::MalformedNameConstraint => CertificateProblem::NameLimits,
        Error::UnsupportedSignatureAlgorithmContext(context) => {
            let name = signature_name(&context.signature_algorithm_id);
            CertificateProblem::Weak(Weakness::SignatureAlgorithm(name))
        }
        Error::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            let name = signature_name(&context.signature_algorithm_id);
            CertificateProblem::Weak(Weakness::SignatureAlgorithm(name))
        }
        Error::EndEntityUsedAsCa => {
            CertificateProblem::Other("a certificate above it is that of no authority (it lacks CA:TRUE)".to_owned())
        }
        Error::PathLenConstraintViolated => CertificateProblem::Other(
            "an authority above it may not have as many authorities below it (pathLenConstraint)".to_owned(),
        ),
        other => CertificateProblem::Other(other.to_string()),
    }
}
