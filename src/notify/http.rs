//! What receivers over HTTP have in common: the client, how a request fails, what a status means.
//!
//! One table for all of them; a receiver says beside it only what it does differently. Nothing of an
//! answer and nothing of a URL gets into an error, as both may hold a secret.

use std::time::Duration;

use super::CONNECT_TIMEOUT;
use super::error::{Class, SendError};

/// Bytes read of an answer; Slack's largest we ask for, 100 messages of history, are well below.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// The HTTP client for receivers: bounded times, no redirects (a `POST` would become a `GET` that ends on a sign-in page).
///
/// `roots` are PEM texts; their certificates are trusted besides the system's.
pub(super) fn client(timeout: Duration, roots: &[String]) -> Result<reqwest::Client, SendError> {
    // reqwest panics without a provider; an error here means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let setup = |e: reqwest::Error| {
        SendError::new(Class::Setup, format!("no HTTP client: {}", e.without_url()))
    };
    let mut trusted = Vec::new();
    for pem in roots {
        trusted.extend(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(setup)?);
    }
    let mut builder = reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    if !trusted.is_empty() {
        builder = builder.tls_certs_merge(trusted);
    }
    builder.build().map_err(setup)
}

/// How a request failed below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub(super) enum Failure {
    NoUrl,
    NotConnected,
    TimedOut,
    BrokeOff,
}

impl From<&reqwest::Error> for Failure {
    fn from(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            Self::NoUrl
        } else if error.is_connect() {
            Self::NotConnected
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::BrokeOff
        }
    }
}

/// What follows when a message whose fate is unclear is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing: the receiver only takes the newest state.
    Harmless,
    /// It can be recognised by its id, here or there.
    Recognised,
    /// It is told twice, and nobody can find out.
    Twice,
}

/// A receiver over HTTP, as far as its answers are read like anybody's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// For messages: "Teams".
    pub(super) name: &'static str,
    pub(super) again: Again,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<Duration>,
    /// Up to the bound; `Err` when it broke off.
    pub(super) body: Result<Vec<u8>, SendError>,
}

impl Answer {
    /// A page for people where a receiver for machines should be: a sign-in, a portal.
    pub(super) fn is_page(&self) -> bool {
        let start: Vec<u8> = self
            .body
            .iter()
            .flatten()
            .skip_while(|b| b.is_ascii_whitespace())
            .take(14)
            .map(u8::to_ascii_lowercase)
            .collect();
        start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
    }
}

impl Peer {
    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, SendError> {
        let answer = request.send().await;
        let answer = answer.map_err(|e| self.failed(Failure::from(&e)))?;
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after(&answer),
            body: read_body(answer)
                .await
                .map_err(|e| self.failed(Failure::from(&e))),
        })
    }

    /// What reqwest says holds the URL, so only the kind of failure is told.
    pub(super) fn failed(&self, failure: Failure) -> SendError {
        let name = self.name;
        match failure {
            Failure::NoUrl => {
                SendError::new(Class::Setup, format!("the address of {name} is no URL"))
            }
            Failure::NotConnected => {
                SendError::new(Class::Transient, format!("no connection to {name}"))
            }
            Failure::TimedOut => self.unclear(format!("{name} did not answer in time")),
            Failure::BrokeOff => self.unclear(format!("the connection to {name} broke off")),
        }
    }

    /// What a status means; `Ok` for 2xx.
    pub(super) fn judge(
        &self,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Result<(), SendError> {
        let text = format!("{} answered HTTP {status}", self.name);
        let asked = |error: SendError| SendError {
            retry_after,
            ..error
        };
        Err(match status {
            200..=299 => return Ok(()),
            300..=399 => SendError::new(
                Class::Setup,
                format!(
                    "{text}, a redirect: a sign-in stands in between, or the address has moved"
                ),
            ),
            429 => SendError::new(Class::SlowDown(retry_after), text),
            503 if self.again == Again::Harmless => {
                SendError::new(Class::SlowDown(retry_after), text)
            }
            401 | 403 | 404 | 405 | 407 => SendError::new(Class::Setup, text),
            408 | 425 => asked(SendError::new(Class::Transient, text)),
            500..=599 => asked(self.unclear(text)),
            _ => SendError::new(Class::Payload, text),
        })
    }

    /// A page with a good status took no message.
    pub(super) fn page(&self) -> SendError {
        SendError::new(
            Class::Setup,
            format!(
                "a web page answered in place of {}: a sign-in or a portal stands in between",
                self.name
            ),
        )
    }

    fn unclear(&self, text: String) -> SendError {
        match self.again {
            Again::Harmless => SendError::new(Class::Transient, text),
            Again::Recognised => SendError::new(Class::Ambiguous, text),
            Again::Twice => SendError::new(Class::Ambiguous, text).blind(),
        }
    }
}

/// Reads an answer up to the bound; more is cut off.
pub(super) async fn read_body(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// Seconds of a `Retry-After` header, whole or not; `None` for a date or anything else.
pub(super) fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let text = answer
        .headers()
        .get(reqwest::header::RETRY_AFTER)?
        .to_str()
        .ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_meaning_and_only_doubt_depends_on_the_receiver() {
        let asked = Some(Duration::from_secs(7));
        for (status, harmless, recognised, twice) in [
            (200, "", "", ""),
            (204, "", "", ""),
            (302, "setup", "setup", "setup"),
            (400, "payload", "payload", "payload"),
            (401, "setup", "setup", "setup"),
            (403, "setup", "setup", "setup"),
            (404, "setup", "setup", "setup"),
            (408, "transient 7", "transient 7", "transient 7"),
            (413, "payload", "payload", "payload"),
            (422, "payload", "payload", "payload"),
            (429, "slow_down", "slow_down", "slow_down"),
            (500, "transient 7", "ambiguous 7", "ambiguous 7 blind"),
            (503, "slow_down", "ambiguous 7", "ambiguous 7 blind"),
        ] {
            for (again, expected) in [
                (Again::Harmless, harmless),
                (Again::Recognised, recognised),
                (Again::Twice, twice),
            ] {
                let peer = Peer { name: "X", again };
                let said = peer.judge(status, asked).err().map_or(String::new(), |e| {
                    let mut words = vec![e.class.as_str().to_owned()];
                    words.extend(e.retry_after.map(|after| after.as_secs().to_string()));
                    words.extend(e.blind.then(|| "blind".to_owned()));
                    words.join(" ")
                });
                assert_eq!(said, expected, "{status} {again:?}");
            }
        }
    }

    #[test]
    fn a_page_is_known_by_its_first_word() {
        for (body, page) in [
            (&b" \n<!DOCTYPE HTML><title>Sign in"[..], true),
            (b"<html lang=en>", true),
            (b"<ok/>", false),
            (b"", false),
            (b"{}", false),
        ] {
            let answer = Answer {
                status: 200,
                retry_after: None,
                body: Ok(body.to_vec()),
            };
            assert_eq!(answer.is_page(), page);
        }
    }
}
