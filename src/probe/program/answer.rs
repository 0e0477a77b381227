//! An HTTP answer as a program hands it over.

use std::time::Duration;

use crate::domain::observation::HttpVersion;

/// What a program says that it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) http: HttpVersion,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
    pub(super) first_byte: Option<Duration>,
    pub(super) transfer: Option<Duration>,
    /// Whose answer it is, as it says; empty when it says nothing.
    pub(super) version: String,
}

/// Reads what stood on the wire: heads of interim answers, the head proper, the body; `None` when it is no HTTP.
pub(super) fn raw(output: &[u8]) -> Option<Answered> {
    let mut rest = output;
    loop {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.splitn(3, ' ');
        let http = match words.next()?.strip_prefix("HTTP/")? {
            "1.0" => HttpVersion::H1_0,
            "2" => HttpVersion::H2,
            _ => HttpVersion::H1_1,
        };
        let status: u16 = words.next()?.parse().ok()?;
        if (100..200).contains(&status) {
            continue;
        }
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        return Some(Answered {
            status,
            http,
            headers: headers.collect(),
            body: rest.to_vec(),
            truncated: false,
            first_byte: None,
            transfer: None,
            version: String::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_passed_over() {
        let output = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/2 403 \r\nServer: cloudflare\r\nX-A:\r\n\r\nno\r\n\r\n";
        let found = raw(output).unwrap();
        assert_eq!((found.status, found.http), (403, HttpVersion::H2));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found.headers,
            [header("server", "cloudflare"), header("x-a", "")]
        );
        assert_eq!(found.body, b"no\r\n\r\n");
        for output in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"<html>\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
        ] {
            assert_eq!(raw(output), None);
        }
    }
}
