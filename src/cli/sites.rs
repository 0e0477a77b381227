//! `edgewatch sites`: who is heard, who is silent, and what is in the way.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, ContentArrangement, Table, presets::NOTHING};
use jiff::{SignedDuration, Timestamp};

use super::{Format, StoreAt, ask, exit};
use crate::app::status::{VITALS, Vitals};
use crate::clock;
use crate::domain::hubs::HubFacts;
use crate::domain::site::{Facts, NOTE, Sites};
use crate::store::Store;

/// What the hub wrote longer ago than this says nothing of now.
const OLD: SignedDuration = SignedDuration::from_secs(60);

/// Which sites are heard, and how are they: plan, clock, spool, what was lost?
///
/// Reads the store that probes.yaml names, which the running hub keeps up to date. Exit code 0 when every site is heard and
/// has its plan, 1 when one is silent or did not take it, 2 when that is not known: no hub runs, or it can't reach the server.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    store: StoreAt,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let mut plan = match ask::plan(config) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    if plan.nats.is_none() {
        return super::complain("the file names no sites; docs/sites.md says how to have some");
    }
    arguments.store.choose(&mut plan);
    let note = Store::read_only(&plan.store.path).and_then(|reader| reader.note(NOTE));
    let sites = match note.map_err(|e| e.to_string()) {
        Ok(Some(text)) => serde_json::from_str::<Sites>(&text).map_err(|e| e.to_string()),
        Ok(None) => Err("no hub has run with this store; start `edgewatch hub`".to_owned()),
        Err(error) => Err(error),
    };
    let hub = hub(&plan.store.path);
    if let Some(hub) = hub.as_ref().filter(|hub| !hub.leads) {
        return super::complain(&format!(
            "{}; the one that leads knows the sites",
            hub.said()
        ));
    }
    let sites = match sites {
        Ok(sites) => sites,
        Err(error) => return super::complain(&error),
    };
    let now = clock::now();
    match arguments.format {
        Format::Text => {
            let hub = hub.map_or_else(String::new, |hub| format!("{}\n", hub.said()));
            super::show(&(hub + &text(&sites, now, super::colour())));
        }
        Format::Json => match serde_json::to_value(&sites) {
            Ok(value) => super::print(&format!("{value:#}\n")),
            Err(error) => return super::complain(&error.to_string()),
        },
    }
    let old = now.duration_since(sites.at) > OLD;
    if old || sites.unreachable_since.is_some() || sites.trouble.is_some() {
        exit::our_side()
    } else if sites.sites.iter().all(Facts::is_well) {
        exit::OK
    } else {
        exit::problem()
    }
}

/// How the hub with this store stands beside others, as it said last; `None`: there are no others.
fn hub(store: &Path) -> Option<HubFacts> {
    let note = Store::read_only(store).ok()?.note(VITALS).ok()??;
    Vitals::from_json(&note).ok()?.hub
}

fn text(sites: &Sites, now: Timestamp, colour: bool) -> String {
    let red = if colour {
        Style::new().bold().fg_color(Some(AnsiColor::Red.into()))
    } else {
        Style::new()
    };
    let mut text = String::new();
    // Writing to a string can't fail.
    if now.duration_since(sites.at) > OLD {
        let _ = writeln!(
            text,
            "{red}no hub runs{red:#}: this is as it was {} ago",
            span(now.duration_since(sites.at))
        );
    }
    if let Some(since) = sites.unreachable_since {
        let _ = writeln!(
            text,
            "{red}{} can't be reached{red:#} for {}",
            sites.nats,
            span(now.duration_since(since))
        );
    }
    if let Some(trouble) = &sites.trouble {
        let _ = writeln!(text, "{red}in the way{red:#}: {trouble}");
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty();
    table.set_header([
        "site", "heard", "plan", "cells", "clock", "spool", "dropped", "runs", "late", "host",
    ]);
    for site in &sites.sites {
        let heard = match (site.silent_since, site.last_heard_at) {
            (Some(since), _) => format!("silent for {}", span(now.duration_since(since))),
            (None, Some(_)) if site.leaving => "stopped in good order".to_owned(),
            (None, Some(at)) => format!("{} ago", span(now.duration_since(at))),
            (None, None) => "never".to_owned(),
        };
        let plan = match (site.generation, site.generation_wanted) {
            (now, wanted) if now == wanted => now.to_string(),
            (now, wanted) => format!("{now}, not {wanted}"),
        };
        let clock = site
            .offset_ms
            .map_or("?".to_owned(), |ms| format!("{ms:+} ms"));
        table.add_row(vec![
            Cell::new(&site.site),
            Cell::new(heard),
            Cell::new(plan),
            Cell::new(site.cells),
            Cell::new(clock),
            Cell::new(format!("{} runs", site.spool_runs)),
            Cell::new(site.dropped_runs),
            Cell::new(site.runs),
            Cell::new(site.late_runs),
            Cell::new(format!("{} {}", site.host, site.version)),
        ]);
    }
    let _ = writeln!(text, "{}", table.to_string().trim_end());
    for site in &sites.sites {
        if let Some(why) = &site.refused {
            let _ = writeln!(text, "{}: did not take its plan: {why}", site.site);
        }
        for lacks in &site.missing {
            let _ = writeln!(text, "{}: {lacks}", site.site);
        }
        if site.lost_batches > 0 {
            let lost = site.lost_batches;
            let _ = writeln!(
                text,
                "{}: {lost} batches were stored and never came",
                site.site
            );
        }
    }
    if sites.lag > 0 {
        let _ = writeln!(text, "{} messages are stored and not read yet", sites.lag);
    }
    if sites.gone > 0 {
        let _ = writeln!(
            text,
            "{} messages were gone before they were read",
            sites.gone
        );
    }
    text
}

fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
