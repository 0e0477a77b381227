//! The request of one hop, exactly as the operator wrote it.
//!
//! Edges judge which headers come, in which order and spelling, so nothing is added but `Host`,
//! `User-Agent`, `Accept` and, with a body, `Content-Length`, each at the place that the client gives it; and HTTP/1.1 requests are written as
//! bytes here, because header maps group repeated names and so lose the order.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Uri, Version};
use hyper::body::{Body, Frame};
use url::{Position, Url};

use super::failure::local;
use crate::domain::cell::{Client, Credential};
use crate::domain::observation::{Failure, Phase};
use crate::domain::probe::{Probe, Template};
use crate::domain::sent::header_order;

/// What may go along on this hop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carry {
    /// The probe's own headers, and a client's that may hold secrets; only for the probe's own host.
    pub(super) own_headers: bool,
    pub(super) body: bool,
}

/// What to ask for next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) carry: Carry,
}

/// One request, ready to be written in either HTTP version.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Names spelled for HTTP/1.1, in the order of the wire.
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

impl Request {
    /// Puts the request of one hop together; `cookie` is what hops before were given.
    ///
    /// # Errors
    /// A header that can't be sent; its value is never quoted.
    pub(super) fn build(
        probe: &Probe,
        client: &Client,
        credential: Option<&Credential>,
        step: Step,
        cookie: Option<String>,
    ) -> Result<Self, Failure> {
        let Step { url, method, carry } = step;
        let fill = |template: &Template| {
            template.fill(|key| {
                let secret = credential.and_then(|c| c.fields.get(key));
                secret.map(|s| s.expose().to_owned())
            })
        };
        let body = probe
            .body
            .as_ref()
            .filter(|_| carry.body)
            .map(|template| Bytes::from(fill(template)));
        let mut listed = listed(probe, client, carry, fill);
        if let Some(cookie) = cookie {
            add_cookie(&mut listed, cookie);
        }
        // A program adds what it adds, and that is the point of it.
        let headers = match client.program {
            Some(_) => wishes(listed),
            None => complete(listed, client, &url, body.as_ref()),
        };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (client.header_case.spell(&name), value))
            .collect();
        let request = Self {
            method,
            url,
            headers,
            body,
        };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.method == Method::CONNECT {
            let message = "method CONNECT can't be probed; name a proxy as an egress";
            return Err(local(Phase::FirstByte, message));
        }
        for (name, value) in &self.headers {
            let wrong = if HeaderName::from_bytes(name.as_bytes()).is_err() {
                "its name holds characters that HTTP forbids"
            } else if HeaderValue::from_bytes(value.as_bytes()).is_err() {
                "its value holds a line break or another control character"
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                "bodies are sent with Content-Length"
            } else {
                continue;
            };
            let message = format!("header {name:?} can't be sent: {wrong}");
            return Err(local(Phase::FirstByte, message));
        }
        Ok(())
    }

    /// The headers, in their order; of a program's request only those that are wished for.
    pub(super) fn wishes(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.headers.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// The bytes of the request in HTTP/1.1.
    pub(super) fn http1(&self) -> Bytes {
        let target = &self.url[Position::BeforePath..Position::AfterQuery];
        let mut text = String::with_capacity(512);
        // Writing to a string can't fail.
        let _ = write!(text, "{} {target} HTTP/1.1\r\n", self.method);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if let Some(body) = &self.body {
            bytes.extend_from_slice(body);
        }
        Bytes::from(bytes)
    }

    /// A mark of the names as they go on the wire.
    pub(super) fn header_order(&self, http2: bool) -> String {
        if !http2 {
            return header_order("1.1", self.headers.iter().map(|(name, _)| name.as_str()));
        }
        let kept = self.headers.iter().filter(|(n, v)| !is_forbidden(n, v));
        let names: Vec<String> = kept.map(|(n, _)| n.to_ascii_lowercase()).collect();
        header_order("2", names.iter().map(String::as_str))
    }

    /// The request for HTTP/2, where `Host` becomes `:authority` and names are lower case.
    ///
    /// Repeated names come together at the first one's place. What RFC 9113 section 8.2.2 forbids is
    /// left out.
    pub(super) fn http2(&self) -> Result<http::Request<Payload>, Failure> {
        let unfit = |what: &str| {
            let message = format!("{what} can't be sent over HTTP/2");
            local(Phase::FirstByte, message)
        };
        let host = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map_or("", |(_, value)| value.as_str());
        let uri = Uri::builder()
            .scheme(self.url.scheme())
            .authority(host)
            .path_and_query(&self.url[Position::BeforePath..Position::AfterQuery])
            .build()
            .map_err(|_| unfit("the URL or the Host header"))?;
        let mut request = http::Request::new(Payload(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        for (name, value) in &self.headers {
            if is_forbidden(name, value) {
                continue;
            }
            let name = name.to_ascii_lowercase();
            let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value.as_bytes()),
            ) else {
                return Err(unfit("a header"));
            };
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

/// Without a value, only the place is said.
type Header<'a> = (Cow<'a, str>, Option<String>);

/// What the operator listed: the client's headers, the probe's in their place or behind them.
fn listed<'a>(
    probe: &'a Probe,
    client: &'a Client,
    carry: Carry,
    fill: impl Fn(&Template) -> String,
) -> Vec<Header<'a>> {
    let mut list: Vec<Header<'a>> = client
        .headers
        .iter()
        .filter(|(name, value)| carry.own_headers || value.is_none() || !is_private(name))
        .map(|(name, value)| (Cow::from(name.as_str()), value.clone()))
        .collect();
    if carry.own_headers {
        // Those of the client that no header of the probe has replaced yet.
        let mut open: Vec<String> = client
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        for (name, template) in &probe.headers {
            let lower = name.to_ascii_lowercase();
            let header = (Cow::from(name.as_str()), Some(fill(template)));
            if open.contains(&lower) {
                open.retain(|n| *n != lower);
                replace(&mut list, header);
            } else {
                list.push(header);
            }
        }
    }
    if probe.body.is_some() && !carry.body {
        // They describe a body that does not go along.
        list.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
    }
    list
}

/// Adds cookies behind those that are configured, or at the end.
fn add_cookie(list: &mut Vec<Header<'_>>, cookie: String) {
    let known = list
        .iter_mut()
        .find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    match known {
        Some((_, Some(value))) => {
            value.push_str("; ");
            value.push_str(&cookie);
        }
        Some((_, value)) => *value = Some(cookie),
        None => list.push((Cow::from("Cookie"), Some(cookie))),
    }
}

/// Puts `header` in the place of its first namesake, and removes the others.
fn replace<'a>(list: &mut Vec<Header<'a>>, header: Header<'a>) {
    let namesake = |(name, _): &Header<'a>| name.eq_ignore_ascii_case(&header.0);
    let Some(place) = list.iter().position(namesake) else {
        return list.push(header);
    };
    let tail = list.split_off(place + 1);
    list.extend(tail.into_iter().filter(|other| !namesake(other)));
    list[place] = header;
}

/// Fills the headers that have only a place, and adds the few that have none: three in front, `Content-Length` at
/// the end. What still has no value then is not sent.
fn complete<'a>(
    mut listed: Vec<Header<'a>>,
    client: &Client,
    url: &Url,
    body: Option<&Bytes>,
) -> Vec<(Cow<'a, str>, String)> {
    let place = |list: &[Header<'a>], name: &str| {
        list.iter().position(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    let length = body.map(|body| body.len().to_string());
    match (place(&listed, "content-length"), length) {
        (Some(index), Some(length)) => listed[index].1 = Some(length),
        // Some programs say it of a request that has no body.
        (Some(index), None) => listed[index].1 = listed[index].1.take().or(Some("0".to_owned())),
        (None, Some(length)) => listed.push((Cow::from("Content-Length"), Some(length))),
        (None, None) => {}
    }
    let host = || Some(url[Position::BeforeHost..Position::AfterPort].to_owned());
    let agent = || Some(client.user_agent.clone()).filter(|agent| !agent.is_empty());
    let mut front: Vec<Header<'a>> = Vec::with_capacity(listed.len() + 3);
    let mut fill = |name: &'static str, value: Option<String>| match place(&listed, name) {
        Some(index) if listed[index].1.is_none() => listed[index].1 = value,
        Some(_) => {}
        None => front.push((Cow::from(name), value)),
    };
    fill("Host", host());
    fill("User-Agent", agent());
    if place(&listed, "accept").is_none() {
        front.push((Cow::from("Accept"), Some("*/*".to_owned())));
    }
    front.append(&mut listed);
    wishes(front)
}

/// Those that have a value.
fn wishes(list: Vec<Header<'_>>) -> Vec<(Cow<'_, str>, String)> {
    let all = list.into_iter();
    all.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Whether a header has no place in HTTP/2 (RFC 9113 section 8.2.2).
fn is_forbidden(name: &str, value: &str) -> bool {
    const FORBIDDEN: [&str; 6] = [
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    let is = |other: &&str| name.eq_ignore_ascii_case(other);
    FORBIDDEN.iter().any(is) || (is(&"te") && value != "trailers")
}

/// Headers that may hold secrets or name the host, and so stay with the host they were written for.
fn is_private(name: &str) -> bool {
    const PRIVATE: [&str; 4] = ["host", "authorization", "proxy-authorization", "cookie"];
    PRIVATE.iter().any(|p| name.eq_ignore_ascii_case(p))
}

/// A body that is all there; unlike the ready-made one it never makes hyper add a `content-length`.
#[derive(Debug)]
pub(super) struct Payload(Option<Bytes>);

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let rest = self.0.take().filter(|bytes| !bytes.is_empty());
        std::task::Poll::Ready(rest.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }
}
