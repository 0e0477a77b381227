//! What an edit of the file does: to the plan, to open incidents, to silences.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::cell::CellKey;
use crate::domain::difference::{Cells, Changed, Difference, Part};
use crate::domain::incident::{Incident, State};
use crate::domain::mute::Silence;
use crate::domain::plan::Plan;

/// What an edit does, to the plan and to what is open.
#[derive(Debug, Serialize)]
pub struct Edit {
    /// What it was compared with, in words.
    pub against: String,
    #[serde(flatten)]
    pub difference: Difference,
    pub incidents: Vec<Touched>,
    /// Silences in force that mute no cell any more.
    pub silences: Vec<u64>,
}

/// An open incident that loses cells.
#[derive(Debug, Serialize)]
pub struct Touched {
    pub number: u64,
    pub cells: usize,
    pub leave: usize,
    /// It ends as no longer watched.
    pub ends: bool,
}

impl Edit {
    /// What comes of `now` in place of `before`; `against` says in words what `before` is.
    #[must_use]
    pub fn between(
        against: String,
        (before, now): (&Plan, &Plan),
        incidents: &[Incident],
        silences: &[Silence],
        at: Timestamp,
    ) -> Self {
        let open = incidents.iter().filter(|it| it.state == State::Open);
        Self {
            against,
            difference: Difference::between(before, now),
            incidents: touched(open, now),
            silences: silences
                .iter()
                .filter(|silence| silence.holds(at) && is_idle(silence, before, now))
                .map(|silence| silence.number)
                .collect(),
        }
    }

    /// The same for people.
    #[must_use]
    pub fn text(&self) -> String {
        told(self)
    }
}

fn touched<'a>(open: impl Iterator<Item = &'a Incident>, now: &Plan) -> Vec<Touched> {
    let cells: BTreeSet<CellKey> = now.every_cell().map(|(_, cell)| cell).collect();
    let mut touched: Vec<Touched> = open
        .map(|incident| {
            let gone = |cell: &CellKey| !cells.contains(&now.former.cell(cell));
            let leave = incident.cells.iter().filter(|it| gone(&it.cell)).count();
            Touched {
                number: incident.number,
                cells: incident.cells.len(),
                leave,
                ends: leave == incident.cells.len(),
            }
        })
        .filter(|touched| touched.leave > 0)
        .collect();
    touched.sort_by_key(|touched| touched.number);
    touched
}

/// Whether a silence of cells covers none any more that it covered before.
fn is_idle(silence: &Silence, before: &Plan, now: &Plan) -> bool {
    let covers = |plan: &Plan| {
        plan.every_cell()
            .any(|(_, cell)| silence.matcher.covers_cell(&cell))
    };
    covers(before) && !covers(now)
}

fn told(edit: &Edit) -> String {
    let difference = &edit.difference;
    if difference.is_empty() {
        return "Nothing changes.\n".to_owned();
    }
    let mut text = format!("{}\n", counted(&difference.cells));
    for said in &difference.renamed {
        let _ = writeln!(text, "{said}; its history goes on");
    }
    for part in &difference.parts {
        one_part(&mut text, part, &difference.cells);
    }
    if !difference.settings.is_empty() {
        let _ = writeln!(text, "\nalso changed: {}", difference.settings.join(", "));
    }
    if !difference.hosts.is_empty() {
        text.push_str("\nrequests a minute\n");
        for load in &difference.hosts {
            let (host, before, now) = (&load.host, load.before, load.now);
            let _ = writeln!(text, "  {host}: {before:.1} → {now:.1}");
        }
    }
    if !difference.accounts.is_empty() {
        text.push_str("\nrequests a day with a credential\n");
        for load in &difference.accounts {
            let (name, before, now, most) = (&load.credential, load.before, load.now, load.most);
            let over = if now > f64::from(most) {
                format!(
                    ": used up after {:.1} h, and not watched until they are free again",
                    24.0 * f64::from(most) / now
                )
            } else {
                String::new()
            };
            let _ = writeln!(text, "  {name}: {before:.0} → {now:.0} of {most}{over}");
        }
    }
    if !edit.incidents.is_empty() {
        text.push_str("\nopen incidents\n");
        for it in &edit.incidents {
            let what = if it.ends {
                "ends as no longer watched: the file asks none of its cells any more".to_owned()
            } else {
                format!("loses {} of its {} cells", it.leave, it.cells)
            };
            let _ = writeln!(text, "  INC-{} {what}", it.number);
        }
    }
    if !edit.silences.is_empty() {
        text.push_str("\nsilences\n");
        for number in &edit.silences {
            let _ = writeln!(text, "  silence {number} mutes nothing any more");
        }
    }
    text
}

fn counted(cells: &Cells) -> String {
    let parts = [
        (cells.added.len(), "added"),
        (cells.removed.len(), "removed"),
        (cells.changed.len(), "changed"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{count} {how}"))
        .collect();
    let parts = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    format!("cells {} → {}{parts}", cells.before, cells.now)
}

fn one_part(text: &mut String, part: &Part, cells: &Cells) {
    let of = |name: &str, those: &[CellKey]| match part.what {
        "probes" => those
            .iter()
            .filter(|cell| cell.probe.as_str() == name)
            .count(),
        _ => 0,
    };
    let with = |count: usize, more: &str| match count {
        0 => String::new(),
        1 => format!("  1 cell{more}"),
        many => format!("  {many} cells{more}"),
    };
    let _ = writeln!(text, "\n{}", part.what);
    for name in &part.added {
        let _ = writeln!(text, "  + {name}{}", with(of(name, &cells.added), ""));
    }
    for name in &part.removed {
        let gone = with(of(name, &cells.removed), ", whose history ends");
        let _ = writeln!(text, "  - {name}{gone}");
    }
    for Changed { name, keys } in &part.changed {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| match &key.values {
                Some((before, now)) => format!("{}: {before} → {now}", key.key),
                None => key.key.to_owned(),
            })
            .collect();
        let keys = if keys.is_empty() {
            String::new()
        } else {
            format!("  {}", keys.join("; "))
        };
        let _ = writeln!(text, "  ~ {name}{keys}");
    }
}
