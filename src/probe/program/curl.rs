//! curl as a client: what it is told on standard input, and what its exit code means.
//!
//! Everything goes in by its configuration on standard input, so that no argument holds a secret; `-q` comes first, or
//! `~/.curlrc` would join in. It follows no redirects: those are followed hop by hop, as for any client.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::answer::{self, Answered};
use crate::domain::cell::HttpOffer;
use crate::domain::observation::FailureKind;
use crate::probe::request::Request;

/// What it is to do, in the language of `curl -K`.
pub(super) fn config(
    request: &Request,
    user_agent: &str,
    http: Option<HttpOffer>,
    gate: u16,
    trust: Option<&str>,
    within: Duration,
) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    // Writing to a string can't fail.
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    };
    say("url", request.url.as_str());
    say("proxy", &format!("socks5h://127.0.0.1:{gate}"));
    say("max-time", &format!("{:.3}", within.as_secs_f64()));
    say("write-out", "%{stderr}\\n%{json}");
    if let Some(trust) = trust {
        say("cacert", trust);
    }
    if !user_agent.is_empty() {
        say("user-agent", user_agent);
    }
    for (name, value) in request.wishes() {
        // Without a value it would be left out unless it ends in a semicolon.
        let header = if value.is_empty() {
            format!("{name};")
        } else {
            format!("{name}: {value}")
        };
        say("header", &header);
    }
    let method = request.method.as_str();
    match request.body() {
        Some(body) => {
            let body = std::str::from_utf8(body)
                .ok()
                .filter(|body| !body.contains('\0'));
            let body = body.ok_or("curl takes no body with NUL or bytes that are no UTF-8")?;
            say("data-raw", body);
            if method != "POST" {
                say("request", method);
            }
        }
        None if method == "HEAD" => text.push_str("head\n"),
        None if method != "GET" => say("request", method),
        None => {}
    }
    let version = match (http, request.url.scheme()) {
        (Some(HttpOffer::Http1), _) => "http1.1\n",
        (Some(HttpOffer::Http2), "http") => "http2-prior-knowledge\n",
        (Some(HttpOffer::Http2), _) => "http2\n",
        (Some(HttpOffer::Either) | None, _) => "",
    };
    text.push_str(version);
    text.push_str("globoff\npath-as-is\ninclude\nsilent\nshow-error\n");
    Ok(text.into_bytes())
}

/// One word of a configuration file: within quotes a backslash escapes.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// What curl printed: an answer as it stood on the wire, and its own figures on standard error.
pub(super) fn answered(output: &[u8], said: &str) -> Option<Answered> {
    let mut answered = answer::raw(output)?;
    if let Some(figures) = figures(said) {
        let at = |name: &str| figures[name].as_f64().filter(|time| *time > 0.0);
        let spent = |from: &str, to: &str| {
            let spent = at(to)? - at(from).unwrap_or(0.0);
            Duration::try_from_secs_f64(spent).ok()
        };
        answered.first_byte = spent("time_pretransfer", "time_starttransfer");
        answered.transfer = spent("time_starttransfer", "time_total");
    }
    Some(answered)
}

/// Its version, like `7.88.1`.
pub(super) fn version(said: &str) -> Option<String> {
    let figures = figures(said)?;
    let named = figures["curl_version"].as_str()?;
    let version = named.split(' ').next()?.strip_prefix("libcurl/")?;
    Some(version.to_owned())
}

fn figures(said: &str) -> Option<Value> {
    let last = said.lines().rev().find(|line| line.starts_with('{'))?;
    serde_json::from_str(last).ok()
}

/// What it complained of, in a line without the figures.
pub(super) fn complaint(said: &str) -> &str {
    let mut lines = said
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('{'));
    lines.next_back().unwrap_or_default()
}

/// The kind of failure that an exit code says (<https://curl.se/libcurl/c/libcurl-errors.html>, read 2026-11-29);
/// `None`: it is curl's own trouble.
pub(super) fn failed(code: i32) -> Option<FailureKind> {
    Some(match code {
        28 => FailureKind::Timeout,
        35 => FailureKind::Handshake,
        51 => FailureKind::CertificateName,
        52 => FailureKind::Closed,
        18 | 55 | 56 => FailureKind::Reset,
        60 => FailureKind::Certificate,
        1 | 8 | 16 | 92 => FailureKind::Protocol,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_configuration_holds_anything() {
        assert_eq!(quoted("a\"b\\c\nd\te\r@"), "\"a\\\"b\\\\c\\nd\\te\\r@\"");
    }

    #[test]
    fn figures_stand_behind_what_it_says() {
        let said = "curl: (6) no\n{\"time_pretransfer\":0.25,\"time_starttransfer\":0.5,\"time_total\":1.0,\
                    \"curl_version\":\"libcurl/7.88.1 OpenSSL/3.0.15\"}\n";
        assert_eq!(version(said).as_deref(), Some("7.88.1"));
        assert_eq!(complaint(said), "curl: (6) no");
        let output = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
        let found = answered(output, said).unwrap();
        assert_eq!(found.first_byte, Some(Duration::from_millis(250)));
        assert_eq!(found.transfer, Some(Duration::from_millis(500)));
        assert_eq!(answered(b"", said).map(|answered| answered.status), None);
    }
}
