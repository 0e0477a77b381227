//! Asking beforehand and afterwards: `try`, `gate`, `report`, `postmortem`, as a person or a job meets them.

use serde_json::Value;

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
