//! Values that must never be printed: tokens, passwords, webhook URLs; and how they are taken out of a text.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};

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

/// Secrets in every spelling in which they may come back, to be taken out of what comes from outside.
///
/// A page that echoes the password, a redirect that carries it in its query, a header shown in JSON: none of it may
/// be kept or shown. This is the one place that knows how a secret may be spelled. Secrets shorter than four
/// characters are left, because they would blot out ordinary words. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Search>>);

struct Search {
    plain: Vec<Secret>,
    spellings: AhoCorasick,
    /// What stands in the place of each spelling.
    blanks: Vec<&'static str>,
}

const BLANK: &str = "[secret]";

/// Shorter spellings are words of their own, characters.
const SPELLING_MIN: usize = 4;

/// In base64, what is left of a shorter secret could be anything, bytes.
const BASE64_MIN: usize = 6;

impl Secrets {
    #[must_use]
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let plain: Vec<Secret> = secrets.into_iter().collect();
        let all = plain.iter().flat_map(|secret| spellings(secret.expose()));
        let all: BTreeSet<String> = all.filter(|text| text.len() >= SPELLING_MIN).collect();
        // The longest first, so that no tail of one that begins like another is left standing.
        let search = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&all);
        // Texts of a file that is bounded are never too many for it.
        let search = search.ok().filter(|_| !plain.is_empty());
        Self(search.map(|spellings| {
            Arc::new(Search {
                plain,
                spellings,
                blanks: vec![BLANK; all.len()],
            })
        }))
    }

    /// Whether the text is one of them, and nothing else.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let search = self.0.as_deref();
        search.is_some_and(|search| search.plain.iter().any(|secret| secret.expose() == text))
    }

    /// Masks a body of any charset; a secret is looked for in UTF-8.
    #[must_use]
    pub fn mask_bytes(&self, bytes: Bytes) -> Bytes {
        match self.0.as_deref() {
            Some(search) if search.spellings.is_match(&bytes[..]) => {
                let masked = search.spellings.replace_all_bytes(&bytes, &search.blanks);
                Bytes::from(masked)
            }
            _ => bytes,
        }
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
    match secrets.0.as_deref() {
        Some(search) => search.spellings.replace_all(text, &search.blanks),
        None => text.to_owned(),
    }
}

/// A secret as it is, and as a query string, an XML or HTML text, a JSON text and a Basic login would spell it.
fn spellings(plain: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    // Some leave these marks as they are (RFC 3986 section 2.3 and `encodeURIComponent`).
    let marks = [
        ("%21", "!"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%7E", "~"),
    ];
    let lax = marks.iter().fold(percent.clone(), |text, (code, mark)| {
        text.replace(code, mark)
    });
    let xml = plain
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut all = vec![
        lower_hex(&form),
        lower_hex(&percent),
        lower_hex(&lax),
        form,
        percent,
        lax,
    ];
    for quote in ["&quot;", "&#34;"] {
        for apostrophe in ["&apos;", "&#39;", "&#x27;"] {
            all.push(xml.replace('"', quote).replace('\'', apostrophe));
        }
    }
    all.push(xml);
    if let Ok(json) = serde_json::to_string(plain) {
        let json = json[1..json.len() - 1].to_owned();
        all.push(json.replace('/', "\\/"));
        all.push(escaped(&json));
        all.push(json);
    }
    if plain.len() >= BASE64_MIN {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            all.extend((0..3).map(|before| within_base64(plain.as_bytes(), before, engine)));
        }
    }
    all.push(plain.to_owned());
    all
}

/// The same with `%c3` for `%C3`.
fn lower_hex(text: &str) -> String {
    let mut parts = text.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(part.len().min(2));
        lower.push('%');
        lower.push_str(&code.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}

/// JSON that is ASCII alone.
fn escaped(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a string can't fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

/// The characters that stand for these bytes alone, in the base64 of a text that has so many bytes before them.
fn within_base64(bytes: &[u8], before: usize, engine: &GeneralPurpose) -> String {
    let text = engine.encode([&vec![0; before], bytes].concat());
    // Six bits a character: those that hold bits of a neighbour may be any.
    let from = (before * 8).div_ceil(6);
    let to = (before + bytes.len()) * 8 / 6;
    text[from..to].to_owned()
}

#[cfg(test)]
mod tests {
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
    fn masks_bodies_of_any_charset() {
        let secrets = secrets(&["hunter22"]);
        let check = |body: &'static [u8], expected: &[u8]| {
            assert_eq!(secrets.mask_bytes(Bytes::from_static(body)), expected);
        };
        check(b"you sent hunter22", b"you sent [secret]");
        check(b"\xe9t\xe9 hunter22 \xff", b"\xe9t\xe9 [secret] \xff");
        check(b"nothing \xe9", b"nothing \xe9");
    }
}
