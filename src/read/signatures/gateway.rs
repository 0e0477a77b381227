//! Names what stands between the edge and the application: proxies, caches and API gateways.
//!
//! Each makes answers of its own, and each is put up by the partner before the application. What it
//! refuses the application never saw, and so it is named: "`HAProxy` refuses", never "the application
//! refuses". Web servers (nginx, Apache) are both, application server and proxy: their own page names
//! the software and leaves open which of the two it is here. An API gateway knows keys and routes and
//! not the content; what it says about a key is true of the key alone.

use super::page::{Page, starts};
use crate::domain::verdict::Strength;

/// Something before the application that made an answer itself.
pub(crate) struct Gateway {
    /// As it stands in a verdict; `none` for a web server that may as well be the application's.
    pub(crate) vendor: &'static str,
    pub(crate) strength: Strength,
    pub(crate) says: String,
    /// The header that holds its id of the request, if it has one.
    pub(crate) id_header: Option<&'static str>,
    /// It speaks SOAP, so that a fault may be its own.
    pub(crate) faults: bool,
}

/// How a gateway shows that the answer is its own.
enum Sign {
    /// Every one of these headers is there.
    Headers(&'static [&'static str]),
    /// A header's value begins with this, any case.
    Value(&'static str, &'static str),
    /// The body holds this marker, which the one pass looks for.
    Body(&'static str),
    /// The body begins with this, any case, and is plain text.
    Text(&'static str),
    /// JSON whose `message` or `error` begins with this, any case.
    Says(&'static str),
}

struct Row {
    vendor: &'static str,
    signs: &'static [Sign],
    says: &'static str,
    id_header: Option<&'static str>,
    faults: bool,
}

const fn row(vendor: &'static str, says: &'static str, signs: &'static [Sign]) -> Row {
    Row {
        vendor,
        signs,
        says,
        id_header: None,
        faults: false,
    }
}

impl Row {
    const fn in_faults(self) -> Self {
        Self {
            faults: true,
            ..self
        }
    }

    const fn id(self, header: &'static str) -> Self {
        Self {
            id_header: Some(header),
            ..self
        }
    }
}

use Sign::{Body, Headers, Says, Text, Value};

/// The first row whose signs are all there counts.
///
/// `HAProxy`'s error files <https://docs.haproxy.org/2.9/configuration.html#errorfile>; Varnish's built-in
/// `vcl_synth` <https://varnish-cache.org/docs/trunk/users-guide/vcl-built-in-subs.html>; Envoy's response
/// flags <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>; gateway
/// responses of API Gateway <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>;
/// faults of Apigee <https://cloud.google.com/apigee/docs/api-platform/troubleshoot/runtime/fault-codes>; APISIX
/// <https://apisix.apache.org/docs/apisix/plugins/key-auth/>; WSO2 <https://apim.docs.wso2.com/en/latest/troubleshooting/error-handling/>;
/// API Connect, Gravitee, `KrakenD`, 3scale, Layer7 and `DataPower` as their documentation shows them; Mashery
/// <https://docs.mashery.com/messagesguide/>, `MuleSoft` <https://docs.mulesoft.com/gateway/latest/policies-included-client-id-enforcement>,
/// Google's Cloud Endpoints <https://cloud.google.com/endpoints/docs/openapi/troubleshoot-response-errors>; Kong
/// <https://docs.konghq.com/gateway/latest/>; Tyk <https://tyk.io/docs/>; API Management
/// <https://learn.microsoft.com/azure/api-management/api-management-error-handling-policies>. Web servers'
/// pages were captured on loopback.
const ROWS: &[Row] = &[
    row(
        "haproxy",
        "the body is HAProxy's own page",
        &[Body("request forbidden by administrative rules")],
    ),
    row(
        "haproxy",
        "the body is HAProxy's own page: no server behind it is up",
        &[Body("no server is available to handle this request")],
    ),
    row(
        "haproxy",
        "the body is HAProxy's own page",
        &[Body(
            "the server returned an invalid or incomplete response",
        )],
    ),
    row(
        "haproxy",
        "the body is HAProxy's own page: the server behind it did not answer in time",
        &[Body("the server didn't respond in time.")],
    ),
    row(
        "haproxy",
        "the body is HAProxy's own page: it limits requests",
        &[Body(
            "you have sent too many requests in a given amount of time",
        )],
    ),
    row(
        "varnish",
        "the body is the own page of an open-source Varnish",
        &[Body("guru meditation"), Headers(&["x-varnish"])],
    )
    .id("x-varnish"),
    row(
        "varnish",
        "the body is the own page of an open-source Varnish",
        &[Body("guru meditation"), Body("varnish cache server")],
    ),
    row(
        "envoy",
        "the body is Envoy's access policy",
        &[Text("rbac: access denied")],
    ),
    row(
        "envoy",
        "the body is Envoy's own answer: no server behind it is well",
        &[Text("no healthy upstream")],
    ),
    row(
        "envoy",
        "the body is Envoy's own answer: the server behind it broke off",
        &[Text(
            "upstream connect error or disconnect/reset before headers",
        )],
    ),
    row(
        "envoy",
        "the body is Envoy's own answer: the server behind it did not answer in time",
        &[Text("upstream request timeout")],
    ),
    row(
        "envoy",
        "the body is Envoy's own answer: its rate limit",
        &[Text("local_rate_limited")],
    ),
    row(
        "kubernetes_ingress",
        "the body is Kubernetes' default backend",
        &[Text("default backend - 404")],
    ),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["x-amzn-errortype", "x-amzn-requestid"])],
    )
    .id("x-amzn-requestid"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["x-amz-apigw-id"]), Says("forbidden")],
    )
    .id("x-amz-apigw-id"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[
            Headers(&["x-amz-apigw-id"]),
            Says("missing authentication token"),
        ],
    )
    .id("x-amz-apigw-id"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["x-amz-apigw-id"]), Says("unauthorized")],
    )
    .id("x-amz-apigw-id"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself: its limit",
        &[Headers(&["apigw-requestid"]), Says("too many requests")],
    )
    .id("apigw-requestid"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["apigw-requestid"]), Says("forbidden")],
    )
    .id("apigw-requestid"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["apigw-requestid"]), Says("unauthorized")],
    )
    .id("apigw-requestid"),
    row(
        "aws_api_gateway",
        "AWS API Gateway answered itself",
        &[Headers(&["apigw-requestid"]), Says("not found")],
    )
    .id("apigw-requestid"),
    row(
        "aws_api_gateway",
        "AWS API Gateway's authoriser refuses",
        &[Says("user is not authorized to access this resource")],
    ),
    row(
        "aws_api_gateway",
        "AWS API Gateway's authoriser refuses",
        &[Says(
            "user: anonymous is not authorized to perform: execute-api",
        )],
    ),
    row(
        "apigee",
        "the body is a fault of Apigee",
        &[Body("\"faultstring\"")],
    ),
    row(
        "kong",
        "Kong answered itself",
        &[Headers(&["x-kong-response-latency"])],
    )
    .id("x-kong-request-id"),
    row(
        "kong",
        "Kong answered itself",
        &[Says("no route matched with those values")],
    )
    .id("x-kong-request-id"),
    row(
        "kong",
        "Kong answered itself",
        &[Says("no api key found in request")],
    )
    .id("x-kong-request-id"),
    // What it relays keeps the application's `Server`.
    row("kong", "Kong answered itself", &[Value("server", "kong/")]).id("x-kong-request-id"),
    row(
        "mashery",
        "Mashery's gateway answered itself",
        &[Headers(&["x-mashery-error-code"])],
    ),
    row(
        "mulesoft",
        "a policy of MuleSoft's gateway answered",
        &[Value("www-authenticate", "client-id-enforcement")],
    ),
    row(
        "google_endpoints",
        "Google's API gateway answered itself",
        &[Says("method doesn't allow unregistered callers")],
    ),
    row(
        "google_endpoints",
        "Google's API gateway answered itself",
        &[Says("api key not valid. please pass a valid api key")],
    ),
    row(
        "azure_apim",
        "Azure API Management answered itself",
        &[Value("www-authenticate", "azureapimanagementkey")],
    ),
    row(
        "kong",
        "Kong answered itself: its limit",
        &[Says("api rate limit exceeded"), Value("server", "kong")],
    )
    .id("x-kong-request-id"),
    row(
        "apisix",
        "APISIX answered itself",
        &[Value("server", "apisix"), Says("missing api key")],
    ),
    row(
        "apisix",
        "APISIX answered itself",
        &[Value("server", "apisix"), Says("invalid api key")],
    ),
    row(
        "apisix",
        "APISIX answered itself",
        &[Value("server", "apisix"), Says("missing authorization")],
    ),
    row(
        "apisix",
        "APISIX answered itself",
        &[
            Value("server", "apisix"),
            Says("your ip address is not allowed"),
        ],
    ),
    row(
        "apisix",
        "APISIX answered itself",
        &[Value("server", "apisix"), Body("\"error_msg\"")],
    ),
    row(
        "wso2",
        "the body is a fault of WSO2's gateway",
        &[Body("http://wso2.org/apimanager")],
    ),
    row(
        "wso2",
        "the body is a fault of WSO2's gateway",
        &[Body("\"code\":\"9009")],
    ),
    row(
        "ibm_api_connect",
        "the body is an error of IBM API Connect",
        &[Body("\"httpmessage\""), Body("\"moreinformation\"")],
    ),
    row(
        "gravitee",
        "the body is an error of Gravitee",
        &[Body("\"http_status_code\"")],
    ),
    row(
        "krakend",
        "KrakenD answered, and not all of what it asks did",
        &[Value("x-krakend-completed", "false")],
    ),
    row(
        "3scale",
        "the body is 3scale's own answer",
        &[Text("authentication parameters missing")],
    ),
    row(
        "oauth2_proxy",
        "the body is OAuth2 Proxy's own page",
        &[Body("oauth2 proxy</a>")],
    ),
    row(
        "layer7",
        "the body is a policy fault of a Layer7 gateway",
        &[Body("l7:policyresult")],
    )
    .in_faults(),
    row(
        "datapower",
        "the body is a DataPower gateway's own fault",
        &[Body("(from client)</")],
    )
    .in_faults(),
    row(
        "tyk",
        "Tyk answered itself",
        &[Value("x-generator", "tyk.io")],
    ),
    row(
        "azure_apim",
        "Azure API Management answered itself",
        &[Says("access denied due to ")],
    ),
    row(
        "azure_apim",
        "Azure API Management answered itself",
        &[Says("rate limit is exceeded. try again in ")],
    ),
    row(
        "netscaler",
        "a NetScaler's own answer: no service behind it is up",
        &[Body("<b>http/1.1 service unavailable</b>")],
    ),
    row(
        "none",
        "the body is nginx's own page: the application's web server, or a proxy before it",
        &[Body("<hr><center>nginx")],
    ),
    row(
        "none",
        "the body is OpenResty's own page: a web server, or a proxy before the application",
        &[Body("<hr><center>openresty")],
    ),
    row(
        "none",
        "the body is Tengine's own page: a web server, or a proxy before the application",
        &[Body("<hr><center>tengine")],
    ),
    row(
        "none",
        "the body is Apache's own page: the application's web server, a filter inside it, or a proxy",
        &[Body("<address>apache")],
    ),
    row(
        "none",
        "the body is Apache's own page: the application's web server, a filter inside it, or a proxy",
        &[Body("you don't have permission to access this resource")],
    ),
    row(
        "none",
        "the body is LiteSpeed's own page: the application's web server, or a filter inside it",
        &[Body("litespeed web server")],
    ),
    row(
        "none",
        "the body is Windows' HTTP.sys page: the application behind it does not run",
        &[Body("http error 503. the service is unavailable")],
    ),
];

/// Markers of the rows, for the one pass over bodies.
pub(crate) fn literals() -> impl Iterator<Item = &'static str> {
    ROWS.iter()
        .flat_map(|row| row.signs)
        .filter_map(|sign| match sign {
            Body(marker) => Some(*marker),
            _ => None,
        })
}

/// The gateway, proxy or server whose own answer this is.
pub(crate) fn named(page: &Page<'_>) -> Option<Gateway> {
    if page.status() < 400 {
        return None;
    }
    let row = ROWS
        .iter()
        .find(|row| row.signs.iter().all(|sign| sign.shows(page)))?;
    let signs: Vec<String> = row
        .signs
        .iter()
        .filter_map(|sign| sign.words(page))
        .collect();
    let says = if signs.is_empty() {
        row.says.to_owned()
    } else {
        format!("{}: {}", row.says, signs.join(", "))
    };
    Some(Gateway {
        vendor: row.vendor,
        strength: Strength::Strong,
        says,
        id_header: row.id_header,
        faults: row.faults,
    })
}

impl Sign {
    /// The sign as a person can check it; of its own page the row says so already.
    fn words(&self, page: &Page<'_>) -> Option<String> {
        match *self {
            Headers(names) => {
                let name = names.first()?;
                Some(format!("header {name}: {}", page.header(name)?))
            }
            Value(name, _) => Some(format!("header {name}: {}", page.header(name)?)),
            Says(text) => Some(format!("it says \"{text}…\"")),
            Body(_) | Text(_) => None,
        }
    }

    fn shows(&self, page: &Page<'_>) -> bool {
        match *self {
            Headers(names) => names.iter().all(|name| page.header(name).is_some()),
            Value(name, prefix) => page.header(name).is_some_and(|v| starts(v.trim(), prefix)),
            Body(marker) => page.has(marker),
            Text(text) => {
                let body = page.body().trim_ascii_start();
                body.get(..text.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
            }
            Says(text) => page.json().is_some_and(|json| {
                ["message", "Message", "error"]
                    .iter()
                    .filter_map(|name| json.get(name)?.as_str())
                    .any(|said| starts(said, text))
            }),
        }
    }
}
