//! Plays a world through the monitor: a function says what each run would see, time is a number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::{Effect, Event, Judged, Monitor};
use crate::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, HeaderCase, HttpOffer, IpFamily,
    ReceiverName, TlsRange, Way,
};
use crate::domain::change::Change;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::{Acknowledged, Care, Incident, IncidentCell, Subject};
use crate::domain::mute::{Ended, Matcher, Silence};
use crate::domain::notification::{Channel, Notification, Reason, Receiver, Route};
use crate::domain::observation::{Answer, Observation, Phases, Purpose, Route as Path};
use crate::domain::plan::{IncidentPolicy, Plan, Politeness, StorePolicy};
use crate::domain::probe::{Cookies, Expect, Probe, Redirects, Resolver, Schedule, Words};
use crate::domain::surroundings::{Learned, Memory};
use crate::domain::verdict::{Evidence, Kind, Maker, Severity, Strength, Tell, Verdict, WhoActs};
use crate::read::classify::classify_answer;

/// A configuration in a few words.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) plan: Plan,
}

impl Setup {
    /// Clients named `plain` are controls. Egress `n` (from 1) is seen as 203.0.113.n.
    pub(super) fn new(egresses: &[&str], clients: &[&str]) -> Self {
        let egresses = (1..).zip(egresses).map(|(n, name)| Egress {
            name: (*name).into(),
            way: Way::Routes,
            site: None,
            public: Some([203, 0, 113, n].into()),
            region: None,
            family: IpFamily::Any,
        });
        let clients = clients.iter().map(|name| Client {
            name: (*name).into(),
            user_agent: format!("{name}/1.0"),
            http: HttpOffer::default(),
            tls: TlsRange::default(),
            headers: Vec::new(),
            header_case: HeaderCase::default(),
            program: None,
            stands_in_for: None,
            trust: None,
            control: *name == "plain",
        });
        Self {
            plan: Plan {
                service: "GMC".to_owned(),
                zone: TimeZone::UTC,
                egresses: egresses.collect(),
                clients: clients.collect(),
                credentials: vec![Credential {
                    name: "gmc".into(),
                    fields: BTreeMap::new(),
                    missing: None,
                    unfit: BTreeMap::new(),
                    open: std::collections::BTreeSet::new(),
                }],
                probes: Vec::new(),
                politeness: Politeness::default(),
                incidents: IncidentPolicy::default(),
                signatures: Vec::new(),
                receivers: vec![receiver("engineers"), receiver("support")],
                routes: vec![route("engineers", 0, 0.0)],
                maintenance: Vec::new(),
                store: StorePolicy {
                    group: None,
                    path: "edgewatch.db".into(),
                    keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86400)),
                    bytes_max: 1 << 30,
                },
                trust: Vec::new(),
                name_servers: Vec::new(),
                runs_in_flight_max: 100,
                listen: None,
                web: None,
                heartbeat: None,
                watch: true,
                former: crate::domain::renames::Renames::default(),
                nats: None,
                credential_a_day: None,
                shares: std::collections::BTreeMap::new(),
            },
        }
    }

    /// A probe over the whole matrix with credential `gmc`, every five minutes.
    pub(super) fn probe(mut self, name: &str, host: &str) -> Self {
        let clients = self.plan.clients.iter().map(|c| c.name.clone()).collect();
        let probe = Probe {
            name: name.into(),
            url: format!("https://{host}/").parse().unwrap(),
            partner: host.to_owned(),
            method: Method::GET,
            headers: Vec::new(),
            body: None,
            from: self.plan.egresses.iter().map(|e| e.name.clone()).collect(),
            as_clients: clients,
            with: vec!["gmc".into()],
            schedule: Schedule::Every(Duration::from_secs(300)),
            timeout: Duration::from_secs(20),
            expect: Expect::default(),
            origin: crate::domain::condition::Conditions::default(),
            meanings: Vec::new(),
            words: Words::default(),
            redirects: Redirects::No,
            cookies: Cookies::default(),
            body_bytes_max: 1 << 18,
            resolver: Resolver::Own,
            connect_to: None,
            tags: Vec::new(),
            severity: Severity::Warning,
            tell: Tell::Sure,
            control: false,
            ours: false,
            forbid: Default::default(),
        };
        self.plan.probes.push(probe);
        self
    }

    /// A control from every egress, as the last client, without a credential.
    pub(super) fn control(self, name: &str, host: &str, every: u64) -> Self {
        let mut setup = self.probe(name, host);
        let probe = setup.plan.probes.last_mut().unwrap();
        probe.control = true;
        probe.as_clients = vec![probe.as_clients.pop().unwrap()];
        probe.with = vec![CredentialName::anonymous()];
        probe.schedule = Schedule::Every(Duration::from_secs(every));
        setup
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }
}

fn receiver(name: &str) -> Receiver {
    Receiver {
        name: name.into(),
        channel: Channel::Log,
        fallback: None,
    }
}

pub(super) fn route(to: &str, after_seconds: u64, min_confidence: f64) -> Route {
    Route {
        after: Duration::from_secs(after_seconds),
        min_confidence,
        notices: true,
        ..Route::new(to.into())
    }
}

/// What a cell shows while a fault of the partner is on; controls pass.
pub(super) fn kind_at(fault: bool, kind: Kind, cell: &CellKey) -> Kind {
    if fault && cell.probe.as_str() != "internet" {
        kind
    } else {
        Kind::Pass
    }
}

/// A verdict as the classifier would give it.
pub(super) fn verdict(kind: Kind) -> Verdict {
    let maker = match kind {
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::RateLimited | Kind::EdgeError => Maker::Edge,
        Kind::LocalError => Maker::OurSide,
        Kind::Pass | Kind::Warning | Kind::OriginDenied | Kind::OriginError => Maker::Origin,
        _ => Maker::Unknown,
    };
    let mut verdict = Verdict::new(kind, maker);
    if kind == Kind::Warning {
        let text = "certificate valid for 5 more days, wanted 21";
        verdict.evidence.push(Evidence::new(Strength::Strong, text));
    }
    if maker == Maker::Edge {
        verdict.vendor = "cloudflare".into();
        verdict.code = Some("1010".to_owned());
        verdict.reference_id = Some("ray-1".to_owned());
        verdict.who_acts = WhoActs::SiteOwner;
    }
    verdict
}

pub(super) fn said(cause: &Cause) -> String {
    match cause {
        Cause::Level(level) => level.to_string(),
        Cause::Together(levels) => {
            let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
            levels.join(" and ")
        }
        Cause::AnyOf(causes) => causes.iter().map(said).collect::<Vec<_>>().join(" or "),
        Cause::Pop(name) => format!("PoP {name}"),
        Cause::OwnRate { per_minute, .. } => format!("our own rate of {per_minute}"),
        Cause::Everything => "everything".to_owned(),
        Cause::OurNetwork { egresses } => format!("our network {egresses:?}"),
        Cause::OurClients { clients } => format!("our clients {clients:?}"),
        Cause::Unknown { among } => format!("unknown {among:?}"),
    }
}

/// The monitor, the time, and everything it said.
pub(super) struct Play {
    pub(super) monitor: Monitor,
    pub(super) plan: Arc<Plan>,
    /// Seconds since the start of the story.
    pub(super) second: i64,
    /// `(due, order, cell, purpose)`; the order keeps it deterministic.
    queue: BinaryHeap<Reverse<(i64, u64, CellKey, u8)>>,
    order: u64,
    /// `second incident receiver reason cause`, and `second verdict …`.
    pub(super) lines: Vec<String>,
    pub(super) notifications: Vec<Notification>,
    pub(super) changes: Vec<Change>,
    /// Incidents as the store would hold them.
    pub(super) stored: BTreeMap<u64, Incident>,
    /// Silences as the store would hold them.
    silences: Vec<Silence>,
    restarted: bool,
    /// `(second, cell, purpose)` of every extra run.
    pub(super) extra: Vec<(i64, CellKey, Purpose)>,
    /// What was told besides incidents.
    pub(super) notices: Vec<Notification>,
    /// What the store would remember of the surroundings.
    pub(super) memory: Memory,
}

pub(super) fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(second)
}

impl Play {
    pub(super) fn new(setup: Setup) -> Self {
        let plan = Arc::new(setup.plan);
        let mut play = Self {
            monitor: Monitor::new(Arc::clone(&plan), Vec::new(), 1),
            plan,
            second: 0,
            queue: BinaryHeap::new(),
            order: 0,
            lines: Vec::new(),
            notifications: Vec::new(),
            changes: Vec::new(),
            stored: BTreeMap::new(),
            silences: Vec::new(),
            restarted: false,
            extra: Vec::new(),
            notices: Vec::new(),
            memory: Memory::default(),
        };
        play.schedule();
        play
    }

    /// Spreads the cells of the plan over their interval, from the present on.
    fn schedule(&mut self) {
        let plan = Arc::clone(&self.plan);
        let cells: Vec<_> = plan.cells().collect();
        let count = cells.len() as i64;
        for (place, (probe, cell)) in (0..).zip(cells) {
            let Schedule::Every(every) = &probe.schedule else {
                unreachable!("stories have intervals")
            };
            let offset = every.as_secs() as i64 * place / count;
            self.push(self.second + 1 + offset, cell, Purpose::Schedule);
        }
    }

    fn push(&mut self, second: i64, cell: CellKey, purpose: Purpose) {
        self.order += 1;
        self.queue
            .push(Reverse((second, self.order, cell, purpose as u8)));
    }

    /// Plays until `until` seconds; the world says what each cell would show at a second.
    pub(super) fn run(&mut self, until: i64, world: impl Fn(&CellKey, i64) -> Kind) {
        self.run_with(until, |cell, t| (world(cell, t), None));
    }

    /// The same, with the answers of runs where they matter.
    pub(super) fn run_with(
        &mut self,
        until: i64,
        world: impl Fn(&CellKey, i64) -> (Kind, Option<Answer>),
    ) {
        loop {
            let due = self.queue.peek().map(|Reverse((second, ..))| *second);
            let wake = self.monitor.next_wake().map(|wake| {
                // Rounded up: a whole second that is not before it.
                let ahead = wake.duration_since(at(0)).as_secs_f64().ceil();
                (ahead as i64).max(self.second)
            });
            let Some(next) = [due, wake]
                .into_iter()
                .flatten()
                .min()
                .filter(|s| *s <= until)
            else {
                break;
            };
            self.second = self.second.max(next);
            if wake.is_some_and(|wake| wake <= next) {
                let effects = self.monitor.step(Event::Tick, at(self.second));
                self.apply(effects);
                let again = self.monitor.next_wake();
                assert!(
                    again.is_none_or(|again| again > at(self.second)),
                    "a tick at {} leaves the same wake-up due",
                    self.second
                );
                continue;
            }
            let Some(Reverse((due, _, cell, purpose))) = self.queue.pop() else {
                break;
            };
            let purpose = [
                Purpose::Schedule,
                Purpose::Confirm,
                Purpose::Counter,
                Purpose::Asked,
            ][purpose as usize];
            let Some(probe) = self.plan.probe(&cell.probe) else {
                continue;
            };
            if purpose == Purpose::Schedule {
                let Schedule::Every(every) = &probe.schedule else {
                    unreachable!("stories have intervals")
                };
                let again = due + every.as_secs() as i64;
                self.push(again, cell.clone(), Purpose::Schedule);
            }
            let cell = match purpose {
                Purpose::Schedule => self.monitor.aim(&cell, at(due)).unwrap_or(cell),
                _ if !self.monitor.wants(&cell, purpose) => continue,
                _ => cell,
            };
            let (kind, answer) = world(&cell, self.second);
            self.observe_answer(&cell, kind, purpose, answer);
        }
        self.second = until;
    }

    /// One run now.
    pub(super) fn observe(&mut self, cell: &CellKey, kind: Kind, purpose: Purpose) {
        self.observe_answer(cell, kind, purpose, None);
    }

    fn observe_answer(
        &mut self,
        cell: &CellKey,
        kind: Kind,
        purpose: Purpose,
        answer: Option<Answer>,
    ) {
        let now = at(self.second);
        // An edge's own error says by its page whose fault it is.
        let mut verdict = match &answer {
            Some(answer) if kind == Kind::EdgeError => classify_answer(answer),
            _ => verdict(kind),
        };
        let age = answer
            .as_ref()
            .and_then(|answer| answer.header("age")?.parse().ok());
        verdict.kept = age.map(Duration::from_secs);
        let observation = Observation {
            cell: cell.clone(),
            purpose,
            due_at: now,
            started_at: now,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Path::default(),
            tls: None,
            sent: None,
            hops: Vec::new(),
            answer,
            failure: None,
        };
        let judged = Judged {
            observation,
            verdict,
        };
        let effects = self
            .monitor
            .step(Event::Observed(std::sync::Arc::new(judged)), now);
        self.apply(effects);
    }

    pub(super) fn replace(&mut self, plan: Plan) {
        self.plan = Arc::new(plan);
        self.queue.clear();
        let event = Event::PlanReplaced(Arc::clone(&self.plan));
        let effects = self.monitor.step(event, at(self.second));
        self.apply(effects);
        self.schedule();
    }

    /// The wall clock is set back; the schedule goes on from there.
    pub(super) fn set_back(&mut self, seconds: i64) {
        self.second -= seconds;
        self.queue.clear();
        self.schedule();
    }

    /// Stops and starts again with what was stored.
    pub(super) fn restart(&mut self) {
        let known = self.stored.values().cloned().collect();
        self.monitor = Monitor::new(Arc::clone(&self.plan), known, 1)
            .with_silences(self.silences.clone())
            .remembering(self.memory.clone(), at(self.second));
        self.restarted = true;
        self.queue.clear();
        self.schedule();
    }

    /// Silences something for so many seconds.
    pub(super) fn silence(&mut self, matcher: Matcher, lasting: i64) {
        self.silences.push(Silence {
            number: self.silences.len() as u64 + 1,
            matcher,
            from: at(self.second),
            until: at(self.second + lasting),
            by: "ann".to_owned(),
            why: None,
            ended: None,
        });
        self.silenced();
    }

    /// Ends all silences.
    pub(super) fn end_silences(&mut self) {
        let ended = Ended {
            at: at(self.second),
            by: "bob".to_owned(),
        };
        for silence in &mut self.silences {
            silence.ended.get_or_insert(ended.clone());
        }
        self.silenced();
    }

    fn silenced(&mut self) {
        let event = Event::Silenced(self.silences.clone());
        let effects = self.monitor.step(event, at(self.second));
        self.apply(effects);
    }

    /// Somebody looks after an incident, if there is one with this number.
    pub(super) fn acknowledge(&mut self, incident: u64, who: &str) {
        self.care(incident, who, Care::Taken);
    }

    /// Somebody says who looks after it.
    pub(super) fn care(&mut self, incident: u64, who: &str, care: fn(Acknowledged) -> Care) {
        let care = care(Acknowledged {
            at: at(self.second),
            by: who.to_owned(),
        });
        let event = Event::Care { incident, care };
        let effects = self.monitor.step(event, at(self.second));
        self.apply(effects);
    }

    /// Whether every failing cell of an incident is silenced now, worked out anew.
    fn is_muted(&self, incident: &Incident) -> bool {
        let failing: Vec<_> = incident.cells.iter().filter(|cell| cell.failing).collect();
        let silenced = |member: &&IncidentCell| {
            self.silences.iter().any(|silence| {
                let in_force = silence.ended.is_none() && silence.until > at(self.second);
                in_force && silence.matcher.covers(incident.number, member)
            })
        };
        !failing.is_empty() && failing.iter().all(silenced)
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Run {
                    cell,
                    at: due,
                    purpose,
                    ..
                } => {
                    let second = due.duration_since(at(0)).as_secs_f64().ceil() as i64;
                    assert!(second >= self.second, "a run in the past");
                    self.extra.push((second, cell.clone(), purpose));
                    self.push(second, cell, purpose);
                }
                Effect::Save(change) => {
                    for note in &change.notifications {
                        assert!(
                            note.reason.is_end() || !self.is_muted(&change.incident),
                            "told while muted: {note:?}"
                        );
                        self.lines.push(format!(
                            "{} INC-{} {} {}: {}",
                            self.second,
                            note.incident,
                            note.receiver,
                            note.reason.as_str(),
                            said(&change.incident.diagnosis.cause),
                        ));
                    }
                    self.stored
                        .insert(change.incident.number, change.incident.clone());
                    self.notifications.extend(change.notifications.clone());
                    self.changes.push(*change);
                }
                Effect::VerdictChanged(_) => {}
                Effect::Learned(learned) => {
                    let Learned {
                        memory,
                        notifications,
                    } = *learned;
                    self.notices.extend(notifications);
                    for front in memory.fronts {
                        self.memory.fronts.retain(|known| known.host != front.host);
                        self.memory.fronts.push(front);
                    }
                    self.memory.ours = memory.ours.or(self.memory.ours.take());
                }
            }
        }
    }

    /// What a receiver was sent, in order.
    pub(super) fn told(&self, receiver: &str) -> Vec<Notification> {
        let name = ReceiverName::new(receiver);
        let mine = self.notifications.iter().filter(|n| n.receiver == name);
        mine.cloned().collect()
    }

    /// `reason` words of what a receiver was sent, in order.
    pub(super) fn reasons(&self, receiver: &str) -> String {
        let told = self.told(receiver);
        let words: Vec<&str> = told.iter().map(|n| n.reason.as_str()).collect();
        words.join(" ")
    }

    /// What must hold of everything that was said, whatever happened.
    pub(super) fn hold(&self) {
        let mut last: BTreeMap<u64, u32> = BTreeMap::new();
        let mut owed: BTreeMap<(u64, ReceiverName), bool> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for note in &self.notifications {
            let before = last.insert(note.incident, note.sequence).unwrap_or(0);
            assert!(note.sequence > before, "{:#?}", self.lines);
            assert!(ids.insert(note.delivery), "a delivery id twice");
            let open = owed
                .entry((note.incident, note.receiver.clone()))
                .or_default();
            match note.reason {
                Reason::Opened | Reason::Reopened => {
                    assert!(!*open, "opened twice: {:#?}", self.lines);
                    *open = true;
                }
                Reason::Changed | Reason::Reminder | Reason::Acknowledged | Reason::Muted => {
                    assert!(*open, "{:#?}", self.lines);
                }
                Reason::Notice => panic!("a notice of an incident"),
                Reason::Resolved | Reason::Unwatched => {
                    assert!(*open, "resolved without an opening: {:#?}", self.lines);
                    *open = false;
                }
            }
            let briefing = format!("{:?}", note.briefing.headline);
            assert!(
                !briefing.contains("None") && !briefing.contains("  "),
                "{briefing}"
            );
            assert!((0.0..=1.0).contains(&note.briefing.confidence));
        }
        for ((number, receiver), open) in owed {
            let incident = &self.stored[&number];
            let resolved = incident.resolved_at.is_some();
            // Who was not told that it came back is owed that while it is muted.
            if !resolved && self.is_muted(incident) {
                continue;
            }
            assert_eq!(
                open, !resolved,
                "INC-{number} {receiver}: {:#?}",
                self.lines
            );
        }
        for (second, cell, _) in &self.extra {
            let hour = self.extra.iter().filter(|(other, known, _)| {
                known.probe == cell.probe && (*second..second + 3600).contains(other)
            });
            let count = hour.count();
            let most = if self.restarted { 60 } else { 30 };
            assert!(
                count <= most,
                "{count} extra requests to {} in an hour",
                cell.probe
            );
        }
        let ours = self.stored.values().filter(|incident| {
            incident.subject == Subject::OurNetwork && incident.resolved_at.is_none()
        });
        assert!(ours.count() <= 1, "our network fails only once at a time");
    }
}
