//! One run against servers that behave, misbehave, refuse and lie.
//!
//! Each test asserts the whole outcome: the failure word for word, or the answer.

mod bodies;
mod connections;
mod headers;
mod paths;
mod proxies;
mod redirects;
mod resolving;
mod sent;
mod tls;

use std::time::Duration;

use edgewatch::domain::cell::{CellKey, Credential, CredentialName};
use edgewatch::domain::observation::{
    Answer, Failure, FailureKind, HttpVersion, Observation, Phase, Purpose,
};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Part, Template};
use edgewatch::domain::secret::Secret;
use edgewatch::probe::Prober;

use crate::plan::plan;
use crate::server::{Reply, Server};

/// Runs the first cell of the plan once.
pub(crate) async fn run(plan: &Plan) -> Observation {
    let cell = plan.cells().next().expect("a cell").1;
    run_cell(plan, &cell).await
}

async fn run_cell(plan: &Plan, cell: &CellKey) -> Observation {
    let due_at = "2021-02-28T02:14:00Z".parse().unwrap();
    let started_at = "2021-02-28T02:14:01Z".parse().unwrap();
    let prober = Prober::new(plan).unwrap();
    let cell = cell.clone();
    // In a task of its own, as in the daemon, which needs the future to be `Send`.
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        prober
            .run(&cell, Purpose::Schedule, due_at, started_at)
            .await
    });
    tasks.join_next().await.expect("a task").unwrap()
}

/// The run failed in just this way, without an answer.
#[track_caller]
fn assert_failed(seen: &Observation, phase: Phase, kind: FailureKind, message: &str) {
    let expected = Failure {
        phase,
        kind,
        message: message.to_owned(),
    };
    assert_eq!(seen.failure, Some(expected));
    assert_eq!(seen.answer, None);
}

/// The run got an answer of this status and body, and no failure.
#[track_caller]
fn assert_answered(seen: &Observation, status: u16, body: &str) {
    assert_eq!(seen.failure, None);
    let answer = seen.answer.as_ref().expect("an answer");
    let text = String::from_utf8_lossy(&answer.body.bytes);
    assert_eq!((answer.status, text.as_ref()), (status, body));
}

/// A credential `gmc` with one field `password`.
pub(crate) fn with_password(plan: &mut Plan, password: &str) {
    plan.credentials = vec![Credential {
        name: "gmc".into(),
        fields: [("password".to_owned(), Secret::new(password))].into(),
        missing: None,
        unfit: std::collections::BTreeMap::new(),
        open: std::collections::BTreeSet::new(),
    }];
    plan.probes[0].with = vec!["gmc".into()];
}

pub(crate) fn password_in(before: &str, after: &str) -> Template {
    Template {
        parts: vec![
            Part::Text(before.to_owned()),
            Part::Credential(
                "password".to_owned(),
                edgewatch::domain::probe::Spelling::Plain,
            ),
            Part::Text(after.to_owned()),
        ],
    }
}

#[tokio::test]
async fn says_everything_of_a_plain_answer() {
    let server = Server::http(|_| {
        Reply::new(200)
            .header("Server", "test")
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .body("hello")
    })
    .await;
    let seen = run(&plan(&server.url("/page?q=1"))).await;

    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let answer = seen.answer.clone().expect("an answer");
    assert_eq!(
        answer,
        Answer {
            http: HttpVersion::H1_1,
            status: 200,
            headers: vec![
                header("server", "test"),
                header("x-twice", "1"),
                header("x-twice", "2"),
                header("content-length", "5"),
            ],
            body: edgewatch::domain::observation::Body {
                bytes: "hello".into(),
                wire_bytes: 5,
                truncated: false,
                sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".into(),
                decode_error: None,
            },
        }
    );
    assert_eq!(seen.failure, None);
    assert_eq!(seen.cell.to_string(), "page from here as plain");
    assert_eq!(seen.purpose, Purpose::Schedule);
    assert_eq!(seen.due_at.to_string(), "2021-02-28T02:14:00Z");
    assert_eq!(seen.started_at.to_string(), "2021-02-28T02:14:01Z");
    assert_eq!(seen.route.resolved, [server.address.ip()]);
    assert_eq!(seen.route.remote, Some(server.address));
    assert_eq!(seen.route.local, Some(server.seen()[0].peer));
    assert_eq!((seen.route.ttl, &seen.route.proxy), (None, &None));
    assert_eq!((&seen.tls, seen.hops.len()), (&None, 0));
    let phases = seen.phases;
    assert_eq!((phases.dns, phases.tls), (None, None));
    let spent = [phases.connect, phases.first_byte, phases.transfer];
    let sum: Duration = spent.iter().map(|s| s.expect("a time")).sum();
    assert!(sum <= seen.took, "{phases:?} within {:?}", seen.took);
}

#[tokio::test]
async fn a_cell_that_is_not_in_the_plan_is_our_side() {
    let mut plan = plan("http://127.0.0.1:9/");
    let mut cell = plan.cells().next().expect("a cell").1;
    cell.client = "gone".into();
    let seen = run_cell(&plan, &cell).await;
    let message = "client gone is not in the plan";
    assert_failed(&seen, Phase::Dns, FailureKind::Local, message);

    with_password(&mut plan, "hunter22");
    plan.credentials[0].missing = Some("GMC_PASSWORD is not set".to_owned());
    cell.credential = CredentialName::new("gmc");
    let seen = run_cell(&plan, &cell).await;
    let message = "credential gmc can't be used: GMC_PASSWORD is not set";
    assert_failed(&seen, Phase::Dns, FailureKind::Local, message);
}

#[tokio::test]
async fn nothing_of_a_credential_comes_back() {
    let server = Server::http(|seen| {
        let sent = seen.header("authorization").unwrap_or_default();
        let body = format!(
            "you sent {sent} and {}",
            String::from_utf8_lossy(&seen.body)
        );
        Reply::new(401).header("X-Echo", sent).body(body)
    })
    .await;
    let mut plan = plan(&server.url("/"));
    with_password(&mut plan, "p&ss-wörd");
    plan.probes[0].method = http::Method::POST;
    plan.probes[0].headers = vec![("Authorization".to_owned(), password_in("Bearer ", ""))];
    plan.probes[0].body = Some(password_in("<p>", "</p>"));
    let seen = run(&plan).await;

    let sent = &server.seen()[0];
    assert_eq!(sent.header("authorization"), Some("Bearer p&ss-wörd"));
    assert_eq!(sent.body, "<p>p&ss-wörd</p>".as_bytes());
    assert_answered(&seen, 401, "you sent Bearer [secret] and <p>[secret]</p>");
    let answer = seen.answer.as_ref().expect("an answer");
    assert_eq!(answer.header("x-echo"), Some("Bearer [secret]"));
    assert!(!format!("{seen:?}").contains("wörd"));

    // A secret that can't be sent is not shown either.
    with_password(&mut plan, "two\r\nlines");
    let seen = run(&plan).await;
    let message = "header \"Authorization\" can't be sent: its value holds a line break or another \
                   control character";
    assert_failed(&seen, Phase::FirstByte, FailureKind::Local, message);
    assert_eq!(server.seen().len(), 1);
}
