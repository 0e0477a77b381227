//! The mirror into the plan: names are resolved, defaults filled in, limits held.
//!
//! Every part is checked whether or not the ones before it were sound, so that one reading tells all.

mod budget;
mod buttons;
mod channels;
mod conditions;
mod endpoint;
mod forbid;
mod former;
mod headers;
mod lints;
mod matrix;
mod names;
mod notify;
mod phrases;
mod probes;
mod programs;
mod quiet;
mod request;
mod secrets;
mod telemetry;
mod template;
mod trust;
mod web;

pub use self::programs::imitator;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use self::budget::Budget;
use self::forbid::forbidden;
pub(super) use self::headers::CONNECTION;
use self::names::{Groups, Names};
pub(super) use self::notify::KINDS;
use self::probes::{Around, Unfit};
pub(super) use self::secrets::unreadable;
use super::Inputs;
use super::collections::{Form, List, Many, Named};
use super::desk::{At, Desk, Place, quote};
use super::measure::Span;
use super::raw;
use super::raw::Controls;
use super::shared;
use crate::domain::cell::{Client, Credential};
use crate::domain::plan::{IncidentPolicy, Keep, OwnSignature, Plan, Politeness, StorePolicy};
use crate::domain::probe::Probe;
use crate::domain::sharing;
use crate::domain::verdict::{Kind, Maker, Rule, Tell};
use crate::domain::web::Web;
use crate::lang::cron::Cron;

/// The plan; `None` when there were errors.
pub(super) fn plan(
    mut raw: raw::File,
    place: Place,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Plan> {
    if !raw.present.has("probes") && !raw.present.has("partners") {
        desk.error(place, "\"probes\" is missing", "");
    }
    let probes_place = raw.probes.as_ref().map(|probes| probes.place);
    let probes_place = probes_place.or(raw.partners.as_ref().map(|partners| partners.place));
    let shared::Probes { all, lost } = shared::probes(&mut raw, desk);
    let lost_probes = lost;
    raw.probes = probes_place.map(|place| At {
        value: Named(all),
        place,
    });
    let places = lints::Places::of(&raw, place);
    let zone = zone(raw.timezone.as_ref(), desk);
    let former = former::names(&raw, desk);
    let service = raw.service.and_then(|service| {
        if service.value.trim().is_empty() {
            desk.error(
                service.place,
                "is empty",
                "name the partner, as people call it",
            );
        }
        (!service.value.trim().is_empty()).then_some(service.value)
    });

    let egress_names = match &raw.egresses {
        Some(named) => Names::new("egress", named.value.0.iter().map(|(n, _)| n.value.clone())),
        None => Names::new("egress", ["default".to_owned()]).lost(raw.present.has("egresses")),
    };
    let lost_clients = raw.clients.is_none() && raw.present.has("clients");
    let lost_credentials = raw.credentials.is_none() && raw.present.has("credentials");
    let client_names = Names::new(
        "client",
        raw.clients
            .iter()
            .flat_map(|named| named.value.0.iter().map(|(n, _)| n.value.clone())),
    )
    .lost(lost_clients);
    let credential_names = Names::new(
        "credential",
        std::iter::once("anonymous".to_owned()).chain(
            raw.credentials
                .iter()
                .flat_map(|named| named.value.0.iter().map(|(n, _)| n.value.clone())),
        ),
    )
    .lost(lost_credentials);
    let names_of_probes = raw.probes.iter().flat_map(|named| &named.value.0);
    let names_of_probes = names_of_probes.map(|(name, _)| name.value.clone());
    let probes_and_controls = names_of_probes.chain(names_of_controls(raw.controls.as_ref()));
    let kinds = [
        &egress_names,
        &client_names,
        &credential_names,
        &Names::new("probe", probes_and_controls).lost(lost_probes),
    ];
    let groups = Groups::of(raw.groups, &kinds, desk);
    let egress_names = egress_names.grouped(&groups);
    let client_names = client_names.grouped(&groups);
    let credential_names = credential_names.grouped(&groups);
    let egresses = matrix::egresses(raw.egresses, inputs, desk);
    let clients = matrix::clients(raw.clients, inputs, desk);
    let mut credentials = matrix::credentials(raw.credentials, inputs, desk);
    let per_credential = raw
        .politeness
        .as_mut()
        .and_then(|p| p.value.per_credential.take());
    let a_day = per_credential.and_then(|per| per.value.requests_per_day);
    let politeness = politeness(raw.politeness.map(|p| p.value));

    let forbidden = Arc::new(forbidden(raw.forbid.map(|f| f.value)));
    let by_name: HashMap<&str, &Credential> =
        credentials.iter().map(|c| (c.name.as_str(), c)).collect();
    let contact = raw.contact.map(|contact| probes::contact(contact, desk));
    let contact = contact.unwrap_or_default();
    let told = raw.tell.map(|named| named.value.0).unwrap_or_default();
    let tell: HashMap<String, Tell> = told
        .iter()
        .filter_map(|(tag, how)| Some((tag.value.clone(), how.as_ref()?.value.0)))
        .collect();
    let around = Around {
        inputs,
        zone: &zone,
        egresses: &egress_names,
        clients: &client_names,
        credential_names: &credential_names,
        credentials: &by_name,
        forbidden: &forbidden,
        control_client: control_client(&clients),
        contact: &contact,
        tell: &tell,
    };
    let (mut budget, mut unfit) = (Budget::default(), Vec::new());
    if let Some(probes) = raw.probes.as_ref().filter(|p| p.value.0.is_empty()) {
        desk.error(probes.place, "names no probe", "name what is to be probed");
    }
    let named_probes = raw.probes.map(|p| p.value.0).unwrap_or_default();
    // Of broken probes too: an error in a probe is none in the routes.
    let tags: HashSet<String> = named_probes
        .iter()
        .filter_map(|(_, probe)| probe.as_ref()?.value.tags.as_ref())
        .flat_map(|tags| tags.value.0.iter().map(|tag| tag.value.0.clone()))
        .collect();
    for (tag, _) in told.iter().filter(|(tag, _)| !tags.contains(&tag.value)) {
        notify::no_such_tag(tag.place, &tag.value, &tags, desk);
    }
    let mut probe_names: Vec<String> = named_probes.iter().map(|(n, _)| n.value.clone()).collect();
    let mut probes: Vec<Probe> = Vec::with_capacity(named_probes.len());
    for (name, probe) in named_probes {
        let Some(probe) = probe else { continue };
        probes.extend(probes::probe(
            &name.value,
            probe,
            false,
            &around,
            &mut budget,
            &mut unfit,
            desk,
        ));
    }
    let mut taken: HashSet<String> = probe_names.iter().cloned().collect();
    for (name, control) in controls(raw.controls.map(|c| c.value), desk) {
        if !taken.insert(name.value.clone()) {
            desk.error(
                name.place,
                format!("there is a probe or control \"{}\" already", name.value),
                "name this one differently",
            );
            continue;
        }
        probe_names.push(name.value.clone());
        probes.extend(probes::probe(
            &name.value,
            control,
            true,
            &around,
            &mut budget,
            &mut unfit,
            desk,
        ));
    }
    budget.warn(&politeness, desk);
    for Unfit {
        probe,
        credential,
        why,
    } in unfit
    {
        let mut own = credentials.iter_mut().filter(|c| c.name == credential);
        own.by_ref().for_each(|c| {
            c.unfit.entry(probe.clone()).or_insert_with(|| why.clone());
        });
    }

    let signatures = signatures(raw.signatures, desk);
    let probe_names = Names::new("probe", probe_names)
        .lost(lost_probes)
        .grouped(&groups);
    let mentionable = notify::Mentionable {
        probes: &probe_names,
        egresses: &egress_names,
        tags: &tags,
        lost_probes,
    };
    let setting = phrases::Setting {
        service: service.as_deref().unwrap_or_default(),
        zone: &zone,
    };
    let trust = trust::pems(raw.trust, inputs, desk);
    let around = notify::Around {
        setting: &setting,
        roots: &trust,
    };
    let (receivers, routes) = notify::notify(raw.notify, &mentionable, &around, inputs, desk);
    let incidents = incidents(raw.incidents.map(|i| i.value), desk);
    let maintenance = quiet::maintenance(raw.maintenance, &probe_names, &zone, desk);
    let store = store(raw.store.map(|s| s.value).unwrap_or_default());
    let listen = raw.listen.and_then(|l| telemetry::listen(l, desk));
    let web = match raw.web {
        Some(web) => web::web(web.value, inputs, desk),
        None => Some(Web::default()),
    };
    let heartbeat = raw
        .heartbeat
        .and_then(|h| telemetry::heartbeat(h.value, inputs, desk));
    let places_of_nats = raw.nats.as_ref().map(|nats| nats.place);
    let nats = raw.nats.and_then(|nats| matrix::nats(nats, desk));
    if places_of_nats.is_none() {
        for egress in egresses.iter().filter(|egress| egress.site.is_some()) {
            desk.error(
                places.egress(egress.name.as_str()),
                "is at a site, and the file does not say where agents are met",
                "add \"nats: { url: tls://host:4222, identity: … }\"; `edgewatch hub init` makes what that takes",
            );
        }
    }
    let name_servers = raw
        .name_servers
        .map(|many| many.value.0)
        .unwrap_or_default()
        .iter()
        .filter_map(|server| matrix::name_server(server, desk))
        .collect();
    if desk.has_errors() {
        return None;
    }
    let Some(service) = service else {
        desk.error(place, "\"service\" is missing", "");
        return None;
    };
    let mut plan = Plan {
        service,
        zone,
        egresses,
        clients,
        credentials,
        probes,
        politeness,
        credential_a_day: a_day.as_ref().map(|count| count.value.0 as u32),
        incidents,
        signatures,
        receivers,
        routes,
        maintenance,
        store,
        trust,
        name_servers,
        runs_in_flight_max: raw.runs_in_flight.map_or(256, |n| n.value.0 as usize),
        listen,
        web,
        heartbeat,
        watch: raw.watch.is_none_or(|watch| watch.value.0),
        former,
        nats,
        shares: BTreeMap::new(),
    };
    for (host, asked_from) in sharing::crowded(&plan).into_iter().filter(|(_, n)| *n > 1) {
        desk.error(
            place,
            format!(
                "{host} is asked from {asked_from} places, and politeness allows it {} requests a minute over all of them",
                plan.politeness.requests_per_minute
            ),
            "allow more, or ask it from fewer places",
        );
    }
    if let Some(count) = a_day {
        budget::accounts(&plan, count.place, desk);
    }
    plan.shares = sharing::shares(&plan, None);
    lints::warn(&plan, &places, inputs, desk);
    Some(plan)
}

/// Says that a sixth field is one of seconds, which who counts five as everywhere has not meant.
fn six_fields(cron: &Cron, place: Place, desk: &mut Desk<'_>) {
    if cron.text().split_whitespace().count() > 5 {
        desk.doubt_at(
            place,
            "has six fields, and the first of six is the second",
            "leave it out unless seconds are meant: \"minute hour day month weekday\"",
        );
    }
}

/// Says of a schedule with both kinds of day that both must hold; those who know cron expect either.
fn both_days(cron: &Cron, place: Place, desk: &mut Desk<'_>) {
    if cron.both_days() {
        desk.warning(
            place,
            "runs only on days that fit both the day of the month and the weekday; cron itself takes either",
            "leave one of them \"*\" unless both are meant; for either, write two entries",
        );
    }
}

fn zone(raw: Option<&At<String>>, desk: &mut Desk<'_>) -> TimeZone {
    let Some(name) = raw else {
        return TimeZone::UTC;
    };
    if let Ok(zone) = TimeZone::get(&name.value) {
        return zone;
    }
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    // Some six hundred names: listing them would help nobody.
    let hint = super::desk::nearest(&name.value, known.iter().map(String::as_str)).map_or_else(
        || "use a name like \"Europe/London\"".to_owned(),
        |near| format!("did you mean \"{near}\"?"),
    );
    desk.error(
        name.place,
        format!("{} is no time zone", quote(&name.value)),
        hint,
    );
    TimeZone::UTC
}

fn control_client(clients: &[Client]) -> Option<&str> {
    clients
        .iter()
        .find(|c| c.control)
        .or_else(|| clients.first())
        .map(|c| c.name.as_str())
}

fn politeness(raw: Option<raw::Politeness>) -> Politeness {
    let mut politeness = Politeness::default();
    let Some(raw) = raw else {
        return politeness;
    };
    if let Some(per_host) = raw.per_host.map(|p| p.value) {
        if let Some(count) = per_host.requests_per_minute {
            politeness.requests_per_minute = count.value.0 as u32;
        }
        if let Some(gap) = per_host.gap {
            politeness.gap = gap.value.0;
        }
    }
    if let Some(extra) = raw.extra_per_incident {
        politeness.extra_per_incident = extra.value.0 as u32;
    }
    politeness
}

/// Controls with their names; in a list the name may be left out and is then the host.
fn controls(raw: Option<Controls>, desk: &mut Desk<'_>) -> Vec<(At<String>, At<raw::Probe>)> {
    let full = |form: At<Form<String, raw::Probe>>| match form.value {
        Form::Short(url) => probes::short(At {
            value: url,
            place: form.place,
        }),
        Form::Full(probe) => At {
            value: probe,
            place: form.place,
        },
    };
    match raw {
        None => Vec::new(),
        Some(Controls::Named(named)) => named
            .0
            .into_iter()
            .filter_map(|(name, control)| {
                let control = full(control?);
                if let Some(second) = &control.value.name {
                    desk.error(
                        second.place,
                        "a control is named by its key",
                        "remove this one",
                    );
                }
                Some((name, control))
            })
            .collect(),
        Some(Controls::List(List(list))) => list
            .into_iter()
            .map(|item| {
                let control = full(item);
                let name = match &control.value.name {
                    Some(name) => At {
                        value: name.value.0.clone(),
                        place: name.place,
                    },
                    None => At {
                        value: control
                            .value
                            .url
                            .as_ref()
                            .and_then(|url| url::Url::parse(&url.value).ok())
                            .and_then(|url| url.host_str().map(str::to_owned))
                            .unwrap_or_else(|| "control".to_owned()),
                        place: control.place,
                    },
                };
                (name, control)
            })
            .collect(),
    }
}

/// Names that controls have, as far as they are written down.
fn names_of_controls(raw: Option<&At<Controls>>) -> Vec<String> {
    match raw.map(|controls| &controls.value) {
        None => Vec::new(),
        Some(Controls::Named(named)) => {
            let names = named.0.iter();
            names.map(|(name, _)| name.value.clone()).collect()
        }
        Some(Controls::List(list)) => {
            let full = list.0.iter().filter_map(|item| match &item.value {
                Form::Full(probe) => probe.name.as_ref(),
                Form::Short(_) => None,
            });
            full.map(|name| name.value.0.clone()).collect()
        }
    }
}

fn signatures(raw: Option<At<List<raw::Signature>>>, desk: &mut Desk<'_>) -> Vec<OwnSignature> {
    let mut names = HashSet::new();
    let mut signatures = Vec::new();
    for signature in raw.map(|r| r.value.0).unwrap_or_default() {
        let raw = signature.value;
        let when = raw.when.map(|when| conditions::conditions(when, desk));
        let verdict = raw
            .verdict
            .and_then(|v| conditions::verdict_of_an_answer(&v, desk));
        if let Some(id) = &raw.reference_id
            && id.value.0.captures_len() < 2
        {
            desk.error(
                id.place,
                "has no group",
                "put \"( )\" around the reference id itself",
            );
        }
        if let Some(name) = &raw.name
            && !names.insert(name.value.0.clone())
        {
            desk.error(
                name.place,
                format!("there is a signature \"{}\" already", name.value.0),
                "name this one differently",
            );
        }
        let (Some(name), Some(when), Some(verdict)) = (raw.name, when, verdict) else {
            continue;
        };
        signatures.push(OwnSignature {
            name: name.value.0,
            when,
            verdict,
            maker: raw
                .maker
                .map_or_else(|| usual_maker(verdict), |m| m.value.0),
            vendor: raw
                .vendor
                .map_or_else(|| "unknown".to_owned(), |v| v.value.0),
            rule: raw.rule.map_or(Rule::Unknown, |r| r.value.0),
            reference_id: raw.reference_id.map(|p| p.value.0),
        });
    }
    signatures
}

fn usual_maker(verdict: Kind) -> Maker {
    match verdict {
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::RateLimited | Kind::EdgeError => Maker::Edge,
        Kind::Pass | Kind::OriginDenied | Kind::OriginError => Maker::Origin,
        Kind::LocalError => Maker::OurSide,
        _ => Maker::Unknown,
    }
}

fn incidents(raw: Option<raw::Incidents>, desk: &mut Desk<'_>) -> IncidentPolicy {
    let mut policy = IncidentPolicy::default();
    let Some(raw) = raw else {
        return policy;
    };
    if let Some(remind) = raw.remind {
        policy.remind = reminders(remind, desk);
    }
    if let Some(within) = raw.reopen_within {
        policy.reopen_within = within.value.0;
    }
    policy
}

/// Times since the opening, in rising order.
fn reminders<const MIN: u64, const MAX: u64>(
    raw: At<Many<Span<MIN, MAX>>>,
    desk: &mut Desk<'_>,
) -> Vec<Duration> {
    let mut last = Duration::ZERO;
    for at in &raw.value.0 {
        if at.value.0 <= last {
            desk.error(
                at.place,
                "reminders come in rising order",
                "each is the time since the opening",
            );
        }
        last = at.value.0;
    }
    raw.value.0.into_iter().map(|at| at.value.0).collect()
}

/// Runs are kept for so long when the file says nothing.
const RUNS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn store(raw: raw::Store) -> StorePolicy {
    StorePolicy {
        path: raw
            .path
            .map_or_else(|| "edgewatch.db".into(), |path| path.value.0),
        group: raw.group.map(|group| group.value),
        keep: keep(raw.keep.map(|keep| keep.value)),
        bytes_max: raw.max_size.map_or(2 << 30, |size| size.value.0),
    }
}

fn keep<const LEAST: u64, const MOST: u64>(
    raw: Option<Form<Span<LEAST, MOST>, raw::KeepEach>>,
) -> Keep {
    let each = match raw {
        None => return Keep::for_runs(RUNS_KEPT),
        Some(Form::Short(runs)) => return Keep::for_runs(runs.0),
        Some(Form::Full(each)) => each,
    };
    let usual = Keep::for_runs(each.runs.map_or(RUNS_KEPT, |runs| runs.value.0));
    Keep {
        bodies: each
            .bodies
            .map_or(usual.bodies, |bodies| bodies.value.0.min(usual.runs)),
        incidents: each.incidents.map(|incidents| incidents.value.0),
        messages: each
            .messages
            .map_or(usual.messages, |messages| messages.value.0),
        ..usual
    }
}
