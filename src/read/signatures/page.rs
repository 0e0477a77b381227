//! An answer as the signatures see it: its form, its title, its text, and which markers it holds.
//!
//! Everything that costs is done once and only when asked for. All body markers are searched in one
//! pass (Aho-Corasick, any case), so that a hundred signatures cost no more than one. Bodies above a
//! bound are not searched at all: block and challenge pages are a few kilobytes, and what quotes them
//! (articles, tickets, documentation) is long.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use crate::domain::observation::Answer;
use crate::lang::entities::unescape;
use crate::read::content;

/// Longest error page that is searched. The longest seen is 41 KiB, a page saved from a browser.
const ERROR_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Longest page with a status below 400 that is searched; blocks and challenges with 200 are a few kilobytes.
const GOOD_PAGE_BYTES_MAX: usize = 32 * 1024;
/// Longest JSON or plain text that is searched: vendors' envelopes have a few hundred bytes.
const ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// The same with a status below 400, which few of them have.
const GOOD_ENVELOPE_BYTES_MAX: usize = 4 * 1024;
/// A title is looked for in this many bytes, whatever the size of the page.
const HEAD_BYTES: usize = 16 * 1024;
/// Visible text kept, in bytes.
const VISIBLE_BYTES_MAX: usize = 6 * 1024;

/// What a body is, by its declared type and its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Empty,
    Html,
    Xml,
    Json,
    Text,
    /// Scripts, images, archives: markers in them are quotations.
    Other,
}

/// An answer with what was found in it.
pub(crate) struct Page<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) form: Form,
    /// The root of what was sent, in UTF-8.
    content: Cow<'a, [u8]>,
    markers: &'static Markers,
    hits: Hits,
    title: OnceCell<Option<String>>,
    visible: OnceCell<String>,
    json: OnceCell<Option<serde_json::Value>>,
}

impl<'a> Page<'a> {
    pub(super) fn of(answer: &'a Answer, markers: &'static Markers) -> Self {
        let root = content::root(answer);
        let content = if root.bytes.len() <= ERROR_PAGE_BYTES_MAX {
            content::utf8(&root)
        } else {
            Cow::Borrowed(root.bytes)
        };
        let form = form(&content, &root.declared);
        let bytes_max = match form {
            Form::Empty | Form::Other => 0,
            Form::Json | Form::Text if answer.status >= 400 => ENVELOPE_BYTES_MAX,
            Form::Json | Form::Text => GOOD_ENVELOPE_BYTES_MAX,
            Form::Html | Form::Xml if answer.status >= 400 => ERROR_PAGE_BYTES_MAX,
            Form::Html | Form::Xml => GOOD_PAGE_BYTES_MAX,
        };
        let hits = if content.len() <= bytes_max {
            markers.search(&content)
        } else {
            Hits::default()
        };
        Self {
            answer,
            form,
            content,
            markers,
            hits,
            title: OnceCell::new(),
            visible: OnceCell::new(),
            json: OnceCell::new(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.answer.status
    }

    /// The message itself, in UTF-8 unless it is long: the root of a multipart body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.content
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.answer.header(name)
    }

    /// Whether any value of a header contains `part`, any case.
    pub(crate) fn header_has(&self, name: &str, part: &str) -> bool {
        self.answer
            .headers
            .iter()
            .any(|(n, v)| n == name && has(v, part))
    }

    /// Whether a cookie is set whose name begins with `prefix`, any case.
    pub(crate) fn sets_cookie(&self, prefix: &str) -> bool {
        self.answer
            .headers
            .iter()
            .filter(|(n, _)| n == "set-cookie")
            .any(|(_, v)| starts(v.trim_start(), prefix))
    }

    /// Whether the body holds a marker of the table.
    pub(crate) fn holds(&self, marker: u16) -> bool {
        self.hits.contains(marker)
    }

    /// Whether the body holds this literal, which must be one of the markers.
    pub(crate) fn has(&self, literal: &str) -> bool {
        // Hundreds of literals are asked for, and mostly none of them is there.
        if let Some(few) = self.hits.few() {
            return few.iter().any(|id| self.markers.is(*id, literal));
        }
        let id = self.markers.id(literal);
        id.is_some_and(|id| self.hits.contains(id))
    }

    /// Whether a `Server` value is an edge's or a filter's own name.
    pub(super) fn is_edges(&self, server: &str) -> bool {
        (self.markers.is_edges)(server)
    }

    /// The title, entities undone and white space collapsed; `None` without one.
    pub(crate) fn title(&self) -> Option<&str> {
        self.title
            .get_or_init(|| match self.form {
                Form::Html | Form::Xml => title(self.body()),
                _ => None,
            })
            .as_deref()
    }

    /// The text a reader would see: no markup, scripts or styles; white space collapsed; bounded.
    pub(crate) fn visible(&self) -> &str {
        self.visible.get_or_init(|| match self.form {
            Form::Html | Form::Xml => visible(self.body()),
            Form::Text | Form::Json => {
                let body = self.body();
                let kept = body.get(..VISIBLE_BYTES_MAX).unwrap_or(body);
                collapse(&String::from_utf8_lossy(kept))
            }
            Form::Empty | Form::Other => String::new(),
        })
    }

    /// The body as JSON, when it is a small document of that form.
    pub(crate) fn json(&self) -> Option<&serde_json::Value> {
        self.json
            .get_or_init(|| {
                (self.form == Form::Json && self.body().len() <= ENVELOPE_BYTES_MAX)
                    .then(|| serde_json::from_slice(self.body()).ok())
                    .flatten()
            })
            .as_ref()
    }
}

/// What the table knows: literals that are searched together, and names of edges.
pub(super) struct Markers {
    searcher: AhoCorasick,
    /// Whether a `Server` value is an edge's own name.
    is_edges: fn(&str) -> bool,
    literals: Vec<&'static str>,
    ids: HashMap<&'static str, u16>,
}

impl Markers {
    /// Of these literals, each once.
    pub(super) fn of(literals: &[&'static str], is_edges: fn(&str) -> bool) -> Self {
        let numbers = (0u16..).zip(literals);
        // 1.8 MiB of states for 237 literals, and 2.5 times as fast as the compact kind (2026-11).
        let searcher = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(literals)
            .expect("a few hundred short literals are far below the automaton's limits");
        Self {
            searcher,
            is_edges,
            literals: literals.to_vec(),
            ids: numbers.map(|(id, literal)| (*literal, id)).collect(),
        }
    }

    /// The number of a literal.
    pub(super) fn id(&self, literal: &str) -> Option<u16> {
        self.ids.get(literal).copied()
    }

    fn is(&self, id: u16, literal: &str) -> bool {
        self.literals.get(usize::from(id)) == Some(&literal)
    }

    fn search(&self, body: &[u8]) -> Hits {
        let mut hits = Hits::default();
        for found in self.searcher.find_overlapping_iter(body) {
            hits.insert(found.pattern().as_u32() as u16);
        }
        hits
    }
}

/// So many markers a page can hold at most.
pub(super) const MARKERS_MAX: usize = 1_024;

/// A set of marker numbers.
#[derive(Default)]
struct Hits {
    all: [u64; Hits::WORDS],
    /// The first of them, each once.
    first: [u16; Hits::FEW],
    count: usize,
}

impl Hits {
    const WORDS: usize = MARKERS_MAX / 64;
    const FEW: usize = 8;

    fn insert(&mut self, id: u16) {
        if self.contains(id) {
            return;
        }
        if let Some(word) = self.all.get_mut(usize::from(id) / 64) {
            *word |= 1 << (id % 64);
        }
        if let Some(place) = self.first.get_mut(self.count) {
            *place = id;
        }
        self.count += 1;
    }

    /// All of them, where they are few.
    fn few(&self) -> Option<&[u16]> {
        self.first.get(..self.count)
    }

    fn contains(&self, id: u16) -> bool {
        self.all
            .get(usize::from(id) / 64)
            .is_some_and(|word| word & (1 << (id % 64)) != 0)
    }
}

fn form(body: &[u8], declared: &str) -> Form {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Some(first) = start.iter().copied().find(|b| !b.is_ascii_whitespace()) else {
        return Form::Empty;
    };
    let is = |word: &str| has(declared, word);
    // The first character tells more than a declared type that is often a default.
    if is("html") || is("xml") || is("json") || declared.is_empty() {
        return match first {
            b'<' if is("html") || looks_html(start) => Form::Html,
            b'<' => Form::Xml,
            b'{' | b'[' => Form::Json,
            _ if is("html") => Form::Html,
            _ => Form::Text,
        };
    }
    if is("javascript") || is("css") {
        return Form::Other;
    }
    if is("text/") {
        return Form::Text;
    }
    Form::Other
}

fn looks_html(body: &[u8]) -> bool {
    let head = String::from_utf8_lossy(body.get(..512).unwrap_or(body)).to_ascii_lowercase();
    [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<title",
        "<h1",
        "<h2",
        "<script",
    ]
    .iter()
    .any(|tag| head.contains(tag))
}

fn title(body: &[u8]) -> Option<String> {
    static TITLE: LazyLock<regex::bytes::Regex> =
        LazyLock::new(|| bytes_pattern(r"(?is-u)<title[^>]{0,200}>(.{0,400}?)</title"));
    let head = body.get(..HEAD_BYTES).unwrap_or(body);
    let found = TITLE.captures(head)?.get(1)?;
    let text = collapse(&unescape(&String::from_utf8_lossy(found.as_bytes())));
    (!text.is_empty()).then_some(text)
}

/// Markup taken away by one forward scan, so that no input makes it slow.
fn visible(body: &[u8]) -> String {
    let mut text = Vec::with_capacity(1024);
    let mut rest = body.get(..ERROR_PAGE_BYTES_MAX).unwrap_or(body);
    while let Some(at) = rest.iter().position(|b| *b == b'<') {
        let (before, tag) = rest.split_at(at);
        text.extend_from_slice(before);
        text.push(b' ');
        if text.len() > VISIBLE_BYTES_MAX {
            break;
        }
        let closed_by: &[u8] = match tag {
            _ if tag.starts_with(b"<!--") => b"-->",
            _ if named(tag, b"script") => b"</script",
            _ if named(tag, b"style") => b"</style",
            _ => b">",
        };
        // From the second byte on: the tag itself must not close it.
        rest = match find_any_case(tag.get(1..).unwrap_or_default(), closed_by) {
            Some(end) => {
                let after = tag.get(1 + end + closed_by.len()..).unwrap_or_default();
                if closed_by.starts_with(b"</") {
                    let close = after.iter().position(|b| *b == b'>');
                    close.map_or(&[][..], |c| after.get(c + 1..).unwrap_or_default())
                } else {
                    after
                }
            }
            None => &[],
        };
    }
    text.extend_from_slice(rest);
    text.truncate(VISIBLE_BYTES_MAX);
    collapse(&unescape(&String::from_utf8_lossy(&text)))
}

fn named(tag: &[u8], name: &[u8]) -> bool {
    tag.get(1..=name.len())
        .is_some_and(|n| n.eq_ignore_ascii_case(name))
}

fn find_any_case(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = part.first()?.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|b| b.to_ascii_lowercase() == first)?;
        if text.get(at..at + part.len())?.eq_ignore_ascii_case(part) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn collapse(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

/// Whether `text` contains `part`, which is ASCII, in any case.
pub(crate) fn has(text: &str, part: &str) -> bool {
    part.is_empty() || find_any_case(text.as_bytes(), part.as_bytes()).is_some()
}

/// Whether `text` starts with `prefix` in any case.
pub(crate) fn starts(text: &str, prefix: &str) -> bool {
    text.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// A pattern of our own source.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("patterns are constants that the tests build")
}

/// A byte pattern of our own source.
pub(crate) fn bytes_pattern(text: &str) -> regex::bytes::Regex {
    regex::bytes::Regex::new(text).expect("patterns are constants that the tests build")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::observation::{Body, HttpVersion};

    /// An answer as the tests of this directory write it.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        Answer {
            http: HttpVersion::H1_1,
            status,
            headers: headers
                .iter()
                .map(|(n, v)| (n.to_ascii_lowercase(), (*v).to_owned()))
                .collect(),
            body: Body {
                bytes: body.as_bytes().to_vec().into(),
                ..Body::default()
            },
        }
    }

    #[test]
    fn forms() {
        let check = |name: &str, content_type: &str, body: &str, expected| {
            let headers = [("content-type", content_type)];
            let declared = if content_type.is_empty() {
                &[][..]
            } else {
                &headers[..]
            };
            let answer = answer(200, declared, body);
            assert_eq!(Page::new(&answer).form, expected, "{name}");
        };
        check("nothing", "text/html", " \r\n", Form::Empty);
        check("a page", "text/html; charset=utf-8", "<p>x", Form::Html);
        check(
            "a page declared JSON",
            "application/json",
            "<html>",
            Form::Html,
        );
        check("JSON declared a page", "text/html", "{\"a\":1}", Form::Json);
        check("undeclared page", "", "\n<!DOCTYPE html>", Form::Html);
        check("undeclared XML", "", "<?xml version='1.0'?><a/>", Form::Xml);
        check(
            "markup as plain text is a sample",
            "text/plain",
            "<html>",
            Form::Text,
        );
        check(
            "script",
            "text/javascript",
            "window._cf_chl_opt",
            Form::Other,
        );
        check("image", "image/png", "\u{1}PNG", Form::Other);
        check("byte order mark", "text/html", "\u{feff}<html>", Form::Html);
    }

    #[test]
    fn titles_and_text() {
        let page = answer(
            403,
            &[("content-type", "text/html")],
            "<HTML><TITLE a>\n Tom &amp; J&#39;s\t</TITLE><style>p{}</style><!-- <b>no</b> --><p>One<br>two<script>if(a<b){}</script > three",
        );
        let page = Page::new(&page);
        assert_eq!(page.title(), Some("Tom & J's"));
        assert_eq!(page.visible(), "Tom & J's One two three");
    }
}
