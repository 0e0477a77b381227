//! `edgewatch replay`: plays scenarios through the daemon's own machine, with simulated time and no sockets.
//!
//! It is the benchmark of what people are told: scenario files are scored against the answer they expect,
//! random incidents against the fault that was drawn, and quiet years by the incidents that were opened
//! for nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::over_time::{self, OverTime};
use super::parallel::in_parallel;
use super::player::{Playback, Stage, play};
use super::scenario::{self, ExpectedVerdict, Scenario};
use super::score::{Marks, judge};
use super::table::Format;
use super::{bench, playback, table};

/// Play scenario files through the daemon's rules, in simulated time, and score what people are told
///
/// Opens no socket and tells nobody: `edgewatch replay tests/scenarios`. Exit code 0 when every scenario comes out
/// right, 1 when one falls short, 2 when something can't be read. `edgewatch replay --log FILE` plays back what
/// `edgewatch run --record FILE` wrote: 0 when the rules answer as they did, 1 when not and where, 2 when it can't be read.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Scenario files, or directories of them
    pub paths: Vec<PathBuf>,
    /// Random repetitions of each scenario; the file says how many otherwise
    #[arg(long)]
    pub seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Plays this many fresh random incidents instead of files
    #[arg(long, value_name = "N", conflicts_with = "paths")]
    pub random: Option<usize>,
    /// Kinds of random incidents, separated by commas
    #[arg(long, value_delimiter = ',', requires = "random")]
    pub kinds: Vec<String>,
    /// Draws worlds that change while people are being told: two causes, shares that grow, what comes and goes
    #[arg(long, requires = "random")]
    pub moving: bool,
    /// Tells the story of one random incident by its id, as the table of `--random` names it
    #[arg(long, value_name = "KIND-SEED", conflicts_with_all = ["paths", "random"])]
    pub incident: Option<String>,
    /// Counts the incidents that quiet years open for nothing
    #[arg(long, conflicts_with_all = ["paths", "random"])]
    pub noise_year: bool,
    /// What `--log FILE` names here, as nothing is logged: a recorded log to play back.
    #[arg(skip)]
    pub log: Option<PathBuf>,
    /// Length of a quiet "year" in days
    #[arg(long, default_value_t = 365, requires = "noise_year")]
    pub days: u32,
}

/// Files with this many bytes are no scenarios.
const FILE_MAX: u64 = 1 << 20;
/// Shares of the runs of a scenario that must be right, and in time.
const RIGHT: f64 = 0.9;
const IN_TIME: f64 = 0.8;

/// Runs the command; 1 when a scenario falls short, 2 when something can't be read.
#[must_use]
pub fn run(args: &ReplayArgs) -> ExitCode {
    if let Some(log) = &args.log {
        return playback::run(log);
    }
    if args.noise_year {
        print!("{}", bench::quiet_years(args.days, args.seed));
        return ExitCode::SUCCESS;
    }
    if let Some(count) = args.random {
        let draw = if args.moving {
            bench::moving
        } else {
            bench::random
        };
        return match draw(count, &args.kinds, args.seed, args.format) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => complain(args.format, &error),
        };
    }
    if let Some(id) = &args.incident {
        return match bench::by_id(id) {
            Ok((scenario, seed)) => {
                let args = ReplayArgs {
                    seed,
                    seeds: Some(1),
                    ..args.clone()
                };
                play_all(&args, &[scenario])
            }
            Err(error) => complain(args.format, &error),
        };
    }
    let scenarios: Result<Vec<Scenario>, String> =
        files(&args.paths).and_then(|files| files.iter().map(|f| load(f)).collect());
    match scenarios {
        Ok(scenarios) => play_all(args, &scenarios),
        Err(error) => complain(args.format, &error),
    }
}

/// Says what went wrong: on a line of its own like a scenario's result, where scripts read.
fn complain(format: Format, what: &str) -> ExitCode {
    match format {
        Format::Text => eprintln!("edgewatch replay: {what}"),
        Format::Json => {
            let error = serde_json::json!({ "what": what, "where": null, "how": null });
            println!("{}", serde_json::json!({ "error": error }));
        }
    }
    ExitCode::from(2)
}

/// The scenario files that the arguments name, in order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if paths.is_empty() {
        return Err(
            "name a scenario file or a directory, or give --random or --noise-year".to_owned(),
        );
    }
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|x| x == "yaml" || x == "yml"))
            .collect();
        if inside.is_empty() {
            return Err(format!("{}: no scenario (*.yaml) in it", path.display()));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn load(file: &Path) -> Result<Scenario, String> {
    let name = file.display().to_string();
    let size = std::fs::metadata(file)
        .map_err(|e| format!("{name}: {e}"))?
        .len();
    if size > FILE_MAX {
        return Err(format!(
            "{name}: larger than {FILE_MAX} bytes, so no scenario"
        ));
    }
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    scenario::read(&text, &name)
}

/// A run with its marks.
struct Scored {
    playback: Playback,
    marks: Marks,
    course: OverTime,
}

fn play_all(args: &ReplayArgs, scenarios: &[Scenario]) -> ExitCode {
    let stages: Result<Vec<Stage>, String> = scenarios.iter().map(Stage::new).collect();
    let stages = match stages {
        Ok(stages) => stages,
        Err(error) => return complain(args.format, &error),
    };
    let jobs: Vec<(usize, u64)> = scenarios
        .iter()
        .enumerate()
        .flat_map(|(i, s)| {
            let seeds = args.seeds.unwrap_or(s.seeds);
            (args.seed..args.seed.saturating_add(seeds)).map(move |seed| (i, seed))
        })
        .collect();
    let story = args.format == Format::Text && scenarios.len() == 1;
    let results = in_parallel(jobs.len(), |job| {
        let (i, seed) = jobs[job];
        let tell = story && seed == args.seed;
        let playback = play(&scenarios[i], &stages[i], seed, tell);
        let mut marks = judge(&scenarios[i], stages[i].book(), &playback);
        let course = over_time::judge(&scenarios[i], &playback);
        if !course.untimely.is_empty() {
            (marks.passed, marks.in_time) = (false, false);
            marks.failures.extend(course.untimely.iter().cloned());
        }
        Scored {
            playback,
            marks,
            course,
        }
    });
    let mut out = String::new();
    let mut short = false;
    if args.format == Format::Text && scenarios.len() > 1 {
        out.push_str("| scenario | right | in time | false | confirm s p50 / p90 | attributed s p50 / p90 | extra p50 / p90 | statement true % of the time | |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    }
    let mut total = [0_usize; 5];
    for (i, scenario) in scenarios.iter().enumerate() {
        let of_this: Vec<&Scored> = jobs
            .iter()
            .zip(&results)
            .filter(|((s, _), _)| *s == i)
            .map(|(_, r)| r)
            .collect();
        let enough = is_enough(scenario, &of_this);
        short |= !enough;
        match args.format {
            Format::Json => {
                for run in &of_this {
                    let line = table::line(
                        &scenario.id,
                        &scenario.universe,
                        stages[i].book(),
                        &run.playback,
                        &run.marks,
                        &run.course,
                    );
                    let _ = writeln!(out, "{line}");
                }
            }
            Format::Text if scenarios.len() == 1 => {
                tell_story(&mut out, scenario, of_this[0]);
                tell_scores(&mut out, &of_this);
            }
            Format::Text => {
                row(&mut out, scenario, &of_this, enough);
                let count =
                    |of: fn(&Marks) -> bool| of_this.iter().filter(|r| of(&r.marks)).count();
                total[0] += of_this.len();
                total[1] += count(|m| m.passed);
                total[2] += count(|m| m.in_time);
                total[3] += count(|m| m.blamed_healthy);
                total[4] += count(|m| m.too_many_extra);
            }
        }
    }
    if args.format == Format::Text && scenarios.len() > 1 {
        let percent = |n: usize| 100.0 * n as f64 / total[0].max(1) as f64;
        let _ = writeln!(
            out,
            "\n{} runs: {:.1} % right, {:.1} % right and in time, {:.1} % ever blamed something healthy, {:.1} % spent too many extra requests",
            total[0],
            percent(total[1]),
            percent(total[2]),
            percent(total[3]),
            percent(total[4])
        );
    }
    print!("{out}");
    ExitCode::from(u8::from(short))
}

/// Whether enough runs of a scenario are right, and in time.
fn is_enough(scenario: &Scenario, runs: &[&Scored]) -> bool {
    let all = runs.len() as f64;
    let passed = runs.iter().filter(|r| r.marks.passed).count() as f64;
    let in_time = runs.iter().filter(|r| r.marks.in_time).count() as f64;
    let timed = scenario.expect.verdict != ExpectedVerdict::None;
    passed >= RIGHT * all && (!timed || in_time >= IN_TIME * passed)
}

fn row(out: &mut String, scenario: &Scenario, runs: &[&Scored], enough: bool) {
    let marks = || runs.iter().map(|r| &r.marks);
    let count = |of: fn(&Marks) -> bool| marks().filter(|m| of(m)).count();
    let mut why: Vec<String> = Vec::new();
    for failure in marks().flat_map(|m| &m.failures) {
        if !why.contains(failure) && why.len() < 3 {
            why.push(failure.clone());
        }
    }
    let _ = writeln!(
        out,
        "| {} | {}/{} | {} | {} | {} | {} | {} | {} | {}{} |",
        scenario.id,
        count(|m| m.passed),
        runs.len(),
        count(|m| m.in_time),
        count(|m| m.blamed_healthy),
        table::spread(marks().filter_map(|m| m.confirmed_s)),
        table::spread(marks().filter_map(|m| m.complete_s)),
        table::spread(marks().filter_map(|m| m.extra.map(f64::from))),
        true_share(runs),
        if enough { "" } else { "SHORT " },
        why.join("; ")
    );
}

/// How much of the time the statement was exact or rightly quiet, percent; a dash where it can't be judged at any time.
fn true_share(runs: &[&Scored]) -> String {
    let mut all = OverTime::default();
    for run in runs {
        all.add(&run.course);
    }
    let share = all.true_share();
    share.map_or("-".to_owned(), |share| format!("{:.0}", 100.0 * share))
}

/// How many requests of one sort in a row a story tells before it only says that there were more.
const TOLD_ONE_BY_ONE: u32 = 5;

/// Whether a line of the story is one failing request, and nothing that was concluded.
fn is_run(text: &str) -> bool {
    let kind = text.rsplit(": ").next().unwrap_or_default();
    crate::domain::verdict::Kind::from_word(kind).is_some()
}

fn tell_story(out: &mut String, scenario: &Scenario, Scored { playback, .. }: &Scored) {
    let _ = writeln!(
        out,
        "{}: {} (seed {})",
        scenario.id, scenario.title, playback.seed
    );
    let _ = writeln!(out, "seconds from the onset\n");
    let mut refused = 0;
    for (at, text) in &playback.story {
        // A standing block is one fact: its repetitions are counted, what changes is told.
        refused = if is_run(text) { refused + 1 } else { 0 };
        if refused <= TOLD_ONE_BY_ONE {
            let _ = writeln!(out, "{:>9.1}  {text}", at - playback.onset);
        } else if refused == TOLD_ONE_BY_ONE + 1 {
            let _ = writeln!(out, "{:>9}  … and more of these", "");
        }
    }
    let _ = writeln!(
        out,
        "\n{} scheduled and {} extra requests\n",
        playback.scheduled, playback.extra
    );
}

fn tell_scores(out: &mut String, runs: &[&Scored]) {
    let passed = runs.iter().filter(|r| r.marks.passed).count();
    let in_time = runs.iter().filter(|r| r.marks.in_time).count();
    let _ = writeln!(
        out,
        "{passed} of {} runs right, {in_time} in time; attributed after {} s (p50 / p90)",
        runs.len(),
        table::spread(runs.iter().filter_map(|r| r.marks.complete_s))
    );
    let _ = writeln!(
        out,
        "what stood was true {} % of the time",
        true_share(runs)
    );
    for run in runs.iter().filter(|r| !r.marks.passed).take(20) {
        let why = run.marks.failures.join("; ");
        let _ = writeln!(out, "seed {}: {why}", run.playback.seed);
    }
}
