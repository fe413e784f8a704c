//! The `verify` of a peer's certificate, as files spell it.

/// How a certificate is checked, before it is known against what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Chain,
    ChainAndName,
    Pin,
    None,
}

/// The words for them.
pub(super) const POLICIES: [(&str, Policy); 4] =
    [("chain", Policy::Chain), ("chain+name", Policy::ChainAndName), ("pin", Policy::Pin), ("none", Policy::None)];
