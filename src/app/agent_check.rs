//! What may be in the way of an agent, looked at step by step: each says what to do about it.
//!
//! An agent that says that it is there and does nothing is what others' users complain of most; so nothing here is taken
//! for granted, from the name of the server to an answer of a control.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;

use super::agent::{fetch_plan, host};
use super::round::{self, Usuals};
use super::site_plan::{self, Rules};
use crate::clock;
use crate::domain::cell::CellKey;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::site::Nats;
use crate::link::connect::{self, Identity, Link};
use crate::probe::Prober;
use crate::wire::greeting::{Hello, Welcome, offset};
use crate::wire::subjects;

/// A step, and what came of it.
#[derive(Debug)]
pub struct Step {
    pub what: &'static str,
    /// What was found, or why it fails and what to do about it.
    pub found: Result<String, (String, String)>,
}

/// For each step that waits for somebody else.
const PATIENCE: Duration = Duration::from_secs(8);
/// A clock that is off by more is a matter for whoever runs the host, though times are corrected.
const OFF_MAX_MS: i64 = 2_000;
/// No stream has this name: what is meant for it is refused after the right to publish was looked at.
const NO_STREAM: &str = "EW_CHECK";

type Found = Result<String, (String, String)>;

fn fails<T>(why: impl Into<String>, how: impl Into<String>) -> Result<T, (String, String)> {
    Err((why.into(), how.into()))
}

/// Goes through the steps until one fails that the next need; hands each to `said`.
pub async fn check(site: &str, nats: &Nats, rules: &Rules, mut said: impl FnMut(Step)) {
    let mut tell = |what: &'static str, found: Found| {
        let on = found.is_ok();
        said(Step { what, found });
        on
    };
    if !tell("name of the server", resolves(nats).await) || !tell("TCP", connects(nats).await) {
        return;
    }
    let identity = nats.identity.as_deref().map(Identity::read).transpose();
    let identity = match identity {
        Ok(identity) => identity,
        Err(why) => {
            tell(
                "identity",
                fails(
                    why,
                    "copy the whole folder that `edgewatch hub init` made for this site",
                ),
            );
            return;
        }
    };
    if let Some(identity) = &identity
        && !tell("identity", valid(identity))
    {
        return;
    }
    let inbox = subjects::inbox(site);
    let begun = connect::begin(nats, identity.as_ref(), "edgewatch agent --check", &inbox).await;
    let mut link = match begun {
        Ok(link) => link,
        Err(why) => {
            tell("sign-in", fails(why, "mend what it names"));
            return;
        }
    };
    if !tell("sign-in", signs_in(&mut link, site).await)
        || !tell("right to publish", publishes(&link, site).await)
    {
        return;
    }
    let (found, clock) = hub_answers(&link, site).await;
    let heard = tell("hub", found);
    if let Some(clock) = clock.filter(|_| heard) {
        tell("clock", clock);
    }
    let plan = match fetch_plan(&link, site).await {
        Ok(plan) => plan,
        Err(why) => {
            tell(
                "plan",
                fails(
                    why,
                    format!(
                        "start `edgewatch hub` with an egress that has \"site: {site}\" in its file"
                    ),
                ),
            );
            return;
        }
    };
    let read = match site_plan::read(&plan, rules) {
        Ok(read) => read,
        Err(why) => {
            let how = "where it names a key that this version does not know, upgrade the agent";
            tell(
                "plan",
                fails(
                    format!("plan {} is not taken here: {why}", plan.generation),
                    how,
                ),
            );
            return;
        }
    };
    let cells = read.plan.cells().count();
    let all = plan.cells.len();
    tell(
        "plan",
        Ok(format!(
            "{}, {cells} of {all} cells can run",
            plan.generation
        )),
    );
    let secrets = match read.missing.as_slice() {
        [] => Ok("all there".to_owned()),
        lacks => fails(
            lacks.join("\n"),
            "set what is missing, then start the agent anew",
        ),
    };
    tell("secrets", secrets);
    tell("a run", one_run(read.plan).await);
}

fn place(nats: &Nats) -> (String, u16) {
    let host = nats.url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    (host, nats.url.port().unwrap_or(4222))
}

async fn resolves(nats: &Nats) -> Found {
    let (host, port) = place(nats);
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found: Vec<String> = match found {
        Ok(found) => found.map(|address| address.ip().to_string()).collect(),
        Err(error) => {
            return fails(
                format!("{host}: {error}"),
                "name the server as this host can resolve it: --nats tls://HOST:4222",
            );
        }
    };
    Ok(format!("{host} is {}", found.join(", ")))
}

async fn connects(nats: &Nats) -> Found {
    let (host, port) = place(nats);
    let connected = tokio::net::TcpStream::connect((host.as_str(), port));
    match tokio::time::timeout(PATIENCE, connected).await {
        Ok(Ok(_)) => Ok(format!("{host}:{port} is open")),
        Ok(Err(error)) => fails(
            format!("{host}:{port}: {error}"),
            "see that nats-server runs there, and that firewalls let this host out to that port",
        ),
        Err(_) => fails(
            format!("{host}:{port} does not answer"),
            "a firewall on the way drops it: let this host out to that port",
        ),
    }
}

fn valid(identity: &Identity) -> Found {
    let left = identity.until_s - clock::now().as_second();
    let days = left / 86_400;
    if left <= 0 {
        return fails(
            "the certificate has ended",
            "remove its folder beside nats.conf, run `edgewatch hub init` with the same --site, and copy the new one here",
        );
    }
    Ok(format!("the certificate is valid for {days} more days"))
}

async fn signs_in(link: &mut Link, site: &str) -> Found {
    let up = tokio::time::timeout(PATIENCE, link.up()).await;
    match up {
        Ok(Ok(())) => {
            let server = link.client.server_info();
            Ok(format!("nats-server {} lets {site} in", server.version))
        }
        Ok(Err(why)) => fails(why, "upgrade nats-server"),
        Err(_) => {
            let refused = link.state.borrow().refused.clone();
            let why = refused.unwrap_or_else(|| "the server does not let us in".to_owned());
            fails(
                why,
                format!(
                    "the certificate must be of the server's own authority, nats.conf must have a user {site}.sites.edgewatch, and the server must be reached by the name in its certificate"
                ),
            )
        }
    }
}

/// Publishes for a stream that is not there: refused by right, or by name once the right was seen.
async fn publishes(link: &Link, site: &str) -> Found {
    let context = ContextBuilder::new()
        .ack_timeout(PATIENCE)
        .timeout(PATIENCE)
        .build(link.client.clone());
    let message = PublishMessage::build().expected_stream(NO_STREAM);
    let sent = context
        .send_publish(subjects::observations(site), message)
        .await;
    let answer = match sent {
        Ok(ack) => ack.await.err().map(|e| e.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let refused = link.state.borrow().refused.clone();
    match (answer, refused) {
        (_, Some(refused)) => fails(
            refused,
            format!(
                "the identity is not that of {site}, or nats.conf is another than `edgewatch hub init` writes"
            ),
        ),
        (Some(error), None) if error.contains("expected stream") || error.contains("10060") => {
            Ok(format!("{} is open to us", subjects::observations(site)))
        }
        (Some(error), None) => fails(
            error,
            "start `edgewatch hub`, which makes the stream; JetStream must be on in nats.conf",
        ),
        (None, None) => fails(
            "a message was taken that must not be",
            "report this, please",
        ),
    }
}

/// Greets the hub without becoming known as an agent.
async fn hub_answers(link: &Link, site: &str) -> (Found, Option<Found>) {
    let sent = clock::now().as_microsecond();
    let hello = Hello {
        host: host(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        sent_us: sent,
        check: true,
        ..Hello::default()
    };
    let asked = link
        .client
        .request(subjects::greeting(site), hello.packed().into());
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let back = clock::now().as_microsecond();
    let welcome = match answer {
        Ok(Ok(message)) => Welcome::read(&message.payload).map_err(|e| e.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    };
    let welcome = match welcome {
        Ok(welcome) => welcome,
        Err(why) => {
            let how = "start `edgewatch hub`; until then the agent keeps what it sees in its spool";
            return (fails(why, how), None);
        }
    };
    if !welcome.refused.is_empty() {
        return (fails(welcome.refused, "mend what it says"), None);
    }
    let clock = offset(sent, &welcome, back);
    let ms = clock.offset_us / 1_000;
    let clock = if ms.abs() > OFF_MAX_MS {
        fails(
            format!(
                "this host's clock is {ms} ms behind the hub's; its times are corrected by that"
            ),
            "let NTP keep both clocks",
        )
    } else {
        Ok(format!(
            "{ms} ms behind the hub's, give or take {}",
            clock.error_us / 1_000
        ))
    };
    (
        Ok(format!(
            "it answers, plan {} is the newest",
            welcome.generation
        )),
        Some(clock),
    )
}

/// Runs a control, or where there is none any cell.
async fn one_run(plan: Plan) -> Found {
    let plan = Arc::new(plan);
    let cells: Vec<(bool, CellKey)> = plan
        .cells()
        .map(|(probe, cell)| (!probe.control, cell))
        .collect();
    let Some((_, cell)) = cells.iter().min() else {
        return fails(
            "no cell can run here",
            "see the secrets above, and the file of the hub",
        );
    };
    let prober = match Prober::new(&plan) {
        Ok(prober) => prober,
        Err(why) => return fails(why, "mend what it names"),
    };
    let usuals = Usuals::default();
    let judged = round::run(&plan, &prober, &usuals, cell, Purpose::Asked, clock::now()).await;
    if judged.verdict.passed() {
        return Ok(format!("{cell}: pass"));
    }
    let failure = judged.observation.failure.map(|failure| failure.message);
    let evidence = judged.verdict.evidence.first().map(|e| e.text.clone());
    let said = failure.or(evidence).unwrap_or_default();
    fails(
        format!("{cell}: {}: {said}", judged.verdict.kind.label()),
        "see that this host reaches the internet by that egress",
    )
}
