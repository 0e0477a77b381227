//! An incident: one problem with one cause, and the facts of its life.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::{CellKey, CredentialName, ProbeName, ReceiverName};
use super::diagnosis::{Cause, Diagnosis};
use super::earlier::Earlier;
use super::form::{fraction, nanos, nanos_named};
use super::moment::later;
use super::observation::ChainPath;
use super::reason::Reason;
use super::sent::Sent;
use super::spelling::spelled;
use super::spells::Spells;
pub use super::subject::Subject;
use super::verdict::{Kind, Verdict};
use super::ways::{KnownWay, ReachedAddress};

/// One problem with one cause, from its opening to its resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Shown to people as `INC-12`; never used twice in one store.
    pub number: u64,
    pub state: State,
    pub subject: Subject,
    /// First failing run, UTC.
    pub onset_at: Timestamp,
    pub opened_at: Timestamp,
    /// When its end was decided, which is later than the end; that is [`Incident::over_at`].
    pub resolved_at: Option<Timestamp>,
    /// When runs showed it.
    #[serde(default)]
    pub spells: Spells,
    /// By which addresses its egresses reached its hosts before it, where connections fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<KnownWay>,
    /// What was wrong with its subject before, as it was known at the opening.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// How often it came back within the reopening time.
    pub reopened: u32,
    /// When it came back last; delays and reminders count from here unless it comes and goes. `None`: never.
    pub reopened_at: Option<Timestamp>,
    /// When the incident before it with a cell of its own opened, where that ended so lately that the two may have one
    /// rhythm. `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhythm_since: Option<Timestamp>,
    /// When a cell that fails now passed last, before the onset; `None`: not seen.
    pub last_good_at: Option<Timestamp>,
    pub probes: Vec<ProbeName>,
    /// The verdict that most of its failing cells have.
    pub kind: Kind,
    pub diagnosis: Diagnosis,
    /// The cells it holds, failing or recovering.
    pub cells: Vec<IncidentCell>,
    /// Failing cells that are not asked any more, or not as they were when they failed: of these nobody will see
    /// that they pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<IncidentCell>,
    /// Changes of the partner's front or of our own near the onset, most telling first.
    #[serde(default)]
    pub beside: Vec<Beside>,
    /// Who said that they look after it; it then reminds nobody. `None`: nobody.
    pub acknowledged: Option<Acknowledged>,
    /// One failing run as evidence; the clearest one seen.
    pub failing: Option<Specimen>,
    /// The run most like it that passed.
    pub passing: Option<Specimen>,
    /// Reference ids (Ray IDs and the like), newest last, at most 10.
    pub reference_ids: Vec<String>,
    pub failed_runs: u32,
    /// Requests made beyond the schedule because of it.
    pub extra_runs: u32,
    /// Notifications so far, so that each has its place in the order.
    pub told: u32,
    /// Reminders so far.
    pub reminded: u32,
    pub last_told_at: Option<Timestamp>,
    /// Who was told that it opened, and so must hear of its end; in the order of telling.
    pub told_receivers: Vec<ReceiverName>,
    #[serde(default)]
    pub telling: Telling,
}

/// A cause explains what fails when it covers this share of it; weather fails beside it.
const MOSTLY: f64 = 0.8;

/// Returns from which on an incident is said to come and go.
pub(super) const COMES_AND_GOES: u32 = 2;

/// Bounds of the time that what comes and goes must stay away.
const QUIET_MIN: Duration = Duration::from_secs(300);
const QUIET_MAX: Duration = Duration::from_secs(3 * 3600);

/// The end of what came back once waits no longer than this: it may as well be the last.
const RETURNED_ONCE_WAITS: Duration = Duration::from_secs(20);

impl Incident {
    /// What later incidents are compared with; `None` while it is open, and where nobody saw it end.
    #[must_use]
    pub fn to_earlier(&self) -> Option<Earlier> {
        (self.state == State::Resolved).then(|| Earlier {
            number: self.number,
            subject: self.subject.clone(),
            onset_at: self.onset_at,
            kind: self.kind,
            cause: self.diagnosis.cause.clone(),
            failing: self.failing_for(self.onset_at),
        })
    }

    /// The fault is on our own side.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.subject, Subject::OurNetwork | Subject::Site(_))
            || self.diagnosis.cause.is_ours()
    }

    /// It came back more than once: single ends and returns are no news any more.
    #[must_use]
    pub fn comes_and_goes(&self) -> bool {
        self.returns() >= COMES_AND_GOES
    }

    /// How often it began after the first time, the incident before this one included.
    #[must_use]
    pub fn returns(&self) -> u32 {
        self.reopened
            .saturating_add(u32::from(self.rhythm_since.is_some()))
    }

    /// The mean time from one beginning to the next; `None`: it began once.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        let returns = self.returns().checked_sub(1)? + 1;
        let first = self.rhythm_since.unwrap_or(self.opened_at);
        let all = self.began().duration_since(first);
        Some(Duration::try_from(all).unwrap_or_default() / returns)
    }

    /// Each return begins with doubt: what it was known to be stands meanwhile, where it explains what fails.
    pub fn keep_known(&self, now: &mut Diagnosis) {
        let unknown = |diagnosis: &Diagnosis| matches!(diagnosis.cause, Cause::Unknown { .. });
        let known = &self.diagnosis;
        let covers = |cell: &&CellKey| known.cause.covers(cell) != Some(false);
        let explained = now.failing.iter().filter(covers).count();
        let explains = explained as f64 >= MOSTLY * now.failing.len() as f64;
        if unknown(now) && !unknown(known) && explains {
            now.cause.clone_from(&known.cause);
            now.confidence = known.confidence;
            now.fails = known.fails;
            now.ruled_out.clone_from(&known.ruled_out);
            now.would_tell = None;
        }
    }

    /// Until when it failed, as far as is known; `None`: it is open.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        over_at(self.state, &self.spells, self.resolved_at?)
    }

    /// The run and the former addresses that show a filter of our own, which lists addresses: one egress connects no more, to
    /// others than it got through to before, and another gets through to these.
    #[must_use]
    pub fn our_filter(&self) -> Option<(&Specimen, &KnownWay)> {
        let (bad, good) = (self.failing.as_ref()?, self.passing.as_ref()?);
        let of_network = matches!(self.kind, Kind::ConnectError | Kind::Timeout);
        let at_connect = bad
            .phases
            .last()
            .is_some_and(|(phase, _)| phase == "connect");
        let egress = &bad.cell.egress;
        let alone = self.diagnosis.failing.iter().all(|c| c.egress == *egress);
        let there = good.cell.egress != *egress
            && good.cell.probe == bad.cell.probe
            && good.resolved.iter().any(|ip| bad.resolved.contains(ip));
        if !of_network || !at_connect || !alone || !there || bad.resolved.is_empty() {
            return None;
        }
        let way = self
            .ways
            .iter()
            .find(|way| way.egress == *egress && bad.url.contains(&format!("://{}", way.host)))?;
        let is_former = |ip: &ReachedAddress| !bad.resolved.contains(&ip.address.to_string());
        let known = !way.addresses.is_empty() && way.addresses.iter().all(is_former);
        known.then_some((bad, way))
    }

    /// The account that the partner locked, and until when by its own word; `None`: none that is shown.
    #[must_use]
    pub fn lock(&self) -> Option<(&CredentialName, Timestamp)> {
        let run = self
            .failing
            .as_ref()
            .filter(|_| self.state == State::Open)?;
        let verdict = &run.verdict;
        let wait = verdict
            .retry_after
            .filter(|_| verdict.kind == Kind::RateLimited)?;
        let name = &run.cell.credential;
        (!name.is_anonymous()).then(|| (name, later(later(run.at, run.took), wait)))
    }

    /// How long it failed, the good time between left out; `now` counts while it is open.
    #[must_use]
    pub fn failing_for(&self, now: Timestamp) -> Duration {
        let end = self.over_at().unwrap_or(now);
        self.spells.failing_for(self.onset_at, end)
    }

    /// When it began, or came back last.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.reopened_at.unwrap_or(self.opened_at)
    }

    /// From when delays and reminders count; of what comes and goes, from the first time.
    #[must_use]
    pub fn lasts_since(&self) -> Timestamp {
        if self.comes_and_goes() {
            self.opened_at
        } else {
            self.began()
        }
    }

    /// For how long after its end it can come back as the same incident; `policy` is that time for one that came once.
    #[must_use]
    pub fn returns_within(&self, policy: Duration) -> Duration {
        self.period()
            .map_or(policy, |period| policy.max(three(period)))
    }

    /// For how long it must stay away before people hear that it is over: of what comes and goes three of its periods,
    /// of what came back once as long as it takes to return in the same rhythm.
    #[must_use]
    pub fn told_as_over_after(&self) -> Duration {
        match self.period() {
            None => Duration::ZERO,
            Some(period) if self.comes_and_goes() => three(period),
            Some(period) => period.min(RETURNED_ONCE_WAITS),
        }
    }
}

fn three(period: Duration) -> Duration {
    period.saturating_mul(3).clamp(QUIET_MIN, QUIET_MAX)
}

/// Until when something of this state failed, as far as is known.
pub(super) fn over_at(state: State, spells: &Spells, decided: Timestamp) -> Option<Timestamp> {
    match state {
        State::Open => None,
        State::Resolved => Some(spells.over_at(decided)),
        State::Unwatched => Some(spells.seen_until(decided)),
    }
}

/// What is quiet about an incident, and what those who were told of it still have to hear.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Telling {
    /// Nobody is told of it at present; `None`: it is not muted.
    pub muted: Option<Muted>,
    /// Names of the maintenance that messages mention at present.
    pub during: Vec<String>,
    /// One for each of those who were told that it opened; one that is missing has heard all there was.
    pub receivers: Vec<Standing>,
    /// What most of its cells are answered, as it was told last; `None`: not known yet.
    pub answer: Option<Answered>,
}

/// What failing cells are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// In words, with the vendor's code ("refused at the edge (Cloudflare 1010)").
    pub text: String,
    /// When people heard that it is another than before; `None`: it was so from the start.
    pub told_at: Option<Timestamp>,
}

/// That an incident is told to nobody for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muted {
    /// Since when.
    pub at: Timestamp,
    /// When the first of its causes ends.
    pub until: Timestamp,
    /// Silences and maintenance, each in words ("maintenance GMC weekend work").
    pub by: Vec<String>,
    /// Numbers of the silences among them, so that one can end them.
    #[serde(default)]
    pub silences: Vec<u64>,
}

/// How one receiver stands with an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub receiver: ReceiverName,
    /// When it was told that it opened, or came back, last.
    pub told_at: Timestamp,
    /// Reminders so far, those that one message stood for included.
    pub reminded: u32,
    /// What it was not told while that was muted; `None`: nothing.
    pub owed: Option<Reason>,
    /// The cause that it was told of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knows: Option<Cause>,
}

spelled!(
    State {
        Open = "open",
        /// All that failed passes again.
        Resolved = "resolved",
        /// Closed while it was last seen failing: what failed is no longer asked, or no longer as it was.
        Unwatched = "unwatched",
    }
);

/// A change that was noticed near the onset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// When it was seen first.
    pub at: Timestamp,
    /// A phrase that can follow a name ("Cloudflare appeared in front of webcache.gmc-uk.org").
    pub text: String,
    /// Probability that a change falls so near to an onset by chance.
    #[serde(with = "fraction")]
    pub chance: f64,
    /// Whether it probably has to do with the incident.
    pub related: bool,
}

/// That somebody looks after an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub at: Timestamp,
    /// As their system names them (`alice`, `<@U123>`).
    pub by: String,
}

/// What somebody says of who looks after an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Care {
    /// They do.
    Taken(Acknowledged),
    /// Nobody does any more.
    Released(Acknowledged),
}

impl Care {
    /// Who says so, and when.
    #[must_use]
    pub fn by(&self) -> &Acknowledged {
        match self {
            Self::Taken(by) | Self::Released(by) => by,
        }
    }
}

/// A cell of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentCell {
    pub cell: CellKey,
    pub kind: Kind,
    pub failing: bool,
    pub since: Timestamp,
    pub last_at: Timestamp,
    /// What it asked when it failed, as [`super::plan::Plan::mark`] says it; `None`: not noted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// What is kept of one run as evidence: no secrets, bounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Specimen {
    pub cell: CellKey,
    pub at: Timestamp,
    pub method: String,
    /// Without query values that came from credentials.
    pub url: String,
    /// Request headers as sent, `User-Agent` among them; placeholders in place of secrets.
    pub request_headers: Vec<(String, String)>,
    /// The request body with placeholders in place of secrets; at most 4 KiB.
    pub request_body: Option<String>,
    pub local: Option<String>,
    pub public: Option<String>,
    pub remote: Option<String>,
    pub resolved: Vec<String>,
    pub status: Option<u16>,
    pub http: Option<String>,
    /// Only headers from the allow-list of `words/evidence.rs`.
    pub response_headers: Vec<(String, String)>,
    /// At most 300 characters of the page's own words, control characters removed.
    pub excerpt: Option<String>,
    pub body_sha256: Option<String>,
    pub failure: Option<String>,
    #[serde(rename = "took_ns", with = "nanos")]
    pub took: Duration,
    /// `(phase, time)` in the order of the phases reached.
    #[serde(rename = "phases_ns", with = "nanos_named")]
    pub phases: Vec<(String, Duration)>,
    pub certificate: Option<String>,
    /// Ways from the certificate to roots that the client trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ChainPath>,
    /// How it looked to an edge; `None`: not noted by the version that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    pub verdict: Verdict,
}

/// A fact in the life of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub what: Happening,
    /// A plain sentence.
    pub text: String,
}

spelled!(
    Happening {
        Opened = "opened",
        Changed = "changed",
        Resolved = "resolved",
        Reopened = "reopened",
        /// A cell joined or left.
        Cells = "cells",
        ExtraRun = "extra_run",
        /// The partner's front, or something of ours, changed.
        Drift = "drift",
        Acknowledged = "acknowledged",
        /// Nobody looks after it any more.
        Released = "released",
        /// What a person wrote beside it.
        Note = "note",
        /// Told to nobody for a while, or told again.
        Muted = "muted",
        /// It falls into maintenance, or that is over.
        Maintenance = "maintenance",
        /// Closed because what failed is no longer asked as it was.
        Removed = "removed",
    }
);
