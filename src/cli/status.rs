//! `edgewatch status`: how the daemon is, what it saw last, and what needs care.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::status::{self, By, DaemonState, Receiver, Round, Status, Vitals};
use crate::cli::Format;
use crate::cli::exit;
use crate::report::incidents::{self, local};
use crate::report::matrix::duration;
use crate::report::silences;

const TWO_DAYS: jiff::SignedDuration = jiff::SignedDuration::from_hours(48);

/// How is the daemon, what did it see last, and does anything need care?
///
/// Reads the store that probes.yaml names, also of a file that is faulty elsewhere, and asks the running
/// daemon where it listens. The probes are those of the running daemon, with what it knows and this shell may not;
/// where none runs, those of the file. Exit code 0 when it runs, all is well and no incident is open, 1 when an incident
/// is open, 2 when our own side is down or edgewatch itself needs care: it does not run or work, the last reload
/// was refused, the store can't be written, messages are not delivered, the dead-man's switch is not told, or
/// there is no store.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    store: super::StoreAt,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(&error),
    };
    let gathered = runtime.block_on(status::gather(config, arguments.store.store.as_deref()));
    let status = match gathered {
        Ok(status) => status,
        Err(error) => return super::complain(&error),
    };
    match arguments.format {
        Format::Text => super::show(&text(&status, super::colour())),
        Format::Json => super::print(&format!("{:#}\n", json(&status))),
    }
    if !status.troubles.is_empty() || status.incidents.iter().any(|open| open.our_side) {
        exit::our_side()
    } else if status.incidents.is_empty() {
        exit::OK
    } else {
        exit::problem()
    }
}

fn text(status: &Status, colour: bool) -> String {
    let style = |style: Style| if colour { style } else { Style::new() };
    let bold = style(Style::new().bold());
    let red = style(Style::new().bold().fg_color(Some(AnsiColor::Red.into())));
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(text, "{bold}{}{bold:#}", headline(status));
    for trouble in &status.troubles {
        let _ = writeln!(text, "  {red}needs care{red:#}   {trouble}");
    }
    if let Some(vitals) = &status.daemon.vitals {
        facts(&mut text, status, vitals);
    }

    let since = status.daemon.vitals.as_ref().map(|v| v.started_at);
    if !status.rounds.is_empty() {
        let _ = writeln!(text, "  {:<12} {}", "probes of", by(status));
        let _ = writeln!(text, "\n{bold}Last round of each probe{bold:#}");
        let width = status.rounds.iter().map(|r| r.probe.as_str().len()).max();
        for round in &status.rounds {
            let name = round.probe.as_str();
            let _ = writeln!(
                text,
                "  {name:<width$}   {}",
                seen(round, since, status.at),
                width = width.unwrap_or(0)
            );
        }
    }

    let _ = writeln!(text, "\n{bold}Open incidents{bold:#}");
    for open in &status.incidents {
        let _ = writeln!(
            text,
            "  {red}INC-{}{red:#}  {}, for {}: {}",
            open.number,
            local(open.since, &status.zone),
            ago(open.since, status.at),
            open.headline
        );
        let (by, muted) = (open.acknowledged.as_ref(), open.muted.as_ref());
        for remark in incidents::quiet(by, muted, &open.during, &status.zone) {
            let _ = writeln!(text, "         {remark}");
        }
    }
    if status.incidents.is_empty() {
        text.push_str("  none\n");
    }

    let _ = writeln!(text, "\n{bold}Silences and maintenance{bold:#}");
    quiet(&mut text, status);

    let _ = writeln!(text, "\n{bold}Messages{bold:#}");
    for receiver in &status.receivers {
        let _ = writeln!(text, "  {}: {}", receiver.name, mail(receiver, status.at));
    }
    for (name, why) in &status.unset {
        let _ = writeln!(text, "  {name}: reaches nobody, {why}");
    }
    if status.receivers.is_empty() && status.unset.is_empty() {
        text.push_str("  all delivered\n");
    }
    text
}

/// What is in force: what it covers, until when, and who wanted it.
fn quiet(text: &mut String, status: &Status) {
    let when = |at: Timestamp| local(at, &status.zone);
    for silence in &status.silences {
        let why = silence.why.as_ref().map(|why| format!(" ({why})"));
        let _ = writeln!(
            text,
            "  silence {}  until {}: {}; by {}{}",
            silence.number,
            when(silence.until),
            silence.matcher,
            silence.by,
            why.unwrap_or_default()
        );
    }
    for known in &status.maintenance {
        let effect = match known.effect.as_str() {
            "mute" => "told to nobody",
            _ => "mentioned in messages",
        };
        let probes = match known.probes.as_slice() {
            [] => "every probe".to_owned(),
            [one] => format!("probe {one}"),
            many => format!("probes {}", many.join(", ")),
        };
        let _ = writeln!(
            text,
            "  maintenance {}  until {}: {probes}; {effect}",
            known.name,
            when(known.until)
        );
    }
    if status.silences.is_empty() && status.maintenance.is_empty() {
        text.push_str("  none\n");
    }
}

/// Whose plan it is that the probes are told by.
fn by(status: &Status) -> String {
    match &status.by {
        By::Daemon { path, at } => format!(
            "the running daemon, which took {} {}",
            path.display(),
            local(*at, &status.zone)
        ),
        By::File(path) => format!(
            "{}, with the secrets that are set here; no daemon runs",
            path.display()
        ),
    }
}

fn headline(status: &Status) -> String {
    let Some(vitals) = &status.daemon.vitals else {
        return format!(
            "nothing is known of a daemon with {}",
            status.store.display()
        );
    };
    let when = |at: Timestamp| local(at, &status.zone);
    let name = format!("edgewatch {}", vitals.version);
    match (status.daemon.state, vitals.stopped_at) {
        (DaemonState::Running, _) => format!(
            "{name} runs since {} ({}), process {}",
            when(vitals.started_at),
            ago(vitals.started_at, status.at),
            vitals.pid
        ),
        (_, Some(stopped)) => format!(
            "{name} does not run: it stopped {} ({} ago)",
            when(stopped),
            ago(stopped, status.at)
        ),
        _ => format!(
            "{name} was last heard of {} ({} ago)",
            when(vitals.at),
            ago(vitals.at, status.at)
        ),
    }
}

fn facts(text: &mut String, status: &Status, vitals: &Vitals) {
    let when = |at: Timestamp| local(at, &status.zone);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    let plan = &vitals.plan;
    line(
        "plan",
        format!(
            "{}: {}, {}, {}; configuration {} since {}",
            plan.service,
            counted(plan.probes, "probe", "probes"),
            counted(plan.controls, "control", "controls"),
            counted(plan.cells, "cell", "cells"),
            plan.generation,
            when(plan.since)
        ),
    );
    if let Some(sites) = &vitals.sites {
        let all = sites.sites.len() as u64;
        let well = sites.sites.iter().filter(|site| site.is_well()).count();
        let waiting: u64 = sites.sites.iter().map(|site| site.spool_runs).sum();
        line(
            "sites",
            format!(
                "{well} of {} well; {} stored and not read, {} in spools; see `edgewatch sites`",
                counted(all, "site", "sites"),
                counted(sites.lag, "message", "messages"),
                counted(waiting, "run", "runs"),
            ),
        );
    }
    if let Some(hub) = &vitals.hub {
        line("hub", hub.said());
    }
    match &vitals.reload {
        None => {}
        Some(reload) => match &reload.error {
            None if reload.changes.is_empty() => {
                line("last reload", format!("taken {}", when(reload.at)));
            }
            None => line(
                "last reload",
                format!("taken {}: {}", when(reload.at), reload.changes.join("; ")),
            ),
            Some(error) => {
                let mut lines = error.lines();
                let first = lines.next().unwrap_or_default();
                line(
                    "last reload",
                    format!("REFUSED {}: {first}", when(reload.at)),
                );
                for more in lines {
                    line("", more.to_owned());
                }
            }
        },
    }
    let runs = &vitals.runs;
    let mut value = format!(
        "{} ended, {} under way, {} waiting for their turn",
        runs.ended, runs.in_flight, runs.waiting
    );
    if runs.panicked > 0 {
        let _ = write!(value, ", {} panicked", runs.panicked);
    }
    line("runs", value);
    line(
        "skipped",
        format!(
            "{} too late, {} because the one before was not over, {} because too many were under way",
            runs.skipped_late, runs.skipped_in_flight, runs.skipped_no_room
        ),
    );
    let store = &vitals.store;
    let mut value = format!(
        "{}: {} rows written",
        status.store.display(),
        store.written_rows
    );
    if store.dropped_rows + store.dropped_bodies > 0 {
        let _ = write!(
            value,
            ", {} observations and {} bodies DROPPED",
            store.dropped_rows, store.dropped_bodies
        );
    }
    line("store", value);
    if let Some(heartbeat) = &vitals.heartbeat {
        let last = heartbeat.last_sent_at.map_or_else(
            || "none sent yet".to_owned(),
            |at| {
                format!(
                    "{} sent, the last {} ago",
                    heartbeat.sent,
                    ago(at, status.at)
                )
            },
        );
        line(
            "heartbeat",
            format!(
                "{last}; {} failed, {} withheld",
                heartbeat.failed, heartbeat.withheld
            ),
        );
    }
    if let Some(address) = vitals.listen {
        line("listens at", format!("http://{address}"));
    }
}

/// `9 cells: 6 pass, 3 edge_block; 12 s to 4 min ago`.
fn seen(round: &Round, since: Option<Timestamp>, now: Timestamp) -> String {
    let mut text = format!("{}: ", counted(round.cells as u64, "cell", "cells"));
    let results: Vec<String> = round
        .results
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    text.push_str(&results.join(", "));
    let known: usize = round.results.iter().map(|(_, count)| count).sum();
    let sep = |text: &str| if text.ends_with(": ") { "" } else { ", " };
    if let Some(why) = &round.why {
        let _ = write!(text, "{}{} can't run: {why}", sep(&text), round.idle);
    }
    let unseen = round.cells.saturating_sub(known + round.idle);
    if unseen > 0 {
        // Two days are looked back, and no further than the daemon's start.
        let since = match since {
            Some(since) if now.duration_since(since) < TWO_DAYS => "not run yet",
            _ => "not run in two days",
        };
        let _ = write!(text, "{}{unseen} {since}", sep(&text));
    }
    if let Some((newest, oldest)) = round.between {
        let (newest, oldest) = (ago(newest, now), ago(oldest, now));
        if newest == oldest {
            let _ = write!(text, "; {newest} ago");
        } else {
            let _ = write!(text, "; {newest} to {oldest} ago");
        }
    }
    if round.control {
        text.push_str(" (control)");
    }
    text
}

fn mail(receiver: &Receiver, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if receiver.waiting > 0 {
        parts.push(match receiver.due_since {
            Some(since) => format!("{} waiting, due for {}", receiver.waiting, ago(since, now)),
            None => format!("{} waiting for its time", receiver.waiting),
        });
    }
    if receiver.given_up > 0 {
        parts.push(format!("{} given up within a week", receiver.given_up));
    }
    let mut text = parts.join(", ");
    if let Some((class, error)) = &receiver.error {
        let _ = write!(text, "; {class}: {error}");
    }
    text
}

/// For scripts; keys are stable, times are RFC 3339 in UTC.
fn json(status: &Status) -> Value {
    let time = |at: Timestamp| at.to_string();
    json!({
        "at": time(status.at),
        "well": status.troubles.is_empty(),
        "troubles": status.troubles,
        "store": status.store.display().to_string(),
        "plan": match &status.by {
            By::Daemon { path, at } => json!({ "of": "daemon", "file": path, "since": time(*at) }),
            By::File(path) => json!({ "of": "file", "file": path }),
        },
        "daemon": {
            "state": status.daemon.state.as_str(),
            "live": status.daemon.live,
            "vitals": status.daemon.vitals.as_ref().map(Vitals::to_json),
        },
        "probes": status.rounds.iter().map(|round| json!({
            "probe": round.probe.as_str(),
            "control": round.control,
            "cells": round.cells,
            "idle": round.idle,
            "idle_why": round.why,
            "results": round.results.iter()
                .map(|(kind, count)| (kind.to_string(), Value::from(*count)))
                .collect::<serde_json::Map<_, _>>(),
            "newest_at": round.between.map(|(newest, _)| time(newest)),
            "oldest_at": round.between.map(|(_, oldest)| time(oldest)),
        })).collect::<Vec<_>>(),
        "incidents": status.incidents.iter().map(|open| json!({
            "incident": open.number,
            "onset_at": time(open.since),
            "our_side": open.our_side,
            "headline": open.headline,
            "muted": open.muted,
            "during_maintenance": open.during,
            "acknowledged": open.acknowledged.as_ref()
                .map(|by| json!({ "at": time(by.at), "by": by.by })),
        })).collect::<Vec<_>>(),
        "silences": status.silences.iter()
            .map(|silence| silences::json(silence, status.at)).collect::<Vec<_>>(),
        "maintenance": status.maintenance.iter().map(|known| json!({
            "name": known.name,
            "effect": known.effect,
            "probes": known.probes,
            "since": time(known.since),
            "until": time(known.until),
        })).collect::<Vec<_>>(),
        "receivers": status.receivers.iter().map(|receiver| json!({
            "receiver": receiver.name,
            "waiting": receiver.waiting,
            "due_since": receiver.due_since.map(time),
            "given_up": receiver.given_up,
            "error_class": receiver.error.as_ref().map(|(class, _)| class),
            "error": receiver.error.as_ref().map(|(_, error)| error),
        })).collect::<Vec<_>>(),
    })
}

fn ago(from: Timestamp, now: Timestamp) -> String {
    duration(std::time::Duration::try_from(now.duration_since(from)).unwrap_or_default())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {many}")
    }
}
