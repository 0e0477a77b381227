//! The stored form of incidents and briefings: JSON of our own shape, so that the domain can move.
//!
//! A mirror says what is stored; `VERSION` stands beside each document. Reading is kind to what an older
//! version left out (`default`) and strict about words nobody knows.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::cell::{
    CellKey, ClientName, CredentialName, EgressName, ProbeName, ReceiverName,
};
use crate::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use crate::domain::incident::{
    Acknowledged, Answered, Beside, Happening, Incident, IncidentCell, Muted, Specimen, Standing,
    State, Subject, Telling,
};
use crate::domain::notification::{Briefing, CellLine, Plain, Reason};
use crate::domain::probe::Words;
use crate::domain::verdict::{Evidence, Factor, Kind, Maker, Rule, Strength, Verdict, WhoActs};

/// Shape of the documents below.
pub(super) const VERSION: i64 = 1;

pub(super) fn write_incident(incident: &Incident) -> Result<String, String> {
    serde_json::to_string(&IncidentDoc::from(incident)).map_err(|e| e.to_string())
}

pub(super) fn read_incident(version: i64, text: &str) -> Result<Incident, String> {
    known(version)?;
    let doc: IncidentDoc = serde_json::from_str(text).map_err(|e| e.to_string())?;
    doc.try_into()
}

pub(super) fn write_briefing(briefing: &Briefing) -> Result<String, String> {
    serde_json::to_string(&BriefingDoc::from(briefing)).map_err(|e| e.to_string())
}

pub(super) fn read_briefing(version: i64, text: &str) -> Result<Briefing, String> {
    known(version)?;
    let doc: BriefingDoc = serde_json::from_str(text).map_err(|e| e.to_string())?;
    doc.try_into()
}

fn known(version: i64) -> Result<(), String> {
    if (1..=VERSION).contains(&version) {
        return Ok(());
    }
    Err(format!(
        "it has shape {version}, this edgewatch knows up to {VERSION}"
    ))
}

/// `probe, egress, client, credential`.
type CellDoc = [String; 4];

fn cell_doc(cell: &CellKey) -> CellDoc {
    [
        cell.probe.as_str().to_owned(),
        cell.egress.as_str().to_owned(),
        cell.client.as_str().to_owned(),
        cell.credential.as_str().to_owned(),
    ]
}

fn cell(doc: &CellDoc) -> CellKey {
    let [probe, egress, client, credential] = doc;
    CellKey {
        probe: ProbeName::new(probe),
        egress: EgressName::new(egress),
        client: ClientName::new(client),
        credential: CredentialName::new(credential),
    }
}

fn at(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|e| format!("{text:?} is no instant: {e}"))
}

fn at_option(text: Option<&String>) -> Result<Option<Timestamp>, String> {
    text.map(|t| at(t)).transpose()
}

fn word<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    read(text).ok_or_else(|| format!("{text:?} is no word of this version"))
}

/// Nanoseconds; beyond 584 years all the same.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// As text: JSON numbers lose the last digit on the way.
fn float_doc(value: f64) -> String {
    value.to_string()
}

fn float(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text:?} is no fraction"))
}

#[derive(Serialize, Deserialize)]
struct IncidentDoc {
    number: u64,
    resolved: bool,
    /// `None`: our own network.
    host: Option<String>,
    partner: Option<String>,
    onset_at: String,
    opened_at: String,
    resolved_at: Option<String>,
    reopened: u32,
    reopened_at: Option<String>,
    last_good_at: Option<String>,
    probes: Vec<String>,
    kind: String,
    diagnosis: DiagnosisDoc,
    cells: Vec<IncidentCellDoc>,
    #[serde(default)]
    beside: Vec<BesideDoc>,
    acknowledged: Option<AcknowledgedDoc>,
    failing: Option<SpecimenDoc>,
    passing: Option<SpecimenDoc>,
    reference_ids: Vec<String>,
    failed_runs: u32,
    extra_runs: u32,
    told: u32,
    reminded: u32,
    last_told_at: Option<String>,
    told_receivers: Vec<String>,
    #[serde(default)]
    telling: TellingDoc,
}

impl From<&Incident> for IncidentDoc {
    fn from(incident: &Incident) -> Self {
        Self {
            number: incident.number,
            resolved: incident.state == State::Resolved,
            host: match &incident.subject {
                Subject::Host(host) => Some(host.clone()),
                Subject::Partner(_) | Subject::OurNetwork => None,
            },
            partner: match &incident.subject {
                Subject::Partner(partner) => Some(partner.clone()),
                Subject::Host(_) | Subject::OurNetwork => None,
            },
            onset_at: incident.onset_at.to_string(),
            opened_at: incident.opened_at.to_string(),
            resolved_at: incident.resolved_at.map(|t| t.to_string()),
            reopened: incident.reopened,
            reopened_at: incident.reopened_at.map(|t| t.to_string()),
            last_good_at: incident.last_good_at.map(|t| t.to_string()),
            probes: incident.probes.iter().map(ToString::to_string).collect(),
            kind: incident.kind.as_str().to_owned(),
            diagnosis: (&incident.diagnosis).into(),
            cells: incident.cells.iter().map(Into::into).collect(),
            beside: incident
                .beside
                .iter()
                .map(|beside| BesideDoc {
                    at: beside.at.to_string(),
                    text: beside.text.clone(),
                    chance: float_doc(beside.chance),
                    related: beside.related,
                })
                .collect(),
            acknowledged: incident.acknowledged.as_ref().map(Into::into),
            failing: incident.failing.as_ref().map(Into::into),
            passing: incident.passing.as_ref().map(Into::into),
            reference_ids: incident.reference_ids.clone(),
            failed_runs: incident.failed_runs,
            extra_runs: incident.extra_runs,
            told: incident.told,
            reminded: incident.reminded,
            last_told_at: incident.last_told_at.map(|t| t.to_string()),
            told_receivers: incident
                .told_receivers
                .iter()
                .map(ToString::to_string)
                .collect(),
            telling: (&incident.telling).into(),
        }
    }
}

impl TryFrom<IncidentDoc> for Incident {
    type Error = String;

    fn try_from(doc: IncidentDoc) -> Result<Self, String> {
        Ok(Self {
            number: doc.number,
            state: if doc.resolved {
                State::Resolved
            } else {
                State::Open
            },
            subject: match (doc.host, doc.partner) {
                (Some(host), _) => Subject::Host(host),
                (None, Some(partner)) => Subject::Partner(partner),
                (None, None) => Subject::OurNetwork,
            },
            onset_at: at(&doc.onset_at)?,
            opened_at: at(&doc.opened_at)?,
            resolved_at: at_option(doc.resolved_at.as_ref())?,
            reopened: doc.reopened,
            reopened_at: at_option(doc.reopened_at.as_ref())?,
            last_good_at: at_option(doc.last_good_at.as_ref())?,
            probes: doc.probes.iter().map(|p| ProbeName::new(p)).collect(),
            kind: word(&doc.kind, Kind::from_word)?,
            diagnosis: doc.diagnosis.try_into()?,
            cells: all(doc.cells)?,
            beside: all(doc.beside)?,
            acknowledged: doc.acknowledged.map(TryInto::try_into).transpose()?,
            failing: doc.failing.map(TryInto::try_into).transpose()?,
            passing: doc.passing.map(TryInto::try_into).transpose()?,
            reference_ids: doc.reference_ids,
            failed_runs: doc.failed_runs,
            extra_runs: doc.extra_runs,
            told: doc.told,
            reminded: doc.reminded,
            last_told_at: at_option(doc.last_told_at.as_ref())?,
            told_receivers: doc
                .told_receivers
                .iter()
                .map(|r| ReceiverName::new(r))
                .collect(),
            telling: doc.telling.try_into()?,
        })
    }
}

/// Reads each of many, or says why one can't be.
fn all<D, T: TryFrom<D, Error = String>>(docs: Vec<D>) -> Result<Vec<T>, String> {
    docs.into_iter().map(TryInto::try_into).collect()
}

#[derive(Serialize, Deserialize)]
struct IncidentCellDoc {
    cell: CellDoc,
    kind: String,
    failing: bool,
    since: String,
    last_at: String,
}

impl From<&IncidentCell> for IncidentCellDoc {
    fn from(held: &IncidentCell) -> Self {
        Self {
            cell: cell_doc(&held.cell),
            kind: held.kind.as_str().to_owned(),
            failing: held.failing,
            since: held.since.to_string(),
            last_at: held.last_at.to_string(),
        }
    }
}

impl TryFrom<IncidentCellDoc> for IncidentCell {
    type Error = String;

    fn try_from(doc: IncidentCellDoc) -> Result<Self, String> {
        Ok(Self {
            cell: cell(&doc.cell),
            kind: word(&doc.kind, Kind::from_word)?,
            failing: doc.failing,
            since: at(&doc.since)?,
            last_at: at(&doc.last_at)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LevelDoc {
    Egress(String),
    Client(String),
    Credential(String),
    Probe(String),
    Region { name: String, egresses: Vec<String> },
    Family { name: String, clients: Vec<String> },
    Http { name: String, clients: Vec<String> },
    Method { name: String, probes: Vec<String> },
    Path { name: String, probes: Vec<String> },
    Host { name: String, probes: Vec<String> },
}

fn texts<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn names<T>(texts: &[String], new: impl Fn(&str) -> T) -> Vec<T> {
    texts.iter().map(|text| new(text)).collect()
}

impl From<&Level> for LevelDoc {
    fn from(level: &Level) -> Self {
        match level {
            Level::Egress(name) => Self::Egress(name.to_string()),
            Level::Client(name) => Self::Client(name.to_string()),
            Level::Credential(name) => Self::Credential(name.to_string()),
            Level::Probe(name) => Self::Probe(name.to_string()),
            Level::Region { name, egresses } => Self::Region {
                name: name.clone(),
                egresses: texts(egresses),
            },
            Level::Family { name, clients } => Self::Family {
                name: name.clone(),
                clients: texts(clients),
            },
            Level::Http { version, clients } => Self::Http {
                name: version.clone(),
                clients: texts(clients),
            },
            Level::Method { name, probes } => Self::Method {
                name: name.clone(),
                probes: texts(probes),
            },
            Level::Path { name, probes } => Self::Path {
                name: name.clone(),
                probes: texts(probes),
            },
            Level::Host { name, probes } => Self::Host {
                name: name.clone(),
                probes: texts(probes),
            },
        }
    }
}

impl From<LevelDoc> for Level {
    fn from(doc: LevelDoc) -> Self {
        match doc {
            LevelDoc::Egress(name) => Self::Egress(EgressName::new(&name)),
            LevelDoc::Client(name) => Self::Client(ClientName::new(&name)),
            LevelDoc::Credential(name) => Self::Credential(CredentialName::new(&name)),
            LevelDoc::Probe(name) => Self::Probe(ProbeName::new(&name)),
            LevelDoc::Region { name, egresses } => Self::Region {
                name,
                egresses: names(&egresses, EgressName::new),
            },
            LevelDoc::Family {
                name,
                clients: list,
            } => Self::Family {
                name,
                clients: names(&list, ClientName::new),
            },
            LevelDoc::Http {
                name,
                clients: list,
            } => Self::Http {
                version: name,
                clients: names(&list, ClientName::new),
            },
            LevelDoc::Method { name, probes: list } => Self::Method {
                name,
                probes: names(&list, ProbeName::new),
            },
            LevelDoc::Path { name, probes: list } => Self::Path {
                name,
                probes: names(&list, ProbeName::new),
            },
            LevelDoc::Host { name, probes: list } => Self::Host {
                name,
                probes: names(&list, ProbeName::new),
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CauseDoc {
    Level(LevelDoc),
    Together(Vec<LevelDoc>),
    AnyOf(Vec<CauseDoc>),
    Everything,
    Pop(String),
    OwnRate { per_minute: u32, by_egress: bool },
    OurNetwork { egresses: Vec<String> },
    Unknown { among: Vec<LevelDoc> },
}

impl From<&Cause> for CauseDoc {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Level(level) => Self::Level(level.into()),
            Cause::Together(levels) => Self::Together(levels.iter().map(Into::into).collect()),
            Cause::AnyOf(causes) => Self::AnyOf(causes.iter().map(Into::into).collect()),
            Cause::Everything => Self::Everything,
            Cause::Pop(name) => Self::Pop(name.clone()),
            Cause::OwnRate {
                per_minute,
                by_egress,
            } => Self::OwnRate {
                per_minute: *per_minute,
                by_egress: *by_egress,
            },
            Cause::OurNetwork { egresses } => Self::OurNetwork {
                egresses: egresses.iter().map(ToString::to_string).collect(),
            },
            Cause::Unknown { among } => Self::Unknown {
                among: among.iter().map(Into::into).collect(),
            },
        }
    }
}

impl From<CauseDoc> for Cause {
    fn from(doc: CauseDoc) -> Self {
        match doc {
            CauseDoc::Level(level) => Self::Level(level.into()),
            CauseDoc::Together(levels) => {
                Self::Together(levels.into_iter().map(Into::into).collect())
            }
            CauseDoc::AnyOf(causes) => Self::AnyOf(causes.into_iter().map(Into::into).collect()),
            CauseDoc::Everything => Self::Everything,
            CauseDoc::Pop(name) => Self::Pop(name),
            CauseDoc::OwnRate {
                per_minute,
                by_egress,
            } => Self::OwnRate {
                per_minute,
                by_egress,
            },
            CauseDoc::OurNetwork { egresses } => Self::OurNetwork {
                egresses: egresses.iter().map(|e| EgressName::new(e)).collect(),
            },
            CauseDoc::Unknown { among } => Self::Unknown {
                among: among.into_iter().map(Into::into).collect(),
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct BesideDoc {
    at: String,
    text: String,
    chance: String,
    related: bool,
}

impl TryFrom<BesideDoc> for Beside {
    type Error = String;

    fn try_from(doc: BesideDoc) -> Result<Self, String> {
        Ok(Self {
            at: at(&doc.at)?,
            text: doc.text,
            chance: float(&doc.chance)?,
            related: doc.related,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct AcknowledgedDoc {
    at: String,
    by: String,
}

impl From<&Acknowledged> for AcknowledgedDoc {
    fn from(acknowledged: &Acknowledged) -> Self {
        Self {
            at: acknowledged.at.to_string(),
            by: acknowledged.by.clone(),
        }
    }
}

impl TryFrom<AcknowledgedDoc> for Acknowledged {
    type Error = String;

    fn try_from(doc: AcknowledgedDoc) -> Result<Self, String> {
        Ok(Self {
            at: at(&doc.at)?,
            by: doc.by,
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct TellingDoc {
    muted: Option<MutedDoc>,
    during: Vec<String>,
    receivers: Vec<StandingDoc>,
    #[serde(default)]
    answer: Option<AnsweredDoc>,
}

#[derive(Serialize, Deserialize)]
struct AnsweredDoc {
    text: String,
    told_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct MutedDoc {
    at: String,
    until: String,
    by: Vec<String>,
    #[serde(default)]
    silences: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct StandingDoc {
    receiver: String,
    told_at: String,
    reminded: u32,
    owed: Option<String>,
}

impl From<&Telling> for TellingDoc {
    fn from(telling: &Telling) -> Self {
        let standings = telling.receivers.iter().map(|standing| StandingDoc {
            receiver: standing.receiver.to_string(),
            told_at: standing.told_at.to_string(),
            reminded: standing.reminded,
            owed: standing.owed.map(|reason| reason.as_str().to_owned()),
        });
        Self {
            muted: telling.muted.as_ref().map(Into::into),
            during: telling.during.clone(),
            receivers: standings.collect(),
            answer: telling.answer.as_ref().map(|answer| AnsweredDoc {
                text: answer.text.clone(),
                told_at: answer.told_at.map(|at| at.to_string()),
            }),
        }
    }
}

impl From<&Muted> for MutedDoc {
    fn from(muted: &Muted) -> Self {
        Self {
            at: muted.at.to_string(),
            until: muted.until.to_string(),
            by: muted.by.clone(),
            silences: muted.silences.clone(),
        }
    }
}

impl TryFrom<TellingDoc> for Telling {
    type Error = String;

    fn try_from(doc: TellingDoc) -> Result<Self, String> {
        Ok(Self {
            muted: doc.muted.map(TryInto::try_into).transpose()?,
            during: doc.during,
            receivers: all(doc.receivers)?,
            answer: doc.answer.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<AnsweredDoc> for Answered {
    type Error = String;

    fn try_from(doc: AnsweredDoc) -> Result<Self, String> {
        Ok(Self {
            text: doc.text,
            told_at: at_option(doc.told_at.as_ref())?,
        })
    }
}

impl TryFrom<MutedDoc> for Muted {
    type Error = String;

    fn try_from(doc: MutedDoc) -> Result<Self, String> {
        Ok(Self {
            at: at(&doc.at)?,
            until: at(&doc.until)?,
            by: doc.by,
            silences: doc.silences,
        })
    }
}

impl TryFrom<StandingDoc> for Standing {
    type Error = String;

    fn try_from(doc: StandingDoc) -> Result<Self, String> {
        let owed = doc.owed.map(|reason| word(&reason, Reason::from_word));
        Ok(Self {
            receiver: ReceiverName::new(&doc.receiver),
            told_at: at(&doc.told_at)?,
            reminded: doc.reminded,
            owed: owed.transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct DiagnosisDoc {
    cause: CauseDoc,
    confidence: String,
    fails: Option<String>,
    failing: Vec<CellDoc>,
    passing: Vec<CellDoc>,
    ruled_out: Vec<RuledOutDoc>,
    would_tell: Option<String>,
}

impl From<&Diagnosis> for DiagnosisDoc {
    fn from(diagnosis: &Diagnosis) -> Self {
        Self {
            cause: (&diagnosis.cause).into(),
            confidence: float_doc(diagnosis.confidence),
            fails: diagnosis.fails.map(float_doc),
            failing: diagnosis.failing.iter().map(cell_doc).collect(),
            passing: diagnosis.passing.iter().map(cell_doc).collect(),
            ruled_out: diagnosis.ruled_out.iter().map(Into::into).collect(),
            would_tell: diagnosis.would_tell.clone(),
        }
    }
}

impl TryFrom<DiagnosisDoc> for Diagnosis {
    type Error = String;

    fn try_from(doc: DiagnosisDoc) -> Result<Self, String> {
        Ok(Self {
            cause: doc.cause.into(),
            confidence: float(&doc.confidence)?,
            fails: doc.fails.as_deref().map(float).transpose()?,
            failing: doc.failing.iter().map(cell).collect(),
            passing: doc.passing.iter().map(cell).collect(),
            ruled_out: all(doc.ruled_out)?,
            would_tell: doc.would_tell,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RuledOutDoc {
    factor: String,
    because: String,
    failing: Option<CellDoc>,
    passing: Option<CellDoc>,
}

impl From<&RuledOut> for RuledOutDoc {
    fn from(ruled_out: &RuledOut) -> Self {
        Self {
            factor: ruled_out.factor.as_str().to_owned(),
            because: ruled_out.because.clone(),
            failing: ruled_out.failing.as_ref().map(cell_doc),
            passing: ruled_out.passing.as_ref().map(cell_doc),
        }
    }
}

impl TryFrom<RuledOutDoc> for RuledOut {
    type Error = String;

    fn try_from(doc: RuledOutDoc) -> Result<Self, String> {
        Ok(Self {
            factor: word(&doc.factor, Factor::from_word)?,
            because: doc.because,
            failing: doc.failing.as_ref().map(cell),
            passing: doc.passing.as_ref().map(cell),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct SpecimenDoc {
    cell: CellDoc,
    at: String,
    method: String,
    url: String,
    request_headers: Vec<(String, String)>,
    request_body: Option<String>,
    local: Option<String>,
    public: Option<String>,
    remote: Option<String>,
    resolved: Vec<String>,
    status: Option<u16>,
    http: Option<String>,
    response_headers: Vec<(String, String)>,
    excerpt: Option<String>,
    body_sha256: Option<String>,
    failure: Option<String>,
    took_ns: u64,
    phases_ns: Vec<(String, u64)>,
    certificate: Option<String>,
    verdict: VerdictDoc,
}

impl From<&Specimen> for SpecimenDoc {
    fn from(specimen: &Specimen) -> Self {
        Self {
            cell: cell_doc(&specimen.cell),
            at: specimen.at.to_string(),
            method: specimen.method.clone(),
            url: specimen.url.clone(),
            request_headers: specimen.request_headers.clone(),
            request_body: specimen.request_body.clone(),
            local: specimen.local.clone(),
            public: specimen.public.clone(),
            remote: specimen.remote.clone(),
            resolved: specimen.resolved.clone(),
            status: specimen.status,
            http: specimen.http.clone(),
            response_headers: specimen.response_headers.clone(),
            excerpt: specimen.excerpt.clone(),
            body_sha256: specimen.body_sha256.clone(),
            failure: specimen.failure.clone(),
            took_ns: nanos(specimen.took),
            phases_ns: specimen
                .phases
                .iter()
                .map(|(phase, time)| (phase.clone(), nanos(*time)))
                .collect(),
            certificate: specimen.certificate.clone(),
            verdict: (&specimen.verdict).into(),
        }
    }
}

impl TryFrom<SpecimenDoc> for Specimen {
    type Error = String;

    fn try_from(doc: SpecimenDoc) -> Result<Self, String> {
        Ok(Self {
            cell: cell(&doc.cell),
            at: at(&doc.at)?,
            method: doc.method,
            url: doc.url,
            request_headers: doc.request_headers,
            request_body: doc.request_body,
            local: doc.local,
            public: doc.public,
            remote: doc.remote,
            resolved: doc.resolved,
            status: doc.status,
            http: doc.http,
            response_headers: doc.response_headers,
            excerpt: doc.excerpt,
            body_sha256: doc.body_sha256,
            failure: doc.failure,
            took: Duration::from_nanos(doc.took_ns),
            phases: doc
                .phases_ns
                .into_iter()
                .map(|(phase, ns)| (phase, Duration::from_nanos(ns)))
                .collect(),
            certificate: doc.certificate,
            verdict: doc.verdict.try_into()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct VerdictDoc {
    kind: String,
    maker: String,
    vendor: String,
    fronted_by: String,
    rule: String,
    code: Option<String>,
    reference_id: Option<String>,
    who_acts: String,
    /// `(strength, text)`.
    evidence: Vec<(String, String)>,
    hints: Vec<String>,
    pop: Option<String>,
    retry_after_ns: Option<u64>,
}

impl From<&Verdict> for VerdictDoc {
    fn from(verdict: &Verdict) -> Self {
        Self {
            kind: verdict.kind.as_str().to_owned(),
            maker: verdict.maker.as_str().to_owned(),
            vendor: verdict.vendor.to_string(),
            fronted_by: verdict.fronted_by.to_string(),
            rule: verdict.rule.as_str().to_owned(),
            code: verdict.code.clone(),
            reference_id: verdict.reference_id.clone(),
            who_acts: verdict.who_acts.as_str().to_owned(),
            evidence: verdict
                .evidence
                .iter()
                .map(|e| (e.strength.as_str().to_owned(), e.text.clone()))
                .collect(),
            hints: verdict.hints.iter().map(ToString::to_string).collect(),
            pop: verdict.pop.clone(),
            retry_after_ns: verdict.retry_after.map(nanos),
        }
    }
}

impl TryFrom<VerdictDoc> for Verdict {
    type Error = String;

    fn try_from(doc: VerdictDoc) -> Result<Self, String> {
        Ok(Self {
            kind: word(&doc.kind, Kind::from_word)?,
            maker: word(&doc.maker, Maker::from_word)?,
            vendor: Cow::Owned(doc.vendor),
            fronted_by: Cow::Owned(doc.fronted_by),
            rule: word(&doc.rule, Rule::from_word)?,
            code: doc.code,
            reference_id: doc.reference_id,
            who_acts: word(&doc.who_acts, WhoActs::from_word)?,
            evidence: doc
                .evidence
                .into_iter()
                .map(|(strength, text)| {
                    let strength = word(&strength, Strength::from_word)?;
                    Ok(Evidence { strength, text })
                })
                .collect::<Result<_, String>>()?,
            hints: doc
                .hints
                .iter()
                .map(|h| word(h, Factor::from_word))
                .collect::<Result<_, String>>()?,
            pop: doc.pop,
            retry_after: doc.retry_after_ns.map(Duration::from_nanos),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct BriefingDoc {
    service: String,
    incident: u64,
    resolved: bool,
    our_side: bool,
    subject: String,
    probes: Vec<String>,
    kind: String,
    headline: String,
    because: Vec<String>,
    ruled_out: Vec<String>,
    next_step: Option<String>,
    confidence: String,
    cause_known: bool,
    onset_at: String,
    opened_at: String,
    resolved_at: Option<String>,
    reopened: u32,
    #[serde(default)]
    back_since: Option<String>,
    failed_runs: u32,
    /// `(cell, kind, failing)`.
    cells: Vec<(String, String, bool)>,
    expected: String,
    got: String,
    last_good_at: Option<String>,
    failing: Option<SpecimenDoc>,
    passing: Option<SpecimenDoc>,
    reference_ids: Vec<String>,
    words: WordsDoc,
    #[serde(default)]
    beside: Vec<String>,
    acknowledged: Option<AcknowledgedDoc>,
    #[serde(default)]
    plain: PlainDoc,
    #[serde(default)]
    during: Vec<String>,
    #[serde(default)]
    muted: Option<MutedDoc>,
    #[serde(default)]
    held_back: Vec<String>,
    zone: String,
    next_update_at: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct PlainDoc {
    see: Option<String>,
    why: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WordsDoc {
    what: Option<String>,
    affects: Option<String>,
    workaround: Option<String>,
    tell: Option<String>,
}

impl From<&Briefing> for BriefingDoc {
    fn from(briefing: &Briefing) -> Self {
        Self {
            service: briefing.service.clone(),
            incident: briefing.incident,
            resolved: briefing.resolved,
            our_side: briefing.our_side,
            subject: briefing.subject.clone(),
            probes: briefing.probes.clone(),
            kind: briefing.kind.as_str().to_owned(),
            headline: briefing.headline.clone(),
            because: briefing.because.clone(),
            ruled_out: briefing.ruled_out.clone(),
            next_step: briefing.next_step.clone(),
            confidence: float_doc(briefing.confidence),
            cause_known: briefing.cause_known,
            onset_at: briefing.onset_at.to_string(),
            opened_at: briefing.opened_at.to_string(),
            resolved_at: briefing.resolved_at.map(|t| t.to_string()),
            reopened: briefing.reopened,
            back_since: briefing.back_since.map(|t| t.to_string()),
            failed_runs: briefing.failed_runs,
            cells: briefing
                .cells
                .iter()
                .map(|line| (line.cell.clone(), line.kind.to_string(), line.failing))
                .collect(),
            expected: briefing.expected.clone(),
            got: briefing.got.clone(),
            last_good_at: briefing.last_good_at.map(|t| t.to_string()),
            failing: briefing.failing.as_ref().map(Into::into),
            passing: briefing.passing.as_ref().map(Into::into),
            reference_ids: briefing.reference_ids.clone(),
            words: WordsDoc {
                what: briefing.words.what.clone(),
                affects: briefing.words.affects.clone(),
                workaround: briefing.words.workaround.clone(),
                tell: briefing.words.tell.clone(),
            },
            beside: briefing.beside.clone(),
            acknowledged: briefing.acknowledged.as_ref().map(Into::into),
            plain: PlainDoc {
                see: briefing.plain.see.clone(),
                why: briefing.plain.why.clone(),
            },
            during: briefing.during.clone(),
            muted: briefing.muted.as_ref().map(Into::into),
            held_back: briefing.held_back.clone(),
            zone: briefing.zone.clone(),
            next_update_at: briefing.next_update_at.map(|t| t.to_string()),
        }
    }
}

impl TryFrom<BriefingDoc> for Briefing {
    type Error = String;

    fn try_from(doc: BriefingDoc) -> Result<Self, String> {
        Ok(Self {
            service: doc.service,
            incident: doc.incident,
            resolved: doc.resolved,
            our_side: doc.our_side,
            subject: doc.subject,
            probes: doc.probes,
            kind: word(&doc.kind, Kind::from_word)?,
            headline: doc.headline,
            because: doc.because,
            ruled_out: doc.ruled_out,
            next_step: doc.next_step,
            confidence: float(&doc.confidence)?,
            cause_known: doc.cause_known,
            onset_at: at(&doc.onset_at)?,
            opened_at: at(&doc.opened_at)?,
            resolved_at: at_option(doc.resolved_at.as_ref())?,
            reopened: doc.reopened,
            back_since: at_option(doc.back_since.as_ref())?,
            failed_runs: doc.failed_runs,
            cells: doc
                .cells
                .into_iter()
                .map(|(cell, kind, failing)| {
                    let kind = word(&kind, Kind::from_word)?;
                    Ok(CellLine {
                        cell,
                        kind,
                        failing,
                    })
                })
                .collect::<Result<_, String>>()?,
            expected: doc.expected,
            got: doc.got,
            last_good_at: at_option(doc.last_good_at.as_ref())?,
            failing: doc.failing.map(TryInto::try_into).transpose()?,
            passing: doc.passing.map(TryInto::try_into).transpose()?,
            reference_ids: doc.reference_ids,
            words: Words {
                what: doc.words.what,
                affects: doc.words.affects,
                workaround: doc.words.workaround,
                tell: doc.words.tell,
            },
            beside: doc.beside,
            acknowledged: doc.acknowledged.map(TryInto::try_into).transpose()?,
            plain: Plain {
                see: doc.plain.see,
                why: doc.plain.why,
            },
            during: doc.during,
            muted: doc.muted.map(TryInto::try_into).transpose()?,
            held_back: doc.held_back,
            zone: doc.zone,
            next_update_at: at_option(doc.next_update_at.as_ref())?,
        })
    }
}

/// The happening with this spelling, if there is one.
pub(super) fn happening(text: &str) -> Option<Happening> {
    [
        Happening::Opened,
        Happening::Changed,
        Happening::Resolved,
        Happening::Reopened,
        Happening::Cells,
        Happening::ExtraRun,
        Happening::Drift,
        Happening::Acknowledged,
        Happening::Muted,
        Happening::Maintenance,
        Happening::Removed,
    ]
    .into_iter()
    .find(|h| h.as_str() == text)
}
