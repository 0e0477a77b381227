//! Turns errors of the layers below into a kind and a sentence.
//!
//! The kind is decided by error codes, never by text. The sentence names the peer and, where one was
//! passed, the limit, because it is read by somebody who has nothing else to go by.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::domain::observation::{Failure, FailureKind, Phase};
use crate::domain::shown::is_unsafe;

pub(super) fn failure(phase: Phase, kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        phase,
        kind,
        message: message.into(),
    }
}

/// Something on our side, before anything was sent.
pub(super) fn local(phase: Phase, message: impl Into<String>) -> Failure {
    failure(phase, FailureKind::Local, message)
}

/// What an error of the operating system says of a peer.
///
/// Ours is only what this host says of itself while it makes a connection; once there is one, whatever
/// breaks it came over the wire. What can't be placed is nobody's.
pub(super) fn from_io(phase: Phase, peer: &str, error: &io::Error) -> Failure {
    use io::ErrorKind;
    let (kind, message) = match error.kind() {
        ErrorKind::ConnectionRefused => (
            FailureKind::Refused,
            format!("{peer} refused the connection"),
        ),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            (FailureKind::Reset, format!("{peer} reset the connection"))
        }
        ErrorKind::UnexpectedEof => (FailureKind::Closed, format!("{peer} closed the connection")),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            (FailureKind::Unreachable, format!("no route to {peer}"))
        }
        ErrorKind::TimedOut => (
            FailureKind::Timeout,
            format!("{peer} did not answer; the system gave up"),
        ),
        _ => match ours(error).filter(|_| phase == Phase::Connect) {
            Some(lacks) => (FailureKind::Local, format!("{peer}: {lacks}")),
            None => (
                FailureKind::Unplaced,
                format!("{peer}: {}", one_line(&error.to_string(), 120)),
            ),
        },
    };
    failure(phase, kind, message)
}

/// How a connection broke that had been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Break {
    Io(io::ErrorKind),
    /// TLS broke it: the kind, and what the peer did.
    Tls(FailureKind, String),
    /// An error that says nothing more.
    Other(String),
}

impl Break {
    /// `asked` says that the server had asked for a certificate of the client.
    pub(super) fn of(error: &io::Error, asked: bool) -> Self {
        let inner = error.get_ref().and_then(|e| e.downcast_ref());
        match (inner, error.kind()) {
            (Some(error), _) => {
                let (kind, did) = tls_break(error, asked);
                Self::Tls(kind, did)
            }
            (None, io::ErrorKind::Other) => Self::Other(one_line(&error.to_string(), 120)),
            (None, kind) => Self::Io(kind),
        }
    }

    /// The failure it is, with `when` it came.
    pub(super) fn told(&self, phase: Phase, peer: &str, when: &str) -> Failure {
        match self {
            Self::Io(kind) => {
                let told = from_io(phase, peer, &io::Error::from(*kind));
                failure(phase, told.kind, format!("{} {when}", told.message))
            }
            // What it wants is a whole sentence.
            Self::Tls(kind @ FailureKind::ClientCertificate, did) => {
                failure(phase, *kind, format!("{peer} {did}"))
            }
            Self::Tls(kind, did) => failure(phase, *kind, format!("{peer} {did}, {when}")),
            Self::Other(error) => failure(
                phase,
                FailureKind::Unplaced,
                format!("the connection to {peer} broke {when}: {error}"),
            ),
        }
    }
}

/// What the peer did to a TLS session that stood.
fn tls_break(error: &rustls::Error, asked: bool) -> (FailureKind, String) {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::AlertReceived(alert) => {
            let name = alert_name(*alert);
            if *alert == Alert::CertificateRequired || (asked && about_certificate(*alert)) {
                return (FailureKind::ClientCertificate, wants_certificate(&name));
            }
            let did = format!("ended the TLS session with alert {name}");
            (FailureKind::TlsBroken, did)
        }
        other => {
            let why = one_line(&other.to_string(), 120);
            let did = format!("sent something into the TLS session that is not part of it ({why})");
            (FailureKind::TlsBroken, did)
        }
    }
}

/// Alerts that a server sends about the certificate of a client (RFC 8446 section 6.2).
pub(super) fn about_certificate(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    )
}

pub(super) fn wants_certificate(alert: &str) -> String {
    format!(
        "wants a certificate of the client, and edgewatch has none to show (TLS alert {alert}): a client that \
         shows its own may be let in"
    )
}

/// The name of an alert as RFC 8446 section 6 spells it.
pub(super) fn alert_name(alert: rustls::AlertDescription) -> String {
    let mut name = String::new();
    let mut after_small = false;
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && after_small {
            name.push('_');
        }
        after_small = c.is_ascii_lowercase();
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The errors that tell an operator what this host lacks.
fn ours(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_raw(error.raw_os_error()?) {
        Errno::EMFILE | Errno::ENFILE => "this host has no file descriptors left for a connection",
        Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => {
            "this host has no local ports left for a connection there"
        }
        Errno::EACCES | Errno::EPERM => {
            "this host's own firewall or permissions forbid the connection"
        }
        Errno::ENOBUFS | Errno::ENOMEM => "this host has no memory left for a connection",
        Errno::ENETDOWN => "this host's network is down",
        Errno::EAFNOSUPPORT => "this host does not speak that IP version",
        _ => return None,
    })
}

/// A limit as it stands in the configuration: `20 s`, `500 ms`.
pub(super) fn limit(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// Text from outside, made fit for one line of a message.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    text.chars()
        .map(|c| if is_unsafe(c) { ' ' } else { c })
        .take(chars_max)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_codes() {
        let check = |errno: Errno, kind: FailureKind, message: &str| {
            let error = io::Error::from_raw_os_error(errno as i32);
            let told = from_io(Phase::Connect, "192.0.2.7:443", &error);
            assert_eq!((told.kind, told.message.as_str()), (kind, message));
        };
        check(
            Errno::ECONNREFUSED,
            FailureKind::Refused,
            "192.0.2.7:443 refused the connection",
        );
        check(
            Errno::EHOSTUNREACH,
            FailureKind::Unreachable,
            "no route to 192.0.2.7:443",
        );
        check(
            Errno::EMFILE,
            FailureKind::Local,
            "192.0.2.7:443: this host has no file descriptors left for a connection",
        );
        check(
            Errno::EADDRNOTAVAIL,
            FailureKind::Local,
            "192.0.2.7:443: this host has no local ports left for a connection there",
        );
        // Nobody knows whose that is.
        check(
            Errno::EPROTO,
            FailureKind::Unplaced,
            "192.0.2.7:443: Protocol error (os error 71)",
        );
        // What breaks a connection that was made is never this host's permissions.
        let error = io::Error::from_raw_os_error(Errno::EPERM as i32);
        let told = from_io(Phase::FirstByte, "192.0.2.7:443", &error);
        assert_eq!(told.kind, FailureKind::Unplaced);
    }

    #[test]
    fn limits_read_like_the_file() {
        assert_eq!(limit(Duration::from_secs(20)), "20 s");
        assert_eq!(limit(Duration::from_millis(1500)), "1500 ms");
    }
}
