//! The checked configuration: what `probes.yaml` says, in types that can't be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::cell::{
    CellKey, Client, ClientName, Credential, CredentialName, Egress, EgressName, ProbeName,
};
use super::condition::Conditions;
use super::mute::Maintenance;
use super::notification::{Receiver, Route};
use super::probe::Probe;
use super::renames::Renames;
use super::secret::{Secret, Secrets};
use super::site::Nats;
use super::verdict::{Kind, Maker, Rule};
use super::web::Web;

/// Everything the daemon was asked to do.
///
/// Every name that a probe, route or receiver mentions is in the plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The partner's name for people ("GMC").
    pub service: String,
    /// IANA name and rules of the zone in which cron runs and times are told.
    pub zone: TimeZone,
    pub egresses: Vec<Egress>,
    pub clients: Vec<Client>,
    /// Without `anonymous`, which always exists.
    pub credentials: Vec<Credential>,
    /// Probes in the order of the file, then controls (`control` is set on those).
    pub probes: Vec<Probe>,
    pub politeness: Politeness,
    /// Requests with one credential within 24 h, over all that use it; `None`: as many as the schedule makes.
    pub credential_a_day: Option<u32>,
    pub incidents: IncidentPolicy,
    pub signatures: Vec<OwnSignature>,
    pub receivers: Vec<Receiver>,
    pub routes: Vec<Route>,
    /// Planned muting; names are unique.
    pub maintenance: Vec<Maintenance>,
    pub store: StorePolicy,
    /// PEM texts of further roots that probes trust, besides the system's.
    pub trust: Vec<String>,
    /// Name servers to ask instead of those of `/etc/resolv.conf`.
    pub name_servers: Vec<SocketAddr>,
    /// Runs in flight at once over all hosts.
    pub runs_in_flight_max: usize,
    /// Where metrics and health are served; `None`: nowhere.
    pub listen: Option<Listen>,
    /// Where pages for people are served; `None`: nowhere.
    pub web: Option<Web>,
    /// Who is told that edgewatch is alive; `None`: nobody.
    pub heartbeat: Option<Heartbeat>,
    /// Whether an edited file is taken by itself; else it waits for SIGHUP.
    pub watch: bool,
    /// What was called otherwise before, as the file says (`was:`).
    pub former: Renames,
    /// Where agents are met; `None`: there are none.
    pub nats: Option<Nats>,
    /// What this process may ask of hosts that other places ask too; of all others `politeness` holds.
    pub shares: BTreeMap<String, Politeness>,
}

/// A door of our own, and who comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    pub host: String,
    /// The partner that calls us, where the file names it.
    pub caller: Option<String>,
}

impl Door {
    /// Who can't reach us, in the middle of a sentence.
    #[must_use]
    pub fn caller(&self) -> &str {
        self.caller.as_deref().unwrap_or("whoever calls it")
    }
}

/// Where metrics and health are served, over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// On loopback, unless `exposed`; port 0 leaves the choice to the system.
    pub address: SocketAddr,
    /// Other hosts may reach it: the operator said so.
    pub exposed: bool,
}

/// A dead-man's switch: somebody who raises the alarm when we fall silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The whole URL is the secret. `Err`: why it is missing; nothing is sent then.
    pub url: Result<Secret, String>,
    pub every: Duration,
}

/// How hard partners may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Politeness {
    /// Per host over all cells, extra runs included.
    pub requests_per_minute: u32,
    /// Between the starts of two runs to one host.
    pub gap: Duration,
    /// Requests beyond the schedule for one incident.
    pub extra_per_incident: u32,
}

impl Default for Politeness {
    fn default() -> Self {
        Self {
            requests_per_minute: 60,
            gap: Duration::from_millis(500),
            extra_per_incident: 12,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentPolicy {
    /// Reminders after these times since the opening; the last one repeats.
    pub remind: Vec<Duration>,
    /// A return within this time after the resolution keeps the number.
    pub reopen_within: Duration,
}

impl Default for IncidentPolicy {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            remind: vec![hour, 4 * hour, 24 * hour],
            reopen_within: Duration::from_secs(15 * 60),
        }
    }
}

/// A block page that the operator taught us.
#[derive(Debug, Clone)]
pub struct OwnSignature {
    pub name: String,
    pub when: Conditions,
    pub verdict: Kind,
    pub maker: Maker,
    pub vendor: String,
    pub rule: Rule,
    /// The first capture group is the reference id.
    pub reference_id: Option<regex::Regex>,
}

/// How long each kind of what is stored is kept, within the bound on the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Observations.
    pub runs: Duration,
    /// Bodies of failures; never longer than the runs that they belong to.
    pub bodies: Duration,
    /// Incidents that are over; `None`: as long as there is room for their number.
    pub incidents: Option<Duration>,
    /// Messages that are delivered or given up.
    pub messages: Duration,
}

impl Keep {
    /// Runs and bodies for so long, the rest for as long as is usual.
    #[must_use]
    pub fn for_runs(runs: Duration) -> Self {
        Self {
            runs,
            bodies: runs,
            incidents: None,
            messages: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePolicy {
    pub path: PathBuf,
    /// Its members may read the file; nobody but its owner when `None`.
    pub group: Option<String>,
    pub keep: Keep,
    /// The file is kept below this, oldest observations first.
    pub bytes_max: u64,
}

impl Plan {
    #[must_use]
    pub fn probe(&self, name: &ProbeName) -> Option<&Probe> {
        self.probes.iter().find(|p| p.name == *name)
    }

    /// What the partner of these probes is called: `service`, or where there are several, the probes' `partner`.
    #[must_use]
    pub fn partner_called(&self, probes: &[ProbeName]) -> &str {
        let mut partners = self
            .probes
            .iter()
            .filter(|p| !p.control)
            .map(|p| &p.partner);
        let first = partners.next();
        let several = partners.any(|partner| Some(partner) != first);
        let mut own = probes.iter().filter_map(|name| self.probe(name));
        match own.find(|probe| !probe.control) {
            Some(probe) if several => &probe.partner,
            _ => &self.service,
        }
    }

    /// The door of our own that all these probes ask; `None`: at least one asks somebody else.
    #[must_use]
    pub fn door(&self, probes: &[ProbeName]) -> Option<Door> {
        let mut known = probes.iter().map(|name| self.probe(name));
        let first = known.next()??;
        let all = first.ours && known.all(|probe| probe.is_some_and(|probe| probe.ours));
        all.then(|| {
            let host = first.url.host_str().unwrap_or_default();
            // Without one in the file it is the domain of the door.
            let caller = Some(&first.partner).filter(|partner| !host.ends_with(partner.as_str()));
            Door {
                host: first.host(),
                caller: caller.cloned(),
            }
        })
    }

    #[must_use]
    pub fn egress(&self, name: &EgressName) -> Option<&Egress> {
        self.egresses.iter().find(|e| e.name == *name)
    }

    #[must_use]
    pub fn client(&self, name: &ClientName) -> Option<&Client> {
        self.clients.iter().find(|c| c.name == *name)
    }

    #[must_use]
    pub fn credential(&self, name: &CredentialName) -> Option<&Credential> {
        self.credentials.iter().find(|c| c.name == *name)
    }

    /// Whether the file still has a name that differs between two cells.
    #[must_use]
    pub fn has_name_of(&self, former: &CellKey, now: &CellKey) -> bool {
        (former.probe != now.probe && self.probe(&former.probe).is_some())
            || (former.egress != now.egress && self.egress(&former.egress).is_some())
            || (former.client != now.client && self.client(&former.client).is_some())
            || (former.credential != now.credential
                && (former.credential.is_anonymous()
                    || self.credential(&former.credential).is_some()))
    }

    /// Every cell that can run, in the order of the file; cells of a credential that is missing are left out.
    pub fn cells(&self) -> impl Iterator<Item = (&Probe, CellKey)> {
        self.every_cell()
            .filter(|(_, cell)| self.missing(cell).is_none())
    }

    /// Cells that this process runs itself: all but those of sites.
    pub fn own_cells(&self) -> impl Iterator<Item = (&Probe, CellKey)> {
        let away: BTreeSet<&EgressName> = self
            .egresses
            .iter()
            .filter(|egress| egress.site.is_some())
            .map(|egress| &egress.name)
            .collect();
        self.cells()
            .filter(move |(_, cell)| !away.contains(&cell.egress))
    }

    /// The site whose agent sends from an egress; `None`: this host does.
    #[must_use]
    pub fn site_of(&self, egress: &EgressName) -> Option<&str> {
        self.egress(egress)?.site.as_deref()
    }

    /// Every site that the file names.
    #[must_use]
    pub fn sites(&self) -> BTreeSet<&str> {
        let egresses = self.egresses.iter();
        egresses.filter_map(|e| e.site.as_deref()).collect()
    }

    /// Requests a day that the schedule makes with a credential, over all hosts and egresses.
    #[must_use]
    pub fn a_day(&self, credential: &CredentialName) -> f64 {
        let cells = self.every_cell();
        let with = cells.filter(|(_, cell)| cell.credential == *credential);
        with.map(|(probe, _)| probe.schedule.a_day()).sum()
    }

    /// How hard this process may ask a host.
    #[must_use]
    pub fn politeness_of(&self, host: &str) -> &Politeness {
        self.shares.get(host).unwrap_or(&self.politeness)
    }

    /// Why a cell can't run: a secret of its credential or of its proxy is not there, or can't be sent.
    #[must_use]
    pub fn missing(&self, cell: &CellKey) -> Option<&str> {
        use super::cell::Way;
        let egress = self.egress(&cell.egress);
        // Secrets of a site are where its agent is: whether they are there only that one knows.
        if egress.is_some_and(|egress| egress.site.is_some()) {
            return None;
        }
        let of_proxy = egress.and_then(|egress| match &egress.way {
            Way::Proxy(proxy) => proxy.missing.as_deref(),
            _ => None,
        });
        of_proxy.or_else(|| {
            let credential = self.credential(&cell.credential)?;
            let unfit = credential.unfit.get(&cell.probe);
            credential.missing.as_ref().or(unfit).map(String::as_str)
        })
    }

    /// Every cell of the file, those that can't run at present included.
    pub fn every_cell(&self) -> impl Iterator<Item = (&Probe, CellKey)> {
        self.probes.iter().flat_map(move |probe| {
            probe.from.iter().flat_map(move |egress| {
                probe.as_clients.iter().flat_map(move |client| {
                    probe.with.iter().map(move |credential| {
                        let cell = CellKey {
                            probe: probe.name.clone(),
                            egress: egress.clone(),
                            client: client.clone(),
                            credential: credential.clone(),
                        };
                        (probe, cell)
                    })
                })
            })
        })
    }

    /// Every secret the plan holds, for masking what comes back from outside.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        self.every_secret().sparing(&self.open_texts())
    }

    fn every_secret(&self) -> Secrets {
        use super::cell::Way;
        let credentials = self.credentials.iter().flat_map(|c| c.secrets().cloned());
        let proxies = self.egresses.iter().filter_map(|e| match &e.way {
            Way::Proxy(proxy) => proxy.password.clone(),
            _ => None,
        });
        let channels = self.receivers.iter().flat_map(|r| r.channel.secrets());
        let heartbeat = self.heartbeat.iter().filter_map(|h| h.url.clone().ok());
        let pages = self.web.iter().flat_map(Web::secrets);
        let all = credentials.chain(proxies).chain(channels).chain(pages);
        Secrets::of(all.chain(heartbeat))
    }

    /// Names and addresses of the file in which a secret's text stands: people must be able to read them all the same.
    #[must_use]
    pub fn open_texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for probe in &self.probes {
            let url = &probe.url;
            texts.extend([probe.name.to_string(), probe.host()]);
            texts.extend(url.host_str().map(ToOwned::to_owned));
            // A query may hold a key, whoever put it there.
            texts.push(url[url::Position::BeforeHost..url::Position::AfterPath].to_owned());
            texts.push(url.path().to_owned());
        }
        texts.extend(self.egresses.iter().map(|egress| egress.name.to_string()));
        texts.extend(self.clients.iter().map(|client| client.name.to_string()));
        texts.extend(self.credentials.iter().map(|known| known.name.to_string()));
        texts.extend(self.receivers.iter().map(|known| known.name.to_string()));
        texts.push(self.service.clone());
        let secrets = self.every_secret();
        texts.retain(|text| secrets.are_in(text));
        texts
    }

    /// Whether a route is for one of these probes.
    pub fn is_for(&self, route: &Route, probes: &[ProbeName]) -> bool {
        let of = |wanted: &dyn Fn(&Probe) -> bool| {
            let mut known = probes.iter().filter_map(|name| self.probe(name));
            known.any(wanted)
        };
        let probes = route.probes.is_empty() || of(&|probe| route.probes.contains(&probe.name));
        let tags = route.tags.is_empty()
            || of(&|probe| probe.tags.iter().any(|tag| route.tags.contains(tag)));
        probes && tags
    }
}

impl Probe {
    /// `host`, or `host:port` when the port is not the scheme's own: what politeness and incidents count by.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// A text of hosts as name servers know them: without the ports, which are no part of their names.
#[must_use]
pub fn names_of(hosts: &str) -> String {
    let name = |word: &str| {
        let (host, comma) = match word.strip_suffix(',') {
            Some(host) => (host, ","),
            None => (word, ""),
        };
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{name}{comma}")
            }
            _ => word.to_owned(),
        }
    };
    let names: Vec<String> = hosts.split(' ').map(name).collect();
    names.join(" ")
}
