//! Where edgewatch alone is refused: told as a notice, never as an incident of the partner.
//!
//! A client that stands in for a program is there to tell a refused fingerprint from a refused user agent. When it is
//! refused and the program passes from the same place, the systems are well, and nobody is to be asked for anything.
//! What fails is held back for as long as that holds; a program that fails too makes an incident of it at once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, IncidentCell};
use crate::domain::twins;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening, entry, majority};
use crate::incident::partner::{Partner, Running, Trouble, World, ahead, seconds};
use crate::words::briefing;

/// How long a certain fault waits for the programs that it stands in for.
pub(super) const HOLD_TWINS: Duration = Duration::from_secs(60);
/// Requests to programs ahead of their schedule.
const ASKED_MAX: u32 = 6;

/// Whether edgewatch alone is refused.
pub(super) enum Alone {
    No,
    /// These programs must answer first.
    Ask(Vec<CellKey>),
    Yes,
}

impl Running {
    /// What the twins of the failing cells show.
    pub(super) fn alone(&self, world: &World<'_>, place: usize, cells: &[IncidentCell]) -> Alone {
        let (trouble, board) = (&self.troubles[place], world.board);
        if !board.plan.clients.iter().any(|c| c.program.is_some()) {
            return Alone::No;
        }
        let kind = majority(cells).unwrap_or(Kind::Unexpected);
        let refused = kind.is_edge_refusal() || kind == Kind::TlsError;
        if !refused || self.comes_and_goes(trouble.id) {
            return Alone::No;
        }
        let (failing, passing) = (keys(cells), self.passing(board, trouble, (kind, cells)));
        if twins::alike(&board.plan, &failing).is_some() {
            return Alone::No;
        }
        let unheard = |twin: &CellKey| {
            let (passed, failed) = self.outcomes(trouble, kind, twin);
            board.get(twin).is_some() && failed == 0 && passed < self.passes_wanted(trouble)
        };
        let of_program = |cell: &CellKey| {
            let client = board.plan.client(&cell.client);
            client.is_some_and(|client| client.program.is_some())
        };
        if failing.iter().any(of_program) {
            return Alone::No;
        }
        let twins = twins::at_places(&board.plan, &failing).into_iter();
        let waiting: Vec<CellKey> = twins.filter(unheard).collect();
        let newest = cells.iter().map(|member| member.since).max();
        let since = newest.unwrap_or(trouble.sure_at).max(trouble.sure_at);
        let may_wait = ahead(since, HOLD_TWINS, world.now).is_some();
        if !waiting.is_empty() && may_wait && trouble.asked_twins < ASKED_MAX {
            return Alone::Ask(waiting);
        }
        match twins::shown(&board.plan, &failing, &passing) {
            Some(shown) if shown.is_ours_alone() => Alone::Yes,
            _ => Alone::No,
        }
    }

    /// How often a twin must have passed: once where the diagnosis is sure of the rest, else once might be luck.
    fn passes_wanted(&self, trouble: &Trouble) -> u32 {
        if self.causes(trouble.id).next().is_some() {
            1
        } else {
            2
        }
    }

    fn outcomes(&self, trouble: &Trouble, kind: Kind, key: &CellKey) -> (u32, u32) {
        let cell = self.layout.find(key);
        let since = seconds(trouble.onset_at);
        cell.map_or((0, 0), |cell| self.engine.outcomes(cell, kind, since))
    }

    /// The cells at the failing ones' places that pass, and were not refused since the onset.
    fn passing(
        &self,
        board: &Board,
        trouble: &Trouble,
        (kind, failing): (Kind, &[IncidentCell]),
    ) -> Vec<CellKey> {
        let at_place = |key: &CellKey| failing.iter().any(|bad| twins::beside(&bad.cell, key));
        let wanted = self.passes_wanted(trouble);
        let hosts = failing
            .iter()
            .filter_map(|bad| Some(board.get(&bad.cell)?.host));
        let hosts: BTreeSet<usize> = hosts.collect();
        let cells = hosts.iter().flat_map(|host| &board.hosts[*host].cells);
        let keys = cells
            .map(|id| &board.cells[*id].key)
            .filter(|key| at_place(key));
        let passes = keys.filter(|key| {
            let (passed, failed) = self.outcomes(trouble, kind, key);
            failed == 0 && passed >= wanted
        });
        passes.cloned().collect()
    }
}

impl Partner {
    /// Tells once that edgewatch alone is refused, to those who read notices.
    pub(super) fn tell_alone(
        &mut self,
        world: &mut World<'_>,
        place: usize,
        cells: Vec<IncidentCell>,
    ) {
        let Some(running) = &mut self.running else {
            return;
        };
        if std::mem::replace(&mut running.troubles[place].told_alone, true) {
            return;
        }
        let onset_at = running.troubles[place].onset_at;
        let members = keys(&cells);
        let mut case = Case::open(
            Opening {
                number: 0,
                subject: running.subject(world.board, place, &cells, &self.name),
                onset_at,
                last_good_at: None,
                rhythm_since: None,
                diagnosis: running.diagnosis(world.board, world.ways, place, &cells),
                failed_runs: cells.len() as u32,
                cells,
            },
            world.now,
        );
        running.choose_specimens(&mut case);
        let view = briefing::View {
            min_confidence: 0.0,
            next_update_at: None,
        };
        let said = briefing::write(&world.board.plan, &case.incident, view);
        let note = entry(world.now, Happening::Cells, &said.headline);
        running.troubles[place].remember(note);
        world
            .surroundings
            .monitor_refused(world.board, &members, onset_at, said);
    }
}

fn keys(cells: &[IncidentCell]) -> Vec<CellKey> {
    cells.iter().map(|member| member.cell.clone()).collect()
}
