//! A request as the edge sees it, and an answer before it is written.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::domain::observation::HttpVersion;

/// Largest body that is read.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) peer: SocketAddr,
    pub(super) tls: bool,
    /// Fingerprint of the TLS hello, where a rule asks for it.
    pub(super) ja4: Option<String>,
    pub(super) http: HttpVersion,
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) host: String,
    /// As they came; over HTTP/1.1 with their case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a header, in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Who the caller says it is: the `Username` element of a SOAP body, else the `Authorization` header.
    pub(super) fn credential(&self) -> Option<String> {
        element(&self.body, "Username")
            .filter(|name| !name.is_empty())
            .or_else(|| self.header("authorization").map(str::to_owned))
    }
}

/// The text of the first element with this local name in an XML body.
pub(super) fn element(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    // No DTDs, and a bound on nodes: the default options refuse the first.
    let options = roxmltree::ParsingOptions {
        nodes_limit: 10_000,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(text, options).ok()?;
    let node = document
        .descendants()
        .find(|node| node.is_element() && node.tag_name().name() == name)?;
    Some(node.text().unwrap_or_default().trim().to_owned())
}

/// An answer before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// What the vendor calls this answer, when it has a name.
    pub(super) reference_id: Option<String>,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            reference_id: None,
        };
        if !content_type.is_empty() {
            reply.set("content-type", content_type);
        }
        reply
    }

    /// Sets a header, in the place of the former value if there is one.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.headers.iter_mut().find(|(n, _)| n == name) {
            Some(header) => header.1 = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    pub(super) fn with(mut self, headers: &[(&str, &str)]) -> Self {
        for (name, value) in headers {
            self.set(name, *value);
        }
        self
    }
}

/// Text that may stand in HTML and XML.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}
