//! The daemon's pages: what the loop tells them, and their listener, which comes and goes with the plan.
//!
//! That the address is taken is no reason to watch nothing: it is said, and tried again.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::dashboard::trying::Order;
use crate::dashboard::{self, Listener, Look, Pages, Present, Source};
use crate::domain::change::Change;
use crate::domain::incident::Incident;
use crate::domain::plan::Plan;
use crate::domain::upcoming::Upcoming;
use crate::domain::web::Web;
use crate::machine::Judged;
use crate::store::Store;
use crate::telemetry::listener::Question;

/// Pages that may wait for the timetable.
const ASKERS_MAX: usize = 8;

pub(super) struct Showing {
    present: Arc<Present>,
    questions: mpsc::Sender<Question>,
    /// Pages that want to know what runs next.
    pub(super) upcoming: mpsc::Receiver<oneshot::Sender<Upcoming>>,
    what_next: mpsc::Sender<oneshot::Sender<Upcoming>>,
    store: PathBuf,
    /// Whoever tries a client.
    orders: mpsc::Sender<Order>,
    /// Where they are wanted.
    web: Option<Web>,
    listener: Option<Listener>,
}

impl Showing {
    /// Begins to serve; what ran before is read meanwhile.
    pub(super) async fn start(
        plan: &Arc<Plan>,
        incidents: &[Incident],
        questions: mpsc::Sender<Question>,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        let look = Look::of(Arc::clone(plan), &[], incidents.to_vec());
        let (what_next, upcoming) = mpsc::channel(ASKERS_MAX);
        let mut it = Self {
            upcoming,
            what_next,
            present: Arc::new(Present::new(look)),
            questions,
            orders,
            store: plan.store.path.clone(),
            web: plan.web.clone(),
            listener: None,
        };
        if it.web.is_some() {
            remember(Arc::clone(&it.present), it.store.clone(), Arc::clone(plan));
        }
        if let Err(why) = it.listen().await {
            tracing::warn!("{why}; edgewatch runs without pages and tries again");
        }
        it
    }

    /// What a person opens; `None`: nothing is served.
    pub(super) fn url(&self) -> Option<String> {
        self.listener.as_ref().map(Listener::url)
    }

    /// A run ended.
    pub(super) fn ended(&self, judged: &Judged) {
        self.present.ended(judged);
    }

    /// An incident changed.
    pub(super) fn changed(&self, change: &Change) {
        self.present.incident(&change.incident);
    }

    /// Another plan is in force.
    pub(super) async fn taken(&mut self, plan: &Arc<Plan>) {
        self.present.replaced(Arc::clone(plan));
        if self.web == plan.web {
            return;
        }
        self.web.clone_from(&plan.web);
        self.stop().await;
        if let Err(why) = self.listen().await {
            tracing::warn!("{why}; edgewatch runs without pages and tries again");
        }
    }

    /// Tries again where the address was taken.
    pub(super) async fn again(&mut self) {
        if self.web.is_some() && self.listener.is_none() {
            // Said already.
            let _ = self.listen().await;
        }
    }

    pub(super) async fn stop(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.stop().await;
        }
    }

    async fn listen(&mut self) -> Result<(), String> {
        let Some(web) = &self.web else { return Ok(()) };
        let bound = dashboard::bind(web.address).await?;
        let source = Source::Loop {
            present: Arc::clone(&self.present),
            questions: self.questions.clone(),
            upcoming: self.what_next.clone(),
            orders: self.orders.clone(),
        };
        let pages = Pages::new(source, self.store.clone(), web.clone());
        let listener = bound.serve(pages);
        tracing::info!("{} shows the matrix and incidents", listener.url());
        self.listener = Some(listener);
        Ok(())
    }
}

/// Reads the last run of every cell, on a thread of its own: a large store takes a while.
fn remember(present: Arc<Present>, store: PathBuf, plan: Arc<Plan>) {
    tokio::task::spawn_blocking(move || {
        let now: Timestamp = clock::now();
        let look = Store::read_only(&store).and_then(|reader| dashboard::look(&reader, plan, now));
        match look {
            Ok(look) => present.remember(&look),
            Err(error) => tracing::debug!("pages begin without what ran before: {error}"),
        }
    });
}
