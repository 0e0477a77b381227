//! How requests fail that get no whole answer, in the words that all texts share.
//!
//! Where a connection was accepted, nothing says that it wasn't; where a certificate is refused, the reason
//! stands in the sentence; and a port is no part of a name.

use super::observation::FailureKind;
use super::plan::names_of;
use super::verdict::{Kind, Verdict};

/// "api.example has …": what `host` does, or what becomes of requests to it.
///
/// `verdict` is that of a run that shows it; `None` when only `kind` is known. `several` says that `host` is a
/// plural ("the hosts of GMC"). `None` for kinds that are not about the way to an answer.
#[must_use]
pub fn happens(kind: Kind, verdict: Option<&Verdict>, host: &str, several: bool) -> Option<String> {
    use FailureKind as F;
    let verb = |one: &'static str, many: &'static str| if several { many } else { one };
    let how = verdict
        .filter(|verdict| verdict.kind == kind)
        .and_then(|verdict| FailureKind::from_word(verdict.code.as_deref()?));
    Some(match (kind, how) {
        (Kind::DnsError, _) if several => format!("the names {} do not resolve", bare(host)),
        (Kind::DnsError, _) => format!("the name {} does not resolve", names_of(host)),
        (Kind::ConnectError, Some(F::Closed)) => format!(
            "{host} {} the connection in place of a whole answer",
            verb("closes", "close")
        ),
        (Kind::ConnectError, Some(F::Reset)) => format!(
            "{host} {} the connection in place of a whole answer",
            verb("resets", "reset")
        ),
        (Kind::ConnectError, Some(F::Unreachable)) => format!("{host} can't be reached"),
        (Kind::ConnectError, Some(F::Unplaced)) => {
            format!("the connection to {host} breaks, nobody knows by whom")
        }
        (Kind::ConnectError, _) => {
            format!("{host} {} no connection", verb("accepts", "accept"))
        }
        (Kind::TlsError, Some(F::CertificateExpired)) => {
            format!("the certificate of {host} has expired")
        }
        (Kind::TlsError, Some(F::CertificateName)) => {
            format!("the certificate of {host} is for another name")
        }
        (Kind::TlsError, Some(F::CertificateIssuer)) => {
            format!("the certificate of {host} has an issuer that is unknown here")
        }
        (Kind::TlsError, Some(F::CertificatePath)) => format!(
            "the certificate of {host} is good, and its paths to roots that the client trusts have ended"
        ),
        (Kind::TlsError, Some(F::Certificate)) => {
            format!("the certificate of {host} is not valid")
        }
        (Kind::TlsError, Some(F::ClientCertificate)) => format!(
            "{host} {} a certificate of the client, and edgewatch has none",
            verb("wants", "want")
        ),
        (Kind::TlsError, Some(F::TlsVersion)) => {
            format!("the TLS handshake with {host} fails: no TLS version in common")
        }
        (Kind::TlsError, Some(F::TlsCipher)) => {
            format!("the TLS handshake with {host} fails: no cipher in common, as far as it says")
        }
        (Kind::TlsError, Some(F::HttpVersion)) => format!(
            "{host} {} not agree on the HTTP version that is asked for",
            verb("does", "do")
        ),
        (Kind::TlsError, Some(F::NotTls)) => {
            format!("what answers at {host} does not speak TLS")
        }
        (Kind::TlsError, Some(F::TlsBroken)) => {
            format!("something breaks the TLS session with {host}")
        }
        (Kind::TlsError, Some(F::Closed | F::Reset)) => {
            format!("the TLS handshake with {host} fails: the connection is closed in the middle")
        }
        (Kind::TlsError, _) => format!("the TLS handshake with {host} fails"),
        (Kind::Timeout, _) => {
            format!("{host} {} not answer (timeout)", verb("does", "do"))
        }
        _ => return None,
    })
}

/// "the hosts of GMC" or a list of hosts, as a list of names.
fn bare(hosts: &str) -> String {
    match hosts.strip_prefix("the hosts of ") {
        Some(partner) => format!("of {partner}"),
        None => names_of(hosts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Maker;

    #[test]
    fn every_way_to_fail_has_its_sentence() {
        let said = |kind: Kind, how: Option<FailureKind>, several: bool| {
            let mut verdict = Verdict::new(kind, Maker::Unknown);
            verdict.code = how.map(|how| how.as_str().to_owned());
            let host = if several {
                "the hosts of GMC"
            } else {
                "api.example:8443"
            };
            happens(kind, Some(&verdict), host, several).unwrap_or_default()
        };
        let mut all = Vec::new();
        for kind in [
            Kind::DnsError,
            Kind::ConnectError,
            Kind::TlsError,
            Kind::Timeout,
        ] {
            for how in FailureKind::ALL {
                let (one, many) = (said(kind, Some(*how), false), said(kind, Some(*how), true));
                if one != said(kind, None, false) || *how == FailureKind::Refused {
                    all.push(format!("{kind} {how}: {one} / {many}"));
                }
            }
        }
        insta::assert_snapshot!(all.join("\n"));
        assert_eq!(happens(Kind::EdgeBlock, None, "h", false), None);
    }
}
