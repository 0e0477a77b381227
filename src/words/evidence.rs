//! One run as evidence: what a partner's engineer asks for first, bounded, and without secrets.
//!
//! Headers of the answer are those of an allow-list, because the others may carry sessions; the page is
//! cut to its first words; whatever came back from outside is masked before it is cut.

use std::borrow::Cow;

use crate::domain::incident::Specimen;
use crate::domain::observation::{Answer, Certificate, ChainPath, Observation, Phases};
use crate::domain::plan::Plan;
use crate::domain::probe::{Part, Template};
use crate::domain::secret::{Secrets, mask};
use crate::domain::shown::is_unsafe;
use crate::domain::verdict::{Evidence, Verdict};
use crate::lang::entities::unescape;

/// Names that tell who answered and why, in lower case; `set-cookie` must never be among them.
const HEADERS: &[&str] = &[
    "server",
    "via",
    "date",
    "location",
    "content-type",
    "content-length",
    "retry-after",
    "www-authenticate",
    "cf-ray",
    "cf-mitigated",
    "cf-cache-status",
    "x-cache",
    "x-cdn",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "x-amzn-waf-action",
    "x-iinfo",
    "x-azure-ref",
    "x-served-by",
    "x-vercel-id",
    "x-vercel-mitigated",
    "x-sucuri-id",
    "x-sucuri-cache",
    "x-sucuri-block",
    "x-datadome",
    "akamai-grn",
    "x-reference-error",
    "x-request-id",
    "x-correlation-id",
];

const HEADERS_MAX: usize = 40;
const VALUE_CHARS_MAX: usize = 300;
const EXCERPT_CHARS_MAX: usize = 300;
const REQUEST_BODY_BYTES_MAX: usize = 4096;
/// Of a page, as much as is looked at for its first words.
const PAGE_BYTES_MAX: usize = 64 * 1024;
const EVIDENCE_MAX: usize = 12;
const ADDRESSES_MAX: usize = 16;

/// What is kept of a run; `None` when its probe or client is not in the plan.
#[must_use]
pub fn specimen(
    plan: &Plan,
    secrets: &Secrets,
    observation: &Observation,
    verdict: &Verdict,
) -> Option<Specimen> {
    let cell = &observation.cell;
    let probe = plan.probe(&cell.probe)?;
    let egress = plan.egress(&cell.egress)?;
    let clean = |text: &str, chars: usize| cut(&plain(&mask(text, secrets)), chars);
    let answer = observation.answer.as_ref();
    let failure = observation.failure.as_ref();
    let tls = observation.tls.as_ref();
    let body = answer.map(|answer| &answer.body);
    Some(Specimen {
        cell: cell.clone(),
        at: observation.started_at,
        method: probe.method.to_string(),
        url: clean(probe.url.as_str(), 2000),
        request_headers: request_headers(plan, secrets, observation)?,
        request_body: probe.body.as_ref().map(|body| {
            let text = mask(&body.masked(), secrets);
            cut_bytes(&text, REQUEST_BODY_BYTES_MAX).to_owned()
        }),
        local: observation.route.local.map(|local| local.ip().to_string()),
        public: egress.public.map(|address| address.to_string()),
        remote: observation.route.remote.map(|remote| remote.to_string()),
        resolved: observation
            .route
            .resolved
            .iter()
            .take(ADDRESSES_MAX)
            .map(ToString::to_string)
            .collect(),
        status: answer.map(|answer| answer.status),
        http: answer.map(|answer| answer.http.as_str().to_owned()),
        response_headers: answer.map_or_else(Vec::new, |answer| {
            response_headers(answer)
                .map(|(name, value)| (name.clone(), clean(&value, VALUE_CHARS_MAX)))
                .collect()
        }),
        excerpt: answer.and_then(|answer| excerpt(answer, secrets)),
        body_sha256: body
            .map(|body| body.sha256.clone())
            .filter(|hash| !hash.is_empty()),
        failure: failure.map(|failure| clean(&failure.message, VALUE_CHARS_MAX)),
        took: observation.took,
        phases: phases(&observation.phases),
        certificate: tls
            .and_then(|tls| tls.certificate.as_ref())
            .map(|certificate| clean(&certificate_line(certificate), VALUE_CHARS_MAX)),
        paths: tls.map_or_else(Vec::new, |tls| {
            let clean = |path: &ChainPath| ChainPath {
                root: clean(&path.root, 100),
                by: clean(&path.by, 100),
                ends_at: path.ends_at,
            };
            tls.paths.iter().map(clean).collect()
        }),
        sent: observation.sent.clone(),
        verdict: Verdict {
            vendor: Cow::Owned(clean(&verdict.vendor, 60)),
            fronted_by: Cow::Owned(clean(&verdict.fronted_by, 60)),
            code: verdict.code.as_deref().map(|code| clean(code, 60)),
            reference_id: verdict.reference_id.as_deref().map(|id| clean(id, 200)),
            evidence: verdict
                .evidence
                .iter()
                .take(EVIDENCE_MAX)
                .map(|sign| Evidence {
                    strength: sign.strength,
                    text: clean(&sign.text, VALUE_CHARS_MAX),
                })
                .collect(),
            ..verdict.clone()
        },
    })
}

/// The headers that the configuration asks for, placeholders in place of secrets.
fn request_headers(
    plan: &Plan,
    secrets: &Secrets,
    observation: &Observation,
) -> Option<Vec<(String, String)>> {
    let probe = plan.probe(&observation.cell.probe)?;
    let client = plan.client(&observation.cell.client)?;
    let mut headers: Vec<(String, String)> = Vec::new();
    if !client.user_agent.is_empty() {
        headers.push(("User-Agent".to_owned(), client.user_agent.clone()));
    }
    // What has only its place is said elsewhere: host, length, and the user agent above.
    let own = client
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name, Template::text(value.as_deref()?))));
    let asked = probe
        .headers
        .iter()
        .map(|(name, value)| (name, value.clone()));
    for (name, value) in own.chain(asked) {
        let value = cut(
            &plain(&mask(&hidden(name, &value), secrets)),
            VALUE_CHARS_MAX,
        );
        match headers
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some(known) => known.1 = value,
            None => headers.push((name.clone(), value)),
        }
    }
    let is_accept = |name: &str| name.eq_ignore_ascii_case("accept");
    let left_out = |(name, value): &(String, Option<String>)| value.is_none() && is_accept(name);
    if !headers.iter().any(|(name, _)| is_accept(name)) && !client.headers.iter().any(left_out) {
        headers.push(("Accept".to_owned(), "*/*".to_owned()));
    }
    headers.truncate(HEADERS_MAX);
    Some(headers)
}

/// A header's value for people: one that carries access and has no placeholder is not shown at all.
fn hidden(name: &str, value: &Template) -> String {
    const CARRIES_ACCESS: &[&str] = &[
        "authorization",
        "cookie",
        "api-key",
        "apikey",
        "token",
        "secret",
        "password",
        "signature",
    ];
    let name = name.to_ascii_lowercase();
    let literal = !value
        .parts
        .iter()
        .any(|part| matches!(part, Part::Credential(..)));
    if literal && CARRIES_ACCESS.iter().any(|word| name.contains(word)) {
        return "[secret]".to_owned();
    }
    value.masked()
}

fn response_headers(answer: &Answer) -> impl Iterator<Item = (&String, Cow<'_, str>)> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| HEADERS.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = match name.as_str() {
                // The query of a redirect may hold a session.
                "location" => match value.split_once(['?', '#']) {
                    Some((path, _)) => Cow::Owned(format!("{path}?…")),
                    None => Cow::Borrowed(value.as_str()),
                },
                _ => Cow::Borrowed(value.as_str()),
            };
            (name, value)
        })
        .take(HEADERS_MAX)
}

fn phases(phases: &Phases) -> Vec<(String, std::time::Duration)> {
    [
        ("dns", phases.dns),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("first_byte", phases.first_byte),
        ("transfer", phases.transfer),
    ]
    .into_iter()
    .filter_map(|(name, time)| time.map(|time| (name.to_owned(), time)))
    .collect()
}

fn certificate_line(certificate: &Certificate) -> String {
    format!(
        "{}, issued by {}, valid until {}",
        certificate.subject,
        certificate.issuer,
        certificate.not_after.strftime("%Y-%m-%d")
    )
}

/// The page's own first words; `None` when it has none or is no text.
fn excerpt(answer: &Answer, secrets: &Secrets) -> Option<String> {
    let bytes = &answer.body.bytes[..answer.body.bytes.len().min(PAGE_BYTES_MAX)];
    if bytes.contains(&0) {
        return None;
    }
    let page = mask(&String::from_utf8_lossy(bytes), secrets);
    let kind = answer.header("content-type").unwrap_or_default();
    let markup =
        kind.contains("html") || kind.contains("xml") || page.trim_start().starts_with('<');
    let words = if markup { visible(&page) } else { page };
    let strange = words.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER);
    if strange.count() * 10 > words.chars().count() {
        return None;
    }
    // Once more: a secret may have been spelt with entities or broken by tags.
    let text = cut(&plain(&mask(&plain(&words), secrets)), EXCERPT_CHARS_MAX);
    (!text.is_empty()).then_some(text)
}

/// Text without tags, comments, scripts and styles; the commonest entities undone.
fn visible(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let skipped = [
            ("<!--", "-->"),
            ("<script", "</script"),
            ("<style", "</style"),
        ]
        .into_iter()
        .find(|(open, _)| starts_with(rest, open));
        let end = match skipped {
            Some((_, close)) => find(rest, close),
            None => Some(0),
        };
        let Some(close) = end.and_then(|end| rest[end..].find('>').map(|tag| end + tag)) else {
            return unescape(&text).into_owned();
        };
        // A tag ends a word ("<td>a</td><td>b</td>").
        text.push(' ');
        rest = &rest[close + 1..];
    }
    text.push_str(rest);
    unescape(&text).into_owned()
}

fn starts_with(text: &str, word: &str) -> bool {
    text.as_bytes()
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// Where `word` (ASCII) begins in `text`, whatever its case.
fn find(text: &str, word: &str) -> Option<usize> {
    text.as_bytes()
        .windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// One line: white space collapsed, no control characters, nothing that turns the writing round.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut gap = false;
    for letter in text.chars() {
        if letter.is_whitespace() {
            gap = true;
        } else if !is_unsafe(letter) {
            if gap && !line.is_empty() {
                line.push(' ');
            }
            gap = false;
            line.push(letter);
        }
    }
    line
}

/// At most `chars` characters; one of them says that there was more.
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn cut_bytes(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::{Body, HttpVersion};

    fn page(kind: &str, body: &str) -> Answer {
        Answer {
            http: HttpVersion::H1_1,
            status: 403,
            headers: vec![
                ("content-type".to_owned(), kind.to_owned()),
                ("set-cookie".to_owned(), "session=1".to_owned()),
                (
                    "location".to_owned(),
                    "https://a.example/login?session=1".to_owned(),
                ),
            ],
            body: Body {
                bytes: body.as_bytes().to_vec().into(),
                ..Body::default()
            },
        }
    }

    #[test]
    fn shows_what_a_person_would_read() {
        let check = |kind: &str, body: &str, expected: Option<&str>| {
            let secrets = Secrets::of([crate::domain::secret::Secret::new("hunter22")]);
            assert_eq!(
                excerpt(&page(kind, body), &secrets).as_deref(),
                expected,
                "{body:?}"
            );
        };
        check(
            "text/html",
            "<html><STYLE>p{}</style><script>x<y</SCRIPT><!-- > --><h1>Access\n denied</h1><p>Ray&nbsp;ID: 1",
            Some("Access denied Ray ID: 1"),
        );
        check(
            "text/plain",
            "no \u{202e}turning\u{7} round",
            Some("no turning round"),
        );
        check(
            "text/plain",
            "your password hunter22 is wrong",
            Some("your password [secret] is wrong"),
        );
        check("text/html", "<p>hun<b></b>ter22", Some("hun ter22"));
        check(
            "text/html",
            "<p>hunter22<script>never closed",
            Some("[secret]"),
        );
        check("application/octet-stream", "a\0b", None);
        check("text/html", "<p></p>", None);
    }

    #[test]
    fn a_page_reads_without_tags_and_entities() {
        assert_eq!(
            plain(&visible("<b>Ray ID: 84f1 &bull;</b> Tom &amp;amp; J&#39;s")),
            "Ray ID: 84f1 Tom &amp; J's"
        );
    }

    #[test]
    fn an_excerpt_has_a_bound() {
        let text = excerpt(&page("text/plain", &"ä".repeat(5000)), &Secrets::default()).unwrap();
        assert_eq!(text.chars().count(), 300);
    }

    #[test]
    fn only_headers_that_tell_who_answered() {
        let answer = page("text/html", "");
        let kept: Vec<_> = response_headers(&answer).collect();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[1].1, "https://a.example/login?…");
        assert!(!HEADERS.contains(&"set-cookie"));
    }

    #[test]
    fn access_that_is_written_out_is_not_shown() {
        let literal = Template::text("Bearer abc");
        assert_eq!(hidden("Authorization", &literal), "[secret]");
        let placeholder = Template {
            parts: vec![Part::Credential(
                "token".to_owned(),
                crate::domain::probe::Spelling::Plain,
            )],
        };
        assert_eq!(hidden("X-Api-Key", &placeholder), "{{ credential.token }}");
        assert_eq!(hidden("Accept", &Template::text("text/xml")), "text/xml");
    }
}
