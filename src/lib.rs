//! edgewatch probes partner endpoints from each egress as each client, reads every answer into a
//! verdict, works out which factor is refused, and tells people.
//!
//! The layers, lowest first; a module imports only from those its line allows, and `tests/tidy.rs`
//! holds them to it:
//!
//! | module | what it is | may import |
//! | --- | --- | --- |
//! | [`domain`] | the nouns: plain data and what always holds of them | nothing of ours |
//! | [`decide`] | pure rules over the nouns and a `now` that is passed in | domain |
//! | [`config`] | the text of `probes.yaml` into a checked [`domain::plan::Plan`] | domain |
//! | [`clock`] | the one place that reads the wall clock | nothing of ours |
//! | [`probe`] | runs one cell over real sockets, returns an observation | domain |
//! | [`store`] | the `SQLite` file: history, incidents, outbox | domain, clock |
//! | [`notify`] | one message to one receiver: Slack, Teams, webhook, mail, `PagerDuty`, Alertmanager, the log | domain, clock |
//! | [`report`] | renderings for people: tables, incident texts | domain |
//! | [`simulate`] | a partner API behind a rule-driven edge, on loopback | domain |
//! | [`telemetry`] | what edgewatch says of itself: metrics, health, heartbeat | domain, clock |
//! | [`app`] | wiring: start, the loop, delivery, stop | all of the above |
//! | [`cli`] | one file a command | all of the above but telemetry |
//!
//! To read it in order of the data: [`config`] makes the plan, [`decide::schedule`] says which cell
//! is due, [`probe`] makes an [`domain::observation::Observation`], [`decide::classify`] a
//! [`domain::verdict::Verdict`], [`decide::monitor`] the effects, [`app`] carries them out.

pub mod domain;

pub mod decide;

pub mod config;

pub mod clock;

pub mod notify;
pub mod probe;
pub mod report;
pub mod simulate;
pub mod store;
pub mod telemetry;

pub mod app;

pub mod cli;
