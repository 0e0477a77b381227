//! What shows that the origin answered, who stands in front of it, and where.
//!
//! Anything that only the origin can have written proves that it was asked. What a front adds to every
//! answer (its name, a request id) proves nothing about who made this one.

use std::sync::LazyLock;

use regex::Regex;

use super::{cloudflare, gateway};
use crate::domain::verdict::{Evidence, Rule, Strength};
use crate::read::signatures::page::{Page, has, pattern, starts};

/// Headers that an application, its framework or its storage writes: positive evidence that it spoke.
const APPLICATION_HEADERS: &[&str] = &[
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-runtime",
    "x-generator",
    "x-drupal-cache",
    "x-amz-request-id",
    "x-guploader-uploadid",
    "x-oss-request-id",
    "x-goog-hash",
    "x-ms-request-id",
    "x-github-request-id",
    "www-authenticate",
    "x-application-context",
    "x-jenkins",
    "x-nextjs-cache",
    "grpc-status",
    "$wsep",
    // What a proxy of the partner adds after it has asked the application.
    "x-envoy-upstream-service-time",
    "x-kong-upstream-latency",
    "x-backend-server",
];

/// Headers that something behind the edge writes, be it the application or a gateway before it.
///
/// They speak against an answer of the edge, but not for one of the application: gateways, filters and
/// caches give ids and count requests too.
const BEHIND_HEADERS: &[&str] = &[
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
    "x-kong-response-latency",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "ratelimit-limit",
    "x-amz-apigw-id",
    "x-varnish",
    "allow",
];

/// `X-Powered-By` values of filters, which name themselves where frameworks do.
pub(super) const FILTERS_POWER: &[&str] = &["waf", "safe3", "anquanbao", "360wzb", "shield"];

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

/// `Server` values of software that runs applications or keeps their files; a name that is not here proves nothing.
const APPLICATION_SERVERS: &[&str] = &[
    "microsoft-iis",
    "kestrel",
    "apache-coyote",
    "apache tomcat",
    "jetty",
    "undertow",
    "wildfly",
    "jboss",
    "glassfish",
    "payara",
    "weblogic",
    "websphere",
    "ibm_http_server",
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "waitress",
    "werkzeug",
    "tornadoserver",
    "python/",
    "cherrypy",
    "wsgiserver",
    "puma",
    "unicorn",
    "thin",
    "webrick",
    "phusion passenger",
    "cowboy",
    "mojolicious",
    "starman",
    "php/",
    "zope",
    "lotus-domino",
    "oracle-application-server",
    "amazons3",
    "uploadserver",
    "aliyunoss",
    "github.com",
    "spyne",
];

/// `Server` values that an edge or a proxy on our side puts there, so that they don't even speak for something behind it.
pub(super) const EDGE_SERVERS: &[&str] = &[
    "cloudflare",
    "akamaighost",
    "akamainetstorage",
    "cloudfront",
    "awselb",
    "sucuri",
    "varnish",
    "vercel",
    "netlify",
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

/// Words in a `Server` value that name a filter, whoever makes it.
pub(super) const FILTERS: &[&str] = &["waf", "firewall", "shield", "anti-ddos", "protect", "secur"];

/// Pages of application servers, frameworks and storage, by a marker of each.
pub(super) const APPLICATION_PAGES: &[(&str, &str)] = &[
    ("<h1>http status ", "Tomcat's own page"),
    ("powered by jetty", "Jetty's own page"),
    ("jetty://", "Jetty's own page"),
    ("403 - forbidden: access is denied", "IIS's own page"),
    // Its pages have a second number: "HTTP Error 403.14 - Forbidden".
    ("http error 401.", "IIS's own page"),
    ("http error 403.", "IIS's own page"),
    ("http error 404.", "IIS's own page"),
    ("http error 405.", "IIS's own page"),
    ("http error 500.", "IIS's own page"),
    (
        "herokucdn.com/error-pages",
        "Heroku's page for a failing application",
    ),
    ("server error in '/", "ASP.NET's own page"),
    ("whitelabel error page", "Spring's own page"),
    // "Error 403--Forbidden From RFC 2068 …".
    ("<h2>error 403--", "WebLogic's own page"),
    ("<h2>error 404--", "WebLogic's own page"),
    ("<h2>error 500--", "WebLogic's own page"),
    ("<code>accessdenied</code>", "an object store's XML error"),
    ("<code>nosuchkey</code>", "an object store's XML error"),
    ("<code>nosuchbucket</code>", "an object store's XML error"),
];

/// The strongest sign that the partner's application, its server or its storage made this answer.
///
/// Without one nobody knows who refused, and nobody is named.
pub(crate) fn application(page: &Page<'_>) -> Option<Evidence> {
    let common = || Some(strong(format!("the body is {}", common_form(page)?)));
    application_beyond_form(page).or_else(common)
}

/// The same without those forms of an error that filters before the application use as well.
pub(crate) fn application_beyond_form(page: &Page<'_>) -> Option<Evidence> {
    if let Some(relayed) = relayed(page) {
        return Some(relayed);
    }
    for name in APPLICATION_HEADERS {
        if let Some(value) = page.header(name)
            && !(*name == "x-powered-by" && FILTERS_POWER.iter().any(|filter| has(value, filter)))
        {
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
    if let Some((_, whose)) = APPLICATION_PAGES
        .iter()
        .find(|(marker, _)| page.has(marker))
    {
        return Some(strong(format!("the body is {whose}")));
    }
    if let Some(whose) = envelope(page) {
        return Some(strong(format!("the body is {whose}")));
    }
    let server = page.header("server")?.trim();
    APPLICATION_SERVERS
        .iter()
        .any(|name| starts(server, name))
        .then(|| strong(format!("header server: {server}: an application server")))
}

/// The strongest sign that something behind the edge answered, be it the application or what stands before it.
pub(crate) fn answered(page: &Page<'_>) -> Option<Evidence> {
    if let Some(sign) = application(page) {
        return Some(sign);
    }
    if let Some((name, value)) = BEHIND_HEADERS
        .iter()
        .find_map(|name| Some((name, page.header(name)?)))
    {
        return Some(strong(format!(
            "header {name}: {value}: from behind the edge"
        )));
    }
    if let Some(gateway) = gateway::named(page) {
        return Some(strong(gateway.says));
    }
    let server = page.header("server")?.trim();
    (!page.is_edges(server)).then(|| {
        weak(format!(
            "header server: {server}: no name of an edge, and no proof of who answered"
        ))
    })
}

/// What the edge itself says about having asked the origin for this answer.
fn relayed(page: &Page<'_>) -> Option<Evidence> {
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
    let azure = page.header("x-azure-ref").is_some()
        && (page.header_has("x-cache", "config_nocache") || page.header_has("x-cache", "tcp_"))
        && page.header("x-azure-externalerror").is_none();
    azure.then(|| strong("header x-cache beside x-azure-ref: Front Door relayed it".to_owned()))
}

/// Error formats of applications and their frameworks in JSON.
///
/// OAuth 2.0 <https://www.rfc-editor.org/rfc/rfc6749#section-5.2>,
/// Google's <https://google.aip.dev/193>, Microsoft's <https://github.com/microsoft/api-guidelines>, JSON:API
/// <https://jsonapi.org/format/#errors>; Spring Boot, Fastify, Django REST framework, Kubernetes and GraphQL as
/// their documentation shows them. `{"message": …}` and `{"error": …}` alone are everybody's.
fn envelope(page: &Page<'_>) -> Option<&'static str> {
    if page.status() < 400 {
        return None;
    }
    let json = page.json()?.as_object()?;
    let has = |name: &str| json.contains_key(name);
    let all = |names: &[&str]| names.iter().all(|name| has(name));
    let word = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
    let causes = |name: &str| {
        json.get("error")
            .and_then(|error| error.get(name))
            .is_some()
    };
    Some(match () {
        () if has("status") && causes("root_cause") => {
            "Elasticsearch's or OpenSearch's error format"
        }
        () if all(&["timestamp", "status", "error", "path"]) => "Spring Boot's error format",
        () if all(&["statusCode", "error", "message"]) => "the error format of a Node.js framework",
        () if word("kind") == Some("Status") && has("apiVersion") => "Kubernetes' error format",
        () if all(&["error", "error_description"]) => "an OAuth error (RFC 6749)",
        () if json.len() == 1 && word("detail").is_some() => {
            "the error format of Django REST framework or FastAPI"
        }
        () if json.len() == 1 && word("message").is_some_and(is_laravels) => {
            "an error of the framework Laravel"
        }
        () => return None,
    })
}

/// What Laravel answers where nobody wrote another text (<https://github.com/laravel/framework>, `Auth/Access` and `Foundation/Exceptions`).
fn is_laravels(message: &str) -> bool {
    [
        "This action is unauthorized.",
        "Unauthenticated.",
        "CSRF token mismatch.",
    ]
    .contains(&message)
}

/// An error format that many use: APIs first, and firewalls that are told to answer as the API would.
///
/// Problem details: <https://www.rfc-editor.org/rfc/rfc9457>.
fn common_form(page: &Page<'_>) -> Option<&'static str> {
    if page.status() < 400 {
        return None;
    }
    let json = page.json()?.as_object()?;
    let nested = |name: &str| {
        json.get("error")
            .and_then(|error| error.get(name))
            .is_some()
    };
    let all = |names: [&str; 3]| names.iter().all(|name| json.contains_key(*name));
    Some(match () {
        () if nested("code") && nested("message") => "an API's error object",
        () if all(["type", "title", "status"]) || all(["type", "title", "detail"]) => {
            "an API's problem details (RFC 9457)"
        }
        () if json.get("errors").is_some_and(serde_json::Value::is_array) => {
            "an API's list of errors"
        }
        () => return None,
    })
}

fn strong(text: String) -> Evidence {
    Evidence {
        strength: Strength::Strong,
        text,
    }
}

fn weak(text: String) -> Evidence {
    Evidence {
        strength: Strength::Weak,
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

pub(super) fn akamai_in_front(page: &Page<'_>) -> bool {
    page.header("server")
        .is_some_and(|s| starts(s.trim(), "akamai"))
        || [
            "akamai-grn",
            "x-akamai-request-id",
            "akamai-cache-status",
            "x-akamai-transformed",
            "x-akamai-session-info",
            "akamai-request-bc",
        ]
        .iter()
        .any(|name| page.header(name).is_some())
        || ["_abck", "bm_sz", "ak_bmsc", "bm_mi", "bm_sv"]
            .iter()
            .any(|cookie| page.sets_cookie(cookie))
}
