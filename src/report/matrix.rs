//! The matrix of one round as a picture: egresses across, clients down, verdicts in words and colour.
//!
//! Colour never carries meaning alone; the caller says whether there is a terminal to show it on.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};

use crate::domain::cell::{CellKey, CredentialName, EgressName};
use crate::domain::verdict::{Kind, Verdict};

/// One run, as far as the picture needs it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub cell: CellKey,
    pub verdict: Verdict,
    pub status: Option<u16>,
    pub took: Duration,
}

/// Draws a table for each probe, in the order in which the entries come; a list where a table is wider than `columns`.
#[must_use]
pub fn matrix(entries: &[Entry], colour: bool, columns: Option<usize>) -> String {
    let mut text = String::new();
    let mut drawn = BTreeSet::new();
    for entry in entries {
        let probe = &entry.cell.probe;
        if !drawn.insert(probe.clone()) {
            continue;
        }
        let of_probe: Vec<&Entry> = entries.iter().filter(|e| e.cell.probe == *probe).collect();
        let _ = writeln!(text, "{probe}");
        let table = one_probe(&of_probe, colour);
        let fits = |columns| table_width(&of_probe) <= columns;
        if columns.is_none_or(fits) {
            let _ = writeln!(text, "{table}");
        } else {
            list(&mut text, &of_probe, colour);
        }
    }
    text
}

fn one_probe(entries: &[&Entry], colour: bool) -> Table {
    let egresses = in_order(entries.iter().map(|e| e.cell.egress.clone()));
    let rows = in_order(
        entries
            .iter()
            .map(|e| (e.cell.client.clone(), e.cell.credential.clone())),
    );

    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let mut header = vec![Cell::new("client")];
    header.extend(
        egresses
            .iter()
            .map(|e: &EgressName| Cell::new(e.as_str()).add_attribute(Attribute::Bold)),
    );
    table.set_header(header);
    for (client, credential) in rows {
        let mut row = vec![Cell::new(row_name(client.as_str(), &credential))];
        for egress in &egresses {
            let found = entries.iter().find(|e| {
                e.cell.egress == *egress
                    && e.cell.client == client
                    && e.cell.credential == credential
            });
            row.push(found.map_or_else(|| Cell::new("·"), |e| verdict_cell(e)));
        }
        table.add_row(row);
    }
    table
}

/// How wide the table is; its colours take no room.
fn table_width(entries: &[&Entry]) -> usize {
    let plain = one_probe(entries, false);
    let widths = plain.lines().map(|line| line.chars().count());
    widths.max().unwrap_or(0)
}

/// The same with a line for each egress below each client.
fn list(text: &mut String, entries: &[&Entry], colour: bool) {
    let names = entries.iter().map(|e| e.cell.egress.as_str());
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let rows = in_order(
        entries
            .iter()
            .map(|e| (e.cell.client.clone(), e.cell.credential.clone())),
    );
    for (client, credential) in rows {
        let _ = writeln!(text, "  {}", row_name(client.as_str(), &credential));
        for entry in entries {
            let cell = &entry.cell;
            if (&cell.client, &cell.credential) != (&client, &credential) {
                continue;
            }
            let style = if colour {
                super::verdict::style_of(entry.verdict.kind)
            } else {
                anstyle::Style::new()
            };
            let egress = cell.egress.as_str();
            let said = words(entry);
            let _ = writeln!(text, "    {egress:<width$}  {style}{said}{style:#}");
        }
    }
    text.push('\n');
}

/// Keeps the first of each, in the order of appearance.
fn in_order<T: Ord + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

fn row_name(client: &str, credential: &CredentialName) -> String {
    if credential.is_anonymous() {
        client.to_owned()
    } else {
        format!("{client} · {credential}")
    }
}

fn words(entry: &Entry) -> String {
    let verdict = &entry.verdict;
    let mut text = verdict.kind.label().to_owned();
    match (&verdict.code, entry.status) {
        (Some(code), Some(status)) if *code != status.to_string() => {
            let _ = write!(text, " {code} (HTTP {status})");
        }
        (_, Some(status)) if verdict.kind != Kind::Pass => {
            let _ = write!(text, " (HTTP {status})");
        }
        _ => {}
    }
    let _ = write!(text, " {}", duration(entry.took));
    text
}

fn verdict_cell(entry: &Entry) -> Cell {
    let cell = Cell::new(words(entry));
    match entry.verdict.kind {
        Kind::Pass => cell.fg(Color::Green),
        kind if kind.is_network() => cell.fg(Color::Magenta),
        kind if kind.is_refusal() => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        _ => cell.fg(Color::Yellow),
    }
}

/// A duration for people: `340 ms`, `2.1 s`, `12 s`, `3 min`, `2 h 5 min`.
#[must_use]
pub fn duration(took: Duration) -> String {
    let ms = took.as_millis();
    match took.as_secs() {
        0 => format!("{ms} ms"),
        1..=9 => format!("{:.1} s", took.as_secs_f64()),
        10..=119 => format!("{} s", took.as_secs()),
        120..=7199 => format!("{} min", took.as_secs() / 60),
        seconds => match (seconds / 3600, seconds % 3600 / 60) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Maker;

    fn entry(egress: &str, client: &str, kind: Kind, status: u16) -> Entry {
        let cell = CellKey {
            probe: "gmc".into(),
            egress: egress.into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        };
        let verdict = Verdict::new(kind, Maker::Unknown);
        Entry {
            cell,
            verdict,
            status: Some(status),
            took: Duration::from_millis(31),
        }
    }

    #[test]
    fn egresses_across_clients_down() {
        let entries = [
            entry("de1", "java-8", Kind::EdgeBlock, 403),
            entry("us1", "java-8", Kind::EdgeBlock, 403),
            entry("de1", "java-11", Kind::Pass, 200),
        ];
        let expected = "\
gmc
┌───────────────────────────────────────────────────────────┐
│ client    de1                        us1                  │
╞═══════════════════════════════════════════════════════════╡
│ java-8    BLOCKED (HTTP 403) 31 ms   BLOCKED (HTTP 403) 31 ms │
│ java-11   pass 31 ms                 ·                    │
└───────────────────────────────────────────────────────────┘
";
        let drawn = matrix(&entries, false, Some(70));
        let words = |text: &str| {
            text.split_whitespace()
                .filter(|w| !w.contains(['─', '═']))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&drawn), words(expected));
        assert!(!drawn.contains('\u{1b}'), "no colour was asked for");
        assert!(matrix(&entries, true, None).contains('\u{1b}'));
    }

    #[test]
    fn a_table_that_does_not_fit_is_a_list() {
        let entries = [
            entry("de1", "java-8", Kind::EdgeBlock, 403),
            entry("us-east-1", "java-8", Kind::EdgeBlock, 403),
            entry("de1", "java-11", Kind::Pass, 200),
        ];
        let expected = "\
gmc
  java-8
    de1        BLOCKED (HTTP 403) 31 ms
    us-east-1  BLOCKED (HTTP 403) 31 ms
  java-11
    de1        pass 31 ms

";
        assert_eq!(matrix(&entries, false, Some(40)), expected);
        assert!(matrix(&entries, true, Some(40)).contains('\u{1b}'));
        let fits = matrix(&entries, false, Some(200));
        assert_eq!(fits, matrix(&entries, false, None));
    }

    #[test]
    fn durations_read_well() {
        let check = |ms: u64, text: &str| assert_eq!(duration(Duration::from_millis(ms)), text);
        check(0, "0 ms");
        check(999, "999 ms");
        check(1_000, "1.0 s");
        check(12_400, "12 s");
        check(119_000, "119 s");
        check(120_000, "2 min");
        check(7_200_000, "2 h");
        check(7_500_000, "2 h 5 min");
    }
}
