//! Reads a saved HTTP answer: raw bytes, or what `curl -i`, `-si`, `-iL`, `-v` and `-iv` print.
//!
//! Several header blocks may follow each other (100 Continue, a proxy's answer to CONNECT, redirects that
//! were followed): the last one is the answer. All bytes after its blank line are the body, because the
//! length that the headers tell is that of the wire, and curl has decoded it. Header lines that a tool
//! has folded or broken are taken as well as they go. What is not HTTP is named, with how to get one.

use std::io::Read;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::domain::observation::{Answer, Body, HttpVersion};

/// Largest file that is read.
pub const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Body bytes kept.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most header lines of a block.
const HEADERS_MAX: usize = 1_000;

const HOW: &str = "save one with `curl -si URL > FILE`";

/// Reads an answer.
///
/// # Errors
/// What was found in its place, and how to get an answer.
pub fn parse(bytes: &[u8]) -> Result<Answer, String> {
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(format!(
            "the file has {} MiB, at most {} are read",
            bytes.len() / 1024 / 1024,
            INPUT_BYTES_MAX / 1024 / 1024
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(format!("the file is empty; {HOW}"));
    }
    let start = skip_blank_lines(bytes);
    if is_status_line(start) {
        return read(start, false);
    }
    if let Some(start) = verbose_start(start) {
        return read(start, true);
    }
    Err(what_it_is(start))
}

fn read(bytes: &[u8], verbose: bool) -> Result<Answer, String> {
    let mut rest = bytes;
    let (head, body) = loop {
        let (head, after) = block(rest, verbose)?;
        let next = if verbose { skip_notes(after) } else { after };
        // A redirect's own body may stand before the next block only without -L, and then it is the answer.
        if starts_block(next, verbose) {
            rest = next;
        } else {
            break (head, after);
        }
    };
    let body = if verbose {
        without_notes(body)
    } else {
        body.to_vec()
    };
    Ok(Answer {
        http: head.http,
        status: head.status,
        body: decoded(&head.headers, body),
        headers: head.headers,
    })
}

struct Head {
    http: HttpVersion,
    status: u16,
    headers: Vec<(String, String)>,
}

/// Reads a header block; returns it and what follows its blank line.
fn block(bytes: &[u8], verbose: bool) -> Result<(Head, &[u8]), String> {
    let (first, mut rest) = line(bytes);
    let (http, status) = status_line(unprefixed(first, verbose))
        .ok_or_else(|| format!("the status line {} can't be read", shown(first)))?;
    let mut headers: Vec<(String, String)> = Vec::new();
    while !rest.is_empty() {
        let (raw, after) = line(rest);
        rest = after;
        if verbose && is_note(raw) {
            continue;
        }
        let text = unprefixed(raw, verbose);
        if text.trim_ascii().is_empty() {
            break;
        }
        if headers.len() >= HEADERS_MAX {
            return Err(format!(
                "the answer has more than {HEADERS_MAX} header lines"
            ));
        }
        header(text, &mut headers);
    }
    let head = Head {
        http,
        status,
        headers,
    };
    Ok((head, rest))
}

/// Adds one line; a folded one continues the line before (RFC 9112 section 5.2).
fn header(raw: &[u8], headers: &mut Vec<(String, String)>) {
    let text = String::from_utf8_lossy(raw);
    let folded = text.starts_with([' ', '\t']);
    let named = text.split_once(':').filter(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.bytes().all(is_token)
    });
    match (folded, named, headers.last_mut()) {
        (false, Some((name, value)), _) => {
            let name = name.trim_end().to_ascii_lowercase();
            headers.push((name, value.trim().to_owned()));
        }
        (true, _, Some((_, value))) => {
            value.push(' ');
            value.push_str(text.trim());
        }
        // Some tools join cookies of one name by line breaks.
        (false, None, Some((name, _))) if name == "set-cookie" => {
            let name = name.clone();
            headers.push((name, text.trim().to_owned()));
        }
        _ => {}
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn status_line(line: &[u8]) -> Option<(HttpVersion, u16)> {
    let text = std::str::from_utf8(line.get(..line.len().min(64))?)
        .ok()
        .or_else(|| std::str::from_utf8(line.get(..12)?).ok())?;
    let rest = text.strip_prefix("HTTP/")?;
    let mut words = rest.split_ascii_whitespace();
    let http = match words.next()? {
        "1.0" | "0.9" => HttpVersion::H1_0,
        "1.1" => HttpVersion::H1_1,
        // The observation's vocabulary has no HTTP/3, which is HTTP/2's semantics over QUIC.
        "2" | "2.0" | "3" | "3.0" => HttpVersion::H2,
        _ => return None,
    };
    let status = words.next()?;
    let status: u16 = (status.len() == 3).then(|| status.parse().ok())??;
    (100..=999).contains(&status).then_some((http, status))
}

fn is_status_line(bytes: &[u8]) -> bool {
    status_line(line(bytes).0).is_some()
}

fn starts_block(bytes: &[u8], verbose: bool) -> bool {
    let (first, rest) = line(bytes);
    if status_line(unprefixed(first, verbose)).is_none() {
        return false;
    }
    // A body may quote a status line: a real block goes on with headers or a blank line.
    let (second, _) = line(rest);
    let second = unprefixed(second, verbose);
    second.trim_ascii().is_empty()
        || second
            .iter()
            .position(|b| *b == b':')
            .is_some_and(|at| at > 0 && second[..at].iter().copied().all(is_token))
}

/// The first line without its end, and the rest.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|b| *b == b'\n') {
        Some(end) => {
            let line = &bytes[..end];
            (line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..])
        }
        None => (bytes, &[]),
    }
}

fn skip_blank_lines(mut bytes: &[u8]) -> &[u8] {
    loop {
        let (first, rest) = line(bytes);
        if rest.is_empty() || !first.trim_ascii().is_empty() {
            return bytes;
        }
        bytes = rest;
    }
}

/// The answer's first status line in the output of `curl -v`; `None` when it is none.
fn verbose_start(bytes: &[u8]) -> Option<&[u8]> {
    let (first, _) = line(bytes);
    let looks_verbose =
        is_note(first) || first.starts_with(b"< ") || first.starts_with(b"  % Total");
    if !looks_verbose {
        return None;
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let (text, after) = line(rest);
        if status_line(unprefixed(text, true)).is_some() {
            return Some(rest);
        }
        rest = after;
    }
    None
}

/// A line of curl's own: what it does (`*`), what it sent (`>`), byte counts (`{`, `}`), progress.
fn is_note(line: &[u8]) -> bool {
    let starts = |prefix: &[u8]| line.starts_with(prefix);
    starts(b"* ")
        || starts(b"> ")
        || line == b">"
        || starts(b"{ [")
        || starts(b"} [")
        || starts(b"  % Total")
        || starts(b"                                 Dload")
        || is_progress(line)
}

/// `100   123  100   123    0     0   1000      0 --:--:-- --:--:-- --:--:--  1000`
fn is_progress(line: &[u8]) -> bool {
    line.len() < 200
        && line.contains(&b':')
        && line
            .iter()
            .all(|b| b.is_ascii_digit() || b" :-.kMGT\r".contains(b))
        && line.windows(3).any(|w| w == b"--:" || w == b":--")
}

fn unprefixed(line: &[u8], verbose: bool) -> &[u8] {
    if verbose {
        let line = line.strip_prefix(b"<").unwrap_or(line);
        line.strip_prefix(b" ").unwrap_or(line)
    } else {
        line
    }
}

fn skip_notes(mut bytes: &[u8]) -> &[u8] {
    loop {
        let (first, rest) = line(bytes);
        let skipped = is_note(first) || first.trim_ascii().is_empty();
        if !skipped || bytes.is_empty() {
            return bytes;
        }
        bytes = rest;
    }
}

/// The body among curl's own lines.
fn without_notes(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (text, after) = line(rest);
        let whole = &rest[..rest.len() - after.len()];
        if !is_note(text) {
            // The note about the connection may follow a body that has no line break at its end.
            let at = text.windows(15).position(|w| w == b"* Connection #0");
            body.extend_from_slice(at.map_or(whole, |at| &whole[..at]));
        }
        rest = after;
    }
    body
}

/// Undoes what curl would have undone, where the bytes really are coded, and bounds the body.
fn decoded(headers: &[(String, String)], raw: Vec<u8>) -> Body {
    let says = |name: &str, word: &str| {
        headers
            .iter()
            .any(|(n, v)| n == name && v.to_ascii_lowercase().contains(word))
    };
    let wire_bytes = raw.len() as u64;
    let mut bytes = raw;
    if says("transfer-encoding", "chunked")
        && let Some(joined) = unchunked(&bytes)
    {
        bytes = joined;
    }
    let mut decode_error = None;
    let mut truncated = false;
    if bytes.starts_with(&[0x1f, 0x8b]) && says("content-encoding", "gzip") {
        let mut text = Vec::new();
        let limit = BODY_BYTES_MAX as u64 + 1;
        let reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        match reader.take(limit).read_to_end(&mut text) {
            Ok(_) => bytes = text,
            // The part that could be decoded is worth more than the coded whole.
            Err(_) if !text.is_empty() => {
                bytes = text;
                truncated = true;
            }
            Err(error) => decode_error = Some(format!("gzip: {error}")),
        }
    }
    if bytes.len() > BODY_BYTES_MAX {
        bytes.truncate(BODY_BYTES_MAX);
        truncated = true;
    }
    let sha256 = if bytes.is_empty() {
        String::new()
    } else {
        hex(&Sha256::digest(&bytes))
    };
    Body {
        bytes: Bytes::from(bytes),
        wire_bytes,
        truncated,
        sha256,
        decode_error,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Joins chunks (RFC 9112 section 7.1); `None` unless the whole is well formed to its end.
fn unchunked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let (size, after) = line(rest);
        let digits = size.split(|b| *b == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            return Some(joined);
        }
        joined.extend_from_slice(after.get(..size)?);
        let tail = after.get(size..)?;
        rest = tail
            .strip_prefix(b"\r\n")
            .or_else(|| tail.strip_prefix(b"\n"))?;
    }
}

/// Names what stands where an answer should.
fn what_it_is(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(bytes.get(..4096).unwrap_or(bytes)).into_owned();
    let text = head.trim_start();
    let lower = text.to_ascii_lowercase();
    let first = shown(line(bytes).0);
    let found =
        if text.starts_with('{') && lower.contains("\"log\"") && lower.contains("\"entries\"") {
            "a HAR file, of which no single answer can be taken".to_owned()
        } else if text.starts_with(['{', '[']) {
            "JSON without status line and headers".to_owned()
        } else if lower.starts_with("<!doctype html")
            || lower.starts_with("<html")
            || lower.starts_with("<head")
        {
            "an HTML page without status line and headers, which say most".to_owned()
        } else if text.starts_with('<') {
            "XML or HTML without status line and headers, which say most".to_owned()
        } else if lower.starts_with("curl:") {
            format!("an error of curl ({first})")
        } else if lower.starts_with("http/") {
            format!("a status line that can't be read ({first})")
        } else if is_request(text) {
            format!("an HTTP request ({first}), not its answer")
        } else if bytes.starts_with(&[0x1f, 0x8b]) || bytes.iter().take(64).any(|b| *b == 0) {
            "binary data".to_owned()
        } else if is_note(line(bytes).0) {
            "output of curl -v without an answer".to_owned()
        } else {
            format!("text that begins with {first}")
        };
    format!(
        "expected an HTTP answer that begins with a line such as \"HTTP/1.1 403 Forbidden\", found {found}; {HOW}"
    )
}

fn is_request(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let method = first.split(' ').next().unwrap_or_default();
    [
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT",
    ]
    .contains(&method)
        && first.contains("HTTP/")
}

/// The beginning of a line, safe to print.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let answer = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            (answer.status, seen.as_slice()),
            (status, headers),
            "{name}"
        );
        assert_eq!(String::from_utf8_lossy(&answer.body.bytes), body, "{name}");
    }

    #[test]
    fn answers() {
        check(
            "raw",
            "HTTP/1.1 403 Forbidden\r\nServer: a\r\nCF-RAY: 1\r\n\r\nbody\r\n\r\nmore",
            403,
            &[("server", "a"), ("cf-ray", "1")],
            "body\r\n\r\nmore",
        );
        check(
            "line feeds",
            "HTTP/2 200\nserver: a\n\nbody\n",
            200,
            &[("server", "a")],
            "body\n",
        );
        check(
            "no reason, HTTP/3",
            "HTTP/3 530 \nx: y\n\n",
            530,
            &[("x", "y")],
            "",
        );
        check(
            "headers alone",
            "HTTP/1.0 403 Forbidden\nA: b",
            403,
            &[("a", "b")],
            "",
        );
        check(
            "folded",
            "HTTP/1.1 200 OK\nA: b,\n  c\nD: e\n\n",
            200,
            &[("a", "b, c"), ("d", "e")],
            "",
        );
        check(
            "length is ignored",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nabcdef",
            200,
            &[("content-length", "2")],
            "abcdef",
        );
        check(
            "blank lines first",
            "\n\r\nHTTP/1.1 200 OK\n\nx",
            200,
            &[],
            "x",
        );
        check(
            "a mark of byte order",
            "\u{feff}HTTP/1.1 200 OK\n\nx",
            200,
            &[],
            "x",
        );
        check(
            "100 Continue",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 E\r\nA: b\r\n\r\nx",
            500,
            &[("a", "b")],
            "x",
        );
        check(
            "a proxy's CONNECT",
            "HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 403 \r\na: b\r\n\r\nx",
            403,
            &[("a", "b")],
            "x",
        );
        check(
            "redirects",
            "HTTP/1.1 301 M\nLocation: /a\n\nHTTP/1.1 302 F\nLocation: /b\n\nHTTP/1.1 200 OK\nA: b\n\nx",
            200,
            &[("a", "b")],
            "x",
        );
        check(
            "a body that quotes a status line",
            "HTTP/1.1 200 OK\nA: b\n\nHTTP/1.1 403 Forbidden is an answer\nnot a header",
            200,
            &[("a", "b")],
            "HTTP/1.1 403 Forbidden is an answer\nnot a header",
        );
        check(
            "cookies on lines of their own",
            "HTTP/2 401 U\nset-cookie: a=1; Path=/\nb=2; Expires=Mon, 06 Apr 2026 08:35:21 GMT\nx: y\n\n",
            401,
            &[
                ("set-cookie", "a=1; Path=/"),
                ("set-cookie", "b=2; Expires=Mon, 06 Apr 2026 08:35:21 GMT"),
                ("x", "y"),
            ],
            "",
        );
        check(
            "dirt between headers",
            "HTTP/1.1 403 F\nA: b\nerror code: 1003\n\nerror code: 1003",
            403,
            &[("a", "b")],
            "error code: 1003",
        );
        check(
            "chunks",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            200,
            &[("transfer-encoding", "chunked")],
            "abcde",
        );
        check(
            "chunked in name only",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3 little pigs",
            200,
            &[("transfer-encoding", "chunked")],
            "3 little pigs",
        );
    }

    #[test]
    fn curl_verbose() {
        let verbose = "* Host example.com:443 was resolved.\n* Connected to example.com\n> GET / HTTP/1.1\n> Host: example.com\n> \n* Request completely sent off\n< HTTP/1.1 302 Found\n< Location: /a\n< \n* Ignoring the response-body\n* Connection #0 to host example.com left intact\n> GET /a HTTP/1.1\n> \n< HTTP/1.1 403 Forbidden\n< Server: cloudflare\n< \n{ [16 bytes data]\nerror code: 1010* Connection #0 to host example.com left intact\n";
        check(
            "verbose",
            verbose,
            403,
            &[("server", "cloudflare")],
            "error code: 1010",
        );
        let piped = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n100    16  100    16    0     0    100      0 --:--:-- --:--:-- --:--:--   100\nHTTP/2 403 \nserver: a\n\nbody";
        check(
            "with a progress meter",
            piped,
            403,
            &[("server", "a")],
            "body",
        );
    }

    #[test]
    fn gzip_is_undone() {
        use std::io::Write as _;
        let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        coded.write_all(b"plain text").unwrap();
        let mut file = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
        file.extend(coded.finish().unwrap());
        let answer = parse(&file).unwrap();
        assert_eq!(&answer.body.bytes[..], b"plain text");
        assert_eq!(answer.body.sha256.len(), 64);
    }

    #[test]
    fn bombs_are_bounded() {
        use std::io::Write as _;
        let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        coded.write_all(&vec![b'a'; 20 * 1024 * 1024]).unwrap();
        let mut file = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
        file.extend(coded.finish().unwrap());
        let answer = parse(&file).unwrap();
        assert_eq!(answer.body.bytes.len(), BODY_BYTES_MAX);
        assert!(answer.body.truncated);
    }

    #[test]
    fn what_is_no_answer() {
        let refused = |text: &str, expected: &str| {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(error.contains("curl -si URL"), "{error}");
        };
        refused("", "the file is empty");
        refused(" \r\n\n", "the file is empty");
        refused(
            "<!DOCTYPE html><p>Just a moment...",
            "an HTML page without status line",
        );
        refused(
            "{\"log\":{\"version\":\"1.2\",\"entries\":[]}}",
            "a HAR file",
        );
        refused("{\"error\":1}", "JSON without");
        refused("<?xml version='1.0'?><a/>", "XML or HTML without");
        refused("curl: (28) Operation timed out", "an error of curl");
        refused("GET / HTTP/1.1\nHost: a\n\n", "an HTTP request");
        refused("HTTP/1.1 abc\n\n", "a status line that can't be read");
        refused("hello", "text that begins with \"hello\"");
        refused(
            "* Could not resolve host\n* Closing connection\n",
            "without an answer",
        );
        let huge = vec![b'a'; INPUT_BYTES_MAX + 1];
        assert!(parse(&huge).unwrap_err().contains("16 are read"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse(&bytes);
            let mut after = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n".to_vec();
            after.extend_from_slice(&bytes);
            let _ = parse(&after);
            let mut verbose = b"* x\n< HTTP/2 403\n".to_vec();
            verbose.extend_from_slice(&bytes);
            let _ = parse(&verbose);
        }
    }
}
