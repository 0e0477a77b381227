//! Everything that is known of one incident, gathered for the texts that leave the house.

use jiff::Timestamp;

use crate::domain::cell::{CellKey, EgressName, Way};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Incident, TimelineEntry};
use crate::domain::notification::{Briefing, Reason};
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;
use crate::report::prose::{between, lasting};

/// An incident with its surroundings.
#[derive(Debug, Clone)]
pub struct Dossier<'a> {
    /// As the file is today; names that it no longer has are shown as they were.
    pub plan: &'a Plan,
    pub incident: Incident,
    /// The cause however sure it is: the confidence stands beside it.
    pub briefing: Briefing,
    /// What happens, in one sentence, also when it is over.
    pub headline: String,
    /// Oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// In the order of telling.
    pub told: Vec<Told>,
    /// The cells that fail or failed, then those that pass.
    pub lines: Vec<Line>,
    /// Newest first.
    pub references: Vec<Reference>,
    pub vendor: Vendor,
    pub now: Timestamp,
}

/// A message to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub receiver: String,
    pub reason: Reason,
    /// When the receiver took it; `None`: not yet, or never.
    pub at: Option<Timestamp>,
    /// Why it was given up, or was not taken yet.
    pub error: Option<String>,
    /// Whose place it was told in; `None`: its own.
    pub instead_of: Option<String>,
}

/// One line of the matrix: a run that shows how the cell fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub cell: CellKey,
    pub failing: bool,
    pub kind: Kind,
    pub at: Option<Timestamp>,
    pub status: Option<u16>,
    pub code: Option<String>,
}

/// A number that finds a request in the logs of the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub id: String,
    pub at: Option<Timestamp>,
    pub cell: Option<CellKey>,
}

/// Who made the failing answer, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vendor {
    /// Of the edge, as it writes itself; `None` when none shows itself.
    pub name: Option<String>,
    /// What its code means.
    pub meaning: Option<&'static str>,
    /// Where the owner of the site usually finds what refuses.
    pub setting: Option<&'static str>,
    /// What it calls its reference ids.
    pub reference: &'static str,
}

/// Where requests of an egress come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) public: Option<String>,
    pub(super) local: Option<String>,
    pub(super) proxy: Option<String>,
}

impl Dossier<'_> {
    /// The fault is on our side, so nobody else is asked for anything.
    #[must_use]
    pub(super) fn ours(&self) -> bool {
        self.incident.is_ours()
            || self.incident.kind == Kind::LocalError
            || self.plan.door(&self.incident.probes).is_some()
            || self.incident.our_filter().is_some()
    }

    /// What the partner is called.
    #[must_use]
    pub(super) fn called(&self) -> &str {
        self.plan.partner_called(&self.incident.probes)
    }

    /// Only controls are hit: sites that we ask as a yardstick, not the partner's.
    #[must_use]
    pub(super) fn control(&self) -> bool {
        let probes = &self.incident.probes;
        let is_control = |name| self.plan.probe(name).is_some_and(|probe| probe.control);
        !self.ours() && !probes.is_empty() && probes.iter().all(is_control)
    }

    /// Everything works, and not as well as it should.
    #[must_use]
    pub(super) fn warns(&self) -> bool {
        self.incident.kind == Kind::Warning
    }

    /// When it was seen to pass last without failing since, while nothing is decided; `None`: it fails, or is over.
    ///
    /// What fails at times passes between as well.
    #[must_use]
    pub(super) fn may_be_over_since(&self) -> Option<Timestamp> {
        let open = self.incident.resolved_at.is_none() && !self.at_times();
        self.incident.spells.first_good_at.filter(|_| open)
    }

    #[must_use]
    pub(super) fn resolved(&self) -> bool {
        self.briefing.is_fixed()
    }

    /// Closed while it was last seen failing: nobody knows whether it is over.
    #[must_use]
    pub(super) fn unwatched(&self) -> bool {
        self.briefing.is_unwatched()
    }

    /// Until when it failed, as far as is known.
    #[must_use]
    pub(super) fn end(&self) -> Timestamp {
        self.incident.over_at().unwrap_or(self.now)
    }

    /// For how long it failed; what came back was well in between.
    #[must_use]
    pub(super) fn lasted(&self) -> String {
        let failing = lasting(self.incident.failing_for(self.now));
        let whole = between(self.incident.onset_at, self.end());
        if self.incident.reopened == 0 || failing == whole {
            failing
        } else {
            format!("{failing} within {whole}")
        }
    }

    /// Egresses of the lines, failing ones first.
    #[must_use]
    pub(super) fn egresses(&self) -> Vec<EgressName> {
        let mut names = Vec::new();
        for line in &self.lines {
            if !names.contains(&line.cell.egress) {
                names.push(line.cell.egress.clone());
            }
        }
        names
    }

    #[must_use]
    pub(super) fn origin(&self, name: &EgressName) -> Origin {
        let egress = self.plan.egress(name);
        let seen = [&self.incident.failing, &self.incident.passing]
            .into_iter()
            .flatten()
            .find(|run| run.cell.egress == *name);
        let way = egress.map(|egress| &egress.way);
        Origin {
            public: egress
                .and_then(|egress| egress.public)
                .map(|address| address.to_string())
                .or_else(|| seen.and_then(|run| run.public.clone())),
            local: match way {
                Some(Way::Address(address)) => Some(address.to_string()),
                _ => seen.and_then(|run| run.local.clone()),
            },
            proxy: match way {
                Some(Way::Proxy(proxy)) => Some(format!("{}:{}", proxy.host, proxy.port)),
                _ => None,
            },
        }
    }

    /// The run that stands in the matrix for a cell.
    #[must_use]
    pub(super) fn line(&self, cell: &CellKey) -> Option<&Line> {
        self.lines.iter().find(|line| line.cell == *cell)
    }

    /// edgewatch itself asks too often: nobody else is to blame.
    #[must_use]
    pub(super) fn own_rate(&self) -> bool {
        matches!(self.incident.diagnosis.cause, Cause::OwnRate { .. })
    }

    /// What fails also passes, by chance or by how much is asked: a row shows its last failure.
    #[must_use]
    pub(super) fn at_times(&self) -> bool {
        let diagnosis = &self.incident.diagnosis;
        let by_chance = matches!(diagnosis.cause, Cause::Pop(_) | Cause::OwnRate { .. });
        diagnosis.fails.is_some() || by_chance
    }

    /// For each level of the named cause, a failing and a passing cell that differ in it alone, where there are such.
    #[must_use]
    pub(super) fn twins(&self) -> Vec<(&Level, &CellKey, &CellKey)> {
        let diagnosis = &self.incident.diagnosis;
        let levels = diagnosis.cause.levels();
        let twin = |level| {
            let factor = Level::factor(level).dimension();
            let hit = diagnosis
                .failing
                .iter()
                .filter(|cell| levels.iter().all(|level| level.covers(cell)));
            hit.into_iter().find_map(|bad| {
                let other = |good: &&CellKey| !level.covers(good) && bad.differs(good) == [factor];
                let good = diagnosis.passing.iter().find(other)?;
                Some((level, bad, good))
            })
        };
        levels.iter().filter_map(twin).collect()
    }
}

/// `legacy from de1 with gmc`; the probe only where there are several.
#[must_use]
pub(super) fn short(dossier: &Dossier<'_>, cell: &CellKey) -> String {
    let mut name = format!("{} from {}", cell.client, cell.egress);
    if !cell.credential.is_anonymous() {
        name = format!("{name} with {}", cell.credential);
    }
    if dossier
        .lines
        .iter()
        .any(|line| line.cell.probe != cell.probe)
    {
        name = format!("{}: {name}", cell.probe);
    }
    name
}
