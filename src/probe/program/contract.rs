//! What edgewatch and a program of the operator's say to each other: one JSON object a line, each way.
//!
//! Unknown keys are left aside, so that either side may be newer; `v` says whether they can understand each other.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::answer::Answered;
use crate::domain::cell::HttpOffer;
use crate::domain::observation::HttpVersion;
use crate::domain::shown::is_unsafe;
use crate::probe::request::Request;

/// The version of what is said.
const VERSION: u64 = 1;
/// Characters of what is no answer, to be quoted.
const QUOTED_MAX: usize = 120;

/// What goes around a request.
pub(super) struct Around<'a> {
    pub(super) id: &'a str,
    pub(super) user_agent: &'a str,
    pub(super) http: Option<HttpOffer>,
    pub(super) gate: u16,
    pub(super) trust: Option<&'a str>,
    pub(super) within: Duration,
    pub(super) body_bytes_max: usize,
}

/// The line that asks for a request.
pub(super) fn line(request: &Request, around: &Around<'_>) -> Vec<u8> {
    let http = around.http.map(|http| match http {
        HttpOffer::Http1 => "1.1",
        HttpOffer::Http2 => "2",
        HttpOffer::Either => "either",
    });
    let headers: Vec<[&str; 2]> = request.wishes().map(|(n, v)| [n, v]).collect();
    let asked = json!({
        "v": VERSION,
        "id": around.id,
        "method": request.method.as_str(),
        "url": request.url.as_str(),
        "headers": headers,
        "body": request.body().map(|body| STANDARD.encode(body)),
        "user_agent": Some(around.user_agent).filter(|agent| !agent.is_empty()),
        "http": http,
        "proxy": { "host": "127.0.0.1", "port": around.gate },
        "trust": around.trust,
        "timeout_ms": around.within.as_millis() as u64,
        "body_bytes_max": around.body_bytes_max,
    });
    format!("{asked}\n").into_bytes()
}

#[derive(Deserialize)]
struct Said {
    v: u64,
    #[serde(default)]
    id: String,
    status: Option<u16>,
    http: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    timing_ms: Timing,
    error: Option<Wrong>,
    hello: Option<Greeting>,
}

#[derive(Deserialize, Default)]
struct Timing {
    first_byte: Option<f64>,
    total: Option<f64>,
}

/// What a program says of its own failure.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Wrong {
    #[serde(default)]
    pub(super) phase: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Greeting {
    #[serde(default)]
    version: String,
}

/// Reads the answer to the request `id`: what the program got, or its own failure.
///
/// # Errors
/// Why it is no answer.
pub(super) fn answered(output: &[u8], id: &str) -> Result<Result<Answered, Wrong>, String> {
    let mut version = String::new();
    let lines = output.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        let Ok(said) = serde_json::from_slice::<Said>(line) else {
            return Err(format!(
                "answered with something that is no answer: {}",
                quoted(line)
            ));
        };
        if said.v != VERSION {
            return Err(format!(
                "speaks version {} of the contract, not {VERSION}",
                said.v
            ));
        }
        if let Some(hello) = said.hello {
            version = hello.version;
            continue;
        }
        if said.id != id {
            return Err(format!("answered another request: {}", quoted(line)));
        }
        if let Some(wrong) = said.error {
            return Ok(Err(wrong));
        }
        let body = said.body.unwrap_or_default();
        let (Some(status), Ok(body)) = (said.status, STANDARD.decode(body)) else {
            return Err(format!(
                "answered with something that is no answer: {}",
                quoted(line)
            ));
        };
        let ms = |ms: Option<f64>| Duration::try_from_secs_f64(ms? / 1000.0).ok();
        let (first_byte, total) = (ms(said.timing_ms.first_byte), ms(said.timing_ms.total));
        return Ok(Ok(Answered {
            status,
            http: match said.http.as_deref() {
                Some("2") => HttpVersion::H2,
                Some("1.0") => HttpVersion::H1_0,
                _ => HttpVersion::H1_1,
            },
            headers: said
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect(),
            body,
            truncated: said.truncated,
            first_byte,
            transfer: total.and_then(|total| total.checked_sub(first_byte?)),
            version,
        }));
    }
    Err("ended without an answer".to_owned())
}

/// Reads the first line of a program that is kept; returns its version, which may be empty.
///
/// # Errors
/// Why it is no hello.
pub(super) fn greeted(line: &[u8]) -> Result<String, String> {
    let said = serde_json::from_slice::<Said>(line).ok();
    let Some(Said {
        v,
        hello: Some(hello),
        ..
    }) = said
    else {
        return Err(format!("said {} in place of a hello", quoted(line)));
    };
    if v != VERSION {
        return Err(format!("speaks version {v} of the contract, not {VERSION}"));
    }
    Ok(hello.version)
}

fn quoted(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text: String = text
        .chars()
        .filter(|c| !is_unsafe(*c))
        .take(QUOTED_MAX)
        .collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_nothing_else() {
        let read = |text: &str| answered(text.as_bytes(), "7");
        let said = r#"{"v":1,"id":"7","status":403,"http":"2","headers":[["Server","x"]],"body":"bm8=","timing_ms":{"first_byte":83.0,"total":95.5},"more":1}"#;
        let found = read(&format!(
            "{}\n{said}\n",
            r#"{"v":1,"hello":{"name":"java","version":"17.0.15"}}"#
        ));
        let found = found.unwrap().unwrap();
        assert_eq!((found.status, found.http), (403, HttpVersion::H2));
        assert_eq!(found.headers, [("server".to_owned(), "x".to_owned())]);
        assert_eq!((found.body, &*found.version), (b"no".to_vec(), "17.0.15"));
        assert_eq!(found.transfer, Some(Duration::from_micros(12_500)));
        let wrong = read(
            r#"{"v":1,"id":"7","error":{"phase":"tls","kind":"certificate","message":"PKIX"}}"#,
        );
        assert_eq!(wrong.unwrap().unwrap_err().message, "PKIX");
        for (text, expected) in [
            ("", "ended without an answer"),
            (
                "Exception in thread\u{1b}[1m\nx",
                "answered with something that is no answer: \"Exception in thread[1m\"",
            ),
            (
                r#"{"v":2,"id":"7","status":200}"#,
                "speaks version 2 of the contract, not 1",
            ),
            (
                r#"{"v":1,"id":"6","status":200}"#,
                "answered another request: \"{\\\"v\\\":1,\\\"id\\\":\\\"6\\\",\\\"status\\\":200}\"",
            ),
            (
                r#"{"v":1,"id":"7"}"#,
                "answered with something that is no answer: \"{\\\"v\\\":1,\\\"id\\\":\\\"7\\\"}\"",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }
}
