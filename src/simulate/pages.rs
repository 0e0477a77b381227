//! Block, challenge and error pages of several vendors, with the signs by which real ones are told.
//!
//! The layout is ours and short; ids, class names, variables, fixed vendor sentences and headers are
//! the ones that a client meets (each with its source beside it). Nothing here is proof of what a
//! vendor sends today: `tests/corpus` holds captures for that.

use jiff::Timestamp;
use serde_json::json;

use super::ids::Id;
use super::request::{Reply, Request, escape};

/// A page that an edge makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A numbered error: 1010 (user agent), 1020 (firewall rule), 1015 (rate), 1006 (address), 1009
    /// (country), 1005 (network), 1001 and 1016 (names), 502, 504, 520 to 526.
    Cloudflare {
        code: u16,
        form: Form,
    },
    /// The page of today's WAF: "Sorry, you have been blocked", without a number.
    CloudflareBlocked,
    /// "Just a moment...", with `cf-mitigated: challenge`.
    CloudflareChallenge,
    /// Reference 18, the one page for all denials.
    AkamaiDenied,
    ImpervaIncident,
    /// "Request blocked.": a WAF rule or a country.
    CloudFrontBlocked,
    /// 202 with `x-amzn-waf-action: challenge`; the body is empty unless HTML was asked for.
    AwsWafChallenge,
    /// 405 with `x-amzn-waf-action: captcha`.
    AwsWafCaptcha,
    /// "Request Rejected" with status 200.
    F5Rejected,
    AzureFrontDoorBlocked,
}

/// In which form Cloudflare's numbered errors come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// As `Accept` asks: JSON, HTML, or 16 bytes of text when there is no such header.
    #[default]
    ByAccept,
    Html,
    Text,
    Json,
}

/// A numbered error of Cloudflare.
struct Numbered {
    code: u16,
    status: u16,
    headline: &'static str,
    /// `error_name` and `error_category` of the JSON form.
    name: &'static str,
    category: &'static str,
    detail: &'static str,
}

// Codes, statuses and meanings: developers.cloudflare.com/support/troubleshooting/http-status-codes
// (cloudflare-1xxx-errors, cloudflare-5xx-errors), 2026-11. Names other than those of 1010 and 1015
// are ours.
const NUMBERED: [Numbered; 17] = [
    numbered(
        1001,
        409,
        "DNS resolution error",
        "dns_resolution_error",
        "config",
        "The requested host name is not known to this network.",
    ),
    numbered(
        1005,
        403,
        "Access denied",
        "asn_banned",
        "access_denied",
        "The owner of this website has banned the autonomous system number your address is in.",
    ),
    numbered(
        1006,
        403,
        "Access denied",
        "ip_banned",
        "access_denied",
        "The owner of this website has banned your IP address.",
    ),
    numbered(
        1009,
        403,
        "Access denied",
        "country_banned",
        "access_denied",
        "The owner of this website has banned the country or region your IP address is in.",
    ),
    numbered(
        1010,
        403,
        "Access denied",
        "browser_signature_banned",
        "access_denied",
        "The owner of this website has banned your access based on your browser's signature.",
    ),
    numbered(
        1015,
        429,
        "You are being rate limited",
        "rate_limited",
        "rate_limit",
        "The owner of this website has banned you temporarily from accessing this website.",
    ),
    numbered(
        1016,
        530,
        "Origin DNS error",
        "origin_dns_error",
        "origin",
        "The host name of the origin server cannot be resolved.",
    ),
    numbered(
        1020,
        403,
        "Access denied",
        "firewall_rule",
        "access_denied",
        "This website uses a security service, and one of its rules was met.",
    ),
    numbered(
        502,
        502,
        "Bad gateway",
        "bad_gateway",
        "origin",
        "The web server reported a bad gateway error.",
    ),
    numbered(
        504,
        504,
        "Gateway time-out",
        "gateway_timeout",
        "origin",
        "The web server reported a gateway time-out error.",
    ),
    numbered(
        520,
        520,
        "Web server is returning an unknown error",
        "origin_unknown_error",
        "origin",
        "The answer of the web server could not be understood.",
    ),
    numbered(
        521,
        521,
        "Web server is down",
        "origin_down",
        "origin",
        "The web server refused the connection.",
    ),
    numbered(
        522,
        522,
        "Connection timed out",
        "origin_timeout",
        "origin",
        "The connection to the web server could not be made in time.",
    ),
    numbered(
        523,
        523,
        "Origin is unreachable",
        "origin_unreachable",
        "origin",
        "There is no route to the web server.",
    ),
    numbered(
        524,
        524,
        "A timeout occurred",
        "origin_response_timeout",
        "origin",
        "The web server took the connection and did not answer in time.",
    ),
    numbered(
        525,
        525,
        "SSL handshake failed",
        "ssl_handshake_failed",
        "ssl",
        "The TLS handshake with the web server failed.",
    ),
    numbered(
        526,
        526,
        "Invalid SSL certificate",
        "ssl_certificate_invalid",
        "ssl",
        "The certificate of the web server is not valid.",
    ),
];

const fn numbered(
    code: u16,
    status: u16,
    headline: &'static str,
    name: &'static str,
    category: &'static str,
    detail: &'static str,
) -> Numbered {
    Numbered {
        code,
        status,
        headline,
        name,
        category,
        detail,
    }
}

/// What a page may mention.
pub(super) struct Scene<'a> {
    pub(super) request: &'a Request,
    pub(super) id: Id,
    pub(super) now: Timestamp,
    /// Data centre of the edge ("LHR").
    pub(super) colo: &'a str,
}

impl Page {
    /// # Errors
    /// A code that has no page.
    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Self::Cloudflare { code, .. } if find(code).is_none() => {
                let known: Vec<String> = NUMBERED.iter().map(|n| n.code.to_string()).collect();
                Err(format!(
                    "Cloudflare's error {code} has no page here; there are {}",
                    known.join(", ")
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn render(self, scene: &Scene<'_>) -> Reply {
        match self {
            Self::Cloudflare { code, form } => cloudflare_numbered(code, form, scene),
            Self::CloudflareBlocked => cloudflare_blocked(scene),
            Self::CloudflareChallenge => cloudflare_challenge(scene),
            Self::AkamaiDenied => akamai_denied(scene),
            Self::ImpervaIncident => imperva_incident(scene),
            Self::CloudFrontBlocked => cloudfront_blocked(scene),
            Self::AwsWafChallenge => aws_waf_challenge(scene),
            Self::AwsWafCaptcha => aws_waf_captcha(scene),
            Self::F5Rejected => f5_rejected(scene),
            Self::AzureFrontDoorBlocked => azure_front_door_blocked(scene),
        }
    }
}

fn find(code: u16) -> Option<&'static Numbered> {
    NUMBERED.iter().find(|n| n.code == code)
}

const HTML: &str = "text/html; charset=UTF-8";

/// Headers of every answer that Cloudflare makes itself; no `cf-cache-status`, because it comes before
/// the cache (developers.cloudflare.com/cache/concepts/cache-responses, 2026-11).
fn cloudflare_made(mut reply: Reply, scene: &Scene<'_>) -> Reply {
    let ray = scene.id.hex16();
    reply.set(
        "cache-control",
        "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
    );
    reply.set("expires", "Thu, 01 Jan 1970 00:00:01 GMT");
    reply.set("referrer-policy", "same-origin");
    reply.set("x-frame-options", "SAMEORIGIN");
    reply.set("server", "cloudflare");
    reply.set("cf-ray", format!("{ray}-{}", scene.colo));
    reply.reference_id = Some(ray);
    reply
}

fn cloudflare_numbered(code: u16, form: Form, scene: &Scene<'_>) -> Reply {
    // Rules are checked when they are added, so the code is known.
    let error = find(code).unwrap_or(&NUMBERED[4]);
    let accept = scene.request.header("accept").unwrap_or_default();
    let form = match form {
        Form::ByAccept if accept.contains("json") => Form::Json,
        Form::ByAccept if accept.contains("text/html") || accept.contains("*/*") => Form::Html,
        Form::ByAccept => Form::Text,
        other => other,
    };
    let reply = match form {
        Form::Json => cloudflare_json(error, accept, scene),
        Form::Html | Form::ByAccept => {
            Reply::new(error.status, HTML, cloudflare_html(error, scene))
        }
        // 16 bytes for four digits (corpus of saved answers: cf-1010-text).
        Form::Text => Reply::new(
            error.status,
            "text/plain; charset=UTF-8",
            format!("error code: {}", error.code),
        ),
    };
    let mut reply = cloudflare_made(reply, scene);
    if error.code == 1015 {
        // Seconds (Cloudflare changelog, 2026-03-12).
        reply.set("retry-after", "30");
    }
    reply
}

fn cloudflare_html(error: &Numbered, scene: &Scene<'_>) -> String {
    let ray = scene.id.hex16();
    let host = escape(&scene.request.host);
    let code = error.code;
    let headline = error.headline;
    let seen = scene.now.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut detail = escape(error.detail);
    if code == 1010 {
        // The signature's name ends in the group of user agents (junit-team/junit4#1500 shows one).
        detail = format!("{detail} ({ray}-ua98)");
    }
    let (title, number) = match code {
        1000..=1999 if error.category == "access_denied" || code == 1015 => (
            format!("Access denied | {host} used Cloudflare to restrict access"),
            format!(r#"<span data-translate="error">Error</span> <span>{code}</span>"#),
        ),
        1000..=1999 => (
            format!("{headline} | {host} | Cloudflare"),
            format!(r#"<span data-translate="error">Error</span> <span>{code}</span>"#),
        ),
        _ => (
            format!("{host} | {code}: {headline}"),
            format!(
                r#"<span class="cf-error-type">Error</span> <span class="cf-error-code">{code}</span>"#
            ),
        ),
    };
    format!(
        r#"<!DOCTYPE html>
<html lang="en-US"><head><title>{title}</title><meta name="robots" content="noindex, nofollow"></head>
<body><div id="cf-wrapper"><div id="cf-error-details" class="p-0">
<header><h1>{number}</h1><span class="heading-ray-id">Ray ID: {ray} &bull;</span> <span>{seen}</span><h2>{headline}</h2></header>
<section><h2 data-translate="what_happened">What happened?</h2><p>{detail}</p></section>
<div class="cf-error-footer"><span>Cloudflare Ray ID: <strong>{ray}</strong></span> <span>Your IP: {ip}</span></div>
</div></div></body></html>
"#,
        ip = scene.request.peer.ip(),
    )
}

/// The form for API clients (Cloudflare changelogs of 2026-02-26 to 2026-04-27).
fn cloudflare_json(error: &Numbered, accept: &str, scene: &Scene<'_>) -> Reply {
    let ray = scene.id.hex16();
    let temporary = error.code == 1015 || error.category == "origin";
    let group = if error.code >= 1000 { "1xxx" } else { "5xx" };
    let mut body = json!({
        "type": format!(
            "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-{group}-errors/error-{}/",
            error.code
        ),
        "title": format!("Error {}: {}", error.code, error.headline),
        "status": error.status,
        "detail": error.detail,
        "instance": ray,
        "error_code": error.code,
        "error_name": error.name,
        "error_category": error.category,
        "ray_id": ray,
        "timestamp": scene.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "zone": scene.request.host,
        "cloudflare_error": true,
        "retryable": temporary,
        "owner_action_required": !temporary,
    });
    if error.code == 1015 {
        body["retry_after"] = json!(30);
    }
    let content_type = if accept.contains("application/problem+json") {
        "application/problem+json; charset=utf-8"
    } else {
        "application/json; charset=utf-8"
    };
    Reply::new(error.status, content_type, body.to_string())
}

fn cloudflare_blocked(scene: &Scene<'_>) -> Reply {
    let body = format!(
        r#"<!DOCTYPE html>
<html lang="en-US"><head><title>Attention Required! | Cloudflare</title><meta name="robots" content="noindex, nofollow"></head>
<body><div id="cf-wrapper"><div id="cf-error-details" class="cf-error-details-wrapper">
<div class="cf-wrapper cf-header cf-error-overview"><h1 data-translate="block_headline">Sorry, you have been blocked</h1>
<h2 class="cf-subheadline"><span data-translate="unable_to_access">You are unable to access</span> {host}</h2></div>
<div class="cf-error-footer"><span class="cf-footer-item">Cloudflare Ray ID: <strong class="font-semibold">{ray}</strong></span>
<span class="cf-footer-item">Your IP: {ip}</span></div>
</div></div></body></html>
"#,
        host = escape(&scene.request.host),
        ray = scene.id.hex16(),
        ip = scene.request.peer.ip(),
    );
    cloudflare_made(Reply::new(403, HTML, body), scene)
}

/// Header and variables: developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response,
/// 2026-11.
fn cloudflare_challenge(scene: &Scene<'_>) -> Reply {
    let ray = scene.id.hex16();
    let body = format!(
        r"<!DOCTYPE html><html lang='en-US'><head><title>Just a moment...</title><meta name='robots' content='noindex,nofollow'></head>
<body><noscript>Enable JavaScript and cookies to continue</noscript>
<script>(function(){{window._cf_chl_opt = {{cvId: '3',cZone: '{host}',cType: 'managed',cRay: '{ray}'}};
var a = document.createElement('script');a.src = '/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1?ray={ray}';}}());</script></body></html>
",
        host = escape(&scene.request.host),
    );
    let reply = Reply::new(403, HTML, body).with(&[
        ("cf-mitigated", "challenge"),
        (
            "accept-ch",
            "Sec-CH-UA-Bitness, Sec-CH-UA-Arch, Sec-CH-UA-Full-Version",
        ),
        (
            "critical-ch",
            "Sec-CH-UA-Bitness, Sec-CH-UA-Arch, Sec-CH-UA-Full-Version",
        ),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("origin-agent-cluster", "?1"),
    ]);
    let mut reply = cloudflare_made(reply, scene);
    reply.set("server-timing", format!("chlray;desc=\"{ray}\""));
    reply
}

/// The punctuation is entity-coded as on the real page (captures in Censored Planet's test data, 2021).
fn akamai_denied(scene: &Scene<'_>) -> Reply {
    let (request, id) = (scene.request, scene.id);
    let server = &id.hex32()[16..23];
    let reference = format!("18.{server}.{}.{}", scene.now.as_second(), id.hex8());
    let scheme = if request.tls { "https" } else { "http" };
    let url = escape(&format!("{scheme}://{}{}", request.host, request.path()))
        .replace(':', "&#58;")
        .replace('/', "&#47;")
        .replace('.', "&#46;");
    let body = format!(
        "<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n \n\
         You don't have permission to access \"{url}\" on this server.<P>\n\
         Reference&#32;&#35;{}\n</BODY>\n</HTML>\n",
        reference.replace('.', "&#46;")
    );
    let mut reply = Reply::new(403, "text/html", body)
        .with(&[("server", "AkamaiGHost"), ("mime-version", "1.0")]);
    reply.reference_id = Some(reference);
    reply
}

/// `0NNN` with a third id of 0 in `x-iinfo`: the edge answered without asking the origin.
fn imperva_incident(scene: &Scene<'_>) -> Reply {
    let digits = scene.id.digits();
    let incident = format!(
        "{}-{}{}",
        &digits[..18],
        &digits[..8],
        scene.now.as_second()
    );
    let info = format!(
        "3-{}-0 0NNN RT({} 174) q(0 -1 -1 0) r(0 -1) B16 U18",
        &digits[..8],
        scene.now.as_millisecond()
    );
    let body = format!(
        r#"<html style="height:100%"><head><META NAME="ROBOTS" CONTENT="NOINDEX, NOFOLLOW"></head><body style="margin:0px;height:100%"><iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=22&incident_id={incident}&edet=16&cinfo=ffffffff&rpinfo=0" frameborder=0 width="100%" height="100%">Request unsuccessful. Incapsula incident ID: {incident}</iframe></body></html>"#
    );
    let mut reply = Reply::new(403, "text/html", body).with(&[
        ("cache-control", "no-cache, no-store"),
        ("x-cdn", "Imperva"),
    ]);
    reply.set("x-iinfo", info);
    reply.reference_id = Some(incident);
    reply
}

/// Headers of every answer that `CloudFront` makes itself.
fn cloudfront_made(mut reply: Reply, scene: &Scene<'_>) -> Reply {
    let id = scene.id;
    reply.set("server", "CloudFront");
    reply.set("x-cache", "Error from cloudfront");
    reply.set(
        "via",
        format!("1.1 {}.cloudfront.net (CloudFront)", id.hex32()),
    );
    reply.set("x-amz-cf-pop", format!("{}61-P3", scene.colo));
    reply.set("x-amz-cf-id", id.base64());
    reply
}

fn cloudfront_blocked(scene: &Scene<'_>) -> Reply {
    let id = scene.id.base64();
    let body = format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" \"http://www.w3.org/TR/html4/loose.dtd\">\n\
         <HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY>\n\
         <H1>403 ERROR</H1>\n<H2>The request could not be satisfied.</H2>\n<HR noshade size=\"1px\">\n\
         Request blocked.\n<BR clear=\"all\">\n<HR noshade size=\"1px\">\n\
         <PRE>\nGenerated by cloudfront (CloudFront)\nRequest ID: {id}\n</PRE>\n</BODY></HTML>"
    );
    let mut reply = cloudfront_made(Reply::new(403, "text/html", body), scene);
    reply.reference_id = Some(id);
    reply
}

/// Statuses, header and the condition on `Accept`: AWS WAF developer guide, "CAPTCHA and Challenge
/// action behavior", 2026-11.
fn aws_waf_challenge(scene: &Scene<'_>) -> Reply {
    let html = scene
        .request
        .header("accept")
        .is_some_and(|accept| accept.contains("text/html"));
    let reply = if html {
        let body = format!(
            r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title></title><script>window.awsWafCookieDomainList = [];window.gokuProps = {{"key":"{0}","iv":"{0}","context":"{0}"}};</script><script src="https://{0}.edge.sdk.awswaf.com/{0}/challenge.js"></script></head><body><div id="challenge-container"></div></body></html>"#,
            scene.id.hex8()
        );
        Reply::new(202, HTML, body)
    } else {
        Reply::new(202, "", "")
    };
    cloudfront_made(reply, scene).with(&[
        ("x-amzn-waf-action", "challenge"),
        ("cache-control", "no-store, max-age=0"),
    ])
}

fn aws_waf_captcha(scene: &Scene<'_>) -> Reply {
    let body = format!(
        r#"<!DOCTYPE html><html lang="en"><head><title>Human Verification</title><script>window.awsWafCookieDomainList = [];window.gokuProps = {{"key":"{0}","iv":"{0}","context":"{0}"}};</script><script src="https://{0}.edge.captcha-sdk.awswaf.com/{0}/captcha.js"></script></head><body><div id="captcha-container"></div></body></html>"#,
        scene.id.hex8()
    );
    cloudfront_made(Reply::new(405, HTML, body), scene).with(&[
        ("x-amzn-waf-action", "captcha"),
        ("cache-control", "no-store, max-age=0"),
    ])
}

fn f5_rejected(scene: &Scene<'_>) -> Reply {
    let id = scene.id.digits();
    let body = format!(
        "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. \
         Please consult with your administrator.<br><br>Your support ID is: {id}</body></html>"
    );
    let mut reply = Reply::new(200, "text/html; charset=utf-8", body)
        .with(&[("cache-control", "no-cache"), ("pragma", "no-cache")]);
    reply.reference_id = Some(id);
    reply
}

/// No `x-cache` and no origin header: the edge answered.
fn azure_front_door_blocked(scene: &Scene<'_>) -> Reply {
    let id = azure_ref(scene.id, scene.now);
    let body = format!(
        "<!DOCTYPE html><html><head><title></title></head><body><div id='content'>\
         <div id='message'><h2>The request is blocked.</h2></div>\
         <div id='errorref'><span>{id}</span></div></div></body></html>"
    );
    let mut reply = Reply::new(403, "text/html", body);
    reply.set("x-azure-ref", id.as_str());
    reply.reference_id = Some(id);
    reply
}

pub(super) fn azure_ref(id: Id, now: Timestamp) -> String {
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), id.hex32())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::ids::Ids;
    use super::*;
    use crate::domain::observation::HttpVersion;

    fn page(page: Page, accept: Option<&str>) -> (u16, String, String, String) {
        let request = Request {
            peer: "127.0.0.1:1".parse().unwrap(),
            tls: true,
            ja4: None,
            http: HttpVersion::H1_1,
            method: "GET".into(),
            target: "/a?b".into(),
            host: "<partner>.example".into(),
            headers: accept
                .map(|accept| ("Accept".to_owned(), accept.to_owned()))
                .into_iter()
                .collect(),
            body: Bytes::new(),
        };
        let ids = Ids::new(1);
        let reply = page.render(&Scene {
            request: &request,
            id: ids.next(),
            now: "2021-03-01T02:14:00Z".parse().unwrap(),
            colo: "LHR",
        });
        let headers: Vec<String> = reply
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let body = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(
            body.starts_with('{') || !body.contains("<partner>"),
            "{body}"
        );
        let id = reply.reference_id.unwrap_or_default();
        (reply.status, headers.join("\n"), body, id)
    }

    fn cloudflare(code: u16) -> Page {
        Page::Cloudflare {
            code,
            form: Form::ByAccept,
        }
    }

    /// Each row: the page, its status, a text of its headers, texts of its body.
    #[test]
    fn carry_their_signs() {
        for (name, which, status, header, texts) in [
            (
                "1010",
                cloudflare(1010),
                403,
                "cf-ray: ",
                &[
                    "cf-error-details",
                    "<span>1010</span>",
                    "used Cloudflare to restrict access",
                    "-ua98",
                ][..],
            ),
            (
                "1015",
                cloudflare(1015),
                429,
                "retry-after: 30",
                &["being rate limited"],
            ),
            (
                "1016",
                cloudflare(1016),
                530,
                "server: cloudflare",
                &["Origin DNS error", "<span>1016</span>"],
            ),
            (
                "522",
                cloudflare(522),
                522,
                "server: cloudflare",
                &["cf-error-code\">522<"],
            ),
            (
                "blocked",
                Page::CloudflareBlocked,
                403,
                "server: cloudflare",
                &[
                    "Attention Required! | Cloudflare",
                    "Sorry, you have been blocked",
                    "You are unable to access",
                ],
            ),
            (
                "challenge",
                Page::CloudflareChallenge,
                403,
                "cf-mitigated: challenge",
                &[
                    "<title>Just a moment...</title>",
                    "_cf_chl_opt",
                    "/cdn-cgi/challenge-platform/",
                ],
            ),
            (
                "akamai",
                Page::AkamaiDenied,
                403,
                "server: AkamaiGHost",
                &["Reference&#32;&#35;18&#46;", "&#46;1614564840&#46;"],
            ),
            (
                "imperva",
                Page::ImpervaIncident,
                403,
                "x-iinfo: 3-",
                &["Incapsula incident ID: ", "edet=16"],
            ),
            (
                "cloudfront",
                Page::CloudFrontBlocked,
                403,
                "x-cache: Error from cloudfront",
                &["Request blocked.", "Generated by cloudfront (CloudFront)"],
            ),
            (
                "captcha",
                Page::AwsWafCaptcha,
                405,
                "x-amzn-waf-action: captcha",
                &["gokuProps", "captcha.js"],
            ),
            (
                "f5",
                Page::F5Rejected,
                200,
                "pragma: no-cache",
                &["<title>Request Rejected</title>", "Your support ID is: "],
            ),
            (
                "azure",
                Page::AzureFrontDoorBlocked,
                403,
                "x-azure-ref: 20210301T021400Z-",
                &["The request is blocked."],
            ),
        ] {
            let (found, headers, body, id) = page(which, Some("text/html, */*"));
            assert_eq!(found, status, "{name}");
            assert!(headers.contains(header), "{name}: {headers}");
            assert!(!headers.contains("cf-cache-status"), "{name}");
            for text in texts {
                assert!(body.contains(text), "{name}: {text} in {body}");
            }
            if which != Page::AwsWafCaptcha {
                assert!(id.len() >= 16, "{name}: {id}");
                let plain = body.replace("&#46;", ".");
                assert!(plain.contains(&id), "{name}: {id} in {body}");
            }
        }
    }

    #[test]
    fn follow_accept() {
        let which = cloudflare(1010);
        let (_, headers, body, _) = page(which, None);
        assert_eq!(body, "error code: 1010");
        assert!(headers.contains("text/plain"));
        let (_, headers, body, id) = page(which, Some("application/problem+json"));
        assert!(headers.contains("application/problem+json"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["error_code"], 1010);
        assert_eq!(json["error_name"], "browser_signature_banned");
        assert_eq!(json["ray_id"], id.as_str());
        assert_eq!(json["cloudflare_error"], true);
        let (status, headers, body, _) = page(Page::AwsWafChallenge, Some("*/*"));
        assert_eq!((status, body.as_str()), (202, ""));
        assert!(headers.contains("x-amzn-waf-action: challenge"));
        let (_, _, body, _) = page(Page::AwsWafChallenge, Some("text/html"));
        assert!(body.contains("challenge.js"));
    }

    #[test]
    fn unknown_codes_are_refused() {
        let why = cloudflare(1999).check().unwrap_err();
        assert!(why.starts_with("Cloudflare's error 1999 has no page here; there are 1001, 1005"));
        for number in &NUMBERED {
            assert_eq!(cloudflare(number.code).check(), Ok(()));
        }
    }
}
