//! What follows from a change: a new diagnosis, a line of the timeline, messages, the end.

use std::time::Duration;

use jiff::Timestamp;

use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::shared;
use crate::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut, Split};
use crate::domain::incident::{IncidentCell, Specimen, State, Subject};
use crate::domain::moment::later;
use crate::domain::plan::Plan;
use crate::domain::twins::{self, Shown};
use crate::domain::verdict::{Factor, Kind};
use crate::incident::case::{Case, clarity, majority};
use crate::incident::notify::{Face, Statement};
use crate::incident::ours::is_silence;
use crate::incident::partner::Partner;
use crate::incident::partner::Running;
use crate::incident::partner::Trouble;
use crate::incident::partner::World;
use crate::incident::partner::{ahead, compared};
use crate::incident::world::{self, retell};
use crate::judge::cells::CellSet;
use crate::judge::episode;
use crate::judge::naming;
use crate::judge::rules::{Condition, Nature};
use crate::judge::universe::Axis;
use crate::judge::ways::{Standing, Ways};
use crate::words::terms;

/// How long an incident that the engine is done with waits for members that never ran again.
const GIVE_UP: Duration = Duration::from_secs(3600);
/// How long a cause that is doubted again goes on standing in what people read: it mostly comes back.
const HOLD_KNOWN: Duration = Duration::from_secs(600);
/// Explanations less probable than this are not named as candidates.
const CANDIDATE: f64 = 0.1;
/// Share of an explanation among those that can't be told apart, from which on it is named, with its doubt.
const FAR_LIKELIER: f64 = 0.8;
const CANDIDATES_MAX: usize = 3;

pub(super) fn give_up_at(trouble: &Trouble) -> Option<Timestamp> {
    trouble.ended_at.map(|at| later(at, GIVE_UP))
}

impl Partner {
    /// Everything that follows from the present state.
    pub(super) fn settle(&mut self, world: &mut World<'_>) {
        self.try_open(world);
        let Some(running) = &mut self.running else {
            return;
        };
        for place in 0..running.troubles.len() {
            running.explain(world, place, &self.name);
        }
        self.close_ended(world);
        let Some(running) = &mut self.running else {
            return;
        };
        running.give_up_lost(world);
        running.ask_recovering(world);
        for trouble in &mut running.troubles {
            if let Some(case) = &mut trouble.case {
                world::save_counters(world, case);
            }
        }
        running.tidy();
    }

    /// Ends what is over: the engine says so, or nobody knows the cause and all of it passes.
    fn close_ended(&mut self, world: &mut World<'_>) {
        let Some(running) = self.running.as_mut() else {
            return;
        };
        let mut closed = Vec::new();
        let mut let_go = Vec::new();
        let causes: Vec<episode::Cause> = running.named().cloned().collect();
        let claimed: Vec<u32> = causes.iter().map(|c| c.incident).collect();
        let layout = &running.layout;
        // What fails for another cause that is known does not keep this incident open.
        let explained = |cell: &CellKey| {
            layout.find(cell).is_some_and(|cell| {
                let mut hits = causes.iter().map(|c| &layout.book.pattern(c.rule).cells);
                hits.any(|cells| cells.contains(cell))
            })
        };
        running.troubles.retain_mut(|trouble| {
            let Some(case) = &trouble.case else {
                // Held back: it ends when the engine is done with it.
                return trouble.ended_at.is_none();
            };
            let waited = trouble
                .ended_at
                .is_some_and(|at| ahead(at, GIVE_UP, world.now).is_none());
            let over = match trouble.ended_at {
                Some(_) => {
                    waited
                        || case.only_few_are_silent(world.now)
                        || case.still_failing().into_iter().all(&explained)
                }
                None => !claimed.contains(&trouble.id) && case.over(world.now),
            };
            if !over {
                return true;
            }
            if trouble.ended_at.is_none() {
                let_go.push(trouble.id);
            }
            if let Some(case) = &mut trouble.case
                && !case.only_few_are_silent(world.now)
            {
                // What never ran again was last seen failing.
                let unseen: Vec<IncidentCell> = case
                    .still_failing()
                    .into_iter()
                    .filter(|cell| !explained(cell))
                    .filter_map(|cell| case.member(cell).cloned())
                    .collect();
                for member in unseen {
                    case.leave(member);
                }
                // What fails on for the cause of another incident is that one's from here on.
                let elsewhere: Vec<CellKey> = case.still_failing().into_iter().cloned().collect();
                let elsewhere = |cell: &CellKey| elsewhere.contains(cell) && explained(cell);
                let mut all = case.incident.cells.iter();
                if all.any(|member| !elsewhere(&member.cell)) {
                    case.retain(|cell| !elsewhere(cell));
                }
            }
            closed.extend(
                trouble
                    .case
                    .take()
                    .map(|case| (case, std::mem::take(&mut trouble.notes))),
            );
            false
        });
        for id in let_go {
            running.engine.let_go(id);
        }
        for (case, timeline) in closed {
            let silent = case.still_failing().len();
            let count = case.incident.cells.len();
            let left = case.incident.left.len();
            let text = match silent {
                0 if left > 0 => format!(
                    "{left} of its {count} cells are no longer asked as they were when they failed"
                ),
                0 => format!("all of its {count} cells pass again"),
                _ => format!(
                    "it is no longer seen; {silent} of its {count} cells fail for another reason or did not run again"
                ),
            };
            let incident = world::close(world, case, timeline, &text);
            if incident.state == State::Resolved {
                self.keep_recent(incident);
            }
        }
    }
}

/// That the stack makes no difference, where a program and who stands in for it are refused alike.
fn alike(plan: &Plan, failing: &[CellKey]) -> Option<RuledOut> {
    let (program, own) = twins::alike(plan, failing)?;
    Some(RuledOut {
        factor: Factor::Stack,
        because: format!(
            "`{}` over its own TLS and `{}` over edgewatch's fail alike",
            program.client, own.client
        ),
        failing: Some(program.clone()),
        passing: None,
    })
}

impl Running {
    /// Diagnoses anew when the picture changed, and tells who reads something else now.
    fn explain(&mut self, world: &mut World<'_>, place: usize, partner: &str) {
        let dirty = self.troubles[place].dirty;
        let cells: Vec<IncidentCell> = match &self.troubles[place].case {
            Some(case) => case.failing().cloned().collect(),
            None => return,
        };
        // What was edited was explained when it failed; nothing that passes since has to do with it.
        let unseen = self.troubles[place]
            .case
            .as_ref()
            .is_some_and(Case::is_unseen);
        if dirty && !unseen && !cells.is_empty() && self.troubles[place].ended_at.is_none() {
            let mut diagnosis = self.diagnosis(world.board, world.ways, place, &cells);
            let subject = self.subject(world.board, place, &cells, partner);
            let trouble = &mut self.troubles[place];
            trouble.dirty = false;
            if let Some(case) = &mut trouble.case {
                if matches!(diagnosis.cause, Cause::Unknown { .. }) {
                    let lately = |at: Timestamp| ahead(at, HOLD_KNOWN, world.now).is_some();
                    if case.incident.comes_and_goes() || trouble.named_at.is_some_and(lately) {
                        case.incident.keep_known(&mut diagnosis);
                    }
                } else {
                    trouble.named_at = Some(world.now);
                }
                case.stale |= case.incident.diagnosis != diagnosis;
                case.incident.diagnosis = diagnosis;
                case.incident.subject = subject;
            }
        }
        let Some(mut case) = self.troubles[place].case.take() else {
            return;
        };
        for id in self.references.drain(..) {
            case.refer(&id);
        }
        self.choose_specimens(&mut case);
        let trouble = &mut self.troubles[place];
        let notes = std::mem::take(&mut trouble.notes);
        let answer = self.answers.turn(&mut case, world.now);
        let statement = trouble
            .statement
            .get_or_insert_with(|| Statement::new(&case.incident));
        let before = retell(world, &mut case, statement, answer.as_deref(), notes);
        let another_way = |before: Face| !before.same_group(&case.incident);
        if answer.is_none() && before.is_some_and(another_way) {
            self.answers.follow(&mut case, world.now);
            world::save(world, &mut case, Vec::new(), Vec::new());
        }
        self.troubles[place].case = Some(case);
    }

    /// What sets those that fail apart from those that pass, beside the cause.
    fn split(&self, place: usize, diagnosis: &Diagnosis) -> Option<Split> {
        // What a place of an edge answers is the cause already.
        if matches!(diagnosis.cause, Cause::Pop(_) | Cause::OwnRate { .. }) {
            return None;
        }
        let trouble = &self.troubles[place];
        let universe = &self.layout.universe;
        let places = diagnosis.failing.iter();
        let places = places.filter_map(|key| self.layout.find(key));
        let hosts: Vec<u16> = places.map(|cell| universe.host_of(cell)).collect();
        let is_meant = |cell: usize| {
            self.layout.is_theirs(cell)
                && hosts.contains(&universe.host_of(cell))
                && diagnosis.cause.covers(self.layout.key(cell)) != Some(false)
        };
        let case = trouble.case.as_ref();
        let known = case.and_then(|case| case.incident.diagnosis.split.as_ref());
        self.splits.found(trouble.onset_at, is_meant, known)
    }

    /// What an incident is about: the place of its cause, or the hosts of its cells.
    pub(super) fn subject(
        &self,
        board: &Board,
        place: usize,
        cells: &[IncidentCell],
        partner: &str,
    ) -> Subject {
        let causes: Vec<&episode::Cause> = self.causes(self.troubles[place].id).collect();
        if let [cause] = causes.as_slice() {
            let rule = &self.layout.book.rules[cause.rule];
            return naming::subject(&self.layout, rule, partner);
        }
        let mut hosts: Vec<&str> = cells
            .iter()
            .filter_map(|member| board.get(&member.cell))
            .map(|cell| board.hosts[cell.host].name.as_str())
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        naming::of_hosts(&hosts, partner)
    }

    /// What the failing cells hang on, as far as it is certain, and what sets their answers apart.
    pub(super) fn diagnosis(
        &self,
        board: &Board,
        ways: &Ways,
        place: usize,
        cells: &[IncidentCell],
    ) -> Diagnosis {
        let mut diagnosis = self.hangs_on(board, ways, place, cells);
        diagnosis.split = self.split(place, &diagnosis);
        diagnosis
    }

    fn hangs_on(
        &self,
        board: &Board,
        ways: &Ways,
        place: usize,
        cells: &[IncidentCell],
    ) -> Diagnosis {
        let trouble = &self.troubles[place];
        let failing: Vec<_> = cells.iter().map(|member| member.cell.clone()).collect();
        let mut hosts: Vec<usize> = failing
            .iter()
            .filter_map(|key| board.get(key).map(|cell| cell.host))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        let passing: Vec<CellKey> = hosts
            .iter()
            .flat_map(|host| &board.hosts[*host].cells)
            .map(|id| &board.cells[*id])
            .filter(|cell| !cell.control_probe)
            .filter(|cell| cell.last_good_at.is_some_and(|at| at >= trouble.onset_at))
            .filter(|cell| cell.last.is_some_and(|last| !last.failed))
            .map(|cell| cell.key.clone())
            .filter(|key| !failing.contains(key))
            .collect();
        let causes: Vec<&episode::Cause> = self.causes(trouble.id).collect();
        let compared = compared::ruled_out(&self.failing, &failing, &passing);
        let mut diagnosis = Diagnosis {
            cause: Cause::Unknown { among: Vec::new() },
            confidence: 0.0,
            fails: None,
            failing,
            passing,
            ruled_out: compared,
            would_tell: None,
            split: None,
        };
        if causes.is_empty() {
            diagnosis.cause = Cause::Unknown {
                among: self.candidates(trouble.id),
            };
            if let Some((rule, confidence)) = self.all_but_certain(trouble.id) {
                diagnosis.cause = naming::cause(&self.layout, &self.layout.book.rules[rule]);
                diagnosis.confidence = confidence;
            }
            diagnosis.would_tell = self
                .would_tell(trouble.id)
                .or_else(|| trouble.missing.clone());
            return diagnosis;
        }
        if let Some(doubt) = self.our_side_doubt(board, ways, trouble, cells, &causes) {
            diagnosis.would_tell = Some(doubt);
            return diagnosis;
        }
        let mut rules: Vec<usize> = causes.iter().map(|cause| cause.rule).collect();
        let mut confidences: Vec<f64> = causes.iter().map(|c| naming::confidence(c)).collect();
        // Beside what is certain stands what is all but that: it fails as well.
        if let Some((rule, confidence)) = self.all_but_certain(trouble.id) {
            rules.push(rule);
            confidences.push(confidence);
        }
        let mut named: Vec<Cause> = self
            .as_one(rules)
            .into_iter()
            .map(|rule| naming::cause(&self.layout, &self.layout.book.rules[rule]))
            .collect();
        diagnosis.cause = if named.len() == 1 {
            let (failing, passing) = (&diagnosis.failing, &diagnosis.passing);
            self.by_its_stack(&board.plan, named.remove(0), failing, passing)
        } else {
            Cause::AnyOf(named)
        };
        diagnosis.confidence = confidences.into_iter().fold(1.0, f64::min);
        diagnosis.fails = causes
            .iter()
            .find(|cause| !cause.always_strikes() && cause.special.is_none())
            .map(|cause| cause.rate);
        if let Some(cause) = causes.first() {
            let known: Vec<Factor> = diagnosis.ruled_out.iter().map(|pair| pair.factor).collect();
            let pairs = naming::ruled_out(&self.layout, &self.engine, cause);
            let new = pairs
                .into_iter()
                .filter(|pair| !known.contains(&pair.factor));
            diagnosis.ruled_out.extend(new);
        }
        diagnosis
            .ruled_out
            .extend(alike(&board.plan, &diagnosis.failing));
        diagnosis
    }

    /// A refused program whose user agent passes over another stack is refused for its own; the cause says so.
    fn by_its_stack(
        &self,
        plan: &Plan,
        cause: Cause,
        failing: &[CellKey],
        passing: &[CellKey],
    ) -> Cause {
        let Cause::Level(Level::Client(name)) = &cause else {
            return cause;
        };
        let refused: Vec<CellKey> = failing
            .iter()
            .filter(|cell| cell.client == *name)
            .cloned()
            .collect();
        let by_program = matches!(
            twins::shown(plan, &refused, passing),
            Some(Shown::Program { .. })
        );
        match self.layout.stack_of(name).filter(|_| by_program) {
            Some(ja4) => Cause::Level(Level::Stack {
                ja4: ja4.to_owned(),
                clients: vec![name.clone()],
            }),
            None => cause,
        }
    }

    /// The levels that the likeliest explanations name, when more than one is likely.
    fn candidates(&self, id: u32) -> Vec<Level> {
        let Some(question) = self.engine.episode().and_then(|e| e.question.as_ref()) else {
            return Vec::new();
        };
        if question.incident != Some(id) {
            return Vec::new();
        }
        let book = &self.layout.book;
        let mut levels: Vec<Level> = Vec::new();
        let mut add = |rule: usize| {
            for level in naming::candidates(&self.layout, &book.rules[rule]) {
                if levels.len() < CANDIDATES_MAX && !levels.contains(&level) {
                    levels.push(level);
                }
            }
        };
        if question.ambiguous.is_empty() {
            let likely = question
                .posterior
                .explanations
                .iter()
                .filter(|e| e.probability >= CANDIDATE && e.rules().len() == 1);
            likely.for_each(|e| add(e.rules()[0]));
        } else {
            for doubt in &question.ambiguous {
                doubt.among.iter().for_each(|(rule, ..)| add(*rule));
            }
        }
        levels
    }

    /// Everybody, where that is far likelier than the levels that no request can tell from it; and how sure it is.
    fn all_but_certain(&self, id: u32) -> Option<(usize, f64)> {
        let question = self.engine.episode()?.question.as_ref()?;
        let [doubt] = question.ambiguous.as_slice() else {
            return None;
        };
        let (rule, nature, share) = doubt.among.first().copied()?;
        let likely =
            question.incident == Some(id) && nature == Nature::Target && share >= FAR_LIKELIER;
        likely.then_some((rule, doubt.probability * share))
    }

    /// Several rules, or the simple one that their union is.
    fn as_one(&self, rules: Vec<usize>) -> Vec<usize> {
        let book = &self.layout.book;
        let special = |rule: &usize| book.rules[*rule].special.is_some();
        if rules.len() < 2 || rules.iter().any(special) {
            return rules;
        }
        let mut union = CellSet::none(self.layout.universe.cells.len());
        for rule in &rules {
            union.add_all(&book.pattern(*rule).cells);
        }
        book.simple_rule(&union).map_or(rules, |rule| vec![rule])
    }

    /// The run that the engine waits for.
    fn would_tell(&self, id: u32) -> Option<String> {
        if self.engine.asking() != Some(id) {
            return None;
        }
        let cell = self.layout.key(self.engine.would_tell()?);
        let several = self.layout.universe.endpoints.len() > 1;
        Some(format!("a run of {}", terms::request(cell, several)))
    }

    /// Why the partner may not be blamed: of a silent network nothing shows that it is not ours.
    fn our_side_doubt(
        &self,
        board: &Board,
        ways: &Ways,
        trouble: &Trouble,
        cells: &[IncidentCell],
        causes: &[&episode::Cause],
    ) -> Option<String> {
        let kind = majority(cells).unwrap_or(Kind::Unexpected);
        let by_network = causes.iter().all(|cause| {
            let rule = &self.layout.book.rules[cause.rule];
            let egress = |c: &Condition| c.axis() == Axis::Egress;
            rule.special.is_none() && rule.conditions.iter().all(egress)
        });
        if !by_network || !is_silence(kind) {
            return None;
        }
        let mut doubt = None;
        for member in cells {
            let party = board.get(&member.cell)?.party;
            let egress = &member.cell.egress;
            let answers = self.layout.keys().any(|key| {
                let good = board.get(key).and_then(|cell| cell.last_good_at);
                key.egress == *egress && good.is_some_and(|at| at >= trouble.onset_at)
            });
            if answers {
                return None;
            }
            doubt = Some(match ways.standing(egress, party, trouble.onset_at) {
                Standing::Fine => return None,
                Standing::Down => {
                    "a control that passes; now they fail too, so look at your own network first"
                        .to_owned()
                }
                Standing::Unseen => format!("a run of a control from egress `{egress}`"),
                Standing::Alone => format!(
                    "a probe of another host under `controls:`; nothing else is probed from egress `{egress}`"
                ),
            });
        }
        doubt
    }

    /// The clearest failing run of the incident, and the passing run most like it.
    pub(super) fn choose_specimens(&self, case: &mut Case) {
        let kind = case.incident.kind;
        let best = case
            .failing()
            .filter_map(|member| self.failing.get(&member.cell))
            .max_by_key(|s| (s.verdict.kind == kind, clarity(&s.verdict)));
        let kept = case.incident.failing.as_ref();
        let clearer = |new: &Specimen| {
            kept.is_none_or(|kept| {
                let rank = |s: &Specimen| (s.verdict.kind == kind, clarity(&s.verdict));
                rank(new) > rank(kept) || !case.holds(&kept.cell)
            })
        };
        let best = best.filter(|new| clearer(new)).cloned();
        if best.is_some() {
            case.incident.failing = best;
        }
        let Some(failing) = &case.incident.failing else {
            return;
        };
        let likeness = |s: &&Specimen| shared(&s.cell, &failing.cell).count_ones();
        let passing = self
            .passing
            .values()
            .filter(|s| s.at >= case.incident.onset_at && !case.holds(&s.cell))
            .max_by_key(|s| likeness(s));
        let closer = match (&case.incident.passing, passing) {
            (Some(kept), Some(new)) => likeness(&new) > likeness(&kept),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if closer {
            let passing = passing.cloned();
            case.incident.passing = passing;
        }
    }
}
