//! Runs one cell once over real sockets, and says what it saw.
//!
//! Every run makes a fresh connection, because a pooled one hides blocks: resolve, connect from the
//! egress, TLS, request, bounded read. Nothing is retried here and nothing is judged; whatever goes
//! wrong is part of the observation. A run takes no longer than its probe's timeout, and what it
//! knew when the time was over is kept.

mod body;
mod connect;
mod cookies;
mod exchange;
mod failure;
mod frames;
mod paths;
mod program;
mod progress;
mod proxy;
mod redirect;
mod request;
mod resolve;
mod tls;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::net::TcpStream;
use url::{Host, Url};

use self::cookies::Jar;
use self::exchange::{Agreed, agree, exchange};
use self::failure::{failure, local};
pub use self::program::are_held as programs_are_held;
use self::program::{Leased, Programs};
use self::progress::{Progress, Reading, Waiting};
use self::proxy::Goal;
use self::redirect::Next;
use self::request::{Carry, Request, Step};
use self::resolve::Names;
use self::tls::Tls;
use crate::domain::cell::{
    CellKey, Client, ClientName, Credential, CredentialName, Egress, EgressName, HttpOffer,
    IpFamily, ProbeName, Proxy, ProxyKind, Way,
};
use crate::domain::observation::{Answer, Failure, FailureKind, Hop, Observation, Phase, Purpose};
use crate::domain::plan::Plan;
use crate::domain::probe::{Cookies, Probe};
use crate::domain::secret::{Secrets, mask};

/// Where programs are looked for that are named without a path, as in `PATH`.
pub const PROGRAM_FOLDERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs the cells of one plan; shared by all runs.
///
/// It owns what it needs of the plan. A changed plan gets a new one.
pub struct Prober {
    probes: HashMap<ProbeName, Probe>,
    egresses: HashMap<EgressName, Egress>,
    clients: HashMap<ClientName, Client>,
    credentials: HashMap<CredentialName, Credential>,
    /// What may come back of a credential, and of an egress's proxy.
    secrets: HashMap<(Option<CredentialName>, EgressName), Secrets>,
    tls: Tls,
    names: Names,
    /// `None` when no client is a program.
    programs: Option<Programs>,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("probes", &self.probes.len())
            .finish_non_exhaustive()
    }
}

/// What the names of a cell stand for.
struct Cell<'a> {
    probe: &'a Probe,
    egress: &'a Egress,
    client: &'a Client,
    credential: Option<&'a Credential>,
    /// Its program, where that is kept, for this run alone.
    worker: Option<tokio::sync::Mutex<Leased>>,
}

impl Prober {
    /// Gets everything ready that runs share.
    ///
    /// # Errors
    /// A sentence on what is wrong with the trusted roots or a client's TLS.
    pub fn new(plan: &Plan) -> Result<Self, String> {
        let mut tls = Tls::new(&plan.trust)?;
        for client in &plan.clients {
            tls.prepare(client)?;
        }
        Ok(Self {
            probes: by_name(&plan.probes, |p| &p.name),
            egresses: by_name(&plan.egresses, |e| &e.name),
            clients: by_name(&plan.clients, |c| &c.name),
            credentials: by_name(&plan.credentials, |c| &c.name),
            secrets: secrets(plan),
            tls,
            names: Names::new(plan.name_servers.clone(), hosts(plan)),
            programs: Programs::new(plan)?,
        })
    }

    /// Takes a probe, a client and an egress in place of those of the same names.
    ///
    /// # Errors
    /// A sentence on what is wrong with the client's TLS.
    pub fn put(&mut self, probe: &Probe, client: &Client, egress: &Egress) -> Result<(), String> {
        self.tls.prepare(client)?;
        self.probes.insert(probe.name.clone(), probe.clone());
        self.clients.insert(client.name.clone(), client.clone());
        self.egresses.insert(egress.name.clone(), egress.clone());
        Ok(())
    }

    /// Runs `cell` once.
    ///
    /// `due_at` is when the schedule wanted it, `started_at` is now; both are only passed on. A cell
    /// that is not in the plan fails on our side.
    pub async fn run(
        &self,
        cell: &CellKey,
        purpose: Purpose,
        due_at: Timestamp,
        started_at: Timestamp,
    ) -> Observation {
        let client = self.clients.get(&cell.client);
        let is_program = client.is_some_and(|client| client.program.is_some());
        let programs = self.programs.as_ref().filter(|_| is_program);
        // Waiting for room is our lateness, and none of the run's time.
        let _room = match programs {
            Some(programs) => programs.room.acquire().await.ok(),
            None => None,
        };
        // So is the start of a program that is kept.
        let leased = match programs {
            Some(programs) => programs.lease(&cell.client).await,
            None => None,
        };
        let begun = Instant::now();
        let mut now = Progress::new(begun);
        let mut secrets = Secrets::default();
        let mut body_bytes_max = 0;
        let outcome = match self.find(cell) {
            Err(failed) => Err(failed),
            Ok(mut cell) => {
                cell.worker = leased.map(tokio::sync::Mutex::new);
                secrets = self.secrets_of(&cell);
                body_bytes_max = cell.probe.body_bytes_max;
                let timeout = cell.probe.timeout;
                now.deadline = begun.checked_add(timeout).unwrap_or(begun);
                let run = self.follow(&cell, &secrets, &mut now);
                match tokio::time::timeout(timeout, run).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(now.timed_out(timeout)),
                }
            }
        };
        now.leave();
        let failure = outcome.err().map(|failed| Failure {
            message: mask(&failed.message, &secrets),
            ..failed
        });
        let answer = match now.reading {
            // A bomb keeps a thread busy for some time, which must not be one that other runs live on.
            Some(reading) if reading.body.is_heavy() => {
                let undo = move || answer(reading, body_bytes_max, &secrets);
                tokio::task::spawn_blocking(undo).await.ok()
            }
            reading => reading.map(|reading| answer(reading, body_bytes_max, &secrets)),
        };
        Observation {
            cell: cell.clone(),
            purpose,
            due_at,
            started_at,
            took: begun.elapsed(),
            phases: now.phases,
            route: now.route,
            tls: now.tls,
            sent: now.sent,
            hops: now.hops,
            answer,
            failure,
        }
    }

    /// Does the TLS handshake of a cell and nothing more: what the host shows, and whether the client takes it.
    pub async fn greet(&self, cell: &CellKey, started_at: Timestamp) -> Observation {
        let begun = Instant::now();
        let mut now = Progress::new(begun);
        let greeted = async {
            let found = self.find(cell)?;
            let timeout = found.probe.timeout;
            now.deadline = begun.checked_add(timeout).unwrap_or(begun);
            let (url, client) = (&found.probe.url, found.client);
            let shaken = async {
                let stream = self.reach(&found, url, &mut now).await?;
                now.enter(Phase::Tls);
                let host = host(url)?;
                self.tls.handshake(client, &host, stream, &mut now).await
            };
            let shaken = tokio::time::timeout(timeout, shaken).await;
            shaken.unwrap_or_else(|_| Err(now.timed_out(timeout)))
        };
        let failure = greeted.await.err();
        now.leave();
        Observation {
            cell: cell.clone(),
            purpose: Purpose::Asked,
            due_at: started_at,
            started_at,
            took: begun.elapsed(),
            phases: now.phases,
            route: now.route,
            tls: now.tls,
            sent: now.sent,
            hops: Vec::new(),
            answer: None,
            failure,
        }
    }

    fn secrets_of(&self, cell: &Cell<'_>) -> Secrets {
        let credential = cell.credential.map(|credential| credential.name.clone());
        let key = (credential, cell.egress.name.clone());
        self.secrets.get(&key).cloned().unwrap_or_default()
    }

    fn find(&self, cell: &CellKey) -> Result<Cell<'_>, Failure> {
        let missing = |what: &str, name: &dyn fmt::Display| {
            let message = format!("{what} {name} is not in the plan");
            local(Phase::Dns, message)
        };
        let credential = if cell.credential.is_anonymous() {
            None
        } else {
            let credential = self
                .credentials
                .get(&cell.credential)
                .ok_or_else(|| missing("credential", &cell.credential))?;
            let unfit = credential.unfit.get(&cell.probe);
            if let Some(why) = credential.missing.as_ref().or(unfit) {
                let message = format!("credential {} can't be used: {why}", cell.credential);
                return Err(local(Phase::Dns, message));
            }
            Some(credential)
        };
        Ok(Cell {
            probe: self
                .probes
                .get(&cell.probe)
                .ok_or_else(|| missing("probe", &cell.probe))?,
            egress: self
                .egresses
                .get(&cell.egress)
                .ok_or_else(|| missing("egress", &cell.egress))?,
            client: self
                .clients
                .get(&cell.client)
                .ok_or_else(|| missing("client", &cell.client))?,
            credential,
            worker: None,
        })
    }

    /// The run itself: one hop after another until an answer is final.
    async fn follow(
        &self,
        cell: &Cell<'_>,
        secrets: &Secrets,
        now: &mut Progress,
    ) -> Result<(), Failure> {
        let mut step = Step {
            url: cell.probe.url.clone(),
            method: cell.probe.method.clone(),
            carry: Carry {
                own_headers: true,
                body: cell.probe.body.is_some(),
            },
        };
        let mut jar = Jar::default();
        loop {
            let hop_began = Instant::now();
            now.start_hop();
            let carry = step.carry;
            let (probe, client) = (cell.probe, cell.client);
            let cookie = jar.header(&step.url);
            let request = Request::build(probe, client, cell.credential, step, cookie)?;
            let mut hop = None;
            let followed = now.hops.len();
            let keep = probe.cookies == Cookies::Run;
            let decide = |status: u16, headers: &[(String, String)]| {
                let all = |wanted: &'static str| {
                    let found = headers.iter().filter(move |(name, _)| name == wanted);
                    found.map(|(_, value)| value.as_str())
                };
                let location = all("location").next();
                let next =
                    redirect::next(probe.redirects, followed, &request, carry, status, location);
                if matches!(next, Next::Follow(_)) {
                    hop = Some((status, location.unwrap_or_default().to_owned()));
                    for cookie in all("set-cookie").filter(|_| keep) {
                        jar.set(&request.url, cookie);
                    }
                }
                next
            };
            let next = self.ask(cell, &request, decide, now).await?;
            match next {
                Next::Final => return Ok(()),
                Next::TooMany { max, to } => {
                    let message = format!(
                        "more than {max} redirects; the next would lead to {}",
                        without_query(&to)
                    );
                    return Err(failure(Phase::Transfer, FailureKind::Redirects, message));
                }
                Next::Follow(next) => {
                    let (status, location) = hop.unwrap_or_default();
                    now.hops.push(Hop {
                        url: mask(&without_query(&request.url), secrets),
                        status,
                        location: mask(&location, secrets),
                        took: hop_began.elapsed(),
                    });
                    step = next;
                }
            }
        }
    }

    /// One hop: a connection, a request, an answer.
    async fn ask(
        &self,
        cell: &Cell<'_>,
        request: &Request,
        decide: impl FnOnce(u16, &[(String, String)]) -> Next,
        now: &mut Progress,
    ) -> Result<Next, Failure> {
        if let Some(program) = &cell.client.program {
            // On the heap, so that runs of our own carry nothing of it.
            return Box::pin(self.ask_program(cell, program, request, decide, now)).await;
        }
        let stream = self.reach(cell, &request.url, now).await?;
        let body_bytes_max = cell.probe.body_bytes_max;
        if request.url.scheme() == "http" {
            // Without ALPN, HTTP/2 has to be known beforehand (RFC 9113 section 3.3).
            let agreed = match cell.client.http {
                HttpOffer::Http2 => Agreed::Http2,
                HttpOffer::Http1 | HttpOffer::Either => Agreed::Http1,
            };
            return exchange(stream, agreed, request, body_bytes_max, decide, now).await;
        }
        now.enter(Phase::Tls);
        let host = host(&request.url)?;
        let stream = self.tls.handshake(cell.client, &host, stream, now).await?;
        let alpn = now.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        let agreed = agree(cell.client.http, alpn, &now.peer)?;
        exchange(stream, agreed, request, body_bytes_max, decide, now).await
    }

    /// A connection to the host of `url` by the cell's egress, through its proxy if it has one.
    async fn reach(
        &self,
        cell: &Cell<'_>,
        url: &Url,
        now: &mut Progress,
    ) -> Result<TcpStream, Failure> {
        let family = connect::family(cell.egress)?;
        let port = url.port_or_known_default().unwrap_or_default();
        // Another host of a redirect is no longer the one that the operator pinned.
        let pinned = cell
            .probe
            .connect_to
            .filter(|_| redirect::is_same_host(&cell.probe.url, url));
        if let Way::Proxy(proxy) = &cell.egress.way {
            return self.tunnel(cell, proxy, url, pinned, family, now).await;
        }
        let found = self.resolve(cell, &host(url)?, pinned, family, now).await?;
        now.route.resolved.clone_from(&found);
        let targets: Vec<SocketAddr> = found.iter().map(|&ip| (ip, port).into()).collect();
        now.enter(Phase::Connect);
        let outcome = connect::connect(&cell.egress.way, &targets, now).await;
        outcome.map_err(|failed| {
            let only_v6 = found.iter().all(IpAddr::is_ipv6);
            match url.host() {
                Some(Host::Domain(name)) if failed.kind == FailureKind::NoRoute && only_v6 => {
                    let message =
                        format!("{name} has IPv6 addresses (AAAA) alone: {}", failed.message);
                    failure(failed.phase, failed.kind, message)
                }
                _ => failed,
            }
        })
    }

    /// Addresses of a host; literal and pinned ones need no name server.
    async fn resolve(
        &self,
        cell: &Cell<'_>,
        host: &Host<&str>,
        pinned: Option<IpAddr>,
        family: IpFamily,
        now: &mut Progress,
    ) -> Result<Vec<IpAddr>, Failure> {
        let literal = pinned.or(match host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
        });
        if let Some(ip) = literal {
            connect::check_family(ip, family)?;
            return Ok(vec![ip]);
        }
        let Host::Domain(name) = host else {
            return Ok(Vec::new());
        };
        now.enter(Phase::Dns);
        (*name).clone_into(&mut now.peer);
        // Half, so that silent name servers show as that and not as a slow partner.
        let within: Duration = cell.probe.timeout / 2;
        let found = self
            .names
            .look_up(name, family, cell.probe.resolver, within)
            .await?;
        now.leave();
        now.route.ttl = found.ttl;
        Ok(found.addresses)
    }

    /// A tunnel to the host of `url` through `proxy`.
    async fn tunnel(
        &self,
        cell: &Cell<'_>,
        proxy: &Proxy,
        url: &Url,
        pinned: Option<IpAddr>,
        family: IpFamily,
        now: &mut Progress,
    ) -> Result<TcpStream, Failure> {
        let host = host(url)?;
        let port = url.port_or_known_default().unwrap_or_default();
        let proxy_name = proxy::name(proxy);
        now.route.proxy = Some(proxy_name.clone());

        let resolve_here =
            proxy.kind == ProxyKind::Socks5 || pinned.is_some() || !matches!(host, Host::Domain(_));
        let goals: Vec<Goal> = match &host {
            Host::Domain(name) if !resolve_here => vec![Goal::Name((*name).to_owned(), port)],
            _ => {
                let found = self.resolve(cell, &host, pinned, family, now).await?;
                now.route.resolved.clone_from(&found);
                let goal = |ip: &IpAddr| Goal::Address((*ip, port).into());
                found.iter().map(goal).collect()
            }
        };

        now.proxy = Some(Waiting {
            proxy: proxy_name.clone(),
            asked: None,
        });
        let ttl = now.route.ttl;
        let proxy_host = Host::parse(&proxy.host)
            .or_else(|_| {
                proxy
                    .host
                    .parse()
                    .map(|ip: std::net::Ipv6Addr| Host::Ipv6(ip))
            })
            .map_err(|_| local(Phase::Dns, format!("{proxy_name} is not a proxy's address")))?;
        let proxy_host = match &proxy_host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(ip) => Host::Ipv4(*ip),
            Host::Ipv6(ip) => Host::Ipv6(*ip),
        };
        let found = self
            .resolve(cell, &proxy_host, None, IpFamily::Any, now)
            .await
            .map_err(|failed| proxy_failed(&proxy_name, &failed))?;
        now.route.ttl = ttl;
        let proxies: Vec<SocketAddr> = found.iter().map(|&ip| (ip, proxy.port).into()).collect();

        now.enter(Phase::Connect);
        let mut tried = Vec::new();
        for goal in &goals {
            let mut stream = connect::connect(&cell.egress.way, &proxies, now)
                .await
                .map_err(|failed| proxy_failed(&proxy_name, &failed))?;
            now.peer = format!("{goal} through proxy {proxy_name}");
            now.proxy = Some(Waiting {
                proxy: proxy_name.clone(),
                asked: Some(goal.to_string()),
            });
            let opened = match proxy.kind {
                ProxyKind::HttpConnect => proxy::connect_http(&mut stream, proxy, goal).await,
                ProxyKind::Socks5 | ProxyKind::Socks5Hostname => {
                    proxy::connect_socks(&mut stream, proxy, goal).await
                }
            };
            match opened {
                Ok(()) => {
                    now.proxy = None;
                    return Ok(stream);
                }
                // The proxy itself says no, and would say it of the next address too.
                Err(failed) if failed.kind == FailureKind::Proxy => return Err(failed),
                Err(failed) => {
                    if let Goal::Address(address) = goal {
                        now.route.failed.push((*address, failed.message.clone()));
                    }
                    tried.push(failed);
                }
            }
        }
        Err(connect::sum_up(&tried))
    }
}

/// A proxy that can't be found or reached is our side's matter, whatever stopped us.
fn proxy_failed(proxy: &str, failed: &Failure) -> Failure {
    let message = format!("proxy {proxy} can't be reached: {}", failed.message);
    failure(failed.phase, FailureKind::Proxy, message)
}

fn answer(reading: Reading, body_bytes_max: usize, secrets: &Secrets) -> Answer {
    let headers = reading.headers.into_iter();
    Answer {
        http: reading.http,
        status: reading.status,
        headers: headers.map(|(n, v)| (n, mask(&v, secrets))).collect(),
        body: reading.body.finish(body_bytes_max, secrets),
    }
}

fn host(url: &Url) -> Result<Host<&str>, Failure> {
    url.host()
        .ok_or_else(|| local(Phase::Dns, "the URL names no host"))
}

/// A URL as it may be shown: queries hold session ids and worse.
fn without_query(url: &Url) -> String {
    url[..url::Position::AfterPath].to_owned()
}

/// The names that the plan asks for, those of controls first.
fn hosts(plan: &Plan) -> Vec<String> {
    let (controls, others): (Vec<&Probe>, Vec<&Probe>) =
        plan.probes.iter().partition(|probe| probe.control);
    let mut names = Vec::new();
    for probe in controls.into_iter().chain(others) {
        if let Some(Host::Domain(name)) = probe.url.host()
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Which secrets a run may meet again, by its credential and its egress.
fn secrets(plan: &Plan) -> HashMap<(Option<CredentialName>, EgressName), Secrets> {
    let credentials = plan.credentials.iter().map(Some).chain([None]);
    let pairs =
        credentials.flat_map(|credential| plan.egresses.iter().map(move |e| (credential, e)));
    let open = plan.open_texts();
    let each = pairs.map(|(credential, egress)| {
        let own = credential.iter().flat_map(|c| c.secrets().cloned());
        let proxy = match &egress.way {
            Way::Proxy(proxy) => proxy.password.clone(),
            _ => None,
        };
        let name = credential.map(|credential| credential.name.clone());
        (
            (name, egress.name.clone()),
            Secrets::of(own.chain(proxy)).sparing(&open),
        )
    });
    each.collect()
}

fn by_name<T: Clone, N: Clone + Eq + std::hash::Hash>(
    things: &[T],
    name: impl Fn(&T) -> &N,
) -> HashMap<N, T> {
    let pair = |thing: &T| (name(thing).clone(), thing.clone());
    things.iter().map(pair).collect()
}
