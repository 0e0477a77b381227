//! What things are called now that were called otherwise in a former file.

use std::collections::BTreeMap;

use super::cell::{CellKey, ClientName, CredentialName, EgressName, ProbeName};
use super::diagnosis::{Cause, Diagnosis, Level};
use super::incident::Incident;
use super::verdict::Factor;

/// Former names with the present ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames {
    probes: BTreeMap<ProbeName, ProbeName>,
    egresses: BTreeMap<EgressName, EgressName>,
    clients: BTreeMap<ClientName, ClientName>,
    credentials: BTreeMap<CredentialName, CredentialName>,
}

impl Renames {
    /// Notes that what was `former` is `now`.
    pub fn note(&mut self, former: &CellKey, now: &CellKey) {
        note(&mut self.probes, &former.probe, &now.probe);
        note(&mut self.egresses, &former.egress, &now.egress);
        note(&mut self.clients, &former.client, &now.client);
        note(&mut self.credentials, &former.credential, &now.credential);
    }

    /// Notes that a probe has another name now.
    pub fn probe(&mut self, former: ProbeName, now: ProbeName) {
        self.probes.insert(former, now);
    }

    /// Notes that an egress has another name now.
    pub fn egress(&mut self, former: EgressName, now: EgressName) {
        self.egresses.insert(former, now);
    }

    /// Notes that a client has another name now.
    pub fn client(&mut self, former: ClientName, now: ClientName) {
        self.clients.insert(former, now);
    }

    /// Notes that a credential has another name now.
    pub fn credential(&mut self, former: CredentialName, now: CredentialName) {
        self.credentials.insert(former, now);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty()
            && self.egresses.is_empty()
            && self.clients.is_empty()
            && self.credentials.is_empty()
    }

    /// What a cell is called now.
    #[must_use]
    pub fn cell(&self, cell: &CellKey) -> CellKey {
        let mut cell = cell.clone();
        self.mend(&mut cell);
        cell
    }

    /// Calls everything in an incident as it is called now; words that were written stay as they are.
    pub fn apply(&self, incident: &mut Incident) {
        for member in incident.cells.iter_mut().chain(&mut incident.left) {
            self.mend(&mut member.cell);
        }
        for name in &mut incident.probes {
            now(&self.probes, name);
        }
        self.diagnosis(&mut incident.diagnosis);
        let runs = [&mut incident.failing, &mut incident.passing];
        for run in runs.into_iter().flatten() {
            self.mend(&mut run.cell);
        }
    }

    /// What a probe is called now.
    #[must_use]
    pub fn probe_now<'a>(&'a self, name: &'a ProbeName) -> &'a ProbeName {
        self.probes.get(name).unwrap_or(name)
    }

    /// What an egress is called now.
    #[must_use]
    pub fn egress_now<'a>(&'a self, name: &'a EgressName) -> &'a EgressName {
        self.egresses.get(name).unwrap_or(name)
    }

    /// What a client is called now.
    #[must_use]
    pub fn client_now<'a>(&'a self, name: &'a ClientName) -> &'a ClientName {
        self.clients.get(name).unwrap_or(name)
    }

    /// Those whose former name was in use.
    #[must_use]
    pub fn of_those(
        &self,
        probe: impl Fn(&ProbeName) -> bool,
        egress: impl Fn(&EgressName) -> bool,
        client: impl Fn(&ClientName) -> bool,
    ) -> Self {
        let mut it = self.clone();
        it.probes.retain(|name, _| probe(name));
        it.egresses.retain(|name, _| egress(name));
        it.clients.retain(|name, _| client(name));
        it
    }

    /// Each in a sentence: "client `a` is called `b` now".
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        fn said<N: std::fmt::Display>(what: &str, names: &BTreeMap<N, N>) -> Vec<String> {
            let each = names.iter();
            each.map(|(old, new)| format!("{what} `{old}` is called `{new}` now"))
                .collect()
        }
        let mut all = said("probe", &self.probes);
        all.append(&mut said("egress", &self.egresses));
        all.append(&mut said("client", &self.clients));
        all.append(&mut said("credential", &self.credentials));
        all
    }

    fn mend(&self, cell: &mut CellKey) {
        now(&self.probes, &mut cell.probe);
        now(&self.egresses, &mut cell.egress);
        now(&self.clients, &mut cell.client);
        now(&self.credentials, &mut cell.credential);
    }

    fn diagnosis(&self, diagnosis: &mut Diagnosis) {
        self.cause(&mut diagnosis.cause);
        for cell in diagnosis.failing.iter_mut().chain(&mut diagnosis.passing) {
            self.mend(cell);
        }
        for pair in &mut diagnosis.ruled_out {
            for cell in [&mut pair.failing, &mut pair.passing].into_iter().flatten() {
                self.mend(cell);
            }
        }
    }

    fn cause(&self, cause: &mut Cause) {
        match cause {
            Cause::Level(level) => self.level(level),
            Cause::Together(levels) | Cause::Unknown { among: levels } => self.levels(levels),
            Cause::AnyOf(causes) => {
                for cause in causes {
                    self.cause(cause);
                }
            }
            Cause::OurNetwork { egresses } => all_now(&self.egresses, egresses),
            Cause::OurClients { clients } => all_now(&self.clients, clients),
            Cause::Everything | Cause::Pop(_) | Cause::OwnRate { .. } => {}
        }
    }

    fn levels(&self, levels: &mut [Level]) {
        for level in levels {
            self.level(level);
        }
    }

    fn level(&self, level: &mut Level) {
        match level {
            Level::Egress(name) => now(&self.egresses, name),
            Level::Client(name) => now(&self.clients, name),
            Level::Credential(name) => now(&self.credentials, name),
            Level::Probe(name) => now(&self.probes, name),
            Level::Region { egresses, .. } | Level::IpFamily { egresses, .. } => {
                all_now(&self.egresses, egresses);
            }
            Level::Family { clients, .. }
            | Level::Http { clients, .. }
            | Level::Stack { clients, .. } => all_now(&self.clients, clients),
            Level::Method { probes, .. }
            | Level::Path { probes, .. }
            | Level::Host { probes, .. } => all_now(&self.probes, probes),
            Level::AllBut {
                factor,
                name,
                others,
            } => {
                for name in others.iter_mut().chain([name]) {
                    match factor {
                        Factor::Egress => named_now(&self.egresses, name, EgressName::new),
                        Factor::Credential => {
                            named_now(&self.credentials, name, CredentialName::new);
                        }
                        _ => named_now(&self.clients, name, ClientName::new),
                    }
                }
            }
        }
    }
}

/// The same of a name that stands as text.
fn named_now<N: Ord + std::fmt::Display>(
    names: &BTreeMap<N, N>,
    name: &mut String,
    make: fn(&str) -> N,
) {
    if let Some(present) = names.get(&make(name)) {
        *name = present.to_string();
    }
}

fn note<N: Ord + Clone>(names: &mut BTreeMap<N, N>, former: &N, present: &N) {
    if former != present {
        names.insert(former.clone(), present.clone());
    }
}

fn now<N: Ord + Clone>(names: &BTreeMap<N, N>, name: &mut N) {
    if let Some(present) = names.get(name) {
        name.clone_from(present);
    }
}

fn all_now<N: Ord + Clone>(names: &BTreeMap<N, N>, all: &mut [N]) {
    for name in all {
        now(names, name);
    }
}
