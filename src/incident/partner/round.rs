//! What one round says of a partner: its incidents as they would be opened, without waiting for a confirmation.

use jiff::Timestamp;

use super::keeping::reference;
use super::{Partner, Running, Trouble, seconds, timestamp};
use crate::board::Board;
use crate::domain::incident::Incident;
use crate::incident::case::{Case, Opening};
use crate::incident::world::Run;
use crate::judge;
use crate::judge::ways::Ways;

impl Partner {
    /// The incidents of a round, under no number; `runs` are the partner's and the controls', oldest first.
    #[must_use]
    pub fn round(
        mut self,
        board: &Board,
        ways: &Ways,
        runs: &[Run<'_>],
        now: Timestamp,
    ) -> Vec<Incident> {
        for run in runs.iter().filter(|run| !run.cell.control_probe) {
            self.count(board, run);
        }
        let Some(mut running) = self.lay_out(board) else {
            return Vec::new();
        };
        let seen: Vec<_> = runs
            .iter()
            .filter_map(|run| {
                let at = seconds(run.at);
                let (to_host, from_egress) = self.rates(run.cell.host, &run.cell.key.egress, at);
                running.seen(run, at, to_host, from_egress)
            })
            .collect();
        let (universe, book) = (&running.layout.universe, &running.layout.book);
        running.engine = judge::look(universe, book, &seen);
        for run in runs {
            running.keep(board, run, run.judged.kind());
        }
        let since = seen.first().map_or(now, |first| timestamp(first.at));
        running.troubles = running.of_the_round(since, now);
        let places = 0..running.troubles.len();
        let opened =
            places.filter_map(|place| running.open_at_once((board, ways), place, &self.name, now));
        opened
            .map(|mut case| {
                let failing = runs.iter().filter(|run| case.holds(&run.cell.key));
                let ids: Vec<String> = failing
                    .filter_map(|run| reference(board, &run.judged.verdict))
                    .collect();
                for id in &ids {
                    case.refer(id);
                }
                case.incident
            })
            .collect()
    }
}

impl Running {
    /// One trouble for each incident that has a cause, and one for what no cause explains.
    fn of_the_round(&self, since: Timestamp, now: Timestamp) -> Vec<Trouble> {
        let mut ids: Vec<u32> = self.named().map(|cause| cause.incident).collect();
        ids.sort_unstable();
        ids.dedup();
        let open = self.engine.asking().filter(|id| !ids.contains(id));
        ids.push(open.unwrap_or(u32::MAX));
        ids.into_iter()
            .map(|id| Trouble::new(id, since, now))
            .collect()
    }

    fn open_at_once(
        &self,
        (board, ways): (&Board, &Ways),
        place: usize,
        partner: &str,
        now: Timestamp,
    ) -> Option<Case> {
        let cells = self.members(board, place);
        if cells.is_empty() {
            return None;
        }
        let mut case = Case::open(
            Opening {
                number: 0,
                subject: self.subject(board, place, &cells, partner),
                onset_at: self.troubles[place].onset_at,
                last_good_at: None,
                rhythm_since: None,
                diagnosis: self.diagnosis(board, ways, place, &cells),
                failed_runs: cells.len() as u32,
                cells,
            },
            now,
        );
        self.choose_specimens(&mut case);
        Some(case)
    }
}
