//! The knowledge: what each vendor's refusals, challenges and errors show.
//!
//! Each row says who, what it is, by which signs, and what it means; `read` names the function that
//! takes numbers and ids out of the page. How sure a fact is stands in its words: rows without a remark
//! were seen in captured answers or read in the vendor's documentation; "(listed)" is from public
//! fingerprint collections, "(unconfirmed)" from practice without a source at hand. Where vendors
//! document it, the address stands above their rows. A new block page is a new row, and a case in
//! `tests/corpus/`.

mod makers;
mod our_side;

use std::sync::LazyLock;

use self::makers::MAKERS;
use self::our_side::OUR_SIDE;
use super::Sign::{
    AnyBody, Body, Bytes, Cookie, Has, Header, Is, NoHeader, NotBody, Starts, Status, Test, Title,
    TitleHas, Whole,
};
use super::readers as read;
use super::{Signature, cloudflare, header, json, origin, page, plain, shape};
use crate::domain::verdict::{Rule, WhoActs};
use crate::read::signatures::page::Form;

/// Vendors in the order in which equal tiers are tried: our own side first, because what a filter of
/// our network says must never be blamed on the partner.
pub(crate) const VENDORS: &[&[Signature]] = &[
    OUR_SIDE, CLOUDFLARE, AKAMAI, IMPERVA, AMAZON, MICROSOFT, GOOGLE, DATADOME, HUMAN, KASADA, F5,
    SUCURI, FASTLY, VERCEL, FORTIWEB, OTHERS, MAKERS,
];

/// Beginnings of `Server` values that the table knows as a maker's: they don't speak for anybody behind it.
pub(crate) static SERVERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let rows = VENDORS.iter().copied().flatten();
    let named = rows
        .flat_map(|row| row.signs)
        .filter_map(|sign| match sign {
            Is("server", name) | Starts("server", name) => Some(*name),
            _ => None,
        });
    // What makes a filter of it is another sign of the row.
    named.filter(|name| *name != "microsoft-iis").collect()
});

/// <https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>,
/// <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/>.
///
/// No sign: `/cdn-cgi/challenge-platform/scripts/jsd/`, `__CF$cv$params`, `/cdn-cgi/bm/cv/` (injected into
/// ordinary pages), the Turnstile widget, Rocket Loader, e-mail protection, `nel`, `__cf_bm`.
const CLOUDFLARE: &[Signature] = &[
    header("cloudflare", "Cloudflare challenges the client", &[Is("cf-mitigated", "challenge")]).challenge().read(cloudflare::challenge),
    header("cloudflare", "Cloudflare made this error itself", &[Header("cf-error-type")])
        .error(Rule::Unknown)
        .statuses(400, 599)
        .read(cloudflare::error_header),
    header("cloudflare", "Cloudflare blocks the request (unconfirmed)", &[Is("cf-mitigated", "block")])
        .block(Rule::Unknown)
        .statuses(400, 599)
        .strong()
        .read(cloudflare::by_title),
    json("cloudflare", "Cloudflare's error as JSON", &[Body("\"cloudflare_error\"")]).read(cloudflare::json_error),
    plain("cloudflare", "Cloudflare's error as Markdown", &[Body("cloudflare_error:")]).read(cloudflare::markdown_error),
    plain("cloudflare", "Cloudflare's error as plain text", &[Body("error code: "), Bytes(64)]).read(cloudflare::text_error),
    // The Access pages carry a class cf-error-522 that means nothing.
    page("cloudflare", "Cloudflare Access refuses", &[TitleHas("Cloudflare Access"), Status(&[401, 403])])
        .block(Rule::AccessPolicy)
        .read(cloudflare::by_title),
    page("cloudflare", "the login of Cloudflare Access in place of the application", &[TitleHas("Cloudflare Access"), TitleHas("sign in")])
        .login()
        .wordy()
        .statuses(200, 299)
        .read(cloudflare::by_title),
    header("cloudflare", "redirected to the login of Cloudflare Access", &[Has("location", ".cloudflareaccess.com/")])
        .login()
        .statuses(300, 399),
    page("cloudflare", "Cloudflare's challenge page", &[AnyBody(&["_cf_chl_opt=", "_cf_chl_opt ="])])
        .challenge()
        .read(cloudflare::challenge),
    page("cloudflare", "Cloudflare's challenge page", &[Body("/cdn-cgi/challenge-platform/"), AnyBody(&["/orchestrate/chl_page", "/orchestrate/jsch", "/orchestrate/captcha", "/orchestrate/managed"])])
        .challenge()
        .read(cloudflare::challenge),
    page("cloudflare", "Cloudflare's challenge page of 2015 to 2021", &[AnyBody(&["jschl_vc", "jschl-answer", "cf-browser-verification", "trk_jschal", "cf_captcha_kind", "cf-challenge-running", "/cdn-cgi/l/chk_", "data-translate=\"challenge_headline\""])])
        .challenge()
        .read(cloudflare::challenge),
    page("cloudflare", "Cloudflare's challenge page", &[Title("Just a moment..."), Test("Cloudflare is in front", cloudflare::in_front), Bytes(65536)])
        .challenge()
        .strong()
        .read(cloudflare::challenge),
    page("cloudflare", "Cloudflare's challenge page", &[Title("Please Wait... | Cloudflare")])
        .challenge()
        .strong()
        .read(cloudflare::challenge),
    header("cloudflare", "Cloudflare offers to pass its challenge", &[Header("cf-chl-bypass"), Status(&[403, 429, 503]), NoHeader("cf-cache-status")])
        .challenge()
        .strong()
        .of_structure()
        .read(cloudflare::challenge),
    header("cloudflare", "the header set of Cloudflare's challenge", &[Header("critical-ch"), Header("origin-agent-cluster"), Has("cross-origin-embedder-policy", "require-corp"), Status(&[401, 403, 429, 503]), NoHeader("cf-cache-status"), Test("Cloudflare is in front", cloudflare::in_front)])
        .challenge()
        .strong()
        .of_structure()
        .read(cloudflare::challenge),
    header("cloudflare", "the ray of a Cloudflare challenge", &[Has("server-timing", "chlray"), Status(&[401, 403, 429, 503]), NoHeader("cf-cache-status")])
        .challenge()
        .strong()
        .of_structure()
        .read(cloudflare::challenge),
    // A challenge with a good status happens behind rewriting proxies; then it must be nothing else.
    page("cloudflare", "Cloudflare's challenge page", &[AnyBody(&["_cf_chl_opt=", "_cf_chl_opt ="]), Title("Just a moment...")])
        .challenge()
        .statuses(200, 299)
        .read(cloudflare::challenge),
    page("cloudflare", "Cloudflare's error page", &[AnyBody(&["id=\"cf-error-details\"", "id='cf-error-details'", "class=\"cf-error-details", "class='cf-error-details", "cf-error-code\"", "cf-error-code'"])])
        .block(Rule::Unknown)
        .read(cloudflare::error_page),
    page("cloudflare", "Cloudflare's block page", &[TitleHas("used Cloudflare to restrict access")])
        .block(Rule::Unknown)
        .read(cloudflare::error_page),
    page("cloudflare", "Cloudflare's block page", &[Title("Attention Required! | Cloudflare")])
        .block(Rule::FirewallRule)
        .strong()
        .read(cloudflare::by_title),
    page("cloudflare", "an unstyled page of Cloudflare: the edge has no settings for this host (server name and Host may differ)", &[AnyBody(&["<hr><center>cloudflare</center>", "<hr><center>cloudflare-nginx</center>"])])
        .error(Rule::HostMisconfig)
        .read(cloudflare::unbranded),
    shape("cloudflare", "a status that only Cloudflare uses", &[Status(&[520, 521, 522, 523, 524, 525, 526, 527, 530])])
        .error(Rule::OriginDown)
        .strong()
        .of_structure()
        .read(cloudflare::own_status),
    shape("cloudflare", "the header set of answers that Cloudflare makes, and no sign of the origin: probably a custom answer of a rule", &[NoHeader("cf-cache-status"), Has("cache-control", "no-store")])
        .block(Rule::Unknown)
        .statuses(400, 599)
        .read(cloudflare::custom_answer),
];

/// Counted over public scans of 2021; the owner translates a reference
/// (<https://techdocs.akamai.com/application-security/reference>, "error translator").
///
/// No sign: `_abck`, `bm_sz`, `ak_bmsc` cookies, `akamai-grn`, "You don't have permission to access" (Apache says it too).
const AKAMAI: &[Signature] = &[
    header(
        "akamai",
        "Akamai's reference of an error at the edge",
        &[Header("x-reference-error")],
    )
    .statuses(400, 999)
    .read(read::akamai_header),
    page(
        "akamai",
        "Akamai's error page with a reference",
        &[AnyBody(&[
            "reference&#32;&#35;",
            "reference&#32;#",
            "reference #",
            "reference: #",
            "errors.edgesuite.net/",
        ])],
    )
    .read(read::akamai_page),
    page(
        "akamai",
        "Akamai's error page with a reference",
        &[
            Body("reference&#32;&#35;"),
            Title("Access Denied"),
            Bytes(1500),
        ],
    )
    .statuses(200, 299)
    .read(read::akamai_page),
    Signature {
        forms: &[Form::Html, Form::Xml, Form::Json, Form::Text],
        ..page(
            "akamai",
            "an error page with an Akamai reference",
            &[
                Test("Akamai is in front", origin::akamai_in_front),
                Bytes(65536),
            ],
        )
        .read(read::akamai_page)
    },
    page(
        "akamai",
        "Akamai Bot Manager's interstitial",
        &[AnyBody(&[
            "id=\"sec-if-cpt-container\"",
            "id='sec-if-cpt-container'",
            "scf-akamai-",
        ])],
    )
    .challenge()
    .any_status(),
    json(
        "akamai",
        "Akamai Bot Manager's challenge (unconfirmed)",
        &[
            AnyBody(&["\"sec-cp-challenge\"", "\"cpr_chlge\""]),
            Status(&[428, 429, 403]),
        ],
    )
    .challenge()
    .strong(),
    header(
        "akamai",
        "Akamai's cache denied it at the edge",
        &[Has("x-cache", "tcp_denied"), Status(&[401, 403])],
    )
    .block(Rule::Unknown)
    .strong()
    .of_structure()
    .read(read::akamai_server),
    shape(
        "akamai",
        "made by the edge server: a relayed answer keeps the origin's Server",
        &[Is("server", "AkamaiGHost")],
    )
    .strong()
    .read(read::akamai_server),
];

/// No sign: `x-cdn`, `visid_incap_`, `incap_ses_`, the script `/_Incapsula_Resource?SWJIYLWA=` inside a full page.
const IMPERVA: &[Signature] = &[
    page(
        "imperva",
        "Imperva's block page",
        &[Body("/_incapsula_resource"), Body("incident_id=")],
    )
    .block(Rule::Unknown)
    .any_status()
    .read(read::imperva_incident),
    page(
        "imperva",
        "Imperva's block page",
        &[Body("incapsula incident id:")],
    )
    .block(Rule::Unknown)
    .read(read::imperva_incident),
    page(
        "imperva",
        "Imperva's block page",
        &[
            AnyBody(&["powered by imperva", "why-am-i-seeing-this-page"]),
            Body("incident id"),
            Bytes(65536),
        ],
    )
    .block(Rule::Unknown)
    .any_status()
    .read(read::named),
    json(
        "imperva",
        "Imperva's block as JSON (unconfirmed)",
        &[Body("\"incidentid\""), Body("\"errorcode\"")],
    )
    .block(Rule::Unknown)
    .strong()
    .read(read::imperva_json),
    page(
        "imperva",
        "Imperva's script challenge: the page is nothing but its script",
        &[
            Body("/_incapsula_resource?"),
            Bytes(16384),
            Test(
                "no title and nothing to read: no shell of an application",
                read::script_alone,
            ),
            NotBody("incident_id="),
        ],
    )
    .challenge()
    .any_status(),
    page(
        "imperva_distil",
        "Imperva's bot protection (Distil)",
        &[
            Title("Pardon Our Interruption"),
            AnyBody(&[
                "made us think you were a bot",
                "made us think that you are a bot",
                "showblockpage",
                "onprotectioninitialized",
            ]),
        ],
    )
    .challenge()
    .statuses(200, 299)
    .read(read::reference_id),
    page(
        "imperva_distil",
        "Imperva's bot protection (Distil)",
        &[
            TitleHas("Pardon Our Interruption"),
            AnyBody(&[
                "distilcaptchaform",
                "made us think you were a bot",
                "made us think that you are a bot",
                "showblockpage",
                "onprotectioninitialized",
                "distil_",
            ]),
        ],
    )
    .challenge()
    .read(read::reference_id),
    header(
        "imperva_distil",
        "Imperva's bot protection (Distil)",
        &[Header("x-distil-cs"), Status(&[405, 416, 456])],
    )
    .challenge()
    .strong()
    .read(read::reference_id),
    page(
        "imperva_securesphere",
        "the block page of an Imperva SecureSphere",
        &[
            Body("incident id is:"),
            AnyBody(&["#feee7a", "this page can't be displayed. contact support"]),
            Bytes(8192),
        ],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::incident_id),
    header(
        "imperva",
        "Imperva answered at its edge",
        &[Test(
            "header x-iinfo without a connection to the origin and with a block token",
            read::imperva_answered,
        )],
    )
    .block(Rule::Unknown)
    .strong()
    .of_structure()
    .statuses(400, 499),
];

/// <https://docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-how-it-works.html>.
///
/// No sign: `x-cache: Error from cloudfront` (on every origin status from 400), `via`, `aws-waf-token`,
/// `token.awswaf.com/…/challenge.js` in an ordinary page, `{"message":"Forbidden"}` of API Gateway.
const AMAZON: &[Signature] = &[
    header("aws_waf", "AWS WAF challenges the client", &[Is("x-amzn-waf-action", "challenge")]).challenge().code("challenge").read(read::amazon_ids),
    header("aws_waf", "AWS WAF asks for a captcha", &[Is("x-amzn-waf-action", "captcha")]).challenge().code("captcha").read(read::amazon_ids),
    header("aws_waf", "AWS WAF refused in front of an API", &[Has("x-amzn-errortype", "WAFForbidden")]).block(Rule::FirewallRule).statuses(400, 599).read(read::amazon_ids),
    header("aws_waf", "AWS WAF acted on the request", &[Header("x-amzn-waf-action")])
        .block(Rule::FirewallRule)
        .statuses(400, 599)
        .read(read::amazon_ids),
    page("aws_waf", "AWS WAF's captcha page", &[Body("gokuprops"), Body("captcha.js"), Body("awswaf"), Bytes(16384)])
        .challenge()
        .code("captcha")
        .any_status(),
    page("aws_waf", "AWS WAF's challenge page", &[Body("gokuprops"), Body("awswaf"), Bytes(16384)])
        .challenge()
        .code("challenge")
        .any_status(),
    page("cloudfront", "CloudFront's own error page", &[Body("generated by cloudfront"), AnyBody(&["the request could not be satisfied", "request id:"]), Bytes(16384)]).read(read::cloudfront_page),
    header("cloudfront", "a function of the owner at CloudFront's edge answered", &[Has("x-cache", "GeneratedResponse from cloudfront")])
        .of_structure()
        .strong()
        .statuses(400, 599)
        .read(read::cloudfront_code),
    page("cloudfront", "CloudFront asks for a signed address", &[Is("server", "CloudFront"), AnyBody(&["<code>missingkey</code>", "missing key-pair-id", "<code>invalidkey</code>"]), Bytes(4096)])
        .block(Rule::EdgeAuth)
        .who(WhoActs::Visitor)
        .read(read::cloudfront_signed),
    shape("cloudfront", "made by CloudFront: a relayed answer keeps the origin's Server", &[Is("server", "CloudFront")])
        .strong()
        .read(read::cloudfront_bare),
    page("aws_alb", "the load balancer's own 403: a firewall rule or a fixed answer (nginx's page has a line, this has none)", &[Starts("server", "awselb/"), Body("<center><h1>403 forbidden</h1></center>"), NotBody("<hr>"), Bytes(1024), Status(&[403])]).block(Rule::Unknown),
    shape("aws_alb", "the load balancer answered itself: a firewall rule or a fixed answer", &[Starts("server", "awselb/"), Status(&[403])]).block(Rule::Unknown),
];

/// <https://learn.microsoft.com/azure/web-application-firewall/afds/>, Front Door's HTTP headers.
///
/// No sign: `x-azure-ref` (on every answer), `ARRAffinity`.
const MICROSOFT: &[Signature] = &[
    page(
        "azure_front_door",
        "the firewall of Azure Front Door refuses",
        &[
            Body("the request is blocked."),
            AnyBody(&["id='errorref'", "id=\"errorref\""]),
        ],
    )
    .block(Rule::FirewallRule)
    .read(read::azure_reference),
    Signature {
        forms: &[Form::Html, Form::Xml, Form::Text],
        ..page(
            "azure_front_door",
            "the firewall of Azure Front Door refuses",
            &[
                Body("the request is blocked."),
                Header("x-azure-ref"),
                Bytes(1024),
            ],
        )
        .block(Rule::FirewallRule)
        .read(read::azure_reference)
    },
    page(
        "azure_front_door",
        "Azure Front Door does not serve this host or cannot reach its origin",
        &[
            AnyBody(&[
                "our services aren't available right now",
                "our services aren&#39;t available right now",
                "our services aren’t available right now",
                "find your azure front door",
            ]),
            Bytes(32768),
        ],
    )
    .error(Rule::HostMisconfig)
    .read(read::azure_reference),
    page(
        "azure_front_door",
        "the challenge of an Azure firewall (unconfirmed)",
        &[
            AnyBody(&["afd_azwaf_", "appgw_azwaf_", "/.azwaf/"]),
            Bytes(32768),
        ],
    )
    .challenge()
    .any_status()
    .strong()
    .read(read::azure_reference),
    header(
        "azure_front_door",
        "Azure Front Door names an error of its origin (unconfirmed)",
        &[Header("x-azure-externalerror"), Header("x-azure-ref")],
    )
    .error(Rule::OriginDown)
    .strong()
    .statuses(500, 599)
    .read(read::azure_origin_error),
    shape(
        "azure_front_door",
        "Azure Front Door answered itself: a relayed answer has x-cache",
        &[Header("x-azure-ref"), NoHeader("x-cache"), Status(&[403])],
    )
    .block(Rule::FirewallRule)
    .read(read::azure_reference),
    shape(
        "azure_front_door",
        "Azure Front Door answered itself: a relayed answer has x-cache",
        &[Header("x-azure-ref"), NoHeader("x-cache"), Status(&[429])],
    )
    .limited()
    .read(read::azure_reference),
    page(
        "azure_appgw",
        "Azure Application Gateway's own page",
        &[
            AnyBody(&[
                "<hr><center>microsoft-azure-application-gateway",
                "<hr /><center>microsoft-azure-application-gateway",
            ]),
            Bytes(4096),
        ],
    )
    .read(read::application_gateway),
    shape(
        "azure_appgw",
        "made by Azure Application Gateway: a relayed answer keeps the origin's Server",
        &[Starts("server", "microsoft-azure-application-gateway")],
    )
    .strong()
    .read(read::application_gateway),
    page(
        "azure_app_service",
        "Azure App Service: the web app is stopped",
        &[Body("this web app is stopped"), Bytes(16384)],
    )
    .error(Rule::OriginDown),
    page(
        "azure_app_service",
        "Azure App Service does not know this host",
        &[
            AnyBody(&[
                "microsoft azure web app - error 404",
                "404 web site not found",
            ]),
            AnyBody(&["azure", "azurewebsites"]),
            Bytes(16384),
        ],
    )
    .error(Rule::HostMisconfig),
    page(
        "azure_app_service",
        "Azure App Service's access restrictions refuse (unconfirmed)",
        &[
            Body("error 403 - forbidden"),
            Body("web app you have attempted to reach"),
            Bytes(16384),
        ],
    )
    .block(Rule::Unknown)
    .strong(),
];

/// Captured pages; the minimal page is confirmed by a Google laboratory about Cloud Armor deny rules.
///
/// No sign: `via: 1.1 google`.
const GOOGLE: &[Signature] = &[
    header(
        "google_frontend",
        "Google's Identity-Aware Proxy answered (unconfirmed)",
        &[
            Is("x-goog-iap-generated-response", "true"),
            Status(&[401, 403]),
        ],
    )
    .block(Rule::AccessPolicy),
    page(
        "google_cloud_armor",
        "the minimal page of Google's load balancer",
        &[
            Body("content=\"width=device-width, initial-scale=1\"><title>"),
            Bytes(320),
        ],
    )
    .read(read::google_minimal),
    page(
        "google_frontend",
        "Google asks its own visitors for a captcha",
        &[
            // Others say the first words too.
            Body("our systems have detected unusual traffic from your computer network"),
            AnyBody(&["google", "/sorry/", "g-recaptcha"]),
        ],
    )
    .challenge()
    .statuses(400, 599),
    header(
        "google_frontend",
        "redirected to Google's captcha",
        &[Has("location", "google.com/sorry/")],
    )
    .challenge()
    .statuses(300, 399),
    page(
        "google_frontend",
        "Google's front end does not serve this",
        &[
            AnyBody(&[
                "//www.google.com/\"><span id=logo",
                "//www.google.com/><span id=logo",
                "//www.google.com/images/errors/robot.png",
            ]),
            AnyBody(&[
                "that’s an error",
                "that's an error",
                "that&#39;s an error",
                "that&rsquo;s an error",
            ]),
            Bytes(16384),
        ],
    )
    .read(read::google_page),
    page(
        "google_frontend",
        "Google's load balancer answered itself",
        &[
            Body("<body text=#000000 bgcolor=#ffffff>"),
            AnyBody(&[
                "<h1>error: forbidden</h1>",
                "<h1>error: server error</h1>",
                "<h1>error: bad gateway</h1>",
                "<h1>error: not found</h1>",
            ]),
            NoHeader("www-authenticate"),
            Bytes(2048),
        ],
    )
    .read(read::google_page),
];

/// `x-datadome: protected` and the cookie are on every answer of a protected site.
const DATADOME: &[Signature] = &[
    header(
        "datadome",
        "DataDome refused",
        &[Header("x-dd-b"), Header("x-datadome-cid")],
    )
    .challenge()
    .statuses(400, 599)
    .read(read::datadome),
    header("datadome", "DataDome refused", &[Header("x-dd-b")])
        .challenge()
        .statuses(400, 599)
        .strong()
        .read(read::datadome),
    header(
        "datadome",
        "DataDome refused",
        &[Header("x-datadome-cid"), Status(&[401, 403, 405, 429])],
    )
    .challenge()
    .strong()
    .read(read::datadome),
    json(
        "datadome",
        "DataDome's challenge as JSON",
        &[Body("captcha-delivery.com/")],
    )
    .challenge()
    .read(read::datadome_json),
    page(
        "datadome",
        "DataDome's page",
        &[
            AnyBody(&[
                "ct.captcha-delivery.com/",
                "geo.captcha-delivery.com",
                "captcha-delivery.com/i.js",
                "captcha-delivery.com/c.js",
            ]),
            AnyBody(&[
                "var dd={",
                "var dd = {",
                "dd={'rt'",
                "\"rt\":",
                "captcha-delivery.com/captcha/",
                "captcha-delivery.com/interstitial/",
            ]),
        ],
    )
    .challenge()
    .read(read::datadome),
    page(
        "datadome",
        "DataDome's page",
        &[
            AnyBody(&["ct.captcha-delivery.com/", "geo.captcha-delivery.com"]),
            AnyBody(&["var dd={", "var dd = {"]),
            Bytes(8192),
            Test("nothing to read on the page", read::nothing_to_read),
        ],
    )
    .challenge()
    .statuses(200, 399)
    .read(read::datadome),
];

/// HUMAN, once `PerimeterX`; seen with 403, 412, 429 and 435. `window._pxAppId` alone is on ordinary pages.
const HUMAN: &[Signature] = &[
    json(
        "human_px",
        "HUMAN's challenge as JSON",
        &[
            Body("\"appid\""),
            AnyBody(&["\"blockscript\"", "\"jsclientsrc\"", "\"altblockscript\""]),
        ],
    )
    .challenge()
    .read(read::human_json),
    page(
        "human_px",
        "HUMAN's challenge page",
        &[AnyBody(&[
            "id=\"px-captcha\"",
            "id='px-captcha'",
            "id=px-captcha",
        ])],
    )
    .challenge()
    .read(read::human),
    page(
        "human_px",
        "HUMAN's challenge page",
        &[
            Body("_pxappid"),
            AnyBody(&[
                "access to this page has been denied",
                "px-captcha",
                "/captcha/captcha.js",
                "px-block",
            ]),
        ],
    )
    .challenge()
    .read(read::human),
    page(
        "human_px",
        "HUMAN's challenge page",
        &[
            TitleHas("Access to this page has been denied"),
            Body("px-captcha"),
            Bytes(32768),
        ],
    )
    .challenge()
    .statuses(200, 299)
    .read(read::human),
];

/// 429 here is no rate limit.
const KASADA: &[Signature] = &[
    page(
        "kasada",
        "Kasada's challenge page",
        &[
            AnyBody(&["window.kpsdk={}", "window.kpsdk = {}", "kpsdk.now"]),
            AnyBody(&["/ips.js", "kpsdk.start"]),
            Bytes(16384),
        ],
    )
    .challenge()
    .any_status(),
    header(
        "kasada",
        "Kasada's challenge",
        &[
            Header("x-kpsdk-ct"),
            Status(&[403, 429]),
            Test("no body or nothing but a script", read::empty_or_script),
        ],
    )
    .challenge()
    .strong(),
];

/// F5 BIG-IP ASM, NGINX App Protect and Distributed Cloud share their page; the status is 200 by default.
const F5: &[Signature] = &[
    page(
        "f5_asm",
        "the block page of an F5 firewall",
        &[
            AnyBody(&[
                "the requested url was rejected. please consult with your administrator",
                "the requested url was rejected",
            ]),
            AnyBody(&["support id", "please consult with your administrator"]),
        ],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::f5_page),
    page(
        "f5_asm",
        "F5's script challenge",
        &[AnyBody(&["/tspd/", "tspd_101", "bobcmn"]), Bytes(32768)],
    )
    .challenge()
    .any_status()
    .read(read::f5_challenge),
    page(
        "f5_asm",
        "the block page of an F5 firewall in other words",
        &[Body("support id"), Cookie("ts0"), Bytes(4096)],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .strong()
    .read(read::f5_support_id),
    page(
        "f5_asm",
        "the block page of an F5 firewall in other words",
        &[Body("support id"), Title("Request Rejected"), Bytes(16384)],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::f5_support_id),
    page(
        "f5_asm",
        "the block page of an F5 firewall in other words",
        &[Body("support id is")],
    )
    .block(Rule::FirewallRule)
    .statuses(400, 999)
    .strong()
    .read(read::f5_support_id_alone),
    page(
        "f5_asm",
        "the block page of an F5 firewall in another language",
        &[Body("javascript:history.back()"), Bytes(4096)],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .strong()
    .read(read::f5_number_alone),
    json(
        "f5_asm",
        "an F5 firewall's block as JSON (unconfirmed)",
        &[AnyBody(&["\"supportid\"", "\"support_id\""]), Bytes(1024)],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .strong()
    .read(read::f5_json),
];

/// `GoDaddy`'s firewall is the same product.
const SUCURI: &[Signature] = &[
    header(
        "sucuri",
        "Sucuri's firewall refuses",
        &[Header("x-sucuri-block")],
    )
    .block(Rule::FirewallRule)
    .statuses(400, 599)
    .read(read::sucuri),
    page(
        "sucuri",
        "Sucuri's script challenge",
        &[Body("sucuri_cloudproxy_js"), Bytes(32768)],
    )
    .challenge()
    .any_status(),
    page(
        "sucuri",
        "Sucuri's block page",
        &[TitleHas("Sucuri WebSite Firewall"), Body("access denied")],
    )
    .block(Rule::FirewallRule)
    .read(read::sucuri),
    page(
        "sucuri",
        "Sucuri's error page",
        &[
            TitleHas("Sucuri WebSite Firewall"),
            NotBody("access denied"),
        ],
    )
    .error(Rule::OriginDown),
];

/// "Guru Mediation" is Fastly's spelling; the open-source Varnish writes "Meditation" and stands at the origin.
const FASTLY: &[Signature] = &[
    header(
        "fastly_ngwaf",
        "the agent of Fastly's Next-Gen WAF refused",
        &[Header("x-sigsci-agentresponse"), Status(&[403, 406, 429])],
    )
    .block(Rule::FirewallRule),
    page(
        "fastly",
        "Fastly does not know this host",
        &[Body("fastly error: unknown domain")],
    )
    .error(Rule::HostMisconfig)
    .read(read::fastly_domain),
    plain(
        "fastly",
        "Fastly does not know this host",
        &[Body("fastly error: unknown domain"), Bytes(1024)],
    )
    .error(Rule::HostMisconfig)
    .read(read::fastly_domain),
    plain(
        "fastly",
        "the host is not on Fastly's certificate",
        &[
            Body("requested host does not match any subject alternative names"),
            Status(&[421]),
        ],
    )
    .error(Rule::HostMisconfig),
    page(
        "fastly",
        "an answer that Fastly's own code made",
        &[Body("guru mediation:")],
    )
    .read(read::fastly_guru),
    page(
        "fastly",
        "an answer that Fastly's own code made",
        &[
            Body("<p>details: cache-"),
            Body("<p>varnish cache server</p>"),
        ],
    )
    .read(read::fastly_guru),
    shape(
        "fastly_ngwaf",
        "406 is the default block of Fastly's Next-Gen WAF",
        &[
            Status(&[406]),
            Is("server", "varnish"),
            Starts("x-served-by", "cache-"),
            Whole(&["406 Not Acceptable", "Not Acceptable", ""]),
        ],
    )
    .block(Rule::FirewallRule),
];

const VERCEL: &[Signature] = &[
    header(
        "vercel",
        "Vercel's firewall challenges the client",
        &[Is("x-vercel-mitigated", "challenge")],
    )
    .challenge()
    .code("challenge")
    .read(read::vercel),
    header(
        "vercel",
        "Vercel's firewall refuses",
        &[Header("x-vercel-mitigated")],
    )
    .block(Rule::FirewallRule)
    .statuses(400, 599)
    .read(read::vercel),
    page(
        "vercel",
        "Vercel's security checkpoint",
        &[Title("Vercel Security Checkpoint")],
    )
    .challenge()
    .any_status()
    .code("challenge")
    .read(read::vercel),
    page(
        "vercel",
        "Vercel's security checkpoint",
        &[Body("/.well-known/vercel/security/"), Bytes(32768)],
    )
    .challenge()
    .code("challenge")
    .read(read::vercel),
    header(
        "vercel",
        "redirected to Vercel's deployment protection",
        &[Has("location", "vercel.com/sso-api")],
    )
    .login()
    .statuses(300, 399)
    .read(read::vercel),
    header(
        "vercel",
        "Vercel names an error of the deployment (unconfirmed)",
        &[Header("x-vercel-error")],
    )
    .error(Rule::HostMisconfig)
    .strong()
    .statuses(400, 599)
    .read(read::vercel_error),
];

/// `FortiGuard`'s filter on our side shares the look; its words tell it apart.
const FORTIWEB: &[Signature] = &[page(
    "fortiweb",
    "the block page of a FortiWeb firewall",
    &[
        AnyBody(&["web page blocked", "attack id"]),
        AnyBody(&["message id", "attack id"]),
        NotBody("fortiguard"),
        Bytes(32768),
    ],
)
.block(Rule::FirewallRule)
.any_status()
.read(read::fortiweb)];

/// One or two rows each.
const OTHERS: &[Signature] = &[
    page(
        "barracuda",
        "the block page of a Barracuda firewall",
        &[Body("event id found at the bottom of the page")],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::barracuda),
    shape(
        "barracuda",
        "made by a Barracuda firewall",
        &[Starts("server", "barracudahttp"), Status(&[403])],
    )
    .block(Rule::FirewallRule)
    .strong()
    .read(read::barracuda),
    page(
        "modsecurity",
        "ModSecurity names itself",
        &[AnyBody(&[
            "this error was generated by mod_security",
            "generated by modsecurity",
        ])],
    )
    .block(Rule::FirewallRule)
    .in_origin(),
    page(
        "wordfence",
        "the Wordfence plug-in in the site's WordPress refuses",
        &[
            AnyBody(&[
                "generated by wordfence at",
                "your access to this site has been limited",
                "your access to this service has been limited",
            ]),
            Body("wordfence"),
        ],
    )
    .block(Rule::FirewallRule)
    .in_origin()
    .read(read::wordfence),
    page(
        "anubis",
        "Anubis asks for a proof of work",
        &[AnyBody(&[
            "<script id=\"anubis_challenge\"",
            "<script id='anubis_challenge'",
            "<script id=anubis_challenge",
        ])],
    )
    .challenge()
    .any_status()
    .wordy(),
    page(
        "anubis",
        "Anubis asks for a proof of work",
        &[
            Body("/.within.website/x/cmd/anubis/"),
            TitleHas("not a bot"),
        ],
    )
    .challenge()
    .any_status(),
    page(
        "radware",
        "a Radware firewall refuses",
        &[
            Body("unauthorized activity has been detected"),
            AnyBody(&["case number", "radware", "cloudwebsec"]),
        ],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::radware),
    header(
        "radware",
        "redirected to the Radware Bot Manager",
        &[Has("location", "validate.perfdrive.com")],
    )
    .challenge()
    .statuses(300, 399),
    page(
        "radware",
        "the Radware Bot Manager's captcha",
        &[
            AnyBody(&[
                "validate.perfdrive.com",
                "shieldsquare",
                "cdn.perfdrive.com",
            ]),
            TitleHas("captcha"),
            TitleHas("radware"),
            Bytes(65536),
        ],
    )
    .challenge()
    .any_status(),
    page(
        "radware",
        "the Radware Bot Manager's captcha",
        &[
            AnyBody(&[".perfdrive.com", "shieldsquare"]),
            AnyBody(&[
                "<title>radware",
                "incident id",
                "made us think that you are a bot",
            ]),
            Bytes(65536),
        ],
    )
    .challenge()
    .read(read::named),
    page(
        "stackpath",
        "StackPath's script challenge",
        &[AnyBody(&["sbbvscc=", "id=\"sbbhscc\""]), Bytes(32768)],
    )
    .challenge()
    .wordy()
    .any_status(),
    page(
        "wangsu",
        "Wangsu's own error page",
        &[
            Body("node information: ps-"),
            Body("the access control configuration prevents your request"),
        ],
    )
    .block(Rule::Unknown)
    .read(read::named),
    page(
        "stackpath",
        "StackPath's block page",
        &[
            AnyBody(&["stackpath reference id", "<title>stackpath"]),
            AnyBody(&["blocked", "security service"]),
        ],
    )
    .block(Rule::FirewallRule)
    .read(read::reference_id),
    page(
        "stackpath",
        "StackPath's block page",
        &[
            Body("triggered the service and blocked your request"),
            NotBody("cf-error"),
            NotBody("cloudflare"),
        ],
    )
    .block(Rule::FirewallRule)
    .read(read::reference_id),
    page(
        "ddos_guard",
        "DDoS-Guard checks the client",
        &[AnyBody(&[
            "check.ddos-guard.net/check.js",
            "/.well-known/ddos-guard/js-challenge",
            "id=\"link-ddg\"",
            "id='link-ddg'",
        ])],
    )
    .challenge()
    .any_status(),
    page(
        "ddos_guard",
        "DDoS-Guard checks the client",
        &[Title("DDoS-Guard"), Bytes(32768)],
    )
    .challenge()
    .read(read::ddos_guard),
    page(
        "netscaler",
        "the block page of a NetScaler application firewall",
        &[
            AnyBody(&[
                "application firewall block page",
                "violation category: appfw_",
                "appfw session id",
            ]),
            Bytes(32768),
        ],
    )
    .block(Rule::FirewallRule)
    .any_status()
    .read(read::netscaler),
    page(
        "wallarm",
        "an nginx page that names Wallarm",
        &[AnyBody(&["<hr><center>nginx-wallarm"]), Status(&[403])],
    )
    .block(Rule::Unknown)
    .weak(),
    page(
        "siteground",
        "SiteGround's captcha (listed)",
        &[Body("/.well-known/sgcaptcha/"), Bytes(16384)],
    )
    .challenge()
    .any_status()
    .who(WhoActs::SiteOwner),
];
