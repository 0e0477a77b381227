//! Where the pages for people are served, under which names, and for whom.
//!
//! Looking needs no password, so they stay on this host unless a proxy in front asks who comes.

use super::super::Inputs;
use super::super::collections::{Form, Many, Named};
use super::super::desk::{At, Desk, quote};
use super::super::leaf::Word;
use super::super::raw;
use super::super::special::{Off, Source};
use super::secrets;
use crate::domain::secret::Secret;
use crate::domain::web::{TrustedProxy, Web, WebUser, Who};

/// A path of a proxy, and a name of DNS, have no more.
const PATH_MAX: usize = 200;
const NAME_MAX: usize = 253;
const USER_HEADER: &str = "x-forwarded-user";

/// `None` where they are switched off, and where what the file says can't be.
pub(super) fn web(
    raw: Form<Word<Off>, raw::Web>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Web> {
    let Form::Full(raw) = raw else { return None };
    let exposed = raw.exposed.as_ref().is_some_and(|flag| flag.value.0);
    let mut web = Web {
        exposed,
        ..Web::default()
    };
    if let Some(listen) = raw.listen {
        let address = listen.value.0;
        if !address.ip().is_loopback() && !exposed {
            desk.error(
                listen.place,
                format!("other hosts can reach {address}, and looking needs no password"),
                "listen on 127.0.0.1, or write \"exposed: true\" with \"names\" and the \"proxy\" that asks who comes",
            );
        }
        web.address = address;
    }
    for name in raw.names.map(|many| many.value.0).unwrap_or_default() {
        web.names.extend(host_name(&name, desk));
    }
    if let Some(path) = raw.path {
        web.path = below(&path, desk)?;
    }
    let says_groups = raw.proxy.as_ref().map(|proxy| proxy.value.groups.is_some());
    web.proxy = raw
        .proxy
        .and_then(|proxy| trusted(proxy.value, inputs, desk));
    web.users = users(raw.users, inputs, desk);
    if let Some(flag) = raw.exposed.filter(|flag| flag.value.0) {
        if web.names.is_empty() {
            desk.error(
                flag.place,
                "takes \"names\": a page of a stranger could ask for these pages under a name of its own",
                "add \"names: [edgewatch.example.org]\", as it stands in the address of the page",
            );
        }
        if says_groups.is_none() {
            desk.error(
                flag.place,
                "takes a \"proxy\": the pages are served over plain HTTP, where passwords and sessions can be read on the way",
                "put a proxy with TLS in front, and add \"proxy: { from: [ITS ADDRESS], secret: { env: NAME } }\"",
            );
        }
    }
    let known = Known {
        users: &web.users,
        groups: says_groups,
    };
    let viewers = raw.viewers.map(|list| known.people(list, true, desk));
    let operators = raw.operators.map(|list| known.people(list, false, desk));
    web.viewers = viewers;
    web.operators = operators.unwrap_or_default();
    Some(web)
}

fn trusted(
    raw: raw::TrustedProxy,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<TrustedProxy> {
    let from: Vec<_> = raw.from?.value.0.into_iter().map(|at| at.value.0).collect();
    let header = |at: At<super::super::leaf::HeaderText>, desk: &mut Desk<'_>| {
        let name = http::HeaderName::from_bytes(at.value.0.as_bytes());
        if name.is_err() {
            let what = format!("{} is no name of a header", quote(&at.value.0));
            desk.error(at.place, what, "like X-Forwarded-User");
        }
        name.ok().map(|name| name.as_str().to_owned())
    };
    let user = match raw.user {
        Some(user) => header(user, desk)?,
        None => USER_HEADER.to_owned(),
    };
    let groups = match raw.groups {
        Some(groups) => Some(header(groups, desk)?),
        None => None,
    };
    let secret = raw.secret?;
    let fetched = secrets::fetch(&secret.value, inputs).inspect_err(|reason| {
        let hint = "nobody is known by the proxy until it is there";
        desk.warning(secret.place, reason.clone(), hint);
    });
    Some(TrustedProxy {
        from,
        user,
        groups,
        secret: fetched,
    })
}

fn users(
    raw: Option<At<Named<raw::WebUser>>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Vec<WebUser> {
    let mut users = Vec::new();
    for (name, user) in raw.map(|named| named.value.0).unwrap_or_default() {
        let Some(password) = user.and_then(|user| user.value.password) else {
            continue;
        };
        let hash = hash(&password, inputs).inspect_err(|reason| {
            let hint = format!(
                "nobody signs in as {} until it is mended",
                quote(&name.value)
            );
            desk.warning(password.place, reason.clone(), hint);
        });
        users.push(WebUser {
            name: name.value,
            hash,
        });
    }
    users
}

fn hash(source: &At<Source>, inputs: &dyn Inputs) -> Result<Secret, String> {
    let hash = secrets::fetch(&source.value, inputs)?;
    if crate::domain::password::is_hash(hash.expose()) {
        return Ok(hash);
    }
    Err(format!(
        "what {} holds is no argon2id hash; `edgewatch web password` makes one of a password",
        secrets::name(&source.value)
    ))
}

/// Whom lists can name.
struct Known<'a> {
    users: &'a [WebUser],
    /// Whether the proxy says groups; `None`: there is no proxy.
    groups: Option<bool>,
}

impl Known<'_> {
    fn people(&self, list: At<Many<String>>, everyone: bool, desk: &mut Desk<'_>) -> Vec<Who> {
        let mut people = Vec::new();
        for one in list.value.0 {
            let text = one.value.as_str();
            if text == "everyone" {
                if everyone {
                    people.push(Who::Everyone);
                } else {
                    desk.error(
                        one.place,
                        "whoever reaches the pages could silence and ask",
                        "name people, or a group of the proxy (\"group:ops\")",
                    );
                }
            } else if let Some(group) = text.strip_prefix("group:") {
                if self.groups != Some(true) {
                    desk.warning(
                        one.place,
                        format!(
                            "nobody is in the group {}: no proxy says groups",
                            quote(group)
                        ),
                        "add \"groups: X-Forwarded-Groups\" to \"proxy\"",
                    );
                }
                people.push(Who::Group(group.to_owned()));
            } else {
                let is_user = self.users.iter().any(|user| user.name == text);
                if !is_user && self.groups.is_none() {
                    desk.warning(
                        one.place,
                        format!("nobody signs in as {}", quote(text)),
                        "add the name under \"users\", or a \"proxy\" that says who comes",
                    );
                }
                people.push(Who::User(text.to_owned()));
            }
        }
        people
    }
}

/// A name as browsers send it in `Host`, without a port.
fn host_name(name: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = name.value.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= NAME_MAX && text.split('.').all(label) {
        return Some(text);
    }
    desk.error(
        name.place,
        format!("{} is no name of a host", quote(&name.value)),
        "write it as it stands in the address of the page, without http:// and without a port",
    );
    None
}

fn below(path: &At<String>, desk: &mut Desk<'_>) -> Option<String> {
    let text = path.value.trim_end_matches('/');
    let segment = |s: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        !s.is_empty() && s != "." && s != ".." && s.bytes().all(plain)
    };
    let rest = text.strip_prefix('/');
    let sound = rest.is_some_and(|rest| rest.split('/').all(segment));
    if text.is_empty() || (sound && text.len() <= PATH_MAX) {
        return Some(text.to_owned());
    }
    desk.error(
        path.place,
        format!("{} is no path", quote(&path.value)),
        "begin with \"/\", and use letters, digits, \"-\", \"_\", \".\" and \"~\" between slashes",
    );
    None
}
