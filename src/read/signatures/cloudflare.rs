//! Cloudflare's numbers: what each means and who can end it; and how its pages carry them.
//!
//! Read 2026-11 from <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/>
//! (1xxx and 5xx errors, Ray ID, structured errors) and from captured pages of 2016 to 2026.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Found, Tier};
use crate::domain::verdict::{Kind, Rule, Strength, WhoActs};
use crate::lang::entities::unescape;
use crate::read::signatures::page::{Form, Page, bytes_pattern, has, starts};

struct Code {
    numbers: &'static [u16],
    kind: Kind,
    rule: Rule,
    who: WhoActs,
    means: &'static str,
}

const fn code(
    numbers: &'static [u16],
    kind: Kind,
    rule: Rule,
    who: WhoActs,
    means: &'static str,
) -> Code {
    Code {
        numbers,
        kind,
        rule,
        who,
        means,
    }
}

use Kind::{EdgeBlock, EdgeError, RateLimited};
use WhoActs::{NobodyWait, SiteOwner, Visitor, VisitorOrSiteOwner};

const CODES: &[Code] = &[
    code(
        &[1000, 1002],
        EdgeError,
        Rule::HostMisconfig,
        SiteOwner,
        "DNS points to a prohibited address",
    ),
    code(
        &[1001, 1018, 1023],
        EdgeError,
        Rule::HostMisconfig,
        SiteOwner,
        "the host is not known there",
    ),
    code(
        &[1003],
        EdgeError,
        Rule::HostMisconfig,
        Visitor,
        "asked by address instead of by host name",
    ),
    code(
        &[1004],
        EdgeError,
        Rule::HostMisconfig,
        SiteOwner,
        "the host is not set up to serve web traffic",
    ),
    code(
        &[1005],
        EdgeBlock,
        Rule::Asn,
        SiteOwner,
        "the network (ASN) of our address is banned",
    ),
    code(
        &[1006, 1007, 1008, 1106],
        EdgeBlock,
        Rule::Ip,
        SiteOwner,
        "our IP address is banned",
    ),
    code(
        &[1009],
        EdgeBlock,
        Rule::Geo,
        SiteOwner,
        "the country of our address is banned",
    ),
    code(
        &[1010],
        EdgeBlock,
        Rule::UserAgent,
        VisitorOrSiteOwner,
        "the client's signature (Browser Integrity Check) is refused",
    ),
    code(
        &[1011],
        EdgeBlock,
        Rule::Referer,
        VisitorOrSiteOwner,
        "hotlink protection: the Referer is refused",
    ),
    code(
        &[1012],
        EdgeBlock,
        Rule::Ip,
        SiteOwner,
        "malicious activity was seen from our network",
    ),
    code(
        &[1013],
        EdgeError,
        Rule::HostMisconfig,
        Visitor,
        "Host header and TLS server name differ",
    ),
    code(
        &[1014, 1034],
        EdgeError,
        Rule::HostMisconfig,
        SiteOwner,
        "the host's DNS points across accounts or to a reserved address",
    ),
    code(
        &[1015],
        RateLimited,
        Rule::RateLimit,
        NobodyWait,
        "we are rate limited",
    ),
    code(
        &[1016],
        EdgeError,
        Rule::OriginDns,
        SiteOwner,
        "the origin's name does not resolve",
    ),
    code(
        &[1020],
        EdgeBlock,
        Rule::FirewallRule,
        SiteOwner,
        "a firewall rule of the site denies the request",
    ),
    code(
        &[1019, 1025, 1035, 1036, 1037, 1040, 1041, 1042, 1101, 1102],
        EdgeError,
        Rule::EdgeCompute,
        SiteOwner,
        "a Worker or rewrite rule of the site fails",
    ),
    code(
        &[1033],
        EdgeError,
        Rule::OriginDown,
        SiteOwner,
        "the tunnel to the origin is not connected",
    ),
    code(
        &[1038, 1205],
        EdgeError,
        Rule::Unknown,
        Visitor,
        "too many headers or redirects",
    ),
    code(
        &[1200],
        EdgeError,
        Rule::OriginDown,
        SiteOwner,
        "too many requests wait for the origin",
    ),
    code(
        &[500, 503],
        EdgeError,
        Rule::Unknown,
        NobodyWait,
        "a fault inside Cloudflare",
    ),
    code(
        &[502, 504],
        EdgeError,
        Rule::OriginDown,
        SiteOwner,
        "no usable answer from the origin (Cloudflare shows this also in place of the origin's own 502 and 504)",
    ),
    code(
        &[520, 521, 522, 523, 524, 527],
        EdgeError,
        Rule::OriginDown,
        SiteOwner,
        "the origin is down, unreachable or silent",
    ),
    code(
        &[525, 526],
        EdgeError,
        Rule::OriginTls,
        SiteOwner,
        "TLS to the origin fails",
    ),
    code(
        &[530],
        EdgeError,
        Rule::Unknown,
        SiteOwner,
        "an error that the page's 1xxx number should explain",
    ),
];

/// Sets what a number means. A number outside the table is read by the status.
fn apply(number: u16, page: &Page<'_>, found: &mut Found) {
    found.code = Some(number.to_string());
    if let Some(code) = CODES.iter().find(|code| code.numbers.contains(&number)) {
        found.kind = code.kind;
        found.rule = code.rule;
        found.who = code.who;
        found.note = Some(format!("Cloudflare {number}: {}", code.means));
    } else {
        let (kind, rule, who) = match page.status() {
            403 => (EdgeBlock, Rule::Unknown, SiteOwner),
            429 => (RateLimited, Rule::RateLimit, NobodyWait),
            _ => (EdgeError, Rule::Unknown, SiteOwner),
        };
        (found.kind, found.rule, found.who) = (kind, rule, who);
    }
    if number == 1200 && page.status() == 429 {
        (found.kind, found.rule, found.who) = (RateLimited, Rule::RateLimit, NobodyWait);
    }
}

/// Whether Cloudflare is in front, by its own headers.
pub(super) fn in_front(page: &Page<'_>) -> bool {
    page.header("cf-ray").is_some()
        || page
            .header("server")
            .is_some_and(|s| starts(s.trim(), "cloudflare"))
        || page.header_has("server-timing", "chlray")
}

/// Whether Cloudflare can have made this answer: it is in front, or the capture lost the headers that would tell.
///
/// Another product's `Server` without any of Cloudflare's headers means that the markup is an imitation
/// or came from behind that product.
pub(super) fn can_have_made(page: &Page<'_>) -> bool {
    in_front(page) || page.header("server").is_none()
}

/// Whether the cache stage was reached, which comes after every block and challenge.
pub(super) fn past_the_cache(page: &Page<'_>) -> bool {
    page.header("cf-cache-status").is_some_and(|status| {
        [
            "HIT",
            "MISS",
            "EXPIRED",
            "STALE",
            "BYPASS",
            "REVALIDATED",
            "UPDATING",
            "DYNAMIC",
        ]
        .iter()
        .any(|stage| status.trim().eq_ignore_ascii_case(stage))
    })
}

/// The header set of pages that Cloudflare makes itself.
pub(super) fn own_header_set(page: &Page<'_>) -> bool {
    let cache = page.header("cache-control").unwrap_or_default();
    let referrer = page.header("referrer-policy").unwrap_or_default();
    let frames = page.header("x-frame-options").unwrap_or_default();
    starts(
        cache,
        "private, max-age=0, no-store, no-cache, must-revalidate",
    ) && frames.eq_ignore_ascii_case("sameorigin")
        && (referrer.eq_ignore_ascii_case("same-origin")
            || page.header_has("expires", "Thu, 01 Jan 1970 00:00:01 GMT"))
}

/// Refuses blocks that the origin relayed; errors about the origin come after the cache stage anyway.
fn relayed(page: &Page<'_>, found: &Found) -> bool {
    matches!(found.kind, EdgeBlock | Kind::EdgeChallenge | RateLimited) && past_the_cache(page)
}

/// `cf-error-type` carries the number; it is on pages that Cloudflare made, never on relayed ones.
pub(super) fn error_header(page: &Page<'_>, found: &mut Found) -> bool {
    let Some(number) = page
        .header("cf-error-type")
        .and_then(|value| value.trim().parse().ok())
    else {
        return false;
    };
    apply(number, page, found);
    found.reference_id = ray(page);
    true
}

/// The error as `application/json` or `application/problem+json`.
pub(super) fn json_error(page: &Page<'_>, found: &mut Found) -> bool {
    let Some(json) = page.json() else {
        return false;
    };
    if json
        .get("cloudflare_error")
        .and_then(serde_json::Value::as_bool)
        != Some(true)
    {
        return false;
    }
    let number = json.get("error_code").and_then(|code| {
        code.as_u64()
            .or_else(|| code.as_str().and_then(|c| c.parse().ok()))
    });
    let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str);
    read_envelope(
        page,
        found,
        number,
        text("ray_id").or_else(|| text("instance")),
    )
}

/// The error as Markdown: the same members as YAML front matter.
pub(super) fn markdown_error(page: &Page<'_>, found: &mut Found) -> bool {
    let body = String::from_utf8_lossy(page.body());
    let Some(front) = body.trim_start().strip_prefix("---") else {
        return false;
    };
    let member = |name: &str| {
        front.lines().take(60).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().trim_matches(['"', '\'']))
        })
    };
    if member("cloudflare_error") != Some("true") {
        return false;
    }
    let number = member("error_code").and_then(|code| code.parse().ok());
    read_envelope(page, found, number, member("ray_id"))
}

fn read_envelope(
    page: &Page<'_>,
    found: &mut Found,
    number: Option<u64>,
    ray_in_body: Option<&str>,
) -> bool {
    if !can_have_made(page) {
        return false;
    }
    let number = number
        .and_then(|n| u16::try_from(n).ok())
        .unwrap_or_else(|| page.status());
    apply(number, page, found);
    found.reference_id = ray(page).or_else(|| ray_in_body.and_then(ray_of));
    !relayed(page, found)
}

/// The error as plain text: exactly `error code: NNNN`.
pub(super) fn text_error(page: &Page<'_>, found: &mut Found) -> bool {
    static TEXT: LazyLock<Regex> =
        LazyLock::new(|| bytes_pattern(r"(?i-u)^\s*error code: (\d{3,5})\s*$"));
    let Some(number) = number(&TEXT, page.body()) else {
        return false;
    };
    if !can_have_made(page) {
        return false;
    }
    apply(number, page, found);
    found.reference_id = ray(page);
    !relayed(page, found)
}

/// A challenge page: which kind, and its ray.
pub(super) fn challenge(page: &Page<'_>, found: &mut Found) -> bool {
    static TYPE: LazyLock<Regex> =
        LazyLock::new(|| bytes_pattern(r#"(?-u)\bcType\s*:\s*["']([a-z_-]{3,40})["']"#));
    if found.tier != Tier::Header && (!can_have_made(page) || relayed(page, found)) {
        return false;
    }
    let declared = TYPE
        .captures(page.body())
        .and_then(|c| c.get(1))
        .map(|m| String::from_utf8_lossy(m.as_bytes()).into_owned());
    let code = match declared.as_deref() {
        Some("non-interactive" | "jschallenge") => Some("jschallenge"),
        Some("interactive") => Some("captcha"),
        _ if page.has("cf_captcha_kind") || page.has("hcaptcha") => Some("captcha"),
        Some(other) => Some(other),
        None if page.has("jschl_vc") || page.has("jschl-answer") => Some("jschallenge"),
        None => None,
    };
    found.code = code.map(str::to_owned);
    found.reference_id = ray(page);
    true
}

/// A block or error page with a number in one of the layouts since 2016, customers' own pages among them.
pub(super) fn error_page(page: &Page<'_>, found: &mut Found) -> bool {
    if !can_have_made(page) {
        return false;
    }
    match page_number(page) {
        Some(number) => apply(number, page, found),
        None if page.status() >= 520 => apply(page.status(), page, found),
        // The present block page of the firewall has no number.
        None if page.has("block_headline") || page.has("sorry, you have been blocked") => {
            (found.kind, found.rule) = (EdgeBlock, Rule::FirewallRule);
        }
        None => match page.status() {
            403 => (found.kind, found.rule) = (EdgeBlock, Rule::Unknown),
            429 => {
                (found.kind, found.rule, found.who) = (RateLimited, Rule::RateLimit, NobodyWait);
            }
            status => apply(status, page, found),
        },
    }
    found.reference_id = ray(page);
    own_fault(page, found);
    !relayed(page, found)
}

/// The boxes of its error page (you, Cloudflare, host) say who failed; its own fault is not the partner's.
fn own_fault(page: &Page<'_>, found: &mut Found) {
    static FAILED: LazyLock<Regex> = LazyLock::new(|| {
        bytes_pattern(
            r#"(?is-u)<div id=["']cf-(browser|cloudflare|host)-status["'][^>]{0,200}class=["'][^"']{0,200}cf-error-source"#,
        )
    });
    if found.kind != EdgeError {
        return;
    }
    let failed = FAILED.captures(page.body()).and_then(|c| c.get(1));
    if failed.is_some_and(|box_| box_.as_bytes().eq_ignore_ascii_case(b"cloudflare")) {
        found.rule = Rule::Unknown;
        found.who = NobodyWait;
        found.note =
            Some("the page marks Cloudflare itself as what failed, not the host".to_owned());
    }
}

/// A page that only Cloudflare's wording names.
pub(super) fn by_title(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = ray(page);
    can_have_made(page) && !relayed(page, found)
}

/// The nginx-like page of an edge that has no settings for the host.
pub(super) fn unbranded(page: &Page<'_>, found: &mut Found) -> bool {
    match page.status() {
        429 => (found.kind, found.rule, found.who) = (RateLimited, Rule::RateLimit, NobodyWait),
        400 => found.who = Visitor,
        500.. => found.rule = Rule::OriginDown,
        _ => {}
    }
    found.reference_id = ray(page);
    can_have_made(page)
}

/// One of the statuses 520 to 530, which only Cloudflare uses.
pub(super) fn own_status(page: &Page<'_>, found: &mut Found) -> bool {
    if !can_have_made(page) {
        return false;
    }
    if !in_front(page) {
        found.strength = Strength::Weak;
    }
    let number = page_number(page).unwrap_or_else(|| page.status());
    apply(number, page, found);
    found.reference_id = ray(page);
    true
}

/// An answer with the header set of Cloudflare's own pages, without its look: an owner's custom answer.
pub(super) fn custom_answer(page: &Page<'_>, found: &mut Found) -> bool {
    if !in_front(page) || !own_header_set(page) || page.header("cf-cache-status").is_some() {
        return false;
    }
    match page.status() {
        429 => (found.kind, found.rule, found.who) = (RateLimited, Rule::RateLimit, NobodyWait),
        502 | 504 => (found.kind, found.rule) = (EdgeError, Rule::OriginDown),
        // Only the application, a Worker or Access answers with these.
        401 | 404 | 405 | 410 | 422 | 500.. => return false,
        _ => {}
    }
    found.reference_id = ray(page);
    true
}

fn page_number(page: &Page<'_>) -> Option<u16> {
    static LAYOUTS: LazyLock<[Regex; 5]> = LazyLock::new(|| {
        [
            bytes_pattern(r#"(?i-u)cf-error-code["'][^>]{0,60}>\s*(\d{3,5})\s*<"#),
            bytes_pattern(
                r#"(?i-u)data-translate=["']error["'][^>]{0,80}>[^<]{1,60}</span>\s*<span[^>]{0,80}>\s*(\d{3,5})\s*<"#,
            ),
            bytes_pattern(r#"(?i-u)class=["'][^"'>]{0,80}\bcf-error-(\d{3,5})\b"#),
            bytes_pattern(r#"(?i-u)code-label["'][^>]{0,60}>[^<\d]{0,60}(\d{3,5})\s*<"#),
            bytes_pattern(r"(?i-u)<title>[^<]{0,200}\|\s*(5\d\d):"),
        ]
    });
    if !matches!(page.form, Form::Html | Form::Xml) {
        return None;
    }
    LAYOUTS
        .iter()
        .find_map(|layout| number(layout, page.body()))
}

fn number(pattern: &Regex, body: &[u8]) -> Option<u16> {
    let found = pattern.captures(body)?.get(1)?;
    std::str::from_utf8(found.as_bytes()).ok()?.parse().ok()
}

/// The Ray ID: the header's, else the one that the page prints.
pub(super) fn ray(page: &Page<'_>) -> Option<String> {
    static IN_PAGE: LazyLock<[Regex; 3]> = LazyLock::new(|| {
        [
            bytes_pattern(r#"(?i-u)\bcRay["']?\s*:\s*["']([0-9a-f]{16})"#),
            bytes_pattern(r"(?i-u)\bray\s*id\s*:?(?:\s|&nbsp;|<[^>]{0,120}>){0,8}([0-9a-f]{16})\b"),
            bytes_pattern(r"(?i-u)[?&]ray=([0-9a-f]{16})\b"),
        ]
    });
    if let Some(ray) = page.header("cf-ray").and_then(ray_of) {
        return Some(ray);
    }
    let timing = page
        .answer
        .header_all("server-timing")
        .find(|value| has(value, "chlray"))
        .and_then(|value| {
            let after = value.split("chlray").nth(1)?;
            ray_of(
                after
                    .trim_start_matches(|c: char| c != '"')
                    .trim_start_matches('"'),
            )
        });
    timing.or_else(|| {
        IN_PAGE.iter().find_map(|layout| {
            let found = layout.captures(page.body())?.get(1)?;
            ray_of(&String::from_utf8_lossy(found.as_bytes()))
        })
    })
}

/// The 16 hexadecimal digits at the start of a text.
fn ray_of(text: &str) -> Option<String> {
    let text = unescape(text.trim());
    let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
    (digits.len() == 16).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::tests::answer;

    #[test]
    fn no_number_twice() {
        let mut numbers: Vec<u16> = CODES.iter().flat_map(|c| c.numbers).copied().collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }

    #[test]
    fn rays() {
        let check = |name: &str, headers: &[(&str, &str)], body: &str, expected: Option<&str>| {
            let answer = answer(403, headers, body);
            let ray = ray(&Page::new(&answer));
            assert_eq!(ray.as_deref(), expected, "{name}");
        };
        let ray = Some("8fcb3f8a0cc56750");
        check("header", &[("cf-ray", "8fcb3f8a0cc56750-LHR")], "", ray);
        check(
            "header without a place",
            &[("cf-ray", " 8fcb3f8a0cc56750 ")],
            "",
            ray,
        );
        check(
            "header with dirt",
            &[("cf-ray", "8fcb3f8a0cc56750-LHR error code: 1")],
            "",
            ray,
        );
        check(
            "timing",
            &[("server-timing", "a;dur=1, chlray;desc=\"8fcb3f8a0cc56750\"")],
            "",
            ray,
        );
        check("script", &[], "x={cRay: '8fcb3f8a0cc56750'}", ray);
        check(
            "footer",
            &[],
            "Cloudflare Ray ID: <strong class=\"a\">8fcb3f8a0cc56750</strong>",
            ray,
        );
        check("plain", &[], "<li>Ray ID: 8fcb3f8a0cc56750</li>", ray);
        check("image", &[], "transparent.gif?ray=8fcb3f8a0cc56750')", ray);
        check("too short", &[("cf-ray", "8fcb3f8a0cc5675-LHR")], "", None);
        check("none", &[], "Ray ID: unknown", None);
    }
}
