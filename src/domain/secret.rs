//! Values that must never be printed: tokens, passwords, webhook URLs; and how they are taken out of a text.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};

use super::decoding::{self, Wanted};

/// A text that prints as `[secret]`, whatever asks for it.
///
/// The bytes are wiped from memory when the last copy is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends it to whom it belongs.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The key that it holds in base64, perhaps behind `whsec_`; `None` when it does not.
    ///
    /// 24 to 64 bytes, as Standard Webhooks asks
    /// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, 2026-11-22).
    #[must_use]
    pub fn signing_key(&self) -> Option<Vec<u8>> {
        let text = self.expose().trim();
        let text = text.strip_prefix("whsec_").unwrap_or(text);
        let key = STANDARD.decode(text).ok()?;
        (24..=64).contains(&key.len()).then_some(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Two secrets are equal when their texts are; needed to tell whether a reload changed one.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

/// Secrets in whatever spelling they come back, to be taken out of what comes from outside.
///
/// A page that echoes the password, a redirect that carries it in its query, a header shown in JSON: none of it may
/// be kept or shown. The text is decoded to see what it says. Secrets shorter than four
/// characters are left, because they would blot out ordinary words. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Search>>);

struct Search {
    plain: Vec<Secret>,
    words: AhoCorasick,
    /// Length of the shortest word, bytes.
    shortest: usize,
    /// Texts that are shown even where they hold a secret.
    spared: Option<AhoCorasick>,
}

const BLANK: &str = "[secret]";

/// Shorter secrets are words of their own, bytes.
const SECRET_MIN: usize = 4;

impl Secrets {
    #[must_use]
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let plain: Vec<Secret> = secrets.into_iter().collect();
        let all = plain.iter().flat_map(|secret| words(secret.expose()));
        let all: BTreeSet<Vec<u8>> = all.filter(|word| word.len() >= SECRET_MIN).collect();
        let Some(shortest) = all.iter().map(Vec::len).min() else {
            return Self(None);
        };
        // The longest first, so that no tail of one that begins like another is left standing.
        let words = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&all);
        // Texts of a file that is bounded are never too many for it.
        Self(words.ok().map(|words| {
            Arc::new(Search {
                plain,
                words,
                shortest,
                spared: None,
            })
        }))
    }

    /// The same, but what stands within one of these texts stays: names and addresses that everybody may read, and
    /// that say nothing any more with a hole in them.
    #[must_use]
    pub fn sparing(self, open: &[String]) -> Self {
        let Some(search) = self.0.as_deref().filter(|_| !open.is_empty()) else {
            return self;
        };
        let spared = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(open);
        Self(Some(Arc::new(Search {
            plain: search.plain.clone(),
            words: search.words.clone(),
            shortest: search.shortest,
            spared: spared.ok(),
        })))
    }

    /// Whether one of them stands in the text as it is.
    #[must_use]
    pub fn are_in(&self, text: &str) -> bool {
        let search = self.0.as_deref();
        search.is_some_and(|search| search.words.is_match(text))
    }

    /// Whether the text is one of them, and nothing else.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let search = self.0.as_deref();
        search.is_some_and(|search| search.plain.iter().any(|secret| secret.expose() == text))
    }

    /// Masks a body of any charset; a secret is looked for in UTF-8 and Latin 1.
    #[must_use]
    pub fn mask_bytes(&self, bytes: Bytes) -> Bytes {
        let places = self.places(&bytes);
        if places.is_empty() {
            return bytes;
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for place in places {
            masked.extend_from_slice(&bytes[from..place.start]);
            masked.extend_from_slice(BLANK.as_bytes());
            from = place.end;
        }
        masked.extend_from_slice(&bytes[from..]);
        Bytes::from(masked)
    }

    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        self.0.as_deref().map_or_else(Vec::new, |search| {
            let (words, shortest) = (&search.words, search.shortest);
            let mut places = decoding::places(text, &Wanted { words, shortest });
            if let Some(spared) = search.spared.as_ref().filter(|_| !places.is_empty()) {
                let open: Vec<_> = spared.find_iter(text).map(|found| found.range()).collect();
                let within = |place: &Range<usize>| {
                    let mut open = open.iter();
                    open.any(|open| open.start <= place.start && place.end <= open.end)
                };
                places.retain(|place| !within(place));
            }
            places
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

/// Replaces every occurrence of the secrets in `text`, in any spelling, by `[secret]`.
#[must_use]
pub fn mask(text: &str, secrets: &Secrets) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for place in secrets.places(text.as_bytes()) {
        let start = boundary(text, place.start, |at| at - 1).max(from);
        masked.push_str(&text[from..start]);
        masked.push_str(BLANK);
        from = boundary(text, place.end, |at| at + 1).max(start);
    }
    masked.push_str(&text[from..]);
    masked
}

/// The nearest place between two characters, one way.
fn boundary(text: &str, mut at: usize, next: impl Fn(usize) -> usize) -> usize {
    while !text.is_char_boundary(at) {
        at = next(at);
    }
    at
}

/// A secret as it is, as a form writes its blanks, and in Latin 1.
fn words(plain: &str) -> Vec<Vec<u8>> {
    let mut all = vec![
        plain.as_bytes().to_vec(),
        plain.replace(' ', "+").into_bytes(),
    ];
    let latin: Option<Vec<u8>> = plain
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    all.extend(latin);
    all
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::of(texts.iter().map(|text| Secret::new(*text)))
    }

    #[test]
    fn prints_nothing_of_itself() {
        let secret = Secret::new("hunter22");
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
    }

    #[test]
    fn names_and_addresses_are_never_cut() {
        let open = [
            "https://api.acme.example/health/hunter/acme",
            "/health/hunter/acme",
            "api.acme.example",
            "acme-probe",
        ];
        let secrets = secrets(&["acme", "hunter"]).sparing(&open.map(ToOwned::to_owned));
        for (text, expected) in [
            (
                "GET https://api.acme.example/health/hunter/acme HTTP/1.1",
                "GET https://api.acme.example/health/hunter/acme HTTP/1.1",
            ),
            (
                "acme-probe at api.acme.example",
                "acme-probe at api.acme.example",
            ),
            (
                "user acme, password hunter",
                "user [secret], password [secret]",
            ),
            (
                "/health/hunter/acme?as=acme",
                "/health/hunter/acme?as=[secret]",
            ),
        ] {
            assert_eq!(mask(text, &secrets), expected);
        }
        // A name that is the secret itself is a name all the same.
        let named = Secrets::of([Secret::new("acme")]).sparing(&["acme".to_owned()]);
        assert_eq!(mask("acme", &named), "acme");
    }

    #[test]
    fn a_secret_that_begins_like_another_leaves_no_tail() {
        let secrets = secrets(&["hunter", "hunter-2021"]);
        assert_eq!(
            mask("x hunter-2021 hunter", &secrets),
            "x [secret] [secret]"
        );
    }

    #[test]
    fn a_signing_key_is_base64_of_at_least_24_bytes() {
        for (text, bytes) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(24)),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(24)),
            (" MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", Some(24)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=", None),
            ("correct horse battery staple", None),
            ("whsec_", None),
        ] {
            let key = Secret::new(text).signing_key();
            assert_eq!(key.map(|key| key.len()), bytes, "{text}");
        }
    }

    #[test]
    fn masks_every_occurrence() {
        let secrets = secrets(&["hunter22", "ab"]);
        assert_eq!(
            mask("ab hunter22 hunter22", &secrets),
            "ab [secret] [secret]"
        );
    }

    #[test]
    fn masks_every_spelling() {
        let secrets = secrets(&["p&ss \"wörd\"/!"]);
        let check = |text: &str, expected: &str| assert_eq!(mask(text, &secrets), expected);
        check("as it is: p&ss \"wörd\"/!.", "as it is: [secret].");
        check("?p=p%26ss+%22w%C3%B6rd%22%2F%21&x", "?p=[secret]&x");
        check("?p=p%26ss%20%22w%c3%b6rd%22%2f%21&x", "?p=[secret]&x");
        check("?p=p%26ss%20%22w%C3%B6rd%22%2F!&x", "?p=[secret]&x");
        check("<p>p&amp;ss \"wörd\"/!</p>", "<p>[secret]</p>");
        check("<p>p&amp;ss &quot;wörd&quot;/!</p>", "<p>[secret]</p>");
        check(r#"{"p":"p&ss \"wörd\"/!"}"#, r#"{"p":"[secret]"}"#);
        check(r#"{"p":"p&ss \"w\u00f6rd\"/!"}"#, r#"{"p":"[secret]"}"#);
        check(r#"{"p":"p&ss \"wörd\"\/!"}"#, r#"{"p":"[secret]"}"#);
        // What no list of spellings has: some escapes and not others, two layers, old scripts, Latin 1.
        check("p&#38;ss&#x20;\"w&ouml;rd&quot/!.", "[secret].");
        check(
            "?u=%253Fp%253Dp%2526ss%2B%2522w%25C3%25B6rd%2522/!&x",
            "?u=%253Fp%253D[secret]&x",
        );
        check("p%26ss%20%22w%F6rd%22/!", "[secret]");
        check("p%u0026ss \\x22w\\u{f6}rd\"/!", "[secret]");
        check(
            "{\"a\":\"{\\\"p\\\":\\\"p&ss \\\\\\\"wörd\\\\\\\"/!\\\"}\"}",
            "{\"a\":\"{\\\"p\\\":\\\"[secret]\\\"}\"}",
        );
    }

    #[test]
    fn masks_a_login_in_base64() {
        let secrets = secrets(&["hunter22-secret"]);
        for user in ["a", "ab", "abc", "abcd"] {
            let login = STANDARD.encode(format!("{user}:hunter22-secret"));
            let masked = mask(&format!("Basic {login}"), &secrets);
            // What is left are characters that hold bits of a neighbour.
            assert!(masked.contains("[secret]"), "{masked}");
            assert!(
                masked.len() < "Basic [secret]".len() + user.len() * 2 + 6,
                "{masked}"
            );
        }
    }

    #[test]
    fn masks_base64_behind_a_path_and_over_lines() {
        let secrets = secrets(&["hunter22-secret"]);
        let long = STANDARD.encode(format!(
            "{}hunter22-secret{}",
            "x".repeat(40),
            "y".repeat(60)
        ));
        let broken: Vec<&str> = [&long[..76], &long[76..]].to_vec();
        assert!(mask(&broken.join("\r\n"), &secrets).contains("[secret]"));
        let path = format!("/v1/token/{}", STANDARD.encode("hunter22-secret"));
        assert!(mask(&path, &secrets).contains("[secret]"));
        let twice = STANDARD.encode(STANDARD.encode("bob:hunter22-secret"));
        assert!(mask(&twice, &secrets).contains("[secret]"));
    }

    #[test]
    fn masks_bodies_of_any_charset() {
        let secrets = secrets(&["hunter22"]);
        let check = |body: &'static [u8], expected: &[u8]| {
            assert_eq!(secrets.mask_bytes(Bytes::from_static(body)), expected);
        };
        check(b"you sent hunter22", b"you sent [secret]");
        check(b"\xe9t\xe9 hunter22 \xff", b"\xe9t\xe9 [secret] \xff");
        check(b"nothing \xe9", b"nothing \xe9");
    }

    /// Writes each character that `escapes` names by `write`, the others as they stand.
    fn each(
        text: &str,
        escapes: impl Fn(char) -> bool,
        write: impl Fn(char, &mut String) -> std::fmt::Result,
    ) -> String {
        text.chars().fold(String::new(), |mut all, c| {
            if escapes(c) {
                write(c, &mut all).unwrap();
            } else {
                all.push(c);
            }
            all
        })
    }

    fn percent(c: char, all: &mut String) -> std::fmt::Result {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes);
        bytes.bytes().try_for_each(|b| write!(all, "%{b:02X}"))
    }

    /// One way to write each character of a text; `whole` escapes all of them, else only what has to be.
    fn encoded(text: &str, how: usize, whole: bool) -> String {
        let escapes = |c: char| whole || !c.is_ascii_alphanumeric();
        match how {
            0 => each(text, escapes, percent),
            // As `encodeURI` does: marks and "/" stand as they are.
            1 => each(text, |c| escapes(c) && !"/!~*'()-_.".contains(c), percent)
                .split('%')
                .enumerate()
                .map(|(place, part)| match place {
                    0 => part.to_owned(),
                    _ => format!("%{}{}", part[..2].to_lowercase(), &part[2..]),
                })
                .collect::<Vec<_>>()
                .concat(),
            2 => each(text, escapes, |c, all| write!(all, "&#{};", u32::from(c))),
            3 => each(text, escapes, |c, all| {
                write!(all, "&#x{:X};", u32::from(c))
            }),
            4 => text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&quot;")
                .replace('\'', "&apos;"),
            5 => each(text, escapes, |c, all| {
                let mut units = [0; 2];
                let units = c.encode_utf16(&mut units);
                units
                    .iter()
                    .try_for_each(|unit| write!(all, "\\u{unit:04x}"))
            }),
            6 => {
                let json = serde_json::to_string(text).unwrap();
                json[1..json.len() - 1].replace('/', "\\/")
            }
            7 => STANDARD.encode(text),
            8 => base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text),
            9 => STANDARD.encode(format!("user:{text}")),
            _ => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        }
    }

    proptest! {
        /// In whatever two encodings, in whatever surroundings: nothing of it is left that could be decoded.
        #[test]
        fn no_encoding_hides_a_secret(
            secret in "[a-zA-Z0-9!\"#$%&'()*+,./:;<=>?@^_{|}~äß€-][a-zA-Z0-9 !\"#$%&'()*+,./:;<=>?@^_{|}~äß€-]{6,22}[a-zA-Z0-9!#?ß]",
            inner in 0_usize..11,
            outer in proptest::option::of(0_usize..11),
            whole: bool,
            before in "[a-zA-Z <>?/]{0,12}[ =:]",
            after in "[ ,;\n][ -~]{0,12}",
        ) {
            let written = encoded(&secret, inner, whole);
            let written = outer.map_or(written.clone(), |outer| encoded(&written, outer, whole));
            let secrets = secrets(&[&secret]);
            let text = format!("{before}{written}{after}");
            let masked = mask(&text, &secrets);
            prop_assert!(masked.contains("[secret]"), "{text} -> {masked}");
            // What is left of it are characters that also held bits of what stood beside it.
            let most = before.len() + after.len() + "[secret]".len() + 64;
            prop_assert!(masked.len() <= most, "{text} -> {masked}");
            prop_assert_eq!(mask(&masked, &secrets), masked.clone());
            let bytes = secrets.mask_bytes(Bytes::from(text.clone()));
            prop_assert_eq!(String::from_utf8_lossy(&bytes), masked);
        }

        /// What holds none is left as it stands.
        #[test]
        fn other_texts_stay(text in "\\PC{0,200}") {
            prop_assert_eq!(mask(&text, &secrets(&["a secret of ours", "hunter22"])), text);
        }
    }
}
