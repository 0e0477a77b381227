//! Notices that what fails is answered otherwise than before: a bot check in place of a block, another code.
//!
//! One odd answer is none, and cells that go back and forth say nothing: an answer counts once more than
//! half of the failing cells that ran since it came had it twice in a row. While the cause is known some cells
//! are not run at all; what they were answered once says nothing of today. It changes neither cause nor scope, so people hear
//! of it at most once in [`CALM`], and then of the last one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::incident::{Answered, Specimen};
use crate::domain::moment::later;
use crate::domain::verdict::{Kind, Verdict};
use crate::incident::case::Case;
use crate::judge::class::Class;
use crate::words::terms;

/// Between two messages that an incident is answered otherwise.
const CALM: Duration = Duration::from_secs(600);
/// Runs of a cell in a row.
const IN_A_ROW: u32 = 2;
/// Cells of which a run is kept as evidence.
const SPECIMENS_MAX: usize = 32;

/// What each failing cell was answered last.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<CellKey, Latest>);

#[derive(Debug)]
struct Latest {
    text: String,
    in_a_row: u32,
    /// When the first and the last of them began.
    since: Timestamp,
    last_at: Timestamp,
    /// The first of them.
    specimen: Option<Specimen>,
}

/// An answer as people compare it: its kind, and the vendor's code where there is one.
fn text(kind: Kind, verdict: &Verdict) -> String {
    let kind = terms::kind(kind);
    match (terms::edge(verdict), &verdict.code) {
        (Some(edge), Some(code)) => format!("{kind} ({edge} {code})"),
        (Some(edge), None) => format!("{kind} ({edge})"),
        (None, _) => kind.to_owned(),
    }
}

impl Answers {
    /// A cell failed; `make` is asked for the evidence when the answer is another than before.
    pub(super) fn failed(
        &mut self,
        cell: &CellKey,
        at: Timestamp,
        (kind, verdict): (Kind, &Verdict),
        make: impl FnOnce() -> Option<Specimen>,
    ) {
        let text = text(kind, verdict);
        let room = self.0.len() < SPECIMENS_MAX || self.0.contains_key(cell);
        match self.0.get_mut(cell) {
            Some(latest) if latest.text == text => {
                latest.in_a_row = latest.in_a_row.saturating_add(1);
                latest.last_at = latest.last_at.max(at);
            }
            _ => {
                let latest = Latest {
                    text,
                    in_a_row: 1,
                    since: at,
                    last_at: at,
                    specimen: if room { make() } else { None },
                };
                self.0.insert(cell.clone(), latest);
            }
        }
    }

    /// A cell passed: what it was answered before is no row any more.
    pub(super) fn passed(&mut self, cell: &CellKey) {
        self.0.remove(cell);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What most of these cells were answered so often in a row; of several such answers the newest.
    fn most(&self, cells: &[&CellKey], in_a_row: u32) -> Option<&str> {
        let known: Vec<&Latest> = cells.iter().filter_map(|cell| self.0.get(*cell)).collect();
        let mut candidates: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for latest in known.iter().filter(|latest| latest.in_a_row >= in_a_row) {
            let since = candidates.entry(&latest.text).or_insert(latest.since);
            *since = latest.since.min(*since);
        }
        let holds = |text: &str, since: Timestamp| {
            let ran = known.iter().filter(|latest| latest.last_at >= since);
            let (mut all, mut have) = (0, 0);
            for latest in ran {
                all += 1;
                have += usize::from(latest.text == text && latest.in_a_row >= in_a_row);
            }
            2 * have > all
        };
        let held = candidates
            .into_iter()
            .filter(|(text, since)| holds(text, *since));
        held.max_by_key(|(_, since)| *since).map(|(text, _)| text)
    }

    /// People hear of another answer anyway: it fails in another way altogether.
    pub(super) fn follow(&self, case: &mut Case, now: Timestamp) {
        let failing: Vec<&CellKey> = case.failing().map(|member| &member.cell).collect();
        let text = self.most(&failing, 1).map(ToOwned::to_owned);
        case.incident.telling.answer = text.map(|text| Answered {
            text,
            told_at: Some(now),
        });
    }

    /// Notes what an incident is answered; a sentence when people are to hear that it is another answer.
    pub(super) fn turn(&self, case: &mut Case, now: Timestamp) -> Option<String> {
        let failing: Vec<&CellKey> = case.failing().map(|member| &member.cell).collect();
        let Some(known) = case.incident.telling.answer.clone() else {
            let first = self.most(&failing, 1)?.to_owned();
            case.incident.telling.answer = Some(Answered {
                text: first,
                told_at: None,
            });
            case.stale = true;
            return None;
        };
        let text = self.most(&failing, IN_A_ROW).filter(|t| *t != known.text)?;
        if known.told_at.is_some_and(|at| later(at, CALM) > now) {
            return None;
        }
        let mut shown = failing.iter().filter_map(|cell| self.0.get(*cell));
        let shown = shown.find(|latest| latest.text == text && latest.specimen.is_some());
        let specimen = shown.and_then(|latest| latest.specimen.clone());
        let change = format!("the answer changed: {text}; before: {}", known.text);
        case.incident.telling.answer = Some(Answered {
            text: text.to_owned(),
            told_at: Some(now),
        });
        if let Some(specimen) = specimen {
            let kind = specimen.verdict.kind;
            // Cells that are not run any more would outvote today's answer.
            if Class::of(kind).mechanism() == Class::of(case.incident.kind).mechanism() {
                case.incident.kind = kind;
            }
            case.incident.failing = Some(specimen);
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::CredentialName;
    use crate::domain::verdict::Maker;

    fn cell(client: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: "e".into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    /// Runs as words: cell and Cloudflare's code, `-` when it passed.
    fn after(runs: &str) -> Answers {
        let mut answers = Answers::default();
        for (second, run) in (0_i64..).zip(runs.split(' ')) {
            let at = Timestamp::from_second(second).unwrap();
            let (name, code) = run.split_once(':').unwrap();
            if code == "-" {
                answers.passed(&cell(name));
                continue;
            }
            let mut verdict = Verdict::new(Kind::EdgeBlock, Maker::Edge);
            verdict.vendor = "cloudflare".into();
            verdict.code = Some(code.to_owned());
            answers.failed(&cell(name), at, (Kind::EdgeBlock, &verdict), || None);
        }
        answers
    }

    #[test]
    fn an_answer_counts_when_more_than_half_have_it_twice() {
        let (a, b, c) = (cell("a"), cell("b"), cell("c"));
        let all = [&a, &b, &c];
        let check = |name: &str, runs: &str, expected: Option<&str>| {
            let answers = after(runs);
            let found = answers.most(&all, IN_A_ROW);
            let expected = expected.map(|code| format!("refused at the edge (Cloudflare {code})"));
            assert_eq!(found, expected.as_deref(), "{name}");
        };
        check("all", "a:1 b:1 c:1 a:1 b:1 c:1", Some("1"));
        check("once is odd", "a:1 b:1 c:1", None);
        check("two of three", "a:2 b:2 c:1 a:2 b:2 c:1", Some("2"));
        check("one of three", "a:2 b:1 c:1 a:2 b:3 c:3", None);
        check(
            "one, and nobody else runs",
            "a:1 b:1 c:1 a:2 a:2",
            Some("2"),
        );
        check("one, and others run", "a:1 b:1 c:1 a:2 b:3 a:2 c:3", None);
        check("back and forth", "a:1 b:1 a:2 b:2 a:1 b:1 a:2 b:2", None);
        check("a pass between", "a:1 a:- a:1 b:1 b:- b:1", None);
        check("the last one", "a:1 b:1 a:1 b:1 a:2 b:2 a:2 b:2", Some("2"));
    }
}
