//! `edgewatch bisect`: which part of the request is refused?

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask;
use super::bisect_journal::Journal;
use crate::app::accounts;
use crate::app::round::{self, Turns};
use crate::ask::bisect::{Bisection, Found, Set, Side, Step, Then, Thing, things};
use crate::ask::likeness::Look;
use crate::cli::{Format, exit};
use crate::domain::cell::{CellKey, ClientName, CredentialName, EgressName};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::secret::{Secrets, mask};

/// Bytes read of a captured head.
const CAPTURED_MAX: u64 = 1024 * 1024;

/// Find the smallest difference between a request that passes and one that fails that flips the answer
///
/// Goes from the request of one cell to that of another: header by header, value by value, body part by body part
/// (XML elements, JSON members, form fields, words), method, path, query, HTTP version, address family. Everything
/// that is sent is put together from those two requests; `forbid` holds for each. Asks one request after the other,
/// no faster than politeness allows, waits when told to, and stops when the credential itself is refused. Nothing is
/// stored and nobody is told.
/// Exit code 1 when a part is found that is refused, 0 when both requests get through now, 2 when it can't be told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch bisect gmc-connect --fails legacy-reval --passes new-reval --plan    how many requests would it take?
  edgewatch bisect gmc-connect --fails legacy-reval --passes new-reval
  edgewatch bisect orders-with-comment orders                  a probe that fails, and its twin that passes
  edgewatch bisect gmc-connect --fails legacy-reval --passes new-reval --passes-head captured.txt
  edgewatch bisect gmc-connect --fails legacy-reval --passes new-reval --journal night.jsonl")]
pub(super) struct Arguments {
    /// The probe whose request fails.
    #[arg(value_name = "PROBE")]
    probe: String,
    /// A probe of the same host whose request passes; the same one when left out.
    #[arg(value_name = "PASSING PROBE")]
    passing: Option<String>,
    /// The client that fails; the probe's only one when left out.
    #[arg(long, value_name = "CLIENT")]
    fails: Option<String>,
    /// The client that passes; the same one for another probe, or the probe's only other one.
    #[arg(long, value_name = "CLIENT")]
    passes: Option<String>,
    /// The egress of both; the probe's first when left out.
    #[arg(long, value_name = "EGRESS")]
    from: Option<String>,
    /// The egress of the request that passes, when it is another.
    #[arg(long, value_name = "EGRESS")]
    passes_from: Option<String>,
    /// The credential of both; the probe's first when left out.
    #[arg(long = "with", value_name = "CREDENTIAL")]
    with: Option<String>,
    /// The credential of the request that passes, when it is another.
    #[arg(long, value_name = "CREDENTIAL")]
    passes_with: Option<String>,
    /// A captured head of the failing request, in place of its client's: lines as of `edgewatch client --like`.
    #[arg(long, value_name = "FILE")]
    fails_head: Option<PathBuf>,
    /// The same of the passing request.
    #[arg(long, value_name = "FILE")]
    passes_head: Option<PathBuf>,
    /// Only say what would be compared and how many requests it would take; sends nothing.
    #[arg(long)]
    plan: bool,
    /// Make at most so many requests; where the difference lies is said as far as it is known then.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..))]
    requests: Option<u32>,
    /// Write each answer there, and go on from what stands there already.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How it ended.
enum End {
    Found(Found),
    /// As many requests were made as may be.
    Spent,
    Stopped(String),
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    let plan = match ask::begin(config, log) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match bisect(&plan, arguments) {
        Ok(code) => code,
        Err(error) => super::complain(&error),
    }
}

fn bisect(plan: &Plan, arguments: &Arguments) -> Result<ExitCode, String> {
    let (passing, failing) = sides(plan, arguments)?;
    let partner = plan.partner_called(std::slice::from_ref(&failing.probe.name));
    let most = arguments.requests.map(|most| most as usize);
    let mut bisection = Bisection::new(passing, failing, most)?;
    let secrets = plan.secrets();
    if arguments.plan {
        show_plan(plan, &bisection, arguments.format, &secrets);
        return Ok(exit::OK);
    }
    let mut journal = match &arguments.journal {
        Some(path) => Some(Journal::open(path, &bisection)?),
        None => None,
    };
    if let Some(journal) = &mut journal {
        journal.play(&mut bisection);
    }
    let end = super::runtime()?.block_on(ask_on(plan, &mut bisection, journal.as_mut()))?;
    let sentence = match &end {
        End::Found(found) => bisection.sentence(found, partner),
        End::Spent => left_open(&bisection, "that many requests were announced"),
        End::Stopped(why) => left_open(&bisection, why),
    };
    match arguments.format {
        Format::Text => super::show(&mask(&text(&bisection, &end, &sentence), &secrets)),
        Format::Json => {
            let value = keys(&bisection, &end, &sentence);
            super::print(&mask(&format!("{value:#}\n"), &secrets));
        }
    }
    Ok(match end {
        End::Found(Found::BothPass) => exit::OK,
        End::Found(Found::BothFail) | End::Spent | End::Stopped(_) => exit::our_side(),
        End::Found(_) => exit::problem(),
    })
}

/// Asks until something is found, one request after the other.
async fn ask_on(
    plan: &Plan,
    bisection: &mut Bisection,
    mut journal: Option<&mut Journal>,
) -> Result<End, String> {
    let mut turns = Turns::new(plan)?;
    let (own, other) = (
        bisection.side(&Set::new()).probe,
        bisection.mixed().failing().probe.clone(),
    );
    let shown = std::io::stderr().is_terminal();
    let clear = || {
        if shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    };
    let end = loop {
        let (set, side) = match bisection.step() {
            Step::Ask(set, side) => (set, side),
            Step::Found(found) => break End::Found(found),
            Step::Spent => break End::Spent,
        };
        if shown {
            let (asked, most) = (bisection.requests() + 1, bisection.most());
            let _ = write!(std::io::stderr(), "\rrequest {asked} of at most {most}");
        }
        let parts = (&side.probe, &side.client, &side.egress);
        accounts::claim(plan, [&side.cell()])?;
        let observation = turns.ask(parts, &side.credential).await?;
        let failing = round::read_as(plan, &other, &observation);
        let passing = round::read_as(plan, &own, &observation);
        let status = observation.answer.as_ref().map(|answer| answer.status);
        let then = bisection.answer(&set, &failing, &passing, status);
        if let Some(journal) = &mut journal {
            journal.note(bisection, &set)?;
        }
        match then {
            Then::GoOn => {}
            Then::Wait(wait) => turns.hold(wait),
            Then::Stop(why) => break End::Stopped(why),
        }
    };
    clear();
    Ok(end)
}

/// The two requests that the arguments name, the passing one first.
fn sides(plan: &Plan, arguments: &Arguments) -> Result<(Side, Side), String> {
    let failing_probe = probe(plan, &arguments.probe)?;
    let passing_probe = match &arguments.passing {
        Some(name) => probe(plan, name)?,
        None => failing_probe,
    };
    let (fails, passes) = clients(arguments, failing_probe, passing_probe)?;
    let pick = |asked: Option<&String>, all: &[&str], what: &str, of: &Probe| match asked {
        Some(name) if all.contains(&name.as_str()) => Ok(name.clone()),
        Some(name) => Err(format!(
            "probe {:?} has no {what} {name:?}; it has: {}",
            of.name,
            all.join(", ")
        )),
        None => Ok(all.first().copied().unwrap_or_default().to_owned()),
    };
    let cell = |probe: &Probe, client: &str, from: Option<&String>, with: Option<&String>| {
        let clients: Vec<&str> = probe.as_clients.iter().map(ClientName::as_str).collect();
        let egresses: Vec<&str> = probe.from.iter().map(EgressName::as_str).collect();
        let credentials: Vec<&str> = probe.with.iter().map(CredentialName::as_str).collect();
        let client = pick(Some(&client.to_owned()), &clients, "client", probe)?;
        let egress = pick(from, &egresses, "egress", probe)?;
        let credential = pick(with, &credentials, "credential", probe)?;
        let cell = CellKey {
            probe: probe.name.clone(),
            egress: EgressName::new(&egress),
            client: ClientName::new(&client),
            credential: CredentialName::new(&credential),
        };
        match plan.missing(&cell) {
            Some(why) => Err(format!("{cell} can't be asked: {why}")),
            None => Side::of(plan, &cell),
        }
    };
    let (from, with) = (arguments.from.as_ref(), arguments.with.as_ref());
    let failing = cell(failing_probe, &fails, from, with)?;
    let from = arguments.passes_from.as_ref().or(from);
    let with = arguments.passes_with.as_ref().or(with);
    let passing = cell(passing_probe, &passes, from, with)?;
    Ok((
        with_head(passing, arguments.passes_head.as_deref(), plan)?,
        with_head(failing, arguments.fails_head.as_deref(), plan)?,
    ))
}

fn with_head(side: Side, file: Option<&Path>, plan: &Plan) -> Result<Side, String> {
    let Some(file) = file else { return Ok(side) };
    let wrong = |error: String| format!("{}: {error}", file.display());
    let mut text = String::new();
    std::fs::File::open(file)
        .map(|file| std::io::Read::take(file, CAPTURED_MAX))
        .and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut text))
        .map_err(|error| wrong(error.to_string()))?;
    let look = Look::read(&text).map_err(wrong)?;
    side.with_head(&look, plan).map_err(wrong)
}

fn probe<'a>(plan: &'a Plan, name: &str) -> Result<&'a Probe, String> {
    let mut probes = plan.probes.iter();
    probes
        .find(|probe| probe.name.as_str() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = plan.probes.iter().map(|p| p.name.as_str()).collect();
            format!(
                "there is no probe {name:?} in the file; there are: {}",
                names.join(", ")
            )
        })
}

/// Who fails and who passes, where the arguments leave one choice alone.
fn clients(
    arguments: &Arguments,
    failing: &Probe,
    passing: &Probe,
) -> Result<(String, String), String> {
    let names = |probe: &Probe| -> Vec<String> {
        probe.as_clients.iter().map(ToString::to_string).collect()
    };
    let only = |probe: &Probe, but: Option<&String>, option: &str| {
        let left: Vec<String> = names(probe)
            .into_iter()
            .filter(|name| Some(name) != but)
            .collect();
        match left.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(format!(
                "probe {:?} has several clients; name one as {option}: {}",
                probe.name,
                names(probe).join(", ")
            )),
        }
    };
    let (fails, passes) = (arguments.fails.as_ref(), arguments.passes.as_ref());
    let same_probe = failing.name == passing.name;
    // With a captured head one client may well be both.
    let heads = arguments.fails_head.is_some() || arguments.passes_head.is_some();
    let apart = same_probe && !heads && arguments.passes_from.is_none();
    let fails = match fails {
        Some(name) => name.clone(),
        None => only(failing, passes.filter(|_| apart), "--fails")?,
    };
    let passes = match passes {
        Some(name) => name.clone(),
        None if apart => only(passing, Some(&fails), "--passes")?,
        None if names(passing).contains(&fails) => fails.clone(),
        None => only(passing, None, "--passes")?,
    };
    Ok((fails, passes))
}

fn show_plan(plan: &Plan, bisection: &Bisection, format: Format, secrets: &Secrets) {
    let passing = bisection.side(&Set::new());
    let failing = bisection.mixed().failing();
    let differences = bisection.differences();
    let (most, usual) = (bisection.most(), bisection.usual());
    let host = passing.probe.host();
    match format {
        Format::Text => {
            let mut text = format!(
                "{} (should pass) and {} (should fail) differ in:\n",
                passing.cell(),
                failing.cell()
            );
            text.extend(listed(&differences));
            let pace = &plan.politeness;
            let a_minute = Duration::from_secs(60) / pace.requests_per_minute.max(1);
            let seconds = pace.gap.as_secs_f64() * most as f64;
            let seconds = if most > pace.requests_per_minute as usize {
                seconds.max(a_minute.as_secs_f64() * most as f64)
            } else {
                seconds
            };
            let _ = writeln!(
                text,
                "At most {most} requests to {host}, {usual} when one thing alone decides; the limits under `politeness:` make that {} s or more. Nothing was sent.",
                seconds.ceil()
            );
            super::show(&mask(&text, secrets));
        }
        Format::Json => {
            let value = json!({
                "passing": passing.cell(),
                "failing": failing.cell(),
                "host": host,
                "differences": differences.iter().map(thing_keys).collect::<Vec<_>>(),
                "requests_max": most,
                "requests_usual": usual,
            });
            super::print(&mask(&format!("{value:#}\n"), secrets));
        }
    }
}

/// Differences in lines; of very many the first.
fn listed(differences: &[Thing]) -> Vec<String> {
    const SHOWN: usize = 20;
    let line = |thing: &Thing| match &thing.instead {
        Some(instead) => format!("  {} (the passing one: {instead})\n", thing.what),
        None => format!("  {}\n", thing.what),
    };
    let mut lines: Vec<String> = differences.iter().take(SHOWN).map(line).collect();
    if differences.len() > SHOWN {
        lines.push(format!("  and {} more\n", differences.len() - SHOWN));
    }
    lines
}

/// What is known of a bisection that did not come to its end.
fn left_open(bisection: &Bisection, why: &str) -> String {
    let left = bisection
        .narrowed()
        .map(|set| things(bisection.mixed(), &set));
    let within = match left.as_deref() {
        Some([one]) => format!(
            " What flips the answer, with the rest as it was, is {}.",
            one.what
        ),
        Some(several) if several.len() <= 8 => {
            let names: Vec<&str> = several.iter().map(|thing| thing.what.as_str()).collect();
            format!(" What flips the answer is among: {}.", names.join("; "))
        }
        Some(several) => format!(" What flips the answer is among {} things.", several.len()),
        None => String::new(),
    };
    format!(
        "Not known yet, after {} requests: {why}.{within}",
        bisection.requests()
    )
}

fn text(bisection: &Bisection, end: &End, sentence: &str) -> String {
    let mut text = format!("{sentence}\n");
    if let Some((bad, good)) = pair(bisection, end) {
        for (set, what) in [(bad, "Fails"), (good, "Passes")] {
            let Some(answer) = bisection.answered(&set) else {
                continue;
            };
            let reference = answer.reference_id.as_ref();
            let reference = reference.map_or_else(String::new, |id| format!(", reference {id}"));
            let _ = write!(text, "\n{what}: {}{reference}\n", answer.got);
            let side = bisection.side(&set);
            for line in side.head() {
                let _ = writeln!(text, "  {line}");
            }
            if side.body_bytes() > 0 {
                let _ = writeln!(text, "  (and a body of {} bytes)", side.body_bytes());
            }
        }
    }
    let _ = write!(
        text,
        "\n{} requests were made; at most {} were announced.\n",
        bisection.requests(),
        bisection.most()
    );
    if let Some((count, why)) = &bisection.forbidden {
        let _ = writeln!(
            text,
            "{count} requests between the two were not made, because `forbid` does not allow them: {why}."
        );
    }
    text
}

/// The changes of the pair that shows what was found.
fn pair(bisection: &Bisection, end: &End) -> Option<(Set, Set)> {
    match end {
        End::Found(Found::BothPass) | End::Spent | End::Stopped(_) => None,
        End::Found(found) => bisection.pair(found),
    }
}

fn thing_keys(thing: &Thing) -> Value {
    json!({ "rule": thing.rule.as_str(), "what": thing.what, "instead": thing.instead })
}

fn keys(bisection: &Bisection, end: &End, sentence: &str) -> Value {
    let (outcome, needed, enough) = match end {
        End::Found(Found::Changes { needed, enough }) => ("found", Some(needed.clone()), *enough),
        End::Found(Found::Size { .. }) => ("size", None, None),
        End::Found(Found::Many(within)) => ("many", Some(within.clone()), None),
        End::Found(Found::BothPass) => ("both_pass", None, None),
        End::Found(Found::BothFail) => ("both_fail", None, None),
        End::Spent => ("spent", bisection.narrowed(), None),
        End::Stopped(_) => ("stopped", bisection.narrowed(), None),
    };
    let named = needed.map(|set| things(bisection.mixed(), &set));
    let shown = |set: &Set| {
        let side = bisection.side(set);
        bisection.answered(set).map(|answer| {
            json!({
                "head": side.head(),
                "body_bytes": side.body_bytes(),
                "got": answer.got,
                "kind": answer.kind.as_str(),
                "status": answer.status,
                "reference_id": answer.reference_id,
            })
        })
    };
    let pair = pair(bisection, end);
    let size = match end {
        End::Found(Found::Size { of, passes, fails }) => Some(json!({
            "of": match of {
                crate::ask::bisect::Size::Head => "head",
                crate::ask::bisect::Size::Body => "body",
            },
            "passes_bytes_more": passes,
            "fails_bytes_more": fails,
        })),
        _ => None,
    };
    json!({
        "outcome": outcome,
        "sentence": sentence,
        "because": named.map(|named| named.iter().map(thing_keys).collect::<Vec<_>>()),
        "enough": enough,
        "size": size,
        "stopped": match end { End::Stopped(why) => Some(why), _ => None },
        "requests": bisection.requests(),
        "requests_max": bisection.most(),
        "fails": pair.as_ref().and_then(|(bad, _)| shown(bad)),
        "passes": pair.as_ref().and_then(|(_, good)| shown(good)),
    })
}
