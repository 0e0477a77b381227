//! What is seen of a hub that stands by: health, metrics, a note in its store, a line for the service manager.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::super::self_watch::plan_facts;
use crate::clock;
use crate::domain::hubs::HubFacts;
use crate::domain::plan::Plan;
use crate::store::Store;
use crate::telemetry::listener::{self, Question};
use crate::telemetry::vitals::{HeartbeatFacts, NOTE, Runs};
use crate::telemetry::{Listener, Live, Meters, Metrics, Systemd, Vitals};

/// Between two notes in the store, and two signs of life.
const BEAT: Duration = Duration::from_secs(5);
const QUESTIONS_MAX: usize = 16;

/// What is seen of a hub that stands by.
pub(super) struct Show {
    vitals: Vitals,
    facts: watch::Receiver<HubFacts>,
    pub(super) questions: mpsc::Receiver<Question>,
    listener: Option<Listener>,
    meters: Meters,
    systemd: Option<Systemd>,
    store: Store,
}

impl Show {
    pub(super) async fn start(
        plan: &Plan,
        store: &Store,
        facts: watch::Receiver<HubFacts>,
    ) -> Result<Self, String> {
        let now = clock::now();
        let plan_facts = plan_facts(plan, 1, now);
        let shared = store.clone();
        let live = move || Live {
            store: shared.health(),
            post: shared.post(),
            heartbeat: HeartbeatFacts::default(),
        };
        let metrics = Arc::new(Metrics::new(now, live));
        let meters = metrics.meters(plan, None);
        meters.plan(&plan_facts);
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let listener = match &plan.listen {
            Some(listen) => Some(listener::bind(listen).await?.serve(metrics, ask)),
            None => None,
        };
        let systemd = Systemd::from_env();
        if let Some(systemd) = &systemd {
            systemd.ready();
        }
        Ok(Self {
            vitals: Vitals {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_at: now,
                at: now,
                stopped_at: None,
                listen: listener.as_ref().map(Listener::address),
                plan: plan_facts,
                reload: None,
                edited: None,
                runs: Runs::default(),
                incidents_open: 0,
                store: store.health(),
                outbox: Vec::new(),
                heartbeat: None,
                stalled: None,
                silences: Vec::new(),
                more_silences: 0,
                maintenance: Vec::new(),
                sites: None,
                hub: None,
            },
            facts,
            questions,
            listener,
            meters,
            systemd,
            store: store.clone(),
        })
    }

    pub(super) fn every(&self) -> Duration {
        let watchdog = self.systemd.as_ref().and_then(Systemd::every);
        watchdog.map_or(BEAT, |every| every.min(BEAT))
    }

    pub(super) fn vitals(&self, at: Timestamp) -> Vitals {
        Vitals {
            at,
            store: self.store.health(),
            hub: Some(self.facts.borrow().clone()),
            ..self.vitals.clone()
        }
    }

    pub(super) async fn beat(&mut self) {
        if let Ok(open) = self.store.open_incidents().await {
            self.vitals.incidents_open = open as u64;
        }
        let now = clock::now();
        let vitals = self.vitals(now);
        if let Some(hub) = &vitals.hub {
            self.meters.hub(hub);
            if let Some(systemd) = &mut self.systemd {
                systemd.alive();
                systemd.status(&hub.said());
            }
        }
        self.meters.turned(now, false);
        self.store.keep_note(NOTE, vitals.to_json().to_string());
    }

    /// Frees the address, for whoever leads here next; `over`: nobody does.
    pub(super) async fn stop(mut self, over: bool) {
        if over {
            let now = clock::now();
            let vitals = Vitals {
                stopped_at: Some(now),
                ..self.vitals(now)
            };
            self.store.keep_note(NOTE, vitals.to_json().to_string());
            if let Some(systemd) = &self.systemd {
                systemd.stopping();
            }
        }
        if let Some(listener) = self.listener.take() {
            listener.stop().await;
        }
    }
}
