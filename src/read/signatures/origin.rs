//! What shows that the origin answered, who stands in front of it, and where.
//!
//! Anything that only the origin can have written proves that it was asked. What a front adds to every
//! answer (its name, a request id) proves nothing about who made this one.

use std::sync::LazyLock;

use regex::Regex;

use super::cloudflare;
use super::readers::akamai_in_front;
use crate::domain::verdict::{Evidence, Rule, Strength};
use crate::read::signatures::page::{Page, pattern, starts};

/// Headers that come from the origin or its own load balancer.
const ORIGIN_HEADERS: &[&str] = &[
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-runtime",
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
    "x-generator",
    "x-drupal-cache",
    "x-envoy-upstream-service-time",
    "x-kong-response-latency",
    "x-kong-upstream-latency",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "ratelimit-limit",
    "x-amz-request-id",
    "x-amz-apigw-id",
    "x-guploader-uploadid",
    "x-oss-request-id",
    "x-goog-hash",
    "x-ms-request-id",
    "x-github-request-id",
    "x-varnish",
    "www-authenticate",
    "allow",
    "x-application-context",
    "x-jenkins",
    "x-nextjs-cache",
    "x-backend-server",
    "grpc-status",
];

/// Session cookies of application frameworks.
const APPLICATION_COOKIES: &[&str] = &[
    "jsessionid",
    "phpsessid",
    "asp.net_sessionid",
    ".aspnetcore.",
    "__requestverificationtoken",
    "connect.sid",
    "laravel_session",
    "xsrf-token",
    "csrf",
    "sessionid=",
    "_session_id",
    "session=",
    "rack.session",
    "ci_session",
    "play_session",
    "wordpress_",
    "arraffinity",
];

/// `Server` values that an edge or a proxy on our side puts there, so that they tell nothing about the origin.
const EDGE_SERVERS: &[&str] = &[
    "cloudflare",
    "akamaighost",
    "cloudfront",
    "awselb",
    "sucuri",
    "varnish",
    "vercel",
    "microsoft-azure-application-gateway",
    "volt-adc",
    "ddos-guard",
    "barracudahttp",
    "zscaler",
    "squid",
    "bigip",
    "big-ip",
    "google frontend",
    "gws",
    "esf",
    "ghs",
    "imperva",
    "incapsula",
    "stackpath",
    "fbs",
    "netscaler",
    "nginx-wallarm",
    "adm/",
    "dosarrest",
    "qrator",
];

/// Bodies that web servers and platforms at the origin make, by a marker of each.
const OWN_PAGES: &[(&str, &str)] = &[
    ("<hr><center>nginx", "nginx's own page"),
    ("<hr><center>openresty", "OpenResty's own page"),
    ("<hr><center>tengine", "Tengine's own page"),
    ("<address>apache", "Apache's own page"),
    (
        "you don't have permission to access this resource",
        "Apache's own page",
    ),
    (
        "request forbidden by administrative rules",
        "HAProxy's own page",
    ),
    ("<h1>http status ", "Tomcat's own page"),
    ("powered by jetty", "Jetty's own page"),
    ("jetty://", "Jetty's own page"),
    ("403 - forbidden: access is denied", "IIS's own page"),
    (
        "http error 503. the service is unavailable",
        "Windows' HTTP.sys page",
    ),
    ("http error 40", "IIS's own page"),
    ("guru meditation", "the page of an open-source Varnish"),
    (
        "herokucdn.com/error-pages",
        "Heroku's page for a failing application",
    ),
    ("server error in '/", "ASP.NET's own page"),
    ("whitelabel error page", "Spring's own page"),
    ("<code>accessdenied</code>", "an object store's XML error"),
    ("<code>nosuchkey</code>", "an object store's XML error"),
    ("<code>nosuchbucket</code>", "an object store's XML error"),
];

/// Texts of service meshes and gateways, which are the whole body.
const OWN_TEXTS: &[(&str, &str)] = &[
    ("rbac: access denied", "Envoy's access policy"),
    ("no healthy upstream", "Envoy's own answer"),
    (
        "upstream connect error or disconnect/reset before headers",
        "Envoy's own answer",
    ),
    ("upstream request timeout", "Envoy's own answer"),
    ("default backend - 404", "Kubernetes' default backend"),
    ("403: forbidden", "a framework's own answer"),
];

/// The strongest sign that the origin answered; `None` when nothing shows it.
pub(crate) fn answered(page: &Page<'_>) -> Option<Evidence> {
    if cloudflare::past_the_cache(page) {
        let status = page.header("cf-cache-status").unwrap_or_default();
        return Some(strong(format!(
            "header cf-cache-status: {status}: the cache stage was reached, which comes after every block"
        )));
    }
    let connected = page
        .answer
        .header_all("x-iinfo")
        .any(|info| info.contains("NNN CT(") || info.contains(" SNNN "));
    if connected {
        return Some(strong(
            "header x-iinfo: the front connected to the origin for it".to_owned(),
        ));
    }
    if page.header("x-azure-ref").is_some()
        && (page.header_has("x-cache", "config_nocache") || page.header_has("x-cache", "tcp_"))
        && page.header("x-azure-externalerror").is_none()
    {
        return Some(strong(
            "header x-cache beside x-azure-ref: Front Door relayed it".to_owned(),
        ));
    }
    for name in ORIGIN_HEADERS {
        if let Some(value) = page.header(name) {
            return Some(strong(format!("header {name}: {value}: the origin's")));
        }
    }
    if page.header_has("via", "1.1 vegur") {
        return Some(strong("header via: Heroku's router".to_owned()));
    }
    if let Some(cookie) = APPLICATION_COOKIES
        .iter()
        .find(|cookie| page.sets_cookie(cookie))
    {
        return Some(strong(format!("it sets the application cookie {cookie}")));
    }
    if let Some((_, whose)) = OWN_PAGES.iter().find(|(marker, _)| page.has(marker)) {
        return Some(strong(format!("the body is {whose}")));
    }
    let body = page.body().trim_ascii();
    let text = OWN_TEXTS.iter().find(|(text, _)| {
        body.get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
    });
    if let Some((_, whose)) = text {
        return Some(strong(format!("the body is {whose}")));
    }
    let server = page.header("server")?.trim();
    let edges_own = server.is_empty() || EDGE_SERVERS.iter().any(|edge| starts(server, edge));
    (!edges_own).then(|| strong(format!("header server: {server}: the origin's own name")))
}

fn strong(text: String) -> Evidence {
    Evidence {
        strength: Strength::Strong,
        text,
    }
}

/// The CDN or WAF that shows itself as the front, with the header that shows it.
pub(crate) fn front(page: &Page<'_>) -> Option<(&'static str, &'static str)> {
    let server = page.header("server").unwrap_or_default().trim();
    let has_header = |name: &str| page.header(name).is_some();
    let cookie = |prefix: &str| page.sets_cookie(prefix);
    let is = |prefix: &str| starts(server, prefix);
    Some(match () {
        () if is("cloudflare") => ("cloudflare", "server"),
        () if has_header("cf-ray") => ("cloudflare", "cf-ray"),
        () if is("sucuri") => ("sucuri", "server"),
        () if has_header("x-sucuri-id") => ("sucuri", "x-sucuri-id"),
        () if has_header("x-iinfo") => ("imperva", "x-iinfo"),
        () if page.header_has("x-cdn", "incapsula") || page.header_has("x-cdn", "imperva") => {
            ("imperva", "x-cdn")
        }
        () if cookie("visid_incap_") || cookie("incap_ses_") => ("imperva", "set-cookie"),
        () if is("vercel") => ("vercel", "server"),
        () if has_header("x-vercel-id") => ("vercel", "x-vercel-id"),
        () if is("akamaighost") => ("akamai", "server"),
        () if has_header("x-amz-cf-id") => ("cloudfront", "x-amz-cf-id"),
        () if is("cloudfront") => ("cloudfront", "server"),
        () if page.header_has("via", ".cloudfront.net") => ("cloudfront", "via"),
        () if has_header("x-azure-ref") => ("azure_front_door", "x-azure-ref"),
        () if has_header("x-msedge-ref") => ("azure_front_door", "x-msedge-ref"),
        () if akamai_in_front(page) => ("akamai", "akamai-grn, x-akamai-… or its cookies"),
        () if has_header("x-fastly-request-id") => ("fastly", "x-fastly-request-id"),
        () if page
            .header("x-served-by")
            .is_some_and(|by| starts(by.trim(), "cache-")) =>
        {
            ("fastly", "x-served-by")
        }
        () if is("ddos-guard") => ("ddos_guard", "server"),
        () if is("volt-adc") => ("f5_xc", "server"),
        () if has_header("x-datadome") => ("datadome", "x-datadome"),
        () if page.header_has("via", "1.1 google") => ("google_frontend", "via"),
        () => return None,
    })
}

/// The front's own id of this request, for a ticket.
pub(crate) fn request_id(page: &Page<'_>) -> Option<String> {
    if let Some(ray) = page.header("cf-ray").and_then(|_| cloudflare::ray(page)) {
        return Some(ray);
    }
    [
        "x-amzn-requestid",
        "x-amz-cf-id",
        "x-azure-ref",
        "x-vercel-id",
        "akamai-grn",
    ]
    .iter()
    .find_map(|name| page.header(name))
    .map(|id| id.trim().to_owned())
    .filter(|id| !id.is_empty())
}

/// The place from which the edge answered, if it says.
pub(crate) fn place(page: &Page<'_>) -> Option<String> {
    let ray = page.header("cf-ray").and_then(|ray| ray.split('-').nth(1));
    let cloudfront = || page.header("x-amz-cf-pop");
    let fastly = || {
        let last = page.header("x-served-by")?.rsplit(',').next()?.trim();
        if starts(last, "cache-") {
            last.rsplit('-').next()
        } else {
            None
        }
    };
    let vercel = || {
        page.header("x-vercel-id")
            .and_then(|id| id.split("::").next())
    };
    let place = ray
        .or_else(cloudfront)
        .or_else(fastly)
        .or_else(vercel)?
        .trim();
    let word: String = place
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(16)
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Whether a Cloudflare page came from behind the front that relayed it.
pub(crate) fn relays_cloudflare(page: &Page<'_>) -> bool {
    cloudflare::past_the_cache(page)
        && (page.has("cf-error-details") || page.has("_cf_chl_opt") || page.has("cf-error-code"))
}

/// What an application says about its refusal, when its words are plain.
pub(crate) fn told_reason(text: &str) -> Option<Rule> {
    static GEO: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)\b(?:from|in|for) (?:your|this) (?:country|region|location|jurisdiction)\b|\bgeo-?(?:blocked|restricted|restriction)|\bnot available in your (?:country|region|area)",
        )
    });
    static IP: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)\bip(?: address)?(?: \(?[0-9a-f.:]{3,45}\)?)? (?:is |was |has been |has )?(?:not (?:been )?(?:in |on )?(?:the )?(?:allow|authori|white-?list|permit|register|recogni)|(?:temporarily |permanently )?(?:blocked|banned|denied|blacklist|blocklist|restricted))",
        )
    });
    static AUTH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)authentication (?:token|required|failed|credentials)|authentication is required|not authenticated|(?:missing|invalid|no|expired) (?:api[ _-]?key|access token|credentials|authentication)|credentials were not provided",
        )
    });
    static CSRF: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)\b(?:csrf|xsrf|anti-?forgery)\b.{0,60}(?:fail|invalid|mismatch|missing|incorrect|expired|abort)|(?:fail|invalid|mismatch|missing|incorrect|expired).{0,30}\b(?:csrf|xsrf|anti-?forgery)\b",
        )
    });
    let rules: [(&LazyLock<Regex>, Rule); 4] = [
        (&IP, Rule::Ip),
        (&GEO, Rule::Geo),
        (&CSRF, Rule::Csrf),
        (&AUTH, Rule::Auth),
    ];
    rules
        .into_iter()
        .find(|(words, _)| words.is_match(text))
        .map(|(_, rule)| rule)
}
