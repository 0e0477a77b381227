//! What an observation means, with the evidence that decided it.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::nanos_option;
use super::spelling::spelled;

spelled!(
    /// What happened to a run.
    Kind {
        Pass = "pass",
        /// A security layer in front of the partner refused the request.
        EdgeBlock = "edge_block",
        /// Bot check, captcha or proof of work.
        EdgeChallenge = "edge_challenge",
        RateLimited = "rate_limited",
        /// The edge could not reach or find the origin.
        EdgeError = "edge_error",
        /// Refused behind the edge: by the application, its server or gateway, or by a maker that can't be told.
        OriginDenied = "origin_denied",
        /// The application failed.
        OriginError = "origin_error",
        /// A login, consent or denial page in place of the content.
        SoftBlock = "soft_block",
        /// Answered, but not as `expect` asks.
        Unexpected = "unexpected",
        /// Answered as asked, but later than wanted, or with a certificate that runs out soon: it works.
        Warning = "warning",
        DnsError = "dns_error",
        ConnectError = "connect_error",
        TlsError = "tls_error",
        Timeout = "timeout",
        /// Our side: no such address here, the proxy refuses, no route.
        LocalError = "local_error",
    }
);

spelled!(
    /// Who made the answer.
    Maker { Edge = "edge", Origin = "origin", OurSide = "our_side", Unknown = "unknown" }
);

spelled!(
    /// What kind of rule refused, where it can be known.
    Rule {
        UserAgent = "user_agent",
        Referer = "referer",
        Origin = "origin",
        ContentType = "content_type",
        /// Another header: that it is there, its value, its place, or how many bytes all have.
        Header = "header",
        /// What the body holds, or its size.
        Body = "body",
        Ip = "ip",
        Asn = "asn",
        Geo = "geo",
        FirewallRule = "firewall_rule",
        RateLimit = "rate_limit",
        BotChallenge = "bot_challenge",
        AccessPolicy = "access_policy",
        EdgeAuth = "edge_auth",
        HostMisconfig = "host_misconfig",
        OriginDns = "origin_dns",
        OriginDown = "origin_down",
        OriginTls = "origin_tls",
        EdgeCompute = "edge_compute",
        ClientSideProxy = "client_side_proxy",
        Auth = "auth",
        Csrf = "csrf",
        Login = "login",
        Consent = "consent",
        Legal = "legal",
        /// One response can't tell.
        Unknown = "unknown",
        /// No rule is involved.
        None = "none",
    }
);

spelled!(
    /// Who can end it.
    WhoActs {
        SiteOwner = "site_owner",
        Visitor = "visitor",
        VisitorOrSiteOwner = "visitor_or_site_owner",
        NobodyWait = "nobody_wait",
        None = "none",
    }
);

spelled!(
    /// A dimension of the matrix that a refusal may hang on.
    Factor {
        Egress = "egress",
        Client = "client",
        Credential = "credential",
        Endpoint = "endpoint",
        Host = "host",
        Rate = "rate",
        Http = "http",
        Method = "method",
        /// Whose TLS it is: what an edge sees before the first header.
        Stack = "stack",
    }
);

spelled!(
    /// How much one sign says, strongest first.
    Strength { Proof = "proof", Strong = "strong", Weak = "weak", Presence = "presence" }
);

impl Factor {
    /// The part of a cell's name in which levels of this factor differ; the rate is in none.
    #[must_use]
    pub fn dimension(self) -> Self {
        match self {
            Self::Client | Self::Http | Self::Stack => Self::Client,
            Self::Endpoint | Self::Host | Self::Method => Self::Endpoint,
            Self::Egress | Self::Credential | Self::Rate => self,
        }
    }
}

spelled!(
    /// How soon the first word of a refusal is told: at the second one that is signed, or once it is no burst.
    Tell { Quick = "quick", Sure = "sure" }
);

spelled!(
    /// How much it matters, as the operator says; in rising order.
    Severity { Info = "info", Warning = "warning", Critical = "critical" }
);

impl Kind {
    /// Whether the request did what it is for.
    #[must_use]
    pub fn works(self) -> bool {
        matches!(self, Self::Pass | Self::Warning)
    }

    /// Whether the edge itself turned the request away.
    #[must_use]
    pub fn is_edge_refusal(self) -> bool {
        matches!(
            self,
            Self::EdgeBlock | Self::EdgeChallenge | Self::RateLimited
        )
    }

    /// Whether somebody deliberately refused, as opposed to something being broken.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        self.is_edge_refusal() || matches!(self, Self::OriginDenied | Self::SoftBlock)
    }

    /// Whether no usable HTTP answer arrived at all.
    #[must_use]
    pub fn is_network(self) -> bool {
        matches!(
            self,
            Self::DnsError | Self::ConnectError | Self::Timeout | Self::LocalError
        )
    }

    /// A short word for a person, as it stands in the matrix of the terminal.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::EdgeBlock => "BLOCKED",
            Self::EdgeChallenge => "CHALLENGE",
            Self::RateLimited => "RATE LIMITED",
            Self::EdgeError => "EDGE ERROR",
            Self::OriginDenied => "DENIED",
            Self::OriginError => "ORIGIN ERROR",
            Self::SoftBlock => "SOFT BLOCK",
            Self::Unexpected => "UNEXPECTED",
            Self::Warning => "WARNING",
            Self::DnsError => "DNS ERROR",
            Self::ConnectError => "NO CONNECTION",
            Self::TlsError => "TLS ERROR",
            Self::Timeout => "TIMEOUT",
            Self::LocalError => "OUR SIDE",
        }
    }
}

/// One sign, in words a person can check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub strength: Strength,
    /// For example `header cf-mitigated: challenge`.
    pub text: String,
}

impl Evidence {
    pub fn new(strength: Strength, text: impl Into<String>) -> Self {
        Self {
            strength,
            text: text.into(),
        }
    }
}

/// What an observation means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub kind: Kind,
    pub maker: Maker,
    /// Who made the page (`cloudflare`, `akamai`, …); `none` for the origin.
    pub vendor: Cow<'static, str>,
    /// The CDN or proxy that relayed the answer; `none` when none shows itself.
    pub fronted_by: Cow<'static, str>,
    pub rule: Rule,
    /// The vendor's own number or word (`1020`, `edet=16`).
    pub code: Option<String>,
    /// What to hand to the vendor or the owner (Ray ID, support id).
    pub reference_id: Option<String>,
    pub who_acts: WhoActs,
    /// Strongest first.
    pub evidence: Vec<Evidence>,
    /// Factors that this answer or the partner's documentation points at.
    pub hints: Vec<Factor>,
    /// Where the edge answered, if it says (`LHR`).
    pub pop: Option<String>,
    /// How long the answer asked us to wait.
    #[serde(
        rename = "retry_after_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
    /// How long a cache has kept the copy that it sent in place of a fresh answer.
    #[serde(
        rename = "kept_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub kept: Option<Duration>,
}

impl Verdict {
    /// A verdict with nothing known but its kind and maker.
    #[must_use]
    pub fn new(kind: Kind, maker: Maker) -> Self {
        Self {
            kind,
            maker,
            vendor: Cow::Borrowed("none"),
            fronted_by: Cow::Borrowed("none"),
            rule: Rule::None,
            code: None,
            reference_id: None,
            who_acts: WhoActs::None,
            evidence: Vec::new(),
            hints: Vec::new(),
            pop: None,
            retry_after: None,
            kept: None,
        }
    }

    /// Whether the application itself made this error, by evidence: whatever stands before it let the request through.
    #[must_use]
    pub fn is_applications_own_error(&self) -> bool {
        let proven = self.evidence.first();
        matches!(self.kind, Kind::OriginError | Kind::Unexpected)
            && self.maker == Maker::Origin
            && proven.is_some_and(|sign| sign.strength <= Strength::Strong)
    }

    /// The kind, as far as blame goes.
    ///
    /// A page that a proxy, filter or portal on our own side put in the way looks like an edge's refusal,
    /// and a limit of ours like an odd answer, but it is our side that must mend it.
    #[must_use]
    pub fn blamed(&self) -> Kind {
        match self.kind {
            kind if kind.works() => kind,
            _ if self.maker == Maker::OurSide => Kind::LocalError,
            kind => kind,
        }
    }

    /// Whether a limit of edgewatch hides what was answered; the request itself came through.
    #[must_use]
    pub fn is_own_limit(&self) -> bool {
        self.maker == Maker::OurSide && matches!(self.kind, Kind::Unexpected | Kind::TlsError)
    }

    /// The edge that says of itself that it failed, not what stands behind it; `None` for all other answers.
    ///
    /// Nobody can do anything about it, and that an error of an edge never says otherwise.
    #[must_use]
    pub fn own_fault(&self) -> Option<&str> {
        let own = self.kind == Kind::EdgeError
            && self.maker == Maker::Edge
            && self.who_acts == WhoActs::NobodyWait
            && vendor_name(&self.vendor).is_some();
        own.then_some(&*self.vendor)
    }

    #[must_use]
    pub fn passed(&self) -> bool {
        self.kind.works()
    }

    /// What is to be warned of in an answer that is right.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        let said = self.evidence.first().map(|sign| sign.text.as_str());
        said.filter(|_| self.kind == Kind::Warning)
    }

    /// Whether that is the certificate.
    #[must_use]
    pub fn warns_of_certificate(&self) -> bool {
        self.warning()
            .is_some_and(|said| said.starts_with(OF_CERTIFICATE))
    }

    /// Whether that is a path of the certificate, and not its own time.
    #[must_use]
    pub fn warns_of_path(&self) -> bool {
        self.warning().is_some_and(|said| said.starts_with(OF_PATH))
    }
}

/// How a sentence about a certificate's time begins.
pub const OF_CERTIFICATE: &str = "certificate";
/// How one about the time of a path of it begins.
pub const OF_PATH: &str = "certificate's path";

/// A vendor's name as it writes it; `None` for `none` and `unknown`.
#[must_use]
pub fn vendor_name(name: &str) -> Option<String> {
    let known = match name {
        "" | "none" | "unknown" => return None,
        "cloudflare" => "Cloudflare",
        "akamai" => "Akamai",
        "imperva" => "Imperva",
        "cloudfront" => "CloudFront",
        "aws_waf" | "aws-waf" => "AWS WAF",
        "fastly" => "Fastly",
        "azure_front_door" | "azure-front-door" => "Azure Front Door",
        "google_cloud_armor" | "google-cloud-armor" => "Google Cloud Armor",
        "sucuri" => "Sucuri",
        "vercel" => "Vercel",
        "datadome" => "DataDome",
        "f5" | "f5_asm" | "f5_xc" | "f5_big_ip" => "F5",
        "google_frontend" => "Google",
        "aws_alb" | "aws_elb" => "AWS load balancer",
        "modsecurity" => "ModSecurity",
        "haproxy" => "HAProxy",
        "perimeterx" | "human" | "human_px" => "HUMAN",
        "ddos_guard" => "DDoS-Guard",
        "aws_api_gateway" => "AWS API Gateway",
        "azure_apim" => "Azure API Management",
        "azure_appgw" => "Azure Application Gateway",
        "azure_app_service" => "Azure App Service",
        "fastly_ngwaf" => "Fastly's Next-Gen WAF",
        "imperva_distil" => "Imperva's bot protection",
        "imperva_securesphere" => "Imperva SecureSphere",
        "netscaler" => "NetScaler",
        "fortiweb" => "FortiWeb",
        "fortiguard" => "FortiGuard",
        "kubernetes_ingress" => "the Kubernetes ingress",
        "aliyun_waf" => "Alibaba Cloud",
        "tencent_edgeone" => "Tencent EdgeOne",
        "tencent_waf" => "Tencent Cloud",
        "huawei_waf" => "Huawei Cloud",
        "baidu_yunjiasu" => "Baidu Yunjiasu",
        "cisco_umbrella" => "Cisco Umbrella",
        "cisco_meraki" => "Cisco Meraki",
        "cisco_wsa" => "a Cisco web appliance",
        "bluecoat" => "Blue Coat",
        "checkpoint" => "Check Point",
        "paloalto" => "Palo Alto",
        "sonicwall" => "SonicWall",
        "watchguard" => "WatchGuard",
        "comodo_dns" => "Comodo Secure DNS",
        "isa_server" => "Microsoft ISA Server",
        "arvancloud" => "ArvanCloud",
        "bitninja" => "BitNinja",
        "cachewall" => "CacheWall",
        "crowdsec" => "CrowdSec",
        "wts_waf" => "WTS-WAF",
        "unknown_middlebox" => "a middlebox",
        "egress_proxy" => "an egress proxy",
        "captive_portal" => "a captive portal",
        "stackpath" => "StackPath",
        "aliyun_cdn" => "Alibaba Cloud's CDN",
        "keycdn" => "KeyCDN",
        "cdn77" => "CDN77",
        "ovh" => "OVHcloud",
        "bunny" => "bunny.net",
        "hcdn" => "Hostinger's CDN",
        "dosarrest" => "DOSarrest",
        "stormwall" => "StormWall",
        "naxsi" => "NAXSI",
        "webseal" => "IBM WebSEAL",
        "litespeed" => "LiteSpeed",
        "siteground" => "SiteGround",
        "sitelock" => "SiteLock",
        "godaddy" => "GoDaddy",
        "webknight" => "WebKnight",
        "malcare" => "MalCare",
        "ninjafirewall" => "NinjaFirewall",
        "wp_cerber" => "WP Cerber",
        "wpmudev" => "WPMU DEV",
        "open_appsec" => "open-appsec",
        "safeline" => "SafeLine",
        "apisix" => "APISIX",
        "wso2" => "WSO2",
        "ibm_api_connect" => "IBM API Connect",
        "krakend" => "KrakenD",
        "oauth2_proxy" => "OAuth2 Proxy",
        "datapower" => "DataPower",
        "mulesoft" => "MuleSoft",
        "google_endpoints" => "Google Cloud Endpoints",
        other => {
            let mut letters = other.chars();
            let first: String = letters.next()?.to_uppercase().collect();
            return Some(first + &letters.as_str().replace(['_', '-'], " "));
        }
    };
    Some(known.to_owned())
}
