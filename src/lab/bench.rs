//! Random incidents and quiet years: how good the judgement is on cases nobody wrote down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::over_time::{self, Fit, OverTime};
use super::player::{Playback, Stage, play};
use super::score::{Marks, judge, unanswerable};
use crate::lab::moving::{self, MOVES};
use crate::lab::parallel::in_parallel;
use crate::lab::random::{KINDS, incident};
use crate::lab::scenario::{self, Design, Noise, Scenario};
use crate::lab::table::{self, Format};

/// Plays `count` random incidents and prints the table by kind.
pub(super) fn random(
    count: usize,
    kinds: &[String],
    seed: u64,
    format: Format,
) -> Result<String, String> {
    let known: Vec<&str> = KINDS.iter().map(|k| k.0).collect();
    let chosen = chosen(kinds, &known)?;
    let results = in_parallel(count, |i| {
        let kind = chosen[i % chosen.len()];
        let drawn = seed.wrapping_mul(1_000_003).wrapping_add(i as u64);
        let scenario = incident(kind, drawn)?;
        let stage = Stage::new(&scenario).ok()?;
        let playback = play(&scenario, &stage, drawn, false);
        let marks = judge(&scenario, stage.book(), &playback);
        let line = (format == Format::Json).then(|| {
            let mut line = table::line(
                &scenario.id,
                &scenario.universe,
                stage.book(),
                &playback,
                &marks,
                &over_time::judge(&scenario, &playback),
            );
            line["kind"] = kind.into();
            line["identifiable"] = (!unanswerable(&scenario, stage.book())).into();
            line.to_string()
        });
        Some(Run {
            kind,
            design: scenario.schedule.design,
            answerable: !unanswerable(&scenario, stage.book()),
            id: scenario.id.clone(),
            marks,
            line,
        })
    });
    let runs: Vec<Run> = results.into_iter().flatten().collect();
    if format == Format::Json {
        return Ok(runs
            .into_iter()
            .filter_map(|r| r.line)
            .fold(String::new(), |all, line| all + &line + "\n"));
    }
    Ok(tables(&runs))
}

/// Plays `count` random worlds that move and prints the table by the way in which they do.
pub(super) fn moving(
    count: usize,
    kinds: &[String],
    seed: u64,
    format: Format,
) -> Result<String, String> {
    let known: Vec<&str> = MOVES.iter().map(|k| k.0).collect();
    let chosen = chosen(kinds, &known)?;
    let results = in_parallel(count, |i| {
        let kind = chosen[i % chosen.len()];
        let drawn = seed.wrapping_mul(1_000_003).wrapping_add(i as u64);
        let scenario = moving::world(kind, drawn)?;
        let stage = Stage::new(&scenario).ok()?;
        let playback = play(&scenario, &stage, drawn, false);
        let course = over_time::judge(&scenario, &playback);
        let line = (format == Format::Json).then(|| {
            let marks = judge(&scenario, stage.book(), &playback);
            let (universe, book) = (&scenario.universe, stage.book());
            let mut line = table::line(&scenario.id, universe, book, &playback, &marks, &course);
            line["kind"] = kind.into();
            line.to_string()
        });
        Some((kind, scenario.id, course, line))
    });
    let runs: Vec<_> = results.into_iter().flatten().collect();
    if format == Format::Json {
        let lines = runs.into_iter().filter_map(|r| r.3);
        return Ok(lines.fold(String::new(), |all, line| all + &line + "\n"));
    }
    let mut out = String::from(
        "| the world | n | right % | statement true % of the time | wide | narrow | silent | stale | FIXED s p50 / p99 | false ends | messages a change p99, most |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (kind, words) in MOVES.into_iter().chain([("", "**all**")]) {
        let here = runs.iter().filter(|r| kind.is_empty() || r.0 == kind);
        moving_line(&mut out, words, &here.map(|r| &r.2).collect::<Vec<_>>());
    }
    out.push('\n');
    for (_, id, course, _) in runs.iter().filter(|r| !r.2.is_right()) {
        let _ = writeln!(out, "{id}: {}", course.what());
    }
    Ok(out)
}

fn moving_line(out: &mut String, words: &str, runs: &[&OverTime]) {
    if runs.is_empty() {
        return;
    }
    let mut all = OverTime::default();
    for run in runs {
        all.add(run);
    }
    let right = runs.iter().filter(|r| r.is_right()).count();
    let percent = |share: f64| 100.0 * share;
    let late = |share| table::quantile(all.fixed_s.iter().copied(), share).unwrap_or(f64::NAN);
    let _ = writeln!(
        out,
        "| {words} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} / {:.0} | {} of {} | {}, {} |",
        runs.len(),
        percent(right as f64 / runs.len() as f64),
        percent(all.true_share().unwrap_or(1.0)),
        percent(all.share(Fit::Wide)),
        percent(all.share(Fit::Narrow)),
        percent(all.share(Fit::Silent)),
        percent(all.share(Fit::Stale)),
        late(0.5),
        late(0.99),
        all.false_resolved,
        all.resolved,
        table::quantile(all.messages.iter().copied(), 0.99).unwrap_or(0),
        all.messages_most(),
    );
}

/// The kinds that were asked for, or all.
fn chosen<'a>(kinds: &'a [String], known: &[&'a str]) -> Result<Vec<&'a str>, String> {
    if let Some(unknown) = kinds.iter().find(|k| !known.contains(&k.as_str())) {
        return Err(format!(
            "--kinds: there is no kind {unknown:?}; known are {}",
            known.join(", ")
        ));
    }
    Ok(if kinds.is_empty() {
        known.to_vec()
    } else {
        kinds.iter().map(String::as_str).collect()
    })
}

/// The random incident with an id like `pair-1000307`, and its seed.
pub(super) fn by_id(id: &str) -> Result<(Scenario, u64), String> {
    let unknown = || format!("--incident: {id:?} is no id of a random incident; write KIND-SEED");
    let (kind, seed) = id.rsplit_once('-').ok_or_else(unknown)?;
    let seed: u64 = seed.parse().map_err(|_| unknown())?;
    let scenario = if KINDS.iter().any(|k| k.0 == kind) {
        incident(kind, seed)
    } else {
        moving::world(kind, seed)
    };
    let mut scenario = scenario.ok_or_else(unknown)?;
    scenario.title = scenario
        .faults
        .iter()
        .map(|f| {
            let when: Vec<String> = f
                .when
                .0
                .iter()
                .map(|(k, v)| format!("{k}={}", v.values().join("|")))
                .collect();
            let classes: Vec<&str> = f.classes.iter().map(|c| c.0.as_str()).collect();
            let until = |to: Option<f64>| to.map_or(String::new(), |to| to.to_string());
            let spans = f.active_min.iter().take(3);
            let spans: Vec<String> = spans.map(|s| format!("{}-{}", s.0, until(s.1))).collect();
            format!(
                "{} gives {} min {}",
                when.join(" "),
                classes.join("|"),
                spans.join(", ")
            )
        })
        .collect::<Vec<_>>()
        .join("; ");
    Ok((scenario, seed))
}

struct Run<'a> {
    kind: &'a str,
    design: Design,
    answerable: bool,
    id: String,
    marks: Marks,
    line: Option<String>,
}

fn tables(runs: &[Run<'_>]) -> String {
    let mut out = String::new();
    let head = "| kind | n | opened % | complete % | first claim right % | ever false % | never said % | confirm s p50 / p90 | right answer s p50 / p90 | extra p50 / p90 |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    let answerable: Vec<&Run<'_>> = runs.iter().filter(|r| r.answerable).collect();
    out.push_str(head);
    for (kind, words) in KINDS {
        let of_kind: Vec<&Run<'_>> = answerable
            .iter()
            .copied()
            .filter(|r| r.kind == kind)
            .collect();
        line(&mut out, words, &of_kind);
    }
    line(&mut out, "**all that can be told**", &answerable);
    for (design, words) in [
        (Design::Star, "star schedule"),
        (Design::Pairwise, "pairwise schedule"),
        (Design::Full, "full schedule"),
    ] {
        let of_design: Vec<&Run<'_>> = answerable
            .iter()
            .copied()
            .filter(|r| r.design == design)
            .collect();
        line(&mut out, words, &of_design);
    }
    let rest: Vec<&Run<'_>> = runs.iter().filter(|r| !r.answerable).collect();
    line(&mut out, "no answer exists", &rest);
    out.push_str("\nconfidence: ");
    out.push_str(&calibration(&answerable));
    out.push('\n');
    for run in &answerable {
        let late = run.marks.complete_s.is_none();
        if run.marks.blamed_healthy || late {
            let _ = writeln!(
                out,
                "{}: {}{}",
                run.id,
                if run.marks.blamed_healthy {
                    "false: "
                } else {
                    "not complete"
                },
                run.marks.what.join("; ")
            );
        }
    }
    out
}

fn line(out: &mut String, words: &str, runs: &[&Run<'_>]) {
    if runs.is_empty() {
        return;
    }
    let percent = |of: &dyn Fn(&Marks) -> bool| {
        100.0 * runs.iter().filter(|r| of(&r.marks)).count() as f64 / runs.len() as f64
    };
    let claimed: Vec<bool> = runs.iter().filter_map(|r| r.marks.first_right).collect();
    let first = 100.0 * claimed.iter().filter(|c| **c).count() as f64 / claimed.len().max(1) as f64;
    let _ = writeln!(
        out,
        "| {words} | {} | {:.1} | {:.1} | {first:.1} | {:.1} | {:.1} | {} | {} | {} |",
        runs.len(),
        percent(&|m| m.confirmed_s.is_some()),
        percent(&|m| m.complete_s.is_some()),
        percent(&|m| m.blamed_healthy),
        percent(&|m| !m.claimed),
        table::spread(runs.iter().filter_map(|r| r.marks.confirmed_s)),
        table::spread(runs.iter().filter_map(|r| r.marks.complete_s)),
        table::spread(runs.iter().filter_map(|r| r.marks.extra.map(f64::from))),
    );
}

/// How often claims of a stated confidence were right.
fn calibration(runs: &[&Run<'_>]) -> String {
    let mut bins: BTreeMap<u32, (usize, usize, f64)> = BTreeMap::new();
    for (confidence, right) in runs.iter().flat_map(|r| &r.marks.claims) {
        let bin = match confidence {
            c if *c < 0.95 => 90,
            c if *c < 0.97 => 95,
            c if *c < 0.99 => 97,
            _ => 99,
        };
        let entry = bins.entry(bin).or_default();
        entry.0 += 1;
        entry.1 += usize::from(*right);
        entry.2 += confidence;
    }
    bins.iter()
        .map(|(bin, (all, right, said))| {
            let all_f = *all as f64;
            format!(
                "from {bin} %: said {:.1} %, right {:.1} % of {all}",
                100.0 * said / all_f,
                100.0 * *right as f64 / all_f
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

const QUIET_UNIVERSE: &str = "
id: quiet-year
universe:
  endpoints:
  - {id: orders, host: a, path: /v1/orders, method: POST}
  - {id: stock, host: a, path: /v1/stock}
  - {id: status, host: a, path: /status, auth: false}
  - {id: rates, host: b, path: /rates}
  - {id: book, host: b, path: /book, method: POST}
  - {id: ping, host: c, path: /ping, auth: false}
  egress:
  - {id: de1, region: eu}
  - {id: de2, region: eu}
  - {id: us1, region: us}
  user_agents:
  - {id: java16, family: java}
  - {id: java17, family: java}
  - {id: okhttp}
  - {id: curl}
  - {id: browser}
  credentials:
  - {id: keyA}
  - {id: keyB}
schedule: {interval_s: 300, design: star}
warmup_rounds: 0
rounds: 1
seeds: 1
expect: {incident: false, verdict: none}
";

/// The noise of each row of the table.
fn regimes() -> Vec<(&'static str, Noise)> {
    let plain = |independent: f64| Noise {
        independent,
        bursts_per_day: 0.0,
        ..Noise::default()
    };
    let mut rows = vec![
        ("0.1 % independent", plain(0.001)),
        ("0.5 %", plain(0.005)),
        ("1 %", plain(0.01)),
        ("2 %", plain(0.02)),
        (
            "0.3 % + bursts 0.3 a day per host and egress, mean 25 s",
            Noise::default(),
        ),
        (
            "0.3 % + bursts 2 a day, mean 15 s",
            Noise {
                bursts_per_day: 2.0,
                burst_mean_s: 15.0,
                ..Noise::default()
            },
        ),
    ];
    let mut egress = plain(0.003);
    egress.flaky_egress.insert("us1".to_owned(), 0.04);
    rows.push(("0.3 % + one egress always 4 %", egress));
    let mut host = plain(0.003);
    host.flaky_host.insert("b".to_owned(), 0.03);
    rows.push(("0.3 % + one host always 3 %", host));
    rows
}

/// Plays quiet years and prints what was opened for nothing.
pub(super) fn quiet_years(days: u32, seed: u64) -> String {
    let base = scenario::read(QUIET_UNIVERSE, "quiet year");
    let (base, stage) = match base.and_then(|base| Stage::new(&base).map(|stage| (base, stage))) {
        Ok(both) => both,
        Err(error) => return format!("{error}\n"),
    };
    let rows = regimes();
    let results: Vec<Playback> = in_parallel(rows.len(), |i| {
        let scenario = Scenario {
            noise: rows[i].1.clone(),
            rounds: days * 288,
            ..base.clone()
        };
        play(&scenario, &stage, seed + i as u64, false)
    });
    let mut out = String::from(
        "| noise | incidents (claims) a year | 3 in a row | first failure | extra requests a day (share) |\n| --- | --- | --- | --- | --- |\n",
    );
    let years = f64::from(days) / 365.0;
    for ((name, _), playback) in rows.iter().zip(&results) {
        let claims: usize = playback.incidents.iter().map(|i| i.claims.len()).sum();
        let _ = writeln!(
            out,
            "| {name} | {:.1} ({:.1}) | {:.0} | {:.0} | {:.0} ({:.2} %) |",
            playback.incidents.len() as f64 / years,
            claims as f64 / years,
            playback.simple.three_in_a_row as f64 / years,
            playback.simple.first_failure as f64 / years,
            playback.extra as f64 / f64::from(days),
            100.0 * playback.extra as f64 / playback.scheduled.max(1) as f64,
        );
    }
    out
}
