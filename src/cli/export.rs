//! `edgewatch export`: the history as a file, for spreadsheets and scripts.

use std::path::Path;
use std::process::ExitCode;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{StoreAt, exit};
use crate::app::load::{self, Kept};
use crate::clock;
use crate::domain::incident::Incident;
use crate::domain::plan::Plan;
use crate::report::csv;
use crate::report::history::{self, Bucket, Step, midnight};
use crate::report::incidents;
use crate::store::Store;
use crate::words::briefing::{self, View};

/// Write the history as a file: runs counted by hour, day or month, or incidents
///
/// Runs are counted for 400 days, longer than they are kept one by one. Days and months are those of the zone of
/// probes.yaml; times in the file are UTC. Times of answers are those of runs that passed; percentiles are right within
/// 7 %. In CSV a field that a spreadsheet would take for a formula has a quote before it. The daemon may be running.
/// Exit code 0 when it is written, 2 when the store can't be read or the command is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch export --from 2026-10-01 --to 2026-10-31 > october.csv
  edgewatch export --what incidents --from 2026-01-01 --format json
  edgewatch export --store copy.sqlite --step hour --probe gmc-connect")]
pub(super) struct Arguments {
    /// The first day, or an instant (2026-10-01T02:00:00Z); 30 days ago when left out.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, or the instant before which it ends; now when left out.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What is written.
    #[arg(long, value_enum, default_value_t = What::Runs)]
    what: What,
    /// How long a line's stretch of time is (for runs).
    #[arg(long, value_enum, default_value_t = Stretch::Day)]
    step: Stretch,
    /// Only this probe (again for more); every probe that ever ran when left out.
    #[arg(long = "probe", value_name = "PROBE")]
    probes: Vec<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    format: Form,
    #[command(flatten)]
    store: StoreAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Runs of each probe, counted.
    Runs,
    /// Incidents that were open in that time.
    Incidents,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stretch {
    Hour,
    Day,
    Month,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For spreadsheets.
    Csv,
    /// For scripts; stable.
    Json,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    match export(config, arguments) {
        Ok(text) => {
            super::print(&text);
            exit::OK
        }
        Err(error) => super::complain(&error),
    }
}

fn export(config: &Path, arguments: &Arguments) -> Result<String, String> {
    let now = clock::now();
    let loaded = load::load(config);
    let path = match (&arguments.store.store, &loaded) {
        (Some(path), _) => path.clone(),
        (None, Ok(loaded)) => loaded.plan.store.path.clone(),
        (None, Err(error)) => return Err(error.to_string()),
    };
    let reader = Store::read_only(&path).map_err(|error| error.to_string())?;
    // A store that was copied is read by the plan that it has kept.
    let plan = match loaded {
        Ok(loaded) => loaded.plan,
        Err(error) => {
            let kept = Kept::of(&reader).and_then(|kept| kept.plan());
            kept.ok_or_else(|| error.to_string())?
        }
    };
    let (from, until) = span(arguments, &plan.zone, now)?;
    if arguments.what == What::Incidents {
        let found = reader.between(from, until);
        let mut found = found.map_err(|error| error.to_string())?;
        found.reverse();
        found.retain(|incident| {
            let named = |probe: &String| incident.probes.iter().any(|p| p.as_str() == probe);
            arguments.probes.is_empty() || arguments.probes.iter().any(named)
        });
        return Ok(match arguments.format {
            Form::Csv => incidents_csv(&plan, &found, now),
            Form::Json => incidents_json(&plan, &found),
        });
    }
    let mut probes = reader.probes().map_err(|error| error.to_string())?;
    for name in &arguments.probes {
        let known = probes.iter().any(|probe| probe.as_str() == name);
        if !known && plan.probe(&name.as_str().into()).is_none() {
            return Err(format!(
                "{name:?} is no probe of the file, and none that ever ran"
            ));
        }
    }
    probes.retain(|probe| {
        arguments.probes.is_empty() || arguments.probes.iter().any(|name| probe.as_str() == name)
    });
    let step = match arguments.step {
        Stretch::Hour => Step::Hour,
        Stretch::Day => Step::Day,
        Stretch::Month => Step::Month,
    };
    let mut counted: Vec<(String, Vec<Bucket>)> = Vec::new();
    for probe in probes {
        let begin = history::start(step, &plan.zone, from);
        let hours = reader.probe_hours(&probe, begin, until);
        let hours = hours.map_err(|error| error.to_string())?;
        let mut buckets = history::buckets(&hours, step, &plan.zone, from, until);
        buckets.retain(|bucket| bucket.tally.runs > 0);
        counted.push((probe.to_string(), buckets));
    }
    Ok(match arguments.format {
        Form::Csv => history::csv(&counted),
        Form::Json => runs_json(&counted, from, until, step, &plan),
    })
}

/// Days are whole ones.
fn span(
    arguments: &Arguments,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), String> {
    let read = |name: &str, text: &str, last: bool| -> Result<Timestamp, String> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(at);
        }
        let date: Date = text.parse().map_err(|_| {
            format!(
                "--{name} {text:?} is no day; write it like 2026-10-01, or 2026-10-01T02:00:00Z"
            )
        })?;
        let date = if last {
            date.tomorrow().unwrap_or(date)
        } else {
            date
        };
        Ok(midnight(zone, date))
    };
    let until = match &arguments.to {
        Some(text) => read("to", text, true)?.min(now),
        None => now,
    };
    let from = match &arguments.from {
        Some(text) => read("from", text, false)?,
        None => until
            .checked_sub(SignedDuration::from_hours(30 * 24))
            .unwrap_or(Timestamp::MIN),
    };
    if from >= until {
        return Err(format!("from {from} to {until} is no time that is over"));
    }
    Ok((from, until))
}

fn runs_json(
    counted: &[(String, Vec<Bucket>)],
    from: Timestamp,
    until: Timestamp,
    step: Step,
    plan: &Plan,
) -> String {
    let probes: Vec<Value> = counted
        .iter()
        .map(|(probe, buckets)| {
            let buckets: Vec<Value> = buckets.iter().map(history::json).collect();
            json!({ "probe": probe, "buckets": buckets })
        })
        .collect();
    let value = json!({
        "from": from.to_string(),
        "until": until.to_string(),
        "step": step,
        "zone": plan.zone.iana_name().unwrap_or("UTC"),
        "probes": probes,
    });
    format!("{value:#}\n")
}

fn brief(plan: &Plan, incident: &Incident) -> crate::domain::notification::Briefing {
    let view = View {
        min_confidence: 0.0,
        next_update_at: None,
    };
    briefing::write(plan, incident, view)
}

fn incidents_json(plan: &Plan, found: &[Incident]) -> String {
    let found: Vec<Value> = found
        .iter()
        .map(|incident| incidents::json(incident, &brief(plan, incident), &[]))
        .collect();
    format!("{:#}\n", Value::Array(found))
}

fn incidents_csv(plan: &Plan, found: &[Incident], now: Timestamp) -> String {
    let header = [
        "incident",
        "state",
        "kind",
        "since",
        "until",
        "lasted_s",
        "probes",
        "confidence",
        "headline",
    ];
    let rows = found.iter().map(|incident| {
        let briefing = brief(plan, incident);
        vec![
            format!("INC-{}", incident.number),
            incident.state.as_str().to_owned(),
            incident.kind.as_str().to_owned(),
            incident.onset_at.to_string(),
            incident
                .over_at()
                .map(|at| at.to_string())
                .unwrap_or_default(),
            incident.failing_for(now).as_secs().to_string(),
            briefing.probes.join(" "),
            format!("{:.2}", briefing.confidence),
            briefing.headline,
        ]
    });
    csv::table(&header, rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn days_are_whole_and_of_the_zone() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let now: Timestamp = "2021-11-15T12:00:00Z".parse().unwrap();
        let check = |line: &[&str], expected: Result<(&str, &str), &str>| {
            let line = ["export"].iter().chain(line);
            let arguments = Line::parse_from(line).arguments;
            let found = span(&arguments, &zone, now)
                .map(|(from, until)| (from.to_string(), until.to_string()));
            let expected = expected.map(|(from, until)| (from.to_owned(), until.to_owned()));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{found:?} {expected:?}"),
            }
        };
        check(&[], Ok(("2021-10-16T12:00:00Z", "2021-11-15T12:00:00Z")));
        // The month in which the clocks go back.
        check(
            &["--from", "2021-10-01", "--to", "2021-10-31"],
            Ok(("2021-09-30T23:00:00Z", "2021-11-01T00:00:00Z")),
        );
        check(
            &["--from", "2021-10-01T02:00:00Z", "--to", "2022-01-01"],
            Ok(("2021-10-01T02:00:00Z", "2021-11-15T12:00:00Z")),
        );
        check(
            &["--from", "october"],
            Err("--from \"october\" is no day; write it like"),
        );
        check(
            &["--from", "2021-10-02", "--to", "2021-10-01"],
            Err("is no time that is over"),
        );
    }
}
