//! What sets the answers that fail apart from those that pass, where no cell decides it: the machine of an edge that was
//! drawn, its place, the address or the IP family that a name led to, the HTTP version that was agreed on.
//!
//! It stands beside a cause and is none: where one in six requests fails, it says which.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::domain::diagnosis::{Split, SplitBy};
use crate::domain::observation::Observation;
use crate::read::pop;

/// Runs that are remembered.
const RUNS_MAX: usize = 1000;
/// Names that are told apart by one mark; further ones are not known.
const NAMES_MAX: usize = 250;
/// Failures inside, and runs outside, before anything is said.
const FAILED_MIN: u32 = 4;
const OTHERS_MIN: u32 = 8;
/// Of these, runs of cells that failed as well.
const HERE_MIN: u32 = 4;
/// Shares that must fail inside and may fail outside.
const INSIDE: f64 = 0.9;
const OUTSIDE: f64 = 0.02;
/// The same for what was said already, so that a stray unsays nothing.
const INSIDE_STILL: f64 = 0.7;
const OUTSIDE_STILL: f64 = 0.1;
/// Chance that all failures fall together, were it nothing to do with them.
const BY_CHANCE: f64 = 1e-4;

/// Runs of a partner, with what each went by.
#[derive(Debug, Default)]
pub(super) struct Splits {
    names: [Vec<String>; SplitBy::ALL.len()],
    runs: VecDeque<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Timestamp,
    cell: usize,
    failed: bool,
    /// By mark, the place of its name and one; 0: not known.
    marks: [u8; SplitBy::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failed: u32,
    all: u32,
}

/// Runs of all cells that are meant, and of those alone that failed at least once.
#[derive(Debug, Clone, Copy, Default)]
struct Two {
    whole: Count,
    here: Count,
}

impl Two {
    fn add(&mut self, failed: bool, here: bool) {
        self.whole.add(failed);
        if here {
            self.here.add(failed);
        }
    }
}

impl Count {
    fn add(&mut self, failed: bool) {
        self.failed += u32::from(failed);
        self.all += 1;
    }

    fn rest_of(self, all: Self) -> Self {
        Self {
            failed: all.failed - self.failed,
            all: all.all - self.all,
        }
    }

    fn rate(self) -> f64 {
        f64::from(self.failed) / f64::from(self.all.max(1))
    }
}

impl Splits {
    /// Takes in a run of a cell of the layout.
    pub(super) fn keep(&mut self, cell: usize, at: Timestamp, failed: bool, seen: &Observation) {
        let marks = SplitBy::ALL.map(|by| by_of(by, seen));
        let mut places = [0; SplitBy::ALL.len()];
        for ((place, names), mark) in places.iter_mut().zip(&mut self.names).zip(marks) {
            *place = mark.map_or(0, |mark| number(names, &mark));
        }
        if self.runs.len() >= RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Seen {
            at,
            cell,
            failed,
            marks: places,
        });
    }

    /// What only those have in common that failed since then, of the cells that are meant; `known` was said of them.
    pub(super) fn found(
        &self,
        since: Timestamp,
        is_meant: impl Fn(usize) -> bool,
        known: Option<&Split>,
    ) -> Option<Split> {
        let meant = |run: &&Seen| run.at >= since && is_meant(run.cell);
        let failing: BTreeSet<usize> = self
            .runs
            .iter()
            .filter(meant)
            .filter(|run| run.failed)
            .map(|run| run.cell)
            .collect();
        let mut all = Two::default();
        let mut counts: [Vec<Two>; SplitBy::ALL.len()] =
            std::array::from_fn(|by| vec![Two::default(); self.names[by].len() + 1]);
        for run in self.runs.iter().filter(meant) {
            let here = failing.contains(&run.cell);
            all.add(run.failed, here);
            for (counts, mark) in counts.iter_mut().zip(run.marks) {
                counts[usize::from(mark)].add(run.failed, here);
            }
        }
        if all.whole.failed < FAILED_MIN {
            return None;
        }
        SplitBy::ALL.into_iter().enumerate().find_map(|(at, by)| {
            // The first one is of those that are not known.
            let named = counts[at].iter().skip(1).zip(&self.names[at]);
            let (inside, name) = named.max_by_key(|(count, _)| count.whole.failed)?;
            let said = known.is_some_and(|it| it.by == by && it.name == *name);
            splits(*inside, all, self.names[at].len(), said).then(|| Split {
                by,
                name: name.clone(),
                failed: inside.whole.failed,
                of: inside.whole.all,
                others_failed: all.whole.failed - inside.whole.failed,
                others: all.whole.all - inside.whole.all,
            })
        })
    }
}

/// Whether what is inside fails and the rest does not, and not by chance.
fn splits(inside: Two, all: Two, names: usize, said: bool) -> bool {
    let outside = inside.whole.rest_of(all.whole);
    if inside.whole.failed < FAILED_MIN || outside.all < OTHERS_MIN {
        return false;
    }
    if said {
        return inside.whole.rate() >= INSIDE_STILL && outside.rate() <= OUTSIDE_STILL;
    }
    // A mark that goes with the cell says nothing that the cell does not.
    if inside.here.rest_of(all.here).all < HERE_MIN {
        return false;
    }
    let share = f64::from(inside.here.all) / f64::from(all.here.all);
    let by_chance = names as f64 * share.powf(f64::from(inside.here.failed));
    inside.whole.rate() >= INSIDE && outside.rate() <= OUTSIDE && by_chance < BY_CHANCE
}

/// The place of a name in a table and one; 0 where the table is full.
fn number(names: &mut Vec<String>, name: &str) -> u8 {
    let known = names.iter().position(|other| other == name);
    if known.is_none() && names.len() < NAMES_MAX {
        names.push(name.to_owned());
        return names.len() as u8;
    }
    known.map_or(0, |place| place as u8 + 1)
}

fn by_of(by: SplitBy, seen: &Observation) -> Option<Cow<'_, str>> {
    let answer = seen.answer.as_ref();
    // Behind a proxy its address is all that is seen.
    let address = seen.route.remote.filter(|_| seen.route.proxy.is_none());
    match by {
        SplitBy::IpFamily => Some(if address?.is_ipv6() { "IPv6" } else { "IPv4" }.into()),
        SplitBy::Http => Some(answer?.http.as_str().into()),
        SplitBy::Place => pop::of(answer?).map(Cow::Owned),
        SplitBy::Machine => pop::machine(answer?).map(Cow::Borrowed),
        SplitBy::Address => Some(address?.ip().to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as words: machine of the edge and `x` where it failed, times how often (`b:x*6`).
    fn found(story: &str, known: Option<&Split>) -> Option<(String, u32, u32, u32)> {
        let mut splits = Splits::default();
        for word in story.split_whitespace() {
            let (word, times) = word.split_once('*').unwrap_or((word, "1"));
            let (machine, failed) = match word.split_once(':') {
                Some((machine, _)) => (machine, true),
                None => (word, false),
            };
            for _ in 0..times.parse().unwrap() {
                let mut marks = [0; SplitBy::ALL.len()];
                let at = SplitBy::ALL
                    .iter()
                    .position(|by| *by == SplitBy::Machine)
                    .unwrap();
                if machine != "-" {
                    marks[at] = number(&mut splits.names[at], machine);
                }
                splits.runs.push_back(Seen {
                    at: Timestamp::UNIX_EPOCH,
                    cell: 0,
                    failed,
                    marks,
                });
            }
        }
        let found = splits.found(Timestamp::UNIX_EPOCH, |_| true, known)?;
        Some((found.name, found.failed, found.others_failed, found.others))
    }

    #[test]
    fn the_machine_that_fails_is_found_at_any_share() {
        let check = |name: &str, story: &str, expected: Option<(&str, u32, u32, u32)>| {
            let expected = expected.map(|(name, a, b, c)| (name.to_owned(), a, b, c));
            assert_eq!(found(story, None), expected, "{name}");
        };
        check(
            "one of six",
            "a*10 b:x*7 c*10 d*10 e*10 f*10",
            Some(("b", 7, 0, 50)),
        );
        check("one in a hundred", "a*400 b:x*4", Some(("b", 4, 0, 400)));
        check("too few to say", "a*10 b:x*3", None);
        check("no others", "b:x*40", None);
        check("half of it passes there", "a*20 b:x*6 b*6", None);
        check("others fail too", "a*20 a:x*2 b:x*6", None);
        check("nobody says which", "a*20 -:x*6", None);
        check("by chance", "a*8 b:x*8", None);
        check("no longer by chance", "a*16 b:x*16", Some(("b", 16, 0, 16)));
    }

    #[test]
    fn a_stray_unsays_nothing() {
        let known = Split {
            by: SplitBy::Machine,
            name: "b".to_owned(),
            failed: 6,
            of: 6,
            others_failed: 0,
            others: 30,
        };
        assert!(found("a*30 a:x*2 b:x*6 b", Some(&known)).is_some());
        assert!(found("a*30 a:x*6 b:x*6", Some(&known)).is_none());
    }

    #[test]
    fn a_full_table_knows_no_more_names() {
        let mut names = Vec::new();
        for n in 0..NAMES_MAX {
            assert_ne!(number(&mut names, &n.to_string()), 0);
        }
        assert_eq!(number(&mut names, "one more"), 0);
        assert_eq!(number(&mut names, "3"), 4);
    }
}
