//! `bisect` against planted rules: a real edge, the real program, and what it names.

use edgewatch::clock;
use edgewatch::domain::observation::HttpVersion;
use edgewatch::simulate::{
    Action, Clock, Edge, Form, Front, Page, Partner, Rate, RateKey, Rule, Script, Text, When,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::kept;
use crate::world::{PASSWORD, program, run};

/// An edge with one rule, and a file of requests to it.
struct Place {
    edge: Edge,
    directory: TempDir,
}

impl Place {
    async fn start(when: When, clients: &str, probes: &str, rest: &str) -> Self {
        let page = Action::Page(Page::Cloudflare {
            code: 1020,
            form: Form::Text,
        });
        Self::with(
            vec![Rule::new("planted", when, page)],
            clients,
            probes,
            rest,
        )
        .await
    }

    async fn with(rules: Vec<Rule>, clients: &str, probes: &str, rest: &str) -> Self {
        let script = Script {
            rules,
            front: Front::cloudflare(),
            ..Script::new(Clock::new(clock::now))
        };
        let edge = Edge::start(Partner::control(), script).await.unwrap();
        let directory = kept::folder();
        let host = format!("http://partner.example:{}", edge.addr().port());
        let probes: Vec<String> = probes
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let line = line.trim().replace(
                    "{ url: ",
                    &format!("{{ connect_to: 127.0.0.1, every: 5m, timeout: 5s, url: {host}"),
                );
                format!("  {line}\n")
            })
            .collect();
        let text = format!(
            "version: 1\nservice: GMC\ntimezone: Europe/London\nclients:\n{clients}credentials: {{ web: {{ cookie: {{ env: GMC_PASSWORD }} }} }}\nprobes:\n{}politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nstore: {{ path: {}/edgewatch.sqlite }}\n{rest}\n",
            probes.concat(),
            directory.path().display()
        );
        std::fs::write(directory.path().join("probes.yaml"), text).unwrap();
        Self { edge, directory }
    }

    async fn bisect(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = program(&["bisect"]);
        command
            .env("GMC_PASSWORD", PASSWORD)
            .args(arguments)
            .arg("--config")
            .arg(self.directory.path().join("probes.yaml"));
        run(command).await
    }

    async fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments = [arguments, &["--format", "json"]].concat();
        let (code, out, err) = self.bisect(&arguments).await;
        let value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}:\n{out}{err}"));
        (code, value)
    }
}

const TWO: &str = r#"
  good: { user_agent: "Mozilla/5.0 (compatible; reval)", headers: { Accept: text/xml, Accept-Language: en, X-Team: reval } }
  bad: { user_agent: "Java/1.8.0_275", headers: { Accept: "*/*", Referer: "https://old.example/", Origin: "https://old.example", X-Trace: "17", Pragma: no-cache, DNT: "1" } }
"#;
const EGRESSES: &str = "egresses: { a: { address: 127.0.0.2 }, b: { address: 127.0.0.3 } }";
const ONE: &str = "\n  java: Java/17\n";

/// A planted rule, and what must be said of it.
struct Planted {
    name: &'static str,
    when: When,
    clients: String,
    probes: String,
    arguments: &'static [&'static str],
    says: &'static str,
    rule: &'static str,
    /// The most requests that it may take.
    within: u64,
}

fn regex(pattern: &str) -> Text {
    Text::regex(pattern).unwrap()
}

fn header(name: &str, pattern: &str) -> When {
    When {
        header: Some((name.to_owned(), Text::regex(pattern).unwrap())),
        ..When::any()
    }
}

fn body(pattern: &str) -> When {
    When {
        body: Some(regex(pattern)),
        ..When::any()
    }
}

/// Some 4 KiB of prose, in which `word` stands far in.
fn prose(word: &str) -> String {
    let mut words: Vec<String> = (0..560).map(|n| format!("word{n}")).collect();
    word.clone_into(&mut words[397]);
    words.join(" ")
}

/// Two clients of one probe.
fn of_clients(name: &'static str, when: When, says: &'static str, rule: &'static str) -> Planted {
    Planted {
        name,
        when,
        clients: TWO.to_owned(),
        probes: "p: { url: /a }".to_owned(),
        arguments: &["p", "--fails", "bad", "--passes", "good"],
        says,
        rule,
        within: 8,
    }
}

/// A probe and its twin.
fn of_twins(
    name: &'static str,
    when: When,
    (bad, good): (&str, &str),
    says: &'static str,
    rule: &'static str,
    within: u64,
) -> Planted {
    Planted {
        name,
        when,
        clients: ONE.to_owned(),
        probes: format!("bad: {{ url: {bad} }}\ngood: {{ url: {good} }}"),
        arguments: &["bad", "good"],
        says,
        rule,
        within,
    }
}

/// Name, rule, the failing and the passing probe, what is said, of which rule, and the most requests.
type Twins = (
    &'static str,
    When,
    (String, String),
    &'static str,
    &'static str,
    u64,
);

fn planted() -> Vec<Planted> {
    let post = |kind: &str, body: &str| {
        format!("/a, method: POST, headers: {{ Content-Type: {kind} }}, body: {body:?}")
    };
    let xml = |inside: &str| {
        post(
            "text/xml",
            &format!("<Envelope><Body><Order><id>7</id>{inside}</Order></Body></Envelope>"),
        )
    };
    let json = |body: &str| post("application/json", body);
    let form = |body: &str| post("application/x-www-form-urlencoded", body);
    let twins = |bad: &str, good: &str| (bad.to_owned(), good.to_owned());
    let pair = |pair: &(String, String)| -> (String, String) { pair.clone() };
    let mut all = vec![
        of_clients("header present", header("referer", ""), "because of `Referer: https://old.example/`.", "referer"),
        of_clients("header value", header("origin", "old"), "because of `Origin: https://old.example`.", "origin"),
        of_clients("value of a header that both have", header("accept", r"^\*/\*$"), "because of `Accept: */*` (in place of `Accept: text/xml`).", "header"),
        of_clients("user agent", When::ua(Text::prefix("Java/")), "because of `User-Agent: Java/1.8.0_275` (in place of", "user_agent"),
        of_clients("header absent", When { lacks: vec!["accept-language".into()], ..When::any() }, "because of the lack of `Accept-Language: en`.", "header"),
        Planted {
            within: 13,
            ..of_clients("two together", When { ua: Some(Text::prefix("Java/")), ..header("referer", "old") }, "because of `User-Agent: Java/1.8.0_275` (in place of `User-Agent: Mozilla/5.0 (compatible; reval)`), together with `Referer: https://old.example/`: without one of them it gets through.", "user_agent")
        },
        Planted {
            clients: "\n  good: { user_agent: x, headers: { Host: ~, User-Agent: ~, Accept: a, X-A: b, Pragma: c } }\n  bad: { user_agent: x, headers: { Host: ~, Accept: a, X-A: b, Pragma: c, User-Agent: ~ } }\n".to_owned(),
            ..of_clients("order", When { order: Some(("x-a".into(), "user-agent".into())), ..When::any() }, "because of the order of the headers: `User-Agent` behind `Pragma` (in place of behind `Host`).", "header")
        },
        Planted {
            clients: format!(
                "\n  good: good\n  bad: {{ user_agent: good, headers: {{ {} }} }}\n",
                (0..8).map(|n| format!("X-{n}: {}", "y".repeat(600))).collect::<Vec<_>>().join(", ")
            ),
            within: 9,
            ..of_clients("size of headers", When { head_bytes: Some(3000..=usize::MAX), ..When::any() }, "because of the size of the headers, not of what is in it", "")
        },
        Planted {
            clients: "\n  good: { user_agent: x, headers: { X-A: b, Accept: c } }\n  bad: { user_agent: x, http: \"2\", headers: { X-A: d, Accept: e } }\n".to_owned(),
            ..of_clients("HTTP version", When { http: vec![HttpVersion::H2], ..When::any() }, "because of HTTP/2 (in place of HTTP/1.1).", "firewall_rule")
        },
    ];
    let word = twins(
        &xml("<comment>please select the room</comment>"),
        &xml("<comment>please take the room</comment>"),
    );
    let element = twins(
        &xml("<a>1</a><debug>true</debug><b>2</b>"),
        &xml("<a>3</a><b>4</b>"),
    );
    let lost = twins(&xml("<a>1</a>"), &xml("<a>2</a><version>5</version>"));
    let far = twins(
        &xml(&format!("<comment>{}</comment>", prose("xp_cmdshell"))),
        &xml("<comment>short</comment>"),
    );
    let other_body = twins(
        &xml(&format!("<comment>{}</comment>", prose("xp_cmdshell"))),
        &json("{\"a\":1}"),
    );
    let member = twins(
        &json(r#"{"a":1,"filter":{"debug":true,"b":2},"c":"x y"}"#),
        &json(r#"{"a":2,"filter":{"b":3},"c":"x z"}"#),
    );
    let value = twins(
        &json(r#"{"a":1,"filter":{"b":2},"c":"x"}"#),
        &json(r#"{"a":2,"filter":{"b":3},"c":"y"}"#),
    );
    let field = twins(&form("a=1&cmd=ls&b=2"), &form("a=3&b=4&c=5"));
    let size = twins(
        &xml(&format!("<comment>{}</comment>", prose("nothing"))),
        &xml("<comment>short</comment>"),
    );
    let words = twins(
        &xml("<c>one union two select three</c>"),
        &xml("<c>four</c>"),
    );
    let query = ("/a?x=1&debug=on&y=2".to_owned(), "/a?x=2&y=3".to_owned());
    let method = (
        "/a, method: PUT, body: \"a b\"".to_owned(),
        "/b, method: POST, body: \"a c\"".to_owned(),
    );
    let path = ("/admin/x?a=1".to_owned(), "/x?a=2".to_owned());
    let kind = (post("text/plain", "a"), post("text/xml", "b"));
    let cases: Vec<Twins> = vec![
        (
            "word in an XML element",
            body("select"),
            pair(&word),
            "because of the word `select` in `/Envelope/Body/Order/comment` of the body (in place of `take`).",
            "body",
            14,
        ),
        (
            "XML element",
            body("<debug>"),
            pair(&element),
            "because of the element `/Envelope/Body/Order/debug`.",
            "body",
            14,
        ),
        (
            "XML element absent",
            When {
                body: Some(regex("</a></Order>")),
                ..When::any()
            },
            pair(&lost),
            "because of the lack of the element `/Envelope/Body/Order/version`.",
            "body",
            14,
        ),
        (
            "word in 4 KiB",
            body("xp_cmdshell"),
            pair(&far),
            "because of the word `xp_cmdshell` in `/Envelope/Body/Order/comment` of the body",
            "body",
            14,
        ),
        (
            "word in 4 KiB, another body",
            body("xp_cmdshell"),
            pair(&other_body),
            "because of the word `xp_cmdshell` in `/Envelope/Body/Order/comment` of the body",
            "body",
            14,
        ),
        (
            "JSON member",
            body("\"debug\":"),
            pair(&member),
            "because of the member `/filter/debug`.",
            "body",
            14,
        ),
        (
            "JSON value",
            body("\"b\":2"),
            pair(&value),
            "because of the value `2` in `/filter/b` of the body (in place of `3`).",
            "body",
            14,
        ),
        (
            "form field",
            body("cmd="),
            pair(&field),
            "because of the field `cmd`.",
            "body",
            14,
        ),
        (
            "size of the body",
            When {
                body_bytes: Some(2000..=usize::MAX),
                ..When::any()
            },
            pair(&size),
            "because of the size of the body, not of what is in it",
            "",
            16,
        ),
        (
            "two words",
            body("union.*select"),
            pair(&words),
            "because of the words `union` and `select` in `/Envelope/Body/Order/c` of the body",
            "body",
            14,
        ),
        (
            "query key",
            When {
                query: Some(regex("debug=")),
                ..When::any()
            },
            query,
            "because of the query key `debug`.",
            "firewall_rule",
            8,
        ),
        (
            "method",
            When {
                method: vec!["PUT".into()],
                ..When::any()
            },
            method,
            "because of method PUT (in place of POST).",
            "firewall_rule",
            8,
        ),
        (
            "path",
            When::path(Text::prefix("/admin")),
            path,
            "because of path `/admin/x` (in place of `/x`).",
            "firewall_rule",
            8,
        ),
        (
            "cookie absent",
            When {
                lacks: vec!["cookie".into()],
                ..When::any()
            },
            (
                "/a, with: web, headers: { X-A: b }".to_owned(),
                "/a, with: web, headers: { Cookie: \"{{ credential.cookie }}\" }".to_owned(),
            ),
            "because of the lack of `Cookie`.",
            "header",
            8,
        ),
        (
            "content type",
            header("content-type", "plain"),
            kind,
            "because of `Content-Type: text/plain` (in place of `Content-Type: text/xml`).",
            "content_type",
            8,
        ),
    ];
    for (name, when, (bad, good), says, rule, within) in cases {
        all.push(of_twins(name, when, (&bad, &good), says, rule, within));
    }
    all
}

/// Its name, the requests it took, and what is wrong with what was found.
async fn play(planted: Planted) -> (&'static str, u64, Option<String>) {
    let name = planted.name;
    let place = Place::start(planted.when, &planted.clients, &planted.probes, "").await;
    let (code, found) = place.json(planted.arguments).await;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| found[key].as_u64().unwrap_or_default();
    let requests = number("requests");
    let rule = found["because"][0]["rule"].as_str().unwrap_or_default();
    let right = text("sentence").contains(planted.says)
        && code == 1
        && rule == planted.rule
        && requests == place.edge.count() as u64
        && requests <= planted.within.min(number("requests_max"))
        && found["fails"]["status"] == 403
        && found["passes"]["status"] == 200;
    let asked = place.edge.count();
    let complaint = (!right).then(|| format!("{name}: {asked} requests, {found:#}"));
    (name, requests, complaint)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_smallest_difference_of_planted_rules() {
    let (mut counts, mut wrong) = (Vec::new(), Vec::new());
    let mut rest = planted().into_iter().peekable();
    while rest.peek().is_some() {
        let mut together = JoinSet::new();
        for planted in rest.by_ref().take(4) {
            together.spawn(play(planted));
        }
        for (name, requests, complaint) in together.join_all().await {
            counts.push((name, requests));
            wrong.extend(complaint);
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CLIENTS: &[&str] = &["p", "--fails", "bad", "--passes", "good"];

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_announces_and_sends_nothing() {
    let place = Place::start(header("referer", ""), TWO, "p: { url: /a }", "").await;
    let arguments = [CLIENTS, &["--plan"]].concat();
    let (code, out, err) = place.bisect(&arguments).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("p from default as good (should pass) and p from default as bad (should fail) differ in:\n"), "{out}");
    assert!(
        out.contains("\n  `Referer: https://old.example/`\n"),
        "{out}"
    );
    assert!(out.contains("\n  the lack of `X-Team: reval`\n"), "{out}");
    let (code, plan) = place.json(&arguments).await;
    assert_eq!((code, place.edge.count()), (0, 0));
    let (most, usual) = (&plan["requests_max"], &plan["requests_usual"]);
    let told = format!(
        "At most {most} requests to {}, {usual} when one thing alone decides",
        plan["host"].as_str().unwrap()
    );
    assert!(out.contains(&told), "{out}");
    let (code, out, _) = place.bisect(CLIENTS).await;
    assert_eq!(code, 1);
    let told = format!("7 requests were made; at most {most} were announced.");
    assert!(out.contains(&told), "{out}");
    assert!(out.starts_with("GMC refuses the request at Cloudflare because of `Referer: https://old.example/`. With it: refused at the edge, Cloudflare 1020, HTTP 403; without it: an ordinary answer, HTTP 200.\n"), "{out}");
    assert!(
        out.contains("\nFails: refused at the edge, Cloudflare 1020, HTTP 403, reference "),
        "{out}"
    );
    // Whatever was sent is what one of the two sends.
    let ours = ["good", "bad"].map(|_| TWO);
    for seen in place.edge.requests() {
        for (name, value) in &seen.headers {
            let own = name == "Host" || ours.iter().any(|file| file.contains(value.as_str()));
            assert!(own, "{name}: {value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bisection_goes_on_from_its_journal() {
    let place = Place::start(header("referer", ""), TWO, "p: { url: /a }", "").await;
    let file = place.directory.path().join("journal.jsonl");
    let journal = ["--journal", file.to_str().unwrap()];
    let (code, found) = place
        .json(&[CLIENTS, &journal, &["--requests", "4"]].concat())
        .await;
    assert_eq!((code, &found["outcome"]), (2, &"spent".into()), "{found:#}");
    assert_eq!(place.edge.count(), 4);
    let sentence = found["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("What flips the answer is among: "),
        "{sentence}"
    );
    assert!(
        sentence.contains("`Referer: https://old.example/`"),
        "{sentence}"
    );
    let (code, found) = place.json(&[CLIENTS, &journal].concat()).await;
    assert_eq!((code, &found["outcome"]), (1, &"found".into()), "{found:#}");
    assert_eq!((place.edge.count(), &found["requests"]), (7, &3.into()));
    let (code, out, err) = place
        .bisect(&[&["p", "--fails", "good", "--passes", "bad"], &journal[..]].concat())
        .await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("it is of other requests; name another file"),
        "{err}"
    );
    assert_eq!(place.edge.count(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_forbid_covers_is_never_sent() {
    let twins = "bad: { url: /a, method: POST, body: \"<c>a b d</c>\" }\ngood: { url: /a, method: POST, body: \"<c>a x c</c>\" }";
    let place = Place::start(body("d</c>"), ONE, twins, "forbid: { body: \"b c\" }").await;
    let (code, found) = place.json(&["bad", "good"]).await;
    assert_eq!(code, 1, "{found:#}");
    let sentence = found["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("because of the word `d` in `/c` of the body (in place of `c`)."),
        "{found:#}"
    );
    assert_eq!(found["enough"], Value::Null, "{found:#}");
    let bodies: Vec<_> = place
        .edge
        .requests()
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(bodies, ["<c>a x c</c>", "<c>a b d</c>", "<c>a x d</c>"]);
    let (_, out, _) = place.bisect(&["bad", "good"]).await;
    assert!(out.contains("requests between the two were not made, because `forbid` does not allow them: its body holds \"b c\"."), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_not_sent_again() {
    let denied = Action::Answer {
        status: 401,
        headers: vec![("www-authenticate".into(), "Bearer".into())],
        body: String::new(),
    };
    let when = When::ua(Text::prefix("Java/"));
    let probe = "p: { url: /a, with: web, headers: { Cookie: \"{{ credential.cookie }}\" } }";
    let place = Place::with(vec![Rule::new("r", when, denied)], TWO, probe, "").await;
    let (code, found) = place.json(CLIENTS).await;
    assert_eq!((code, place.edge.count()), (2, 2), "{found:#}");
    assert_eq!(
        found["stopped"],
        "the credential itself is refused, so no more requests are made with it"
    );
    assert!(!found.to_string().contains(PASSWORD));
    // Without a credential the same is looked into.
    let place = Place::with(
        vec![Rule::new(
            "r",
            When::ua(Text::prefix("Java/")),
            Action::Answer {
                status: 401,
                headers: Vec::new(),
                body: String::new(),
            },
        )],
        TWO,
        "p: { url: /a }",
        "",
    )
    .await;
    let (code, found) = place.json(CLIENTS).await;
    assert_eq!(
        (code, &found["because"][0]["rule"]),
        (1, &"user_agent".into()),
        "{found:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_as_it_is_told_or_stops() {
    let slow_down = |seconds: &str| Action::Answer {
        status: 429,
        headers: vec![("retry-after".into(), seconds.into())],
        body: "slow down".into(),
    };
    let rate = Rate {
        limit: 4,
        ..Rate::per_minute(RateKey::Host, 4)
    };
    let rate = Rate {
        window: std::time::Duration::from_secs(1),
        ..rate
    };
    let page = Action::Page(Page::Cloudflare {
        code: 1020,
        form: Form::Text,
    });
    let planted = Rule::new("planted", header("referer", ""), page);
    let limit = |seconds| Rule::new("limit", When::any(), slow_down(seconds)).rate(rate);
    let place = Place::with(vec![limit("1"), planted.clone()], TWO, "p: { url: /a }", "").await;
    let (code, found) = place.json(CLIENTS).await;
    assert_eq!(
        (code, &found["because"][0]["rule"]),
        (1, &"referer".into()),
        "{found:#}"
    );
    let requests = place.edge.requests();
    assert_eq!(
        found["requests"],
        requests.len(),
        "those that were told to wait count"
    );
    let limited = requests
        .iter()
        .position(|seen| seen.rule.as_deref() == Some("limit"));
    if let Some(at) = limited {
        let waited = requests[at + 1].at.duration_since(requests[at].at);
        assert!(waited.as_secs_f64() >= 0.99, "{waited:?}");
    }
    let always = Rule::new("limit", When::any(), slow_down("3600"));
    let place = Place::with(vec![always, planted], TWO, "p: { url: /a }", "").await;
    let (code, found) = place.json(CLIENTS).await;
    assert_eq!((code, place.edge.count()), (2, 1), "{found:#}");
    assert_eq!(found["stopped"], "the host asks to wait 3600 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_head_stands_in_for_a_client() {
    let place = Place::start(
        header("referer", ""),
        TWO,
        "p: { url: /a, as: [bad, good] }",
        "",
    )
    .await;
    let file = place.directory.path().join("head.txt");
    std::fs::write(&file, "GET /a HTTP/1.1\nHost: partner.example\nUser-Agent: Java/1.8.0_275\nAccept: */*\nOrigin: https://old.example\nX-Trace: 17\nPragma: no-cache\nDNT: 1\n").unwrap();
    let head = file.to_str().unwrap();
    let (code, found) = place
        .json(&[
            "p",
            "--fails",
            "bad",
            "--passes",
            "bad",
            "--passes-head",
            head,
        ])
        .await;
    assert_eq!((code, place.edge.count()), (1, 2), "{found:#}");
    assert!(
        found["sentence"]
            .as_str()
            .unwrap()
            .contains("because of `Referer: https://old.example/`."),
        "{found:#}"
    );
    std::fs::write(
        &file,
        "GET /a HTTP/1.1\nHost: partner.example\nUser-Agent: Java/1.8.0_275\nX-New: hunter2\n",
    )
    .unwrap();
    let (code, out, err) = place
        .bisect(&[
            "p",
            "--fails",
            "bad",
            "--passes",
            "bad",
            "--passes-head",
            head,
        ])
        .await;
    assert_eq!((code, out.as_str(), place.edge.count()), (2, "", 2));
    assert!(
        err.contains("header X-New: no client or probe of the file sends it with that value"),
        "{err}"
    );
    assert!(!err.contains("hunter2"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_can_not_be_compared() {
    let probes = "p: { url: /a, as: [bad, good] }\nq: { url: /a, as: bad }";
    let place = Place::start(
        When {
            lacks: vec!["x-never".into()],
            ..When::any()
        },
        TWO,
        probes,
        "",
    )
    .await;
    let check = async |arguments: &[&str], expected: &str| {
        let (code, out, err) = place.bisect(arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(expected), "{err}");
    };
    check(
        &["p"],
        "probe \"p\" has several clients; name one as --fails: bad, good",
    )
    .await;
    check(
        &["x"],
        "there is no probe \"x\" in the file; there are: p, q",
    )
    .await;
    check(
        &["p", "--fails", "best", "--passes", "good"],
        "probe \"p\" has no client \"best\"; it has: bad, good",
    )
    .await;
    check(
        &["p", "q", "--fails", "bad"],
        "the two requests do not differ in anything",
    )
    .await;
    assert_eq!(place.edge.count(), 0);
    let (code, found) = place.json(&["p", "--fails", "bad"]).await;
    assert_eq!((code, place.edge.count()), (2, 1), "{found:#}");
    assert_eq!(
        found["stopped"],
        "the request that should pass does not: refused at the edge, Cloudflare 1020, HTTP 403"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parts_that_differ_are_told_apart_by_a_bisection_alone() {
    let place = Place::start(header("referer", ""), TWO, "p: { url: /a }", EGRESSES).await;
    let mut command = program(&["once", "--config"]);
    command.arg(place.directory.path().join("probes.yaml"));
    command.env("GMC_PASSWORD", PASSWORD);
    let (code, out, err) = run(command).await;
    assert_eq!(code, 1, "{out}{err}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "requests of `bad` and of `good`, which pass, differ in User-Agent, Accept, Referer, Origin, X-Trace, Pragma and 3 more: which of these decides is not known",
        "Ask GMC to allow requests like those of client `bad` (user agent `Java/1.8.0_275`; they differ from those of `good`, which pass, also in Accept, Referer,",
        "Would tell: `edgewatch bisect p --fails bad --passes good --from a`",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
    assert!(!out.contains("the user agent `Java/1.8.0_275`"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_the_answer_names_is_blamed_and_not_the_user_agent() {
    let headers = [
        ("Server", "cloudflare"),
        ("CF-RAY", "a11e87a2a8b94cbb-FRA"),
        ("Content-Type", "text/plain; charset=UTF-8"),
    ];
    let page = Action::Answer {
        status: 403,
        headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        body: "error code: 1011".to_owned(),
    };
    let clients = r#"
  good: { user_agent: "reval/2", headers: { Accept: "*/*" } }
  bad: { user_agent: "reval/2", headers: { Accept: "*/*", Referer: "https://old.example/" } }
"#;
    let rule = Rule::new("hotlink", header("referer", "old"), page);
    let place = Place::with(vec![rule], clients, "p: { url: /a }", EGRESSES).await;
    let mut command = program(&["once", "--config"]);
    command.arg(place.directory.path().join("probes.yaml"));
    command.env("GMC_PASSWORD", PASSWORD);
    let (code, out, err) = run(command).await;
    assert_eq!(code, 1, "{out}{err}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "GMC refuses the Referer that client `bad` sends (`https://old.example/`) at Cloudflare",
        "not the user agent",
        "Change or drop `Referer: https://old.example/`, or ask GMC to allow it",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}
