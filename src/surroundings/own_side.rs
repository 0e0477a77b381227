//! What changed on our own side: the address that the world sees of an egress, and the configuration.
//!
//! A control that echoes the address it was asked from tells what partners see; a pool of addresses
//! behind one egress is normal once it is known. Edits of a client or an egress are the operator's own
//! and told to nobody, but when what they touch is refused hours later, they stand beside the incident.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use super::fingerprint::{COINCIDENCE, LAG_MAX_S, LEAD_MAX_S, chance, fnv};
use crate::domain::cell::{CellKey, Client, ClientName, EgressName, Way};
use crate::domain::incident::Beside;
use crate::domain::observation::Observation;
use crate::domain::plan::Plan;
use crate::domain::sent::{self, Sent, Stack};
use crate::domain::surroundings::{ClientFace, OurSide, Own, OwnChange, SeenAddress, SeenStack};

/// Largest body that may be an echo of our address.
const ECHO_BYTES_MAX: usize = 4096;
/// Addresses kept for one egress; those not seen for longest go first.
const ADDRESSES_MAX: usize = 16;
/// Changes kept.
const CHANGES_MAX: usize = 64;
/// An address that was not seen for so long has gone, and its return is a change, seconds.
const GONE_AFTER_S: i64 = 72 * 3600;
/// What of our own is refused is told once in so long, seconds.
const AGAIN_AFTER_S: i64 = 72 * 3600;

/// Something of ours to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When it was seen first.
    pub at: Timestamp,
    pub headline: String,
    pub because: Vec<String>,
    pub next_step: String,
}

/// Our own side, and what was seen of it last.
#[derive(Debug, Clone, Default)]
pub struct OwnSide {
    known: OurSide,
    /// Seen once so far: egress, address, when.
    odd: Vec<(EgressName, IpAddr, Timestamp)>,
    /// The same of fingerprints.
    odd_stacks: BTreeMap<ClientName, (SeenStack, Timestamp)>,
    changed: bool,
}

/// The public address that a control's answer tells: the `ip=` line of a trace, or a body that is an address.
#[must_use]
pub fn echoed(observation: &Observation) -> Option<IpAddr> {
    let body = &observation.answer.as_ref()?.body.bytes;
    if body.len() > ECHO_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let whole = text.trim().trim_matches('"').parse().ok();
    whole.or_else(|| {
        // Cloudflare's trace: https://www.cloudflare.com/cdn-cgi/trace (read 2026-11-22).
        let line = text.lines().find_map(|line| line.strip_prefix("ip="))?;
        line.trim().parse().ok()
    })
}

impl OwnSide {
    /// Starts with a plan of which nothing was known.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut ours = Self::default();
        ours.take(plan);
        ours
    }

    /// Goes on from what was known at the last start.
    #[must_use]
    pub fn resume(known: OurSide) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// What is to be kept for the next start.
    #[must_use]
    pub fn keep(&self) -> &OurSide {
        &self.known
    }

    /// Whether that changed since it was taken last.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// The same; from now on it has not.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Takes in that an egress was seen with an address; returns what is to be told.
    ///
    /// An address counts when it was seen twice in a row, so that one odd answer is none.
    pub fn seen(
        &mut self,
        plan: &Plan,
        egress: &EgressName,
        address: IpAddr,
        at: Timestamp,
    ) -> Option<Said> {
        self.known.began.get_or_insert(at);
        let same_family = |other: &IpAddr| other.is_ipv4() == address.is_ipv4();
        let known = self.known.addresses.entry(egress.clone()).or_default();
        let mut in_turn = false;
        for seen in known.iter_mut().filter(|seen| seen.address == address) {
            let away = at.duration_since(seen.last_at).as_secs();
            in_turn = away <= GONE_AFTER_S;
            if in_turn || seen.current {
                seen.last_at = seen.last_at.max(at);
            }
        }
        let is_odd =
            |odd: &(EgressName, IpAddr, Timestamp)| odd.0 == *egress && same_family(&odd.1);
        let odd = self.odd.iter().position(is_odd);
        let odd = odd.map(|place| self.odd.swap_remove(place));
        if known
            .iter()
            .any(|seen| seen.current && seen.address == address)
        {
            // The configuration may have been edited since.
            let differs = self.differs(plan, egress, address)?;
            return self.say(egress, address, at, None, Some(differs));
        }
        let Some((.., first_at)) = odd.filter(|(_, other, _)| *other == address) else {
            self.odd.push((egress.clone(), address, at));
            return None;
        };
        self.changed = true;
        let before = known.iter().find(|k| k.current && same_family(&k.address));
        let before = before.map(|known| known.address);
        for known in known.iter_mut().filter(|k| same_family(&k.address)) {
            known.current = false;
        }
        known.retain(|known| known.address != address);
        known.push(SeenAddress {
            address,
            first_at,
            last_at: at,
            current: true,
        });
        if known.len() > ADDRESSES_MAX {
            let oldest = (0..known.len()).min_by_key(|place| known[*place].last_at);
            oldest.map(|place| known.remove(place));
        }
        let changed = before.filter(|_| !in_turn).map(|before| {
            format!("the public address of egress `{egress}` changed from {before} to {address}")
        });
        if let Some(text) = &changed {
            self.note(first_at, Own::Egress(egress.clone()), text.clone());
        }
        let differs = self.differs(plan, egress, address);
        self.say(egress, address, first_at, changed, differs)
    }

    /// The configured address, when it is another of the same family and that was not told yet.
    fn differs(&mut self, plan: &Plan, egress: &EgressName, address: IpAddr) -> Option<IpAddr> {
        let wanted = plan.egress(egress)?.public?;
        if wanted == address || wanted.is_ipv4() != address.is_ipv4() {
            return None;
        }
        let told = self.known.told.entry(egress.clone()).or_default();
        if told.contains(&(wanted, address)) {
            return None;
        }
        if told.len() >= ADDRESSES_MAX {
            told.remove(0);
        }
        told.push((wanted, address));
        self.changed = true;
        Some(wanted)
    }

    fn say(
        &self,
        egress: &EgressName,
        address: IpAddr,
        at: Timestamp,
        changed: Option<String>,
        differs: Option<IpAddr>,
    ) -> Option<Said> {
        let known = self.known.addresses.get(egress);
        let others = known.into_iter().flatten().filter(|k| !k.current).count();
        let mut because = vec![format!(
            "a control was asked from {address}, twice in a row"
        )];
        if others > 0 {
            because.push(format!(
                "so far {} addresses were seen of this egress",
                others + 1
            ));
        }
        let (headline, next_step) = match (changed, differs) {
            (Some(text), differs) => {
                because.extend(
                    differs.map(|wanted| format!("the configuration says `public: {wanted}`")),
                );
                let step = format!(
                    "Tell the partners that have this egress on an allow-list, or get the old address back; set `public:` of egress `{egress}`"
                );
                (format!("T{}", &text[1..]), step)
            }
            (None, Some(wanted)) => (
                format!(
                    "Egress `{egress}` is seen as {address}, while the configuration says {wanted}"
                ),
                format!(
                    "See which of the two the partners have on their allow-lists, and set `public:` of egress `{egress}`"
                ),
            ),
            (None, None) => return None,
        };
        Some(Said {
            at,
            headline,
            because,
            next_step,
        })
    }

    /// Takes in what a program sent; a change of its TLS stands beside what is refused from then on, and is to be told.
    ///
    /// It counts when it was seen twice in a row, as addresses do.
    pub fn sent(&mut self, client: &ClientName, sent: &Sent, at: Timestamp) -> Option<Said> {
        let Stack::Program { version, .. } = &sent.stack else {
            return None;
        };
        let ja4 = sent.fingerprint()?;
        let before = self.known.stacks.get(client);
        if before.is_some_and(|before| sent::is_same_stack(&before.ja4, ja4)) {
            self.odd_stacks.remove(client);
            return None;
        }
        let before = before.cloned();
        let now = SeenStack {
            ja4: ja4.to_owned(),
            version: version.clone(),
        };
        let again = self.odd_stacks.insert(client.clone(), (now.clone(), at));
        let first_at = match (&before, again) {
            (None, _) => at,
            (Some(_), Some((seen, first_at))) if seen.ja4 == now.ja4 => first_at,
            _ => return None,
        };
        self.odd_stacks.remove(client);
        self.known.stacks.insert(client.clone(), now.clone());
        self.changed = true;
        let before = before?;
        let versions = match (before.version.as_str(), now.version.as_str()) {
            (then, is) if then != is && !then.is_empty() && !is.is_empty() => {
                format!(" ({then} → {is})")
            }
            _ => String::new(),
        };
        let text = format!("client `{client}` sends another TLS fingerprint{versions}");
        self.note(first_at, Own::Client(client.clone()), text);
        Some(Said {
            at: first_at,
            headline: format!("Client `{client}` sends another TLS fingerprint{versions}"),
            because: vec![format!(
                "JA4 `{}`, before it `{}`, seen twice in a row",
                now.ja4, before.ja4
            )],
            next_step: "Nothing, where a runtime was updated on purpose; an edge that judges the handshake may treat it as another client".to_owned(),
        })
    }

    /// Whether it is to be told that edgewatch alone is refused as these clients: not where that was told lately.
    pub fn refused(&mut self, clients: &BTreeSet<&ClientName>, at: Timestamp) -> bool {
        let lately = |client: &&ClientName| {
            let told = self.known.refused.get(*client);
            told.is_some_and(|told| at.duration_since(*told).as_secs() < AGAIN_AFTER_S)
        };
        if clients.iter().all(lately) {
            return false;
        }
        let told = clients.iter().map(|client| ((*client).clone(), at));
        self.known.refused.extend(told);
        self.changed = true;
        true
    }

    /// Compares a plan with the one before, and remembers what was edited.
    pub fn replan(&mut self, plan: &Plan, now: Timestamp) {
        self.known.began.get_or_insert(now);
        let mut edits = Vec::new();
        for client in &plan.clients {
            let face = face(client);
            if let Some(before) = self.known.clients.get(&client.name)
                && *before != face
            {
                let name = &client.name;
                let text = if before.user_agent == face.user_agent {
                    format!("client `{name}` was edited in the configuration: headers, HTTP or TLS")
                } else {
                    format!(
                        "the user agent of client `{name}` was edited from `{}` to `{}`",
                        before.user_agent, face.user_agent
                    )
                };
                // What follows from the edit is no news.
                self.known.stacks.remove(name);
                edits.push((Own::Client(name.clone()), text));
            }
        }
        for egress in &plan.egresses {
            let way = way(&egress.way);
            if let Some(before) = self.known.ways.get(&egress.name)
                && *before != way
            {
                let name = &egress.name;
                let text =
                    format!("the way out of egress `{name}` was edited from {before} to {way}");
                edits.push((Own::Egress(name.clone()), text));
            }
        }
        for (what, text) in edits {
            self.note(now, what, text);
        }
        self.take(plan);
    }

    fn take(&mut self, plan: &Plan) {
        let clients = plan.clients.iter();
        let clients = clients.map(|c| (c.name.clone(), face(c))).collect();
        let ways = plan.egresses.iter();
        let ways = ways.map(|e| (e.name.clone(), way(&e.way))).collect();
        if self.known.clients != clients || self.known.ways != ways {
            (self.known.clients, self.known.ways) = (clients, ways);
            self.changed = true;
        }
        self.known
            .stacks
            .retain(|name, _| plan.client(name).is_some());
        self.known
            .refused
            .retain(|name, _| plan.client(name).is_some());
        let count = self.known.addresses.len() + self.known.told.len();
        self.known
            .addresses
            .retain(|name, _| plan.egress(name).is_some());
        self.known
            .told
            .retain(|name, _| plan.egress(name).is_some());
        self.odd.retain(|(name, ..)| plan.egress(name).is_some());
        self.changed |= self.known.addresses.len() + self.known.told.len() != count;
    }

    fn note(&mut self, at: Timestamp, what: Own, text: String) {
        if self.known.changes.len() >= CHANGES_MAX {
            self.known.changes.remove(0);
        }
        self.known.changes.push(OwnChange { at, what, text });
        self.changed = true;
    }

    /// The changes of ours near an onset that touch these failing cells.
    ///
    /// One is related when all that fails goes through what changed, and it is no likely coincidence.
    #[must_use]
    pub fn beside(&self, cells: &[&CellKey], onset: Timestamp) -> Vec<Beside> {
        let touches = |what: &Own, cell: &CellKey| match what {
            Own::Client(name) => cell.client == *name,
            Own::Egress(name) => cell.egress == *name,
        };
        let observed = self.known.began.map_or(0.0, |at| lead(at, onset));
        let changes = &self.known.changes;
        let near = changes.iter().enumerate().filter_map(|(place, change)| {
            let lead_s = lead(change.at, onset);
            let touched = cells.iter().filter(|c| touches(&change.what, c)).count();
            if touched == 0 || !(-LAG_MAX_S..=LEAD_MAX_S).contains(&lead_s) {
                return None;
            }
            let earlier = changes[..place].iter();
            let earlier = earlier.filter(|c| c.what == change.what).count();
            let chance = chance(u32::try_from(earlier).unwrap_or(u32::MAX), observed, lead_s);
            Some(Beside {
                at: change.at,
                text: change.text.clone(),
                chance,
                related: touched == cells.len() && chance < COINCIDENCE,
            })
        });
        near.collect()
    }
}

/// Seconds from `at` to `onset`.
fn lead(at: Timestamp, onset: Timestamp) -> f64 {
    onset.duration_since(at).as_secs_f64()
}

fn face(client: &Client) -> ClientFace {
    let (headers, case) = client.headers_mark();
    let program = client.program_mark();
    let rest = format!(
        "{:?} {:?} {headers} {case}{program}",
        client.http, client.tls
    );
    ClientFace {
        user_agent: client.user_agent.clone(),
        rest: fnv(rest.bytes()),
    }
}

/// How an egress leaves, without user name and password of a proxy.
fn way(way: &Way) -> String {
    match way {
        Way::Routes => "the routes of the system".to_owned(),
        Way::Address(address) => format!("address {address}"),
        Way::Interface(name) => format!("interface {name}"),
        Way::Proxy(proxy) => format!("proxy {}:{}", proxy.host, proxy.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::{CredentialName, HeaderCase, HttpOffer, TlsRange};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
    }

    fn client(user_agent: &str) -> Client {
        Client {
            name: "java".into(),
            user_agent: user_agent.to_owned(),
            http: HttpOffer::default(),
            tls: TlsRange::default(),
            headers: Vec::new(),
            header_case: HeaderCase::default(),
            program: None,
            stands_in_for: None,
            trust: None,
            control: false,
        }
    }

    fn cell(client: &str, egress: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: egress.into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    #[test]
    fn the_user_agent_in_a_face_is_plain_and_the_rest_a_digest() {
        let mut other = client("Java/1.8");
        assert_eq!(face(&client("Java/1.8")), face(&other));
        other
            .headers
            .push(("X-Key".to_owned(), Some("k".to_owned())));
        let (one, other) = (face(&client("Java/1.8")), face(&other));
        assert!(one.user_agent == other.user_agent && one.rest != other.rest);
    }

    #[test]
    fn another_fingerprint_of_a_program_is_told_once_it_was_seen_twice() {
        let sent = |ja4: &str, fresh: Option<&str>, version: &str| Sent {
            stack: Stack::Program {
                name: "java".to_owned(),
                version: version.to_owned(),
            },
            ja4: Some(ja4.to_owned()),
            ja4_fresh: fresh.map(str::to_owned),
            greeting: None,
            header_order: None,
            h2: None,
        };
        let name = ClientName::new("java");
        let (old, new) = ("t13d451100_a_b", "t13d431100_c_b");
        let mut ours = OwnSide::default();
        let mut see = |sent: &Sent, minute| ours.sent(&name, sent, at(minute));
        assert_eq!(
            see(&sent(old, None, "11.0.29"), 0),
            None,
            "the first is no change"
        );
        assert_eq!(
            see(&sent("t13d451200_a_d", Some(old), "11.0.29"), 1),
            None,
            "an earlier session"
        );
        assert_eq!(
            see(&sent("t13i451100_a_b", None, "11.0.29"), 2),
            None,
            "an address as host"
        );
        let native = Sent {
            stack: Stack::Native,
            ..sent(new, None, "")
        };
        assert_eq!(see(&native, 3), None, "edgewatch's own is no program's");
        assert_eq!(see(&sent(new, None, "11.0.30"), 4), None, "once may be odd");
        let said = see(&sent(new, None, "11.0.30"), 9).expect("a change");
        assert_eq!(
            (said.headline.as_str(), said.at),
            (
                "Client `java` sends another TLS fingerprint (11.0.29 → 11.0.30)",
                at(4)
            )
        );
        assert_eq!(see(&sent(new, None, "11.0.30"), 10), None, "once");
        assert!(ours.take_changed(), "it is kept for the next start");
        let beside = ours.beside(&[&cell("java", "e1")], at(30));
        assert_eq!(beside.len(), 1);
        assert!(beside[0].related, "{beside:?}");
        // What follows from an edit is no news.
        let mut plan = OwnSide::default();
        plan.known.stacks = ours.known.stacks.clone();
        assert!(plan.known.stacks.contains_key(&name));
    }

    #[test]
    fn that_we_alone_are_refused_is_told_once_in_a_while() {
        let mut ours = OwnSide::default();
        let (java, web) = (ClientName::new("java"), ClientName::new("web"));
        let both = BTreeSet::from([&java, &web]);
        let one = BTreeSet::from([&java]);
        assert!(ours.refused(&one, at(0)));
        assert!(!ours.refused(&one, at(10)));
        assert!(ours.refused(&both, at(11)), "another client is news");
        assert!(!ours.refused(&one, at(72 * 60)));
        assert!(ours.refused(&one, at(72 * 60 + 12)));
    }

    #[test]
    fn an_edit_is_related_when_all_that_fails_goes_through_it() {
        let mut ours = OwnSide::default();
        ours.note(at(0), Own::Client("java".into()), "edited".to_owned());
        let (mine, other) = (cell("java", "e1"), cell("curl", "e1"));
        let related = |cells: &[&CellKey], minute| {
            let beside = ours.beside(cells, at(minute));
            beside.first().map(|beside| beside.related)
        };
        assert_eq!(related(&[&mine], 60), Some(true));
        assert_eq!(
            related(&[&mine], -4),
            Some(true),
            "noticed just after it began"
        );
        assert_eq!(related(&[&mine], -6), None);
        assert_eq!(related(&[&mine, &other], 60), Some(false));
        assert_eq!(related(&[&other], 60), None);
        assert_eq!(
            related(&[&mine], 71 * 60),
            Some(false),
            "long before: a coincidence"
        );
        assert_eq!(related(&[&mine], 73 * 60), None);
    }
}
