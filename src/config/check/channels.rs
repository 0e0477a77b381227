//! The channels besides Slack and Teams: webhook, mail, `PagerDuty`, Alertmanager.

use std::collections::HashSet;

use lettre::message::Mailbox;
use url::{Host, Url};

use super::endpoint::{base, channel_secret, is_local, unusable};
use crate::config::Inputs;
use crate::config::collections::{Many, Pairs};
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::raw;
use crate::config::read::Present;
use crate::config::special::{Readers, Source};
use crate::domain::notification::{Channel, Encryption, Login, Mail};
use crate::domain::secret::Secret;

/// Recipients of one mail; more belong on a mailing list.
const RECIPIENTS_MAX: usize = 50;

/// How to make a key for a webhook.
const MAKE_KEY: &str = "make one that both sides know: echo \"whsec_$(openssl rand -base64 32)\"";

pub(super) fn webhook(
    raw: raw::Webhook,
    roots: &[String],
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Channel> {
    let how = "it is the address that takes a POST of JSON";
    let url = raw.url.map(|source| {
        channel_secret(&source, how, inputs, desk).and_then(|url| webhook_url(&url, &source, desk))
    });
    let key = raw.secret.map(|source| {
        let key = channel_secret(&source, MAKE_KEY, inputs, desk)?;
        if key.signing_key().is_none() {
            let no_key = "no signing key: base64 of 24 to 64 bytes";
            return Err(unusable(&source, no_key, MAKE_KEY, desk));
        }
        Ok(key)
    });
    Some(Channel::Webhook {
        url: url?,
        key: key?,
        roots: roots.to_vec(),
    })
}

fn webhook_url(
    secret: &Secret,
    source: &At<Source>,
    desk: &mut Desk<'_>,
) -> Result<Secret, String> {
    let text = secret.expose().trim();
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        let how = "it begins with \"https://\"";
        return Err(unusable(source, "no URL of a webhook", how, desk));
    };
    if url.scheme() == "http" && !is_local(&url) {
        desk.warning(
            source.place,
            "the webhook is called in the clear: whoever is on the way reads its address and what is told",
            "use https, unless the network between is yours alone",
        );
    }
    Ok(Secret::new(text))
}

pub(super) fn email(
    raw: At<raw::Email>,
    roots: &[String],
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Channel> {
    let At { value: raw, place } = raw;
    let encryption = raw
        .tls
        .as_ref()
        .map_or(Encryption::StartTls, |tls| tls.value.0);
    let port = port(
        raw.port.as_ref().map(|p| At {
            value: p.value.0,
            place: p.place,
        }),
        encryption,
        desk,
    );
    let login = password_login(
        raw.username.as_ref(),
        raw.password.as_ref(),
        &raw.present,
        place,
        inputs,
        desk,
    );
    let host = raw.host.and_then(|host| mail_host(host, desk));
    if let (Some(tls), Some(host)) = (&raw.tls, &host)
        && tls.value.0 == Encryption::None
        && !is_loopback(host)
    {
        desk.error(
            tls.place,
            "mail and password would be sent in the clear",
            "\"none\" is for a server on this host alone (localhost, 127.0.0.1); use starttls or implicit",
        );
        return None;
    }
    let from = raw.from.and_then(|from| mailbox(&from, desk));
    let to = raw.to.and_then(|to| recipients(&to, desk));
    let hello = match raw.hello {
        None => from.as_ref().map(|from| from.email.domain().to_owned()),
        Some(hello) => {
            let valid = Host::parse(&hello.value).is_ok_and(|h| matches!(h, Host::Domain(_)));
            if !valid {
                desk.error(
                    hello.place,
                    format!("{} is no host name", quote(&hello.value)),
                    "write the full name of this host, like \"monitor.example.org\"",
                );
            }
            valid.then_some(hello.value)
        }
    };
    let plain = raw
        .words
        .is_some_and(|words| words.value.0 == Readers::Plain);
    Some(Channel::Email(Box::new(Mail {
        host: host?,
        port,
        encryption,
        login: login?,
        hello: hello?,
        from: from?.to_string(),
        to: to?,
        plain,
        roots: roots.to_vec(),
    })))
}

/// The port, or the usual one for this way to encrypt (RFC 8314).
fn port(port: Option<At<u64>>, encryption: Encryption, desk: &mut Desk<'_>) -> u16 {
    let usual = match encryption {
        Encryption::StartTls => 587,
        Encryption::Implicit => 465,
        Encryption::None => 25,
    };
    let Some(port) = port else { return usual };
    match (port.value, encryption) {
        (465, Encryption::StartTls) => desk.warning(
            port.place,
            "servers encrypt from the first byte on port 465, and wait for it in vain with starttls",
            "add \"tls: implicit\", or use port 587",
        ),
        (25 | 587, Encryption::Implicit) => desk.warning(
            port.place,
            format!("servers speak in the clear first on port {}, and wait for starttls", port.value),
            "use port 465, or \"tls: starttls\"",
        ),
        _ => {}
    }
    // The reader allows 1 to 65535.
    u16::try_from(port.value).unwrap_or(usual)
}

fn mail_host(host: At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = &host.value;
    let hint = if text.contains("://") {
        "write the name alone, without \"smtp://\""
    } else if text.matches(':').count() == 1 {
        "the port has a key of its own, \"port\""
    } else {
        "write it like \"smtp.example.org\""
    };
    // An address of IPv6 stands without brackets here.
    let valid = text.parse::<std::net::IpAddr>().is_ok()
        || Host::parse(text).is_ok_and(|h| matches!(h, Host::Domain(_)));
    if !valid {
        // Perhaps a URL with a password in it.
        if text.contains('@') {
            desk.hide_at(host.place);
        }
        desk.error(host.place, "is no name of a mail server", hint);
    }
    valid.then_some(host.value)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn mailbox(text: &At<String>, desk: &mut Desk<'_>) -> Option<Mailbox> {
    let parsed: Option<Mailbox> = text.value.parse().ok();
    // Other letters than these need an extension (SMTPUTF8) that many servers lack.
    let parsed = parsed.filter(|mailbox| mailbox.email.to_string().is_ascii());
    if parsed.is_none() {
        desk.error(
            text.place,
            format!("{} is no mail address", quote(&text.value)),
            "write \"alerts@example.org\" or \"edgewatch <alerts@example.org>\"",
        );
    }
    parsed
}

fn recipients(to: &At<Many<String>>, desk: &mut Desk<'_>) -> Option<Vec<String>> {
    let count = to.value.0.len();
    if count == 0 || count > RECIPIENTS_MAX {
        desk.error(
            to.place,
            format!("{count} recipients"),
            format!("name 1 to {RECIPIENTS_MAX}; for more make a mailing list"),
        );
        return None;
    }
    let mailboxes: Vec<Mailbox> = to
        .value
        .0
        .iter()
        .filter_map(|text| mailbox(text, desk))
        .collect();
    (mailboxes.len() == count).then_some(())?;
    let mut seen = HashSet::new();
    let once = mailboxes.iter().filter(|m| seen.insert(&m.email));
    Some(once.map(ToString::to_string).collect())
}

/// The login that user name and password make; outer `None` after an error, inner for none at all.
#[allow(
    clippy::option_option,
    reason = "not asked for, and not readable, are different things"
)]
fn password_login(
    username: Option<&At<Source>>,
    password: Option<&At<Source>>,
    present: &Present,
    place: Place,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Option<Result<Login, String>>> {
    let (username, password) = match (username, password) {
        (None, None) => return Some(None),
        (Some(username), Some(password)) => (username, password),
        (one, _) => {
            let (missing, there) = if one.is_some() {
                ("password", "username")
            } else {
                ("username", "password")
            };
            if present.has(missing) {
                // It could not be read, which was said.
                return None;
            }
            desk.error(
                place,
                format!("\"{there}\" without \"{missing}\" is no login"),
                format!("add \"{missing}\", or remove \"{there}\""),
            );
            return None;
        }
    };
    let username = channel_secret(username, "", inputs, desk);
    let password = channel_secret(password, "", inputs, desk);
    Some(Some(match (username, password) {
        (Ok(username), Ok(password)) => Ok(Login::Password { username, password }),
        (Err(one), Err(other)) => Err(format!("{one}; {other}")),
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
    }))
}

pub(super) fn pagerduty(
    raw: raw::PagerDuty,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Channel> {
    const WHERE: &str =
        "in PagerDuty: Services, the service, Integrations, Events API V2, Integration Key";
    let routing_key = raw.routing_key.map(|source| {
        let key = channel_secret(&source, WHERE, inputs, desk);
        // https://support.pagerduty.com/main/docs/services-and-integrations (read 2026-11-22).
        let usual = |key: &str| key.len() == 32 && key.chars().all(|c| c.is_ascii_alphanumeric());
        if let Ok(key) = &key
            && !usual(key.expose())
        {
            desk.warning(
                source.place,
                "does not look like an integration key (32 letters and digits)",
                WHERE,
            );
        }
        key
    });
    let api = match raw.api {
        None => Some("https://events.pagerduty.com".to_owned()),
        Some(api) => base(&api, "https://events.eu.pagerduty.com", desk),
    };
    Some(Channel::PagerDuty {
        routing_key: routing_key?,
        api: api?,
    })
}

pub(super) fn alertmanager(
    raw: At<raw::Alertmanager>,
    roots: &[String],
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Channel> {
    let At { value: raw, place } = raw;
    let password = password_login(
        raw.username.as_ref(),
        raw.password.as_ref(),
        &raw.present,
        place,
        inputs,
        desk,
    );
    let token = raw
        .token
        .as_ref()
        .map(|token| channel_secret(token, "", inputs, desk).map(Login::Token));
    let login = match (password?, token) {
        (Some(_), Some(_)) => {
            desk.error(
                place,
                "has two logins",
                "keep \"token\", or \"username\" and \"password\"",
            );
            return None;
        }
        (password, token) => password.or(token),
    };
    let peers = raw.url?;
    if peers.value.0.is_empty() {
        desk.error(
            peers.place,
            "names no Alertmanager",
            "name each peer of the cluster",
        );
        return None;
    }
    let count = peers.value.0.len();
    let peers: Vec<String> = peers
        .value
        .0
        .iter()
        .filter_map(|peer| self::peer(peer, login.is_some(), desk))
        .collect();
    let labels = labels(raw.labels, desk);
    (peers.len() == count).then_some(())?;
    Some(Channel::Alertmanager {
        peers,
        login,
        labels: labels?,
        roots: roots.to_vec(),
    })
}

/// Where one Alertmanager begins, without a trailing slash.
fn peer(peer: &At<String>, login: bool, desk: &mut Desk<'_>) -> Option<String> {
    const LIKE: &str = "write where it begins, like \"http://alertmanager:9093\"";
    let url = Url::parse(&peer.value).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let Some(url) = url else {
        // Perhaps with a password in it.
        desk.hide_at(peer.place);
        desk.error(
            peer.place,
            "is no URL of an Alertmanager",
            format!("{LIKE}; a login goes under \"username\" and \"password\""),
        );
        return None;
    };
    let path = url.path().trim_end_matches('/');
    if path.ends_with("/alerts") || path.ends_with("/api/v2") || path.ends_with("/api/v1") {
        desk.error(
            peer.place,
            "goes too far: the path of the API is added to it",
            LIKE,
        );
        return None;
    }
    if login && url.scheme() == "http" && !is_local(&url) {
        desk.error(
            peer.place,
            "the login would be sent in the clear",
            "use https",
        );
        return None;
    }
    Some(peer.value.trim_end_matches('/').to_owned())
}

fn labels(labels: Option<At<Pairs<String>>>, desk: &mut Desk<'_>) -> Option<Vec<(String, String)>> {
    const OURS: [&str; 5] = ["alertname", "service", "probe", "incident", "severity"];
    let mut read = Vec::new();
    let mut good = true;
    for (name, value) in labels.map(|l| l.value.0).unwrap_or_default() {
        let text = &name.value;
        // https://prometheus.io/docs/concepts/data_model/ (read 2026-11-22).
        let valid = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            desk.error(
                name.place,
                format!("{} can't be a label", quote(text)),
                "use letters, digits and \"_\", no digit first",
            );
        } else if OURS.contains(&text.as_str()) {
            desk.error(
                name.place,
                format!("the label \"{text}\" is edgewatch's own"),
                "choose another name",
            );
        } else {
            read.push((name.value, value.value));
            continue;
        }
        good = false;
    }
    good.then_some(read)
}
