//! The partner's application: a SOAP service after the GMC's, a small JSON API, or a plain site.
//!
//! The SOAP service follows what is public of GMC Connect (its WSDL, once in
//! github.com/Health-Education-England/tis-revalidation-recommendation): ASP.NET, user name and
//! password inside the body, an allow-list of addresses, and status 200 for every outcome, with the
//! outcome in `ReturnCode` and an id in `GMCRequestID`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::request::{Reply, Request, element, escape};
use super::rules::Network;
use crate::domain::secret::Secret;

/// Where the SOAP service is.
pub const SOAP_PATH: &str = "/GMCWebServices/WebService.asmx";
/// Where the JSON API is; wants `Authorization: Bearer <password>`.
pub const API_PATH: &str = "/api/v1/status";
/// Answers whoever asks.
pub const HEALTH_PATH: &str = "/health";

const NAMESPACE: &str = "https://webcache.gmc-uk.org/GMCWebServices/";

/// The application behind the edge.
#[derive(Debug)]
pub struct Partner {
    kind: Kind,
    answered: AtomicU64,
}

#[derive(Debug)]
enum Kind {
    Gmc(Vec<Account>),
    Control,
}

/// Who may use the partner's services.
#[derive(Debug, Clone)]
pub struct Account {
    pub username: String,
    /// Also the token of the JSON API.
    pub password: Secret,
    /// The partner's allow-list; empty: from anywhere.
    pub addresses: Vec<Network>,
}

impl Account {
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: Secret::new(password),
            addresses: Vec::new(),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.addresses.is_empty() || self.addresses.iter().any(|n| n.contains(address))
    }
}

impl Partner {
    /// A partner with a SOAP service and a JSON API.
    #[must_use]
    pub fn gmc(accounts: Vec<Account>) -> Self {
        Self::of(Kind::Gmc(accounts))
    }

    /// A site that answers every path with a small page: the control.
    #[must_use]
    pub fn control() -> Self {
        Self::of(Kind::Control)
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            answered: AtomicU64::new(0),
        }
    }

    pub(super) fn answer(&self, request: &Request) -> Reply {
        let accounts = match &self.kind {
            Kind::Gmc(accounts) => accounts,
            Kind::Control => return control(),
        };
        let reply = match (request.method.as_str(), request.path()) {
            ("POST", SOAP_PATH) => {
                let known = |name: &str, password: &str| {
                    accounts.iter().any(|account| {
                        account.username == name
                            && account.password.expose() == password
                            && account.allows(request.peer.ip())
                    })
                };
                self.soap(request, known)
            }
            ("GET" | "HEAD", SOAP_PATH) if request.query().eq_ignore_ascii_case("wsdl") => {
                Reply::new(200, "text/xml; charset=utf-8", wsdl(request))
            }
            ("GET" | "HEAD", SOAP_PATH) => Reply::new(
                200,
                "text/html; charset=utf-8",
                "<html><head><title>WebService Web Service</title></head><body><p>The following operations are supported: CheckRecommendationStatus</p></body></html>",
            ),
            (_, SOAP_PATH | API_PATH | HEALTH_PATH)
                if !matches!(request.method.as_str(), "GET" | "HEAD") =>
            {
                Reply::new(
                    405,
                    "text/html; charset=utf-8",
                    "<html><body>405 - HTTP verb is not allowed.</body></html>",
                )
                .with(&[("allow", "GET, HEAD")])
            }
            (_, API_PATH) => api(request, accounts),
            (_, HEALTH_PATH) => Reply::new(200, "text/plain; charset=utf-8", "Healthy"),
            _ => Reply::new(
                404,
                "text/html; charset=utf-8",
                "<html><head><title>404 - File or directory not found.</title></head><body><h1>Server Error</h1></body></html>",
            ),
        };
        asp_net(reply)
    }

    /// The application fails: the error page of ASP.NET.
    pub(super) fn fail(&self, status: u16) -> Reply {
        let body = "<!DOCTYPE html><html><head><title>Runtime Error</title></head><body><h1>Server Error in '/' Application.</h1><h2><i>Runtime Error</i></h2></body></html>";
        let reply = Reply::new(status, "text/html; charset=utf-8", body);
        match self.kind {
            Kind::Gmc(_) => asp_net(reply),
            Kind::Control => reply.with(&[("server", "nginx")]),
        }
    }

    /// The application refuses, whatever the credential is.
    pub(super) fn deny(&self, request: &Request) -> Reply {
        match (&self.kind, request.path()) {
            (Kind::Gmc(_), SOAP_PATH) => asp_net(self.soap(request, |_, _| false)),
            (Kind::Gmc(_), _) => asp_net(api_denied()),
            (Kind::Control, _) => {
                let body = "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center><hr><center>nginx</center></body></html>";
                Reply::new(403, "text/html", body).with(&[("server", "nginx")])
            }
        }
    }

    fn soap(&self, request: &Request, known: impl Fn(&str, &str) -> bool) -> Reply {
        let is_check = element(&request.body, "CheckRecommendationStatus").is_some();
        if !is_check {
            return fault("the body holds no operation that this service has");
        }
        let text = |name| element(&request.body, name).unwrap_or_default();
        let allowed = known(&text("Username"), &text("Password"));
        // 99: user name, password or IP address (the service's own list of codes).
        let code = if allowed { "0" } else { "99" };
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        let body = format!(
            "<CheckRecommendationStatusResponse xmlns=\"{NAMESPACE}\"><CheckRecommendationStatusResult>\
             <ReturnCode>{code}</ReturnCode><ClientRequestID>{}</ClientRequestID>\
             <GMCRequestID>GMC-{number:08}</GMCRequestID>{}\
             </CheckRecommendationStatusResult></CheckRecommendationStatusResponse>",
            escape(&text("ClientRequestID")),
            if allowed {
                "<Status>Under Review</Status>"
            } else {
                ""
            },
        );
        Reply::new(200, "text/xml; charset=utf-8", envelope(&body))
    }
}

fn control() -> Reply {
    let body = "<!DOCTYPE html><html lang=\"en\"><head><title>Welcome</title></head><body><h1>Welcome</h1></body></html>";
    Reply::new(200, "text/html; charset=utf-8", body)
        .with(&[("server", "nginx"), ("cache-control", "max-age=0, private")])
}

/// What IIS and ASP.NET add, and a relaying CDN keeps but for `Server`.
fn asp_net(reply: Reply) -> Reply {
    reply.with(&[
        ("cache-control", "private, max-age=0"),
        ("server", "Microsoft-IIS/10.0"),
        ("x-aspnet-version", "4.0.30319"),
        ("x-powered-by", "ASP.NET"),
    ])
}

fn api(request: &Request, accounts: &[Account]) -> Reply {
    let token = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let known = token.is_some_and(|token| {
        accounts
            .iter()
            .any(|a| a.password.expose() == token && a.allows(request.peer.ip()))
    });
    if !known {
        return api_denied();
    }
    let body = json!({ "status": "ok", "items": 3 });
    Reply::new(200, "application/json; charset=utf-8", body.to_string())
}

fn api_denied() -> Reply {
    let body = json!({ "error": "invalid_token", "message": "The token is missing or not valid." });
    Reply::new(401, "application/json; charset=utf-8", body.to_string())
        .with(&[("www-authenticate", "Bearer error=\"invalid_token\"")])
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{body}</soap:Body></soap:Envelope>"
    )
}

/// SOAP 1.1 faults come with status 500 (section 6.2 of the note, 2000-05).
fn fault(why: &str) -> Reply {
    let body = envelope(&format!(
        "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>{}</faultstring></soap:Fault>",
        escape(why)
    ));
    Reply::new(500, "text/xml; charset=utf-8", body)
}

fn wsdl(request: &Request) -> String {
    let scheme = if request.tls { "https" } else { "http" };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><wsdl:definitions xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\" targetNamespace=\"{NAMESPACE}\">\
         <wsdl:portType name=\"WebServiceSoap\"><wsdl:operation name=\"CheckRecommendationStatus\"/></wsdl:portType>\
         <wsdl:service name=\"WebService\"><wsdl:port name=\"WebServiceSoap\"><soap:address location=\"{scheme}://{}{SOAP_PATH}\"/></wsdl:port></wsdl:service></wsdl:definitions>",
        escape(&request.host)
    )
}
