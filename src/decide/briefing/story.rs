//! The sentences about one incident: headline, reasons, next step.

use super::{GUESSES_BELOW, SENTENCE_CHARS_MAX, View};
use crate::decide::diagnose::pattern;
use crate::decide::evidence::cut;
use crate::decide::matrix::level;
use crate::decide::words;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Incident, Specimen, Subject};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::verdict::{Factor, Kind, Maker, WhoActs};

/// Signs of the verdict that are quoted, strongest first.
const EVIDENCE_LINES: usize = 3;

/// An incident with what its sentences need at hand.
pub(super) struct Story<'a> {
    plan: &'a Plan,
    incident: &'a Incident,
    /// Probes of its host; controls when it is our network.
    probes: Vec<&'a Probe>,
    view: View,
    /// The failing specimen, when it shows what the incident is about.
    specimen: Option<&'a Specimen>,
}

impl<'a> Story<'a> {
    pub(super) fn new(plan: &'a Plan, incident: &'a Incident, view: View) -> Self {
        let probes = plan
            .probes
            .iter()
            .filter(|probe| match &incident.subject {
                Subject::Host(host) => probe.host() == *host,
                Subject::Partner(partner) => probe.partner == *partner && !probe.control,
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
                .filter(|specimen| specimen.verdict.kind == incident.kind),
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

    pub(super) fn our_side(&self) -> bool {
        matches!(self.incident.diagnosis.cause, Cause::OurNetwork { .. })
            || self.incident.subject == Subject::OurNetwork
    }

    /// The host, or our network.
    pub(super) fn target(&self) -> String {
        match &self.incident.subject {
            Subject::Host(name) | Subject::Partner(name) => name.clone(),
            Subject::OurNetwork => "Our own network".to_owned(),
        }
    }

    /// Who answers: the partner's name, or the host's own when it is a control.
    fn partner(&self) -> String {
        if self.probes.iter().any(|probe| !probe.control) {
            self.plan.service.clone()
        } else {
            self.target()
        }
    }

    pub(super) fn headline(&self) -> String {
        if let Cause::OurNetwork { egresses } = &self.incident.diagnosis.cause {
            return self.our_network(egresses);
        }
        let diagnosis = &self.incident.diagnosis;
        let (asked, breadth) = match &diagnosis.cause {
            _ if !self.named() => (self.some_cells(), String::new()),
            Cause::Level(level) => (self.level(level), self.breadth(level.factor())),
            Cause::Together(levels) => {
                let names: Vec<String> = levels.iter().map(|level| self.level(level)).collect();
                (names.join(" together with "), String::new())
            }
            Cause::AnyOf(causes) => {
                let levels = causes.iter().flat_map(Cause::levels);
                let names: Vec<String> = levels.map(|level| self.level(level)).collect();
                (words::list(&names, "and"), String::new())
            }
            Cause::Everything => (String::new(), self.breadth(Factor::Host)),
            Cause::Pop(name) => (
                format!("requests that PoP {name} answers"),
                self.breadth(Factor::Host),
            ),
            Cause::OwnRate { per_minute, .. } => (
                format!("our requests from {per_minute} a minute on"),
                String::new(),
            ),
            Cause::Unknown { .. } | Cause::OurNetwork { .. } => (self.some_cells(), String::new()),
        };
        let open = match &diagnosis.cause {
            _ if self.named() => String::new(),
            Cause::Unknown { among } if self.guesses() => self.open_question(among),
            _ => "; the cause is not certain yet".to_owned(),
        };
        let asked = Some(asked).filter(|asked| !asked.is_empty());
        let sentence = format!("{}{breadth}{open}", self.happens_to(asked.as_deref()));
        match sentence.strip_prefix("the ") {
            Some(rest) => format!("The {rest}"),
            None => sentence,
        }
    }

    /// What is still open, and between what.
    fn open_question(&self, among: &[Level]) -> String {
        let diagnosis = &self.incident.diagnosis;
        match among {
            [] => match pattern(&diagnosis.failing, &diagnosis.passing) {
                Some(pattern) => format!("; {pattern}"),
                None => "; no single cause fits yet".to_owned(),
            },
            [one] => format!(
                "; can't tell whether it is {} alone or everybody",
                words::level(one)
            ),
            several => {
                let names: Vec<String> = several.iter().map(words::level).collect();
                format!(
                    "; can't tell yet whether it is {}",
                    words::list(&names, "or")
                )
            }
        }
    }

    /// "GMC refuses … at Cloudflare (error 1010)"; `asked` is `None` when it is every request.
    fn happens_to(&self, asked: Option<&str>) -> String {
        let (partner, host) = (self.partner(), self.target());
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        let edge = verdict.and_then(words::edge);
        let at = edge
            .as_ref()
            .map_or_else(String::new, |edge| format!(" at {edge}"));
        let detail = self.detail();
        let request = asked.unwrap_or("every request");
        let of = asked.map_or_else(String::new, |asked| format!(", for {asked}"));
        match self.incident.kind {
            Kind::EdgeBlock => format!("{partner} refuses {request}{at}{detail}"),
            Kind::EdgeChallenge => {
                format!("{partner} puts a bot check before {request}{at}{detail}")
            }
            Kind::RateLimited => format!("{partner} limits the rate of {request}{at}{detail}"),
            Kind::OriginDenied => {
                format!("the application of {partner} refuses {request}{detail}")
            }
            Kind::OriginError => {
                format!("the application of {partner} answers with an error{detail}{of}")
            }
            Kind::EdgeError => {
                let edge = edge.unwrap_or_else(|| "the edge".to_owned());
                format!("{edge} in front of {host} can't reach the application{detail}{of}")
            }
            Kind::SoftBlock => {
                format!(
                    "{partner} answers {request} with another page than the content{at}{detail}"
                )
            }
            Kind::Unexpected => match self.watched() {
                Some(kind) => {
                    format!("{partner} no longer answers {request} with the watched {kind}")
                }
                None => format!("{host} does not answer as expected{detail}{of}"),
            },
            Kind::DnsError => format!("the name {host} does not resolve{of}"),
            Kind::ConnectError => format!("{host} accepts no connection{of}"),
            Kind::TlsError => format!("the TLS handshake with {host} fails{of}"),
            Kind::Timeout => format!("{host} does not answer (timeout){of}"),
            Kind::LocalError => format!("{request} can't be sent from our side"),
            Kind::Pass => format!("{host} answers {request}"),
        }
    }

    /// The verdict that is normal for what failed, when that is not a pass.
    fn watched(&self) -> Option<Kind> {
        let probe = self.plan.probe(self.incident.probes.first()?)?;
        probe.expect.verdict.filter(|kind| *kind != Kind::Pass)
    }

    /// The vendor's code or the status, in brackets.
    fn detail(&self) -> String {
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

    fn level(&self, level: &Level) -> String {
        let aside = match level {
            Level::Client(name) => self.plan.client(name).and_then(|client| {
                let agent = client.user_agent.as_str();
                match agent {
                    "" => Some("no user agent".to_owned()),
                    agent if agent == name.as_str() => None,
                    agent => Some(cut(agent, 80)),
                }
            }),
            Level::Egress(name) => self.public(name),
            _ => None,
        };
        let aside = aside.map_or_else(String::new, |aside| format!(" ({aside})"));
        match level {
            Level::Client(_) => format!("{}{aside}", words::level(level)),
            Level::Egress(_) => format!("requests from {}{aside}", words::level(level)),
            Level::Credential(_) => format!("requests with {}", words::level(level)),
            Level::Probe(_) => format!("requests of {}", words::level(level)),
            Level::Family { .. } => format!("every client of the family {}", words::name(level)),
            Level::Region { .. } => format!("requests from every egress in {}", words::name(level)),
            Level::Http { .. } => format!("requests over {}", words::level(level)),
            Level::Method { .. } => format!("{} requests", words::name(level)),
            Level::Path { .. } | Level::Host { .. } => {
                format!("requests to {}", words::name(level))
            }
        }
    }

    fn public(&self, egress: &EgressName) -> Option<String> {
        let egress = self.plan.egress(egress)?;
        egress.public.map(|address| address.to_string())
    }

    /// "5 of the 12 cells that ran".
    fn some_cells(&self) -> String {
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
    fn kinds(&self) -> Vec<(Kind, usize)> {
        let mut kinds: Vec<(Kind, usize)> = Vec::new();
        for cell in &self.incident.diagnosis.failing {
            let member = self.incident.cells.iter().find(|m| m.cell == *cell);
            let kind = member.map_or(self.incident.kind, |m| m.kind);
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

    fn counts(&self) -> (usize, usize) {
        let diagnosis = &self.incident.diagnosis;
        (diagnosis.failing.len(), diagnosis.passing.len())
    }

    /// How far the fault reaches in the factors that are not its cause.
    fn breadth(&self, cause: Factor) -> String {
        let mut parts = Vec::new();
        if cause != Factor::Egress {
            parts.extend(self.reach(Factor::Egress, "from every egress", "from"));
        }
        if cause != Factor::Client {
            parts.extend(self.reach(Factor::Client, "whatever the client", "as"));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!(", {}", parts.join(", "))
        }
    }

    /// `all` when every configured level was seen to fail; the levels that were, otherwise.
    fn reach(&self, factor: Factor, all: &str, some: &str) -> Option<String> {
        let mut failing = levels(&self.incident.diagnosis.failing, factor);
        let configured = self.configured(factor, &failing);
        if configured < 2 || failing.is_empty() {
            return None;
        }
        if failing.len() >= configured {
            return Some(all.to_owned());
        }
        failing.sort();
        let names: Vec<String> = failing.iter().map(words::name).collect();
        Some(format!("{some} {}", words::list(&names, "and")))
    }

    /// How many levels of a factor the host's probes have.
    fn configured(&self, factor: Factor, seen: &[Level]) -> usize {
        let mut levels = seen.to_vec();
        for probe in &self.probes {
            let of_probe: Vec<Level> = match factor {
                Factor::Egress => probe.from.iter().cloned().map(Level::Egress).collect(),
                Factor::Client => probe
                    .as_clients
                    .iter()
                    .cloned()
                    .map(Level::Client)
                    .collect(),
                _ => Vec::new(),
            };
            levels.extend(of_probe);
        }
        levels.sort();
        levels.dedup();
        levels.len()
    }

    fn our_network(&self, egresses: &[EgressName]) -> String {
        let names: Vec<String> = egresses.iter().map(|name| format!("`{name}`")).collect();
        let list = words::list(&names, "and");
        let plural = if egresses.len() == 1 { "" } else { "es" };
        if self.incident.kind == Kind::LocalError {
            return format!("Our own side: requests from egress{plural} {list} can't be sent");
        }
        let all = self.probes.iter().flat_map(|probe| &probe.from);
        if self.probes.iter().all(|p| p.control) && all.clone().all(|e| egresses.contains(e)) {
            return "Our own network: the controls fail from every egress, and nothing is seen to answer"
                .to_owned();
        }
        format!(
            "Our own network: the controls fail from egress{plural} {list}, and nothing is seen to answer there"
        )
    }

    /// What ended, in a sentence of its own.
    pub(super) fn over(&self) -> String {
        let count = self.incident.cells.len();
        let target = match &self.incident.subject {
            Subject::Host(name) | Subject::Partner(name) => format!(" of {name}"),
            Subject::OurNetwork => " of our own network".to_owned(),
        };
        let answer = if self.watched().is_some() {
            ("is answered as expected", "are answered as expected")
        } else {
            ("passes", "pass")
        };
        match count {
            1 => format!("The cell{target} that failed {} again.", answer.0),
            2 => format!("Both cells{target} that failed {} again.", answer.1),
            _ => format!("All {count} cells{target} that failed {} again.", answer.1),
        }
    }

    pub(super) fn because(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let diagnosis = &self.incident.diagnosis;
        let (bad, good) = self.counts();
        match &diagnosis.cause {
            Cause::Level(level) if self.named() => lines.push(format!(
                "every cell with {} that ran fails ({bad}), every other passes ({good})",
                words::level(level)
            )),
            Cause::OurNetwork { .. } => {
                let mut failing: Vec<String> = self
                    .incident
                    .cells
                    .iter()
                    .filter(|cell| cell.failing)
                    .map(|cell| format!("`{}` from `{}`", cell.cell.probe, cell.cell.egress))
                    .collect();
                // Cells that differ in client or credential alone say it once.
                failing.sort();
                failing.dedup();
                if !failing.is_empty() {
                    lines.push(format!("failing: {}", words::list(&failing, "and")));
                }
                if let Some(passing) = diagnosis.passing.first() {
                    lines.push(format!(
                        "control `{}` passes from egress `{}`",
                        passing.probe, passing.egress
                    ));
                }
            }
            _ => {
                match self.kinds().as_slice() {
                    _ if bad == 0 => {}
                    [(kind, _)] => {
                        lines.push(format!("{}: {}", self.some_cells(), words::kind(*kind)));
                    }
                    several => lines.extend(several.iter().map(|(kind, count)| {
                        let all = bad + good;
                        format!(
                            "{count} of the {all} cells that ran: {}",
                            words::kind(*kind)
                        )
                    })),
                }
                if self.guesses() {
                    lines.extend(pattern(&diagnosis.failing, &diagnosis.passing));
                }
            }
        }
        let Some(specimen) = self.specimen else {
            return lines;
        };
        let verdict = &specimen.verdict;
        let mut told = None;
        if let Some(code) = &verdict.code
            && let Some(meaning) = words::code(&verdict.vendor, code)
        {
            let vendor = words::vendor(&verdict.vendor).unwrap_or_default();
            lines.push(format!(
                "{vendor} error {code} (a code of {vendor}, not of {}): {meaning}",
                self.partner()
            ));
            told = Some(format!("{vendor} {code}: "));
        }
        if self.guesses() && !self.named() && !verdict.hints.is_empty() && !self.our_side() {
            let hints: Vec<String> = verdict
                .hints
                .iter()
                .map(|hint| words::factor(*hint).to_owned())
                .collect();
            lines.push(format!(
                "the answer itself points at {}, which alone proves nothing",
                words::list(&hints, "or")
            ));
        }
        let new = |text: &str| {
            !told
                .as_ref()
                .is_some_and(|told| text.starts_with(told.as_str()))
        };
        let signs = verdict.evidence.iter().filter(|sign| new(&sign.text));
        lines.extend(signs.take(EVIDENCE_LINES).map(|sign| sign.text.clone()));
        // The evidence of a failed run ends with its failure.
        if let Some(failure) = &specimen.failure
            && !lines.iter().any(|line| line.contains(failure.as_str()))
        {
            lines.push(failure.clone());
        }
        lines
    }

    pub(super) fn next_step(&self) -> Option<String> {
        let diagnosis = &self.incident.diagnosis;
        if let Cause::OurNetwork { egresses } = &diagnosis.cause {
            let names: Vec<String> = egresses.iter().map(|name| format!("`{name}`")).collect();
            return Some(format!(
                "Check our own side at egress {}: address, route, proxy, firewall, name servers",
                words::list(&names, "and")
            ));
        }
        let tell = diagnosis
            .would_tell
            .as_ref()
            .map(|tell| format!("Would tell: {tell}"));
        if !self.named() {
            return tell;
        }
        let partner = self.partner();
        let step = match (&diagnosis.cause, self.incident.kind) {
            (_, Kind::Unexpected) if self.watched().is_some() => {
                format!("Check with {partner} whether what was watched changed on purpose")
            }
            (_, Kind::RateLimited) => {
                let wait = self.specimen.and_then(|s| s.verdict.retry_after);
                let wait = wait.map_or_else(String::new, |wait| {
                    format!(" (it asks to wait {} s)", wait.as_secs())
                });
                format!("Send fewer requests{wait}; ask {partner} for their limit")
            }
            (Cause::Level(Level::Client(name)), kind) if kind.is_refusal() => {
                let agent = self
                    .plan
                    .client(name)
                    .map(|client| client.user_agent.as_str());
                let agent = match agent {
                    Some("") | None => format!("client `{name}`"),
                    Some(agent) => format!("the user agent `{}`", cut(agent, 80)),
                };
                format!(
                    "Ask {partner} to allow {agent}{}{}",
                    self.at_edge(),
                    self.give_reference()
                )
            }
            (Cause::Level(Level::Egress(name)), kind) if kind.is_refusal() || kind.is_network() => {
                let address = self.public(name).or_else(|| {
                    let specimen = self.specimen.filter(|s| s.cell.egress == *name);
                    specimen.and_then(|s| s.public.clone())
                });
                let address = address.map_or_else(
                    || format!("the public address of egress `{name}`"),
                    |address| format!("{address} (egress `{name}`)"),
                );
                let verb = if kind.is_network() {
                    "whether they drop"
                } else {
                    "to allow"
                };
                format!(
                    "Ask {partner} {verb} {address}{}{}",
                    self.at_edge(),
                    self.give_reference()
                )
            }
            (Cause::Level(Level::Credential(name)), kind) if kind.is_refusal() => format!(
                "Check the account behind credential `{name}` (expired, locked, changed?), then ask {partner}{}",
                self.give_reference()
            ),
            (Cause::Level(level), _) => {
                format!(
                    "Report it to {partner}: only {} is affected{}",
                    words::level(level),
                    self.give_reference()
                )
            }
            _ => format!(
                "Report it to {partner}: every request to {} is affected{}",
                self.target(),
                self.give_reference()
            ),
        };
        Some(match tell {
            Some(tell) => format!("{step}. {tell}"),
            None => step,
        })
    }

    fn at_edge(&self) -> String {
        let verdict = self.specimen.map(|specimen| &specimen.verdict);
        match verdict {
            Some(verdict) if verdict.who_acts != WhoActs::Visitor => {
                words::edge(verdict).map_or_else(String::new, |edge| format!(" at {edge}"))
            }
            _ => String::new(),
        }
    }

    fn give_reference(&self) -> String {
        // The one of the run that stands in the evidence, so that the partner looks up what they are shown.
        let shown = self
            .incident
            .failing
            .as_ref()
            .and_then(|run| run.verdict.reference_id.as_ref());
        let Some(id) = shown.or(self.incident.reference_ids.last()) else {
            return String::new();
        };
        let vendor = self
            .specimen
            .map_or("", |specimen| &*specimen.verdict.vendor);
        format!(
            "; give them {} `{id}` and the time",
            words::reference(vendor)
        )
    }

    /// What came in place of the expected answer.
    pub(super) fn got(&self) -> String {
        let Some(specimen) = self.specimen else {
            return words::kind(self.incident.kind).to_owned();
        };
        let verdict = &specimen.verdict;
        let mut parts = Vec::new();
        if let Some(status) = specimen.status {
            parts.push(format!("HTTP {status}"));
        }
        parts.push(words::kind(verdict.kind).to_owned());
        if let Some(edge) = words::edge(verdict) {
            parts.push(match &verdict.code {
                Some(code) => format!("{edge} {code}"),
                None => edge,
            });
        }
        if let Some(failure) = &specimen.failure {
            parts.push(failure.clone());
        }
        cut(&parts.join(", "), SENTENCE_CHARS_MAX)
    }
}

/// Distinct levels of a factor among cells.
fn levels(cells: &[CellKey], factor: Factor) -> Vec<Level> {
    let mut levels: Vec<Level> = cells.iter().map(|cell| level(cell, factor)).collect();
    levels.sort();
    levels.dedup();
    levels
}
