//! The dimensions of the matrix: egresses, clients, credentials.

use std::collections::BTreeMap;
use std::net::IpAddr;

use url::Url;

use super::headers;
use super::names::Names;
use super::programs;
use super::secrets;
use super::trust;
use crate::config::Inputs;
use crate::config::collections::{Form, Named};
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::leaf::{Address, Name, UserAgent, Word};
use crate::config::raw;
use crate::config::special::{Field, ProxyUrl};
use crate::domain::cell::{
    Client, ClientName, Credential, CredentialName, Egress, EgressName, Group, HeaderCase,
    HttpOffer, IpFamily, Proxy, ProxyKind, TlsRange, TlsVersion, Way,
};
use crate::domain::site::{self, Nats};

/// The egresses that could be read; one by the system's routes when the file has no such section.
pub(super) fn egresses(
    raw: Option<At<Named<Form<Address, raw::Egress>>>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Vec<Egress> {
    let Some(raw) = raw else {
        return vec![routes("default")];
    };
    if raw.value.0.is_empty() {
        desk.error(
            raw.place,
            "names no egress",
            "name one, or remove the key for the system's routes",
        );
    }
    raw.value
        .0
        .into_iter()
        .filter_map(|(name, egress)| {
            let egress = egress?;
            match egress.value {
                Form::Short(address) => Some(Egress {
                    way: Way::Address(address.0),
                    ..routes(&name.value)
                }),
                Form::Full(full) => {
                    let region = full.region.as_ref().map(|r| r.value.0.clone());
                    let site = full.site.as_ref().and_then(|site| self::site(site, desk));
                    self::egress(&name.value, full, egress.place, inputs, desk).map(|egress| {
                        Egress {
                            site,
                            region,
                            ..egress
                        }
                    })
                }
            }
        })
        .collect()
}

fn site(raw: &At<Name>, desk: &mut Desk<'_>) -> Option<String> {
    let name = &raw.value.0;
    if let Err((what, how)) = site::check_name(name) {
        desk.error(raw.place, what, how);
        return None;
    }
    Some(name.clone())
}

/// Where agents are met.
pub(super) fn nats(raw: At<raw::Nats>, desk: &mut Desk<'_>) -> Option<Nats> {
    let url = raw.value.url?;
    let identity = raw.value.identity.map(|identity| identity.value.0);
    let made = Nats::new(&url.value, identity);
    made.map_err(|(what, how)| desk.error(url.place, what, how))
        .ok()
}

fn routes(name: &str) -> Egress {
    Egress {
        name: EgressName::new(name),
        way: Way::Routes,
        site: None,
        public: None,
        region: None,
        family: IpFamily::Any,
    }
}

fn egress(
    name: &str,
    raw: raw::Egress,
    place: Place,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Egress> {
    let ways = [
        raw.address.is_some(),
        raw.interface.is_some(),
        raw.proxy.is_some(),
    ];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        desk.error(
            place,
            "goes out in more than one way",
            "keep one of \"address\", \"interface\" and \"proxy\"",
        );
        return None;
    }
    if raw.proxy.is_none() && raw.present.has("proxy") {
        // What is wrong with it has been told.
        return None;
    }
    if raw.proxy.is_none() {
        for place in [
            raw.username.map(|u| u.place),
            raw.password.as_ref().map(|p| p.place),
        ]
        .into_iter()
        .flatten()
        {
            desk.error(
                place,
                "belongs to a proxy, and there is none here",
                "add \"proxy\"",
            );
        }
        return finish(
            name,
            raw.address,
            raw.interface,
            None,
            raw.public,
            raw.family,
            desk,
        );
    }
    let proxy = raw.proxy?;
    let has_password = raw.password.is_some();
    let mut missing = None;
    let password = raw.password.and_then(|source| {
        let fetched = secrets::fetch(&source.value, inputs);
        fetched
            .map_err(|reason| {
                desk.warning(
                    source.place,
                    reason.clone(),
                    format!("cells from \"{name}\" do not run until it is there"),
                );
                missing = Some(reason);
            })
            .ok()
    });
    let has_username = raw.present.has("username");
    let username = raw.username.map(|u| u.value);
    if has_password && !has_username {
        desk.error(place, "has a password but no \"username\"", "add it");
    }
    let (kind, host, port) = proxy_parts(&proxy, desk)?;
    let proxy = Proxy {
        kind,
        host,
        port,
        username,
        password,
        missing,
    };
    finish(name, None, None, Some(proxy), raw.public, raw.family, desk)
}

fn finish(
    name: &str,
    address: Option<At<Address>>,
    interface: Option<At<String>>,
    proxy: Option<Proxy>,
    public: Option<At<Address>>,
    family: Option<At<Word<IpFamily>>>,
    desk: &mut Desk<'_>,
) -> Option<Egress> {
    if let (Some(address), Some(family)) = (&address, &family) {
        let fits = match family.value.0 {
            IpFamily::Any => true,
            IpFamily::V4 => address.value.0.is_ipv4(),
            IpFamily::V6 => address.value.0.is_ipv6(),
        };
        if !fits {
            desk.error(
                family.place,
                format!("{} is an address of the other IP version", address.value.0),
                "remove \"family\", which the address decides",
            );
        }
    }
    if let Some(address) = &address
        && (address.value.0.is_unspecified() || address.value.0.is_multicast())
    {
        desk.error(
            address.place,
            format!("{} is no address to send from", address.value.0),
            "name one that this host has",
        );
    }
    if let Some(interface) = &interface {
        // IFNAMSIZ is 16 with the closing NUL: https://man7.org/linux/man-pages/man7/netdevice.7.html
        // (read 2026-11-22).
        let valid = (1..=15).contains(&interface.value.len())
            && !interface
                .value
                .contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if !valid {
            desk.error(
                interface.place,
                format!(
                    "{} can't be the name of an interface",
                    quote(&interface.value)
                ),
                "\"ip link\" lists them",
            );
            return None;
        }
    }
    let way = match (address, interface, proxy) {
        (Some(address), ..) => Way::Address(address.value.0),
        (_, Some(interface), _) => Way::Interface(interface.value),
        (_, _, Some(proxy)) => Way::Proxy(proxy),
        _ => Way::Routes,
    };
    Some(Egress {
        name: EgressName::new(name),
        way,
        site: None,
        public: public.map(|p| p.value.0),
        region: None,
        family: family.map_or(IpFamily::Any, |f| f.value.0),
    })
}

fn proxy_parts(url: &At<ProxyUrl>, desk: &mut Desk<'_>) -> Option<(ProxyKind, String, u16)> {
    const FORM: &str =
        "write \"http://host:port\", \"socks5://host:port\" or \"socks5h://host:port\"";
    let text = &url.value.0;
    if text.contains('@') {
        desk.error(
            url.place,
            "a user name and password can't stand in the URL of a proxy",
            "write them beside it: \"username: …\", \"password: { env: NAME }\"",
        );
        return None;
    }
    let Ok(parsed) = Url::parse(text) else {
        desk.error(
            url.place,
            format!("{} is no URL of a proxy", quote(text)),
            FORM,
        );
        return None;
    };
    let kind = match parsed.scheme() {
        "http" => ProxyKind::HttpConnect,
        "socks5" => ProxyKind::Socks5,
        "socks5h" => ProxyKind::Socks5Hostname,
        other => {
            desk.error(
                url.place,
                format!("{} is no kind of proxy", quote(other)),
                FORM,
            );
            return None;
        }
    };
    // `Url` drops a port that is the scheme's own, so an explicit ":80" is looked for in the text.
    let port = parsed
        .port()
        .or_else(|| text.trim_end_matches('/').ends_with(":80").then_some(80));
    let (Some(host), Some(port)) = (parsed.host_str().filter(|h| !h.is_empty()), port) else {
        desk.error(url.place, format!("{} has no port", quote(text)), FORM);
        return None;
    };
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || parsed.fragment().is_some()
    {
        desk.error(url.place, format!("{} has a path", quote(text)), FORM);
        return None;
    }
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Some((kind, host, port))
}

pub(super) fn clients(
    raw: Option<At<Named<Form<UserAgent, raw::Client>>>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Vec<Client> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.value.0.is_empty() {
        desk.error(
            raw.place,
            "names no client",
            "name one, like \"plain: \\\"my-monitor (ops@example.org)\\\"\"",
        );
    }
    let names = raw.value.0.iter().map(|(name, _)| name.value.clone());
    let names = Names::new("client", names);
    let mut stand_ins = Vec::new();
    let clients: Vec<Client> = raw
        .value
        .0
        .into_iter()
        .filter_map(|(name, client)| {
            let client = client?;
            Some(match client.value {
                Form::Short(user_agent) => plain(&name.value, user_agent.0),
                Form::Full(mut full) => {
                    let of = full.stands_in_for.take();
                    stand_ins.extend(of.map(|of| (ClientName::new(&name.value), of)));
                    self::client(&name.value, full, client.place, inputs, desk)
                }
            })
        })
        .collect();
    stand_in(clients, &names, &stand_ins, desk)
}

/// Ties clients to the programs whose requests they make; reports those that can't stand in for what they name.
fn stand_in(
    mut clients: Vec<Client>,
    names: &Names,
    stand_ins: &[(ClientName, At<Name>)],
    desk: &mut Desk<'_>,
) -> Vec<Client> {
    for (name, of) in stand_ins {
        if !names.check(of, desk) {
            continue;
        }
        let program = ClientName::new(&of.value.0);
        // One that is broken was reported there.
        let Some(known) = clients.iter().find(|c| c.name == program) else {
            continue;
        };
        if known.program.is_none() {
            desk.error(
                of.place,
                format!("client \"{program}\" has no \"command\""),
                "a client stands in for a program; remove the key, or let a program make the requests of that one",
            );
            continue;
        }
        let agent = known.user_agent.clone();
        let Some(own) = clients.iter_mut().find(|c| c.name == *name) else {
            continue;
        };
        if own.program.is_some() {
            desk.error(
                of.place,
                "is of no use beside a \"command\"",
                "edgewatch's own client stands in for a program; remove it here",
            );
            continue;
        }
        if !agent.is_empty() && agent != own.user_agent {
            desk.warning(
                of.place,
                format!("client \"{program}\" has another user agent, {}", quote(&agent)),
                "two that differ in the user agent too tell nothing of the TLS; let both have the same",
            );
        }
        own.stands_in_for = Some(program);
    }
    clients
}

fn plain(name: &str, user_agent: String) -> Client {
    Client {
        name: ClientName::new(name),
        user_agent,
        http: HttpOffer::default(),
        tls: TlsRange::default(),
        headers: Vec::new(),
        header_case: HeaderCase::default(),
        program: None,
        stands_in_for: None,
        trust: None,
        control: false,
    }
}

fn client(
    name: &str,
    mut raw: raw::Client,
    place: Place,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Client {
    if !raw.present.has("user_agent") && !raw.present.has("command") {
        desk.error(place, "\"user_agent\" is missing", "");
    }
    let program = programs::program(&mut raw, inputs, desk);
    let mut tls = TlsRange::default();
    if let Some(range) = raw.tls {
        let place = range.place;
        tls.min = range.value.min.map_or(tls.min, |m| m.value.0);
        tls.max = range.value.max.map_or(tls.max, |m| m.value.0);
        for group in range
            .value
            .groups
            .map(|many| many.value.0)
            .unwrap_or_default()
        {
            let of_13 = group.value.0 == Group::X25519MlKem768 && tls.max == TlsVersion::V1_2;
            let twice = tls.groups.contains(&Some(group.value.0));
            match tls.groups.iter_mut().find(|known| known.is_none()) {
                Some(free) if !of_13 && !twice => *free = Some(group.value.0),
                _ => desk.error(
                    group.place,
                    "is one group too many",
                    "name each once; x25519mlkem768 is of TLS 1.3 alone",
                ),
            }
        }
        if tls.min > tls.max {
            desk.error(
                place,
                format!(
                    "\"min\" is {}, above \"max\", which is {}",
                    tls.min.as_str(),
                    tls.max.as_str()
                ),
                "swap them",
            );
        }
    }
    let mut headers = Vec::new();
    for (name, place, value) in headers::of_client(raw.headers, desk) {
        if value.as_ref().is_some_and(|value| value.contains("{{")) {
            desk.error(
                place,
                "placeholders are not filled in headers of a client",
                "move the header to the probe",
            );
        }
        headers.push((name, value));
    }
    let trust = trust::pems(raw.trust, inputs, desk);
    Client {
        trust: (!trust.is_empty()).then(|| trust.join("\n").into()),
        http: raw.http.map_or_else(HttpOffer::default, |h| h.value.0),
        tls,
        headers,
        header_case: raw
            .header_case
            .map_or_else(HeaderCase::default, |c| c.value.0),
        program,
        control: raw.control.is_some_and(|c| c.value.0),
        ..plain(name, raw.user_agent.map(|u| u.value.0).unwrap_or_default())
    }
}

/// The credentials; one whose secrets are not there is kept with the reason, and reported as a warning.
pub(super) fn credentials(
    raw: Option<At<Named<Named<Field>>>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Vec<Credential> {
    let mut credentials = Vec::new();
    for (name, fields) in raw.map(|r| r.value.0).unwrap_or_default() {
        if name.value == "anonymous" {
            desk.error(
                name.place,
                "\"anonymous\" always exists and means no credential",
                "choose another name",
            );
            continue;
        }
        let Some(fields) = fields else { continue };
        if fields.value.0.is_empty() {
            desk.error(
                fields.place,
                "has no fields",
                "add one, like \"username: { env: NAME }\"",
            );
            continue;
        }
        let mut credential = Credential {
            name: CredentialName::new(&name.value),
            fields: BTreeMap::new(),
            missing: None,
            unfit: BTreeMap::new(),
            open: std::collections::BTreeSet::new(),
        };
        let mut reasons = Vec::new();
        for (field, source) in fields.value.0 {
            // One that can't be read has had its error; that the field is there is known.
            let Some(source) = source else {
                reasons.push(format!("{} can't be read", field.value));
                continue;
            };
            if !source.value.secret {
                credential.open.insert(field.value.clone());
            }
            match secrets::fetch(&source.value.source, inputs) {
                Ok(secret) => {
                    credential.fields.insert(field.value, secret);
                }
                Err(reason) => {
                    desk.warning(
                        source.place,
                        reason.clone(),
                        format!("cells with \"{}\" do not run until it is there", name.value),
                    );
                    reasons.push(reason);
                }
            }
        }
        if !reasons.is_empty() {
            credential.missing = Some(reasons.join(", "));
        }
        credentials.push(credential);
    }
    credentials
}

/// `192.0.2.53` or `192.0.2.53:5353`, `[2001:db8::1]:5353`.
pub(super) fn name_server(text: &At<String>, desk: &mut Desk<'_>) -> Option<std::net::SocketAddr> {
    const DNS: u16 = 53;
    let address = text
        .value
        .parse::<IpAddr>()
        .map(|ip| (ip, DNS).into())
        .or_else(|_| text.value.parse());
    if address.is_err() {
        desk.error(
            text.place,
            format!("{} is no address of a name server", quote(&text.value)),
            "write \"192.0.2.53\" or \"192.0.2.53:5353\"",
        );
    }
    address.ok()
}
