//! What the engine says of a run, in incidents: which one it belongs to, and what became of them.

use jiff::Timestamp;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, IncidentCell};
use crate::domain::verdict::{Factor, Kind};
use crate::incident::case::{Turn, entry};
use crate::incident::partner::Partner;
use crate::incident::partner::Running;
use crate::incident::partner::Trouble;
use crate::incident::partner::World;
use crate::incident::partner::seconds;
use crate::incident::partner::timestamp;
use crate::incident::world::Run;
use crate::judge::engine::{Effect as Said, Seen};
use crate::judge::episode;
use crate::judge::layout::Shown;
use crate::judge::rules::Nature;
use crate::read::pop;
use crate::surroundings::Noticed;

/// A limit that lasts so long is known by its own word: an account that is locked is not asked again to be sure.
const LOCK_MIN: Duration = Duration::from_secs(15 * 60);

/// The nature of the one factor that the answer itself points at.
fn hint(factors: &[Factor]) -> Option<Nature> {
    let [factor] = factors else {
        return None;
    };
    Some(match factor {
        Factor::Client | Factor::Stack => Nature::Client,
        Factor::Egress => Nature::Network,
        Factor::Credential => Nature::Credential,
        Factor::Http => Nature::Protocol,
        Factor::Rate => Nature::Rate,
        Factor::Endpoint | Factor::Host | Factor::Method => Nature::Target,
    })
}

impl Partner {
    /// Lets the engine see a run, and books what it says.
    pub(super) fn take(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let (host_requests, egress_requests) =
            self.rates(run.cell.host, &run.cell.key.egress, seconds(run.at));
        if self.shown_new {
            self.learn_what_was_shown(world.board);
        }
        let Some(running) = &mut self.running else {
            return;
        };
        let at = running.clock.max(seconds(run.at));
        let Some(seen) = running.seen(run, at, host_requests, egress_requests) else {
            return;
        };
        let kind = seen.kind;
        let observation = &run.judged.observation;
        running
            .splits
            .keep(seen.cell, run.at, run.failed, observation);
        running.keep(world.board, run, kind);
        running.clock = at;
        let said = running.engine.observe(&seen);
        running.answered(run, kind);
        for said in said {
            self.hear(world, said);
        }
        self.share_out(run, kind);
    }

    /// A new point of presence or fingerprint needs a new universe; only while nothing is being looked into.
    pub(super) fn learn_what_was_shown(&mut self, board: &Board) {
        let Some(running) = &mut self.running else {
            return;
        };
        if !running.engine.is_quiet() {
            return;
        }
        self.shown_new = false;
        let shown = Shown {
            landings: &self.landings,
            stacks: &self.stacks,
        };
        if let Ok(layout) = running.layout.with_seen(&board.plan, shown) {
            let (universe, book) = (layout.universe.clone(), layout.book.clone());
            running.engine.move_to(universe, book);
            running.layout = layout;
        }
    }

    /// What the engine says, in incidents.
    pub(super) fn hear(&mut self, world: &mut World<'_>, said: Said) {
        let Some(running) = &mut self.running else {
            return;
        };
        match said {
            Said::Ask(ask) => running.ask(world, ask),
            Said::Opened { incident, onset } => {
                let mut trouble = Trouble::new(incident, timestamp(onset), world.now);
                trouble.notes.append(&mut running.notes);
                running.troubles.push(trouble);
            }
            Said::Claimed(cause) => {
                if let Some(trouble) = running.trouble(cause.incident) {
                    trouble.missing = None;
                }
                running.narrow(&cause);
                running.widen(world, cause.incident);
            }
            Said::Revised(cause) => running.narrow(&cause),
            Said::Withdrawn { incident, .. } => {
                if let Some(trouble) = running.trouble(incident) {
                    trouble.dirty = true;
                }
            }
            Said::CannotTell {
                incident, missing, ..
            } => {
                if let Some(trouble) = running.trouble(incident) {
                    trouble.missing = missing;
                    trouble.dirty = true;
                }
            }
            Said::Recovered { incident } | Said::Closed { incident } => {
                if let Some(trouble) = running.trouble(incident) {
                    trouble.ended_at = Some(world.now);
                }
            }
        }
    }

    /// Gives a run to the incidents whose cells it belongs to.
    pub(super) fn share_out(&mut self, run: &Run<'_>, kind: Kind) {
        let Some(running) = &mut self.running else {
            return;
        };
        let (key, failed, at) = (&run.cell.key, run.failed, run.at);
        let mut held = false;
        for trouble in &mut running.troubles {
            let Some(case) = &mut trouble.case else {
                continue;
            };
            held |= case.holds(key);
            match case.observe(key, kind, failed, at) {
                Turn::Fails => trouble.dirty = true,
                Turn::Left => {
                    trouble.dirty = true;
                    let text = format!("{key} passes again while others fail");
                    trouble.remember(entry(at, Happening::Cells, text));
                }
                Turn::Comes | Turn::None => {}
            }
        }
        if failed && !held && !run.cell.control_probe {
            running.join(key, kind, at);
        } else if !failed {
            // The passing side of the picture may have grown.
            for trouble in &mut running.troubles {
                let case = trouble.case.as_ref();
                trouble.dirty |=
                    case.is_some_and(|case| !case.incident.diagnosis.passing.contains(key));
            }
        }
    }
}

impl Partner {
    /// The front of a host has changed: open incidents about it have that beside them.
    pub fn drifted(&mut self, world: &mut World<'_>, noticed: &Noticed) {
        let board = world.board;
        let is_there = |member: &IncidentCell| {
            let cell = board.get(&member.cell);
            cell.is_some_and(|cell| cell.host == noticed.host)
        };
        let Some(running) = &mut self.running else {
            return;
        };
        let mut found = false;
        for trouble in &mut running.troubles {
            let Some(case) = &mut trouble.case else {
                continue;
            };
            if !case.failing().any(is_there) {
                continue;
            }
            found = true;
            let mut timeline = world.put_beside(case, trouble.onset_at);
            if timeline.iter().all(|note| note.text != noticed.text) {
                timeline.push(entry(noticed.at, Happening::Drift, &noticed.text));
            }
            for note in timeline {
                trouble.remember(note);
            }
        }
        if found {
            self.settle(world);
        }
    }
}

impl Running {
    /// A run as the engine sees it; `None`: not one of its cells.
    pub(super) fn seen(
        &self,
        run: &Run<'_>,
        at: f64,
        host_requests: u32,
        egress_requests: u32,
    ) -> Option<Seen> {
        let kind = match run.judged.kind() {
            _ if !run.failed => Kind::Pass,
            Kind::Pass => Kind::Unexpected,
            kind => kind,
        };
        let observation = &run.judged.observation;
        let pop = observation.answer.as_ref().and_then(pop::of);
        // Then the account rests, and nothing can confirm it.
        let rests = !observation.cell.credential.is_anonymous() && kind == Kind::RateLimited;
        let wait = run.judged.verdict.retry_after.filter(|_| rests);
        let stands = wait.is_some_and(|wait| wait >= LOCK_MIN);
        Some(Seen {
            at,
            cell: self.layout.find(&run.cell.key)?,
            kind,
            pop: pop.and_then(|name| self.layout.pop(&name)),
            host_requests,
            egress_requests,
            purpose: observation.purpose,
            hint: hint(&run.judged.verdict.hints),
            stands,
            reached: run.failed && run.judged.verdict.is_applications_own_error(),
        })
    }

    pub(super) fn trouble(&mut self, id: u32) -> Option<&mut Trouble> {
        self.troubles.iter_mut().find(|trouble| trouble.id == id)
    }

    /// The causes that stand; one that hits nothing but controls is not the partner's.
    pub(super) fn named(&self) -> impl Iterator<Item = &episode::Cause> {
        self.engine.causes().iter().filter(|cause| {
            let pattern = self.layout.book.pattern(cause.rule);
            pattern.cells.iter().any(|cell| self.layout.is_theirs(cell))
        })
    }

    /// The causes that stand for an incident.
    pub(super) fn causes(&self, id: u32) -> impl Iterator<Item = &episode::Cause> {
        self.named().filter(move |cause| cause.incident == id)
    }

    /// Whether a cause would hit a cell; what lands at a point of presence, any cell of its host may hit.
    pub(super) fn hits(&self, cause: &episode::Cause, key: &CellKey) -> bool {
        let pattern = self.layout.book.pattern(cause.rule);
        self.layout
            .find(key)
            .is_some_and(|cell| pattern.cells.contains(cell))
    }

    /// A cause was named: members that it does not hit are not its incident's.
    pub(super) fn narrow(&mut self, cause: &episode::Cause) {
        let causes: Vec<episode::Cause> = self.causes(cause.incident).cloned().collect();
        let hit = |key: &CellKey| causes.iter().any(|cause| self.hits(cause, key));
        let hits: BTreeSet<CellKey> = self
            .failures
            .iter()
            .map(|(_, key, _)| key)
            .filter(|key| hit(key))
            .cloned()
            .collect();
        let Some(trouble) = self.trouble(cause.incident) else {
            return;
        };
        trouble.dirty = true;
        if let Some(case) = &mut trouble.case
            && case.failing().any(|member| hits.contains(&member.cell))
        {
            case.retain(|key| hits.contains(key));
        }
    }

    /// A cause was named anew: what it hits and failed before belongs to its open incident too.
    pub(super) fn widen(&mut self, world: &World<'_>, id: u32) {
        let Some(place) = self.troubles.iter().position(|trouble| trouble.id == id) else {
            return;
        };
        if self.troubles[place].case.is_none() {
            return;
        }
        let members = self.members(world.board, place);
        if let Some(case) = &mut self.troubles[place].case {
            for member in members.into_iter().filter(|m| m.failing) {
                if !case.holds(&member.cell) {
                    case.join(member);
                }
            }
        }
    }

    /// A failing cell becomes part of the incident whose cause hits it, or of the one being asked about.
    pub(super) fn join(&mut self, key: &CellKey, kind: Kind, at: Timestamp) {
        let asking = self.engine.asking();
        let claimed = |running: &Self, trouble: &Trouble| {
            let mut causes = running.causes(trouble.id);
            causes.any(|cause| running.hits(cause, key))
        };
        let place = self
            .troubles
            .iter()
            .position(|trouble| claimed(self, trouble))
            .or_else(|| {
                self.troubles.iter().position(|trouble| {
                    Some(trouble.id) == asking && self.causes(trouble.id).next().is_none()
                })
            });
        let since = self
            .failures
            .iter()
            .find(|(_, cell, _)| cell == key)
            .map_or(at, |(first, ..)| *first);
        let Some(trouble) = place.map(|place| &mut self.troubles[place]) else {
            return;
        };
        let Some(case) = &mut trouble.case else {
            return;
        };
        let new = case.join(IncidentCell {
            asked: None,
            cell: key.clone(),
            kind,
            failing: true,
            since: since.max(trouble.onset_at),
            last_at: at,
        });
        case.incident.failed_runs = case.incident.failed_runs.saturating_add(1);
        trouble.dirty = true;
        if new {
            let text = format!("{key} fails too: {}", kind.label());
            trouble.remember(entry(at, Happening::Cells, text));
        }
    }
}
