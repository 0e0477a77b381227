//! Names into addresses: `/etc/hosts`, then the name servers, with their TTL.
//!
//! No answer is cached, because a probe wants to see what a fresh client would see. `/etc/hosts` and
//! `/etc/resolv.conf` are read at the first use and kept as long as the plan; one that can't be read
//! fails runs and not the start.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use super::failure::{failure, limit, one_line};
use crate::domain::cell::IpFamily;
use crate::domain::observation::{Failure, FailureKind, Phase};
use crate::domain::probe::Resolver;

/// Addresses of one name that are kept and tried.
const ADDRESSES_MAX: usize = 16;
/// One try at one name server.
const TRY: Duration = Duration::from_secs(2);
/// Tries after the first.
const RETRIES: usize = 2;
/// Aliases (CNAME) that are followed to say why a name leads nowhere.
const ALIASES_MAX: usize = 8;
/// How long a whole set of IPv4 addresses waits for IPv6's.
const OTHER_FAMILY: Duration = Duration::from_millis(250);

/// What a name resolved to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// IPv4 first, as the JVM and most job hosts prefer it; otherwise as answered.
    pub(super) addresses: Vec<IpAddr>,
    /// The least TTL of the answer; `None` when it came from `/etc/hosts` or the system.
    pub(super) ttl: Option<Duration>,
}

/// Looks names up.
pub(super) struct Names {
    /// Asked in place of those of `/etc/resolv.conf`; empty: those.
    servers: Vec<SocketAddr>,
    /// Other names of the plan, which tell whether a name server fails for one zone or for all.
    others: Vec<String>,
    hosts: OnceLock<Hosts>,
    resolver: OnceLock<TokioResolver>,
}

impl Names {
    /// `others` are the names that the plan asks for, those of controls first.
    pub(super) fn new(servers: Vec<SocketAddr>, others: Vec<String>) -> Self {
        Self {
            servers,
            others,
            hosts: OnceLock::new(),
            resolver: OnceLock::new(),
        }
    }

    /// Resolves `name`, giving up after `within`.
    pub(super) async fn look_up(
        &self,
        name: &str,
        family: IpFamily,
        resolver: Resolver,
        within: Duration,
    ) -> Result<Resolved, Failure> {
        let lookup = async {
            match resolver {
                Resolver::Own => self.ask(name, family).await,
                Resolver::System => ask_system(name, family).await,
            }
        };
        let failed = match tokio::time::timeout(within, lookup).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(failed)) => failed,
            Err(_) => name_server(format!(
                "{} did not answer for {name} within {}",
                self.whom(resolver),
                limit(within)
            )),
        };
        if failed.kind == FailureKind::NameServer {
            // Half of the half that is left to the rest of the run.
            return Err(self.placed(failed, name, resolver, within / 2).await);
        }
        Err(failed)
    }

    /// Whether name servers fail for one name or for every one; the latter is our side's matter.
    ///
    /// Two other names of the plan tell, and the root, which every resolver knows.
    async fn placed(
        &self,
        failed: Failure,
        name: &str,
        resolver: Resolver,
        within: Duration,
    ) -> Failure {
        let ask = async |other: &str| {
            let lookup = async {
                match resolver {
                    Resolver::Own => self.asked(other).await,
                    Resolver::System => match ask_system(other, IpFamily::Any).await {
                        Err(failed) if failed.kind == FailureKind::NameServer => Heard::Trouble,
                        _ => Heard::Answer,
                    },
                }
            };
            let heard = tokio::time::timeout(within, lookup).await;
            heard.unwrap_or(Heard::Nothing)
        };
        let zone = registrable(name);
        // What this host knows by itself says nothing of the servers.
        let known = |other: &str| {
            let parsed = Name::from_utf8(other).ok();
            registrable(other) == "localhost"
                || parsed.is_none_or(|parsed| self.listed(&parsed, IpFamily::Any).is_some())
        };
        let mut others = self
            .others
            .iter()
            .filter(|other| registrable(other) != zone && !known(other));
        let (one, two) = (others.next(), others.next());
        let ask_other = async |other: Option<&String>| match other {
            Some(other) => Some(ask(other).await),
            None => None,
        };
        let (first, second, root) =
            futures_util::future::join3(ask_other(one), ask_other(two), ask(".")).await;
        let tried: Vec<(&String, Heard)> =
            one.zip(first).into_iter().chain(two.zip(second)).collect();
        if let Some((other, _)) = tried.iter().find(|(_, heard)| *heard == Heard::Answer) {
            let message = format!("{}; {other} resolves there", failed.message);
            return name_server(message);
        }
        let ours = match tried.as_slice() {
            // A server that is there says at least that it does not know.
            [] => root == Heard::Nothing,
            _ => root != Heard::Answer,
        };
        if !ours {
            return failed;
        }
        let names: Vec<&str> = tried.iter().map(|(other, _)| other.as_str()).collect();
        let nor = match names.as_slice() {
            [] => "for anything else".to_owned(),
            some => format!("for {}", some.join(" and ")),
        };
        let message = format!("{}, and neither {nor}", failed.message);
        failure(Phase::Dns, FailureKind::Resolver, message)
    }

    /// What our own resolver says of another name; of the root it is asked for its name servers.
    async fn asked(&self, name: &str) -> Heard {
        let (Ok(parsed), Ok(resolver)) = (Name::from_utf8(name), self.resolver()) else {
            return Heard::Trouble;
        };
        let kind = if parsed.is_root() {
            RecordType::NS
        } else {
            RecordType::A
        };
        match resolver.lookup(parsed, kind).await {
            Ok(_) => Heard::Answer,
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => Heard::Answer,
            Err(NetError::Dns(_)) => Heard::Trouble,
            Err(_) => Heard::Nothing,
        }
    }

    fn whom(&self, resolver: Resolver) -> String {
        match (resolver, self.servers.as_slice()) {
            (Resolver::System, _) => "the system's resolver".to_owned(),
            (Resolver::Own, []) => "the name servers of /etc/resolv.conf".to_owned(),
            (Resolver::Own, [one]) => format!("name server {one}"),
            (Resolver::Own, more) => {
                let names: Vec<String> = more.iter().map(ToString::to_string).collect();
                format!("name servers {}", names.join(", "))
            }
        }
    }

    async fn ask(&self, name: &str, family: IpFamily) -> Result<Resolved, Failure> {
        let parsed = Name::from_utf8(name).map_err(|_| {
            let message = format!("{name} is not a name that DNS could hold");
            failure(Phase::Dns, FailureKind::NameNotFound, message)
        })?;
        if let Some(found) = self.listed(&parsed, family) {
            return Ok(found);
        }
        let resolver = self.resolver()?;
        let one = |kind: RecordType| ask_servers(resolver, &parsed, kind);
        let (v4, v6) = match family {
            IpFamily::V4 => (Some(one(RecordType::A).await), None),
            IpFamily::V6 => (None, Some(one(RecordType::AAAA).await)),
            IpFamily::Any => both(one(RecordType::A), one(RecordType::AAAA)).await,
        };
        let mut found = Resolved {
            addresses: Vec::new(),
            ttl: None,
        };
        let mut wrong = None;
        for answer in [v4, v6].into_iter().flatten() {
            match answer {
                Ok(part) => {
                    found.addresses.extend(part.addresses);
                    found.ttl = [found.ttl, part.ttl].into_iter().flatten().min();
                }
                // A name that exists without an address of one family says less than a broken server.
                Err(error) if wrong.is_none() || !error.is_no_records_found() => {
                    wrong = Some(error);
                }
                Err(_) => {}
            }
        }
        found.addresses.truncate(ADDRESSES_MAX);
        if !found.addresses.is_empty() {
            return Ok(found);
        }
        let failed = match wrong {
            None => no_address(name, family),
            Some(error) => self.explain(name, family, &error),
        };
        if failed.message != no_address(name, family).message {
            return Err(failed);
        }
        // A name without an address of one family may have some of the other, which says more.
        let other = match family {
            IpFamily::V4 => Some((RecordType::AAAA, "it has IPv6 addresses (AAAA) alone")),
            IpFamily::V6 => Some((RecordType::A, "it has IPv4 addresses (A) alone")),
            IpFamily::Any => None,
        };
        let mut why = None;
        if let Some((kind, has)) = other {
            let found = one(kind).await;
            why = found
                .is_ok_and(|found| !found.addresses.is_empty())
                .then(|| has.to_owned());
        }
        if why.is_none() {
            why = circle(resolver, &parsed).await;
        }
        Err(match why {
            Some(why) => {
                let message = format!("{}: {why}", failed.message);
                failure(Phase::Dns, failed.kind, message)
            }
            None => failed,
        })
    }

    /// What `/etc/hosts` says; as for `getaddrinfo`, nobody else is asked then.
    fn listed(&self, name: &Name, family: IpFamily) -> Option<Resolved> {
        let hosts = self
            .hosts
            .get_or_init(|| Hosts::from_system().unwrap_or_default());
        let kinds: &[RecordType] = match family {
            IpFamily::V4 => &[RecordType::A],
            IpFamily::V6 => &[RecordType::AAAA],
            IpFamily::Any => &[RecordType::A, RecordType::AAAA],
        };
        let addresses: Vec<IpAddr> = kinds
            .iter()
            .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), *kind)))
            .flat_map(|found| addresses(&found))
            .collect();
        (!addresses.is_empty()).then_some(Resolved {
            addresses,
            ttl: None,
        })
    }

    fn resolver(&self) -> Result<&TokioResolver, Failure> {
        if let Some(resolver) = self.resolver.get() {
            return Ok(resolver);
        }
        let built = self
            .build()
            .map_err(|e| name_server(format!("no resolver from /etc/resolv.conf: {e}")))?;
        Ok(self.resolver.get_or_init(|| built))
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|server| {
                let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for way in &mut ways {
                    way.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, ways)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = RETRIES;
        options.cache_size = 0;
        // Looked up above, so that a TTL is never invented for it.
        options.use_hosts_file = ResolveHosts::Never;
        builder.build()
    }

    fn explain(&self, name: &str, family: IpFamily, error: &NetError) -> Failure {
        if error.is_nx_domain() {
            let message = format!("there is no name {name} (NXDOMAIN)");
            return failure(Phase::Dns, FailureKind::NameNotFound, message);
        }
        if error.is_no_records_found() {
            return no_address(name, family);
        }
        let whom = self.whom(Resolver::Own);
        name_server(match error {
            NetError::Timeout => format!("{whom} did not answer for {name}"),
            NetError::Dns(DnsError::ResponseCode(code)) => {
                format!("{whom} answered {code} for {name}")
            }
            other => format!("{whom} could not be asked for {name}: {other}"),
        })
    }
}

/// What a name server was heard to say of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// An answer, also that there is no such name.
    Answer,
    /// That it can't or won't say.
    Trouble,
    Nothing,
}

/// The part of a name that its owner registered, or the whole of an unusual one.
fn registrable(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    psl::domain_str(name).unwrap_or(name)
}

async fn ask_servers(
    resolver: &TokioResolver,
    name: &Name,
    kind: RecordType,
) -> Result<Resolved, NetError> {
    let answer = resolver.lookup(name.clone(), kind).await?;
    let ttl = answer.answers().iter().map(|r| r.ttl).min();
    Ok(Resolved {
        addresses: addresses(&answer),
        ttl: ttl.map(|s| Duration::from_secs(u64::from(s))),
    })
}

/// What is wrong with the aliases of a name that leads to no address; `None`: nothing, they end.
async fn circle(resolver: &TokioResolver, name: &Name) -> Option<String> {
    let mut at = name.clone();
    let mut chain = vec![shown(name)];
    while chain.len() <= ALIASES_MAX {
        let answer = resolver.lookup(at, RecordType::CNAME).await.ok()?;
        at = answer.answers().iter().find_map(|r| match &r.data {
            RData::CNAME(to) => Some(to.0.clone()),
            _ => None,
        })?;
        let next = shown(&at);
        let again = chain.contains(&next);
        chain.push(next);
        if again {
            let names = chain.join(" -> ");
            return Some(format!("its aliases (CNAME) lead in a circle ({names})"));
        }
    }
    let first = chain.get(1)?;
    Some(format!(
        "its aliases (CNAME) go on for more than {ALIASES_MAX} names, from {first} on"
    ))
}

fn shown(name: &Name) -> String {
    let name = name.to_lowercase().to_utf8();
    one_line(name.trim_end_matches('.'), 100)
}

fn addresses(answer: &Lookup) -> Vec<IpAddr> {
    answer
        .answers()
        .iter()
        .filter_map(|r| r.data.ip_addr())
        .collect()
}

type Answer = Result<Resolved, NetError>;

/// Both families at once; a slow IPv6 answer holds up a good IPv4 one only shortly.
async fn both(
    v4: impl Future<Output = Answer>,
    v6: impl Future<Output = Answer>,
) -> (Option<Answer>, Option<Answer>) {
    let (mut v4, mut v6) = (std::pin::pin!(v4), std::pin::pin!(v6));
    tokio::select! {
        other = &mut v6 => (Some(v4.await), Some(other)),
        first = &mut v4 => match first {
            Ok(found) => {
                let other = tokio::time::timeout(OTHER_FAMILY, v6).await.ok();
                (Some(Ok(found)), other)
            }
            // Of a name that does not exist there is nothing more to learn.
            Err(error) if error.is_nx_domain() => (Some(Err(error)), None),
            Err(error) => (Some(Err(error)), Some(v6.await)),
        },
    }
}

/// Asks `getaddrinfo`, on a thread that may block.
async fn ask_system(name: &str, family: IpFamily) -> Result<Resolved, Failure> {
    let found = tokio::net::lookup_host((name, 0))
        .await
        .map_err(|e| system_error(name, &e))?;
    let wanted = |ip: &IpAddr| match family {
        IpFamily::Any => true,
        IpFamily::V4 => ip.is_ipv4(),
        IpFamily::V6 => ip.is_ipv6(),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in found.map(|a| a.ip()).filter(wanted) {
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(no_address(name, family));
    }
    Ok(Resolved {
        addresses,
        ttl: None,
    })
}

/// Tells a missing name from a broken resolver.
///
/// The standard library gives the text of `gai_strerror` and no code; these are glibc's and musl's
/// texts of `EAI_NONAME` and `EAI_NODATA`.
fn system_error(name: &str, error: &io::Error) -> Failure {
    const MISSING: [&str; 4] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let text = error.to_string();
    if MISSING.iter().any(|m| text.contains(m)) {
        let message = format!("the system's resolver knows no address of {name}");
        return failure(Phase::Dns, FailureKind::NameNotFound, message);
    }
    name_server(format!("the system's resolver failed for {name}: {text}"))
}

fn no_address(name: &str, family: IpFamily) -> Failure {
    let what = match family {
        IpFamily::Any => "no address",
        IpFamily::V4 => "no IPv4 address",
        IpFamily::V6 => "no IPv6 address",
    };
    failure(
        Phase::Dns,
        FailureKind::NameNotFound,
        format!("{name} has {what}"),
    )
}

fn name_server(message: String) -> Failure {
    failure(Phase::Dns, FailureKind::NameServer, message)
}
