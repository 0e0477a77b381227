//! Who is told: receivers, their secrets, fallbacks, routes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use url::Url;

use super::channels;
use super::endpoint::{base, channel_secret, is_local, unusable};
use super::names::Names;
use super::phrases::Setting;
use super::quiet;
use crate::config::Inputs;
use crate::config::collections::Many;
use crate::config::desk::{At, Desk, Place, quote, suggest};
use crate::config::leaf::Name;
use crate::config::raw;
use crate::config::special::Source;
use crate::domain::cell::{EgressName, ProbeName, ReceiverName};
use crate::domain::notification::{Channel, Escalation, Receiver, Route, Templates};
use crate::domain::secret::Secret;
use crate::domain::verdict::Kind;

/// Support staff are told a cause only above this, unless the route says otherwise.
const PLAIN_CONFIDENCE: f64 = 0.9;

/// The keys of a receiver that say what kind it is.
pub(in crate::config) const KINDS: [&str; 8] = [
    "slack",
    "teams",
    "webhook",
    "email",
    "pagerduty",
    "alertmanager",
    "status_page",
    "log",
];

/// What receivers need of the rest of the file.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) setting: &'a Setting<'a>,
    /// PEM; trusted besides the system's roots.
    pub(super) roots: &'a [String],
}

/// What routes may mention besides receivers.
pub(super) struct Mentionable<'a> {
    pub(super) probes: &'a Names,
    pub(super) egresses: &'a Names,
    pub(super) tags: &'a HashSet<String>,
    /// Nobody can tell what probes and tags there are, as their key is written wrongly.
    pub(super) lost_probes: bool,
}

pub(super) fn notify(
    raw: Option<At<raw::Notify>>,
    known: &Mentionable<'_>,
    around: &Around<'_>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> (Vec<Receiver>, Vec<Route>) {
    let raw = raw.map(|r| r.value).unwrap_or_default();
    let lost_receivers = raw.receivers.is_none() && raw.present.has("receivers");
    let named = raw.receivers.map(|r| r.value.0).unwrap_or_default();
    let names = Names::new("receiver", named.iter().map(|(name, _)| name.value.clone()))
        .lost(lost_receivers);
    let places: HashMap<String, Place> = named
        .iter()
        .map(|(name, _)| (name.value.clone(), name.place))
        .collect();
    let (for_slack, for_teams) = super::phrases::templates(raw.templates, inputs, desk);
    let before = desk.errors();
    let mut receivers = Vec::new();
    for (name, receiver) in named {
        let Some(receiver) = receiver else { continue };
        let made = self::receiver(&name.value, receiver, &names, around, inputs, desk);
        receivers.extend(made.map(|mut receiver| {
            match &mut receiver.channel {
                Channel::Slack { templates, .. } => templates.clone_from(&for_slack),
                Channel::Teams { templates, .. } | Channel::StatusPage { templates, .. } => {
                    templates.clone_from(&for_teams);
                }
                _ => {}
            }
            receiver
        }));
    }
    refuse_rings(&receivers, &places, desk);
    refuse_pages_as_fallback(&receivers, &places, desk);

    let fallbacks: HashSet<&str> = receivers
        .iter()
        .filter_map(|r| r.fallback.as_ref().map(ReceiverName::as_str))
        .collect();
    let routes: Vec<Route> = match raw.routes {
        Some(routes) => routes
            .value
            .0
            .into_iter()
            .filter_map(|route| self::route(route.value, &names, &receivers, known, desk))
            .collect(),
        None => receivers
            .iter()
            .filter(|r| !fallbacks.contains(r.name.as_str()))
            .map(|r| plain_route(&r.name, &receivers))
            .collect(),
    };
    for receiver in &receivers {
        let leads = |route: &Route| {
            let further = route.escalate.as_ref().map(|further| &further.to);
            route.to == receiver.name || further == Some(&receiver.name)
        };
        // A name that is not known, or a route that could not be read, may be what leads here.
        let used = fallbacks.contains(receiver.name.as_str())
            || routes.iter().any(leads)
            || desk.errors() > before;
        if let Some(place) = places.get(receiver.name.as_str()).filter(|_| !used) {
            desk.warning(
                *place,
                "no route leads here and no receiver falls back on it",
                "add a route",
            );
        }
    }
    if receivers.is_empty() && names.iter().next().is_none() && routes.is_empty() {
        let log = Receiver {
            name: ReceiverName::new("log"),
            channel: Channel::Log,
            fallback: None,
        };
        let routes = vec![plain_route(&log.name, &[])];
        return (vec![log], routes);
    }
    (receivers, routes)
}

fn plain_route(to: &ReceiverName, receivers: &[Receiver]) -> Route {
    Route {
        min_confidence: default_confidence(to, receivers),
        notices: default_notices(to, receivers),
        ..Route::new(to.clone())
    }
}

/// Whether a change that fails nothing can be told there without raising an alarm.
fn takes_notices(to: &ReceiverName, receivers: &[Receiver]) -> bool {
    let known = receivers.iter().find(|r| r.name == *to);
    known.is_none_or(|r| {
        !matches!(
            r.channel,
            Channel::PagerDuty { .. } | Channel::Alertmanager { .. } | Channel::StatusPage { .. }
        )
    })
}

/// Engineers' channels take notices; for support staff there is nothing to do while everything works.
fn default_notices(to: &ReceiverName, receivers: &[Receiver]) -> bool {
    let known = receivers.iter().find(|r| r.name == *to);
    known.is_none_or(|r| matches!(r.channel, Channel::Slack { .. } | Channel::Log))
}

fn default_confidence(to: &ReceiverName, receivers: &[Receiver]) -> f64 {
    let plain = receivers
        .iter()
        .any(|r| r.name == *to && r.channel.speaks_plainly());
    if plain { PLAIN_CONFIDENCE } else { 0.0 }
}

/// Says that a tag is mentioned which no probe has.
pub(super) fn no_such_tag(place: Place, tag: &str, known: &HashSet<String>, desk: &mut Desk<'_>) {
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    known.sort_unstable();
    let hint = suggest(tag, known.into_iter(), "known");
    desk.missed(place, format!("no probe has the tag \"{tag}\""), hint);
}

/// Refuses a list that chooses nothing: it would be read as if it were not there.
fn not_empty<T>(many: Option<&At<Many<T>>>, desk: &mut Desk<'_>) {
    if let Some(many) = many.filter(|many| many.value.0.is_empty()) {
        let hint = "name what is meant, or remove the key";
        desk.error(many.place, "an empty list chooses nothing", hint);
    }
}

fn route(
    raw: raw::Route,
    names: &Names,
    receivers: &[Receiver],
    known: &Mentionable<'_>,
    desk: &mut Desk<'_>,
) -> Option<Route> {
    let mentioned = |many: Option<At<Many<Name>>>, names: &Names, desk: &mut Desk<'_>| {
        many.map(|many| names.mentioned(many, desk))
            .unwrap_or_default()
    };
    not_empty(raw.severity.as_ref(), desk);
    not_empty(raw.verdicts.as_ref(), desk);
    not_empty(raw.tags.as_ref(), desk);
    let of = mentioned(raw.probes, known.probes, desk);
    let egresses = mentioned(raw.egresses, known.egresses, desk);
    let during = raw.during.and_then(|during| quiet::during(during, desk));
    let remind = raw.remind.map(|remind| super::reminders(remind, desk));
    let kinds = raw.verdicts.map(|many| many.value.0).unwrap_or_default();
    if let Some(pass) = kinds.iter().find(|kind| kind.value.0 == Kind::Pass) {
        desk.error(pass.place, "no incident shows \"pass\"", "name what fails");
    }
    let kinds = kinds.into_iter().map(|kind| kind.value.0).collect();
    let severities = raw.severity.map(|many| many.value.0).unwrap_or_default();
    let severities = severities.into_iter().map(|word| word.value.0).collect();
    let own = raw.to.as_ref().map(|to| to.value.0.clone());
    let escalate = raw
        .escalate
        .and_then(|further| escalation(further.value, own.as_deref(), names, receivers, desk));
    let mut tags = Vec::new();
    for tag in raw.tags.map(|t| t.value.0).unwrap_or_default() {
        if known.lost_probes || known.tags.contains(&tag.value.0) {
            tags.push(tag.value.0);
            continue;
        }
        no_such_tag(tag.place, &tag.value.0, known.tags, desk);
    }
    let to = raw.to.filter(|to| names.check(to, desk))?;
    let to = ReceiverName::new(&to.value.0);
    let notices = match raw.notices {
        Some(wanted) if wanted.value.0 && !takes_notices(&to, receivers) => {
            let known = receivers.iter().find(|receiver| receiver.name == to);
            let is_page = known.is_some_and(|it| matches!(it.channel, Channel::StatusPage { .. }));
            let what = if is_page {
                format!("the page \"{to}\" shows incidents, and no notices")
            } else {
                format!("a notice would be an alarm at \"{to}\"")
            };
            desk.error(
                wanted.place,
                what,
                "send notices to Slack, Teams, mail, a webhook or the log",
            );
            false
        }
        Some(wanted) => wanted.value.0,
        None => default_notices(&to, receivers),
    };
    Some(Route {
        after: raw.after.map_or(Duration::ZERO, |a| a.value.0),
        min_confidence: raw
            .min_confidence
            .map_or_else(|| default_confidence(&to, receivers), |c| c.value.0),
        probes: of.iter().map(|name| ProbeName::new(name)).collect(),
        tags,
        egresses: egresses.iter().map(|name| EgressName::new(name)).collect(),
        kinds,
        severities,
        during,
        remind,
        escalate,
        notices,
        to,
    })
}

/// Who is told further; somebody other than the route's own receiver.
fn escalation(
    raw: raw::Escalate,
    own: Option<&str>,
    names: &Names,
    receivers: &[Receiver],
    desk: &mut Desk<'_>,
) -> Option<Escalation> {
    let to = raw.to.filter(|to| names.check(to, desk))?;
    if own == Some(to.value.0.as_str()) {
        desk.error(
            to.place,
            "a route can't escalate to its own receiver",
            "name another, or let it remind: \"remind: [30m]\"",
        );
        return None;
    }
    let to = ReceiverName::new(&to.value.0);
    Some(Escalation {
        after: raw.after?.value.0,
        min_confidence: default_confidence(&to, receivers),
        to,
    })
}

fn receiver(
    name: &str,
    raw: At<raw::Receiver>,
    names: &Names,
    around: &Around<'_>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Receiver> {
    let At { value: raw, place } = raw;
    let fallback = raw.fallback.and_then(|f| fallback(name, &f, names, desk));
    let Around { setting, roots } = *around;
    let mut kinds = KINDS.iter().filter(|kind| raw.present.has(kind));
    let (first, second) = (kinds.next(), kinds.next());
    if first.is_none() {
        let last = KINDS[KINDS.len() - 1];
        let others = KINDS[..KINDS.len() - 1].join("\", \"");
        desk.error(
            place,
            "has no channel",
            format!("add \"{others}\" or \"{last}\""),
        );
    }
    if second.is_some() {
        desk.error(place, "has more than one channel", "make it two receivers");
        return None;
    }
    let channel = if let Some(slack) = raw.slack {
        self::slack(slack.value, inputs, desk)?
    } else if let Some(teams) = raw.teams {
        self::teams(teams.value, setting, inputs, desk)?
    } else if let Some(webhook) = raw.webhook {
        channels::webhook(webhook.value, roots, inputs, desk)?
    } else if let Some(email) = raw.email {
        channels::email(email, roots, inputs, desk)?
    } else if let Some(pagerduty) = raw.pagerduty {
        channels::pagerduty(pagerduty.value, inputs, desk)?
    } else if let Some(alertmanager) = raw.alertmanager {
        channels::alertmanager(alertmanager, roots, inputs, desk)?
    } else if let Some(page) = raw.status_page {
        let public = page.value.public;
        Channel::StatusPage {
            public: public.is_some_and(|flag| flag.value.0),
            templates: Templates::default(),
        }
    } else {
        // A channel that could not be read has had its error already.
        raw.log.map(|_| Channel::Log)?
    };
    Some(Receiver {
        name: ReceiverName::new(name),
        channel,
        fallback,
    })
}

fn fallback(
    name: &str,
    fallback: &At<Name>,
    names: &Names,
    desk: &mut Desk<'_>,
) -> Option<ReceiverName> {
    if fallback.value.0 == name {
        desk.error(
            fallback.place,
            "a receiver can't be its own fallback",
            "name another",
        );
        return None;
    }
    names
        .check(fallback, desk)
        .then(|| ReceiverName::new(&fallback.value.0))
}

/// A page tells nobody: whoever is to hear of something must look there by chance.
fn refuse_pages_as_fallback(
    receivers: &[Receiver],
    places: &HashMap<String, Place>,
    desk: &mut Desk<'_>,
) {
    let is_page = |name: &ReceiverName| {
        let known = receivers.iter().find(|receiver| receiver.name == *name);
        known.is_some_and(|receiver| matches!(receiver.channel, Channel::StatusPage { .. }))
    };
    for receiver in receivers {
        if let Some(fallback) = receiver.fallback.as_ref().filter(|name| is_page(name)) {
            desk.error(
                places
                    .get(receiver.name.as_str())
                    .copied()
                    .unwrap_or_default(),
                format!(
                    "falls back on {}, a page that nobody may be looking at",
                    quote(fallback.as_str())
                ),
                "fall back on a channel that tells somebody",
            );
        }
    }
}

/// A message that can't be delivered must come to an end.
fn refuse_rings(receivers: &[Receiver], places: &HashMap<String, Place>, desk: &mut Desk<'_>) {
    let next: HashMap<&str, &str> = receivers
        .iter()
        .filter_map(|r| Some((r.name.as_str(), r.fallback.as_ref()?.as_str())))
        .collect();
    let mut cleared: HashSet<&str> = HashSet::new();
    for receiver in receivers {
        let mut path: Vec<&str> = Vec::new();
        let mut on_path: HashSet<&str> = HashSet::new();
        let mut at = Some(receiver.name.as_str());
        while let Some(name) = at.filter(|name| !cleared.contains(name)) {
            if !on_path.insert(name) {
                path.push(name);
                let start = path.iter().position(|n| *n == name).unwrap_or(0);
                let place = places.get(name).copied().unwrap_or_default();
                desk.error(
                    place,
                    format!("fallbacks go round in a ring: {}", path[start..].join(", ")),
                    "remove one of them",
                );
                break;
            }
            path.push(name);
            at = next.get(name).copied();
        }
        cleared.extend(path);
    }
}

fn slack(raw: raw::Slack, inputs: &dyn Inputs, desk: &mut Desk<'_>) -> Option<Channel> {
    let token = raw.token.as_ref().map(|source| {
        let token = channel_secret(source, "", inputs, desk);
        if let Ok(token) = &token
            && !token.expose().starts_with("xoxb-")
        {
            desk.warning(
                source.place,
                "does not look like the token of a bot",
                "in the Slack app: OAuth & Permissions, Bot User OAuth Token (xoxb-…)",
            );
        }
        token
    });
    let channel = raw.channel.and_then(|channel| {
        let text = &channel.value;
        // Channel, group and direct-message IDs: https://docs.slack.dev/reference/objects/conversation-object
        // (read 2026-11-22).
        let valid = text.len() >= 9
            && text.starts_with(['C', 'G', 'D'])
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        if !valid {
            desk.error(
                channel.place,
                format!("{} is no channel ID", quote(text)),
                "names change, IDs stay: in Slack, the channel's name, About, Channel ID (C0123456789)",
            );
        }
        valid.then_some(channel.value)
    });
    let mention = raw.mention.and_then(|mention| {
        let text = &mention.value;
        let valid = matches!(text.as_str(), "<!here>" | "<!channel>" | "<!everyone>")
            || (["<@U", "<@W", "<!subteam^S"]
                .iter()
                .any(|p| text.starts_with(p))
                && text.ends_with('>')
                && !text[1..text.len() - 1].contains(['<', '>', ' ']));
        if !valid {
            desk.error(
                mention.place,
                format!("{} is no mention", quote(text)),
                "write \"<!subteam^S0123>\", \"<@U0123>\", \"<!here>\" or \"<!channel>\"",
            );
        }
        valid.then_some(mention.value)
    });
    let api = match raw.api {
        None => Some("https://slack.com/api".to_owned()),
        Some(api) => base(&api, "https://slack.com/api", desk),
    };
    let buttons = super::buttons::buttons(raw.app_token, raw.allow, inputs, desk);
    Some(Channel::Slack {
        token: token?,
        channel: channel?,
        mention,
        buttons,
        templates: Templates::default(),
        api: api?,
    })
}

fn teams(
    raw: raw::Teams,
    setting: &Setting<'_>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Channel> {
    let all_is_well = super::phrases::all_is_well(raw.all_is_well, setting, desk);
    let channel = |webhook| Channel::Teams {
        webhook,
        all_is_well,
        templates: Templates::default(),
    };
    let source = raw.webhook?;
    let webhook = channel_secret(&source, "", inputs, desk)
        .and_then(|webhook| workflow(&webhook, &source, desk));
    Some(channel(webhook))
}

/// The URL of a workflow, or why nothing is sent to it.
fn workflow(webhook: &Secret, source: &At<Source>, desk: &mut Desk<'_>) -> Result<Secret, String> {
    let place = source.place;
    let Ok(url) = Url::parse(webhook.expose().trim()) else {
        let how = "copy the URL that the workflow shows after saving";
        return Err(unusable(source, "no URL", how, desk));
    };
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let below = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    // Retired in May 2026: https://devblogs.microsoft.com/microsoft365dev/retirement-of-office-365-connectors-within-microsoft-teams/
    // (read 2026-11-22).
    if below("webhook.office.com") || below("outlook.office.com") || below("outlook.office365.com")
    {
        let old = "the URL of an Office 365 connector, which Microsoft has switched off";
        let how = "in Teams add the workflow \"Post to a channel when a webhook request is received\" and use its URL";
        return Err(unusable(source, old, how, desk));
    }
    if url.scheme() != "https" && !is_local(&url) {
        let clear = "a URL that would be called in the clear";
        return Err(unusable(source, clear, "use https", desk));
    }
    // Stopped on 30 November 2025: https://learn.microsoft.com/troubleshoot/power-platform/power-automate/flow-run-issues/triggers-troubleshoot
    // (read 2026-11-22).
    if below("logic.azure.com") {
        desk.warning(
            place,
            "this is the old form of a workflow's URL, which Microsoft stopped on 30 November 2025",
            "open the workflow and copy its new URL (…api.powerplatform.com…)",
        );
    } else if !below("api.powerplatform.com") && !is_local(&url) {
        desk.warning(
            place,
            "this does not look like the URL of a Teams workflow",
            "its host usually ends in \"api.powerplatform.com\"",
        );
    }
    Ok(Secret::new(webhook.expose().trim()))
}
