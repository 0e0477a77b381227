//! Who asks for a page: a session, which a cookie tells and the store knows by its digest, or whom a trusted proxy names.
//!
//! Who may look and who may act the file says; whoever can write the store may act anyway: a command leaves a secret
//! there to sign in with.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use sha2::{Digest as _, Sha256};

use super::Pages;
use crate::clock;
use crate::domain::web::{Named, PROXY_SECRET, Role, TrustedProxy};
use crate::store::Opens;

/// Where the session is kept; the prefix ties it to this origin, and to none of its siblings.
pub(super) const COOKIE_NAME: &str = "__Host-edgewatch";
/// How the session of a password begins in the store; the rest is the name and what ties it to the hash.
const BY_PASSWORD: &str = "user:";
/// Of a name or a group that a proxy says.
const NAME_MAX: usize = 200;

tokio::task_local! {
    /// Who asks.
    static ASKER: Asker;
}

/// Who asks, if somebody says so, and from where.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) person: Option<Person>,
    pub(super) address: Option<IpAddr>,
    /// They see what is for everybody, and no other page.
    pub(super) outsider: bool,
}

/// Somebody who is known.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) name: String,
    /// Digest of the session's secret, or what stands for it where a proxy names the person.
    pub(super) session: String,
    pub(super) may_act: bool,
    /// There is a session to leave.
    pub(super) signed_in: bool,
}

/// Who asks, and whether they may see pages.
pub(super) struct Visit {
    pub(super) person: Option<Person>,
    pub(super) may_look: bool,
}

/// Who asks for the page that is being made.
pub(super) fn person() -> Option<Person> {
    ASKER.try_with(|asker| asker.person.clone()).ok().flatten()
}

/// From where.
pub(super) fn peer() -> Option<IpAddr> {
    ASKER.try_with(|asker| asker.address).ok().flatten()
}

pub(super) fn is_outsider() -> bool {
    ASKER.try_with(|asker| asker.outsider).unwrap_or(false)
}

/// Makes an answer for somebody.
pub(super) async fn answered_for<T>(asker: Asker, made: impl Future<Output = T>) -> T {
    ASKER.scope(asker, made).await
}

/// Whether a script brings the secret of a link that opens what scripts read.
async fn may_read(pages: &Pages, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return false;
    };
    let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
    let Some((_, token)) = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    else {
        return false;
    };
    let sha256 = digest(token.trim());
    let found = pages.read(move |reader| reader.shared(&sha256, clock::now()));
    let link = found.await.ok().flatten();
    link.is_some_and(|link| link.opens == Opens::Api)
}

/// Who asks, by the session that a request brings or by what the proxy says; reading it changes nothing.
pub(super) async fn visit(
    pages: &Pages,
    (path, headers): (&str, &HeaderMap),
    peer: Option<IpAddr>,
) -> Visit {
    let mut visit = known(pages, headers, peer).await;
    if !visit.may_look && (path.starts_with("/api/v1/") || path.starts_with("/gate/")) {
        visit.may_look = may_read(pages, headers).await;
    }
    visit
}

async fn known(pages: &Pages, headers: &HeaderMap, peer: Option<IpAddr>) -> Visit {
    if let Some((name, session)) = session(pages, headers).await {
        return by_session(pages, &name, session);
    }
    let web = pages.web();
    let said = web
        .proxy
        .as_ref()
        .and_then(|proxy| named_by(proxy, headers, peer));
    let Some((name, groups)) = said else {
        return Visit {
            person: None,
            may_look: web.role(None).is_some(),
        };
    };
    let role = web.role(Some(Named {
        name: &name,
        groups: &groups,
    }));
    Visit {
        may_look: role.is_some(),
        person: Some(Person {
            session: format!("proxy:{name}"),
            name,
            may_act: role == Some(Role::Operator),
            signed_in: false,
        }),
    }
}

/// The name and the session's digest.
async fn session(pages: &Pages, headers: &HeaderMap) -> Option<(String, String)> {
    let cookies = headers.get_all(COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    let secret = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
    let session = digest(secret);
    let wanted = session.clone();
    let found = pages.read(move |reader| reader.signed_in(&wanted, clock::now()));
    found.await.ok()?.map(|name| (name, session))
}

fn by_session(pages: &Pages, kept: &str, session: String) -> Visit {
    if !kept.starts_with(BY_PASSWORD) {
        // Whoever can write the store.
        return Visit {
            may_look: true,
            person: Some(Person {
                name: kept.to_owned(),
                session,
                may_act: true,
                signed_in: true,
            }),
        };
    }
    let web = pages.web();
    let user = web.users.iter().find(|known| {
        let hash = known.hash.as_ref();
        hash.is_ok_and(|hash| kept == kept_as(&known.name, hash.expose()))
    });
    // Another password, or none any more, ends it.
    let Some(user) = user else {
        return Visit {
            person: None,
            may_look: web.role(None).is_some(),
        };
    };
    let role = web.role(Some(Named {
        name: &user.name,
        groups: &[],
    }));
    Visit {
        may_look: role.is_some(),
        person: Some(Person {
            name: user.name.clone(),
            session,
            may_act: role == Some(Role::Operator),
            signed_in: true,
        }),
    }
}

/// As whom a session is kept that a password opened: it is tied to the hash, so that another password ends it.
pub(super) fn kept_as(name: &str, hash: &str) -> String {
    let tie = digest(hash);
    format!("{BY_PASSWORD}{name}:{}", &tie[..16])
}

/// Whom the proxy names, with their groups; `None`: it is not the proxy, or it names nobody.
fn named_by(
    proxy: &TrustedProxy,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Option<(String, Vec<String>)> {
    if !is_the_proxy(proxy, headers, peer) {
        return None;
    }
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let first = all.next()?.to_str().ok()?.trim();
        // Two: one of them may be a stranger's.
        (all.next().is_none() && !first.is_empty() && first.len() <= NAME_MAX).then_some(first)
    };
    let name = one(&proxy.user)?.to_owned();
    let groups = proxy.groups.as_deref().and_then(|header| {
        let mut all = headers.get_all(header).iter();
        let first = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(first)
    });
    let groups = groups.unwrap_or_default().split(',');
    let groups = groups.map(|group| group.trim().to_owned());
    Some((name, groups.filter(|group| !group.is_empty()).collect()))
}

/// Whether a request comes from the proxy: from its address, and with the secret.
fn is_the_proxy(proxy: &TrustedProxy, headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
    let (Ok(secret), Some(given)) = (&proxy.secret, headers.get(PROXY_SECRET)) else {
        return false;
    };
    // Digests have one length, and show nothing of how much was right.
    peer.is_some_and(|peer| proxy.from.contains(&peer))
        && digest_of(given.as_bytes()) == digest_of(secret.expose().as_bytes())
}

/// Whose address guesses at passwords are counted by; `None` where many people share it and nobody tells them apart.
pub(super) fn address(pages: &Pages, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let proxy = pages.web().proxy.as_ref();
    if proxy.is_some_and(|proxy| is_the_proxy(proxy, headers, peer)) {
        // The last hop is the proxy's own word; those before it are anybody's.
        let hops = headers.get_all("x-forwarded-for").iter().next_back()?;
        return hops.to_str().ok()?.rsplit(',').next()?.trim().parse().ok();
    }
    peer.filter(|peer| !peer.is_loopback())
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(secret: &str) -> String {
    Sha256::digest(secret)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A secret that nobody guesses.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn secret() -> Result<String, String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::Source;
    use crate::domain::secret::Secret;
    use crate::domain::web::Web;
    use crate::report::fixture::march;

    #[test]
    fn guesses_count_by_whom_the_proxy_names_last() {
        let web = Web {
            proxy: Some(TrustedProxy {
                from: vec!["10.0.0.5".parse().unwrap()],
                user: "x-forwarded-user".to_owned(),
                groups: None,
                secret: Ok(Secret::new("between-us")),
            }),
            ..Web::default()
        };
        let plan = std::sync::Arc::new(march().plan);
        let pages = Pages::new(Source::Copy { plan }, std::path::PathBuf::new(), web);
        let of = |peer: &str, secret: &str, hops: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(PROXY_SECRET, secret.parse().unwrap());
            if let Some(hops) = hops {
                headers.insert("x-forwarded-for", hops.parse().unwrap());
            }
            let found = address(&pages, &headers, peer.parse().ok());
            found.map(|address| address.to_string())
        };
        let last = Some("203.0.113.9".to_owned());
        assert_eq!(
            of("10.0.0.5", "between-us", Some("192.0.2.1, 203.0.113.9")),
            last
        );
        assert_eq!(of("10.0.0.5", "between-us", None), None, "it names nobody");
        assert_eq!(
            of("10.0.0.5", "guess", Some("192.0.2.1")).as_deref(),
            Some("10.0.0.5")
        );
        assert_eq!(
            of("203.0.113.9", "between-us", Some("192.0.2.1")),
            last,
            "not the proxy"
        );
        assert_eq!(
            of("127.0.0.1", "", Some("192.0.2.1")),
            None,
            "whoever is behind a proxy of this host"
        );
    }
}
