//! One oracle for everything that shows a stranger's text: whatever it says, it stays text.
//!
//! Two ways lead to it. Hostile answers go the whole way, from the wire's bytes over verdict and evidence to every
//! text that leaves the house; and briefings of any words go to every receiver, as if nothing had cleaned them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use edgewatch::domain::incident::Incident;
use edgewatch::domain::notification::{
    Briefing, Encryption, Mail, Notification, Reason, Templates,
};
use edgewatch::domain::observation::{
    Answer, Body, Certificate, Failure, FailureKind, HttpVersion, Observation, Phase, Phases,
    Purpose, Route, TlsFacts,
};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::secret::{Secret, Secrets};
use edgewatch::domain::shown::is_unsafe;
use edgewatch::notify::email::Email;
use edgewatch::notify::slack::Slack;
use edgewatch::notify::{alertmanager, log, pagerduty, plain, teams, webhook};
use edgewatch::read::classify::classify;
use edgewatch::report::{incidents, pack, postmortem, verdict};
use edgewatch::words::evidence::specimen;
use proptest::prelude::*;
use serde_json::Value;

use super::alpha::alpha;
use super::fakes::{CHANNEL, Fake, TOKEN};
use super::receivers::email::readable;
use super::samples::{REASONS, any_notification, at, cases, notification};
use super::slack::message;
use super::words::{by_name, dossier};

/// What strangers would like to be read as more than text.
const HOSTILE: &[&str] = &[
    "<!channel> <@U123> <https://evil.example|click here>",
    "[click](https://evil.example) ![x](https://evil.example/x.png)",
    "\u{1b}]0;owned\u{7}\u{1b}[31mred\u{1b}[2J",
    "a\r\nBcc: evil@evil.example\r\n\r\nhidden",
    "``` \n# heading\n## Summary\n| a | b |\n```sh\nrm -rf /",
    "**bold** _it_ ~~s~~ `code` *x*",
    "<script>alert(1)</script><img src=x onerror=y>",
    "\\<b> \\\\<b> \\[x](y) &lt;!channel&gt;",
    "\u{202e}gnp.exe\u{202c} \u{200b}\u{e0041}\u{2028}x\u{ad}",
    "{{ incident }} {% raw %} ${x} %s %n $(id) `id`",
    "Subject: other\n.\nQUIT\n- [ ] do this\n1. one\n> quote\n=== x",
    "'\"; DROP TABLE x; -- \u{0}\u{85}\u{9b}31m",
];

/// Marks that a text may have in one place, and what it then means there.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    /// Shown as it is: a terminal, a letter, an annotation.
    Plain,
    /// Slack's own.
    Mrkdwn,
    /// Teams' part of Markdown.
    Card,
    /// A document.
    Markdown,
}

/// What of `text` is read as more than text; empty: nothing.
fn wrong(format: Format, text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .chars()
        .filter(|c| *c != '\n' && is_unsafe(*c))
        .map(|c| format!("{c:?} moves or hides"))
        .collect();
    match format {
        Format::Plain => {}
        Format::Mrkdwn => {
            for (place, _) in text.match_indices('<') {
                let inside = text[place..].split('>').next().unwrap_or_default();
                let ours = ["<!date^", "<!subteam^", "<https://wiki.example", "<mailto:"];
                if !ours.iter().any(|mark| inside.starts_with(mark)) {
                    found.push(format!("{inside}> is a mark"));
                }
            }
            let known = ["&amp;", "&lt;", "&gt;"];
            for (place, _) in text.match_indices('&') {
                if !known.iter().any(|entity| text[place..].starts_with(entity)) {
                    found.push("a bare &".to_owned());
                }
            }
            if text.matches("```").count() % 2 == 1 {
                found.push("a block of code without an end".to_owned());
            }
        }
        Format::Card | Format::Markdown => {
            let mut fenced = false;
            for line in text.lines() {
                if line.starts_with("```") {
                    fenced = !fenced;
                }
                let bare = without_escapes(line);
                if !fenced && bare.contains("](") {
                    found.push(format!("a link: {line:?}"));
                }
                if !fenced && bare.contains('<') {
                    found.push(format!("HTML: {line:?}"));
                }
            }
            if fenced {
                found.push("a block of code without an end".to_owned());
            }
        }
    }
    found
}

fn without_escapes(line: &str) -> String {
    let mut bare = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            characters.next();
        } else {
            bare.push(character);
        }
    }
    bare
}

thread_local! {
    /// All that is wrong, so that one fault hides no other.
    static FOUND: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

fn holds(what: &str, format: Format, text: &str) {
    let found = wrong(format, text);
    let found = found.into_iter().map(|why| format!("{what}: {why}"));
    FOUND.with_borrow_mut(|all| all.extend(found));
}

#[track_caller]
fn none_found() {
    let found = FOUND.with_borrow_mut(std::mem::take);
    assert!(found.is_empty(), "{found:#?}");
}

/// Every text of a document, in the format that its place has.
fn each(value: &Value, own: Format, visit: &mut impl FnMut(Format, &str)) {
    match value {
        Value::String(text) => visit(own, text),
        Value::Array(list) => list.iter().for_each(|value| each(value, own, visit)),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            for (name, value) in members {
                visit(Format::Plain, name);
                let plain = name == "url"
                    || matches!(kind, Some("plain_text" | "text"))
                    || own == Format::Card
                        && !matches!(
                            name.as_str(),
                            "body"
                                | "text"
                                | "content"
                                | "attachments"
                                | "items"
                                | "columns"
                                | "facts"
                                | "title"
                                | "value"
                        );
                each(value, if plain { Format::Plain } else { own }, visit);
            }
        }
        _ => {}
    }
}

fn all_hold(what: &str, value: &Value, format: Format) {
    each(value, format, &mut |format, text| holds(what, format, text));
}

pub(crate) fn mail() -> Email {
    let mail = Mail {
        host: "localhost".into(),
        port: 25,
        encryption: Encryption::None,
        login: None,
        hello: "monitor.example.org".into(),
        from: "edgewatch <alerts@example.org>".into(),
        to: vec!["ann@example.org".into()],
        plain: false,
        roots: Vec::new(),
    };
    Email::new(&mail, Duration::from_secs(1)).unwrap()
}

/// The fields of a mail's head, in their order; a stranger adds none.
const HEAD: &[&str] = &[
    "Message-ID",
    "In-Reply-To",
    "References",
    "Date",
    "From",
    "To",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Precedence",
    "Importance",
    "X-Priority",
    "Priority",
    "List-Id",
];

/// Every receiver but Slack, which is asked over its API.
fn receivers(mail: &Email, notification: &Notification) {
    let message = message(notification);
    all_hold("Teams", &teams::payload(&message), Format::Card);
    all_hold("webhook", &webhook::payload(&message), Format::Plain);
    all_hold("PagerDuty", &pagerduty::payload(&message), Format::Plain);
    let alert = alertmanager::standing(&message, &[], None).alert(message.now);
    all_hold("Alertmanager", &alert, Format::Plain);
    holds(
        "plain words",
        Format::Plain,
        &plain::text(&message, &Templates::default()),
    );
    holds("log", Format::Plain, &log::text(&message));
    holds(
        "log, with evidence",
        Format::Plain,
        &log::text_with_evidence(&message),
    );
    let letter = mail.letter(&message).unwrap();
    let read = readable(&letter);
    holds("mail", Format::Plain, &read);
    let (head, _) = read.split_once("\n\n").unwrap();
    for line in head.lines().filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split(':').next().unwrap_or_default();
        if !HEAD.contains(&name) && !name.starts_with("X-Edgewatch-") {
            FOUND.with_borrow_mut(|all| all.insert(format!("mail: {line:?}")));
        }
    }
}

async fn slack(fake: &Fake, slack: &Slack, notifications: &[Notification]) {
    let before = fake.messages().len();
    let mut parent = None;
    for notification in notifications {
        let sent = slack
            .tell(&message(notification), parent.take(), None)
            .await;
        sent.result.unwrap();
        parent = sent.parent;
    }
    for message in &fake.messages()[before..] {
        all_hold("Slack", &message.body, Format::Mrkdwn);
    }
}

fn to_slack(fake: &Fake) -> Slack {
    let (token, patience) = (Secret::new(TOKEN), Duration::from_secs(20));
    Slack::with_timeout(&fake.api(), token, CHANNEL, None, patience).unwrap()
}

/// What a server may send that says `text` wherever it can.
fn answers(text: &str) -> Vec<Option<Answer>> {
    let flat: String = text
        .chars()
        .map(|c| if c == '\r' || c == '\n' { ' ' } else { c })
        .collect();
    let json = serde_json::json!({ "error": text, "message": text, "code": text, "request_id": text, "incident_id": text });
    let html = format!(
        "<html><title>{text}</title><h1>Access denied</h1><p>{text}</p><p>Incident ID: {text}</p><p>Your support ID is: {text}</p></html>"
    );
    let soap = format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><s:Fault><faultcode>{text}</faultcode>\
         <faultstring>{text}</faultstring></s:Fault></s:Body></s:Envelope>"
    );
    let make = |status: u16, kind: &str, body: &str| {
        let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
        for name in [
            "server",
            "via",
            "cf-ray",
            "cf-mitigated",
            "location",
            "retry-after",
            "x-request-id",
            "x-cache",
            "x-amz-cf-id",
            "x-iinfo",
            "x-azure-ref",
            "x-served-by",
            "akamai-grn",
            "www-authenticate",
            "set-cookie",
        ] {
            headers.push((name.to_owned(), flat.clone()));
        }
        Some(Answer {
            http: HttpVersion::H1_1,
            status,
            headers,
            body: Body {
                bytes: body.as_bytes().to_vec().into(),
                wire_bytes: body.len() as u64,
                truncated: false,
                sha256: "ab".repeat(32),
                decode_error: Some(flat.clone()),
            },
        })
    };
    vec![
        make(403, "text/html", &html),
        make(200, "text/html", &html),
        make(403, "application/json", &json.to_string()),
        make(200, "application/json", &json.to_string()),
        make(500, "text/xml", &soap),
        make(429, "text/plain", text),
        make(403, &format!("text/html; charset={flat}"), text),
        None,
    ]
}

fn observation(plan: &Plan, text: &str, answer: Option<Answer>) -> Observation {
    let cell = plan.cells().next().unwrap().1;
    let shown = Certificate {
        subject: text.to_owned(),
        issuer: text.to_owned(),
        names: vec![text.to_owned()],
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2027-01-01T00:00:00Z"),
        sha256: "cd".repeat(32),
    };
    let failure = answer.is_none().then(|| Failure {
        phase: Phase::FirstByte,
        kind: FailureKind::Protocol,
        message: format!("192.0.2.7:443 answered with something that is not HTTP/1.1: {text:?}"),
    });
    Observation {
        cell,
        purpose: Purpose::Schedule,
        due_at: at("2026-11-22T02:31:00Z"),
        started_at: at("2026-11-22T02:31:00Z"),
        took: Duration::from_millis(182),
        phases: Phases::default(),
        route: Route::default(),
        tls: Some(TlsFacts {
            paths: Vec::new(),
            version: None,
            alpn: None,
            cipher: None,
            certificate: Some(shown),
        }),
        sent: None,
        hops: Vec::new(),
        answer,
        failure,
    }
}

/// An incident whose failing run is this one.
fn told(plan: &Plan, seen: &Observation) -> (Incident, String) {
    let probe = plan.probe(&seen.cell.probe).unwrap();
    let judged = classify(probe, &[], seen);
    let status = seen.answer.as_ref().map_or(0, |answer| answer.status);
    let mut printed = verdict::text(&judged, status, false);
    let _ = write!(printed, "\n{}", verdict::json(&judged));
    let mut incident = by_name(plan, "a client");
    incident.reference_ids = judged.reference_id.iter().cloned().collect();
    incident.failing = specimen(plan, &Secrets::default(), seen, &judged);
    (incident, printed)
}

#[tokio::test]
async fn a_hostile_answer_stays_text_in_everything_that_leaves_the_house() {
    let plan = alpha();
    let (fake, mail) = (Fake::slack().await, mail());
    let to = to_slack(&fake);
    for text in HOSTILE {
        for answer in answers(text) {
            let seen = observation(&plan, text, answer);
            let (incident, printed) = told(&plan, &seen);
            holds("classify", Format::Plain, &printed);
            let dossier = dossier(&plan, &incident);
            holds("letter", Format::Plain, &pack::text(&dossier));
            let letter = pack::text(&dossier);
            assert_eq!(
                letter.lines().filter(|l| l.starts_with("Subject:")).count(),
                1,
                "{letter}"
            );
            all_hold("letter as JSON", &pack::json(&dossier), Format::Plain);
            let document = postmortem::text(&dossier);
            holds("post-mortem", Format::Markdown, &document);
            let headings = document
                .lines()
                .filter(|line| line.starts_with('#'))
                .count();
            assert_eq!(headings, 13, "{document}");
            all_hold(
                "post-mortem as JSON",
                &postmortem::json(&dossier),
                Format::Plain,
            );
            let (briefing, timeline) = (&dossier.briefing, &dossier.timeline);
            let story = incidents::story(
                &incident,
                briefing,
                timeline,
                &plan.zone,
                dossier.now,
                false,
            );
            holds("terminal", Format::Plain, &story);
            all_hold(
                "incident as JSON",
                &incidents::json(&incident, briefing, timeline),
                Format::Plain,
            );
            let notifications: Vec<Notification> =
                [Reason::Opened, Reason::Changed, Reason::Resolved]
                    .into_iter()
                    .map(|reason| Notification {
                        briefing: briefing.clone(),
                        ..notification(reason, 0, "engineers")
                    })
                    .collect();
            for notification in &notifications {
                receivers(&mail, notification);
            }
            slack(&fake, &to, &notifications).await;
        }
    }
    none_found();
}

/// The words of a briefing that strangers have a part in, all of them this text.
fn said(briefing: &mut Briefing, text: &str) {
    briefing.headline = format!("GMC refuses `legacy-reval`: {text}");
    briefing.because = vec![text.to_owned()];
    briefing.ruled_out = vec![text.to_owned()];
    briefing.next_step = Some(text.to_owned());
    text.clone_into(&mut briefing.got);
    briefing.beside = vec![text.to_owned()];
    briefing.reference_ids = vec![text.to_owned()];
    if let Some(run) = &mut briefing.failing {
        run.excerpt = Some(text.to_owned());
        run.failure = Some(text.to_owned());
        run.certificate = Some(text.to_owned());
        run.response_headers = vec![("server".to_owned(), text.to_owned())];
        run.verdict.code = Some(text.to_owned());
        run.verdict.reference_id = Some(text.to_owned());
        run.verdict.pop = Some(text.to_owned());
        for sign in &mut run.verdict.evidence {
            text.clone_into(&mut sign.text);
        }
    }
}

#[tokio::test]
async fn hostile_words_stay_text_at_every_receiver() {
    let (fake, mail) = (Fake::slack().await, mail());
    let to = to_slack(&fake);
    for text in HOSTILE {
        let mut all = Vec::new();
        for reason in REASONS {
            let mut notification = notification(reason, 0, "engineers");
            said(&mut notification.briefing, text);
            receivers(&mail, &notification);
            all.push(notification);
        }
        slack(&fake, &to, &all).await;
    }
    none_found();
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_words_stay_text_at_every_receiver(notification in any_notification(7)) {
        receivers(&mail(), &notification);
        none_found();
    }
}
