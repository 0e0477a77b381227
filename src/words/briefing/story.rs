//! An incident with what its sentences need at hand: who, where, how many, how far.

use super::View;
use crate::domain::cell::{CellKey, EgressName, TlsVersion};
use crate::domain::diagnosis::level;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Incident, Specimen, State, Subject};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::verdict::{Factor, Kind, Maker};
use crate::words::evidence::cut;
use crate::words::terms;

use super::GUESSES_BELOW;

/// Partners that are named before they are counted.
const PARTNERS_NAMED: usize = 4;

/// An incident, seen by somebody.
pub(super) struct Story<'a> {
    pub(super) plan: &'a Plan,
    pub(super) incident: &'a Incident,
    /// Probes of its subject; controls when it is our network.
    pub(super) probes: Vec<&'a Probe>,
    pub(super) view: View,
    /// The failing specimen, when it shows what the incident is about.
    pub(super) specimen: Option<&'a Specimen>,
}

impl<'a> Story<'a> {
    pub(super) fn new(plan: &'a Plan, incident: &'a Incident, view: View) -> Self {
        let probes = plan
            .probes
            .iter()
            .filter(|probe| match &incident.subject {
                Subject::Host(host) => probe.host() == *host,
                Subject::Partner(partner) => probe.partner == *partner && !probe.control,
                Subject::Vendor(_) | Subject::Site(_) => incident.probes.contains(&probe.name),
                Subject::OurNetwork => probe.control,
            })
            .collect();
        Self {
            plan,
            incident,
            probes,
            view,
            specimen: incident
                .failing
                .as_ref()
                .filter(|specimen| specimen.verdict.blamed() == incident.kind),
        }
    }

    /// Whether a cause may be named to this receiver.
    pub(super) fn named(&self) -> bool {
        let diagnosis = &self.incident.diagnosis;
        !matches!(diagnosis.cause, Cause::Unknown { .. })
            && diagnosis.confidence >= self.view.min_confidence
    }

    /// Whether candidates may be told to this receiver.
    pub(super) fn guesses(&self) -> bool {
        self.view.min_confidence < GUESSES_BELOW
    }

    pub(super) fn resolved(&self) -> bool {
        self.incident.state == State::Resolved
    }

    /// Our network, or our own way of asking: not the partner.
    pub(super) fn our_side(&self) -> bool {
        self.our_network() || self.own_rate()
    }

    pub(super) fn our_network(&self) -> bool {
        self.incident.is_ours()
    }

    /// Whether it is known to be no more than edgewatch itself that asks too often.
    pub(super) fn own_rate(&self) -> bool {
        matches!(self.incident.diagnosis.cause, Cause::OwnRate { .. }) && self.named()
    }

    /// The levels that are blamed, if the receiver may know; empty when it is not a matter of levels.
    pub(super) fn blamed(&self) -> &'a [Level] {
        if self.named() {
            self.incident.diagnosis.cause.levels()
        } else {
            &[]
        }
    }

    /// Share of the cause's requests that fail, when it is a part and may be told.
    pub(super) fn fails(&self) -> Option<f64> {
        self.incident.diagnosis.fails.filter(|_| self.named())
    }

    /// The host, the partner, or our network, as a name.
    pub(super) fn target(&self) -> String {
        match &self.incident.subject {
            Subject::Host(name) | Subject::Partner(name) | Subject::Site(name) => name.clone(),
            Subject::Vendor(name) => terms::vendor(name).unwrap_or_default(),
            Subject::OurNetwork => "Our own network".to_owned(),
        }
    }

    /// The host or hosts that are hit, and whether they are several.
    pub(super) fn hosts(&self) -> (String, bool) {
        match (self.blamed(), &self.incident.subject) {
            ([Level::Host { name, .. }], _) => (name.clone(), false),
            (_, Subject::Partner(name)) => (format!("the hosts of {name}"), true),
            (_, Subject::Vendor(_)) => (self.partners(), true),
            _ => (self.target(), false),
        }
    }

    /// The edge that fails by itself in front of several partners, if that is what it is about.
    pub(super) fn failing_vendor(&self) -> Option<String> {
        match &self.incident.subject {
            Subject::Vendor(name) => terms::vendor(name),
            _ => None,
        }
    }

    /// All partners that are hit, by name where they are few.
    fn partners(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for probe in &self.probes {
            if !names.contains(&probe.partner) {
                names.push(probe.partner.clone());
            }
        }
        if names.len() > PARTNERS_NAMED {
            return format!("{} partners", names.len());
        }
        terms::list(&names, "and")
    }

    /// Whose trouble it is: the partner's, or everybody's when it is in our own network.
    pub(super) fn service(&self) -> &str {
        match self.incident.subject {
            Subject::OurNetwork | Subject::Vendor(_) | Subject::Site(_) => &self.plan.service,
            _ => self.plan.partner_called(&self.incident.probes),
        }
    }

    /// Who answers: the partner's name, or the host's own when it is a control.
    pub(super) fn partner(&self) -> String {
        if self.failing_vendor().is_some() {
            return self.partners();
        }
        if let Some(door) = self.door() {
            return format!("our own door {}", door.host);
        }
        if self.probes.iter().any(|probe| !probe.control) {
            self.service().to_owned()
        } else {
            self.target()
        }
    }

    /// Who made the failing answer, when it was an edge with a name.
    pub(super) fn edge(&self) -> Option<String> {
        terms::edge(&self.specimen?.verdict)
    }

    /// A point of presence with whose it is, as far as an answer told.
    pub(super) fn pop(&self, name: &str) -> String {
        format!("{}'s PoP `{name}`", self.front())
    }

    /// Who stands in front of the partner, by name where it has one.
    pub(super) fn front(&self) -> String {
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        verdict
            .and_then(|v| terms::vendor(&v.fronted_by).or_else(|| terms::vendor(&v.vendor)))
            .unwrap_or_else(|| "the CDN".to_owned())
    }

    /// The verdict that is normal for what failed, when that is not a pass.
    pub(super) fn watched(&self) -> Option<Kind> {
        let probe = self.plan.probe(self.incident.probes.first()?)?;
        probe.expect.verdict.filter(|kind| *kind != Kind::Pass)
    }

    /// The vendor's code or the status, in brackets.
    pub(super) fn detail(&self) -> String {
        let Some(specimen) = self.specimen else {
            return String::new();
        };
        let verdict = &specimen.verdict;
        match (&verdict.code, specimen.status) {
            (Some(code), _) if code.chars().all(|c| c.is_ascii_digit()) => match verdict.maker {
                Maker::Edge => format!(" (error {code})"),
                _ => format!(" (code {code})"),
            },
            (_, Some(status)) => format!(" (HTTP {status})"),
            _ => String::new(),
        }
    }

    /// What a level stands for, in brackets: the user agent, the address, the members.
    pub(super) fn aside(&self, level: &Level) -> String {
        let members = |names: Vec<String>| (!names.is_empty()).then(|| terms::list(&names, "and"));
        let aside = match level {
            Level::Client(name) if self.ended_path().is_some() => self
                .plan
                .client(name)
                .filter(|client| client.trust.is_some())
                .map(|_| "with roots of its own".to_owned()),
            // A handshake comes before any user agent is sent.
            Level::Client(name) if self.incident.kind == Kind::TlsError => {
                self.plan.client(name).map(|client| {
                    let offers = |version: TlsVersion| version.as_str();
                    let (min, max) = (offers(client.tls.min), offers(client.tls.max));
                    if min == max {
                        format!("TLS {min}")
                    } else {
                        format!("TLS {min} to {max}")
                    }
                })
            }
            Level::Client(name) => self.plan.client(name).and_then(|client| {
                // What was edited since is not what failed.
                let then = self
                    .incident
                    .failing
                    .as_ref()
                    .filter(|run| !self.incident.left.is_empty() && run.cell.client == *name);
                let sent = then.and_then(|run| {
                    let mut headers = run.request_headers.iter();
                    headers.find(|(header, _)| header.eq_ignore_ascii_case("user-agent"))
                });
                let agent = sent.map_or(client.user_agent.as_str(), |(_, agent)| agent.as_str());
                match agent {
                    "" => Some("no user agent".to_owned()),
                    agent if agent == name.as_str() => None,
                    agent => Some(cut(agent, 80)),
                }
            }),
            Level::Egress(name) => self.public(name),
            Level::IpFamily { egresses, .. } => {
                let named = |name: &EgressName| match self.public(name) {
                    Some(address) => format!("`{name}`, {address}"),
                    None => format!("`{name}`"),
                };
                members(egresses.iter().map(named).collect())
            }
            Level::Region { egresses, .. } => {
                members(egresses.iter().map(|name| format!("`{name}`")).collect())
            }
            Level::Family { clients, .. }
            | Level::Http { clients, .. }
            | Level::Stack { clients, .. } => {
                members(clients.iter().map(|name| format!("`{name}`")).collect())
            }
            _ => None,
        };
        aside.map_or_else(String::new, |aside| format!(" ({aside})"))
    }

    pub(super) fn public(&self, egress: &EgressName) -> Option<String> {
        let egress = self.plan.egress(egress)?;
        egress.public.map(|address| address.to_string())
    }

    /// "5 of the 12 cells that ran".
    pub(super) fn some_cells(&self) -> String {
        let (bad, good) = self.counts();
        // Others fail in another way; the sentence is only about its own kind.
        let alike = self.kinds().first().map_or(bad, |(_, count)| *count);
        match (bad, good) {
            _ if alike < bad => format!("{alike} of the {} cells that ran", bad + good),
            (0, _) => "some cells".to_owned(),
            (1, 0) => "the one cell that ran".to_owned(),
            (2, 0) => "both cells that ran".to_owned(),
            (bad, 0) => format!("all {bad} cells that ran"),
            (bad, good) => format!("{bad} of the {} cells that ran", bad + good),
        }
    }

    /// How many cells fail in which way: the incident's own kind first, then the commoner.
    pub(super) fn kinds(&self) -> Vec<(Kind, usize)> {
        let mut kinds: Vec<(Kind, usize)> = Vec::new();
        for cell in &self.incident.diagnosis.failing {
            let kind = self.kind_of(cell);
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((kind, 1)),
            }
        }
        kinds.sort_by_key(|(kind, count)| (*kind != self.incident.kind, usize::MAX - count));
        // Of a kind that nothing shows now, nothing is counted.
        kinds.retain(|(kind, _)| *kind != Kind::Pass);
        if kinds
            .first()
            .is_none_or(|(kind, _)| *kind != self.incident.kind)
        {
            let (bad, _) = self.counts();
            return vec![(self.incident.kind, bad)];
        }
        kinds
    }

    fn kind_of(&self, cell: &CellKey) -> Kind {
        let member = self.incident.cells.iter().find(|m| m.cell == *cell);
        member.map_or(self.incident.kind, |m| m.kind)
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let diagnosis = &self.incident.diagnosis;
        (diagnosis.failing.len(), diagnosis.passing.len())
    }

    /// How far the fault reaches in the factors that are not its cause.
    ///
    /// Cells that fail in another way don't count: the sentence that this follows is not about them.
    pub(super) fn breadth(&self) -> String {
        let mixed = self.kinds().len() > 1;
        let alike: Vec<CellKey> = self
            .incident
            .diagnosis
            .failing
            .iter()
            .filter(|cell| !mixed || self.kind_of(cell) == self.incident.kind)
            .cloned()
            .collect();
        let caused = |factor| {
            self.blamed()
                .iter()
                .any(|l| l.factor().dimension() == factor)
        };
        // Of what comes and goes, those that have not failed yet may still do so.
        let chance = self.fails().is_some()
            || matches!(
                self.incident.diagnosis.cause,
                Cause::Pop(_) | Cause::OwnRate { .. }
            );
        let mut parts = Vec::new();
        if !caused(Factor::Egress) {
            parts.extend(self.reach(&alike, Factor::Egress, "from every egress", "from", chance));
        }
        if !caused(Factor::Client) {
            parts.extend(self.reach(&alike, Factor::Client, "whatever the client", "as", chance));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!(", {}", parts.join(", "))
        }
    }

    /// `all` when every level that the cause leaves open was seen to fail; the levels that were, otherwise.
    fn reach(
        &self,
        failing: &[CellKey],
        factor: Factor,
        all: &str,
        some: &str,
        only_all: bool,
    ) -> Option<String> {
        let failing = levels(failing, factor);
        let mut configured = self.configured(factor);
        configured.extend(failing.iter().cloned());
        configured.sort();
        configured.dedup();
        if configured.len() < 2 || failing.is_empty() {
            return None;
        }
        if failing.len() >= configured.len() {
            return Some(all.to_owned());
        }
        let names: Vec<String> = failing.iter().map(terms::name).collect();
        (!only_all).then(|| format!("{some} {}", terms::list(&names, "and")))
    }

    /// Levels of a factor that the cells of the cause can have.
    pub(super) fn configured(&self, factor: Factor) -> Vec<Level> {
        let mut found: Vec<Level> = Vec::new();
        for probe in &self.probes {
            // A probe has every combination of its lists, so each factor can be looked at by itself.
            let cell = |egress: &str, client: &str, credential: &str| CellKey {
                probe: probe.name.clone(),
                egress: egress.into(),
                client: client.into(),
                credential: credential.into(),
            };
            let of_probe: Vec<CellKey> = match factor {
                Factor::Egress => probe
                    .from
                    .iter()
                    .map(|e| cell(e.as_str(), "", ""))
                    .collect(),
                Factor::Client => {
                    let clients = probe.as_clients.iter();
                    clients.map(|c| cell("", c.as_str(), "")).collect()
                }
                Factor::Credential => probe
                    .with
                    .iter()
                    .map(|c| cell("", "", c.as_str()))
                    .collect(),
                _ => vec![cell("", "", "")],
            };
            let covers = |cell: &CellKey| {
                self.blamed().iter().all(|level| {
                    let dimension = level.factor().dimension();
                    (dimension != factor && dimension != Factor::Endpoint) || level.covers(cell)
                })
            };
            found.extend(
                of_probe
                    .iter()
                    .filter(|cell| covers(cell))
                    .map(|cell| level(cell, factor)),
            );
        }
        found.sort();
        found.dedup();
        found
    }

    /// What came in place of the expected answer.
    pub(super) fn got(&self) -> String {
        let Some(specimen) = self.specimen else {
            return terms::kind(self.incident.kind).to_owned();
        };
        let verdict = &specimen.verdict;
        let mut parts = Vec::new();
        if let Some(status) = specimen.status {
            parts.push(format!("HTTP {status}"));
        }
        parts.push(terms::answer(verdict));
        if let Some(edge) = terms::edge(verdict) {
            parts.push(match &verdict.code {
                Some(code) => format!("{edge} {code}"),
                None => edge,
            });
        }
        if let Some(failure) = &specimen.failure {
            parts.push(failure.clone());
        }
        cut(&parts.join(", "), super::SENTENCE_CHARS_MAX)
    }
}

/// Distinct levels of a factor among cells.
pub(super) fn levels(cells: &[CellKey], factor: Factor) -> Vec<Level> {
    let mut levels: Vec<Level> = cells.iter().map(|cell| level(cell, factor)).collect();
    levels.sort();
    levels.dedup();
    levels
}
