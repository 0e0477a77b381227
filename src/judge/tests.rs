//! The engine over small worlds: what it names, asks and never does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::engine::{Ask, Effect, Engine, Options, Seen};
use super::explain;
use super::reasons::sentence;
use super::rules::{Condition, Nature, RuleBook};
use crate::domain::observation::Purpose;
use crate::domain::verdict::Kind;
use crate::judge::universe::{Axis, Cell, EndpointNames, Names, Universe};

mod moving;

fn names(egresses: &[&str], clients: &[&str], credentials: &[&str]) -> Names {
    let pair = |n: &&str| ((*n).to_owned(), (*n).to_owned());
    let endpoint = |name: &str, host: &str| EndpointNames {
        name: name.to_owned(),
        host: host.to_owned(),
        provider: host.to_owned(),
        prefix: "/v1".to_owned(),
        method: "GET".to_owned(),
        auth: true,
        quick: false,
    };
    Names {
        endpoints: vec![
            endpoint("orders", "a"),
            endpoint("stock", "a"),
            endpoint("rates", "b"),
        ],
        egresses: egresses.iter().map(pair).collect(),
        clients: clients.iter().chain(&["control"]).map(pair).collect(),
        control: Some(clients.len()),
        credentials: credentials.iter().map(|c| (*c).to_owned()).collect(),
        versions: vec!["h1".to_owned()],
        ..Names::default()
    }
}

/// "Every client but X" would hit the same as everybody where X is never asked, and nothing could tell the two apart.
#[test]
fn who_is_never_asked_somewhere_is_no_exception_there() {
    let names = names(&["e1", "e2"], &["java", "okhttp", "python"], &["live"]);
    let control = names.control.map(|place| place as u16);
    let host_of = |endpoint: u16| names.endpoints[usize::from(endpoint)].host.as_str();
    let build = |asked: &str| {
        let allowed = |cell: &Cell| Some(cell.client) != control || host_of(cell.endpoint) == asked;
        Universe::build(&names, allowed).expect("a universe")
    };
    let exceptions = |universe: &Universe| {
        let book = RuleBook::new(universe);
        let but_control = |conditions: &[Condition]| matches!(conditions, [Condition::AllBut(Axis::Client, client)] if Some(*client) == control);
        let of_it = (0..book.rules.len()).filter(|rule| but_control(&book.rules[*rule].conditions));
        let hosts = of_it.map(|rule| {
            let cells = book.pattern(rule).cells.iter();
            let hosts: BTreeSet<u16> = cells.map(|cell| universe.host_of(cell)).collect();
            hosts
        });
        hosts
            .filter(|hosts| hosts.len() == 1)
            .collect::<BTreeSet<_>>()
    };
    let only = |host: &str| BTreeSet::from([BTreeSet::from([u16::from(host == "b")])]);
    assert_eq!(exceptions(&build("a")), only("a"));
    assert_eq!(exceptions(&build("b")), only("b"));
}

/// A world in which nothing is random: `fails` decides.
struct Play {
    engine: Engine,
    asks: Vec<Ask>,
    made: Vec<(f64, Ask)>,
    effects: Vec<(f64, Effect)>,
    now: f64,
    /// What the edge itself names with each failure.
    hint: Option<Nature>,
    /// Whether errors of the origin are the application's own, by proof.
    reached: bool,
    /// Seconds in which every cell is asked once.
    round: f64,
}

impl Play {
    fn new(names: &Names) -> Self {
        let universe = Arc::new(Universe::build(names, |_| true).expect("a universe"));
        let book = Arc::new(RuleBook::new(&universe));
        Self {
            engine: Engine::new(universe, book, Options::default()),
            asks: Vec::new(),
            made: Vec::new(),
            effects: Vec::new(),
            now: 0.0,
            hint: None,
            reached: false,
            round: 300.0,
        }
    }

    fn observe(&mut self, at: f64, cell: usize, kind: Kind, purpose: Purpose) {
        let universe = self.engine.universe();
        let (host, egress) = (universe.host_of(cell), universe.cells[cell].egress);
        let lands = |pop: &u16| universe.pop_share(host, egress, *pop) > 0.5;
        let pop = (0..universe.pops.len() as u16).find(lands);
        let effects = self.engine.observe(&Seen {
            at,
            cell,
            kind,
            pop,
            host_requests: 3,
            egress_requests: 2,
            purpose,
            hint: self.hint.filter(|_| kind != Kind::Pass),
            stands: false,
            reached: self.reached && kind == Kind::OriginError,
        });
        for effect in effects {
            match &effect {
                Effect::Ask(ask) => self.asks.push(ask.clone()),
                // Were it told as over, what fails on would be put down to its cause and never told again.
                Effect::Closed { incident } | Effect::Recovered { incident } => {
                    let mut causes = self.engine.causes().iter();
                    assert!(
                        causes.all(|cause| cause.incident != *incident),
                        "INC-{incident} is done with at {at} s while a cause of it stands"
                    );
                }
                _ => {}
            }
            self.effects.push((at, effect));
        }
    }

    /// Runs every cell once a round until `end`, and what is asked in between.
    fn until(&mut self, end: f64, fails: impl Fn(&Universe, f64, usize) -> Option<Kind>) {
        let cells: Vec<usize> = (0..self.engine.universe().cells.len())
            .filter(|c| !self.engine.universe().is_control(*c))
            .collect();
        let step = self.round / cells.len() as f64;
        while self.now < end {
            let round = (self.now / self.round) as u64;
            for cell in &cells {
                self.now += step;
                while let Some(i) = self.asks.iter().position(|a| a.at <= self.now) {
                    let ask = self.asks.swap_remove(i);
                    if self.engine.still_wanted(&ask) {
                        self.made.push((self.now, ask.clone()));
                        let kind = fails(self.engine.universe(), self.now, ask.cell);
                        self.observe(self.now, ask.cell, kind.unwrap_or(Kind::Pass), ask.purpose);
                    }
                }
                let (cell, _) = self.engine.aim(self.now, *cell, round);
                let kind = fails(self.engine.universe(), self.now, cell);
                self.observe(
                    self.now,
                    cell,
                    kind.unwrap_or(Kind::Pass),
                    Purpose::Schedule,
                );
            }
        }
    }

    fn named(&self) -> Vec<String> {
        let rules = &self.engine.book().rules;
        self.engine
            .causes()
            .iter()
            .map(|c| explain::rule(self.engine.universe(), &rules[c.rule]))
            .collect()
    }
}

fn client_at_a(universe: &Universe, cell: usize, client: u16) -> bool {
    universe.host_of(cell) == 0 && universe.cells[cell].client == client
}

#[test]
fn a_refused_client_is_named_explained_and_recovers() {
    let mut play = Play::new(&names(
        &["de1", "us1"],
        &["java", "okhttp"],
        &["key-a", "key-b"],
    ));
    let fails = |u: &Universe, at: f64, cell: usize| {
        ((3000.0..6000.0).contains(&at) && client_at_a(u, cell, 0)).then_some(Kind::EdgeBlock)
    };
    play.until(2900.0, fails);
    assert!(play.engine.is_quiet() && play.effects.is_empty());
    play.until(3600.0, fails);
    assert_eq!(play.named(), ["client java at a"]);
    let cause = play.engine.causes()[0].clone();
    assert!(cause.confidence() > 0.95 && cause.always_strikes());
    let reasons = play.engine.reasons(&cause);
    let words = sentence(play.engine.universe(), &reasons.contrasts[0]);
    assert!(words.contains("passed"), "{words}");
    assert!(
        !reasons.ruled_out.is_empty(),
        "addresses and credentials are ruled out"
    );
    play.until(7500.0, fails);
    assert!(play.named().is_empty());
    let life: Vec<bool> = play
        .effects
        .iter()
        .filter_map(|(_, e)| match e {
            Effect::Opened { .. } => Some(true),
            Effect::Recovered { .. } => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(life, [true, false]);
}

#[test]
fn a_refused_credential_is_asked_three_times_at_most() {
    let mut play = Play::new(&names(
        &["de1", "us1"],
        &["java", "okhttp"],
        &["key-a", "key-b"],
    ));
    let fails = |u: &Universe, at: f64, cell: usize| {
        (at > 3000.0 && u.host_of(cell) == 0 && u.cells[cell].credential == 1)
            .then_some(Kind::OriginDenied)
    };
    play.until(5000.0, fails);
    assert_eq!(play.named(), ["credential key-b at a"]);
    let spent = play
        .made
        .iter()
        .filter(|(_, ask)| {
            let universe = play.engine.universe();
            universe.host_of(ask.cell) == 0 && universe.cells[ask.cell].credential == 1
        })
        .count();
    assert!(
        spent <= 3,
        "{spent} extra requests with a refused credential"
    );
}

#[test]
fn an_account_that_two_hosts_refuse_is_asked_again_at_one_of_them() {
    let mut names = names(&["e1", "e2"], &["legacy", "modern"], &["key-a", "key-b"]);
    for endpoint in &mut names.endpoints {
        endpoint.provider = "both".to_owned();
    }
    let mut play = Play::new(&names);
    play.until(600.0, |_, _, _| None);
    let universe = play.engine.universe().clone();
    let refused = |host: u16, credential: u16| {
        let mut cells = 0..universe.cells.len();
        cells
            .find(|c| universe.host_of(*c) == host && universe.cells[*c].credential == credential)
            .unwrap()
    };
    let mut asked_after = |cells: [usize; 2]| {
        for (second, cell) in (0_i32..).zip(cells) {
            let at = play.now + f64::from(second);
            play.observe(at, cell, Kind::OriginDenied, Purpose::Schedule);
        }
        std::mem::take(&mut play.asks)
    };
    let (first, second) = (refused(0, 0), refused(1, 0));
    let asks = asked_after([first, second]);
    let cells: Vec<usize> = asks.iter().map(|ask| ask.cell).collect();
    assert_eq!(cells, [first], "the answer there tells for both");

    // It passes there: now the other host is asked.
    let at = asks[0].at;
    play.observe(at, first, Kind::Pass, Purpose::Confirm);
    let cells: Vec<usize> = play.asks.iter().map(|ask| ask.cell).collect();
    assert_eq!(cells, [second]);
}

#[test]
fn with_one_egress_the_missing_one_is_said() {
    let mut play = Play::new(&names(&["prod"], &["java", "okhttp"], &["key-a"]));
    play.until(5000.0, |u, at, cell| {
        (at > 3000.0 && u.host_of(cell) == 0).then_some(Kind::EdgeBlock)
    });
    assert!(play.named().is_empty());
    let said = play.effects.iter().find_map(|(_, e)| match e {
        Effect::CannotTell { among, missing, .. } => Some((among.clone(), missing.clone())),
        _ => None,
    });
    let (among, missing) = said.expect("it says that it can't tell");
    assert!(among.contains(&Nature::Target) && among.contains(&Nature::Network));
    assert!(missing.is_some_and(|m| m.contains("a second egress")));
}

/// One level of the factor that is refused: the failures alone can't say whether it is that, or everybody.
fn of_one(factor: &str) -> Names {
    let mut names = match factor {
        "client" => names(&["de1", "us1"], &["java"], &["key-a", "key-b"]),
        _ => names(&["prod"], &["java", "okhttp"], &["key-a"]),
    };
    if factor == "client" {
        names.clients.truncate(1);
        names.control = None;
    }
    names
}

/// What is named when everything at a host fails with this verdict and this hint.
fn everything_at_a(names: &Names, kind: Kind, hint: Option<Nature>) -> Play {
    let mut play = Play::new(names);
    play.hint = hint;
    play.until(5000.0, |u, at, cell| {
        (at > 3000.0 && u.host_of(cell) == 0).then_some(kind)
    });
    play
}

#[test]
fn the_edges_own_word_decides_what_failures_alone_leave_open() {
    let check = |factor: &str, kind, hint: Option<Nature>, expected: &[&str]| {
        let play = everything_at_a(&of_one(factor), kind, hint);
        assert_eq!(play.named(), expected, "one {factor}, {kind}, {hint:?}");
    };
    // Cloudflare's 1006 to 1009 name the address, 1010 the client.
    check("egress", Kind::EdgeBlock, None, &[]);
    let address = Some(Nature::Network);
    check("egress", Kind::EdgeBlock, address, &["egress prod at a"]);
    check("client", Kind::EdgeBlock, None, &[]);
    let client = Some(Nature::Client);
    check("client", Kind::EdgeBlock, client, &["client java at a"]);
    // A bot check is put before whoever is suspected, for whatever reason: its hint names nobody.
    check("client", Kind::EdgeChallenge, client, &[]);
}

#[test]
fn the_edges_own_word_tells_an_address_from_the_place_it_lands_at() {
    let mut names = names(&["de1", "us1"], &["java", "okhttp"], &["key-a"]);
    for (egress, pop) in [("de1", "FRA"), ("us1", "IAD")] {
        let host = "a".to_owned();
        names
            .pops
            .push((host, egress.to_owned(), pop.to_owned(), 1.0));
    }
    let mut named = Vec::new();
    for hint in [None, Some(Nature::Network)] {
        let mut play = Play::new(&names);
        play.hint = hint;
        play.until(6000.0, |u, at, cell| {
            let refused = u.host_of(cell) == 0 && u.cells[cell].egress == 0;
            (at > 3000.0 && refused).then_some(Kind::EdgeBlock)
        });
        let first = play
            .effects
            .iter()
            .find_map(|(at, effect)| matches!(effect, Effect::Claimed(_)).then_some(*at));
        named.push((play.named(), first));
    }
    let [(_, without), (with_hint, at)] = named.as_slice() else {
        panic!("two runs")
    };
    assert_eq!(*with_hint, ["egress de1 at a"]);
    assert!(
        at.is_some() && without.is_none_or(|without| *at <= Some(without)),
        "{named:?}"
    );
}

#[test]
fn a_wrong_hint_does_not_mislead() {
    type Hit = fn(&Universe, usize) -> bool;
    let names = names(&["de1", "us1"], &["java", "okhttp"], &["key-a", "key-b"]);
    let client: Hit = |u, cell| u.cells[cell].client == 0;
    let egress: Hit = |u, cell| u.cells[cell].egress == 0;
    let all: Hit = |_, _| true;
    for (truth, hit) in [
        ("client java at a", client),
        ("egress de1 at a", egress),
        ("all requests at a", all),
    ] {
        for hint in Nature::ALL {
            for kind in [Kind::EdgeBlock, Kind::EdgeChallenge] {
                let mut play = Play::new(&names);
                play.hint = Some(hint);
                play.until(6000.0, |u, at, cell| {
                    (at > 3000.0 && u.host_of(cell) == 0 && hit(u, cell)).then_some(kind)
                });
                assert_eq!(play.named(), [truth], "{kind} with the hint {hint:?}");
                let withdrawn = |e: &(f64, Effect)| matches!(e.1, Effect::Withdrawn { .. });
                assert!(
                    !play.effects.iter().any(withdrawn),
                    "{truth}, {kind}, {hint:?}"
                );
            }
        }
    }
}

/// The incidents that were opened, and those that were closed or recovered.
fn opened_and_ended(play: &Play) -> (usize, usize) {
    let count = |of: fn(&Effect) -> bool| play.effects.iter().filter(|(_, e)| of(e)).count();
    (
        count(|e| matches!(e, Effect::Opened { .. })),
        count(|e| matches!(e, Effect::Recovered { .. } | Effect::Closed { .. })),
    )
}

#[test]
fn a_block_that_becomes_a_challenge_is_the_same_incident() {
    let mut play = Play::new(&names(
        &["de1", "us1"],
        &["java", "okhttp"],
        &["key-a", "key-b"],
    ));
    play.until(9000.0, |u, at, cell| {
        (at > 3000.0 && client_at_a(u, cell, 0)).then_some(if at < 4500.0 {
            Kind::EdgeBlock
        } else {
            Kind::EdgeChallenge
        })
    });
    assert_eq!(play.named(), ["client java at a"]);
    assert_eq!(opened_and_ended(&play), (1, 0), "{:?}", play.effects);
}

#[test]
fn a_cause_that_grows_from_one_client_to_all_is_the_same_incident() {
    for changes in [3300.0, 4500.0, 6100.0] {
        let mut play = Play::new(&names(
            &["de1", "us1"],
            &["java", "okhttp"],
            &["key-a", "key-b"],
        ));
        play.until(9000.0, |u, at, cell| {
            let one = at > 3000.0 && client_at_a(u, cell, 0);
            let all = at > changes && u.host_of(cell) == 0;
            (one || all).then_some(Kind::EdgeBlock)
        });
        assert_eq!(play.named(), ["all requests at a"], "at {changes}");
        assert_eq!(
            opened_and_ended(&play),
            (1, 0),
            "at {changes}: {:?}",
            play.effects
        );
    }
}

#[test]
fn one_failure_is_weather() {
    let mut play = Play::new(&names(&["de1", "us1"], &["java"], &["key-a"]));
    play.observe(1.0, 0, Kind::Timeout, Purpose::Schedule);
    play.until(600.0, |_, _, _| None);
    assert!(play.engine.is_quiet());
    assert_eq!(play.made.len(), 1);
}

#[test]
fn a_suspicion_whose_requests_are_never_made_stands_in_nobodys_way() {
    let mut play = Play::new(&names(&["de1", "us1"], &["java"], &["key-a"]));
    play.observe(1.0, 0, Kind::Timeout, Purpose::Schedule);
    play.asks.clear();
    play.observe(3700.0, 1, Kind::Timeout, Purpose::Schedule);
    let asked: Vec<usize> = play.asks.iter().map(|ask| ask.cell).collect();
    assert_eq!(asked, [1], "the cell that fails now");
}

#[test]
fn announced_maintenance_opens_nothing() {
    let mut play = Play::new(&names(&["de1", "us1"], &["java"], &["key-a"]));
    play.engine.announce(0, 0.0, 3000.0);
    play.until(2500.0, |u, _, cell| {
        (u.host_of(cell) == 0).then_some(Kind::OriginError)
    });
    assert!(play.effects.is_empty() && play.engine.suppressed > 0);
}

/// Programs `java` and `axis` on one JVM, `own` in the place of `java`, `web` and the control over edgewatch's TLS.
fn of_stacks() -> Names {
    let mut names = names(&["de1", "us1"], &["java", "axis", "own", "web"], &["key"]);
    let stacks = ["jvm", "jvm", "edgewatch", "edgewatch", "edgewatch"];
    names.stacks = (0..5).map(|c| (c, 0, stacks[c].to_owned())).collect();
    names.twins = vec![(0, 2)];
    names.clients[2].1 = "java".to_owned();
    names
}

#[test]
fn the_twin_of_a_failing_client_is_asked_first_and_names_the_stack() {
    let mut play = Play::new(&of_stacks());
    let fails = |u: &Universe, at: f64, cell: usize| {
        let jvm = u
            .stack(cell)
            .is_some_and(|stack| u.stacks[usize::from(stack)] == "jvm");
        (at > 3000.0 && u.host_of(cell) == 0 && jvm).then_some(Kind::EdgeBlock)
    };
    play.until(3900.0, fails);
    assert_eq!(play.named(), ["TLS fingerprint jvm at a"]);
    let universe = play.engine.universe();
    let extra = |p: &&(f64, Ask)| p.1.purpose == Purpose::Counter;
    let first = &play.made.iter().find(extra).expect("an extra run").1;
    let client = universe.cells[first.cell].client;
    // Whichever failed first: `java` has a twin, `axis` has none.
    let failed_first = play.made[0].1.cell;
    if universe.cells[failed_first].client == 0 {
        assert_eq!(client, 2, "{}", universe.describe(first.cell));
    }
}

#[test]
fn a_stack_without_a_twin_is_its_clients() {
    let mut names = of_stacks();
    names.twins.clear();
    let universe = Universe::build(&names, |_| true).unwrap();
    let stacks = |book: &RuleBook| {
        let of_stack = |c: &super::rules::Condition| matches!(c, super::rules::Condition::Stack(_));
        book.rules
            .iter()
            .any(|rule| rule.conditions.iter().any(of_stack))
    };
    assert!(!stacks(&RuleBook::new(&universe)), "no pair can show it");
    let universe = Universe::build(&of_stacks(), |_| true).unwrap();
    assert!(stacks(&RuleBook::new(&universe)));
}

#[test]
fn a_siblings_own_error_shows_that_the_edge_lets_it_through() {
    let check = |name: &str, reached: bool, expected: &[&str]| {
        let mut play = Play::new(&names(
            &["de1", "us1"],
            &["java", "okhttp"],
            &["key-a", "key-b"],
        ));
        play.reached = reached;
        play.until(6000.0, |u, at, cell| {
            let endpoint = u.cells[cell].endpoint;
            let begun = at >= 3000.0;
            match endpoint {
                0 if begun => Some(Kind::EdgeBlock),
                1 if begun => Some(Kind::OriginError),
                _ => None,
            }
        });
        assert_eq!(play.named(), expected, "{name}");
    };
    check(
        "its own, by proof",
        true,
        &["all requests at orders (a)", "all requests at stock (a)"],
    );
    check("whose it is nobody knows", false, &["all requests at a/v1"]);
}
