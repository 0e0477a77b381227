//! What receivers over HTTP have in common: the client, how a request fails, what a status means.
//!
//! One table for all of them; a receiver says beside it only what it does differently. Nothing of an
//! answer and nothing of a URL gets into an error, as both may hold a secret.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::CONNECT_TIMEOUT;
use super::error::{Class, SendError};
use super::leave::{self, Unsent};
use crate::clock;
use crate::lang::retry_after;

/// Bytes read of an answer; the largest we ask for are 100 messages of Slack's history, of 60 KB at the most.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A longer `Retry-After` means no more than this one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The HTTP client for receivers: bounded times, no redirects (a `POST` would become a `GET` that ends on a sign-in page).
///
/// Each request has a connection of its own: one that was kept may be closed by the other side just when it
/// is used again, and then nobody knows whether the message arrived.
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
        .pool_max_idle_per_host(0)
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
    NotConnected(Hurdle),
    TimedOut,
    BrokeOff,
    /// It did not leave: another hub leads.
    Deposed,
}

/// What stood in the way of a connection, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hurdle {
    /// The name has no address.
    Name,
    Refused,
    Silent,
    NoRoute,
    /// The encrypted channel could not be agreed on: a certificate, or a peer that speaks no TLS.
    Tls,
    Unknown,
}

impl Hurdle {
    fn of(error: &reqwest::Error) -> Self {
        use std::error::Error as _;
        let found = error.source().and_then(Self::among);
        let silent = error.is_timeout().then_some(Self::Silent);
        found.or(silent).unwrap_or(Self::Unknown)
    }

    /// The first that is known among this and its causes.
    fn among(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use std::io::{Error, ErrorKind};
        if error.is::<rustls::Error>() {
            return Some(Self::Tls);
        }
        // hyper-util has a private type for it, and only these words.
        if error.to_string() == "dns error" {
            return Some(Self::Name);
        }
        let io = error.downcast_ref::<Error>();
        let here = match io.map(Error::kind) {
            // A server that is just closing takes the connection and breaks it before anything was sent.
            Some(
                ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted,
            ) => Some(Self::Refused),
            Some(ErrorKind::TimedOut) => Some(Self::Silent),
            Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Some(Self::NoRoute),
            _ => None,
        };
        // What an I/O error wraps is not among its sources, only that one's.
        here.or_else(|| Self::among(io?.get_ref()?))
            .or_else(|| Self::among(error.source()?))
    }

    fn words(self) -> &'static str {
        match self {
            Self::Name => ": its name has no address here",
            Self::Refused => ": refused",
            Self::Silent => ": it did not answer",
            Self::NoRoute => ": no way there",
            Self::Tls => ": TLS failed, for want of a trusted certificate or of TLS",
            Self::Unknown => "",
        }
    }
}

impl From<&reqwest::Error> for Failure {
    fn from(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            Self::NoUrl
        } else if error.is_connect() {
            Self::NotConnected(Hurdle::of(error))
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::BrokeOff
        }
    }
}

impl From<&Unsent> for Failure {
    fn from(error: &Unsent) -> Self {
        match error {
            Unsent::Kept => Self::Deposed,
            Unsent::Failed(error) => Self::from(error),
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
    /// What `Retry-After` asks for.
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
        let answer = leave::send(request).await;
        let answer = answer.map_err(|e| self.failed(Failure::from(&e)))?;
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers()),
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
            Failure::NotConnected(hurdle) => SendError::new(
                Class::Transient,
                format!("no connection to {name}{}", hurdle.words()),
            ),
            Failure::Deposed => SendError::new(Class::Transient, "not sent: another hub leads"),
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

/// How long a `Retry-After` header asks to wait, at most [`RETRY_AFTER_MAX`]; `None` for anything else.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = retry_after::read(text(RETRY_AFTER)?, text(DATE), Some(clock::now()))?;
    Some(wait.min(RETRY_AFTER_MAX))
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
    fn retry_after_is_seconds_or_a_date() {
        let sent = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (asked, date, expected) in [
            ("7", None, Some(7.0)),
            (" 1.5 ", None, Some(1.5)),
            ("0", None, Some(0.0)),
            ("-1", None, None),
            ("soon", None, None),
            ("", None, None),
            ("NaN", None, None),
            ("inf", None, None),
            ("99999999999999999999", None, Some(86_400.0)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(sent), Some(30.0)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(sent), Some(0.0)),
            ("Thu, 21 Oct 2027 07:28:00 GMT", Some(sent), Some(86_400.0)),
            ("Wed, 21 Oct 2026 25:99:00 GMT", Some(sent), None),
            // Without a `Date`, or with a broken one, from our own time on.
            ("Wed, 21 Oct 2015 07:28:00 GMT", None, Some(0.0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some("today"), Some(0.0)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            let expected = expected.map(Duration::from_secs_f64);
            assert_eq!(retry_after(&headers), expected, "{asked} {date:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let soon = clock::now() + Duration::from_secs(600);
        let mut headers = HeaderMap::new();
        let text = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&soon)
            .unwrap();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        let asked = retry_after(&headers).unwrap().as_secs();
        assert!((500..=600).contains(&asked), "{asked}");
    }

    #[tokio::test]
    async fn what_stood_in_the_way_of_a_connection_is_told() {
        let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (no_tls, refused) = (plain.local_addr().unwrap(), closed.local_addr().unwrap());
        drop(closed);
        let served = tokio::spawn(async move {
            let (mut stream, _) = plain.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        });
        let client = client(Duration::from_secs(10), &[]).unwrap();
        for (url, expected) in [
            (format!("http://{refused}/"), "no connection to X: refused"),
            (
                format!("https://{no_tls}/"),
                "no connection to X: TLS failed, for want of a trusted certificate or of TLS",
            ),
        ] {
            let error = client.get(url).send().await.unwrap_err();
            let peer = Peer {
                name: "X",
                again: Again::Twice,
            };
            let said = peer.failed(Failure::from(&error));
            assert_eq!(said.text, expected, "{error:?}");
        }
        served.await.unwrap();
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
