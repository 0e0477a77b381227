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
    assert!(err.contains("a secret can't stand here"), "{err}");
    assert!(!err.contains("hunter22"), "{err}");
    let err = refused(&["try", "--user-agent", "Java\n21", "connect"]).await;
    assert!(err.contains("--user-agent"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn try_says_whether_work_can_move_to_a_new_address() {
    let server = crate::server::Server::http(|seen| {
        let listed = seen.peer.ip() != std::net::IpAddr::from([127, 0, 0, 9]);
        crate::server::Reply::new(if listed { 200 } else { 403 }).body("[]")
    })
    .await;
    let folder = crate::kept::folder();
    let text = format!(
        "version: 1\nservice: Acme\negresses: {{ old: 127.0.0.2 }}\nclients: {{ batch: batch/1, shop: shop/2 }}\n\
         probes:\n  orders: {{ url: \"http://api.acme.example:{}/\", connect_to: 127.0.0.1, every: 5m }}\n\
         politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 20ms }} }}\nstore: {{ path: edgewatch.sqlite }}\n",
        server.address.port()
    );
    std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
    let asked = |arguments: &'static [&'static str]| {
        let mut command = crate::world::program(arguments);
        command.current_dir(folder.path());
        async move {
            let (code, out, err) = run(command).await;
            (code, out + &err)
        }
    };
    let (code, out) = asked(&["try", "orders", "--from", "127.0.0.8", "--format", "json"]).await;
    assert_eq!(code, 0, "{out}");
    let json = read(&out);
    assert_eq!(
        json["try"]["sentence"],
        "Requests from 127.0.0.8 would pass, as `batch` and `shop`."
    );
    let (code, out) = asked(&["try", "orders", "--from", "127.0.0.9", "--format", "json"]).await;
    assert_eq!(code, 1, "{out}");
    let json = read(&out);
    assert_eq!(
        json["try"]["fails_as"],
        serde_json::json!(["batch", "shop"])
    );
    let sentence = json["try"]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Requests from 127.0.0.9 would not pass: "),
        "{sentence}"
    );
    assert!(
        sentence
            .ends_with("so it is the new one that is refused: ask for it before work moves there."),
        "{sentence}"
    );
    // TEST-NET-1 is on no host (RFC 5737).
    let (code, out) = asked(&["try", "orders", "--from", "192.0.2.1"]).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("Can't tell whether requests from 192.0.2.1 would pass."),
        "{out}"
    );
    let (code, out) = asked(&["try", "orders", "--from", "old"]).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("is an egress of the file"), "{out}");
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
    Box::pin(refused(&world)).await;
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
    let cause = "blocked: GMC refuses client `legacy` (Java/1.8.0_275) at Cloudflare (error 1010), from every egress";
    assert!(out.starts_with(cause), "{out}");
    assert!(
        out.contains(" (by one round; connect from de1 as legacy with gmc: refused at the edge, Cloudflare 1010, HTTP 403, "),
        "{out}"
    );
    assert!(out.ends_with("; 2 of 4 cells fail)\n"), "{out}");
    let (code, out, _) = run(world.command(&["gate", "connect", "--now", "--as", "modern"])).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("safe: "), "{out}");

    world.write("gone: 192.0.2.1", "1m", "");
    let (code, out, _) = run(world.command(&["gate", "connect", "--now"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.starts_with("unknown: Our own side"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_proxy_and_a_missing_address_are_ours() {
    let world = World::start().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let egresses = format!(
        "de1: 127.0.0.2, gone: 192.0.2.1, office: {{ proxy: \"http://127.0.0.1:{port}\" }}"
    );
    world.write(&egresses, "1m", "");
    let headline = "Our own side: requests from egresses `gone` and `office` can't be sent";
    let (code, out, _) = run(world.command(&["once"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.contains(headline), "{out}");
    assert!(out.contains("This is one round"), "{out}");

    let mut night = Night::begin(&world, SignedDuration::from_mins(6));
    let bad = night.ask().await;
    night.until(&bad, Happening::Opened).await;
    while night.now < edgewatch::clock::now() {
        night.minute(&bad).await;
    }
    night.end().await;
    let (code, out, _) = run(world.command(&["gate", "connect"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.starts_with(&format!("unknown: INC-1 is open: {headline}")),
        "{out}"
    );
    let (code, out, _) = run(world.command(&["gate", "connect", "--from", "de1"])).await;
    assert_eq!(code, 0, "another egress is free: {out}");
    let (_, out, _) = run(world.command(&["incidents"])).await;
    assert!(out.contains("INC-1") && !out.contains("INC-2"), "{out}");
    let (code, out, _) = run(world.command(&["status"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.contains(headline), "{out}");
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

#[tokio::test(flavor = "multi_thread")]
async fn report_is_a_letter_that_can_be_sent() {
    let world = World::start().await;
    world.write(
        "de1: { address: 127.0.0.2, public: 203.0.113.15 }, us1: 127.0.0.3",
        "1m",
        "",
    );
    Box::pin(refused(&world)).await;
    let (code, out, err) = run(world.command(&["report", "1"])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    // Wherever the lines break.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let letter = words(&out);
    for part in [
        "| For us: the public address of \"us1\" is not configured",
        "Subject: connect.gmc.example:",
        "with the user agent",
        "\"Java/1.8.0_275\" (our client \"legacy\") are refused by Cloudflare",
        "1010 is a code of Cloudflare",
        "It is not one of GMC's own return codes.",
        "1. Please allow requests to connect.gmc.example",
        "de1: 203.0.113.15 (public address)\n",
        "us1: [public address: to be filled in], local address 127.0.0.3",
        "Ray IDs of failed requests",
        "--interface 127.0.0.",
        "-A 'Java/1.8.0_275'",
        "-A 'Java/11.0.10'",
        "-H 'SOAPAction: https://webcache.gmc-uk.org/GMCWebServices/CheckRecommendationStatus'",
        "{{ credential.password }}",
        " UTC (",
        "- not our account \"gmc\": with it, a request passes as our client \"modern\"",
        "Confidence in this cause: ",
    ] {
        assert!(
            letter.contains(words(part).as_str()),
            "{part:?} is missing:\n{out}"
        );
    }
    assert!(!out.contains(PASSWORD), "a secret is shown:\n{out}");

    let (code, out, _) = run(world.command(&["report", "INC-1", "--format", "json"])).await;
    let json = read(&out);
    assert_eq!(code, 0);
    assert!(!out.contains(PASSWORD));
    assert_eq!(json["incident"], 1);
    assert_eq!(json["state"], "open");
    assert_eq!(json["our_side"], false);
    assert_eq!(json["recipient"], "GMC");
    assert_eq!(json["vendor"]["name"], "Cloudflare");
    assert_eq!(json["vendor"]["code"], "1010");
    assert_eq!(
        json["environment"]["addresses"][0]["public"],
        "203.0.113.15"
    );
    assert_eq!(json["until"], Value::Null);
    let matrix = json["matrix"].as_array().unwrap();
    assert_eq!(matrix.len(), 4, "{matrix:?}");
    assert!(
        matrix.iter().all(|line| line["at"].is_string()),
        "each has the time of its run"
    );
    assert!(
        json["references"]
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["at"].is_string())
    );
    assert!(
        json["failing"]["curl"]
            .as_str()
            .unwrap()
            .starts_with("curl ")
    );
    assert!(json["text"].as_str().unwrap().contains("Subject: "));

    let (code, _, err) = run(world.command(&["report", "7"])).await;
    assert_eq!(code, 2);
    assert_eq!(
        err,
        "edgewatch: there is no incident INC-7; see `edgewatch incidents list`\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_line_makes_the_same_request() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    Box::pin(refused(&world)).await;
    let (_, out, _) = run(world.command(&["report", "1", "--format", "json"])).await;
    let json = read(&out);
    let before = world.partner.requests().len();
    for (key, status) in [("failing", "HTTP/1.1 403"), ("passing", "HTTP/1.1 200")] {
        let line = json[key]["curl"]
            .as_str()
            .unwrap()
            .replace("{{ credential.username }}", "tis")
            .replace("{{ credential.password }}", PASSWORD);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line]);
        let (code, out, err) = run(shell).await;
        if code == 127 {
            println!("skipped: this host has no curl");
            return;
        }
        assert_eq!(code, 0, "{line}\n{err}");
        assert!(out.starts_with(status), "{line}\n{out}");
    }
    let seen = world.partner.requests();
    let own = |agent: &str| {
        let mut all = seen.iter().take(before);
        all.find(|s| s.header("user-agent") == Some(agent)).unwrap()
    };
    for by_curl in &seen[before..] {
        let ours = own(by_curl.header("user-agent").unwrap());
        let sorted = |s: &edgewatch::simulate::Seen| {
            let mut headers: Vec<_> = s
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect();
            headers.sort();
            headers
        };
        assert_eq!(sorted(by_curl), sorted(ours));
        assert_eq!(by_curl.body, ours.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postmortem_is_filled_from_the_facts() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let mut night = Night::begin(&world, SignedDuration::from_mins(60));
    let good = night.ask().await;
    world.partner.switch(RULE, true);
    let bad = night.ask().await;
    night.minute(&good).await;
    night.until(&bad, Happening::Opened).await;
    night.until(&good, Happening::Resolved).await;
    night.end().await;

    let (code, out, err) = run(world.command(&["postmortem", "1"])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let titles: Vec<&str> = out.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    assert_eq!(
        titles,
        [
            "Summary",
            "Impact",
            "In plain words",
            "Timeline",
            "Root cause",
            "Trigger",
            "Resolution",
            "Detection",
            "What it was not",
            "Actions",
            "Lessons",
            "Evidence",
        ]
    );
    for part in [
        "- What did not work: Submitting recommendations",
        "A security system in front of GMC turned away one of our programs",
        "Over since ",
        "| first failed run | ",
        "the same request as `modern` passed",
        "`edgewatch gate connect`",
        "**To write:** ",
    ] {
        assert!(out.contains(part), "{part:?} is missing:\n{out}");
    }
    assert!(!out.contains(PASSWORD), "a secret is shown:\n{out}");

    let (code, out, _) = run(world.command(&["postmortem", "1", "--format", "json"])).await;
    let json = read(&out);
    assert_eq!(code, 0);
    assert_eq!(json["state"], "resolved");
    assert!(json["timeline"].as_array().unwrap().len() >= 4);
    assert!(json["detection"]["opened_after_s"].as_f64().unwrap() > 0.0);
    assert!(json["evidence"]["failing"]["url"].is_string());
    assert!(!out.contains(PASSWORD));

    let (_, out, _) = run(world.command(&["report", "1"])).await;
    assert!(
        out.contains("1. Nothing has to be done now: it is over."),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn report_asks_nothing_when_the_fault_is_ours() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "");
    let mut night = Night::begin(&world, SignedDuration::from_mins(60));
    let good = night.ask().await;
    night.minute(&good).await;
    // The address is gone: every run from it fails before it leaves.
    let mut bad = good.clone();
    for judged in bad.values_mut() {
        judged.observation.answer = None;
        judged.verdict = edgewatch::domain::verdict::Verdict::new(
            edgewatch::domain::verdict::Kind::LocalError,
            edgewatch::domain::verdict::Maker::OurSide,
        );
    }
    night.until(&bad, Happening::Opened).await;
    night.end().await;
    let (code, out, err) = run(world.command(&["report", "1"])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("| For us only: the fault is on our own side. Nothing is asked of GMC;"),
        "{out}"
    );
    assert!(!out.contains("Please"), "{out}");
    let (_, out, _) = run(world.command(&["report", "1", "--format", "json"])).await;
    let json = read(&out);
    assert_eq!(
        (&json["our_side"], &json["recipient"]),
        (&Value::Bool(true), &Value::Null)
    );
    assert_eq!(json["asked"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_copied_whole_and_errors_are_json_where_results_are() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    Box::pin(refused(&world)).await;
    let folder = world.directory.path();
    let (copy, empty) = (folder.join("copy.db"), folder.join("empty.db"));
    let mut backup = world.command(&["store", "backup"]);
    backup.arg(&copy);
    let (code, out, err) = run(backup).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("edgewatch.sqlite\n"), "{out}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(&empty, "").unwrap();
    for (store, code, says) in [
        (&copy, 1, "INC-1"),
        (
            &empty,
            2,
            "empty.db holds no store; a plain copy of one that is written lacks what stands beside it, so copy with `edgewatch store backup FILE`",
        ),
    ] {
        let mut by_option = world.command(&["incidents", "list"]);
        by_option.arg("--store").arg(store);
        let mut by_variable = world.command(&["incidents"]);
        by_variable.env("EDGEWATCH_STORE", store);
        for command in [by_option, by_variable] {
            let (found, out, err) = run(command).await;
            assert_eq!(found, code, "{out}{err}");
            assert!((out + &err).contains(says), "{says}");
        }
    }

    let (code, out, err) = run(world.command(&["report", "7", "--format", "json"])).await;
    assert_eq!((code, err.as_str()), (2, ""), "{out}");
    assert_eq!(
        read(&out),
        serde_json::json!({ "error": {
            "what": "there is no incident INC-7",
            "where": null,
            "how": "see `edgewatch incidents list`",
        } })
    );
    std::fs::write(world.config(), "version: 1\nprobs: {}\n").unwrap();
    for command in [
        &["once"][..],
        &["gate", "connect"],
        &["incidents"],
        &["silence", "list"],
    ] {
        let arguments = [command, &["--format", "json"]].concat();
        let (code, out, _) = run(world.command(&arguments)).await;
        assert_eq!(code, 2, "{arguments:?}: {out}");
        let error = &read(&out)["error"];
        let place = error["where"].as_str().unwrap();
        assert!(place.ends_with("probes.yaml:1:1"), "{arguments:?}: {error}");
    }
}
