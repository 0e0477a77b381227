//! Where pages for people are served, who may look, and who may act there.

use std::net::{IpAddr, SocketAddr};

use super::secret::Secret;

/// Where pages for people are served, over plain HTTP, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// On loopback unless `exposed`; port 0 leaves the choice to the system.
    pub address: SocketAddr,
    /// Names that are answered besides those of loopback, in lower case: a proxy asks by them.
    pub names: Vec<String>,
    /// Path below which a proxy serves the pages, like `/edgewatch`; empty: at the root.
    pub path: String,
    /// Other hosts can reach the address.
    pub exposed: bool,
    pub proxy: Option<TrustedProxy>,
    pub users: Vec<WebUser>,
    /// Who may look; `None`: whoever is known, and where nothing is exposed everybody.
    pub viewers: Option<Vec<Who>>,
    /// Who may act, besides whoever signs in on the host.
    pub operators: Vec<Who>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9465)),
            names: Vec::new(),
            path: String::new(),
            exposed: false,
            proxy: None,
            users: Vec::new(),
            viewers: None,
            operators: Vec::new(),
        }
    }
}

/// A proxy that asks people who they are, and says so with each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxy {
    /// From where it asks; of others its headers are not read.
    pub from: Vec<IpAddr>,
    /// Names of its headers, in lower case: the user, and the groups that it is in, with commas between.
    pub user: String,
    pub groups: Option<String>,
    /// What it sends in [`PROXY_SECRET`], so that other programs of its host can't pose as it. `Err`: why it is missing;
    /// nobody is known by the proxy then.
    pub secret: Result<Secret, String>,
}

/// The header in which a proxy proves that it is the one.
pub const PROXY_SECRET: &str = "x-edgewatch-proxy";

/// Somebody who signs in with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUser {
    pub name: String,
    /// Argon2id, as a PHC string. `Err`: why it is missing; nobody signs in by this name then.
    pub hash: Result<Secret, String>,
}

/// Somebody, as a list in the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the pages.
    Everyone,
    User(String),
    Group(String),
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Operator,
}

/// Somebody whom a session or a proxy names.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub name: &'a str,
    pub groups: &'a [String],
}

impl Web {
    /// What somebody may do; `who` is `None` where nobody says who asks, and the answer is `None` for who may not even look.
    #[must_use]
    pub fn role(&self, who: Option<Named<'_>>) -> Option<Role> {
        let is = |list: &[Who]| {
            list.iter().any(|one| match (one, who) {
                (Who::Everyone, _) => true,
                (Who::User(name), Some(who)) => who.name == *name,
                (Who::Group(group), Some(who)) => who.groups.contains(group),
                (_, None) => false,
            })
        };
        if who.is_some() && is(&self.operators) {
            return Some(Role::Operator);
        }
        let looks = match &self.viewers {
            Some(list) => is(list),
            None => who.is_some() || !self.exposed,
        };
        looks.then_some(Role::Viewer)
    }

    /// Its secrets, so that none of them is ever shown.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> + '_ {
        let proxy = self
            .proxy
            .iter()
            .filter_map(|proxy| proxy.secret.clone().ok());
        let users = self.users.iter().filter_map(|user| user.hash.clone().ok());
        proxy.chain(users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_who_looks_and_who_acts() {
        let user = |name: &str| Who::User(name.to_owned());
        let group = |name: &str| Who::Group(name.to_owned());
        let open = Web::default();
        let exposed = Web {
            exposed: true,
            operators: vec![user("ann"), group("ops")],
            ..Web::default()
        };
        let closed = Web {
            viewers: Some(vec![group("staff")]),
            ..exposed.clone()
        };
        let for_all = Web {
            viewers: Some(vec![Who::Everyone]),
            ..exposed.clone()
        };
        let (looks, acts) = (Some(Role::Viewer), Some(Role::Operator));
        for (name, groups, expected) in [
            (None, "", [looks, None, None, looks]),
            (Some("ann"), "", [looks, acts, acts, acts]),
            (Some("ben"), "", [looks, looks, None, looks]),
            (Some("ben"), "staff", [looks, looks, looks, looks]),
            (Some("ben"), "staff ops", [looks, acts, acts, acts]),
            (Some("ops"), "", [looks, looks, None, looks]),
        ] {
            let groups: Vec<String> = groups.split_whitespace().map(str::to_owned).collect();
            let who = name.map(|name| Named {
                name,
                groups: &groups,
            });
            let found = [&open, &exposed, &closed, &for_all].map(|web| web.role(who));
            assert_eq!(found, expected, "{name:?} {groups:?}");
        }
    }
}
