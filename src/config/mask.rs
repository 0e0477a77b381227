//! Blanks secrets in lines of the file before they are shown.
//!
//! Two nets. The reader marks every literal that it meets where a secret belongs; and because a
//! misspelt key or broken YAML hides such a place from the reader, whatever looks like a secret on a
//! line that is shown is blanked as well. A word too much is no harm, a token too many is.

use crate::domain::shown::is_unsafe;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::yaml::Mark;

/// A stretch of the file that must not be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hidden {
    pub(super) start: Mark,
    /// Just behind; at `start` when only the beginning is known.
    pub(super) end: Mark,
}

/// Stands where a secret stood.
const BLANK: &str = "[secret]";
/// The longest line that is shown whole.
const WIDTH_MAX: usize = 160;

/// The first group, or the whole match, is the secret.
static LOOKS_SECRET: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // Slack tokens: https://docs.slack.dev/authentication/tokens (read 2026-11-22).
        r"\bx(?:ox[a-z]|app)-[\w.-]+",
        // User name and password of a URL.
        r"://([^/\s@]+)@",
        // Where the whole URL is the secret.
        r#"https?://[^\s"'/]*(?:webhook\.office\.com|outlook\.office\.com|logic\.azure\.com|powerplatform\.com|hooks\.slack\.com)[^\s"']*"#,
        // Dead-man's switches: healthchecks.io, Cronitor, Better Stack, and the paths that self-hosted ones use.
        r#"https?://[^\s"'/]*(?:hc-ping\.com|healthchecks\.io|cronitor\.link)[^\s"']*"#,
        r#"https?://[^\s"']*/(?:api/v1/heartbeat|api/push)/[^\s"']*"#,
        r#"[?&](?:sig|key|api_?key|token|access_token|password)=([^&\s"']+)"#,
        r"(?i)\b(?:Bearer|Basic)\s+([\w.~+/=-]+)",
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

/// A key that names a secret; what stands behind it is one unless `{` begins a reference.
static SECRET_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:password|passwd|passphrase|secret|token|webhook|api_?key|authorization|cookie)["']?\s*:\s*"#,
    )
    .ok()
});

/// The line at `at` as it may be shown, and where its character stands in it.
pub(super) fn show(line: &str, at: Mark, hidden: &[Hidden]) -> (String, u32) {
    let line = line.trim_end();
    let ranges = secrets(line, at, hidden);
    let target = byte_of(line, at.column);
    let mut shown = String::new();
    let mut caret = None;
    let mut at = 0;
    for range in ranges {
        push(&mut shown, &mut caret, &line[at..range.start], at, target);
        if caret.is_none() && target < range.end {
            caret = Some(shown.chars().count());
        }
        shown.push_str(BLANK);
        at = range.end;
    }
    push(&mut shown, &mut caret, &line[at..], at, target);
    let caret = caret.unwrap_or_else(|| shown.chars().count());
    crop(&shown, caret)
}

fn push(shown: &mut String, caret: &mut Option<usize>, text: &str, at: usize, target: usize) {
    for (offset, c) in text.char_indices() {
        if caret.is_none() && at + offset >= target {
            *caret = Some(shown.chars().count());
        }
        // A control character in the file must not reach somebody's terminal.
        shown.push(if is_unsafe(c) && c != '\t' {
            '\u{fffd}'
        } else {
            c
        });
    }
}

/// Byte ranges to blank, in order and apart from each other.
fn secrets(line: &str, at: Mark, hidden: &[Hidden]) -> Vec<Range<usize>> {
    let number = at.line;
    let mut ranges: Vec<Range<usize>> = hidden
        .iter()
        .filter(|h| h.start.file == at.file && h.start.line <= number && number <= h.end.line)
        .map(|h| {
            let start = if h.start.line == number {
                byte_of(line, h.start.column)
            } else {
                0
            };
            let end = if h.end == h.start {
                value_end(line, start)
            } else if h.end.line == number {
                byte_of(line, h.end.column)
            } else {
                line.len()
            };
            start..end
        })
        .collect();
    for regex in LOOKS_SECRET.iter() {
        for found in regex.captures_iter(line) {
            if let Some(found) = found.get(1).or_else(|| found.get(0)) {
                ranges.push(found.range());
            }
        }
    }
    for found in SECRET_KEY.iter().flat_map(|regex| regex.find_iter(line)) {
        if !line[found.end()..].starts_with(['{', '#']) {
            ranges.push(found.end()..value_end(line, found.end()));
        }
    }
    ranges.retain(|r| !r.is_empty());
    ranges.sort_by_key(|r| (r.start, r.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// Just behind the scalar that begins at `start`, as far as one line tells.
fn value_end(line: &str, start: usize) -> usize {
    let rest = &line[start..];
    for quote in ['"', '\''] {
        if let Some(inside) = rest.strip_prefix(quote) {
            let mut escaped = false;
            for (at, c) in inside.char_indices() {
                if !escaped && c == quote {
                    return start + at + 2;
                }
                escaped = quote == '"' && c == '\\' && !escaped;
            }
            return line.len();
        }
    }
    // Without quotes a "," or a bracket ends it inside brackets, and only there.
    let flow = line[..start].contains(['{', '[']);
    let end = if flow {
        rest.find([',', '}', ']'])
    } else {
        None
    };
    start + end.map_or(rest.len(), |at| rest[..at].trim_end().len())
}

fn byte_of(line: &str, column: u32) -> usize {
    line.char_indices()
        .nth(column.saturating_sub(1) as usize)
        .map_or(line.len(), |(at, _)| at)
}

/// Cuts a long line to a window around the caret; both count characters, the answer from 1.
fn crop(line: &str, caret: usize) -> (String, u32) {
    let length = line.chars().count();
    if length <= WIDTH_MAX {
        return (line.to_owned(), caret as u32 + 1);
    }
    let start = caret.saturating_sub(WIDTH_MAX / 2).min(length - WIDTH_MAX);
    let mut window: String = line.chars().skip(start).take(WIDTH_MAX).collect();
    let mut caret = caret - start;
    if start > 0 {
        window.insert_str(0, "… ");
        caret += 2;
    }
    if start + WIDTH_MAX < length {
        window.push_str(" …");
    }
    (window, caret as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(column: u32) -> Mark {
        Mark {
            file: 0,
            line: 1,
            column,
        }
    }

    #[test]
    fn blanks_what_looks_like_a_secret() {
        for (name, line, expected) in [
            ("a plain line", "  every: 30", "  every: 30"),
            ("a Slack token", "t: [xoxb-1-abc.d, 2]", "t: [[secret], 2]"),
            (
                "a proxy",
                "proxy: http://bob:pw@h:1",
                "proxy: http://[secret]@h:1",
            ),
            (
                "a reference",
                "password: { env: X }",
                "password: { env: X }",
            ),
            ("a literal", "pasword: hunter22", "pasword: hunter22"),
            (
                "a literal behind its key",
                "  password: hunter22",
                "  password: [secret]",
            ),
            ("a comma outside brackets", "token: a,b", "token: [secret]"),
            (
                "a comma inside brackets",
                "{ token: a b , x: \"y\" }",
                "{ token: [secret] , x: \"y\" }",
            ),
            (
                "quotes",
                "{ token: \"a, \\\"b}\", x: y }",
                "{ token: [secret], x: y }",
            ),
            ("an open quote", "token: 'a, b", "token: [secret]"),
            (
                "a header",
                "Authorization: Bearer abc",
                "Authorization: [secret]",
            ),
            (
                "a bearer anywhere",
                "X-A: Bearer abc.def",
                "X-A: Bearer [secret]",
            ),
            (
                "a webhook",
                "x: \"https://a.webhook.office.com/b?c\"",
                "x: \"[secret]\"",
            ),
        ] {
            assert_eq!(show(line, at(1), &[]).0, expected, "{name}");
        }
    }

    #[test]
    fn the_caret_follows_the_text() {
        let hidden = [Hidden {
            start: at(4),
            end: at(7),
        }];
        let (line, caret) = show("a: xyz, b", at(9), &hidden);
        assert_eq!((line.as_str(), caret), ("a: [secret], b", 14));
        let (line, caret) = show("a: xyz, b", at(5), &hidden);
        assert_eq!((line.as_str(), caret), ("a: [secret], b", 4));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let (shown, caret) = show(&line, at(501), &[]);
        assert_eq!(shown.chars().nth(caret as usize - 1), Some('!'));
        assert_eq!(shown.chars().count(), WIDTH_MAX + 4);
    }
}
