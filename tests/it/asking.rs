//! Asking beforehand and afterwards: `try`, `gate`, `report`, `postmortem`, as a person or a job meets them.

use edgewatch::domain::incident::Happening;
use jiff::SignedDuration;
use serde_json::Value;

use crate::night::Night;
use crate::world::{PASSWORD, RULE, World, run};

const TWO: &str = "de1: 127.0.0.2, us1: 127.0.0.3";

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON ({e}):\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn try_says_that_a_new_client_would_pass() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    world.partner.switch(RULE, true);
    let asked = [
        "try",
        "--user-agent",
        "Java/21.0.2",
        "--header",
        "X-Team: tis",
        "connect",
    ];
    let (code, out, err) = run(world.command(&asked)).await;
    assert_eq!(
        code, 0,
        "the new one passes, whatever the others do: {out}{err}"
    );
    assert!(
        out.contains("try · gmc"),
        "its row stands in the table:\n{out}"
    );
    assert!(out.contains("BLOCKED 1010"), "beside the others:\n{out}");
    assert!(
        out.ends_with("\"Java/21.0.2\" would pass, from de1 and us1.\n"),
        "{out}"
    );
    assert!(!out.contains(PASSWORD));
    let seen = world.partner.requests();
    let own: Vec<_> = seen
        .iter()
        .filter(|s| s.header("user-agent") == Some("Java/21.0.2"))
        .collect();
    assert_eq!(own.len(), 2, "once from each egress");
    assert!(own.iter().all(|s| s.header("x-team") == Some("tis")));
}

#[tokio::test(flavor = "multi_thread")]
async fn try_says_that_a_new_client_would_not_pass() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    world.partner.switch(RULE, true);
    let asked = [
        "try",
        "--user-agent",
        "Java/1.8.0_402",
        "--from",
        "us1",
        "--format",
        "json",
        "connect",
    ];
    let (code, out, _) = run(world.command(&asked)).await;
    let json = read(&out);
    assert_eq!(code, 1, "{out}");
    assert_eq!(json["try"]["outcome"], "fails");
    assert_eq!(json["try"]["client"], "try");
    assert_eq!(json["try"]["fails_from"], serde_json::json!(["us1"]));
    assert_eq!(json["try"]["passes_from"], serde_json::json!([]));
    assert_eq!(
        json["try"]["sentence"],
        "\"Java/1.8.0_402\" would not pass: refused at the edge, Cloudflare 1010, HTTP 403 from us1. There `modern` passes, so it is the new client that is refused."
    );
    assert_eq!(json["conclusion"]["outcome"], "problem");
    assert!(
        json["cells"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["egress"] == "us1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn try_knows_our_own_side_and_its_own_mistakes() {
    let world = World::start().await;
    // TEST-NET-1 is on no host (RFC 5737).
    world.write("gone: 192.0.2.1", "1m", "");
    let (code, out, _) = run(world.command(&["try", "--user-agent", "Java/21", "connect"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("Can't tell whether \"Java/21\" would pass."),
        "{out}"
    );
    let refused = |arguments: &[&str]| {
        let command = world.command(arguments);
        async move {
            let (code, out, err) = run(command).await;
            assert_eq!((code, out.as_str()), (2, ""), "{err}");
            err
        }
    };
    let err = refused(&["try", "--user-agent", "Java/21", "conect"]).await;
    assert!(err.contains("there is no probe \"conect\""), "{err}");
    let err = refused(&[
        "try",
        "--user-agent",
        "Java/21",
        "--header",
        "Authorization: Bearer hunter22",
        "connect",
    ])
    .await;
    assert!(
        err.contains("a secret can't stand on a command line"),
        "{err}"
    );
    assert!(!err.contains("hunter22"), "{err}");
    let err = refused(&["try", "--user-agent", "Java\n21", "connect"]).await;
    assert!(err.contains("--user-agent"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gate_answers_from_the_store() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let gate = |arguments: &[&str]| {
        let mut all = vec!["gate", "connect"];
        all.extend(arguments);
        run(world.command(&all))
    };
    let (code, out, _) = gate(&[]).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.starts_with("unknown: ") && out.contains("edgewatch.sqlite"),
        "{out}"
    );

    // Good runs until now.
    let mut night = Night::begin(&world, SignedDuration::from_mins(3));
    let good = night.ask().await;
    for _ in 0..3 {
        night.minute(&good).await;
    }
    night.flush().await;
    let (code, out, err) = gate(&[]).await;
    assert_eq!(
        (code, err.as_str()),
        (0, ""),
        "while the store is open for writing: {out}"
    );
    assert!(
        out.starts_with("safe: connect passes in all 4 cells, the oldest asked "),
        "{out}"
    );
    let (code, out, _) = gate(&["--as", "modern", "--from", "us1", "--max-age", "0s"]).await;
    assert_eq!(code, 2);
    assert!(
        out.starts_with("unknown: stale: connect from us1 as modern with gmc ran last "),
        "{out}"
    );
    let (code, out, _) = gate(&["--format", "json"]).await;
    let json = read(&out);
    assert_eq!(
        (code, &json["safe"], &json["state"]),
        (0, &Value::Bool(true), &"safe".into())
    );
    assert_eq!(json["cells"].as_array().unwrap().len(), 4);
    assert_eq!(json["cells"][0]["kind"], "pass");
    night.end().await;

    let (code, out, err) = gate(&["--as", "modrn"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("there is no client \"modrn\""), "{err}");
    let (code, _, err) = gate(&["--max-age", "10"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("write \"10s\" or \"5m\""), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gate_is_shut_by_an_open_incident_and_only_for_its_cells() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    refused(&world).await;
    let (code, out, _) = run(world.command(&["gate", "connect"])).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.starts_with("blocked: INC-1 is open: GMC refuses client `legacy`"),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1, "one line: {out}");
    // A job does not need the account to be told: it only reads.
    let mut command = world.command(&["gate", "connect", "--as", "modern"]);
    command
        .env_remove("GMC_PASSWORD")
        .env_remove("GMC_USERNAME");
    let (code, out, err) = run(command).await;
    assert_eq!(code, 0, "the other client is free: {out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gate_can_probe_by_itself() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    world.partner.switch(RULE, true);
    let (code, out, _) = run(world.command(&["gate", "connect", "--now"])).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.starts_with("blocked: connect from de1 as legacy with gmc: refused at the edge, Cloudflare 1010, HTTP 403, "),
        "{out}"
    );
    assert!(out.ends_with("; 2 of 4 cells fail\n"), "{out}");
    let (code, out, _) = run(world.command(&["gate", "connect", "--now", "--as", "modern"])).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("safe: "), "{out}");

    world.write("gone: 192.0.2.1", "1m", "");
    let (code, out, _) = run(world.command(&["gate", "connect", "--now"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.starts_with("unknown: Our own side"), "{out}");
}

/// The night in which GMC's edge began to refuse `legacy`; the incident is open, the last runs are of a moment ago.
async fn refused(world: &World) {
    let mut night = Night::begin(world, SignedDuration::from_mins(10));
    let good = night.ask().await;
    world.partner.switch(RULE, true);
    let bad = night.ask().await;
    for _ in 0..2 {
        night.minute(&good).await;
    }
    night.until(&bad, Happening::Opened).await;
    while night.now < edgewatch::clock::now() {
        night.minute(&bad).await;
    }
    night.end().await;
}
