//! Probes and controls: the request, what a good answer looks like, the schedule, the matrix.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use super::budget::Budget;
use super::conditions::{conditions, expected, verdict_of_an_answer};
use super::forbid::forbidden;
use super::headers;
use super::names::Names;
use super::request;
use super::template::{self, Within};
use crate::config::Inputs;
use crate::config::collections::{Form, Many};
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::leaf::{Name, Word};
use crate::config::measure::show_duration;
use crate::config::raw;
use crate::config::special::Follow;
use crate::domain::cell::{ClientName, Credential, CredentialName, EgressName, ProbeName};
use crate::domain::condition::{Condition, Conditions};
use crate::domain::forbid::{Forbidden, Request};
use crate::domain::probe::{
    Contact, Cookies, Expect, Meaning, Probe, Redirects, Resolver, Schedule, Template, Words,
};
use crate::domain::verdict::{Severity, Tell};
use crate::lang::cron::Cron;

/// How long a run may take when the file does not say.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often a control runs when the file does not say.
const CONTROL_EVERY: Duration = Duration::from_secs(60);
const BODY_BYTES_MAX: usize = 256 * 1024;
const REDIRECTS_MAX: u8 = 5;

/// What every probe is held against.
pub(super) struct Around<'a> {
    pub(super) inputs: &'a dyn Inputs,
    pub(super) zone: &'a TimeZone,
    pub(super) egresses: &'a Names,
    pub(super) clients: &'a Names,
    /// With `anonymous`.
    pub(super) credential_names: &'a Names,
    pub(super) credentials: &'a HashMap<&'a str, &'a Credential>,
    pub(super) forbidden: &'a Arc<Forbidden>,
    /// As whom controls run when they do not say.
    pub(super) control_client: Option<&'a str>,
    /// For probes that have none of their own.
    pub(super) contact: &'a Contact,
    /// How soon probes with a tag are told.
    pub(super) tell: &'a HashMap<String, Tell>,
}

/// A credential holds what a probe can't send.
pub(super) struct Unfit {
    pub(super) probe: ProbeName,
    pub(super) credential: CredentialName,
    pub(super) why: String,
}

/// Reads one probe; `in_controls` says in which section it stands.
pub(super) fn probe(
    name: &str,
    raw: At<raw::Probe>,
    in_controls: bool,
    around: &Around<'_>,
    budget: &mut Budget,
    unfit: &mut Vec<Unfit>,
    desk: &mut Desk<'_>,
) -> Option<Probe> {
    let At { value: raw, place } = raw;
    if let Some(second) = raw.name.as_ref().filter(|_| !in_controls) {
        desk.error(
            second.place,
            "a probe is named by its key",
            "remove this one",
        );
    }
    if !raw.present.has("url") && raw.url.is_none() {
        desk.missed(place, "\"url\" is missing", "");
    }
    if in_controls && let Some(path) = &raw.path {
        desk.error(
            path.place,
            "a control belongs to no partner's block",
            "write the whole \"url\"",
        );
    }
    let url = raw.url.as_ref().and_then(|url| request::url(url, desk));
    let timeout = raw.timeout.as_ref().map_or(TIMEOUT, |t| t.value.0);
    let lost_with = raw.with.is_none() && raw.present.has("with");
    let with = with(raw.with, around, desk);
    let credentials: Vec<&Credential> = with
        .iter()
        .filter_map(|name| around.credentials.get(name.as_str()).copied())
        .collect();
    // A credential whose definition is broken has had its error; its fields are not known.
    let named = with.iter().filter(|name| *name != "anonymous").count();
    let known = !lost_with && !with.is_empty() && named == credentials.len();

    let mut headers = Vec::new();
    let mut shown_headers = Vec::new();
    for (header, value) in headers::of_probe(raw.headers, desk) {
        if let Some(template) = request::template(&value.value, value.place, "", desk) {
            if known {
                let found =
                    template::check(&template, Within::Header, &credentials, value.place, desk);
                unfit.extend(found.into_iter().map(|(credential, why)| Unfit {
                    probe: ProbeName::new(name),
                    credential,
                    why,
                }));
            }
            shown_headers.push((header.clone(), template.masked()));
            headers.push((header, template));
        }
    }
    let body_place = raw.body.as_ref().map(|body| body.place);
    let body = raw
        .body
        .and_then(|body| request::body(body, around.inputs, desk));
    if let (Some(body), Some(place), true) = (&body, body_place, known) {
        template::check(body, Within::body(body), &credentials, place, desk);
    }
    let unread = raw.method.is_none() && raw.present.has("method");
    let method = request::method(raw.method.as_ref(), body_place.filter(|_| !unread), desk);

    let asked = Asked {
        present: raw.present.has("every") || raw.present.has("cron"),
        every: raw.every,
        cron: raw.cron,
        place,
    };
    let schedule = schedule(asked, timeout, in_controls, around, desk);
    let expect = expect(raw.expect, timeout, url.as_ref(), in_controls, desk);
    let meanings = raw
        .meanings
        .map(|list| list.value.0)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|meaning| self::meaning(meaning.value, desk))
        .collect();
    let origin = raw
        .origin
        .map(|origin| conditions(origin, desk))
        .unwrap_or_default();

    let from: Vec<String> = match raw.from {
        Some(from) => around.egresses.mentioned(from, desk),
        None => Vec::new(),
    };
    let from_all = from.is_empty();
    let as_clients: Vec<String> = match (raw.as_clients, around.control_client) {
        (Some(clients), _) => around.clients.mentioned(clients, desk),
        (None, Some(client)) if in_controls => vec![client.to_owned()],
        (None, _) => Vec::new(),
    };
    let clients_all = as_clients.is_empty();

    let contact = raw.contact.map(|contact| self::contact(contact, desk));
    let url = url?;
    let request = Request {
        method: method.into(),
        path: &url[url::Position::BeforePath..],
        headers: &shown_headers,
        body: &body.as_ref().map(Template::masked).unwrap_or_default(),
    };
    let own = Arc::new(forbidden(raw.forbid.map(|f| f.value)));
    for (rules, whose) in [(around.forbidden, "forbid"), (&own, "its own forbid")] {
        if let Some(reason) = rules.broken_by(&request) {
            desk.error(
                place,
                format!("{whose} does not allow this request: {reason}"),
                "probe with an operation that changes nothing",
            );
        }
    }

    let (schedule, schedule_place) = schedule?;
    let count = |all: bool, some: usize, names: &Names| {
        (if all { names.iter().count() } else { some }) as u64
    };
    let cells = count(from_all, from.len(), around.egresses)
        .saturating_mul(count(clients_all, as_clients.len(), around.clients))
        .saturating_mul(with.len() as u64);
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    if !budget.add(host, cells, &schedule, schedule_place, desk) {
        return None;
    }
    let tags = raw.tags;
    let contact = contact.unwrap_or_else(|| around.contact.clone());
    let partner = raw.partner.map(|p| p.value.0);
    let tags = plain_names(tags);
    let tell = raw.tell.map(|t| t.value.0);
    let tell = tell.or_else(|| tags.iter().find_map(|tag| around.tell.get(tag)).copied());
    Some(Probe {
        name: ProbeName::new(name),
        partner: partner.unwrap_or_else(|| registrable(&url)),
        url,
        method: method.into(),
        headers,
        body,
        from: or_all(&from, around.egresses, EgressName::new),
        as_clients: or_all(&as_clients, around.clients, ClientName::new),
        with: with.iter().map(|name| CredentialName::new(name)).collect(),
        schedule,
        timeout,
        expect,
        origin,
        meanings,
        words: words(raw.words.map(|w| w.value).unwrap_or_default(), contact),
        redirects: redirects(raw.redirects.map(|r| r.value), in_controls),
        cookies: raw.cookies.map_or_else(Cookies::default, |c| c.value.0),
        body_bytes_max: raw
            .body_limit
            .map_or(BODY_BYTES_MAX, |limit| limit.value.0 as usize),
        resolver: raw.resolver.map_or_else(Resolver::default, |r| r.value.0),
        connect_to: raw.connect_to.map(|a| a.value.0),
        tags,
        severity: raw.severity.map_or(Severity::Warning, |s| s.value.0),
        tell: tell.unwrap_or(Tell::Sure),
        control: in_controls || raw.control.is_some_and(|c| c.value.0),
        ours: raw.ours.is_some_and(|o| o.value.0),
        forbid: [around.forbidden.clone(), own],
    })
}

/// The domain that somebody registered, by the public suffix list; the host itself when it is an address or
/// a name without dots.
pub(super) fn registrable(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.domain().and_then(psl::domain_str) {
        Some(domain) => domain.to_owned(),
        None => host.to_owned(),
    }
}

/// A control that is only a URL.
pub(super) fn short(url: At<String>) -> At<raw::Probe> {
    At {
        place: url.place,
        value: raw::Probe {
            url: Some(url),
            ..raw::Probe::default()
        },
    }
}

fn or_all<T>(names: &[String], all: &Names, make: impl Fn(&str) -> T) -> Vec<T> {
    if names.is_empty() {
        all.iter().map(make).collect()
    } else {
        names.iter().map(|name| make(name)).collect()
    }
}

pub(super) fn plain_names(names: Option<At<Many<Name>>>) -> Vec<String> {
    names
        .map(|n| n.value.0)
        .unwrap_or_default()
        .into_iter()
        .map(|name| name.value.0)
        .collect()
}

fn with(raw: Option<At<Many<Name>>>, around: &Around<'_>, desk: &mut Desk<'_>) -> Vec<String> {
    match raw {
        Some(with) => around.credential_names.mentioned(with, desk),
        None => vec!["anonymous".to_owned()],
    }
}

/// When the file wants a probe to run.
struct Asked {
    every: Option<At<raw::Interval>>,
    cron: Option<At<String>>,
    /// One of them stands there, readable or not.
    present: bool,
    /// Of the probe.
    place: Place,
}

fn schedule(
    asked: Asked,
    timeout: Duration,
    in_controls: bool,
    around: &Around<'_>,
    desk: &mut Desk<'_>,
) -> Option<(Schedule, Place)> {
    let place = asked.place;
    match (asked.every, asked.cron) {
        (Some(_), Some(cron)) => {
            desk.error(
                cron.place,
                "the schedule is given twice",
                "keep one of \"every\" and \"cron\"",
            );
            None
        }
        (Some(every), None) => {
            let interval = every.value.0;
            if interval < timeout {
                desk.warning(
                    every.place,
                    format!(
                        "a run may take up to {}, longer than this",
                        show_duration(timeout)
                    ),
                    "late runs are skipped; shorten \"timeout\" or ask less often",
                );
            }
            Some((Schedule::Every(interval), every.place))
        }
        (None, Some(cron)) => match Cron::new(&cron.value, around.zone.clone()) {
            Ok(schedule) => {
                super::both_days(&schedule, cron.place, desk);
                super::six_fields(&schedule, cron.place, desk);
                Some((Schedule::Cron(schedule), cron.place))
            }
            Err(error) => {
                desk.error(
                    cron.place,
                    format!("{} is no cron expression", quote(&cron.value)),
                    error,
                );
                None
            }
        },
        // It could not be read, which has been reported.
        (None, None) if asked.present => None,
        (None, None) if in_controls => Some((Schedule::Every(CONTROL_EVERY), place)),
        (None, None) => {
            desk.missed(place, "has no schedule", "add \"every: 5m\" or \"cron: …\"");
            None
        }
    }
}

fn expect(
    raw: Option<At<raw::Expect>>,
    timeout: Duration,
    url: Option<&Url>,
    in_controls: bool,
    desk: &mut Desk<'_>,
) -> Expect {
    let raw = raw.map(|e| e.value).unwrap_or_default();
    if let Some(latency) = raw.latency.as_ref().filter(|l| l.value.0 > timeout) {
        desk.warning(
            latency.place,
            format!("a run ends after {} anyway", show_duration(timeout)),
            "expect less, or raise \"timeout\"",
        );
    }
    if let Some(days) = raw
        .certificate_days
        .as_ref()
        .filter(|_| url.is_some_and(|url| url.scheme() == "http"))
    {
        desk.error(
            days.place,
            "there is no certificate over http",
            "remove it, or use https",
        );
    }
    let verdict = raw.verdict.as_ref().map(|v| v.value.0);
    let same_body = raw.same_body.as_ref().is_some_and(|same| same.value.0);
    let mut conditions = expected(raw, desk);
    let says_status = conditions
        .0
        .iter()
        .any(|condition| matches!(condition, Condition::Status(_)));
    if in_controls && !says_status {
        // A control shows that the network works; a redirect shows that as well.
        conditions.0.insert(0, Condition::Status(vec![(200, 399)]));
    }
    Expect {
        conditions,
        verdict,
        same_body,
    }
}

fn meaning(raw: raw::Meaning, desk: &mut Desk<'_>) -> Option<Meaning> {
    let when: Option<Conditions> = raw.when.map(|when| conditions(when, desk));
    let verdict = raw.verdict.and_then(|v| verdict_of_an_answer(&v, desk));
    let factors = raw.factors.map(|f| f.value.0).unwrap_or_default();
    Some(Meaning {
        when: when?,
        verdict: verdict?,
        factors: factors.into_iter().map(|f| f.value.0).collect(),
        note: raw.note.map(|n| n.value),
    })
}

/// Whom to ring, and where to read on.
pub(super) fn contact(raw: At<raw::Contact>, desk: &mut Desk<'_>) -> Contact {
    let given = [&raw.value.ring, &raw.value.runbook, &raw.value.link];
    let empty = given.iter().all(|at| at.is_none());
    let mut link = |at: Option<At<String>>| {
        let at = at?;
        let web = Url::parse(&at.value).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
        if !web {
            let message = format!("\"{}\" is no link", at.value);
            desk.error(at.place, message, "write a whole one: \"https://…\"");
            return None;
        }
        Some(at.value)
    };
    let (runbook, page) = (link(raw.value.runbook), link(raw.value.link));
    let contact = Contact {
        ring: raw.value.ring.map(|ring| ring.value),
        runbook,
        link: page,
    };
    if empty {
        desk.error(
            raw.place,
            "says nothing",
            "write \"ring\", \"runbook\" or \"link\"",
        );
    }
    contact
}

fn words(raw: raw::PlainWords, contact: Contact) -> Words {
    let text = |at: Option<At<String>>| at.map(|t| t.value);
    Words {
        what: text(raw.what),
        affects: text(raw.affects),
        workaround: text(raw.workaround),
        tell: text(raw.tell),
        contact,
    }
}

fn redirects(raw: Option<Form<Word<Follow>, raw::Redirects>>, in_controls: bool) -> Redirects {
    let (follow, limit) = match raw {
        // A control accepts a redirect as an answer, so there is nothing to follow.
        None if in_controls => (Follow::No, REDIRECTS_MAX),
        None => (Follow::SameHost, REDIRECTS_MAX),
        Some(Form::Short(follow)) => (follow.0, REDIRECTS_MAX),
        Some(Form::Full(full)) => (
            full.follow.map_or(Follow::SameHost, |f| f.value.0),
            full.limit.map_or(REDIRECTS_MAX, |l| l.value.0 as u8),
        ),
    };
    match follow {
        Follow::No => Redirects::No,
        Follow::SameHost => Redirects::SameHost(limit),
        Follow::Any => Redirects::Any(limit),
    }
}
