//! Reads numbers, reference ids and reasons out of vendors' pages other than Cloudflare's.
//!
//! Each function belongs to rows of the table that name it. `false` means: not this page after all.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{Found, Tier, generic, origin};
use crate::domain::verdict::{Kind, Rule, Strength, WhoActs};
use crate::read::signatures::page::{Form, Page, has, pattern, starts};

/// The first group of a pattern in what a reader of the page sees.
fn seen(page: &Page<'_>, pattern: &Regex) -> Option<String> {
    group(pattern, page.visible())
}

/// The first group of a pattern in the body as it came.
fn raw(page: &Page<'_>, pattern: &Regex) -> Option<String> {
    group(pattern, &String::from_utf8_lossy(page.body()))
}

fn group(pattern: &Regex, text: &str) -> Option<String> {
    Some(pattern.captures(text)?.get(1)?.as_str().to_owned())
}

fn header(page: &Page<'_>, name: &str) -> Option<String> {
    let value = page.header(name)?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn member<'p>(page: &'p Page<'_>, name: &str) -> Option<&'p str> {
    page.json()?.get(name)?.as_str()
}

fn set(found: &mut Found, kind: Kind, rule: Rule, who: WhoActs) {
    (found.kind, found.rule, found.who) = (kind, rule, who);
}

/// By status, for a refusal whose page is the same for every cause.
fn by_status(page: &Page<'_>, found: &mut Found) {
    let (kind, rule, who) = match page.status() {
        429 => (Kind::RateLimited, Rule::RateLimit, WhoActs::NobodyWait),
        400 | 414 | 431 => (Kind::EdgeError, Rule::HostMisconfig, WhoActs::Visitor),
        404 | 421 => (Kind::EdgeError, Rule::HostMisconfig, WhoActs::SiteOwner),
        500.. => (Kind::EdgeError, Rule::OriginDown, WhoActs::SiteOwner),
        _ => (Kind::EdgeBlock, Rule::Unknown, WhoActs::SiteOwner),
    };
    set(found, kind, rule, who);
}

/// The words and the id of a maker's page that has no reader of its own.
pub(super) fn named(page: &Page<'_>, found: &mut Found) -> bool {
    if found.kind == Kind::EdgeBlock && generic::is_check(page) {
        set(
            found,
            Kind::EdgeChallenge,
            Rule::BotChallenge,
            WhoActs::SiteOwner,
        );
    }
    if found.kind == Kind::EdgeBlock && found.rule == Rule::Unknown {
        found.rule = generic::told_rule(page.visible());
        if found.rule == Rule::RateLimit {
            set(
                found,
                Kind::RateLimited,
                Rule::RateLimit,
                WhoActs::NobodyWait,
            );
        }
    }
    if found.reference_id.is_none() {
        found.reference_id = generic::labelled_id(page);
    }
    true
}

/// A refusal by the name of the server alone: not what says that something is missing or wrongly asked.
pub(super) fn refused_by_server(page: &Page<'_>, found: &mut Found) -> bool {
    match page.status() {
        403 | 405 | 406 | 418 => named(page, found),
        429 => {
            set(
                found,
                Kind::RateLimited,
                Rule::RateLimit,
                WhoActs::NobodyWait,
            );
            named(page, found)
        }
        _ => false,
    }
}

/// The maker says itself that it looks for attacks: its refusal is a rule of its firewall unless it says otherwise.
pub(super) fn attack(page: &Page<'_>, found: &mut Found) -> bool {
    named(page, found);
    if found.rule == Rule::Unknown {
        found.rule = Rule::FirewallRule;
    }
    true
}

/// Alibaba's network says why: which list, or that the address was to be signed.
pub(super) fn tengine(page: &Page<'_>, found: &mut Found) -> bool {
    let why = page.header("x-tengine-error").unwrap_or_default();
    found.rule = match () {
        () if has(why, "ip acl") => Rule::Ip,
        () if has(why, "ua acl") || has(why, "user-agent") => Rule::UserAgent,
        () if has(why, "auth") => Rule::EdgeAuth,
        () if has(why, "geo") || has(why, "region") => Rule::Geo,
        () => Rule::FirewallRule,
    };
    true
}

/// Alibaba's page is of its firewall; a trace id stands in data for its script.
pub(super) fn aliyun(page: &Page<'_>, found: &mut Found) -> bool {
    static TRACE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(?i)"traceid"\s*:\s*"([0-9a-z]{12,64})""#));
    found.reference_id = raw(page, &TRACE);
    attack(page, found)
}

/// Its page is almost empty, and the event stands in a comment at the end.
pub(super) fn safeline(page: &Page<'_>, found: &mut Found) -> bool {
    static EVENT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)<!-- event_id:\s*([0-9a-f-]{16,64})"));
    found.reference_id = raw(page, &EVENT);
    found.reference_id.is_some()
}

/// A captcha page, or a refusal in JSON.
pub(super) fn imunify(page: &Page<'_>, found: &mut Found) -> bool {
    if has(page.visible(), "captcha") || has(page.visible(), "not a robot") {
        set(
            found,
            Kind::EdgeChallenge,
            Rule::BotChallenge,
            WhoActs::SiteOwner,
        );
    }
    // "IPs used for automation should be whitelisted" asks for a list of addresses, and names no rule.
    found.reference_id = generic::labelled_id(page);
    true
}

/// Its page of this title checks; in its words it may refuse too.
pub(super) fn ddos_guard(page: &Page<'_>, found: &mut Found) -> bool {
    if generic::is_check(page) || !generic::says_refused(page.visible()) {
        return true;
    }
    set(
        found,
        Kind::EdgeBlock,
        generic::told_rule(page.visible()),
        WhoActs::SiteOwner,
    );
    found.reference_id = generic::labelled_id(page);
    true
}

/// `CrowdSec` bans addresses, or asks them for a captcha.
pub(super) fn crowdsec(page: &Page<'_>, found: &mut Found) -> bool {
    if has(page.visible(), "captcha") {
        set(
            found,
            Kind::EdgeChallenge,
            Rule::BotChallenge,
            WhoActs::SiteOwner,
        );
    } else {
        found.rule = Rule::Ip;
    }
    true
}

/// `Transaction ID = 3982815983-PPE0`: the packet engine that refused.
pub(super) fn netscaler_transaction(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:transaction|session|event) id\s*[:=]?\s*([0-9a-z][0-9a-z_]{3,40}-ppe\d{1,2})",
        )
    });
    found.rule = Rule::FirewallRule;
    netscaler(page, found);
    found.reference_id = seen(page, &ID).or_else(|| found.reference_id.take());
    found.reference_id.is_some()
}

/// The event stands in the script that writes the mail to the owner.
pub(super) fn securesphere_event(page: &Page<'_>, found: &mut Found) -> bool {
    static EVENT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)(?:event|incident) id(?: is)?:\s*([0-9]{10,24})"));
    found.reference_id = raw(page, &EVENT);
    found.rule = Rule::FirewallRule;
    true
}

/// `Forbidden - ID: <32 hex digits>` and nothing else.
pub(super) fn threatx(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^forbidden - id: ([0-9a-f]{32})$"));
    found.reference_id = seen(page, &ID);
    found.reference_id.is_some()
}

// Akamai. The first number of a reference is the class, the third the time of the error. Counted over
// scans of 2021: 18 (162 times, all "Access Denied"), 9, 7, 11, 3, 30, 97.

/// A reference: class, edge address, unix time, request.
static AKAMAI_REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:^|[^0-9a-z.])(\d{1,3}\.[0-9a-f]{6,8}\.1\d{9}\.[0-9a-f]{4,9})(?:[^0-9a-z.]|\.?$|\.[^0-9a-z])",
    )
});

pub(super) fn akamai_page(page: &Page<'_>, found: &mut Found) -> bool {
    let Some(reference) = seen(page, &AKAMAI_REFERENCE) else {
        return false;
    };
    akamai_class(page, found, &reference);
    found.reference_id = Some(reference);
    true
}

/// The same id in a header, when the body is suppressed or replaced.
pub(super) fn akamai_header(page: &Page<'_>, found: &mut Found) -> bool {
    let Some(value) = page.header("x-reference-error") else {
        return false;
    };
    let Some(reference) = group(&AKAMAI_REFERENCE, value) else {
        return false;
    };
    akamai_class(page, found, &reference);
    found.reference_id = Some(reference);
    true
}

fn akamai_class(page: &Page<'_>, found: &mut Found, reference: &str) {
    let class = reference.split('.').next().unwrap_or_default();
    found.code = Some(class.to_owned());
    match (class, page.status()) {
        ("9", _) => set(
            found,
            Kind::EdgeError,
            Rule::HostMisconfig,
            WhoActs::SiteOwner,
        ),
        ("7", _) => set(
            found,
            Kind::EdgeError,
            Rule::HostMisconfig,
            WhoActs::Visitor,
        ),
        ("11", _) => set(found, Kind::EdgeError, Rule::OriginDns, WhoActs::SiteOwner),
        ("3" | "30" | "97", _) => set(found, Kind::EdgeError, Rule::OriginDown, WhoActs::SiteOwner),
        // One page for every denial: firewall, country, rate, token. Only the owner can look it up.
        ("18", _) | (_, 401 | 403) => {
            set(found, Kind::EdgeBlock, Rule::Unknown, WhoActs::SiteOwner);
        }
        _ => by_status(page, found),
    }
    // Edge-side client certificate entitlement names its own service.
    if found.kind == Kind::EdgeBlock && page.header_has("ej-host", "authorizer") {
        found.rule = Rule::EdgeAuth;
        found.who = WhoActs::Visitor;
    }
}

pub(super) fn akamai_server(page: &Page<'_>, found: &mut Found) -> bool {
    // That a thing is not there is said by the origin far more often than by the edge.
    if matches!(page.status(), 404 | 405 | 410) {
        return false;
    }
    by_status(page, found);
    if page.status() == 401 {
        found.rule = Rule::EdgeAuth;
    }
    found.reference_id = header(page, "akamai-grn");
    true
}

// Imperva.

pub(super) fn imperva_incident(page: &Page<'_>, found: &mut Found) -> bool {
    static IN_FRAME: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)[?&;]incident_id=(\d{6,24}-\d{6,24})"));
    static IN_TEXT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)incapsula incident id:\s*(\d{6,24}-\d{6,24})"));
    static DETAIL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)[?&;]edet=(\d{1,4})"));
    found.reference_id = raw(page, &IN_FRAME).or_else(|| seen(page, &IN_TEXT));
    found.code = raw(page, &DETAIL).map(|number| format!("edet={number}"));
    // The same page tells of an origin that can't be reached.
    if matches!(page.status(), 502..=504) {
        set(found, Kind::EdgeError, Rule::Unknown, WhoActs::SiteOwner);
    }
    found.reference_id.is_some()
}

pub(super) fn imperva_json(page: &Page<'_>, found: &mut Found) -> bool {
    let Some(incident) = member(page, "incidentId") else {
        return false;
    };
    found.reference_id = Some(incident.to_owned());
    found.code = page.json().and_then(|json| match json.get("errorCode")? {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => Some(code.to_string()),
        _ => None,
    });
    true
}

/// Whether the page has nothing for a reader: a script is all there is.
pub(super) fn nothing_to_read(page: &Page<'_>) -> bool {
    page.visible().len() < 160
}

/// Whether the page is a script and no more; the shell of an application has at least a title.
pub(super) fn script_alone(page: &Page<'_>) -> bool {
    nothing_to_read(page) && page.title().is_none() && origin::answered(page).is_none()
}

pub(super) fn empty_or_script(page: &Page<'_>) -> bool {
    match page.form {
        Form::Empty => true,
        Form::Html => nothing_to_read(page) && page.body().len() <= 16 * 1024,
        _ => false,
    }
}

/// `x-iinfo` says that the edge answered: the third id is 0, no connection to the origin, a block token.
pub(super) fn imperva_answered(page: &Page<'_>) -> bool {
    static AT_EDGE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^\s*\d+-\d+-0 0[A-Z]{3} .*\bB\d+\b"));
    page.answer
        .header_all("x-iinfo")
        .any(|value| AT_EDGE.is_match(value) && !value.contains("CT("))
}

pub(super) fn incident_id(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)incident id is:\s*(\d{10,24})"));
    static ABSENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)incident id is:\s*(N/A)"));
    found.reference_id = seen(page, &ID);
    found.reference_id.is_some() || seen(page, &ABSENT).is_some()
}

/// `Reference ID: #<uuid>` and its kin.
pub(super) fn reference_id(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:reference|incident|request) (?:id|number)\s*:?\s*#?\s*([0-9a-z][0-9a-z-]{7,63})",
        )
    });
    found.reference_id = seen(page, &ID);
    true
}

// Amazon.

pub(super) fn cloudfront_page(page: &Page<'_>, found: &mut Found) -> bool {
    static REQUEST: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)request id:\s*([A-Za-z0-9_=+/-]{20,100})"));
    found.reference_id = seen(page, &REQUEST).or_else(|| header(page, "x-amz-cf-id"));
    let text = page.visible();
    let says = |words: &str| has(text, words);
    let who = WhoActs::SiteOwner;
    if says("block access from your country") {
        set(found, Kind::EdgeBlock, Rule::Geo, who);
    } else if says("request blocked.") {
        // The page of a firewall deny; a country restriction of the distribution looks the same.
        found.vendor = "aws_waf";
        set(found, Kind::EdgeBlock, Rule::FirewallRule, who);
    } else if says("bad request.") {
        set(found, Kind::EdgeError, Rule::HostMisconfig, who);
    } else if says("not configured to allow the http request method") {
        set(
            found,
            Kind::EdgeError,
            Rule::HostMisconfig,
            WhoActs::VisitorOrSiteOwner,
        );
    } else if says("resolve the origin domain name") {
        set(found, Kind::EdgeError, Rule::OriginDns, who);
    } else if says("lambda") || says("cloudfront function") {
        set(found, Kind::EdgeError, Rule::EdgeCompute, who);
    } else if says("ssl") || says("negotiate") {
        set(found, Kind::EdgeError, Rule::OriginTls, who);
    } else {
        by_status(page, found);
    }
    true
}

pub(super) fn cloudfront_bare(page: &Page<'_>, found: &mut Found) -> bool {
    if matches!(page.status(), 404 | 405 | 410) {
        return false;
    }
    by_status(page, found);
    found.reference_id = header(page, "x-amz-cf-id");
    true
}

pub(super) fn cloudfront_signed(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = header(page, "x-amz-cf-id");
    true
}

/// The owner's code at the edge made the answer.
pub(super) fn cloudfront_code(page: &Page<'_>, found: &mut Found) -> bool {
    by_status(page, found);
    if page.status() == 401 {
        found.rule = Rule::EdgeAuth;
    }
    if page.status() >= 500 {
        found.rule = Rule::EdgeCompute;
    }
    found.reference_id = header(page, "x-amz-cf-id");
    true
}

pub(super) fn amazon_ids(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = header(page, "x-amzn-requestid").or_else(|| header(page, "x-amz-cf-id"));
    true
}

// Microsoft.

pub(super) fn azure_reference(page: &Page<'_>, found: &mut Found) -> bool {
    static REF_A: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\bref a:\s*([0-9a-f]{32})"));
    static BARE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"((?:\b\d{8}T\d{6}Z-[0-9a-z]{16,64})|(?:0[A-Za-z0-9+/]{40,120}={0,2}))(?:\s|$)")
    });
    found.reference_id = header(page, "x-azure-ref")
        .or_else(|| page.header("x-msedge-ref").and_then(|v| group(&REF_A, v)))
        .or_else(|| seen(page, &REF_A))
        .or_else(|| seen(page, &BARE));
    true
}

pub(super) fn azure_origin_error(page: &Page<'_>, found: &mut Found) -> bool {
    if page.header_has("x-azure-externalerror", "dns")
        || page.header_has("x-azure-externalerror", "notfound")
    {
        found.rule = Rule::OriginDns;
    }
    if page.header_has("x-azure-externalerror", "certificate")
        || page.header_has("x-azure-externalerror", "ssl")
    {
        found.rule = Rule::OriginTls;
    }
    found.code = header(page, "x-azure-externalerror").map(|code| code.chars().take(60).collect());
    azure_reference(page, found)
}

/// Application Gateway: 403 is the firewall or a listener rule, 502 and 504 the backend.
pub(super) fn application_gateway(page: &Page<'_>, found: &mut Found) -> bool {
    by_status(page, found);
    if found.kind == Kind::EdgeBlock {
        found.rule = Rule::FirewallRule;
    }
    true
}

// Google.

/// `<title>403</title>403 Forbidden` and nothing else.
pub(super) fn google_minimal(page: &Page<'_>, found: &mut Found) -> bool {
    static PAGE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)^\s*<!doctype html><meta charset="?utf-8"?><meta name="?viewport"? content="width=device-width, initial-scale=1"><title>(\d{3})</title>(\d{3}) [A-Za-z ]{2,40}\s*$"#,
        )
    });
    let body = String::from_utf8_lossy(page.body());
    let Some(parts) = PAGE.captures(&body) else {
        return false;
    };
    if parts[1] != parts[2] || parts[1] != *page.status().to_string() {
        return false;
    }
    by_status(page, found);
    if matches!(page.status(), 400 | 404 | 500..) {
        found.vendor = "google_frontend";
    }
    true
}

pub(super) fn google_page(page: &Page<'_>, found: &mut Found) -> bool {
    by_status(page, found);
    true
}

// Fastly.

pub(super) fn fastly_guru(page: &Page<'_>, found: &mut Found) -> bool {
    static DETAILS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)details:\s*(cache-[0-9a-z-]+(?:\s\d{6,12}\s\d{3,12})?)"));
    by_status(page, found);
    found.reference_id = seen(page, &DETAILS);
    true
}

pub(super) fn fastly_domain(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = served_by(page);
    fastly_details(page, found)
}

fn fastly_details(page: &Page<'_>, found: &mut Found) -> bool {
    static DETAILS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)details:\s*(cache-[0-9a-z-]+)"));
    found.reference_id = seen(page, &DETAILS).or_else(|| found.reference_id.take());
    true
}

fn served_by(page: &Page<'_>) -> Option<String> {
    let last = page.header("x-served-by")?.rsplit(',').next()?.trim();
    starts(last, "cache-").then(|| last.to_owned())
}

// Sucuri: the id of the rule, not of the request; the page gives the reason in words.

pub(super) fn sucuri(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)block id:\s*([A-Za-z]{2,6}\d{1,5})\b"));
    static REASON: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)block reason:\s*(.{3,160}?)(?:\.(?:\s|$)|time:|$)"));
    let id = header(page, "x-sucuri-block").or_else(|| seen(page, &ID));
    let reason = seen(page, &REASON).unwrap_or_default();
    let told = |words: &[&str]| words.iter().any(|word| has(&reason, word));
    let class = id.as_deref().unwrap_or_default();
    found.rule = if starts(class, "GEO") || told(&["country", "geo"]) {
        Rule::Geo
    } else if starts(class, "TMP") || told(&["your ip", "ip address", "blacklist", "blocklist"]) {
        Rule::Ip
    } else if starts(class, "BNP") || told(&["bot access", "bad bot", "user agent", "user-agent"]) {
        Rule::UserAgent
    } else {
        Rule::FirewallRule
    };
    if !reason.is_empty() {
        found.note = Some(format!("the page gives the reason: {reason}"));
    }
    found.code.clone_from(&id);
    found.reference_id = id;
    true
}

// F5.

static SUPPORT_ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)support id(?: is)?\s*:?\s*<?\s*([0-9]{10,24}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    )
});

/// Error pages may be dressed up; with a good status it must be the page itself, not a text about it.
pub(super) fn f5_page(page: &Page<'_>, found: &mut Found) -> bool {
    let itself = page
        .title()
        .is_some_and(|t| t.eq_ignore_ascii_case("Request Rejected"))
        || starts(
            page.visible().trim_start_matches("Request Rejected").trim(),
            "the requested url was rejected",
        );
    if page.status() < 400 && !(itself && page.body().len() <= 8 * 1024) {
        return false;
    }
    found.reference_id = seen(page, &SUPPORT_ID);
    if found
        .reference_id
        .as_deref()
        .is_some_and(|id| id.contains('-'))
        || page.header_has("server", "volt-adc")
        || page.header("x-volterra-location").is_some()
    {
        found.vendor = "f5_xc";
    }
    found.reference_id.is_some() || itself
}

/// The support id alone: pages in other words than the default.
pub(super) fn f5_support_id(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = seen(page, &SUPPORT_ID);
    found.reference_id.is_some()
}

/// The id and nothing else of F5's: it must look like theirs, and nothing may speak for the origin.
pub(super) fn f5_support_id_alone(page: &Page<'_>, found: &mut Found) -> bool {
    f5_support_id(page, found)
        && found
            .reference_id
            .as_deref()
            .is_some_and(|id| (17..=20).contains(&id.len()) && !id.contains('-'))
        && origin::answered(page).is_none()
}

/// A few words in any language, one id of F5's form, and its link back: nothing else has the three.
pub(super) fn f5_number_alone(page: &Page<'_>, found: &mut Found) -> bool {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:\bids?\b|support|soporte?|suporte|pomoc|помощ|поддержк|destek|サポート|支持|지원)[^0-9]{0,16}[^0-9.-]([1-9][0-9]{16,19})(?:[^0-9.-]|$)",
        )
    });
    let text = page.visible();
    if text.len() > 400 {
        return false;
    }
    found.reference_id = seen(page, &NUMBER);
    found.reference_id.is_some()
        && (generic::refuses(text) || page.title().is_some_and(generic::refuses))
}

/// The id may stand in a `noscript` that is not read as text.
pub(super) fn f5_challenge(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = raw(page, &SUPPORT_ID);
    nothing_to_read(page) || (found.reference_id.is_some() && page.visible().len() < 400)
}

pub(super) fn f5_json(page: &Page<'_>, found: &mut Found) -> bool {
    let id = ["supportID", "support_id", "supportId"]
        .iter()
        .find_map(|name| member(page, name));
    found.reference_id = id.map(str::to_owned);
    found
        .reference_id
        .as_deref()
        .is_some_and(|id| id.len() >= 15 && id.bytes().all(|b| b.is_ascii_digit()))
}

// FortiWeb: the attack id is the class of the signature, the message id the event.

pub(super) fn fortiweb(page: &Page<'_>, found: &mut Found) -> bool {
    static ATTACK: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)attack id\s*:?\s*(\d{6,10})\b"));
    static MESSAGE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)message id\s*:?\s*(\d{6,20})\b"));
    found.code = seen(page, &ATTACK);
    found.reference_id = seen(page, &MESSAGE);
    found.code.is_some() || found.reference_id.is_some()
}

pub(super) fn barracuda(page: &Page<'_>, found: &mut Found) -> bool {
    static EVENT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)event id\s*:\s*([0-9a-z][0-9a-z-]{5,60})"));
    found.reference_id = seen(page, &EVENT);
    true
}

// DataDome: `t` tells a hard block ('bv') from a challenge.

pub(super) fn datadome(page: &Page<'_>, found: &mut Found) -> bool {
    static TYPE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(?:['"]t['"]\s*:\s*['"]|[?&]t=)([a-z]{2,4})\b"#));
    static CID: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"(?i)(?:['"]cid['"]\s*:\s*['"]|initialCid=)([A-Za-z0-9_~+/%=-]{10,200})"#)
    });
    let kind = raw(page, &TYPE);
    if kind.as_deref() == Some("bv") {
        set(found, Kind::EdgeBlock, Rule::Ip, WhoActs::SiteOwner);
    }
    found.code = kind;
    found.reference_id = header(page, "x-datadome-cid")
        .or_else(|| raw(page, &CID))
        .map(|cid| {
            cid.replace("%3D", "=")
                .replace("%3d", "=")
                .replace("%2F", "/")
                .replace("%2B", "+")
        });
    true
}

/// The JSON form: its one purpose is the address of the captcha.
pub(super) fn datadome_json(page: &Page<'_>, found: &mut Found) -> bool {
    member(page, "url").is_some_and(|url| has(url, "captcha-delivery.com/"))
        && datadome(page, found)
}

// HUMAN (PerimeterX).

pub(super) fn human(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)(?:_pxUuid['"\]]?\s*=\s*['"]|["']?\buuid["']?\s*:\s*["']|reference id[^#]{0,60}#\s*)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"#,
        )
    });
    found.reference_id = raw(page, &ID).or_else(|| seen(page, &ID));
    true
}

pub(super) fn human_json(page: &Page<'_>, found: &mut Found) -> bool {
    if !member(page, "appId").is_some_and(|id| starts(id, "PX")) {
        return false;
    }
    found.reference_id = member(page, "uuid").map(str::to_owned);
    true
}

pub(super) fn radware(page: &Page<'_>, found: &mut Found) -> bool {
    static CASE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)case (?:number|id)\s*:?\s*#?\s*([0-9a-z][0-9a-z-]{4,60})"));
    found.reference_id = seen(page, &CASE);
    true
}

pub(super) fn vercel(page: &Page<'_>, found: &mut Found) -> bool {
    found.reference_id = header(page, "x-vercel-id");
    true
}

/// Errors of the platform; one of the deployment's own code is the application's.
pub(super) fn vercel_error(page: &Page<'_>, found: &mut Found) -> bool {
    let code = header(page, "x-vercel-error").unwrap_or_default();
    found.rule = match () {
        () if starts(&code, "DNS_") => Rule::OriginDns,
        () if starts(&code, "ROUTER_") => Rule::OriginDown,
        () if starts(&code, "DEPLOYMENT_") => Rule::HostMisconfig,
        () if starts(&code, "INTERNAL_") => Rule::EdgeCompute,
        () => return false,
    };
    found.code = Some(code);
    vercel(page, found)
}

// Wordfence tells its reason.

pub(super) fn wordfence(page: &Page<'_>, found: &mut Found) -> bool {
    static REASON: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)(?:block )?reason:\s*(.{3,160})"));
    let reason = seen(page, &REASON).unwrap_or_default();
    let told = |words: &[&str]| words.iter().any(|word| has(&reason, word));
    found.rule = if told(&["exceeded the maximum", "rate limit", "too many"]) {
        Rule::RateLimit
    } else if told(&["country"]) {
        Rule::Geo
    } else if told(&["user agent", "user-agent", "browser"]) {
        Rule::UserAgent
    } else if told(&[
        "ip range",
        "ip address",
        "blocklist",
        "blacklist",
        "manual block",
    ]) {
        Rule::Ip
    } else if told(&[
        "security",
        "attack",
        "malicious",
        "firewall",
        "injection",
        "xss",
    ]) {
        Rule::FirewallRule
    } else {
        // The page is the same for every rule of the plug-in.
        Rule::Unknown
    };
    if !reason.is_empty() {
        found.note = Some(format!("the page gives the reason: {reason}"));
    }
    true
}

pub(super) fn netscaler(page: &Page<'_>, found: &mut Found) -> bool {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:appfw session id|transaction id|event id)\s*[:=]?\s*([0-9a-z][0-9a-z_-]{5,60})",
        )
    });
    static CATEGORY: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)violation category\s*:?\s*(APPFW_[A-Z_]{2,40})"));
    found.reference_id = seen(page, &ID);
    found.code = seen(page, &CATEGORY);
    true
}

// Our side of the internet.

/// A filter's own web server also shows its settings and logs people in: the page must refuse or send away.
pub(super) fn filter_refuses(page: &Page<'_>, _: &mut Found) -> bool {
    page.status() >= 300
        || ["blocked", "denied", "not allowed", "restricted"]
            .iter()
            .any(|word| has(page.visible(), word))
}

/// Squid names its error; one about the target says that it is unreachable from there.
pub(super) fn squid(page: &Page<'_>, found: &mut Found) -> bool {
    let name = page
        .header("x-squid-error")
        .and_then(|value| value.split_whitespace().next())
        .unwrap_or_default();
    let denied = name.contains("DENIED")
        || name.contains("AUTH")
        || (name.is_empty() && has(page.visible(), "access denied"));
    if !denied {
        set(found, Kind::OriginError, Rule::None, WhoActs::None);
    }
    if !name.is_empty() {
        found.code = Some(name.chars().take(60).collect());
    }
    true
}

/// Palo Alto's header set is also that of old PHP applications: the page must say that it denies.
pub(super) fn paloalto(page: &Page<'_>, found: &mut Found) -> bool {
    let text = page.visible();
    let page_of_its_own = page
        .title()
        .is_some_and(|t| t.eq_ignore_ascii_case("Web Page Blocked"));
    if page_of_its_own && found.tier == Tier::Structure {
        found.strength = Strength::Proof;
    }
    page_of_its_own || has(text, "blocked") || has(text, "denied") || has(text, "polic")
}

/// Whether a redirect goes to an address literal with the words of a portal.
pub(super) fn captive_portal(page: &Page<'_>) -> bool {
    let Some(location) = page.header("location") else {
        return false;
    };
    let Ok(url) = url::Url::parse(location.trim()) else {
        return false;
    };
    let Some(host) = url.host_str() else {
        return false;
    };
    let words = [
        "guest", "hotspot", "captive", "portal", "wlan", "wifi", "fgtauth",
    ];
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let says = |words: &[&str]| words.iter().any(|word| has(&path, word));
    // Portals are given the address that was asked for, to send people back.
    let sends_back = says(&["url=", "redirect=", "orig_", "dst=", "continue="]);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => {
            (says(&words) && (is_local(address) || sends_back))
                || (says(&["login", "auth"]) && sends_back && is_local(address))
        }
        // The device of the network names whom it holds back: nobody else knows that address.
        Err(_) if says(&["mac="]) && says(&["ssid=", "wlan", "uamip=", "ap_name=", "nasid="]) => {
            true
        }
        Err(_) => [
            "captiveportal.",
            "captiveportal-",
            "captive.",
            "hotspot.",
            "wifi-login.",
            "guestportal.",
        ]
        .iter()
        .any(|prefix| starts(host, prefix)),
    }
}

/// Whether the form of a page is sent to an address that only its own network has.
pub(super) fn portal_form(page: &Page<'_>) -> bool {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)<form\b[^>]{0,300}\saction\s*=\s*["']?https?://(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}[:/"'\s>]"#,
        )
    });
    FORM.is_match(&String::from_utf8_lossy(page.body()))
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}
