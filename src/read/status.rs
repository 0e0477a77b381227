//! Reads the status, the last and weakest tier: what the number says when nothing else does.
//!
//! A number says what happened and never who did it. Limits are said with many of them: 429 is the
//! registered one (RFC 6585), but services also answer 403 (GitHub's secondary limit, Google's quotas), 503
//! (Amazon S3's `SlowDown`) and 400; then the words or the counters must say so.

use std::borrow::Cow;

use super::patience;
use super::signatures::page::{Form, Page};
use super::signatures::{generic, origin};
use crate::domain::verdict::{Evidence, Kind, Maker, Rule, Strength, Verdict, WhoActs};

/// Text in which a limit is looked for; longer pages speak of other things too.
const LIMIT_TEXT_BYTES_MAX: usize = 1500;
/// Bodies above this are not read for a reason.
const REASON_BODY_BYTES_MAX: usize = 16 * 1024;

/// The verdict by the status, with what the body's words add to it.
pub(crate) fn verdict(page: &Page<'_>, maker: Maker) -> Verdict {
    let status = page.status();
    if status < 300
        && let Some(verdict) = grpc(page, maker)
    {
        return verdict;
    }
    let locked = patience::locked(page);
    let until = locked.as_ref().map(|(_, wait)| *wait);
    let sign = locked.map(|(words, _)| Evidence {
        strength: Strength::Strong,
        text: format!("a lock that says when it ends, with status {status}: {words}"),
    });
    if let Some(sign) = sign.or_else(|| limited(page)) {
        let mut verdict = Verdict::new(Kind::RateLimited, maker);
        verdict.rule = Rule::RateLimit;
        verdict.who_acts = WhoActs::NobodyWait;
        verdict.retry_after = until;
        verdict.evidence.push(sign);
        return verdict;
    }
    let (kind, rule, who) = match status {
        401 => (
            Kind::OriginDenied,
            unauthorised(page),
            WhoActs::VisitorOrSiteOwner,
        ),
        402 | 403 | 418 | 999 => (Kind::OriginDenied, refusal(page), WhoActs::SiteOwner),
        400 if refuses_credentials(page) => {
            (Kind::OriginDenied, Rule::Auth, WhoActs::VisitorOrSiteOwner)
        }
        // A proxy on our side asks for its own credentials (RFC 9110 section 15.5.8).
        407 => (Kind::EdgeBlock, Rule::ClientSideProxy, WhoActs::Visitor),
        429 => (Kind::RateLimited, Rule::RateLimit, WhoActs::NobodyWait),
        451 => (Kind::OriginDenied, Rule::Legal, WhoActs::SiteOwner),
        400..=499 => (Kind::OriginError, Rule::None, WhoActs::VisitorOrSiteOwner),
        500.. => (Kind::OriginError, Rule::None, WhoActs::SiteOwner),
        _ => (Kind::Pass, Rule::None, WhoActs::None),
    };
    let maker = if status == 407 { Maker::OurSide } else { maker };
    let mut verdict = Verdict::new(kind, maker);
    verdict.rule = rule;
    verdict.who_acts = who;
    if status == 407 {
        verdict.fronted_by = Cow::Borrowed("client_network");
        verdict.vendor = Cow::Borrowed("unknown");
    }
    let strength = if kind == Kind::Pass {
        Strength::Strong
    } else {
        Strength::Weak
    };
    verdict.evidence.push(Evidence {
        strength,
        text: format!("status {status}"),
    });
    if matches!(status, 401 | 403) && !matches!(rule, Rule::None | Rule::Unknown) {
        verdict.evidence.push(Evidence {
            strength: Strength::Weak,
            text: format!("its words speak of {rule}"),
        });
    }
    verdict
}

/// What a gRPC server says beside a good status, when it is no success (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
fn grpc(page: &Page<'_>, maker: Maker) -> Option<Verdict> {
    let code = page.header("grpc-status")?.trim();
    let (kind, rule, who) = match code {
        "0" => return None,
        "7" => (Kind::OriginDenied, Rule::Unknown, WhoActs::SiteOwner),
        "8" => (Kind::RateLimited, Rule::RateLimit, WhoActs::NobodyWait),
        "16" => (Kind::OriginDenied, Rule::Auth, WhoActs::VisitorOrSiteOwner),
        _ => (Kind::OriginError, Rule::None, WhoActs::SiteOwner),
    };
    let mut verdict = Verdict::new(kind, maker);
    verdict.rule = rule;
    verdict.who_acts = who;
    verdict.code = Some(code.to_owned());
    let said = page.header("grpc-message").unwrap_or_default();
    verdict.evidence.push(Evidence {
        strength: Strength::Strong,
        text: format!("header grpc-status: {code} {said}")
            .trim_end()
            .to_owned(),
    });
    Some(verdict)
}

/// A limit that another status than 429 carries: the words say it, or the counters and a wait.
fn limited(page: &Page<'_>) -> Option<Evidence> {
    // Of a good status only data is believed, and only where it says itself that it stands for a refusal.
    let in_data = page.status() < 300 && generic::refuses_in_json(page);
    if !in_data && !matches!(page.status(), 400 | 403 | 420 | 430 | 503 | 509 | 529 | 598) {
        return None;
    }
    let is_text = matches!(page.form, Form::Html | Form::Json | Form::Text | Form::Xml);
    if is_text && page.body().len() <= REASON_BODY_BYTES_MAX {
        let text = page.visible();
        if text.len() <= LIMIT_TEXT_BYTES_MAX && generic::says_too_many(text) {
            return Some(Evidence {
                strength: Strength::Strong,
                text: format!(
                    "a limit, said with status {}: \"{}\"",
                    page.status(),
                    generic::words_of_limit(text)
                ),
            });
        }
    }
    let left = [
        "x-ratelimit-remaining",
        "ratelimit-remaining",
        "x-rate-limit-remaining",
    ]
    .iter()
    .find(|name| page.header(name).is_some_and(|left| left.trim() == "0"))?;
    page.header("retry-after")
        .or_else(|| page.header("x-ratelimit-reset"))?;
    Some(Evidence {
        strength: Strength::Strong,
        text: format!(
            "a limit, said with status {}: header {left}: 0, with the time when it ends",
            page.status()
        ),
    })
}

/// OAuth refuses a grant, a client or a token with 400 (<https://www.rfc-editor.org/rfc/rfc6749#section-5.2>).
fn refuses_credentials(page: &Page<'_>) -> bool {
    let error = page
        .json()
        .and_then(|json| json.get("error")?.as_str())
        .unwrap_or_default();
    matches!(
        error,
        "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "access_denied"
            | "invalid_token"
    )
}

/// Whether a 401 says that it is about credentials, as its registration has it (RFC 9110 section 15.5.2).
fn unauthorised(page: &Page<'_>) -> Rule {
    if page.header("www-authenticate").is_some() {
        return Rule::Auth;
    }
    match refusal(page) {
        Rule::None | Rule::Unknown => Rule::Unknown,
        told => told,
    }
}

/// What a refusal says about its reason, if it says it.
fn refusal(page: &Page<'_>) -> Rule {
    if matches!(page.form, Form::Empty | Form::Other) || page.body().len() > REASON_BODY_BYTES_MAX {
        return Rule::Unknown;
    }
    origin::told_reason(page.visible()).unwrap_or(Rule::Unknown)
}
