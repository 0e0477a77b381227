//! Answers that are small and dear to read: nobody else waits for them, and they say whose limit they met.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgewatch::app::round;
use edgewatch::domain::condition::{Compare, Condition, Conditions, TextMatch};
use edgewatch::domain::observation::Purpose;
use edgewatch::domain::verdict::{Kind, Maker, Verdict};
use edgewatch::lang::xpath::XPath;
use edgewatch::probe::Prober;
use serde_json_path::JsonPath;

use crate::plan::plan;
use crate::server::{Reply, Server};

/// What a step of another run may be late by, on a machine that is busy with the rest of the suite.
const LATE: Duration = Duration::from_millis(250);

/// Runs a probe of an answer on one thread, and sees how late everything else on that thread gets.
async fn read(reply: Reply, expected: Condition) -> (Verdict, Duration, Duration) {
    let server = Server::http(move |_| reply.clone()).await;
    let mut plan = plan(&server.url("/"));
    plan.probes[0].expect.conditions = Conditions(vec![expected]);
    let plan = Arc::new(plan);
    let prober = Prober::new(&plan).unwrap();
    let cell = plan.cells().next().unwrap().1;
    let due = "2021-02-28T02:14:00Z".parse().unwrap();
    let began = Instant::now();
    let usuals = round::Usuals::default();
    let mut run = Box::pin(round::run(
        &plan,
        &prober,
        &usuals,
        &cell,
        Purpose::Schedule,
        due,
    ));
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let (mut before, mut late) = (Instant::now(), Duration::ZERO);
    let judged = loop {
        tokio::select! {
            judged = &mut run => break judged,
            _ = tick.tick() => {}
        }
        late = late.max(before.elapsed());
        before = Instant::now();
    };
    (judged.verdict, began.elapsed(), late)
}

/// XML in which each element declares namespaces within those of all around it.
fn nested(declared: usize, levels: usize, inside: &str) -> String {
    let names = |level: usize| {
        (0..declared).fold(String::new(), |all, n| {
            all + &format!(" xmlns:n{level}x{n}='u'")
        })
    };
    let open = (0..levels).fold(String::new(), |all, level| {
        all + &format!("<a{}>", names(level))
    });
    format!("{open}{inside}{}", "</a>".repeat(levels))
}

fn xpath(text: &str) -> Condition {
    Condition::Xml(XPath::new(text, &[]).unwrap())
}

fn jsonpath(text: &str) -> Condition {
    Condition::Json {
        path: JsonPath::parse(text).unwrap(),
        compare: Compare::Exists,
    }
}

fn says(verdict: &Verdict, part: &str) -> bool {
    verdict.evidence.iter().any(|sign| sign.text.contains(part))
}

#[tokio::test]
async fn what_is_dear_to_read_is_our_limit_and_nobody_waits() {
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let wide = format!("<a>{}</a>", "<b>1</b>".repeat(20_000));
    let cases = [
        (
            "namespaces",
            Reply::new(200).body(nested(200, 24, "<x/>")),
            xpath("//x"),
        ),
        (
            "descendants",
            Reply::new(200).body(deep),
            jsonpath("$..*..*..*..*..*"),
        ),
        (
            "comparisons",
            Reply::new(200).body(wide),
            xpath("//b[count(//b[. = //b]) = 0]"),
        ),
    ];
    for (name, reply, expected) in cases {
        let (verdict, took, late) = read(reply, expected).await;
        assert_eq!(
            (verdict.kind, verdict.maker),
            (Kind::Unexpected, Maker::Unknown),
            "{name}"
        );
        assert!(says(&verdict, "our limit"), "{name}: {verdict:?}");
        assert!(late < LATE, "{name}: {late:?}");
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_fault_of_many_namespaces_is_read_by_its_words() {
    let fault = "<s:Body><s:Fault><faultcode>s:Server</faultcode><faultstring>down</faultstring></s:Fault></s:Body>";
    let body = format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'>{fault}{}</s:Envelope>",
        nested(100, 24, "")
    );
    let reply = Reply::new(500)
        .header("Content-Type", "text/xml")
        .body(body);
    let expected = Condition::Status(vec![(200, 200)]);
    let (verdict, took, late) = read(reply, expected).await;
    assert_eq!(verdict.kind, Kind::OriginError);
    assert!(
        late < LATE && took < Duration::from_secs(5),
        "{late:?} {took:?}"
    );
}

#[tokio::test]
async fn bodies_of_many_parts_have_a_bound() {
    use std::io::Write as _;
    let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    empty.write_all(b"x").unwrap();
    let member = empty.finish().unwrap();
    let reply = Reply::new(200)
        .header("Content-Encoding", "gzip")
        .body(member.repeat(10_000));
    let expected = Condition::Body(TextMatch::Contains("y".to_owned()));
    let (verdict, took, late) = read(reply, expected).await;
    assert_eq!(verdict.kind, Kind::Unexpected);
    assert!(
        late < LATE && took < Duration::from_secs(5),
        "{late:?} {took:?}"
    );
}
