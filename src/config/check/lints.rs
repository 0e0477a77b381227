//! What is legal and most likely not meant: each a warning with its line.
//!
//! Only a file that is right otherwise is held against these: what follows from an error is no news.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::probes::registrable;
use crate::config::Inputs;
use crate::config::collections::{Form, Named};
use crate::config::desk::{Desk, Place, quote};
use crate::config::measure::show_duration;
use crate::config::raw;
use crate::domain::cell::{Client, HttpOffer, Way};
use crate::domain::condition::Condition;
use crate::domain::notification::Channel;
use crate::domain::plan::Plan;
use crate::domain::probe::{Meaning, Part, Schedule, Template};

/// Where in the file stands what the lints speak of; taken before the mirror is used up.
#[derive(Debug, Default)]
pub(super) struct Places {
    root: Place,
    probes_key: Option<Place>,
    runs_in_flight: Option<Place>,
    store: Option<Place>,
    store_path: Option<Place>,
    /// Texts of bodies, where they stand in the file itself.
    bodies: HashMap<String, Place>,
    headers: HashMap<(String, String), Place>,
    meanings: HashMap<String, Vec<Place>>,
    clients_key: Option<Place>,
    clients: HashMap<String, Place>,
    egresses: HashMap<String, Place>,
    credentials: HashMap<String, Place>,
    probes: HashMap<String, Place>,
    urls: HashMap<String, Place>,
    routes: Vec<Place>,
    signatures: Vec<Place>,
}

impl Places {
    /// Where an egress stands.
    pub(super) fn egress(&self, name: &str) -> Place {
        self.find(&self.egresses, name)
    }

    pub(super) fn of(raw: &raw::File, root: Place) -> Self {
        fn names<T>(named: Option<&Named<T>>) -> HashMap<String, Place> {
            let named = named.iter().flat_map(|named| &named.0);
            named
                .map(|(name, _)| (name.value.clone(), name.place))
                .collect()
        }
        let mut probes = names(raw.probes.as_ref().map(|p| &p.value));
        if let Some(raw::Controls::Named(named)) = raw.controls.as_ref().map(|c| &c.value) {
            probes.extend(names::<Form<String, raw::Probe>>(Some(named)));
        }
        let named = raw.probes.iter().flat_map(|probes| &probes.value.0);
        let urls = named.filter_map(|(name, probe)| {
            let url = probe.as_ref()?.value.url.as_ref()?;
            Some((name.value.clone(), url.place))
        });
        let each = || {
            let named = raw.probes.iter().flat_map(|probes| &probes.value.0);
            named.filter_map(|(name, probe)| Some((&name.value, &probe.as_ref()?.value)))
        };
        let headers = each().flat_map(|(name, probe)| {
            let pairs = probe.headers.iter().flat_map(|pairs| &pairs.value.0);
            pairs.map(move |(header, value)| ((name.clone(), header.value.clone()), value.place))
        });
        let bodies = each().filter_map(|(name, probe)| {
            let body = probe.body.as_ref()?;
            matches!(body.value, Form::Short(_)).then(|| (name.clone(), body.place))
        });
        let meanings = each().filter_map(|(name, probe)| {
            let list = &probe.meanings.as_ref()?.value.0;
            Some((
                name.clone(),
                list.iter().map(|meaning| meaning.place).collect(),
            ))
        });
        let store = raw.store.as_ref();
        let notify = raw.notify.as_ref().map(|notify| &notify.value);
        let routes = notify.and_then(|notify| notify.routes.as_ref());
        let signatures = raw.signatures.iter().flat_map(|list| &list.value.0);
        Self {
            root,
            store: store.map(|store| store.place),
            store_path: store
                .and_then(|store| store.value.path.as_ref())
                .map(|path| path.place),
            bodies: bodies.collect(),
            headers: headers.collect(),
            meanings: meanings.collect(),
            runs_in_flight: raw.runs_in_flight.as_ref().map(|n| n.place),
            probes_key: raw.probes.as_ref().map(|probes| probes.place),
            clients_key: raw.clients.as_ref().map(|clients| clients.place),
            clients: names(raw.clients.as_ref().map(|c| &c.value)),
            egresses: names(raw.egresses.as_ref().map(|e| &e.value)),
            credentials: names(raw.credentials.as_ref().map(|c| &c.value)),
            probes,
            urls: urls.collect(),
            routes: routes
                .iter()
                .flat_map(|routes| &routes.value.0)
                .map(|route| route.place)
                .collect(),
            signatures: signatures.map(|signature| signature.place).collect(),
        }
    }

    fn find(&self, names: &HashMap<String, Place>, name: &str) -> Place {
        names.get(name).copied().unwrap_or(self.root)
    }
}

/// Warns of everything in a sound plan that is most likely not meant.
pub(super) fn warn(plan: &Plan, places: &Places, inputs: &dyn Inputs, desk: &mut Desk<'_>) {
    desk.doubting = true;
    clients(plan, places, desk);
    egresses(plan, places, desk);
    here(plan, places, inputs, desk);
    controls(plan, places, desk);
    unused(plan, places, desk);
    routes(plan, places, desk);
    nights(plan, places, desk);
    seldom(plan, places, desk);
    answers(plan, places, desk);
    secrets(plan, places, desk);
    room(plan, places, desk);
    kept(plan, places, desk);
    desk.doubting = false;
}

/// A partner that answers nobody holds each of its runs until the timeout; what then has no room is not made.
fn room(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let mut held: Vec<(String, f64)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for probe in plan.probes.iter().filter(|probe| !probe.control) {
        let cells = (probe.from.len() * probe.as_clients.len() * probe.with.len()) as f64;
        let part = match &probe.schedule {
            Schedule::Every(every) => probe.timeout.as_secs_f64() / every.as_secs_f64().max(0.001),
            Schedule::Cron(_) => 1.0,
        };
        let place = *known
            .entry(probe.partner.clone())
            .or_insert_with_key(|name| {
                held.push((name.clone(), 0.0));
                held.len() - 1
            });
        held[place].1 += cells * part.min(1.0);
    }
    let worst = held.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    let room = plan.runs_in_flight_max;
    // What a partner among others may hold at most.
    let most = if held.len() > 1 || plan.probes.iter().any(|probe| probe.control) {
        room.div_ceil(2)
    } else {
        room
    };
    if let Some((partner, runs)) = worst.filter(|(_, runs)| *runs > most as f64) {
        let needed = (runs * 2.0).ceil();
        desk.warning(
            places.runs_in_flight.unwrap_or(places.root),
            format!(
                "when {} answers nobody, {runs:.0} of its runs wait for their timeouts, and {most} may be under way: the others are not made then",
                quote(partner)
            ),
            format!("raise \"runs_in_flight\" (now {room}) to {needed:.0}, lengthen \"every\" or shorten \"timeout\""),
        );
    }
}

/// What this host has not got.
fn here(plan: &Plan, places: &Places, inputs: &dyn Inputs, desk: &mut Desk<'_>) {
    // What the hosts of sites have only their agents know.
    let own = plan.egresses.iter().filter(|egress| egress.site.is_none());
    for egress in own {
        let place = places.find(&places.egresses, egress.name.as_str());
        let (lacks, lists) = match &egress.way {
            Way::Address(address) if inputs.has_address(*address) == Some(false) => {
                (format!("this host has no address {address}"), "ip address")
            }
            Way::Interface(name) if inputs.has_interface(name) == Some(false) => (
                format!("this host has no interface {}", quote(name)),
                "ip link",
            ),
            _ => continue,
        };
        desk.warning(
            place,
            lacks,
            format!("no run from here would leave it; \"{lists}\" lists what it has"),
        );
    }
    if let Some(why) = inputs.unwritable(&plan.store.path) {
        desk.warning(
            places.store_path.or(places.store).unwrap_or(places.root),
            format!(
                "the store {} can't be written: {why}",
                quote(&plan.store.path.display().to_string())
            ),
            "edgewatch needs a file there, in a directory that is its own",
        );
    }
}

/// What a run takes in the store, bytes; measured over a month of small answers.
const BYTES_OF_RUN: f64 = 90.0;
const DAY: f64 = 86_400.0;

/// Runs of the plan in a day.
fn runs_a_day(plan: &Plan) -> f64 {
    let each = plan.probes.iter().map(|probe| {
        let cells = (probe.from.len() * probe.as_clients.len() * probe.with.len()) as f64;
        let gap = match &probe.schedule {
            Schedule::Every(every) => every.as_secs_f64(),
            Schedule::Cron(cron) => {
                let first = cron.next_after(super::quiet::YEAR);
                let next = first.and_then(|first| Some((first, cron.next_after(first)?)));
                next.map_or(DAY, |(first, next)| {
                    next.duration_since(first).as_secs_f64()
                })
            }
        };
        cells * DAY / gap.max(1.0)
    });
    each.sum()
}

/// A store that is full before its time drops the oldest runs.
fn kept(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let a_day = runs_a_day(plan) * BYTES_OF_RUN;
    let (days, most) = (
        plan.store.keep.runs.as_secs_f64() / DAY,
        plan.store.bytes_max as f64,
    );
    if a_day * days > most {
        let mib = |bytes: f64| format!("{:.0} MiB", (bytes / 1_048_576.0).ceil());
        desk.warning(
            places.store.unwrap_or(places.root),
            format!(
                "{} hold about {:.0} days of this plan ({} a day), and {days:.0} are to be kept",
                mib(most),
                (most / a_day).floor(),
                mib(a_day)
            ),
            format!(
                "raise \"max_size\" to {} or lower \"keep\"; the oldest runs are dropped first",
                mib(a_day * days * 1.1)
            ),
        );
    }
}

/// What a client sends, without its name.
fn sends(client: &Client) -> String {
    format!(
        "{:?}",
        (
            &client.user_agent,
            client.http,
            client.tls,
            &client.headers,
            client.header_case,
            &client.program
        )
    )
}

fn clients(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let mut known: HashMap<String, &str> = HashMap::new();
    for client in &plan.clients {
        let name = client.name.as_str();
        let place = places.find(&places.clients, name);
        if let Some(other) = known.insert(sends(client), name) {
            desk.warning(
                place,
                format!("sends exactly what \"{other}\" sends"),
                "each run is made twice and the two can't be told apart; remove one, or say in what they differ",
            );
        }
        let agent = &client.user_agent;
        if agent.is_empty() && client.program.is_none() {
            desk.warning(
                place,
                "sends no User-Agent at all",
                "many edges refuse that; write what the service really sends",
            );
        } else if agent.trim() != agent {
            desk.warning(
                place,
                format!("the user agent {} has a blank at an end", quote(agent)),
                "servers read it without; remove it",
            );
        }
    }
    only_in_http1(plan, places, desk);
    if !plan.clients.is_empty() && !plan.clients.iter().any(|client| client.control) {
        desk.warning(
            places.clients_key.unwrap_or(places.root),
            "no client is a control",
            "add an honest one that should pass everywhere, with \"control: true\": it tells \"they refuse our client\" from \"they refuse us\"",
        );
    }
    if plan.clients.iter().all(|client| client.control) {
        desk.warning(
            places.clients_key.unwrap_or(places.root),
            "every client is a control",
            "name the user agents that your services really send: those are what an edge refuses",
        );
    }
}

/// Headers of a connection, which HTTP/2 forbids (RFC 9113 section 8.2.2): over it they are left out.
fn only_in_http1(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    const CONNECTION: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "te"];
    let forbidden = |name: &str, value: Option<&str>| {
        CONNECTION.iter().any(|c| name.eq_ignore_ascii_case(c))
            && !(name.eq_ignore_ascii_case("te") && value == Some("trailers"))
    };
    for client in &plan.clients {
        let when = match client.http {
            HttpOffer::Http1 => continue,
            HttpOffer::Http2 => "is not sent: HTTP/2 forbids it",
            HttpOffer::Either => "is not sent when HTTP/2 is agreed on, which forbids it",
        };
        let hint = "remove it, or offer http: \"1.1\" if the program does";
        let own = client.headers.iter();
        for (name, _) in own.filter(|(name, value)| forbidden(name, value.as_deref())) {
            let place = places.find(&places.clients, client.name.as_str());
            desk.warning(place, format!("the header {} {when}", quote(name)), hint);
        }
        let probes = plan.probes.iter();
        for probe in probes.filter(|probe| probe.as_clients.contains(&client.name)) {
            let text = |template: &Template| match template.parts.as_slice() {
                [Part::Text(text)] => Some(text.clone()),
                _ => None,
            };
            let names = probe.headers.iter();
            for (name, _) in names.filter(|(name, value)| forbidden(name, text(value).as_deref())) {
                let key = (probe.name.to_string(), name.clone());
                let place = places.headers.get(&key).copied();
                desk.warning(
                    place.unwrap_or_else(|| places.find(&places.probes, probe.name.as_str())),
                    format!("as \"{}\" the header {} {when}", client.name, quote(name)),
                    hint,
                );
            }
        }
    }
}

/// Whether the world outside can see this address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared)
        }
        IpAddr::V6(ip) => {
            let local = ip.segments()[0] & 0xfe00 == 0xfc00 || ip.segments()[0] & 0xffc0 == 0xfe80;
            !(local || ip.is_loopback() || ip.is_unspecified())
        }
    }
}

fn egresses(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let (mut ways, mut publics) = (HashMap::new(), HashMap::new());
    let mut nameless = Vec::new();
    for egress in &plan.egresses {
        let name = egress.name.as_str();
        let place = places.find(&places.egresses, name);
        let way = match &egress.way {
            Way::Routes => None,
            Way::Address(address) => Some(address.to_string()),
            Way::Interface(interface) => Some(interface.clone()),
            Way::Proxy(proxy) => Some(format!("{}:{}", proxy.host, proxy.port)),
        };
        let family = egress.family;
        if let Some(other) = way.and_then(|way| ways.insert((way, format!("{family:?}")), name)) {
            desk.warning(
                place,
                format!("leaves as \"{other}\" does"),
                "each run is made twice, and no answer can tell the two apart; remove one",
            );
        }
        let Some(public) = egress.public else {
            if !matches!(egress.way, Way::Routes) {
                nameless.push(name);
            }
            continue;
        };
        if !is_public(public) {
            desk.warning(
                place,
                format!("\"public\" is {public}, which no partner can see"),
                "write the address that the partner has on its list; \"address\" is the local one",
            );
        }
        if let Some(other) = publics.insert(public, name) {
            desk.warning(
                place,
                format!("has the public address of \"{other}\""),
                "behind one address they are one to the partner; if that is so, one of them is enough",
            );
        }
    }
    if let Some(first) = nameless.first() {
        desk.warning(
            places.find(&places.egresses, first),
            format!(
                "no \"public\" says which address the partner sees of {}",
                nameless.join(", ")
            ),
            "write the one that it has on its list: when it sees another, you are told",
        );
    }
}

/// Names that controls have in our own examples.
const NAMES_OF_CONTROLS: [&str; 5] = ["internet", "same-edge", "control", "controls", "echo"];

fn controls(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let mut probes = plan.probes.iter().filter(|probe| !probe.control);
    if plan.probes.iter().all(|probe| !probe.control) {
        let lost = probes.find(|probe| NAMES_OF_CONTROLS.contains(&probe.name.as_str()));
        let (place, hint) = match lost {
            Some(probe) => (
                places.find(&places.probes, probe.name.as_str()),
                format!("\"{}\" stands under \"probes\"; is the line \"controls:\" above it gone?", probe.name),
            ),
            None => (
                places.probes_key.unwrap_or(places.root),
                "add \"controls: { internet: { url: https://www.gov.uk/, every: 1m } }\": without one nothing tells an outage of your own network from theirs".to_owned(),
            ),
        };
        desk.warning(place, "there are no controls", hint);
    }
    for control in plan.probes.iter().filter(|probe| probe.control) {
        let mut partners = plan.probes.iter().filter(|probe| !probe.control);
        let shares = |host: bool| {
            move |probe: &&crate::domain::probe::Probe| {
                if host {
                    probe.url.host_str() == control.url.host_str()
                        && probe.url.port_or_known_default() == control.url.port_or_known_default()
                } else {
                    // Addresses and single names belong to nobody.
                    probe
                        .url
                        .domain()
                        .is_some_and(|domain| domain.contains('.'))
                        && registrable(&probe.url) == registrable(&control.url)
                }
            }
        };
        let Some(probe) = partners
            .clone()
            .find(shares(true))
            .or_else(|| partners.find(shares(false)))
        else {
            continue;
        };
        desk.warning(
            places.find(&places.probes, control.name.as_str()),
            format!("asks the partner of \"{}\" itself", probe.name),
            "what they refuse there would read as a fault of your own network; ask somebody else's host",
        );
    }
}

/// Names that nothing uses.
fn unused(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let (mut clients, mut egresses, mut credentials) =
        (HashSet::new(), HashSet::new(), HashSet::new());
    for probe in &plan.probes {
        clients.extend(&probe.as_clients);
        egresses.extend(&probe.from);
        credentials.extend(&probe.with);
    }
    let hint = "name it in a probe, or remove it";
    for client in plan
        .clients
        .iter()
        .filter(|client| !clients.contains(&client.name))
    {
        let place = places.find(&places.clients, client.name.as_str());
        desk.warning(place, "no probe runs as this client", hint);
    }
    for egress in plan
        .egresses
        .iter()
        .filter(|egress| !egresses.contains(&egress.name))
    {
        let place = places.find(&places.egresses, egress.name.as_str());
        desk.warning(place, "no probe runs from this egress", hint);
    }
    for credential in plan
        .credentials
        .iter()
        .filter(|c| !credentials.contains(&c.name))
    {
        let place = places.find(&places.credentials, credential.name.as_str());
        desk.warning(place, "no probe runs with this credential", hint);
    }
}

fn routes(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    for (number, (route, place)) in plan.routes.iter().zip(&places.routes).enumerate() {
        let first = plan.routes[..number]
            .iter()
            .position(|other| other == route);
        if let Some(first) = first {
            desk.warning(
                *place,
                format!("says the same as notify.routes[{first}]"),
                "remove one of them, or say in what they differ",
            );
        }
        let mut probes = plan.probes.iter();
        if !route.severities.is_empty()
            && !probes.any(|probe| route.severities.contains(&probe.severity))
        {
            desk.warning(
                *place,
                "never fires: no probe has a severity that it is for",
                "set \"severity\" on the probes that are meant",
            );
        }
    }
    let plain = plan
        .receivers
        .iter()
        .any(|receiver| match &receiver.channel {
            Channel::Teams { .. } | Channel::StatusPage { .. } => true,
            Channel::Email(mail) => mail.plain,
            _ => false,
        });
    let nameless =
        |probe: &&crate::domain::probe::Probe| !probe.control && probe.words.what.is_none();
    if plain && let Some(probe) = plan.probes.iter().find(nameless) {
        desk.warning(
            places.find(&places.probes, probe.name.as_str()),
            "support staff are told of it, and no \"words: { what: … }\" says what it is in their words",
            "write what people can't do when it fails",
        );
    }
}

/// Routes that all keep hours: outside them nobody hears of anything.
fn nights(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    let kept = !plan.routes.is_empty() && plan.routes.iter().all(|route| route.during.is_some());
    if let Some(place) = places.routes.first().filter(|_| kept) {
        desk.warning(
            *place,
            "outside the hours of all routes nobody is told of an incident before they begin",
            "leave \"during\" out on one of them, perhaps with \"severity: critical\"",
        );
    }
}

/// Between two runs a block may stand for so long unseen.
const SELDOM: Duration = Duration::from_secs(2 * 3600);
/// What it says of our own network is of no use when it is older.
const SELDOM_OF_A_CONTROL: Duration = Duration::from_secs(3600);

fn seldom(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    for probe in &plan.probes {
        let Schedule::Every(every) = probe.schedule else {
            continue;
        };
        let place = places.find(&places.probes, probe.name.as_str());
        let every_text = show_duration(every);
        if probe.control && every >= SELDOM_OF_A_CONTROL {
            desk.warning(
                place,
                format!("is asked once in {every_text}, too seldom for a control to say how our own network is now"),
                "ask every 1m to 15m",
            );
        } else if !probe.control && every >= SELDOM {
            desk.warning(
                place,
                format!("is asked once in {every_text}, and a block may stand unseen for so long"),
                "ask every 5m to 1h: a cell is one request each time",
            );
        }
    }
}

/// Meanings that are never reached, and signatures that say nothing.
fn answers(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    for probe in &plan.probes {
        let asks = |meaning: &Meaning| -> HashSet<String> {
            let each = meaning.when.0.iter();
            each.map(|condition| format!("{condition:?}")).collect()
        };
        let all: Vec<HashSet<String>> = probe.meanings.iter().map(asks).collect();
        for (place, later) in all.iter().enumerate() {
            if let Some(before) = all[..place]
                .iter()
                .position(|before| before.is_subset(later))
            {
                let name = probe.name.as_str();
                let known = places.meanings.get(name).and_then(|list| list.get(place));
                desk.warning(
                    known.copied().unwrap_or_else(|| places.find(&places.probes, name)),
                    "is never reached",
                    format!("meanings[{before}] holds whenever this one does, and the first that holds wins; put this one before it"),
                );
            }
        }
    }
    for (signature, place) in plan.signatures.iter().zip(&places.signatures) {
        let good = |condition: &Condition| match condition {
            Condition::Status(ranges) => ranges
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&200)),
            _ => false,
        };
        if signature.when.0.iter().all(good) {
            desk.warning(
                *place,
                "fits every answer of 200, the good ones too",
                "add what only the block page shows, as a header or a text of the body",
            );
        }
    }
}

/// Words in a name behind which a secret stands.
const SECRET_NAMES: [&str; 8] = [
    "key", "token", "secret", "password", "passwd", "pwd", "auth", "sig",
];

fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    // "apikey" and "accesstoken" are written in one.
    let joined = |word: &str, secret: &str| {
        let owner = word.strip_suffix(secret);
        owner.is_some_and(|owner| {
            ["", "api", "access", "client", "session", "shared"].contains(&owner)
        })
    };
    words.any(|word| SECRET_NAMES.iter().any(|secret| joined(word, secret)))
}

/// Whether a text may be a key: one word with a digit in it, not a short one.
fn is_token(text: &str) -> bool {
    text.len() >= 8
        && !text.contains(char::is_whitespace)
        && text.contains(|c: char| c.is_ascii_digit())
}

/// The name in a body behind which a literal secret stands: in JSON, XML or a form.
fn secret_in(body: &str) -> Option<String> {
    static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r#"(?:"([\w.-]{1,40})"\s*:\s*"([^"\s]{4,200})"|<(?:\w+:)?([\w.-]{1,40})>([^<>\s]{4,200})</|(?:^|&)([\w.-]{1,40})=([^&\s]{4,200}))"#,
        )
        .ok()
    });
    let mut found = NAMED.as_ref()?.captures_iter(body);
    found.find_map(|found| {
        let name = found.get(1).or(found.get(3)).or(found.get(5))?.as_str();
        sounds_secret(name).then(|| name.to_owned())
    })
}

/// Literal secrets where only a reference should stand, and placeholders that a run without credentials leaves empty.
fn secrets(plan: &Plan, places: &Places, desk: &mut Desk<'_>) {
    for probe in &plan.probes {
        let place = places.find(&places.probes, probe.name.as_str());
        let query = probe.url.query_pairs();
        let keys = query.filter(|(name, value)| sounds_secret(name) && !value.is_empty());
        for (name, _) in keys {
            let place = places.find(&places.urls, probe.name.as_str());
            desk.hide_at(place);
            desk.warning(
                place,
                format!("the query holds {} in the clear", quote(&name)),
                "a URL stands in every log on the way; send it in a header, from \"credentials\"",
            );
        }
        for (header, value) in &probe.headers {
            let lower = header.to_ascii_lowercase();
            let bare = value
                .parts
                .iter()
                .all(|part| matches!(part, Part::Text(text) if is_token(text)));
            if sounds_secret(&lower) && bare {
                let key = (probe.name.to_string(), header.clone());
                let place = places.headers.get(&key).copied().unwrap_or(place);
                desk.hide_at(place);
                desk.warning(
                    place,
                    format!("the header {} holds a key in the clear", quote(header)),
                    "put it under \"credentials\" and write \"{{ credential.<field> }}\"",
                );
            }
        }
        if let Some(Part::Text(text)) = probe.body.as_ref().and_then(|body| body.parts.first())
            && let Some(name) = secret_in(text)
            && probe
                .body
                .as_ref()
                .is_some_and(|body| body.parts.len() == 1)
        {
            let place = places.bodies.get(probe.name.as_str());
            if let Some(place) = place {
                desk.hide_at(*place);
            }
            desk.warning(
                place
                    .copied()
                    .unwrap_or_else(|| places.find(&places.probes, probe.name.as_str())),
                format!("the body holds {} in the clear", quote(&name)),
                "put it under \"credentials\" and write \"{{ credential.<field> }}\"",
            );
        }
        let literal = |template: &Template| {
            template
                .parts
                .iter()
                .all(|part| matches!(part, Part::Text(_)))
        };
        let fills = |template: &Template| !literal(template);
        let needs = probe.headers.iter().any(|(_, value)| fills(value))
            || probe.body.as_ref().is_some_and(fills);
        let anonymous = probe
            .with
            .iter()
            .any(crate::domain::cell::CredentialName::is_anonymous);
        if needs && anonymous && probe.with.len() > 1 {
            desk.warning(
                place,
                "as \"anonymous\" it sends the placeholders of a credential empty",
                "that is refused for want of an account and not by an edge; give anonymous runs a probe of their own without them",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_behind_which_secrets_stand() {
        for name in [
            "key",
            "api_key",
            "apikey",
            "Ocp-Apim-Subscription-Key",
            "X-Auth",
            "access-token",
            "sig",
        ] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in [
            "monkey",
            "keyword",
            "author",
            "Accept",
            "signature-version",
            "design",
        ] {
            assert!(!sounds_secret(name), "{name}");
        }
    }

    #[test]
    fn addresses_that_no_partner_sees() {
        for (address, public) in [
            ("203.0.113.15", true),
            ("10.20.1.15", false),
            ("100.64.0.1", false),
            ("172.32.0.1", true),
            ("2001:db8::1", true),
            ("fd00::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
