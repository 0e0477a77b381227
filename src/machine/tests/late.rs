//! Runs that were kept on their way: late, doubled, out of order. They open nothing and end nothing.

use jiff::Timestamp;

use super::*;
use crate::domain::incident::State;
use crate::domain::surroundings::Learned;

/// How runs come home.
struct Mail<W, K> {
    /// What a cell shows at a second.
    world: W,
    /// Until which second a run of this cell that ends at this second is kept; `None`: it comes home at once.
    kept: K,
    /// What was kept may come home twice, in any order.
    seed: u64,
}

/// What became of it.
struct Played {
    starts: Vec<(i64, Start)>,
    saves: Vec<(i64, Change)>,
    learned: Vec<Learned>,
    late: usize,
}

impl Played {
    /// When incidents opened and ended, by their number.
    fn incidents(&self) -> Vec<(i64, u64, State)> {
        let mut found: Vec<(i64, u64, State)> = Vec::new();
        for (at, change) in &self.saves {
            let incident = &change.incident;
            let last = found.iter().rev().find(|known| known.1 == incident.number);
            if last.is_none_or(|known| known.2 != incident.state) {
                found.push((*at, incident.number, incident.state));
            }
        }
        found
    }

    fn notices(&self) -> Vec<&str> {
        let all = self.learned.iter().flat_map(|l| &l.notifications);
        all.map(|n| n.briefing.headline.as_str()).collect()
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.duration_since(begin()).as_secs()
}

impl<W, K> Mail<W, K>
where
    W: Fn(&CellKey, i64) -> Kind,
    K: Fn(&CellKey, i64) -> Option<i64>,
{
    fn play(&self, until: i64) -> Played {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let notes = "notify: { receivers: { all: { log: {} } }, routes: [{ to: all }] }\n";
        let mut machine = Machine::new(plan(notes), Known::default(), begin());
        let (mut now, mut wake) = (begin(), begin());
        let mut coming: Vec<(Timestamp, Event)> = Vec::new();
        let mut played = Played {
            starts: Vec::new(),
            saves: Vec::new(),
            learned: Vec::new(),
            late: 0,
        };
        while now < after(until) {
            let next = (0..coming.len()).min_by_key(|n| coming[*n].0);
            let event = if let Some(n) = next.filter(|n| coming[*n].0 <= wake.max(now)) {
                let (at, event) = coming.swap_remove(n);
                now = now.max(at);
                event
            } else {
                now = now.max(wake);
                Event::Tick
            };
            for effect in machine.step(event, now) {
                match effect {
                    Effect::Start(start) => {
                        let second = seconds(now);
                        let kind = (self.world)(&start.cell, second);
                        let verdict = match kind {
                            Kind::Pass => pass(),
                            kind => Verdict::new(kind, Maker::Edge),
                        };
                        let judged = Arc::new(judged(&start, now, verdict));
                        let home = Event::Ended {
                            run: start.run,
                            judged,
                        };
                        let soon = now + SignedDuration::from_millis(80);
                        let kept = (self.kept)(&start.cell, second);
                        coming.push((kept.map_or(soon, after), home.clone()));
                        played.late += usize::from(kept.is_some());
                        if let Some(kept) = kept
                            && random.bool()
                        {
                            coming.push((after(kept + random.i64(0..60)), home));
                        }
                        random.shuffle(&mut coming);
                        played.starts.push((second, start));
                    }
                    Effect::WakeAt(at) => wake = at,
                    Effect::Save(change) => played.saves.push((seconds(now), *change)),
                    Effect::Learned(learned) => played.learned.push(*learned),
                    _ => {}
                }
            }
        }
        played
    }
}

/// The agent's or the machine's own way to us is cut between these seconds; then all comes at once.
fn cut(from: i64, to: i64) -> impl Fn(&CellKey, i64) -> Option<i64> {
    move |_, second| (from..to).contains(&second).then_some(to)
}

/// The partner refuses `java` between these seconds.
fn refused(from: i64, to: i64) -> impl Fn(&CellKey, i64) -> Kind {
    move |cell, second| {
        let java = cell.probe.as_str() == "api" && cell.client.as_str() == "java";
        let hit = java && (from..to).contains(&second);
        if hit { Kind::EdgeBlock } else { Kind::Pass }
    }
}

#[test]
fn what_came_and_went_while_nothing_was_heard_is_a_notice_and_no_incident() {
    for seed in 0..4 {
        let mail = Mail {
            world: refused(700, 1_300),
            kept: cut(600, 1_500),
            seed,
        };
        let played = mail.play(3_600);
        assert!(played.late > 20, "{}", played.late);
        assert_eq!(played.saves, Vec::new());
        assert_eq!(
            played.notices(),
            ["Runs of 02:10 to 02:20 were heard of late; what failed then is over"]
        );
        let notice = &played.learned.iter().find(|l| !l.notifications.is_empty());
        let because = &notice.unwrap().notifications[0].briefing.because;
        assert_eq!(because.len(), 2, "one a cell: {because:?}");
        assert!(because[0].contains("blocked from 02:1"), "{because:?}");
    }
}

#[test]
fn what_was_over_to_the_last_second_of_the_cut_is_asked_once_and_opens_nothing() {
    for seed in 0..4 {
        let mail = Mail {
            world: refused(700, 1_500),
            kept: cut(600, 1_500),
            seed,
        };
        let played = mail.play(3_600);
        assert_eq!(played.saves, Vec::new());
        let asked = played
            .starts
            .iter()
            .filter(|(_, start)| start.purpose == Purpose::Confirm);
        let asked: Vec<_> = asked.map(|(at, start)| (*at, &start.cell)).collect();
        assert!(asked.len() <= 2, "{asked:?}");
        assert!(
            asked.iter().all(|(at, _)| (1_500..1_530).contains(at)),
            "{asked:?}"
        );
    }
}

#[test]
fn what_goes_on_opens_by_live_runs_and_dates_back_to_the_first_late_one() {
    for seed in 0..4 {
        let world = refused(900, 100_000);
        let mail = Mail {
            world: &world,
            kept: cut(600, 1_500),
            seed,
        };
        let played = mail.play(3_000);
        let incidents = played.incidents();
        assert_eq!(incidents.len(), 1, "{incidents:?}");
        let (opened, _, state) = incidents[0];
        assert_eq!(state, State::Open);
        assert!((1_510..1_620).contains(&opened), "{incidents:?}");
        let incident = &played.saves[0].1.incident;
        let first = played
            .starts
            .iter()
            .find(|(at, start)| *at >= 900 && start.cell.client.as_str() == "java");
        assert_eq!(seconds(incident.onset_at), first.unwrap().0);
        assert!(
            incident
                .cells
                .iter()
                .all(|member| seconds(member.since) < 1_100)
        );
    }
}

#[test]
fn an_open_incident_is_not_ended_by_late_passes() {
    for seed in 0..4 {
        // It is well within the cut alone: whoever took late passes for live ones would end it.
        let mail = Mail {
            world: |cell: &CellKey, second| match second {
                1_200..1_790 => Kind::Pass,
                _ => refused(300, 100_000)(cell, second),
            },
            kept: cut(1_200, 1_800),
            seed,
        };
        let played = mail.play(3_600);
        let incidents = played.incidents();
        assert_eq!(incidents.len(), 1, "{incidents:?}");
    }
}

#[test]
fn an_incident_that_is_over_is_not_opened_again_by_late_failures() {
    for seed in 0..4 {
        let world = refused(300, 1_500);
        // One egress is cut off while the other shows the end.
        let mail = Mail {
            world: &world,
            kept: |cell: &CellKey, second: i64| {
                let cut = cell.egress.as_str() == "one" && (600..2_400).contains(&second);
                cut.then_some(2_400)
            },
            seed,
        };
        let played = mail.play(5_400);
        let states: Vec<State> = played.incidents().iter().map(|known| known.2).collect();
        assert_eq!(states, [State::Open, State::Resolved], "seed {seed}");
    }
}

/// Any delay of some runs gives the same incidents as if these had never come.
#[test]
fn late_and_doubled_runs_change_no_incident() {
    for seed in 0..12 {
        let chance = |cell: &CellKey, second: i64| {
            let name = format!("{cell} {second} {seed}");
            let hash = name.bytes().fold(seed, |sum, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            fastrand::Rng::with_seed(hash)
        };
        let world = |cell: &CellKey, second: i64| refused(900, 1_800)(cell, second % 3_600);
        let late = Mail {
            world,
            kept: |cell: &CellKey, second: i64| {
                let mut chance = chance(cell, second);
                (chance.usize(..4) == 0).then(|| second + chance.i64(11..900))
            },
            seed,
        };
        let lost = Mail {
            world,
            kept: |cell: &CellKey, second: i64| {
                (chance(cell, second).usize(..4) == 0).then_some(1_000_000)
            },
            seed,
        };
        let (late, lost) = (late.play(7_200), lost.play(7_200));
        let (one, other) = (late.incidents(), lost.incidents());
        assert!(late.late > 100 && one.len() == 4, "seed {seed}: {one:?}");
        let near = |(one, other): (&(i64, u64, State), &(i64, u64, State))| {
            (one.1, one.2) == (other.1, other.2) && (one.0 - other.0).abs() <= 150
        };
        assert!(
            one.len() == other.len() && one.iter().zip(&other).all(near),
            "seed {seed}: {one:?} and {other:?}"
        );
    }
}
