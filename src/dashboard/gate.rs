//! What every request passes before a page is made, and what every answer carries.
//!
//! Looking needs no password, so what counts is who asks for what name: a page of a stranger can make a browser on this
//! host ask loopback under a name of the stranger's (DNS rebinding), and such a name is refused.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;

use super::Pages;
use super::people::{self, Asker};

/// For a whole page.
const PAGE_MAX: Duration = Duration::from_secs(10);
/// Smaller answers are no smaller when packed.
const PACKED_MIN: usize = 1_024;

/// Of every answer. No script, style or form comes from elsewhere, and nobody shows a page in a frame.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// From where a request came, over TCP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whether a page asks nobody who it is: that of a link, where one signs in, and what pages are made of.
fn is_open(path: &str) -> bool {
    path == "/sign-in" || path.starts_with("/s/") || path.starts_with("/assets/")
}

/// The page of support staff and what goes with it.
fn is_of_status(path: &str) -> bool {
    matches!(path, "/status" | "/status.atom" | "/maintenance.ics") || path.starts_with("/badge/")
}

/// For who may not look.
fn stranger(pages: &Pages, request: &Request, person: Option<&people::Person>) -> Response {
    let wants_page = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    if person.is_some() {
        return text(
            StatusCode::FORBIDDEN,
            "you are known here, and not among those who may look (`web: { viewers: [...] }`)\n",
        );
    }
    if wants_page && request.method() == Method::GET && !pages.web().users.is_empty() {
        let mut answer = text(StatusCode::SEE_OTHER, "sign in first\n");
        let to = format!("{}/sign-in", pages.base());
        if let Ok(to) = HeaderValue::from_str(&to) {
            answer.headers_mut().insert(LOCATION, to);
        }
        return answer;
    }
    text(
        StatusCode::UNAUTHORIZED,
        "nobody says who you are: sign in, or come through the proxy\n",
    )
}

/// Lets a request through to its page, or says why not.
pub(super) async fn gate(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let packed = takes_gzip(request.headers());
    let mut answer = if let Some(refused) = refusal(&request, &pages.web().names) {
        refused
    } else {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let visit = people::visit(&pages, (request.uri().path(), request.headers()), peer).await;
        let made = async {
            let path = request.uri().path();
            let public = || is_of_status(path) && pages.status_is_public();
            if visit.may_look || is_open(path) || public() {
                let asker = Asker {
                    address: people::address(&pages, request.headers(), peer),
                    person: visit.person,
                    outsider: !visit.may_look,
                };
                people::answered_for(asker, next.run(request)).await
            } else {
                stranger(&pages, &request, visit.person.as_ref())
            }
        };
        let made = tokio::time::timeout(PAGE_MAX, made).await;
        made.unwrap_or_else(|_| {
            let why = "the page took too long; try again\n";
            text(StatusCode::SERVICE_UNAVAILABLE, why)
        })
    };
    if packed {
        answer = pack(answer).await;
    }
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    answer
}

fn refusal(request: &Request, names: &[String]) -> Option<Response> {
    let headers = request.headers();
    // Two names: whoever stands between us and the browser may have looked at the other (RFC 9112 section 3.2).
    if headers.get_all(HOST).iter().count() > 1 {
        let why = "one Host header is enough\n";
        return Some(text(StatusCode::BAD_REQUEST, why));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = |host: &str| host.parse().is_ok_and(|host| is_ours(&host, names));
    let target = request.uri().authority();
    if !host.is_some_and(named) || target.is_some_and(|host| !is_ours(host, names)) {
        return Some(text(
            StatusCode::FORBIDDEN,
            "this name is not answered. Ask for localhost or 127.0.0.1; a proxy on this host may ask by the names of\n\
             `web: { names: [...] }` in probes.yaml, and must hand on the Host header as it came\n",
        ));
    }
    match *request.method() {
        Method::GET | Method::HEAD => None,
        Method::POST => foreign(headers).map(|why| text(StatusCode::FORBIDDEN, why)),
        _ => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n");
            let headers = answer.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            Some(answer)
        }
    }
}

/// Why what is sent does not come from a page of ours; `None`: it does.
///
/// Browsers say from where (<https://words.filippo.io/csrf/>, read 2026-11-30); what says nothing is refused.
fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    let one = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        let first = all.next()?.to_str().unwrap_or("?");
        Some(if all.next().is_some() { "?" } else { first })
    };
    if let Some(site) = one(HeaderName::from_static("sec-fetch-site")) {
        let own = matches!(site, "same-origin" | "none");
        return (!own)
            .then_some("this comes from a page of somebody else; open it from edgewatch's own\n");
    }
    let Some(origin) = one(ORIGIN) else {
        return Some(
            "neither Sec-Fetch-Site nor Origin says where this comes from; a proxy in between must hand on both headers\n",
        );
    };
    let origin = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    let own = origin
        .is_some_and(|origin| one(HOST).is_some_and(|host| host.eq_ignore_ascii_case(origin)));
    (!own).then_some("this comes from a page of somebody else; a proxy in between must hand on the Host header as it came\n")
}

/// Whether a name is one by which we are asked: loopback's own, or the operator's.
fn is_ours(host: &Authority, names: &[String]) -> bool {
    // What a browser sends has no user in front of it.
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case("edgewatch.localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Takes the proxy's path off, where the proxy leaves it on; routes are below the root.
pub(super) fn below(base: &str, uri: &mut Uri) {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = match whole.strip_prefix(base) {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(rest) if rest.is_empty() || rest.starts_with('?') => format!("/{rest}"),
        _ => return,
    };
    // The rest stays: whoever asks for a foreign host is still to be refused.
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = rest.parse().ok();
    if let Ok(below) = Uri::from_parts(parts) {
        *uri = below;
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let wanted = headers.get_all(ACCEPT_ENCODING).iter();
    let mut wanted = wanted.filter_map(|value| value.to_str().ok());
    wanted.any(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';');
            let name = parts.next().is_some_and(|name| name.trim() == "gzip");
            name && !parts.any(|part| matches!(part.trim(), "q=0" | "q=0.0"))
        })
    })
}

/// Packs a whole answer; a stream has no end to wait for.
async fn pack(answer: Response) -> Response {
    let (mut head, body) = answer.into_parts();
    let kind = head.headers.get(CONTENT_TYPE);
    let is_text = kind
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            kind.starts_with("text/") && !kind.starts_with("text/event-stream")
                || kind.contains("json")
                || kind.contains("xml")
        });
    if !is_text || head.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(head, body);
    }
    let Ok(whole) = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
    else {
        return Response::from_parts(head, Body::empty());
    };
    if whole.len() < PACKED_MIN {
        return Response::from_parts(head, Body::from(whole));
    }
    // Level 1: seven kilobytes of a page more cost the reader less than five times the work cost us.
    let mut packed = GzEncoder::new(Vec::with_capacity(whole.len() / 8), Compression::fast());
    if packed.write_all(&whole).is_err() {
        return Response::from_parts(head, Body::from(whole));
    }
    let Ok(packed) = packed.finish() else {
        return Response::from_parts(head, Body::from(whole));
    };
    head.headers.remove(CONTENT_LENGTH);
    let gzip = HeaderValue::from_static("gzip");
    head.headers.insert(CONTENT_ENCODING, gzip);
    let vary = HeaderValue::from_static("accept-encoding");
    head.headers.insert(VARY, vary);
    Response::from_parts(head, Body::from(packed))
}

/// A short answer for whoever is no person with a page.
pub(super) fn text(status: StatusCode, why: &'static str) -> Response {
    let mut answer = Response::new(Body::from(why));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_answered() {
        let names = ["edgewatch.example.org".to_owned()];
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9465", true),
            ("edgewatch.localhost:9465", true),
            ("127.0.0.1:9465", true),
            ("127.0.0.2", true),
            ("[::1]:9465", true),
            ("edgewatch.example.org", true),
            ("Edgewatch.Example.ORG:443", true),
            ("edgewatch.example.org.", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evil.localhost", false),
            ("a@localhost", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("[::]:9465", false),
        ] {
            let host: Authority = host.parse().unwrap();
            assert_eq!(is_ours(&host, &names), expected, "{host}");
        }
    }

    #[test]
    fn only_pages_of_ours_send_anything() {
        for (site, origin, own) in [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            (Some("same-site"), Some("http://localhost:9465"), false),
            (Some("cross-site"), Some("http://localhost:9465"), false),
            (None, Some("http://localhost:9465"), true),
            (None, Some("https://LOCALHOST:9465"), true),
            (None, Some("http://localhost:9466"), false),
            (None, Some("http://localhost"), false),
            (None, Some("http://localhost:9465.evil.example"), false),
            (None, Some("null"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:9465"));
            if let Some(site) = site {
                let name = HeaderName::from_static("sec-fetch-site");
                headers.insert(name, HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(foreign(&headers).is_none(), own, "{site:?} {origin:?}");
            headers.append(ORIGIN, HeaderValue::from_static("http://localhost:9465"));
            if site.is_none() && origin.is_some() {
                assert!(foreign(&headers).is_some(), "two origins");
            }
        }
    }

    #[test]
    fn the_path_of_a_proxy_is_taken_off() {
        for (base, asked, expected) in [
            ("", "/incidents", "/incidents"),
            ("/e", "/e/incidents?a=b", "/incidents?a=b"),
            ("/e", "/e", "/"),
            ("/e", "/e?a=b", "/?a=b"),
            ("/e", "/events", "/events"),
            ("/e", "/incidents", "/incidents"),
            ("/e", "http://evil.example/e/x", "http://evil.example/x"),
        ] {
            let mut uri: Uri = asked.parse().unwrap();
            below(base, &mut uri);
            assert_eq!(uri.to_string(), expected, "{base} {asked}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (value, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        }
    }
}
