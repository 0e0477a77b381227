//! How alike two requests look from outside: what an edge could tell them apart by.
//!
//! What belongs to the request and not to the program that sends it is left out: path, host, length of the body,
//! and what holds secrets.

use std::fmt::Write as _;

/// Lines of a captured head; a real one has a dozen.
const LINES_MAX: usize = 300;

/// What stands in a request line and headers, and beneath them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Fingerprint of the TLS hello; `None`: without TLS, or not known.
    pub ja4: Option<String>,
    /// First flight of HTTP/2; `None`: HTTP/1, or not known.
    pub h2: Option<String>,
    pub method: String,
    /// Like `HTTP/1.1`.
    pub version: String,
    /// As they stand on the wire.
    pub headers: Vec<(String, String)>,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Each in a sentence; empty: the same.
    pub differences: Vec<String>,
    /// What could not be compared.
    pub open: Vec<String>,
}

impl Look {
    /// Reads a head as it was captured: request line, headers; before them lines like `# ja4: t13d…` and `# h2: …`.
    ///
    /// # Errors
    /// A sentence with the line that can't be read; no value is quoted, since it may be a secret.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut look = Self::default();
        let mut begun = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if number > LINES_MAX {
                return Err(format!("line {number}: a head has fewer lines"));
            }
            // `curl -v` shows what it sends like that; blanks at the end of a value count.
            let line = line.strip_prefix("> ").unwrap_or(line);
            let line = if line == ">" { "" } else { line };
            if !begun {
                if let Some(note) = line.strip_prefix('#') {
                    let (name, value) = note.split_once(':').unwrap_or((note, ""));
                    let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
                    match name.trim() {
                        "ja4" => look.ja4 = value,
                        "h2" => look.h2 = value,
                        _ => {}
                    }
                    continue;
                }
                if line.trim().is_empty() {
                    continue;
                }
                let words: Vec<&str> = line.split_whitespace().collect();
                let [method, .., version] = words.as_slice() else {
                    return Err(format!("line {number}: {NO_HEAD}"));
                };
                if !version.starts_with("HTTP/") {
                    return Err(format!("line {number}: {NO_HEAD}"));
                }
                (*method).clone_into(&mut look.method);
                (*version).clone_into(&mut look.version);
                begun = true;
                continue;
            }
            if line.is_empty() {
                break;
            }
            look.headers
                .push(header(line).ok_or(format!("line {number}: no header, which has a colon"))?);
        }
        if begun {
            Ok(look)
        } else {
            Err(format!("it is empty; {NO_HEAD}"))
        }
    }

    /// The same of lines that were noted.
    #[must_use]
    pub fn of(head: &[String], ja4: Option<String>, h2: Option<String>) -> Self {
        let (first, rest) = match head.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => ("", head),
        };
        let mut words = first.split(' ');
        Self {
            ja4,
            h2,
            method: words.next().unwrap_or_default().to_owned(),
            version: words.next_back().unwrap_or_default().to_owned(),
            headers: rest.iter().filter_map(|line| header(line)).collect(),
        }
    }

    /// What tells this request from `other`, which messages call `them`.
    #[must_use]
    pub fn compare(&self, other: &Self, them: &str) -> Comparison {
        let (mut differences, mut open) = (Vec::new(), Vec::new());
        for (what, ours, theirs) in [
            ("TLS fingerprint", &self.ja4, &other.ja4),
            ("first flight of HTTP/2", &self.h2, &other.h2),
        ] {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours != theirs => {
                    differences.push(format!("{what}: {ours} here, {theirs} {them}"));
                }
                (Some(_), None) => open.push(format!("{what}: not known {them}")),
                (None, Some(_)) => open.push(format!("{what}: none here")),
                _ => {}
            }
        }
        for (what, ours, theirs) in [
            ("method", &self.method, &other.method),
            ("version", &self.version, &other.version),
        ] {
            if ours != theirs {
                differences.push(format!("{what}: {ours} here, {theirs} {them}"));
            }
        }
        self.compare_headers(other, them, &mut differences);
        Comparison { differences, open }
    }

    fn compare_headers(&self, other: &Self, them: &str, differences: &mut Vec<String>) {
        let named = |list: &[(String, String)], wanted: &str| {
            let mut list = list.iter();
            list.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .cloned()
        };
        for (name, value) in &self.headers {
            match named(&other.headers, name) {
                None => differences.push(format!("{}: not sent {them}", shown(name, value))),
                Some((theirs, _)) if theirs != *name => {
                    differences.push(format!("{name}: written {theirs} {them}"));
                }
                Some((_, theirs)) if theirs != *value && !is_its_own(name) => differences.push(
                    format!("{}: {theirs:?} {them}", shown(name, &format!("{value:?}"))),
                ),
                Some(_) => {}
            }
        }
        for (name, value) in &other.headers {
            if named(&self.headers, name).is_none() {
                differences.push(format!("{}: only {them}", shown(name, value)));
            }
        }
        let common = |one: &Self, two: &Self| {
            let names = one.headers.iter().map(|(name, _)| name);
            let both = names.filter(|name| named(&two.headers, name).is_some());
            let names: Vec<String> = both.map(|name| name.to_ascii_lowercase()).collect();
            names
        };
        let (ours, theirs) = (common(self, other), common(other, self));
        if ours != theirs {
            differences.push(format!(
                "order: {} here, {} {them}",
                ours.join(", "),
                theirs.join(", ")
            ));
        }
    }
}

const NO_HEAD: &str = "the head of a request begins like \"GET /path HTTP/1.1\"";

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let value = value.strip_prefix(' ').unwrap_or(value);
    Some((name.to_owned(), value.to_owned()))
}

/// Whether its value belongs to the request, not to the program.
fn is_its_own(name: &str) -> bool {
    is_secret(name)
        || ["host", "content-length"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.contains("auth")
        || lower.contains("cookie")
        || lower.contains("key")
        || lower.contains("token")
}

/// A header as a message names it, without what may be a secret.
fn shown(name: &str, value: &str) -> String {
    let mut text = name.to_owned();
    if !is_its_own(name) {
        // Writing to a string can't fail.
        let _ = write!(text, ": {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &str = "# ja4: t13d371200_db35923f8641_7c76daad20ec\n# JDK 17\nGET /ws HTTP/1.1\r\nUser-Agent: Java/17.0.15\r\n\
                        Host: partner.example\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\nbody: of no interest";

    fn look(text: &str) -> Look {
        Look::read(text).unwrap()
    }

    #[test]
    fn a_captured_head_is_read() {
        let java = look(JAVA);
        assert_eq!(
            java.ja4.as_deref(),
            Some("t13d371200_db35923f8641_7c76daad20ec")
        );
        assert_eq!((&*java.method, &*java.version), ("GET", "HTTP/1.1"));
        let names: Vec<&str> = java.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["User-Agent", "Host", "Accept", "Connection"]);
        let curl = look("> GET /ws HTTP/1.1\n> Host: a.example\n> X-Blank:  two \n>\n");
        assert_eq!(curl.headers[1], ("X-Blank".to_owned(), " two ".to_owned()));
        for (text, expected) in [
            (
                "",
                "it is empty; the head of a request begins like \"GET /path HTTP/1.1\"",
            ),
            (
                "Host: a",
                "line 1: the head of a request begins like \"GET /path HTTP/1.1\"",
            ),
            (
                "GET / HTTP/1.1\nsecret",
                "line 2: no header, which has a colon",
            ),
        ] {
            assert_eq!(Look::read(text).unwrap_err(), expected);
        }
        let many = format!("GET / HTTP/1.1\n{}", "a: b\n".repeat(LINES_MAX));
        assert_eq!(
            Look::read(&many).unwrap_err(),
            "line 301: a head has fewer lines"
        );
    }

    #[test]
    fn what_tells_two_requests_apart_is_named() {
        let java = look(JAVA);
        let check = |ours: &str, expected: &[&str], open: &[&str]| {
            let found = look(ours).compare(&java, "in the file");
            assert_eq!(found.differences, expected, "{ours}");
            assert_eq!(found.open, open, "{ours}");
        };
        check(JAVA, &[], &[]);
        check(
            &JAVA
                .replace("/ws", "/other")
                .replace("partner.example", "a"),
            &[],
            &[],
        );
        check(
            &JAVA.replace("# ja4:", "#"),
            &[],
            &["TLS fingerprint: none here"],
        );
        check(
            "# ja4: t13d1010h1_a_b\nPOST / HTTP/2\nhost: a\nUser-Agent: Java/17.0.15 \nDNT: 1\nAuthorization: hunter2\n",
            &[
                "TLS fingerprint: t13d1010h1_a_b here, t13d371200_db35923f8641_7c76daad20ec in the file",
                "method: POST here, GET in the file",
                "version: HTTP/2 here, HTTP/1.1 in the file",
                "host: written Host in the file",
                "User-Agent: \"Java/17.0.15 \": \"Java/17.0.15\" in the file",
                "DNT: 1: not sent in the file",
                "Authorization: not sent in the file",
                "Accept: */*: only in the file",
                "Connection: keep-alive: only in the file",
                "order: host, user-agent here, user-agent, host in the file",
            ],
            &[],
        );
    }

    #[test]
    fn a_head_that_was_noted_is_the_same_as_one_that_was_captured() {
        let lines = ["GET /ws HTTP/1.1", "Host: a", "X-A:  b "].map(str::to_owned);
        let noted = Look::of(&lines, None, None);
        let captured = look("GET /ws HTTP/1.1\nHost: b\nX-A:  b ");
        assert_eq!(noted.compare(&captured, "there").differences, [""; 0]);
        assert_eq!(noted.headers[1].1, " b ");
    }
}
