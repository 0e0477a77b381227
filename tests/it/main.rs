//! Integration tests, one binary: real files, processes and sockets on loopback, port 0, nothing outside this host.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

/// A partner, and an incident of it for every cause of the diagnosis.
mod acts;
mod alpha;
/// A Slack and a Teams on loopback that are strict, and fail on demand.
mod fakes;
/// What a run of the tests leaves behind, to be looked through for secrets once all are done.
mod kept;
mod keyboard;
/// A store with history and incidents of the past.
mod night;
/// A plan in code, for tests that do not read `probes.yaml`.
mod plan;
/// Values of the domain, made by hand and by chance.
mod samples;
/// Every secret that the tests use, with one word in all of them.
#[allow(dead_code, reason = "the search after the suite uses the rest")]
mod secrets;
/// Servers on loopback that note what they saw.
mod server;
/// A partner, a control site, and a file over them.
mod world;

/// Accounts that may be asked so often a day, and those that are locked.
mod accounts;
/// `try`, `gate`, `report` and `postmortem`, as a person or a job meets them.
mod asking;
/// `bisect` against planted rules.
mod bisect;
/// What Slack accepts as blocks, from its documentation and not from our sender.
mod block_kit;
/// Scores the classifier against saved answers.
mod classify;
/// The commands as a person or a script meets them.
mod cli;
/// Buttons in Slack over a WebSocket: each click once, refused ones answered, never deaf for good.
mod clicks;
mod clients;
/// The daemon as a real process whose clock is set.
mod clock_set;
/// Reading `probes.yaml`: the file in the root, its schema, and a table of files that are refused.
mod config;
/// The daemon as a real process, killed wherever a message can stand: nothing is lost, nothing told twice.
mod crash;
/// A partner that answers nobody takes no room from others.
mod crowded;
/// The daemon as a real process that reads its file again.
mod daemon;
/// From the outbox to receivers that misbehave: order, exactly once, fallback, recovery.
mod deliver;
/// A door of our own that turns away who calls us.
mod doors;
/// A file that is edited while the partner refuses: no green word on any road.
mod edited;
/// One oracle for all that shows a stranger's text.
mod escaping;
/// Incidents, faults of channels, crashes and mutes together, in any order.
mod everything;
/// A filter of ours that lists addresses.
mod filter;
/// Edges that judge the TLS hello, against a real JVM and the daemon's machine.
mod fingerprints;
/// A store that the former version wrote: nothing of it is lost.
mod former;
/// The daemon as a real process whose disk is full.
mod full_disk;
/// Bytes of strangers at every door, changed by chance.
mod fuzz;
/// The shipped SOAP call against a real SOAP stack.
mod gmc;
/// TLS greetings that are too long for what lies on the way.
mod greetings;
/// A host whose clock is set and whose disk is full.
mod host;
/// Answers that are small and dear to read.
mod hostile;
/// What is not known is said: cells that could not run, a daemon with another environment, a file that went wrong.
mod known;
/// The daemon against `replay`: the same scenarios over real sockets.
mod live;
/// What is told beside incidents: all is well, a channel in trouble, its end.
mod notices;
/// The dashboard over real sockets.
mod pages;
/// One run against servers that behave, misbehave, refuse and lie.
mod probe;
mod programs;
/// Silences and acknowledgements, by command and by button, with a daemon and without.
mod quiet;
/// The other receivers, over real sockets: webhook, mail, `PagerDuty`, Alertmanager.
mod receivers;
/// A log that a daemon wrote plays back, and holds no secret.
mod recorded;
/// `edgewatch replay` over scenario files, ours and the shared ones.
mod replay;
/// Damaged copies at one machine of an edge.
mod roles;
mod same_body;
/// The simulated partner and its edge, through a real client and raw sockets.
mod simulate;
/// A hub and its agents, over a real nats-server that is cut off, killed and lied to.
mod sites;
/// How incidents look in Slack, and what its answers mean to us.
mod slack;
/// Two hubs: the one that leads dies at each step, and the other one goes on.
mod splits;
mod standby;
/// What is kept: round trips, retention, damage, two processes, write failures.
mod store;
/// Many incidents at once: one message that names them, details and ends for each.
mod storm;
/// Fronts that change: from real answers through the rules to the store and the channels.
mod surroundings;
/// How incidents look in Teams, and that support staff read plain words only.
mod teams;
/// The operator's own words for messages, sound and unsound.
mod templates;
/// Watching the watcher: metrics, health, heartbeat, the service manager, `status`.
/// Roots that end, for the client that has no other.
mod trusted;
/// A client tried from the browser.
mod trying;
mod vanished;
mod watched;
/// A week of blocks, flaps, maintenance and a broken Slack: how many messages each problem makes.
mod week;
/// Every text about an incident, for every cause, to be read by a person.
mod words;
mod workers;
