//! What the edge does to which request: the rules of a script, first match first.
//!
//! Their words are those of the scenario files: `when` is a conjunction, `probability` makes a rule
//! intermittent, `rate` makes it fire only for callers that ask too often, `active` bounds it in time.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use regex::Regex;

use super::pages::Page;
use super::request::Request;
use crate::domain::observation::HttpVersion;

/// Addresses that one rate rule remembers; the one that was silent longest is forgotten first.
const ADDRESSES_MAX: usize = 1024;

/// One rule of the edge.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For switching it and for the record of requests.
    pub name: String,
    pub when: When,
    /// Only for requests above this rate.
    pub rate: Option<Rate>,
    /// From 0 to 1, of the requests that match.
    pub probability: f64,
    /// Times since the edge started; empty: always. The end is exclusive, `None` for ever.
    pub active: Vec<(Duration, Option<Duration>)>,
    /// Switched off rules match nothing.
    pub on: bool,
    pub action: Action,
}

impl Rule {
    #[must_use]
    pub fn new(name: &str, when: When, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            when,
            rate: None,
            probability: 1.0,
            active: Vec::new(),
            on: true,
            action,
        }
    }

    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Adds a time at which the rule holds.
    #[must_use]
    pub fn active(mut self, from: Duration, to: Option<Duration>) -> Self {
        self.active.push((from, to));
        self
    }

    /// Off until it is switched on.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.on = false;
        self
    }

    /// # Errors
    /// A sentence that says what can't be.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(format!(
                "rule {:?}: the probability {} is not from 0 to 1",
                self.name, self.probability
            ));
        }
        if self.action.before_request() && !self.when.only_address() {
            return Err(format!(
                "rule {:?} acts before a request is read, so it can only be about the address",
                self.name
            ));
        }
        if let Action::Page(page) = &self.action {
            page.check()
                .map_err(|why| format!("rule {:?}: {why}", self.name))?;
        }
        Ok(())
    }

    fn active_at(&self, since_start: Duration) -> bool {
        self.on
            && (self.active.is_empty()
                || self
                    .active
                    .iter()
                    .any(|(from, to)| since_start >= *from && to.is_none_or(|to| since_start < to)))
    }
}

/// Which requests a rule is about: all that is given must hold, nothing given means every request.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// User agent; a request without one is compared as the empty text.
    pub ua: Option<Text>,
    /// The address a request comes from is in one of these; empty: any.
    pub egress: Vec<Network>,
    /// Without query.
    pub path: Option<Text>,
    /// Any of these; empty: any.
    pub method: Vec<String>,
    /// A header of this name, in any case, compares so.
    pub header: Option<(String, Text)>,
    /// Headers that it must not have.
    pub lacks: Vec<String>,
    /// The first of these headers stands before the second.
    pub order: Option<(String, String)>,
    /// Without the question mark; none is compared as the empty text.
    pub query: Option<Text>,
    /// Names, values and line ends of all headers.
    pub head_bytes: Option<RangeInclusive<usize>>,
    pub body_bytes: Option<RangeInclusive<usize>>,
    pub body: Option<Text>,
    /// The SOAP user name, else the `Authorization` header; none is compared as the empty text.
    pub cred: Option<Text>,
    /// Any of these; empty: any.
    pub http: Vec<HttpVersion>,
    /// Fingerprint of the TLS hello; a request without one is compared as the empty text.
    pub ja4: Option<Text>,
    /// The same, which it must not have.
    pub other_ja4_than: Option<Text>,
    /// The name of the first header as it came; over HTTP/1.1 with its case.
    pub first_header: Option<Text>,
}

impl When {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn ua(text: Text) -> Self {
        Self {
            ua: Some(text),
            ..Self::default()
        }
    }

    /// Requests from this address or network (`127.0.0.2`, `127.0.0.0/30`).
    ///
    /// # Errors
    /// `network` is neither.
    pub fn egress(network: &str) -> Result<Self, String> {
        Ok(Self {
            egress: vec![Network::new(network)?],
            ..Self::default()
        })
    }

    #[must_use]
    pub fn path(text: Text) -> Self {
        Self {
            path: Some(text),
            ..Self::default()
        }
    }

    fn from(&self, address: IpAddr) -> bool {
        self.egress.is_empty() || self.egress.iter().any(|n| n.contains(address))
    }

    fn holds(&self, request: &Request) -> bool {
        let text = |wanted: &Option<Text>, found: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.matches(found.unwrap_or_default()))
        };
        self.from(request.peer.ip())
            && text(&self.ua, request.header("user-agent"))
            && text(&self.path, Some(request.path()))
            && (self.method.is_empty() || self.method.contains(&request.method))
            && self.header.as_ref().is_none_or(|(name, wanted)| {
                request.header(name).is_some_and(|v| wanted.matches(v))
            })
            && !self.lacks.iter().any(|name| request.header(name).is_some())
            && self
                .order
                .as_ref()
                .is_none_or(|(first, second)| stands_before(request, first, second))
            && text(&self.query, request.target.split_once('?').map(|(_, query)| query))
            && self
                .head_bytes
                .as_ref()
                .is_none_or(|range| range.contains(&head_bytes(request)))
            && self
                .body_bytes
                .as_ref()
                .is_none_or(|range| range.contains(&request.body.len()))
            && self
                .body
                .as_ref()
                .is_none_or(|wanted| wanted.matches(&String::from_utf8_lossy(&request.body)))
            && (self.http.is_empty() || self.http.contains(&request.http))
            && text(&self.ja4, request.ja4.as_deref())
            && text(&self.first_header, request.headers.first().map(|(name, _)| name.as_str()))
            && !self
                .other_ja4_than
                .as_ref()
                .is_some_and(|other| other.matches(request.ja4.as_deref().unwrap_or_default()))
            // Last: it parses the body.
            && (self.cred.is_none() || text(&self.cred, request.credential().as_deref()))
    }

    fn only_address(&self) -> bool {
        self.ua.is_none()
            && self.path.is_none()
            && self.method.is_empty()
            && self.header.is_none()
            && self.lacks.is_empty()
            && self.order.is_none()
            && self.query.is_none()
            && self.head_bytes.is_none()
            && self.body.is_none()
            && self.body_bytes.is_none()
            && self.cred.is_none()
            && self.http.is_empty()
            && self.first_header.is_none()
            && !self.of_tls()
    }

    fn of_tls(&self) -> bool {
        self.ja4.is_some() || self.other_ja4_than.is_some()
    }
}

fn stands_before(request: &Request, first: &str, second: &str) -> bool {
    let place = |wanted: &str| {
        let mut names = request.headers.iter();
        names.position(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    matches!((place(first), place(second)), (Some(first), Some(second)) if first < second)
}

fn head_bytes(request: &Request) -> usize {
    let lines = request.headers.iter();
    lines
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum()
}

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum Text {
    Exact(String),
    Prefix(String),
    Regex(Regex),
}

impl Text {
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self::Exact(text.to_owned())
    }

    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self::Prefix(text.to_owned())
    }

    /// # Errors
    /// The pattern is no regular expression.
    pub fn regex(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern)
            .map(Self::Regex)
            .map_err(|e| e.to_string())
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => text == wanted,
            Self::Prefix(wanted) => text.starts_with(wanted.as_str()),
            Self::Regex(wanted) => wanted.is_match(text),
        }
    }
}

/// An address, or all that share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `127.0.0.2` or `127.0.0.0/30`.
    ///
    /// # Errors
    /// A sentence that quotes `text`.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address or network; write 127.0.0.2 or 127.0.0.0/30");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(u32::from(a)), u128::from(u32::from(b)), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
            _ => return false,
        };
        let ignored = width - u32::from(self.bits);
        // A shift by the whole width is no shift in Rust.
        ours.checked_shr(ignored) == theirs.checked_shr(ignored)
    }
}

/// A rate above which a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub key: RateKey,
    /// It fires when at least so many matching requests came within `window` before this one.
    pub limit: usize,
    pub window: Duration,
}

impl Rate {
    #[must_use]
    pub fn per_minute(key: RateKey, limit: usize) -> Self {
        Self {
            key,
            limit,
            window: Duration::from_secs(60),
        }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKey {
    /// Of one source address.
    Egress,
    /// Of everybody.
    Host,
}

/// What happens to a request that a rule is about.
#[derive(Debug, Clone)]
pub enum Action {
    /// The edge answers with a vendor's page; the partner is not asked.
    Page(Page),
    /// The edge answers so.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// It goes through, whatever later rules say.
    Relay,
    /// It goes through after this time.
    Slow(Duration),
    /// The partner's application fails with this status, and the edge relays that.
    OriginFails(u16),
    /// The partner's application refuses the credential.
    OriginDenies,
    /// It is read and never answered.
    Silence,
    /// The connection is reset in place of an answer.
    Reset,
    /// The connection ends in the middle of the body.
    Truncate,
    /// The body stops in its middle and the connection stays open.
    Stall,
    /// The connection is accepted and nothing is ever said on it, not even TLS.
    SilentConnection,
    /// The TLS handshake is refused; without TLS the connection is closed at once.
    TlsFailure,
}

impl Action {
    /// It acts before a request can be read.
    pub(super) fn before_request(&self) -> bool {
        matches!(self, Self::SilentConnection | Self::TlsFailure)
    }
}

/// The rules of a running edge, with what they remember.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<(Rule, Memory)>,
    random: fastrand::Rng,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>, seed: u64) -> Result<Self, String> {
        let mut all = Self {
            rules: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
        };
        for rule in rules {
            all.add(rule)?;
        }
        Ok(all)
    }

    /// Adds a rule after the others; one of the same name is replaced in its place.
    pub(super) fn add(&mut self, rule: Rule) -> Result<(), String> {
        rule.check()?;
        match self.rules.iter_mut().find(|(r, _)| r.name == rule.name) {
            Some(place) => *place = (rule, Memory::default()),
            None => self.rules.push((rule, Memory::default())),
        }
        Ok(())
    }

    /// Whether there was such a rule.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(rule, _)| rule.name != name);
        self.rules.len() < before
    }

    /// Whether there is such a rule.
    pub(super) fn switch(&mut self, name: &str, on: bool) -> bool {
        let rule = self.rules.iter_mut().find(|(rule, _)| rule.name == name);
        rule.map(|(rule, _)| rule.on = on).is_some()
    }

    /// The rule that a new connection meets, of those that act before a request.
    pub(super) fn judge_connection(
        &mut self,
        address: IpAddr,
        since_start: Duration,
    ) -> Option<(String, Action)> {
        self.first(address, since_start, |rule| {
            rule.action.before_request() && rule.when.from(address)
        })
    }

    /// Whether a rule asks for the fingerprint of the hello.
    pub(super) fn of_tls(&self) -> bool {
        self.rules.iter().any(|(rule, _)| rule.when.of_tls())
    }

    /// The rule that a request meets; `None`: it goes through.
    pub(super) fn judge(
        &mut self,
        request: &Request,
        since_start: Duration,
    ) -> Option<(String, Action)> {
        self.first(request.peer.ip(), since_start, |rule| {
            !rule.action.before_request() && rule.when.holds(request)
        })
    }

    fn first(
        &mut self,
        address: IpAddr,
        since_start: Duration,
        about: impl Fn(&Rule) -> bool,
    ) -> Option<(String, Action)> {
        let mut found = None;
        for (rule, memory) in &mut self.rules {
            if !rule.active_at(since_start) || !about(rule) {
                continue;
            }
            // Counted also when an earlier rule has fired: the request did come.
            let fast = rule
                .rate
                .is_none_or(|rate| memory.count(&rate, address, since_start) >= rate.limit);
            if found.is_none() && fast && self.random.f64() < rule.probability {
                found = Some((rule.name.clone(), rule.action.clone()));
            }
        }
        found
    }
}

/// Times of requests, by address or together.
#[derive(Debug, Clone, Default)]
struct Memory(HashMap<Option<IpAddr>, VecDeque<Duration>>);

impl Memory {
    /// Requests within the window before `now`; remembers this one.
    fn count(&mut self, rate: &Rate, address: IpAddr, now: Duration) -> usize {
        let key = match rate.key {
            RateKey::Egress => Some(address),
            RateKey::Host => None,
        };
        if !self.0.contains_key(&key) && self.0.len() >= ADDRESSES_MAX {
            let silent = self.0.iter().min_by_key(|(_, times)| times.back().copied());
            if let Some(silent) = silent.map(|(key, _)| *key) {
                self.0.remove(&silent);
            }
        }
        let times = self.0.entry(key).or_default();
        while times.front().is_some_and(|&at| at + rate.window <= now) {
            times.pop_front();
        }
        let count = times.len();
        // More than `limit` tell nothing more.
        if count > rate.limit {
            times.pop_front();
        }
        times.push_back(now);
        count
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(address: &str, user_agent: &str) -> Request {
        Request {
            peer: format!("{address}:40000").parse().unwrap(),
            tls: false,
            ja4: None,
            http: HttpVersion::H1_1,
            method: "POST".into(),
            target: "/a/b?c=d".into(),
            host: "partner.example".into(),
            headers: vec![
                ("User-Agent".into(), user_agent.into()),
                ("X-Team".into(), "reval".into()),
            ],
            body: Bytes::from_static(
                b"<Envelope><Body><Check><Username>tis</Username></Check></Body></Envelope>",
            ),
        }
    }

    fn fires(when: When) -> bool {
        let rule = Rule::new("r", when, Action::Silence);
        let mut rules = Rules::new(vec![rule], 1).unwrap();
        rules
            .judge(&request("127.0.0.2", "Java/1.8.0_275"), Duration::ZERO)
            .is_some()
    }

    #[test]
    fn conditions() {
        let bytes = request("127.0.0.1", "").body.len();
        for (name, when, expected) in vec![
            ("everything", When::any(), true),
            ("agent", When::ua(Text::exact("Java/1.8.0_275")), true),
            ("other agent", When::ua(Text::exact("Java/1.8")), false),
            ("prefix", When::ua(Text::prefix("Java/1.")), true),
            ("other prefix", When::ua(Text::prefix("java/1.")), false),
            (
                "regex",
                When::ua(Text::regex(r"^Java/1\.\d").unwrap()),
                true,
            ),
            ("address", When::egress("127.0.0.2").unwrap(), true),
            ("other address", When::egress("127.0.0.1").unwrap(), false),
            ("network", When::egress("127.0.0.0/30").unwrap(), true),
            ("everywhere", When::egress("0.0.0.0/0").unwrap(), true),
            ("IPv6", When::egress("::/0").unwrap(), false),
            ("path", When::path(Text::exact("/a/b")), true),
            ("path prefix", When::path(Text::prefix("/b")), false),
            (
                "method",
                When {
                    method: vec!["GET".into(), "POST".into()],
                    ..When::any()
                },
                true,
            ),
            (
                "other method",
                When {
                    method: vec!["GET".into()],
                    ..When::any()
                },
                false,
            ),
            (
                "header",
                When {
                    header: Some(("x-team".into(), Text::exact("reval"))),
                    ..When::any()
                },
                true,
            ),
            (
                "no such header",
                When {
                    header: Some(("x-other".into(), Text::prefix(""))),
                    ..When::any()
                },
                false,
            ),
            (
                "body",
                When {
                    body_bytes: Some(bytes..=bytes),
                    ..When::any()
                },
                true,
            ),
            (
                "larger body",
                When {
                    body_bytes: Some(bytes + 1..=usize::MAX),
                    ..When::any()
                },
                false,
            ),
            (
                "body text",
                When {
                    body: Some(Text::regex("<Username>tis<").unwrap()),
                    ..When::any()
                },
                true,
            ),
            (
                "other body text",
                When {
                    body: Some(Text::exact("")),
                    ..When::any()
                },
                false,
            ),
            (
                "query",
                When {
                    query: Some(Text::exact("c=d")),
                    ..When::any()
                },
                true,
            ),
            (
                "other query",
                When {
                    query: Some(Text::prefix("d")),
                    ..When::any()
                },
                false,
            ),
            (
                "lacks a header",
                When {
                    lacks: vec!["cookie".into()],
                    ..When::any()
                },
                true,
            ),
            (
                "does not lack it",
                When {
                    lacks: vec!["cookie".into(), "x-team".into()],
                    ..When::any()
                },
                false,
            ),
            (
                "order",
                When {
                    order: Some(("user-agent".into(), "x-team".into())),
                    ..When::any()
                },
                true,
            ),
            (
                "other order",
                When {
                    order: Some(("x-team".into(), "user-agent".into())),
                    ..When::any()
                },
                false,
            ),
            (
                "size of headers",
                When {
                    head_bytes: Some(43..=43),
                    ..When::any()
                },
                true,
            ),
            (
                "larger headers",
                When {
                    head_bytes: Some(44..=usize::MAX),
                    ..When::any()
                },
                false,
            ),
            (
                "credential",
                When {
                    cred: Some(Text::exact("tis")),
                    ..When::any()
                },
                true,
            ),
            (
                "other credential",
                When {
                    cred: Some(Text::exact("")),
                    ..When::any()
                },
                false,
            ),
            (
                "version",
                When {
                    http: vec![HttpVersion::H1_1],
                    ..When::any()
                },
                true,
            ),
            (
                "other version",
                When {
                    http: vec![HttpVersion::H2],
                    ..When::any()
                },
                false,
            ),
            (
                "all must hold",
                When {
                    egress: vec![Network::new("127.0.0.1").unwrap()],
                    ..When::ua(Text::prefix("Java"))
                },
                false,
            ),
        ] {
            assert_eq!(fires(when), expected, "{name}");
        }
    }

    #[test]
    fn times_and_switches() {
        let minute = Duration::from_secs(60);
        let rule = Rule::new("r", When::any(), Action::Silence)
            .active(minute, Some(2 * minute))
            .active(3 * minute, None);
        let mut rules = Rules::new(vec![rule], 1).unwrap();
        let request = request("127.0.0.1", "x");
        let mut fires = |at| rules.judge(&request, at).is_some();
        let found: Vec<bool> = [0, 59, 60, 119, 120, 179, 180, 9999]
            .map(|s| fires(Duration::from_secs(s)))
            .into();
        assert_eq!(found, [false, false, true, true, false, false, true, true]);
        assert!(rules.switch("r", false));
        assert!(rules.judge(&request, 4 * minute).is_none());
        assert!(!rules.switch("s", false));
        assert!(rules.remove("r"));
        assert!(!rules.remove("r"));
    }

    #[test]
    fn rates() {
        for (key, second_caller) in [(RateKey::Egress, false), (RateKey::Host, true)] {
            let rule = Rule::new("r", When::any(), Action::Silence).rate(Rate::per_minute(key, 3));
            let mut rules = Rules::new(vec![rule], 1).unwrap();
            let mut fires = |address: &str, s| {
                let request = request(address, "x");
                rules.judge(&request, Duration::from_secs(s)).is_some()
            };
            let first: Vec<bool> = [0, 1, 2, 3, 4].map(|s| fires("127.0.0.1", s)).into();
            assert_eq!(first, [false, false, false, true, true]);
            assert_eq!(fires("127.0.0.2", 5), second_caller, "{key:?}");
            assert!(!fires("127.0.0.1", 66), "{key:?}: a minute later");
        }
    }

    #[test]
    fn probability_is_about_right_and_the_first_rule_wins() {
        let mut rules = Rules::new(
            vec![
                Rule::new("sometimes", When::any(), Action::Silence).probability(0.3),
                Rule::new("else", When::any(), Action::Relay),
            ],
            7,
        )
        .unwrap();
        let request = request("127.0.0.1", "x");
        let hits = (0..1000)
            .filter(|_| {
                let (name, _) = rules.judge(&request, Duration::ZERO).unwrap();
                name == "sometimes"
            })
            .count();
        assert!((250..350).contains(&hits), "{hits}");
    }

    #[test]
    fn says_what_cannot_be() {
        let early = Rule::new("early", When::ua(Text::exact("x")), Action::TlsFailure);
        let often = Rule::new("often", When::any(), Action::Silence).probability(1.5);
        for (rule, expected) in [
            (
                early,
                r#"rule "early" acts before a request is read, so it can only be about the address"#,
            ),
            (
                often,
                r#"rule "often": the probability 1.5 is not from 0 to 1"#,
            ),
        ] {
            assert_eq!(Rules::new(vec![rule], 1).unwrap_err(), expected);
        }
        for text in ["", "127.0.0.1/33", "::1/129", "x/8", "127.0.0.1/x"] {
            assert!(Network::new(text).unwrap_err().contains(text), "{text}");
        }
    }
}
