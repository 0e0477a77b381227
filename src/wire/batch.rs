//! Runs of a site, gathered and packed into one message.
//!
//! Cells are numbers in the table of the plan's generation. Most runs pass and look alike, so what passing runs share
//! (addresses, TLS, headers, verdict) is said once in a batch as a *manner*, and each run says which is its own. A run
//! that did not pass, or passed in an odd way, travels whole, in the one form that runs have elsewhere too.
//!
//! Of a run that travels by its manner these are left out: its body, values of headers that say nothing of the front,
//! the port it came from, and what is finer than a microsecond.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::{MESSAGE_BYTES_MAX, Unreadable, VERSION, check, deflate, inflate};
use crate::domain::cell::CellKey;
use crate::domain::judged::Judged;
use crate::domain::observation::{
    Answer, Body, HttpVersion, Observation, Phases, Purpose, Route, TlsFacts,
};
use crate::domain::sent::Sent;
use crate::domain::verdict::{Evidence, Kind, Maker, Strength, Verdict};

/// Of a body that failed, so many bytes travel.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The body of a control that passed travels when it is this small: it may tell the public address.
const ECHO_BYTES_MAX: usize = 2 << 10;
/// What a batch holds unpacked, at most; a single run may be larger.
pub const BATCH_BYTES_MAX: usize = 64 << 10;
/// Headers whose values tell something of the front; of others the name alone travels with a pass.
const TELLING: [&str; 5] = [
    "cf-ray",
    "location",
    "server",
    "x-amz-cf-pop",
    "x-served-by",
];

/// What stands on a batch, outside: readable without unpacking it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Head {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// A random number for each start of an agent.
    #[prost(fixed64, tag = "2")]
    pub boot: u64,
    /// From 1, without gaps within a boot.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Of the plan, whose table names the cells.
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    /// When it was sent, microseconds since 1970 by the agent's clock.
    #[prost(sint64, tag = "5")]
    pub sent_us: i64,
    /// Every run that ended before is in this or an earlier batch.
    #[prost(sint64, tag = "6")]
    pub complete_until_us: i64,
    /// All earlier numbers of this boot are stored.
    #[prost(uint64, tag = "7")]
    pub acked_below: u64,
    /// Runs that the spool had to drop, all since the start.
    #[prost(uint64, tag = "8")]
    pub dropped: u64,
    /// What is to be added to the agent's times, and how far that may be off; microseconds.
    #[prost(message, optional, tag = "9")]
    pub clock: Option<ClockSaid>,
    /// It waited in the spool: what it saw may be over.
    #[prost(bool, tag = "10")]
    pub from_spool: bool,
    /// The packed `Load`.
    #[prost(bytes = "vec", tag = "15")]
    pub load: Vec<u8>,
}

/// What an agent knows of its own clock, against the hub's.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ClockSaid {
    #[prost(sint64, tag = "1")]
    pub offset_us: i64,
    #[prost(uint64, tag = "2")]
    pub error_us: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Load {
    /// The start of the first run, microseconds since 1970.
    #[prost(sint64, tag = "1")]
    base_us: i64,
    /// [`Manner`], as JSON.
    #[prost(bytes = "vec", repeated, tag = "2")]
    manners: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    runs: Vec<Run>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Run {
    /// Place in the table of cells.
    #[prost(uint32, tag = "1")]
    cell: u32,
    /// Place among the manners, from 1; 0: it is whole.
    #[prost(uint32, tag = "2")]
    manner: u32,
    /// After the base.
    #[prost(sint64, tag = "3")]
    start_us: i64,
    #[prost(uint64, tag = "4")]
    late_us: u64,
    #[prost(uint64, tag = "5")]
    took_us: u64,
    #[prost(uint64, optional, tag = "6")]
    dns_us: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    connect_us: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    tls_us: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    first_byte_us: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    transfer_us: Option<u64>,
    #[prost(uint64, tag = "11")]
    body_bytes: u64,
    /// What it shows, when it is whole: for a reader that does not know all words of the whole.
    #[prost(string, tag = "12")]
    kind: String,
    /// [`Judged`], as JSON.
    #[prost(bytes = "vec", tag = "13")]
    whole: Vec<u8>,
}

/// What runs that pass have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manner {
    purpose: Purpose,
    tls: Option<TlsFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<Sent>,
    resolved: Vec<IpAddr>,
    local: Option<IpAddr>,
    remote: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    http: HttpVersion,
    status: u16,
    headers: Vec<(String, String)>,
    verdict: Verdict,
}

fn us(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

/// Whether a run can be said by its manner; `None`: it travels whole.
fn manner(judged: &Judged, control: bool) -> Option<Manner> {
    let (seen, verdict) = (&judged.observation, &judged.verdict);
    let answer = seen.answer.as_ref()?;
    let plain = verdict.kind == Kind::Pass
        && verdict.retry_after.is_none()
        && verdict.kept.is_none()
        && verdict.reference_id.is_none()
        && seen.failure.is_none()
        && seen.hops.is_empty()
        && seen.route.failed.is_empty();
    let echo = control && answer.body.bytes.len() <= ECHO_BYTES_MAX;
    if !plain || echo && !answer.body.bytes.is_empty() {
        return None;
    }
    let headers = answer.headers.iter().map(|(name, value)| {
        let value = match (name.as_str(), TELLING.contains(&name.as_str())) {
            // The rest of it is a number of its own for each request.
            ("cf-ray", _) => value.rfind('-').map_or("", |dash| &value[dash..]),
            (_, true) => value.as_str(),
            (_, false) => "",
        };
        (name.clone(), value.to_owned())
    });
    Some(Manner {
        purpose: seen.purpose,
        tls: seen.tls.clone(),
        sent: seen.sent.clone(),
        resolved: seen.route.resolved.clone(),
        local: seen.route.local.map(|local| local.ip()),
        remote: seen.route.remote,
        proxy: seen.route.proxy.clone(),
        http: answer.http,
        status: answer.status,
        headers: headers.collect(),
        verdict: verdict.clone(),
    })
}

/// Runs on their way into one message.
#[derive(Debug, Default)]
pub struct Gathering {
    base_us: Option<i64>,
    manners: HashMap<Vec<u8>, u32>,
    runs: Vec<Run>,
    bytes: usize,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// A batch that is closed: only its head is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Packed.
    pub load: Vec<u8>,
    pub runs: usize,
    /// When the first and the last of its runs ended.
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Gathering {
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// About what it takes unpacked.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a run in; `cell` is its number in the table, `control` whether its probe is one.
    pub fn add(&mut self, judged: &Judged, cell: u32, control: bool) {
        let seen = &judged.observation;
        let start = seen.started_at.as_microsecond();
        let base = *self.base_us.get_or_insert(start);
        let late = seen.started_at.duration_since(seen.due_at);
        let mut run = Run {
            cell,
            start_us: start.saturating_sub(base),
            late_us: us(Duration::try_from(late).unwrap_or_default()),
            took_us: us(seen.took),
            dns_us: seen.phases.dns.map(us),
            connect_us: seen.phases.connect.map(us),
            tls_us: seen.phases.tls.map(us),
            first_byte_us: seen.phases.first_byte.map(us),
            transfer_us: seen.phases.transfer.map(us),
            ..Run::default()
        };
        let said = manner(judged, control).and_then(|m| serde_json::to_vec(&m).ok());
        if let Some(said) = said {
            let next = self.manners.len() as u32 + 1;
            let size = said.len();
            let place = *self.manners.entry(said).or_insert(next);
            self.bytes += if place == next { size } else { 0 };
            run.manner = place;
            run.body_bytes = seen.answer.as_ref().map_or(0, |a| a.body.wire_bytes);
        } else {
            judged.verdict.kind.as_str().clone_into(&mut run.kind);
            run.whole = whole(judged);
        }
        self.bytes += 40 + run.whole.len();
        self.runs.push(run);
        let ended = seen
            .started_at
            .checked_add(seen.took)
            .unwrap_or(seen.started_at);
        self.first = Some(self.first.map_or(ended, |first| first.min(ended)));
        self.last = Some(self.last.map_or(ended, |last| last.max(ended)));
    }

    /// Packs what was gathered; `None` when that is nothing.
    pub fn close(&mut self) -> Option<Closed> {
        let gathered = std::mem::take(self);
        let (first, last) = (gathered.first?, gathered.last?);
        let runs = gathered.runs.len();
        let mut manners = vec![Vec::new(); gathered.manners.len()];
        for (said, place) in gathered.manners {
            manners[place as usize - 1] = said;
        }
        let load = Load {
            base_us: gathered.base_us.unwrap_or_default(),
            manners,
            runs: gathered.runs,
        };
        let mut packed = deflate(&load.encode_to_vec());
        if packed.len() > MESSAGE_BYTES_MAX {
            // Only bodies are that large.
            let mut bare = load;
            for run in &mut bare.runs {
                run.whole.clear();
            }
            packed = deflate(&bare.encode_to_vec());
        }
        Some(Closed {
            load: packed,
            runs,
            first,
            last,
        })
    }
}

/// A run with its body cut to what travels.
fn whole(judged: &Judged) -> Vec<u8> {
    let body = judged.observation.answer.as_ref().map(|a| &a.body);
    let long = body.is_some_and(|body| body.bytes.len() > BODY_BYTES_MAX);
    let written = if long {
        let mut cut = judged.clone();
        if let Some(answer) = &mut cut.observation.answer {
            answer.body.bytes.truncate(BODY_BYTES_MAX);
            answer.body.truncated = true;
        }
        serde_json::to_vec(&cut)
    } else {
        serde_json::to_vec(judged)
    };
    // A run always has a form.
    written.unwrap_or_default()
}

/// Puts a head on a load.
#[must_use]
pub fn seal(head: Head) -> Vec<u8> {
    Head {
        version: VERSION,
        ..head
    }
    .encode_to_vec()
}

/// Reads a message as far as its head.
///
/// # Errors
/// [`Unreadable`]: it is no batch, or of a version that this program does not read.
pub fn open(message: &[u8]) -> Result<Head, Unreadable> {
    let head = Head::decode(message)?;
    check(head.version)?;
    Ok(head)
}

/// What a batch held.
#[derive(Debug, Default, PartialEq)]
pub struct Unpacked {
    pub runs: Vec<Judged>,
    /// Runs of cells that the table does not have: they are not the site's.
    pub strangers: usize,
}

/// Unpacks the runs of a batch; `cell` says what a number stands for.
///
/// # Errors
/// [`Unreadable`]: it is no load of ours.
pub fn unpack<'a>(
    load: &[u8],
    cell: impl Fn(u32) -> Option<&'a CellKey>,
) -> Result<Unpacked, Unreadable> {
    let load = Load::decode(inflate(load)?.as_slice())?;
    let manners: Vec<Option<Manner>> = load
        .manners
        .iter()
        .map(|said| serde_json::from_slice(said).ok())
        .collect();
    let mut unpacked = Unpacked::default();
    for run in load.runs {
        let Some(key) = cell(run.cell) else {
            unpacked.strangers += 1;
            continue;
        };
        let said = match run.manner {
            0 => None,
            place => manners.get(place as usize - 1).and_then(Option::as_ref),
        };
        unpacked.runs.push(match said {
            Some(said) => by_manner(&run, said, key, load.base_us),
            None => in_whole(&run, key, load.base_us),
        });
    }
    Ok(unpacked)
}

/// An instant that a message says; one that is none is the beginning of time, and so is history.
fn instant(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_default()
}

fn frame(run: &Run, cell: &CellKey, base_us: i64) -> Observation {
    let started_at = instant(base_us.saturating_add(run.start_us));
    let late = Duration::from_micros(run.late_us);
    Observation {
        cell: cell.clone(),
        purpose: Purpose::Schedule,
        due_at: started_at.checked_sub(late).unwrap_or(started_at),
        started_at,
        took: Duration::from_micros(run.took_us),
        phases: Phases {
            dns: run.dns_us.map(Duration::from_micros),
            connect: run.connect_us.map(Duration::from_micros),
            tls: run.tls_us.map(Duration::from_micros),
            first_byte: run.first_byte_us.map(Duration::from_micros),
            transfer: run.transfer_us.map(Duration::from_micros),
        },
        route: Route::default(),
        tls: None,
        sent: None,
        hops: Vec::new(),
        answer: None,
        failure: None,
    }
}

fn by_manner(run: &Run, said: &Manner, cell: &CellKey, base_us: i64) -> Judged {
    Judged {
        observation: Observation {
            purpose: said.purpose,
            route: Route {
                resolved: said.resolved.clone(),
                ttl: None,
                local: said.local.map(|ip| SocketAddr::new(ip, 0)),
                remote: said.remote,
                proxy: said.proxy.clone(),
                failed: Vec::new(),
            },
            tls: said.tls.clone(),
            sent: said.sent.clone(),
            answer: Some(Answer {
                http: said.http,
                status: said.status,
                headers: said.headers.clone(),
                body: Body {
                    wire_bytes: run.body_bytes,
                    ..Body::default()
                },
            }),
            ..frame(run, cell, base_us)
        },
        verdict: said.verdict.clone(),
    }
}

/// A run that came whole; one whose words this version does not all know is unexpected, with the word beside it.
fn in_whole(run: &Run, cell: &CellKey, base_us: i64) -> Judged {
    if let Ok(mut judged) = serde_json::from_slice::<Judged>(&run.whole) {
        judged.observation.cell = cell.clone();
        return judged;
    }
    let kind = Kind::from_word(&run.kind);
    let mut verdict = Verdict::new(kind.unwrap_or(Kind::Unexpected), Maker::Unknown);
    let text = match kind {
        Some(kind) => {
            format!("the site says {kind}, and the rest of it is too large or not for this version")
        }
        None => format!(
            "the site says {:?}, a word that this version does not know",
            run.kind
        ),
    };
    verdict.evidence.push(Evidence::new(Strength::Weak, text));
    Judged {
        observation: frame(run, cell, base_us),
        verdict,
    }
}
