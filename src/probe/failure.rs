//! Turns errors of the layers below into a kind and a sentence.
//!
//! The kind is decided by error codes, never by text. The sentence names the peer and, where one was
//! passed, the limit, because it is read by somebody who has nothing else to go by.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::domain::observation::{Failure, FailureKind, Phase};

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
        _ => (FailureKind::Local, format!("{peer}: {}", ours(error))),
    };
    failure(phase, kind, message)
}

/// The errors that tell an operator what this host lacks.
fn ours(error: &io::Error) -> String {
    let known = error
        .raw_os_error()
        .map(Errno::from_raw)
        .and_then(|errno| match errno {
            Errno::EMFILE | Errno::ENFILE => {
                Some("this host has no file descriptors left for a connection")
            }
            Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => {
                Some("this host has no local ports left for a connection there")
            }
            Errno::EACCES | Errno::EPERM => {
                Some("this host's own firewall or permissions forbid the connection")
            }
            Errno::ENOBUFS | Errno::ENOMEM => Some("this host has no memory left for a connection"),
            _ => None,
        });
    known.map_or_else(|| error.to_string(), str::to_owned)
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
        .map(|c| if c.is_control() { ' ' } else { c })
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
    }

    #[test]
    fn limits_read_like_the_file() {
        assert_eq!(limit(Duration::from_secs(20)), "20 s");
        assert_eq!(limit(Duration::from_millis(1500)), "1500 ms");
    }
}
