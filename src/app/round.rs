//! One round now: every cell once, politely, without the daemon.
//!
//! Hosts are asked side by side; the cells of one host start one after the other with the plan's gap
//! and within its budget, as the daemon's do, so that asking by hand can't look like an attack.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock;
use crate::domain::cell::{CellKey, Client, CredentialName, Egress, ProbeName};
use crate::domain::observation::{Observation, Purpose};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::verdict::{Kind, Maker, Verdict};
use crate::machine::politeness::Pace;
use crate::machine::{Judged, Leave, RunId, Start};
use crate::probe::Prober;
use crate::read::classify;
use crate::read::likeness::Usual;
use crate::read::same_body::Bodies;

/// Between two times that the loop is asked for leave.
const ASKED_AGAIN: Duration = Duration::from_millis(20);

/// Asks whether a host may be asked now.
#[derive(Debug)]
pub struct LeaveAsk {
    pub host: String,
    pub answer: oneshot::Sender<Leave>,
}

/// Who says when a host may be asked.
#[derive(Debug, Clone)]
pub enum Manners {
    /// The plan's gap and budget, by this round's own count.
    Own,
    /// The loop of this process, which asks the same hosts.
    Loop(mpsc::Sender<LeaveAsk>),
}

/// Runs `cells` once each and reports each through `seen` as it ends; returns them in the order given.
///
/// A cell whose host may not be asked any more, because the plan has changed or the loop has ended, is left out.
///
/// # Errors
/// A sentence when the prober can't be built from the plan (no usable roots, a bad certificate file).
pub async fn round(
    plan: Arc<Plan>,
    cells: Vec<CellKey>,
    manners: Manners,
    mut seen: impl FnMut(&Judged),
) -> Result<Vec<Judged>, String> {
    let prober = Arc::new(Prober::new(&plan)?);
    let usuals = Arc::new(Usuals::default());
    let room = Arc::new(Semaphore::new(plan.runs_in_flight_max.max(1)));
    let (done, mut results) = mpsc::channel(64);

    let mut by_host: BTreeMap<String, Vec<(usize, CellKey)>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        if let Some(probe) = plan.probe(&cell.probe) {
            by_host
                .entry(probe.host())
                .or_default()
                .push((index, cell.clone()));
        }
    }
    let mut hosts = JoinSet::new();
    for (host, cells) in by_host {
        let (plan, prober, room, done) = (plan.clone(), prober.clone(), room.clone(), done.clone());
        let polite = Polite::new(&plan, host, manners.clone());
        hosts.spawn(one_host(
            plan,
            prober,
            usuals.clone(),
            room,
            done,
            polite,
            cells,
        ));
    }
    drop(done);

    let mut judged: Vec<Option<Judged>> = cells.iter().map(|_| None).collect();
    while let Some((index, result)) = results.recv().await {
        seen(&result);
        judged[index] = Some(result);
    }
    Ok(judged.into_iter().flatten().collect())
}

/// What the passing answers of each probe share, since the start.
#[derive(Debug, Default)]
pub struct Usuals(Mutex<HashMap<ProbeName, Shared>>);

/// Of one probe.
#[derive(Debug, Default)]
struct Shared {
    usual: Usual,
    bodies: Bodies,
}

impl Usuals {
    /// Compares one answer with those that passed before, or lets it teach.
    fn compare(&self, plan: &Plan, judged: &mut Judged) {
        // Whoever panicked here left whole values behind.
        let mut usuals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = &judged.observation.cell.probe;
        if judged.verdict.passed() {
            let shared = usuals.entry(probe.clone()).or_default();
            shared.usual.learn(&judged.observation, &judged.verdict);
            if plan.probe(probe).is_some_and(|it| it.expect.same_body) {
                let bodies = &mut shared.bodies;
                bodies.hold(&judged.observation, &mut judged.verdict);
            }
        } else if let Some(shared) = usuals.get(probe) {
            shared.usual.weigh(&judged.observation, &mut judged.verdict);
        }
    }
}

/// One host asked again and again, each time after the answer before: no faster than the plan allows.
#[derive(Debug)]
pub struct Turns {
    prober: Prober,
    pace: Pace,
    began: Instant,
}

impl Turns {
    /// # Errors
    /// A sentence when the prober can't be built from the plan.
    pub fn new(plan: &Plan) -> Result<Self, String> {
        Ok(Self {
            prober: Prober::new(plan)?,
            pace: Pace::new(&plan.politeness),
            began: Instant::now(),
        })
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Asks nothing before `wait` has passed: the host wants it so.
    pub fn hold(&mut self, wait: Duration) {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.pace.hold(self.elapsed().saturating_add(wait));
    }

    /// Makes a request when the host may be asked, with these in place of their namesakes in the plan.
    ///
    /// # Errors
    /// A sentence on what is wrong with the client's TLS.
    pub async fn ask(
        &mut self,
        (probe, client, egress): (&Probe, &Client, &Egress),
        credential: &CredentialName,
    ) -> Result<Observation, String> {
        self.prober.put(probe, client, egress)?;
        let cell = CellKey {
            probe: probe.name.clone(),
            egress: egress.name.clone(),
            client: client.name.clone(),
            credential: credential.clone(),
        };
        loop {
            let now = self.elapsed();
            let Some(wait) = pause(&mut self.pace, now) else {
                break;
            };
            tokio::time::sleep(wait).await;
        }
        let now = clock::now();
        Ok(self.prober.run(&cell, Purpose::Asked, now, now).await)
    }
}

/// What an observation is as an answer to another probe of the plan.
#[must_use]
pub fn read_as(plan: &Plan, probe: &Probe, observation: &Observation) -> Verdict {
    classify::classify(probe, &plan.signatures, observation)
}

async fn one_host(
    plan: Arc<Plan>,
    prober: Arc<Prober>,
    usuals: Arc<Usuals>,
    room: Arc<Semaphore>,
    done: mpsc::Sender<(usize, Judged)>,
    mut polite: Polite,
    cells: Vec<(usize, CellKey)>,
) {
    let mut runs = JoinSet::new();
    for (index, cell) in cells {
        if !polite.turn().await {
            break;
        }
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let (plan, prober, done) = (plan.clone(), prober.clone(), done.clone());
        let usuals = usuals.clone();
        runs.spawn(async move {
            let due = clock::now();
            let judged = run(&plan, &prober, &usuals, &cell, Purpose::Asked, due).await;
            drop(permit);
            // The receiver is gone only when nobody wants the round any more.
            let _ = done.send((index, judged)).await;
        });
    }
    while runs.join_next().await.is_some() {}
}

/// When one host may be asked.
struct Polite {
    host: String,
    manners: Manners,
    /// By our own count.
    pace: Pace,
    began: Instant,
}

impl Polite {
    fn new(plan: &Plan, host: String, manners: Manners) -> Self {
        Self {
            host,
            manners,
            pace: Pace::new(&plan.politeness),
            began: Instant::now(),
        }
    }

    /// Waits until the host may be asked once; `false`: never.
    async fn turn(&mut self) -> bool {
        let Manners::Loop(asks) = &self.manners else {
            let elapsed = || i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
            while let Some(wait) = pause(&mut self.pace, elapsed()) {
                tokio::time::sleep(wait).await;
            }
            return true;
        };
        loop {
            let (answer, heard) = oneshot::channel();
            let host = self.host.clone();
            if asks.send(LeaveAsk { host, answer }).await.is_err() {
                return false;
            }
            match heard.await {
                Ok(Leave::Now) => return true,
                Ok(Leave::At(at)) => {
                    let wait = Duration::try_from(at.duration_since(clock::now()));
                    tokio::time::sleep(wait.unwrap_or_default().max(ASKED_AGAIN)).await;
                }
                Ok(Leave::Never) | Err(_) => return false,
            }
        }
    }
}

/// How long until the host may be asked again; `None`: now, and it counts as asked.
///
/// `now` is microseconds since the round began. A person waits, so the budget is used as soon as the gap allows.
fn pause(pace: &mut Pace, now: i64) -> Option<Duration> {
    let wait = pace.earliest(now, true).saturating_sub(now);
    if wait > 0 {
        return Some(Duration::from_micros(wait.unsigned_abs()));
    }
    pace.started(now);
    None
}

/// Answers that are heavy to read and read at the same time; others wait, and runs go on meanwhile.
static READING: Semaphore = Semaphore::const_new(2);

/// Runs one cell and reads its answer: the way from a due cell to a verdict, for daemon and round alike.
///
/// An answer that may take long to read is read on a thread of its own, so that no partner holds up the runs of
/// another. Reading can't be stopped, so it is bounded by itself; once there is a verdict, nothing is left running.
pub async fn run(
    plan: &Arc<Plan>,
    prober: &Prober,
    usuals: &Usuals,
    cell: &CellKey,
    purpose: Purpose,
    due_at: jiff::Timestamp,
) -> Judged {
    let mut judged = judge(plan, prober, cell, purpose, due_at).await;
    usuals.compare(plan, &mut judged);
    judged
}

/// Makes the run that a timetable asks for, and says which it was; no verdict where it panicked, which is logged.
pub async fn guarded(
    plan: Arc<Plan>,
    prober: Arc<Prober>,
    usuals: Arc<Usuals>,
    start: Start,
) -> (RunId, Option<Judged>) {
    let (cell, purpose) = (&start.cell, start.purpose);
    let run = run(&plan, &prober, &usuals, cell, purpose, start.due_at);
    let judged = AssertUnwindSafe(run).catch_unwind().await.ok();
    if judged.is_none() {
        tracing::error!(%cell, "a run panicked; please report this, with the message above");
    }
    (start.run, judged)
}

async fn judge(
    plan: &Arc<Plan>,
    prober: &Prober,
    cell: &CellKey,
    purpose: Purpose,
    due_at: jiff::Timestamp,
) -> Judged {
    let observation = prober.run(cell, purpose, due_at, clock::now()).await;
    let heavy = plan
        .probe(&cell.probe)
        .is_some_and(|probe| classify::is_heavy(probe, &plan.signatures, &observation));
    if !heavy {
        return read(plan, observation);
    }
    // Never closed, so there is always a turn.
    let _turn = READING.acquire().await;
    let plan = plan.clone();
    let reading = tokio::task::spawn_blocking(move || read(&plan, observation));
    match reading.await {
        Ok(judged) => judged,
        Err(error) => match error.try_into_panic() {
            // It is the run's, as it would have been here.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the whole process takes a thread away.
            Err(_) => std::future::pending().await,
        },
    }
}

fn read(plan: &Plan, observation: Observation) -> Judged {
    let verdict = match plan.probe(&observation.cell.probe) {
        Some(probe) => classify::classify(probe, &plan.signatures, &observation),
        // The prober knows the same plan, so a cell without a probe never gets here.
        None => Verdict::new(Kind::LocalError, Maker::OurSide),
    };
    Judged {
        observation,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Politeness;

    #[test]
    fn a_round_keeps_the_budget_over_every_minute() {
        let mut pace = Pace::new(&Politeness {
            requests_per_minute: 10,
            gap: Duration::from_millis(500),
            extra_per_incident: 0,
        });
        let (mut now, mut starts) = (Duration::ZERO, Vec::new());
        while starts.len() < 25 {
            match pause(&mut pace, now.as_micros() as i64) {
                Some(wait) => now += wait,
                None => starts.push(now),
            }
        }
        for window in starts.windows(11) {
            let took = window[10].saturating_sub(window[0]);
            assert!(took >= Duration::from_secs(60), "11 runs within {took:?}");
        }
        assert!(starts[24] < Duration::from_secs(125), "{starts:?}");
    }
}
