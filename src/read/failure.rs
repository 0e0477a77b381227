//! Reads a run that broke off: whose fault that can be, and what kind of failure it is.
//!
//! Ours is only what proves to be ours: an address or a route that this host lacks, the answer of our
//! own proxy, name servers that fail for every name, a limit of edgewatch. What nobody can place has an
//! unknown maker, and the kind of the phase it happened in.

use crate::domain::observation::{Answer, Failure, FailureKind, Phase};
use crate::domain::verdict::{Evidence, Factor, Kind, Maker, Rule, Strength, Verdict, WhoActs};

/// The verdict of a run that got no answer.
pub(super) fn without_answer(failure: Option<&Failure>) -> Verdict {
    if let Some(failure) = failure {
        return of_failure(failure);
    }
    let mut verdict = Verdict::new(Kind::LocalError, Maker::OurSide);
    verdict.evidence.push(Evidence::new(
        Strength::Weak,
        "the run saw neither an answer nor a failure",
    ));
    verdict
}

/// A run that failed after its headers.
pub(super) fn broken_off(failure: &Failure, answer: &Answer) -> Verdict {
    let mut verdict = of_failure(failure);
    verdict.evidence.push(Evidence::new(
        Strength::Presence,
        format!(
            "status {} and {} bytes of the body arrived before",
            answer.status,
            answer.body.bytes.len()
        ),
    ));
    verdict
}

fn of_failure(failure: &Failure) -> Verdict {
    let (kind, maker) = placed(failure.kind, failure.phase);
    let mut verdict = Verdict::new(kind, maker);
    if maker == Maker::OurSide {
        verdict.who_acts = WhoActs::Visitor;
        if kind == Kind::LocalError {
            verdict.hints.push(Factor::Egress);
        }
    } else {
        verdict.rule = Rule::Unknown;
    }
    if failure.kind == FailureKind::HttpVersion {
        verdict.hints.push(Factor::Http);
    }
    verdict.code = Some(failure.kind.as_str().to_owned());
    let said = format!(
        "{} in phase {}: {}",
        failure.kind.as_str(),
        failure.phase.as_str(),
        failure.message
    );
    verdict.evidence.push(Evidence::new(Strength::Proof, said));
    verdict
}

fn placed(kind: FailureKind, phase: Phase) -> (Kind, Maker) {
    use FailureKind as F;
    match (kind, phase) {
        (F::EgressMissing | F::NoRoute | F::Proxy | F::Program | F::Resolver | F::Local, _) => {
            (Kind::LocalError, Maker::OurSide)
        }
        (F::CertificateUnread, _) => (Kind::TlsError, Maker::OurSide),
        (F::NameNotFound | F::NameServer, _) | (F::Unplaced, Phase::Dns) => {
            (Kind::DnsError, Maker::Unknown)
        }
        (F::Timeout, _) => (Kind::Timeout, Maker::Unknown),
        // An edge that dislikes a handshake often just closes.
        (
            F::Certificate
            | F::CertificateExpired
            | F::CertificateName
            | F::CertificateIssuer
            | F::CertificatePath
            | F::ClientCertificate
            | F::TlsVersion
            | F::TlsCipher
            | F::HttpVersion
            | F::NotTls
            | F::Handshake
            | F::TlsBroken,
            _,
        )
        | (F::Reset | F::Closed | F::Protocol | F::Unplaced, Phase::Tls) => {
            (Kind::TlsError, Maker::Unknown)
        }
        (F::Refused | F::Reset | F::Unreachable | F::Closed | F::Unplaced, _) => {
            (Kind::ConnectError, Maker::Unknown)
        }
        (F::Protocol | F::Limit | F::Redirects, _) => (Kind::Unexpected, Maker::Unknown),
    }
}
