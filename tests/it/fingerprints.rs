//! Edges that judge who asks by more than the user agent, and a real JVM whose requests they let through or not.
//!
//! The machine, the prober, the classifier and the sockets are the daemon's; an hour passes in seconds. What is told must be
//! true of the JVM, name nobody who passes, and come within three minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use edgewatch::clock;
use edgewatch::config::{self, Remembered};
use edgewatch::domain::diagnosis::{Cause, Level};
use edgewatch::domain::incident::Incident;
use edgewatch::domain::notification::{Notification, Reason};
use edgewatch::domain::verdict::Factor;
use edgewatch::simulate::{
    Action, Certificate, Edge, Form, Front, Page, Partner, Rule, Script, Text, When,
};

use crate::live::driver::{Driver, after};
use crate::live::stage::Hand;
use crate::workers::java;

/// From the onset to what is told, and on to see that it stays so.
const WITHIN_S: f64 = 180.0;
const AND_ON_S: f64 = 900.0;
const WARM_UP_S: f64 = 130.0;

/// What a night with one edge brought.
struct Night {
    jvm: String,
    incidents: Vec<Incident>,
    /// Messages of incidents, first ones first, and seconds from the onset.
    told: Vec<(f64, Notification)>,
    notices: Vec<Notification>,
}

impl Night {
    fn headlines(&self) -> Vec<&str> {
        let told = self.told.iter().map(|(_, message)| message);
        let engineers = told.filter(|message| message.receiver.as_str() == "engineers");
        engineers
            .map(|message| message.briefing.headline.as_str())
            .collect()
    }

    /// No incident, and one notice that says this.
    fn check_notice(&self, headline: &str) {
        assert_eq!(self.headlines(), [] as [&str; 0]);
        let [notice] = self.notices.as_slice() else {
            panic!("{:#?}", self.notices);
        };
        let said = &notice.briefing;
        assert_eq!(said.headline, headline);
        assert!(said.our_side, "it is nobody else's trouble");
        let step = said.next_step.as_deref().unwrap_or_default();
        assert!(step.starts_with("Ask nobody for anything"), "{step}");
        let waited = notice.created_at.duration_since(said.onset_at);
        assert!(waited.as_secs_f64() <= WITHIN_S, "{waited}");
    }
}

fn file(port: u16, java: &[String], agent: &str) -> String {
    let command = serde_json::to_string(java).unwrap();
    format!(
        r#"version: 1
service: GMC
timezone: UTC
trust: [root.pem]
egresses: {{ de1: 127.0.0.2, us1: 127.0.0.3 }}
clients:
  jvm: {{ user_agent: "{agent}", command: {command}, worker: {{ keep: true }} }}
  batch: "{agent}"
  web: "shop/2.1"
  plain: {{ user_agent: monitor, control: true }}
probes:
  ws: {{ url: "https://partner.test:{port}/", connect_to: 127.0.0.1, every: 1m, timeout: 20s }}
politeness: {{ per_host: {{ requests_per_minute: 600, gap: 0s }} }}
notify:
  receivers: {{ engineers: {{ log: {{}} }}, support: {{ log: {{}} }} }}
  routes: [{{ to: engineers }}, {{ to: support, min_confidence: 0.9, notices: false }}]
"#
    )
}

/// A night in which the edge refuses what the rule says, which knows the fingerprint of the JVM.
async fn night(rule: impl Fn(&str) -> When) -> Night {
    let java = java("HttpUrlConnection").command;
    let version = version(&java[0]);
    let agent = format!("Java/{version}");
    let jvm = fingerprint(&java, &agent).await;
    let begin = clock::now();
    let hand = Hand::at(begin);
    let edge = edge(&hand, rule(&jvm)).await;
    let mut driver = driver(&edge, &java, &agent, hand, begin);
    let onset = after(begin, WARM_UP_S);
    driver.until(onset).await;
    assert!(driver.seen.changes.is_empty() && driver.seen.notices.is_empty());
    edge.switch("rule", true);
    driver.until(after(onset, AND_ON_S)).await;
    let told = driver.seen.changes.iter().flat_map(|(at, change)| {
        let seconds = at.duration_since(onset).as_secs_f64();
        let all = change.notifications.iter();
        all.map(move |message| (seconds, message.clone()))
    });
    Night {
        jvm,
        told: told.collect(),
        incidents: driver.incidents().cloned().collect(),
        notices: driver.seen.notices.clone(),
    }
}

fn driver(edge: &Edge, java: &[String], agent: &str, hand: Hand, begin: jiff::Timestamp) -> Driver {
    let text = file(edge.addr().port(), java, agent);
    let files = BTreeMap::from([("root.pem".to_owned(), edge.root_pem().unwrap())]);
    let inputs = Remembered {
        env: &BTreeMap::new(),
        variables: &BTreeMap::new(),
        files: &files,
    };
    let checked = config::read(&text, "probes.yaml", &inputs);
    let mut plan = checked.unwrap_or_else(|found| panic!("{found:?}")).plan;
    // A busy machine must not look like a slow partner.
    for probe in &mut plan.probes {
        probe.timeout = Duration::from_secs(30);
    }
    Driver::new(plan, hand, begin)
}

async fn edge(hand: &Hand, when: When) -> Edge {
    let page = Action::Page(Page::Cloudflare {
        code: 1010,
        form: Form::Text,
    });
    let script = Script {
        tls: Some(Certificate {
            names: vec!["partner.test".to_owned()],
            ..Certificate::default()
        }),
        front: Front::cloudflare(),
        rules: vec![Rule::new("rule", when, page).off()],
        ..Script::new(hand.clock())
    };
    Edge::start(Partner::control(), script).await.unwrap()
}

/// As the JVM itself calls it, for the default of its user agent.
fn version(java: &str) -> String {
    let mut command = std::process::Command::new(java);
    let output = command
        .args(["-XshowSettings:properties", "-version"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("java.version = "));
    line.expect("a version").to_owned()
}

/// What the JVM sends, as an edge without a rule sees it.
async fn fingerprint(java: &[String], agent: &str) -> String {
    let begin = clock::now();
    let hand = Hand::at(begin);
    let edge = edge(&hand, When::any()).await;
    let text = file(edge.addr().port(), java, agent);
    let files = BTreeMap::from([("root.pem".to_owned(), edge.root_pem().unwrap())]);
    let inputs = Remembered {
        env: &BTreeMap::new(),
        variables: &BTreeMap::new(),
        files: &files,
    };
    let plan = config::read(&text, "probes.yaml", &inputs).unwrap().plan;
    let seen = crate::probe::run(&plan).await;
    assert_eq!(seen.failure, None);
    seen.sent.unwrap().ja4.unwrap()
}

/// A: all Java services are refused, whatever they call themselves.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_refuses_the_fingerprint_of_the_jvm() {
    let night = night(|jvm| When {
        ja4: Some(Text::exact(jvm)),
        ..When::any()
    })
    .await;
    let [incident] = night.incidents.as_slice() else {
        panic!("{:#?}", night.headlines());
    };
    let stack = Level::Stack {
        ja4: night.jvm.clone(),
        clients: vec!["jvm".into()],
    };
    assert_eq!(incident.diagnosis.cause, Cause::Level(stack));
    let told = format!(
        "GMC refuses the TLS fingerprint `{}` of client `jvm` at Cloudflare, not its user agent",
        night.jvm
    );
    assert_eq!(night.headlines().last(), Some(&told.as_str()));
    let named = night
        .told
        .iter()
        .find(|(_, message)| message.briefing.headline == told);
    let (at, message) = named.expect("it was told");
    assert!(*at <= WITHIN_S, "{at} s");
    let step = message.briefing.next_step.as_deref().unwrap_or_default();
    let ask = format!(
        "Ask GMC to allow the TLS fingerprint (JA4) `{}` for these",
        night.jvm
    );
    assert!(step.starts_with(&ask), "{step}");
    let support = night.told.iter().map(|(_, message)| message);
    let support = support.filter(|m| m.receiver.as_str() == "support");
    let plain: Vec<_> = support
        .filter_map(|m| m.briefing.plain.why.clone())
        .collect();
    assert_eq!(
        plain.last().map(String::as_str),
        Some(
            "A security system in front of GMC turns away one of our programs; the others get through."
        )
    );
    assert!(night.notices.is_empty(), "{:#?}", night.notices);
}

/// B: the user agent of Java without the JVM's fingerprint, which only edgewatch sends.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_refuses_java_without_the_fingerprint_of_java() {
    let night = night(|jvm| When {
        ua: Some(Text::prefix("Java/")),
        other_ja4_than: Some(Text::exact(jvm)),
        ..When::any()
    })
    .await;
    night.check_notice(
        "Only edgewatch's stand-in `batch` is refused at Cloudflare; `jvm` passes with the same user agent and its own TLS",
    );
}

/// C: rustls, whatever it calls itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_refuses_edgewatch_itself() {
    let night = night(|jvm| When {
        other_ja4_than: Some(Text::exact(jvm)),
        ..When::any()
    })
    .await;
    night.check_notice(
        "Only edgewatch itself is refused at Cloudflare: every client over its own TLS fails, `jvm` passes with another",
    );
}

/// D: the headers of Java in an order that Java does not write.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_refuses_java_with_its_headers_in_another_order() {
    let night = night(|_| When {
        ua: Some(Text::prefix("Java/")),
        first_header: Some(Text::exact("Host")),
        ..When::any()
    })
    .await;
    night.check_notice(
        "Only edgewatch's stand-in `batch` is refused at Cloudflare; `jvm` passes with the same user agent and its own TLS",
    );
}

/// The user agent alone, as in March 2021: the stack is ruled out by the pair that fails alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_refuses_the_user_agent_whatever_the_fingerprint() {
    let night = night(|_| When::ua(Text::prefix("Java/"))).await;
    let [incident] = night.incidents.as_slice() else {
        panic!("{:#?}", night.headlines());
    };
    let headline = night
        .headlines()
        .last()
        .copied()
        .unwrap_or_default()
        .to_owned();
    assert!(
        headline.starts_with("GMC refuses every `Java` client"),
        "{headline}"
    );
    let cleared = incident
        .diagnosis
        .ruled_out
        .iter()
        .find(|out| out.factor == Factor::Stack);
    assert_eq!(
        cleared.map(|out| out.because.as_str()),
        Some("`jvm` over its own TLS and `batch` over edgewatch's fail alike")
    );
    let opened = night
        .told
        .iter()
        .filter(|(_, m)| m.reason == Reason::Opened);
    assert!(opened.clone().count() > 0 && night.notices.is_empty());
    assert!(opened.into_iter().all(|(at, _)| *at <= WITHIN_S));
}
