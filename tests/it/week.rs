//! A week in which most things go wrong that can: how many messages each real problem makes.
//!
//! The rules, the store, the outbox and its workers are the real ones, and so is every answer: each cell is asked
//! over real sockets in every state of the world, and the week repeats these answers at its own times. Delivery
//! runs on the real clock beside it and is waited for, so what differs from a real week is only that nothing waits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::deliver::{Deliver, Timing};
use edgewatch::clock;
use edgewatch::config;
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::incident::{Acknowledged, Care};
use edgewatch::domain::notification::{Channel, Receiver};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::secret::Secret;
use edgewatch::machine::{Event, Judged};
use edgewatch::simulate::Account as PartnerAccount;
use edgewatch::simulate::Action;
use edgewatch::simulate::Clock;
use edgewatch::simulate::Edge;
use edgewatch::simulate::Form;
use edgewatch::simulate::Front;
use edgewatch::simulate::Page;
use edgewatch::simulate::Partner;
use edgewatch::simulate::Rule;
use edgewatch::simulate::Script;
use edgewatch::simulate::Text;
use edgewatch::simulate::When;
use jiff::Timestamp;

use crate::deliver::timing;
use crate::fakes::{Fake, Fault, TOKEN};
use crate::night::{Account, Answers, Night};
use crate::world::PASSWORD;

/// Monday; the last night of this week is the one in which the clocks go forward.
const MONDAY: &str = "2026-03-23T00:00:00Z";
/// One run in so many fails for no reason.
const HICCUP: usize = 1_500;

/// A problem of the week: what is wrong from when to when.
struct Problem {
    name: &'static str,
    state: &'static str,
    /// Hours since Monday.
    spells: Vec<(f64, f64)>,
    /// Whether people are to hear of it.
    told: bool,
}

fn problem(name: &'static str, state: &'static str, from: f64, to: f64) -> Problem {
    Problem {
        name,
        state,
        spells: vec![(from, to)],
        told: true,
    }
}

const DAY: f64 = 24.0;
/// When somebody looks after the first problem.
const ACKNOWLEDGED: f64 = 9.25;
/// Slack refuses everything.
const SLACK_BROKEN: (f64, f64) = (3.0 * DAY + 11.0, 3.0 * DAY + 16.0);

fn problems() -> Vec<Problem> {
    let flaps = (0..12).map(|n| {
        let from = DAY + 10.0 + f64::from(n) / 3.0;
        (from, from + 0.1)
    });
    vec![
        problem(
            "one user agent is refused for two days",
            "agent",
            2.2,
            2.0 * DAY + 9.0,
        ),
        Problem {
            spells: flaps.collect(),
            ..problem(
                "the rota is gone for 6 min every 20 min, for 4 h",
                "rota",
                0.0,
                0.0,
            )
        },
        problem(
            "one address is refused for 4 h",
            "address",
            2.0 * DAY + 13.0,
            2.0 * DAY + 17.0,
        ),
        problem(
            "the rota is gone for 50 min while Slack is broken",
            "rota",
            3.0 * DAY + 12.0,
            3.0 * DAY + 12.0 + 50.0 / 60.0,
        ),
        problem(
            "our own network at one site is down for 20 min",
            "ours",
            4.0 * DAY + 8.0,
            4.0 * DAY + 8.35,
        ),
        problem(
            "a challenge for everybody, one hour",
            "challenge",
            4.0 * DAY + 15.0,
            4.0 * DAY + 16.0,
        ),
        Problem {
            told: false,
            ..problem(
                "down within the announced maintenance",
                "down",
                5.0 * DAY + 22.5,
                6.0 * DAY + 3.0,
            )
        },
        problem(
            "down since the maintenance and 2 h longer",
            "down",
            6.0 * DAY + 4.5,
            6.0 * DAY + 7.0,
        ),
    ]
}

struct Site {
    gmc: Edge,
    rota: Edge,
    control: Edge,
}

impl Site {
    async fn start() -> Self {
        let clock = Clock::new(clock::now);
        let page = |code| {
            Action::Page(Page::Cloudflare {
                code,
                form: Form::Text,
            })
        };
        let from = |address| When::egress(address).unwrap();
        let cut = || {
            vec![
                Rule::new("ours", from("127.0.0.2"), Action::Reset).off(),
                Rule::new("hiccup", When::any(), Action::Reset).off(),
            ]
        };
        let mut rules = cut();
        rules.extend([
            Rule::new("agent", When::ua(Text::prefix("Java/1.8")), page(1010)).off(),
            Rule::new("address", from("127.0.0.3"), page(1020)).off(),
            Rule::new(
                "challenge",
                When::any(),
                Action::Page(Page::CloudflareChallenge),
            )
            .off(),
            Rule::new("down", When::any(), Action::OriginFails(503)).off(),
        ]);
        let script = |rules, front| Script {
            rules,
            front,
            ..Script::new(clock.clone())
        };
        let accounts = vec![PartnerAccount::new("tis", PASSWORD)];
        let gmc = Edge::start(Partner::gmc(accounts), script(rules, Front::cloudflare()));
        let mut rules = cut();
        rules.push(Rule::new("rota", When::any(), Action::OriginFails(502)).off());
        let rota = Edge::start(Partner::control(), script(rules, Front::Direct));
        let control = Edge::start(Partner::control(), script(cut(), Front::Direct));
        Self {
            gmc: gmc.await.unwrap(),
            rota: rota.await.unwrap(),
            control: control.await.unwrap(),
        }
    }

    fn switch(&self, rule: &str, on: bool) {
        for edge in [&self.gmc, &self.rota, &self.control] {
            edge.switch(rule, on);
        }
    }

    fn plan(&self, directory: &std::path::Path, slack: &Fake, teams: &Fake) -> Plan {
        let text = format!(
            r#"version: 1
service: GMC
timezone: Europe/London
egresses: {{ prod-a: 127.0.0.2, prod-b: 127.0.0.3, office: 127.0.0.4 }}
clients:
  legacy-reval: "Java/1.8.0_275"
  new-reval: "Java/11.0.10"
  plain: {{ user_agent: "edgewatch (ops@tis.example)", control: true }}
credentials:
  gmc: {{ username: {{ env: GMC_USERNAME }}, password: {{ env: GMC_PASSWORD }} }}
probes:
  gmc-connect:
    url: http://connect.gmc.example:{gmc}/GMCWebServices/WebService.asmx
    connect_to: 127.0.0.1
    method: POST
    headers: {{ Content-Type: text/xml, SOAPAction: "https://webcache.gmc-uk.org/GMCWebServices/CheckRecommendationStatus" }}
    body: >-
      <Envelope><Body><CheckRecommendationStatus><Username>{{{{ credential.username }}}}</Username><Password>{{{{
      credential.password }}}}</Password></CheckRecommendationStatus></Body></Envelope>
    with: gmc
    every: 5m
    timeout: 5s
    expect: {{ status: 200, xpath: "//*[local-name()='ReturnCode']='0'" }}
    words: {{ what: Submitting recommendations to the GMC, affects: Revalidation users, workaround: Use GMC Connect on the web }}
  rota:
    url: http://api.rota.example:{rota}/
    connect_to: 127.0.0.1
    every: 5m
    timeout: 5s
    words: {{ what: Reading rotas, affects: Rota coordinators }}
controls:
  internet: {{ url: "http://www.control.example:{control}/", connect_to: 127.0.0.1, every: 1m, timeout: 5s }}
maintenance:
  - {{ name: GMC weekend work, cron: "0 22 * * SAT", for: 8h, probes: [gmc-connect], effect: mute }}
politeness: {{ per_host: {{ requests_per_minute: 1000, gap: 20ms }} }}
store: {{ path: {directory}/edgewatch.sqlite, keep: 3650d }}
notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: C0123456789 }}, fallback: support }}
    support: {{ teams: {{ webhook: {{ env: TEAMS_WEBHOOK_URL }} }} }}
  routes:
    - {{ to: engineers }}
    - {{ to: support, after: 10m, min_confidence: 0.9 }}
"#,
            gmc = self.gmc.addr().port(),
            rota = self.rota.addr().port(),
            control = self.control.addr().port(),
            directory = directory.display(),
        );
        let mut plan = config::read(&text, "probes.yaml", &Account).unwrap().plan;
        for receiver in &mut plan.receivers {
            match &mut receiver.channel {
                Channel::Slack { token, api, .. } => {
                    *token = Ok(Secret::new(TOKEN));
                    *api = slack.api();
                }
                Channel::Teams { webhook, .. } => *webhook = Ok(Secret::new(teams.webhook())),
                _ => {}
            }
        }
        plan
    }
}

/// What every cell answers in each state of the world.
struct Almanac {
    states: BTreeMap<&'static str, Answers>,
    problems: Vec<Problem>,
    begin: Timestamp,
    random: fastrand::Rng,
}

impl Almanac {
    async fn ask(site: &Site, night: &Night, problems: Vec<Problem>) -> Self {
        let mut states = BTreeMap::from([("well", night.ask().await)]);
        for state in ["hiccup"]
            .into_iter()
            .chain(problems.iter().map(|p| p.state))
        {
            site.switch(state, true);
            states.insert(state, night.ask().await);
            site.switch(state, false);
        }
        Self {
            states,
            problems,
            begin: night.now,
            random: fastrand::Rng::with_seed(7),
        }
    }

    fn hours(&self, at: Timestamp) -> f64 {
        at.duration_since(self.begin).as_secs_f64() / 3600.0
    }

    /// The problem that an incident with this onset comes from.
    fn problem_at(&self, hours: f64, about: &str) -> Option<usize> {
        let slack = 0.4;
        let concerns = |p: &Problem| match p.state {
            "rota" => about.contains("rota"),
            "ours" => about.contains("network"),
            _ => about.contains("gmc"),
        };
        self.problems.iter().position(|p| {
            concerns(p)
                && p.spells
                    .iter()
                    .any(|(from, to)| hours >= from - slack && hours <= to + slack)
        })
    }

    fn answer(&mut self, cell: &CellKey, at: Timestamp) -> Judged {
        let hours = self.hours(at);
        if self.random.usize(..HICCUP) == 0 {
            return self.states["hiccup"][cell].clone();
        }
        let well = &self.states["well"][cell];
        self.problems
            .iter()
            .filter(|p| {
                p.spells
                    .iter()
                    .any(|(from, to)| hours >= *from && hours < *to)
            })
            .map(|p| &self.states[p.state][cell])
            .find(|judged| judged.kind() != well.kind())
            .unwrap_or(well)
            .clone()
    }
}

/// What one problem made.
#[derive(Debug, Default, Clone)]
struct Count {
    incidents: usize,
    /// Slack: messages of their own, replies shown in the channel, replies in a thread, edits.
    parents: usize,
    broadcasts: usize,
    replies: usize,
    edits: usize,
    cards: usize,
}

fn number_in(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("INC-")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Everything else may wait as long as it takes: the week is over in half a minute.
fn patient() -> Timing {
    let years = Duration::from_secs(10 * 365 * 86_400);
    Timing {
        give_up: years,
        late: years,
        storm_most: usize::MAX,
        ..timing()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_tells_each_problem_once() {
    let (site, slack, teams) = (
        Site::start().await,
        Fake::slack().await,
        Fake::teams().await,
    );
    let directory = tempfile::tempdir().unwrap();
    let plan = Arc::new(site.plan(directory.path(), &slack, &teams));
    let receivers: Vec<Receiver> = plan.receivers.clone();
    let mut night = Night::over(plan, MONDAY.parse().unwrap(), Duration::from_secs(300));
    let mut almanac = Almanac::ask(&site, &night, problems()).await;
    let print = Arc::new(|text: &str| println!("{text}"));
    let deliver = Deliver::start(night.store().clone(), &receivers, patient(), print)
        .await
        .unwrap();

    let mut acknowledged = false;
    let mut broken = false;
    let end = 7.0 * DAY + 2.0;
    let mut runs = 0;
    let mut changes = 0;
    while almanac.hours(night.now) < end {
        let hours = almanac.hours(night.now);
        let refuses = (SLACK_BROKEN.0..SLACK_BROKEN.1).contains(&hours);
        if refuses != broken {
            broken = refuses;
            for method in ["chat.postMessage", "chat.update"] {
                slack.always(method, broken.then_some(Fault::Refused("token_revoked")));
            }
        }
        if !acknowledged && hours > ACKNOWLEDGED {
            acknowledged = true;
            let event = Event::Care {
                incident: 1,
                care: Care::Taken(Acknowledged {
                    by: "alice".to_owned(),
                    at: night.now,
                }),
            };
            night.apply(event).await;
        }
        let step = night.step_with(|cell, at| almanac.answer(cell, at)).await;
        runs += 1;
        changes += step.verdicts;
        if step.told {
            settled(&night).await;
        }
    }
    settled(&night).await;
    deliver.stop(Duration::from_secs(5)).await;

    let mut counts = vec![Count::default(); almanac.problems.len()];
    let mut strays = Count::default();
    let mut of_incident = BTreeMap::new();
    for incident in night.store().incidents(None, 1000).await.unwrap() {
        let place = almanac.problem_at(
            almanac.hours(incident.onset_at),
            &format!("{:?}", incident.subject).to_lowercase(),
        );
        of_incident.insert(incident.number, place);
        place.map_or(&mut strays, |p| &mut counts[p]).incidents += 1;
    }
    let mut of = |text: &str, add: &dyn Fn(&mut Count)| {
        let place = number_in(text).and_then(|number| of_incident.get(&number).copied());
        match place.flatten() {
            Some(place) => add(&mut counts[place]),
            None => add(&mut strays),
        }
    };
    for message in slack.messages() {
        let parent = message.thread_ts.is_none();
        let mut text = message.body.to_string();
        if let Some(ts) = &message.thread_ts
            && let Some(parent) = slack.parents().iter().find(|p| p.ts == *ts)
        {
            text = parent.body.to_string();
        }
        of(&text, &|count| {
            match (parent, message.broadcast) {
                (true, _) => count.parents += 1,
                (false, true) => count.broadcasts += 1,
                (false, false) => count.replies += 1,
            }
            count.edits += message.edits;
        });
    }
    for card in teams.cards() {
        of(&card.to_string(), &|count| count.cards += 1);
    }

    let mut table = format!(
        "{runs} runs and ticks, {changes} changes of verdict\n{:<55} incidents  Slack: own  shown  thread  edits  Teams\n",
        "problem"
    );
    let rows = almanac.problems.iter().map(|p| p.name).zip(&counts);
    for (name, c) in rows.chain([("none of these", &strays)]) {
        writeln!(
            table,
            "{name:<55} {:>9} {:>11} {:>6} {:>7} {:>6} {:>6}",
            c.incidents, c.parents, c.broadcasts, c.replies, c.edits, c.cards
        )
        .unwrap();
    }
    println!("{table}");
    night.end().await;
    for (problem, c) in almanac.problems.iter().zip(&counts) {
        let (name, told) = (problem.name, usize::from(problem.told));
        assert_eq!(
            c.incidents, 1,
            "{name}: one problem is one incident\n{table}"
        );
        assert_eq!(c.parents, told, "{name}\n{table}");
        // Its end, unless it was told as a whole; of what comes and goes also the first two returns, and the ends before them.
        let shown = match problem.spells.len() {
            _ if c.parents == 1 && c.edits == 0 => 0..=0,
            1 => told..=told,
            _ => 3..=5,
        };
        assert!(shown.contains(&c.broadcasts), "{name}\n{table}");
        assert!(c.replies <= 4 * told, "{name}\n{table}");
        assert!(c.cards <= 6 * told, "{name}\n{table}");
        assert!(
            c.cards == 2 || problem.spells.len() > 1 || problem.state != "rota",
            "{name}: who stands in for another hears nothing twice\n{table}"
        );
        assert!(
            c.cards >= 2 * told,
            "{name}: support staff hear of it and of its end\n{table}"
        );
    }
    // That messages did not arrive is told with the first of them; that they do again is a card of its own.
    let (stray, cards) = (
        strays.parents + strays.broadcasts + strays.replies,
        strays.cards,
    );
    assert_eq!((strays.incidents, stray, cards), (0, 0, 1), "{table}");
}

/// Waits until everything is told, or told to somebody else meanwhile.
async fn settled(night: &Night) {
    let waiting = async {
        loop {
            let left = night.store().undelivered().await.unwrap();
            if left.iter().all(|delivery| delivery.diverted) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "{:?}", night.store().undelivered().await);
}
