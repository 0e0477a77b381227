//! edgewatch probes partner endpoints from each egress as each client, reads every answer into a
//! verdict, works out which factor is refused, and tells people.
//!
//! The layers, lowest first; a module imports only from those its line allows, and `tests/tidy.rs`
//! holds them to it:
//!
//! | module | what it is | may import |
//! | --- | --- | --- |
//! | [`lang`] | small languages that operators write: cron, `XPath`, templates | nothing of ours |
//! | [`domain`] | the nouns: plain data and what always holds of them | lang |
//! | [`words`] | what people read: facts and judgements in words | domain, lang |
//! | [`read`] | one answer into a verdict: signatures, expectations, saved answers | domain, lang, words |
//! | [`board`] | what is known of every cell, who is muted, what goes into the loop and comes out | domain |
//! | [`judge`] | the engine that names the refused factor | domain |
//! | [`surroundings`] | fronts of hosts and our own side, and what becomes of a change | domain, board, words |
//! | [`incident`] | incidents, their members, messages that are due | all of the above but lang |
//! | [`machine`] | the loop: events in, effects out; when each cell is due | all of the above but read and words |
//! | [`wire`] | what travels between a site and the hub: batches, plans, greetings | domain |
//! | [`ask`] | what a person or a job asks for now: a round, a new client, a gate | domain, board, judge, incident, words |
//! | [`config`] | the text of `probes.yaml` into a checked [`domain::plan::Plan`] | domain, lang |
//! | [`clock`] | the one place that reads the wall clock | nothing of ours |
//! | [`probe`] | runs one cell over real sockets, returns an observation | domain |
//! | [`store`] | the `SQLite` file: history, incidents, outbox | domain, clock |
//! | [`notify`] | one message to one receiver: Slack, Teams, webhook, mail, `PagerDuty`, Alertmanager, the log | domain, lang, clock |
//! | [`link`] | the connection between sites and the hub, and the spool of a site | domain, wire, clock |
//! | [`report`] | renderings for people: tables, incident texts | domain |
//! | [`simulate`] | a partner API behind a rule-driven edge, on loopback | domain |
//! | [`lab`] | scenarios, the player, and the score of what people are told; logs played back | domain, lang, judge, surroundings, machine, config, simulate |
//! | [`telemetry`] | what edgewatch says of itself: metrics, health, heartbeat | domain, clock |
//! | [`dossier`] | one incident as the store and the file know it, gathered for the texts about it | domain, words, report, store |
//! | [`dashboard`] | pages for people, read only, on a listener of their own | domain, ask, words, report, store, notify, dossier, telemetry, clock |
//! | [`app`] | wiring: start, the loop, delivery, sites, stop | all of the above but lab, ask and simulate |
//! | [`cli`] | one file a command | all of the above |
//!
//! To read it in order of the data: [`config`] makes the plan, [`machine`] says which cell is due, [`probe`] makes an
//! [`domain::observation::Observation`], [`read`] a [`domain::verdict::Verdict`], [`machine`] the effects, [`app`] carries them out.

pub mod lang;

pub mod domain;

pub mod ask;
pub mod board;
pub mod incident;
pub mod judge;
pub mod machine;
pub mod read;
pub mod surroundings;
pub mod wire;
pub mod words;

pub mod config;

pub mod clock;

pub mod link;
pub mod notify;
pub mod probe;
pub mod report;
pub mod simulate;
pub mod store;
pub mod telemetry;

pub mod dashboard;
pub mod dossier;

pub mod lab;

pub mod app;

pub mod cli;
